//! What Ripcord tells of itself: that it starts, stops, leads.

use jiff::Timestamp;

use crate::engine::{Event, Language, Notification, Sentence, Severity};
use crate::state::Unreadable;

/// Guards that the first notification names.
const NAMED_GUARDS: usize = 10;

/// A notification about Ripcord itself.
fn notice(event: Event, severity: Severity, summary: Sentence, advice: Sentence, now: Timestamp) -> Notification {
    let mut notice = Notification {
        id: format!("{}-{}", event.as_str(), now.strftime("%Y%m%dT%H%M%S%.3fZ")),
        event,
        severity,
        time: now,
        guard: None,
        guards: Vec::new(),
        incident: None,
        summary: String::new(),
        advice: String::new(),
        trigger: None,
        rollback: None,
        next: None,
        opening: None,
        settles: Vec::new(),
        dry_run: false,
        chinese: None,
    };
    notice.say(summary, advice);
    notice
}

/// The first notification of a process that leads.
pub fn started(guards: &[&str], taken_up: &[String], now: Timestamp) -> Notification {
    let named = guards.iter().take(NAMED_GUARDS).copied().collect::<Vec<_>>();
    let left = guards.len().saturating_sub(NAMED_GUARDS);
    let summary = Sentence::of(|language| match language {
        Language::English => {
            let mut text = format!("Ripcord {} watches {}", crate::VERSION, named.join(", "));
            if left > 0 {
                text.push_str(&format!(" and {left} more"));
            }
            if !taken_up.is_empty() {
                text.push_str(&format!("; it goes on with the rollback of {}", taken_up.join(", ")));
            }
            text
        }
        Language::Chinese => {
            let mut text = format!("Ripcord {} 开始守护 {}", crate::VERSION, named.join("、"));
            if left > 0 {
                text.push_str(&format!(" 等，还有 {left} 个"));
            }
            if !taken_up.is_empty() {
                text.push_str(&format!("；并继续 {} 未完成的回滚", taken_up.join("、")));
            }
            text
        }
    });
    notice(Event::WatchdogStarted, Severity::Info, summary, Sentence::nothing_to_do(), now)
}

/// The last notification of a process that leads.
pub fn stopping(unfinished: Vec<String>, goes_on: GoesOn, now: Timestamp) -> Notification {
    if unfinished.is_empty() {
        let summary = Sentence::of(|language| match (language, goes_on) {
            (Language::English, GoesOn::Elsewhere) => "Ripcord stops: another replica takes over".to_owned(),
            (Language::English, GoesOn::NextTime | GoesOn::Never) => {
                "Ripcord stops: nothing is watched until it runs again".to_owned()
            }
            (Language::Chinese, GoesOn::Elsewhere) => "Ripcord 停止：由另一个副本接手".to_owned(),
            (Language::Chinese, GoesOn::NextTime | GoesOn::Never) => {
                "Ripcord 停止：再次运行之前，不再守护任何服务".to_owned()
            }
        });
        let advice = match goes_on {
            GoesOn::Elsewhere => Sentence::nothing_to_do(),
            GoesOn::NextTime | GoesOn::Never => Sentence::of(|language| match language {
                Language::English => {
                    "Nothing, if it was meant to stop. If not, see to it that Ripcord runs again.".to_owned()
                }
                Language::Chinese => "如果是有意停止，无需处理；否则请让 Ripcord 重新运行。".to_owned(),
            }),
        };
        return notice(Event::WatchdogStopping, Severity::Info, summary, advice, now);
    }
    let severity = match goes_on {
        GoesOn::Elsewhere => Severity::Info,
        GoesOn::NextTime | GoesOn::Never => Severity::Critical,
    };
    let summary = Sentence::of(|language| {
        let rest = match (language, goes_on) {
            (Language::English, GoesOn::Elsewhere) => "another replica goes on with it",
            (Language::English, GoesOn::NextTime) => "it goes on when Ripcord runs again",
            (Language::English, GoesOn::Never) => "nobody goes on with it",
            (Language::Chinese, GoesOn::Elsewhere) => "由另一个副本继续",
            (Language::Chinese, GoesOn::NextTime) => "等 Ripcord 再次运行时继续",
            (Language::Chinese, GoesOn::Never) => "之后不会再继续",
        };
        match language {
            Language::English => {
                format!("Ripcord stops before the rollback of {} is done; {rest}", unfinished.join(", "))
            }
            Language::Chinese => format!("Ripcord 停止时，{} 的回滚还没有完成；{rest}", unfinished.join("、")),
        }
    });
    let advice = Sentence::of(|language| {
        let text = match (language, goes_on) {
            (Language::English, GoesOn::Elsewhere) => "Nothing.",
            (Language::English, GoesOn::NextTime) => {
                "Act now: see to it that Ripcord runs again, and watch the share of these guards until it does."
            }
            (Language::English, GoesOn::Never) => {
                "Act now: check the share of these guards. What was changed stays changed, the rest is not done."
            }
            (Language::Chinese, GoesOn::Elsewhere) => "无需处理。",
            (Language::Chinese, GoesOn::NextTime) => {
                "请立即处理：让 Ripcord 重新运行；在此之前，请留意这些守护的流量比例。"
            }
            (Language::Chinese, GoesOn::Never) => {
                "请立即查看这些守护的流量比例：已提交的改动不会撤回，其余的没有执行。"
            }
        };
        text.to_owned()
    });
    Notification { guards: unfinished.clone(), ..notice(Event::WatchdogStopping, severity, summary, advice, now) }
}

/// Who goes on with a rollback that a stop leaves undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoesOn {
    /// Another replica, in seconds.
    Elsewhere,
    /// This one, when it is started again.
    NextTime,
    /// Nobody: nothing is kept.
    Never,
}

/// The state could not be used.
pub fn set_aside(why: &Unreadable, place: &Sentence, aside: &Result<String, String>, now: Timestamp) -> Notification {
    let why = why.in_words();
    let summary = Sentence::of(|language| {
        let (why, place) = (why.in_language(language), place.in_language(language));
        match (language, aside) {
            (Language::English, Ok(to)) => {
                format!(
                    "Ripcord starts WITHOUT its memory: {place} cannot be used ({why}); what it held is kept in {to}"
                )
            }
            (Language::English, Err(error)) => format!(
                "Ripcord starts WITHOUT its memory: {place} cannot be used ({why}); what it held could not be kept: {error}"
            ),
            (Language::Chinese, Ok(to)) => {
                format!("Ripcord 丢失了之前的状态，从空白开始：无法使用{place}（{why}）；原内容已另存到 {to}")
            }
            (Language::Chinese, Err(error)) => {
                format!("Ripcord 丢失了之前的状态，从空白开始：无法使用{place}（{why}）；原内容未能另存：{error}")
            }
        }
    });
    let advice = Sentence::of(|language| {
        match language {
        Language::English => {
            "Check the share of every guard now. Latches, pauses and rollbacks under way are forgotten: a guard that was rolled back can roll \
             back again, and pages that waited are lost."
                .to_owned()
        }
        Language::Chinese => {
            "请马上检查各守护的流量比例。锁定、暂停和进行中的回滚都已丢失：回滚过的守护可能再次回滚；尚未送达的通知也已丢失。".to_owned()
        }
    }
    });
    notice(Event::WatchdogNotReady, Severity::Critical, summary, advice, now)
}
