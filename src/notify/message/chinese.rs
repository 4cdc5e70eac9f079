//! The words of a message in Chinese.

use crate::engine::{Next, RollbackFacts, StepResult, TriggerWords, duration_in_chinese};

use super::content::Tone;
use super::words::{Did, Heading, Held, Helped, Label, Words};
use super::{seconds, utc};

pub(super) struct Chinese;

impl Words for Chinese {
    fn severity(&self, tone: Tone) -> &'static str {
        match tone {
            Tone::Critical => "严重",
            Tone::Warning => "警告",
            Tone::Info => "通知",
            Tone::Good => "恢复",
        }
    }

    fn heading(&self, heading: Heading) -> &'static str {
        match heading {
            Heading::ToDo => "现在要做什么",
            Heading::Wrong => "异常情况",
            Heading::AtTheTrip => "触发时的情况",
            Heading::Now => "当前数值",
            Heading::Did => "Ripcord 做了什么",
            Heading::Helped => "是否见效",
            Heading::Next => "Ripcord 接下来",
            Heading::Error => "报错",
            Heading::Steps => "步骤",
            Heading::Guards => "守护",
        }
    }

    fn label(&self, label: Label) -> &'static str {
        match label {
            Label::Runbook => "处理手册",
            Label::Status => "状态页",
            Label::Dashboard => "监控面板",
            Label::Event => "类型",
            Label::Time => "时间",
            Label::Guard => "守护",
            Label::Incident => "事件",
            Label::Notification => "通知",
        }
    }

    fn colon(&self) -> &'static str {
        "："
    }

    fn measured(&self, trigger: &TriggerWords, held: Option<&Held>) -> Vec<String> {
        let mut lines = vec![number(trigger)];
        lines.extend(held.map(|held| {
            let time = duration_in_chinese(held.time);
            match held.since {
                Some(since) => format!("已持续 {time}，始于 {} 或更早", since.strftime("%H:%M:%S UTC")),
                None => format!("已持续 {time}"),
            }
        }));
        lines.extend(trigger.baseline_source.iter().map(|source| format!("基线：{source}")));
        lines
    }

    fn did(&self, did: Did, rollback: Option<&RollbackFacts>) -> String {
        let way = rollback.map(way).unwrap_or_default();
        match did {
            Did::WouldHaveMoved => format!("未做任何改动：这是 dry run。否则会把流量{way}。"),
            Did::Moves => format!("正在把流量{way}。"),
            Did::MovesAndFails => format!("正在尝试把流量{way}，有一步失败。"),
            Did::RolloutFails => format!("把流量{way} 的改动已全部提交；Pod 就绪后流量才会切走，但 Pod 没有就绪。"),
            Did::Abandoned => format!("把流量{way} 的操作中途停止，没有完成。"),
            Did::Moved => format!("已把流量{way}，各步骤均已完成。"),
            Did::FoundDone => format!("要把流量{way} 时，发现各步骤均已完成。"),
            Did::Undone => format!("已把流量{way}，之后被撤销；Ripcord 不会重复执行。"),
            Did::OnlyTells => "未做任何改动：这个触发器只负责通知。".to_owned(),
            Did::AtTarget => "未做任何改动：流量已经在目标比例。".to_owned(),
            Did::Latched => "未做任何改动：该守护自上次回滚后一直处于锁定状态。".to_owned(),
        }
    }

    fn helped(&self, helped: &Helped) -> String {
        match helped {
            Helped::NotKnownYet => "还不知道。".to_owned(),
            Helped::NotMoved => "还没有：Pod 就绪后流量才会切走。".to_owned(),
            Helped::NotDone => "没有。流量可能没有切回，或只切回一部分。".to_owned(),
            Helped::Yes(Some(now)) => format!("是。变更之后：{}", number(now)),
            Helped::Yes(None) => "是。变更之后各触发器均已恢复正常。".to_owned(),
            Helped::No(Some(now)) => format!("没有。变更之后：{}", number(now)),
            Helped::No(None) => "没有。各触发器没有按时恢复正常。".to_owned(),
            Helped::NotSeen(Some(now)) => format!("无法确认。{}：{}", now.label, now.text),
            Helped::NotSeen(None) => "无法确认。".to_owned(),
            Helped::NoLonger => "被撤销的部分已不再有效。".to_owned(),
        }
    }

    fn next(&self, next: Next, moving: bool) -> String {
        match next {
            Next::Verify { within_seconds } => {
                let when = if moving { "等 Pod 全部重启之后，" } else { "" };
                let within = duration_in_chinese(seconds(within_seconds));
                format!("{when}验证服务是否恢复，最多用 {within}，有结果会通知。")
            }
            Next::Retry { in_seconds } => {
                format!("约 {in_seconds:.0} 秒后重试，直到成功。成功时会通知，中间的失败不再通知。")
            }
            Next::Rung { percentage } => format!("继续把流量切到 {percentage} %，再验证一次。"),
            Next::Rearm => "不再动作：在有人重新启用之前，不会自动回滚该守护。".to_owned(),
            Next::Resume { until } => format!("在 {} 之前不会动作，除非有人提前恢复。", utc(until)),
            Next::Tell => "恢复时会通知。".to_owned(),
        }
    }

    fn step(&self, result: StepResult) -> &'static str {
        match result {
            StepResult::Planned => "待执行",
            StepResult::Changed => "已改动",
            StepResult::AlreadyThere => "无需改动",
            StepResult::Absent => "不存在",
            StepResult::WouldChange => "本会改动",
            StepResult::Failed => "失败",
        }
    }

    fn detail(&self, result: &str, detail: &str) -> String {
        format!("{result}（{detail}）")
    }
}

/// `错误率：3.1 %（31/1000 个请求失败），阈值 1 %`.
fn number(trigger: &TriggerWords) -> String {
    format!("{}：{}，阈值 {}", trigger.label, trigger.text, trigger.threshold_text)
}

/// The way of the traffic, to stand after 流量: `从 25 % 切到 0 %`.
fn way(rollback: &RollbackFacts) -> String {
    match rollback.from_percentage {
        Some(from) => format!("从 {from} % 切到 {} %", rollback.to_percentage),
        None => format!("切到 {} %", rollback.to_percentage),
    }
}
