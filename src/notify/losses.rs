//! Tells the other receivers that one did not get something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::{Event, Language, Notification, Sentence, Severity};

use super::alert;
use super::event::DeliveryEvent;
use super::text::{clip, single_line};

/// How often the others are told about one receiver, at most: a receiver whose token has expired refuses everything of a bad night.
const INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// How much of a reason is said, in characters: what a server answers can be a whole page.
const MAX_REASON: usize = 500;

/// Gathers what was lost, and says when the others are to be told. It has no clock: the time is an argument.
#[derive(Debug, Default)]
pub struct Losses {
    receivers: BTreeMap<String, Lately>,
}

/// A notification about what a receiver did not get: for all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// The receiver that did not get it.
    pub receiver: String,
    /// What to tell the others.
    pub notification: Notification,
}

/// What a receiver lost lately.
#[derive(Debug, Default)]
struct Lately {
    told_at: Option<Timestamp>,
    untold: Option<Untold>,
}

/// What was lost and the others do not know.
#[derive(Debug)]
struct Untold {
    worst: Worst,
    others: u64,
    guards: BTreeSet<String>,
    dry_run: bool,
}

/// The most severe loss, and the first of those: it is the one that is named.
#[derive(Debug)]
struct Worst {
    id: String,
    notification: Arc<Notification>,
    reason: String,
}

impl Losses {
    /// Takes note of a loss; of other events nothing. Nobody is told of a lost info. Nor of a lost `notification.lost`: two receivers that
    /// fail would report each other for ever.
    pub fn note(&mut self, event: &DeliveryEvent) {
        let (DeliveryEvent::Dead { receiver, id, notification, reason }
        | DeliveryEvent::Dropped { receiver, id, notification, reason }) = event
        else {
            return;
        };
        if notification.event == Event::NotificationLost || notification.severity == Severity::Info {
            return;
        }
        let lately = self.receivers.entry(receiver.clone()).or_default();
        let loss = Worst { id: id.clone(), notification: Arc::clone(notification), reason: reason.clone() };
        let concerned = notification.guard.iter().chain(&notification.guards).cloned();
        match &mut lately.untold {
            None => {
                let (guards, dry_run) = (concerned.collect(), notification.dry_run);
                lately.untold = Some(Untold { worst: loss, others: 0, guards, dry_run });
            }
            Some(untold) => {
                untold.others += 1;
                untold.guards.extend(concerned);
                untold.dry_run &= notification.dry_run;
                if weight(&loss.notification) > weight(&untold.worst.notification) {
                    untold.worst = loss;
                }
            }
        }
    }

    /// Everything that the others were not told yet, however recently they were told of something: the last chance before the end.
    pub fn all(&mut self, now: Timestamp) -> Vec<Lost> {
        self.receivers.values_mut().for_each(|lately| lately.told_at = None);
        self.due(now)
    }

    /// What the others are to be told now: at most one notification for each receiver and minute, which names the worst loss and counts the
    /// rest.
    pub fn due(&mut self, now: Timestamp) -> Vec<Lost> {
        let mut due = Vec::new();
        self.receivers.retain(|receiver, lately| {
            // A clock that was set back does not silence it.
            let recently = lately.told_at.is_some_and(|at| at <= now && now.duration_since(at) < INTERVAL);
            if recently {
                return true;
            }
            let Some(untold) = lately.untold.take() else { return false };
            due.push(Lost { receiver: receiver.clone(), notification: untold.told(receiver, now) });
            lately.told_at = Some(now);
            true
        });
        due
    }
}

/// How urgent it is that somebody did not get it. Whoever misses good news waits for it in vain, but nothing is wrong that he does not
/// know: no reason to wake the others.
fn weight(lost: &Notification) -> Severity {
    if alert::quiets(lost.event) { lost.severity.min(Severity::Warning) } else { lost.severity }
}

impl Untold {
    fn told(self, receiver: &str, now: Timestamp) -> Notification {
        let Self { worst: Worst { id, notification: lost, reason }, others, guards, dry_run } = self;
        let reason = clip(&single_line(&reason), MAX_REASON);
        let mut guards: Vec<String> = guards.into_iter().collect();
        let one_guard = guards.len() <= 1;
        let guard = if guards.len() == 1 { guards.pop() } else { None };
        let summary = Sentence::of(|language| {
            let told = single_line(lost.summary_in(language));
            match language {
                Language::English => {
                    let more = if others > 0 { format!(" (and {others} more)") } else { String::new() };
                    format!("{receiver} did not get \"{told}\"{more}: {reason}")
                }
                Language::Chinese => {
                    let more = if others > 0 { format!("（另有 {others} 条）") } else { String::new() };
                    format!("{receiver} 没有收到“{told}”{more}：{reason}")
                }
            }
        });
        let advice = Sentence::of(|language| match language {
            Language::English => format!(
                "Pass it on to whoever {receiver} would have told: it is not sent there again. Then fix the receiver {receiver}."
            ),
            Language::Chinese => {
                format!("请转告 {receiver} 本该通知到的人：这条通知不会再发。然后修好接收方 {receiver}。")
            }
        });
        let mut told = Notification {
            // The same after a restart that makes it again, so that the repeat is recognisable.
            id: format!("{}/{id}", Event::NotificationLost.as_str()),
            event: Event::NotificationLost,
            severity: weight(&lost),
            time: now,
            guard,
            guards,
            incident: lost.incident.clone().filter(|_| one_guard),
            summary: String::new(),
            advice: String::new(),
            trigger: None,
            rollback: None,
            next: None,
            opening: None,
            settles: Vec::new(),
            dry_run,
            chinese: None,
        };
        told.say(summary, advice);
        told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{Losses, Lost};
    use crate::engine::{Event, Notification, Severity};
    use crate::notify::DeliveryEvent;
    use crate::notify::testing::notification;

    const REASON: &str = "POST to host answered 401; check the receiver's secret or token";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(1000 + seconds)
    }

    fn dead(receiver: &str, notification: Notification) -> DeliveryEvent {
        DeliveryEvent::Dead {
            receiver: receiver.to_owned(),
            id: format!("{}/{receiver}", notification.id),
            notification: Arc::new(notification),
            reason: REASON.to_owned(),
        }
    }

    fn of(id: &str, guard: &str, severity: Severity) -> Notification {
        let mut n = notification(id);
        (n.guard, n.incident) = (Some(guard.to_owned()), Some(format!("{guard}-1")));
        (n.severity, n.summary) = (severity, format!("{guard}: {id}"));
        n
    }

    fn summaries(lost: &[Lost]) -> Vec<&str> {
        lost.iter().map(|l| l.notification.summary.as_str()).collect()
    }

    #[test]
    fn a_loss_is_told_with_everything_that_the_reader_needs() {
        let mut losses = Losses::default();
        losses.note(&dead("oncall", notification("n1")));
        let told = losses.due(at(0));
        let [Lost { receiver, notification: n }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(receiver, "oncall");
        assert_eq!(
            (n.id.as_str(), n.event, n.severity),
            ("notification.lost/n1/oncall", Event::NotificationLost, Severity::Critical)
        );
        assert_eq!(
            (n.time, n.guard.as_deref(), n.incident.as_deref()),
            (at(0), Some("terminal"), Some("terminal-20260102T030405Z"))
        );
        assert_eq!(
            n.summary,
            "oncall did not get \"terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %\": POST to host \
             answered 401; check the receiver's secret or token"
        );
        assert!(n.guards.is_empty() && n.trigger.is_none() && n.rollback.is_none() && !n.dry_run);

        let mut again = Losses::default();
        again.note(&dead("oncall", notification("n1")));
        assert_eq!(again.due(at(99))[0].notification.id, n.id, "a restart makes the same one");
        assert_eq!(losses.due(at(3600)), [], "and nothing twice");
    }

    #[test]
    fn what_is_dropped_is_lost_too_and_what_is_delivered_is_not() {
        let mut losses = Losses::default();
        let DeliveryEvent::Dead { receiver, id, notification, reason } = dead("sre", notification("n1")) else {
            panic!()
        };
        losses.note(&DeliveryEvent::Accepted {
            receiver: receiver.clone(),
            id: id.clone(),
            event: notification.event,
            took: Duration::ZERO,
            attempts: 1,
        });
        assert_eq!(losses.due(at(0)), []);
        losses.note(&DeliveryEvent::Dropped { receiver, id, notification, reason });
        assert_eq!(losses.due(at(0)).len(), 1);
    }

    #[test]
    fn a_lost_notice_of_a_loss_is_not_told_and_an_info_is_not() {
        let mut losses = Losses::default();
        losses.note(&dead("a", of("n1", "shop", Severity::Info)));
        assert_eq!(losses.due(at(0)), []);
        losses.note(&dead("a", of("n2", "shop", Severity::Warning)));
        let told = losses.due(at(0)).remove(0).notification;
        assert_eq!(told.severity, Severity::Warning);
        losses.note(&dead("b", told));
        assert_eq!(losses.due(at(3600)), [], "two receivers that fail do not report each other for ever");
    }

    #[test]
    fn lost_good_news_wakes_nobody() {
        for (event, severity) in [
            (Event::RollbackVerified, Severity::Warning),
            (Event::RollbackSucceeded, Severity::Warning),
            (Event::WatchdogSees, Severity::Warning),
            (Event::RollbackNotRecovered, Severity::Critical),
            (Event::WatchdogBlind, Severity::Critical),
        ] {
            let mut losses = Losses::default();
            let mut n = of("n1", "shop", Severity::Critical);
            n.event = event;
            losses.note(&dead("a", n));
            assert_eq!(losses.due(at(0))[0].notification.severity, severity, "{event:?}");
        }
        // What is bad is the one that is named, however urgent the good one was.
        let mut losses = Losses::default();
        let mut good = of("n1", "shop", Severity::Critical);
        good.event = Event::RollbackVerified;
        losses.note(&dead("a", good));
        losses.note(&dead("a", of("n2", "shop", Severity::Critical)));
        assert_eq!(summaries(&losses.due(at(0))), [format!("a did not get \"shop: n2\" (and 1 more): {REASON}")]);
    }

    #[test]
    fn once_a_minute_for_each_receiver_with_the_worst_named_and_the_rest_counted() {
        let mut losses = Losses::default();
        losses.note(&dead("a", of("n1", "shop", Severity::Critical)));
        assert_eq!(losses.due(at(0)).len(), 1, "the first is told at once");
        for (id, guard, severity) in [
            ("n2", "shop", Severity::Warning),
            ("n3", "cart", Severity::Critical),
            ("n4", "shop", Severity::Critical),
            ("n5", "shop", Severity::Info),
        ] {
            losses.note(&dead("a", of(id, guard, severity)));
        }
        losses.note(&dead("b", of("n1", "shop", Severity::Warning)));
        assert_eq!(summaries(&losses.due(at(1))), [format!("b did not get \"shop: n1\": {REASON}")]);
        assert_eq!(losses.due(at(59)), []);
        let told = losses.due(at(60));
        assert_eq!(summaries(&told), [format!("a did not get \"cart: n3\" (and 2 more): {REASON}")]);
        let n = &told[0].notification;
        assert_eq!((n.id.as_str(), n.severity), ("notification.lost/n3/a", Severity::Critical));
        assert_eq!(
            (&n.guard, &n.incident, n.guards.join(" ")),
            (&None, &None, "cart shop".to_owned()),
            "several guards"
        );

        losses.note(&dead("a", of("n6", "shop", Severity::Critical)));
        losses.note(&dead("a", of("n7", "shop", Severity::Critical)));
        assert_eq!(losses.due(at(119)), []);
        let n = losses.due(at(120)).remove(0).notification;
        assert_eq!((n.guard.as_deref(), n.incident.as_deref(), n.guards.len()), (Some("shop"), Some("shop-1"), 0));
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody() {
        let mut losses = Losses::default();
        losses.note(&dead("a", of("n1", "shop", Severity::Critical)));
        assert_eq!(losses.due(at(600)).len(), 1);
        losses.note(&dead("a", of("n2", "shop", Severity::Critical)));
        assert_eq!(losses.due(at(0)).len(), 1);
    }

    #[test]
    fn a_dry_run_says_so_as_long_as_nothing_else_was_lost() {
        let mut losses = Losses::default();
        let mut rehearsed = of("n1", "shop", Severity::Warning);
        rehearsed.dry_run = true;
        losses.note(&dead("a", rehearsed.clone()));
        losses.note(&dead("b", rehearsed));
        losses.note(&dead("b", of("n2", "shop", Severity::Warning)));
        let dry: Vec<bool> = losses.due(at(0)).iter().map(|l| l.notification.dry_run).collect();
        assert_eq!(dry, [true, false]);
    }
}
