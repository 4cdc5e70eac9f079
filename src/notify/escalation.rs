//! When the second one is told: a receiver with `escalate_after` gets what is critical only when nobody has acknowledged it in that time, and
//! it has not ended either. Pure: the time is an argument.
//!
//! What counts is the *alarm*, a critical page with a key of its own (`alert`): an acknowledgement settles those that are open, and a page
//! with another key after it opens one anew. From its first alarm on everything of a story waits for the second receiver, in order. It is
//! let out when the oldest open alarm is too old, and from then on the receiver gets whatever follows, good news too. Once no alarm of the
//! story is open, what waits is withdrawn.
//!
//! Stories are noted whoever is configured: one who was told the beginning as a first receiver gets the end, also when a reload made him a
//! second one meanwhile.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::{Event, Notification, Severity};

use super::alert::{self, Effect};

/// The most stories that are remembered once nobody waits for them: a night of a hundred guards, twice. The oldest are forgotten first.
const MAX_STORIES: usize = 256;

/// How long a story is remembered after its last alarm: good news and a re-arm come within it, or a person asks for them.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What was told lately.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stories(Vec<Story>);

/// One story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Story {
    /// The incident; where there is none the key of the alert.
    id: String,
    /// Whether it is an incident, which ends once and for all.
    #[serde(default)]
    incident: bool,
    /// Empty where it has not been critical. Always written: a version that noted critical stories only needs it.
    #[serde(default)]
    alarms: Vec<Alarm>,
    /// When it was last told that something is wrong; absent in what an older version wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
    /// The receivers that are told of it: first ones, and others because nobody had acknowledged it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    escalated: BTreeSet<String>,
}

/// One critical page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Alarm {
    key: String,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled: Option<Settled>,
}

/// Why nobody needs to be told any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Settled {
    Acknowledged,
    Ended,
}

/// What becomes of a notification for a second receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// It goes out.
    Now,
    /// It waits whether somebody acknowledges.
    Held,
    /// It is not for this receiver.
    Not,
}

/// The story that a notification belongs to.
pub(super) fn story(notification: &Notification) -> String {
    notification.incident.clone().unwrap_or_else(|| alert::key(notification))
}

impl Stories {
    /// Takes note of what everybody is told.
    pub(super) fn note(&mut self, notification: &Notification, now: Timestamp) {
        // A page that was lost has gone to nobody; who is left is told at once, whoever that is.
        if notification.event == Event::NotificationLost {
            return;
        }
        let (id, key) = (story(notification), alert::key(notification));
        match alert::effect(notification.event) {
            Effect::Trigger => {
                // What is wrong with Ripcord itself has the same story each time.
                let once = notification.incident.is_some() && notification.event != Event::WatchdogNotReady;
                let key = (notification.severity == Severity::Critical).then_some(key);
                self.tell(id, once, key, now);
            }
            Effect::Acknowledge => self.settle(&id, None, Settled::Acknowledged),
            Effect::Resolve if notification.event == Event::GuardRearmed => self.settle(&id, None, Settled::Ended),
            // That the steps work again does not say that it helps, and that it is calm again not that the rollback had.
            Effect::Resolve => {
                self.settle(&id, Some(&key), Settled::Ended);
                for end in alert::other_ends(notification) {
                    self.settle(&id, Some(&alert::key_ending(notification, &end)), Settled::Ended);
                }
            }
        }
    }

    /// Something is wrong; with a key, an alarm.
    fn tell(&mut self, id: String, incident: bool, key: Option<String>, now: Timestamp) {
        let begun = |key| Alarm { key, since: now, settled: None };
        let Some(story) = self.0.iter_mut().find(|story| story.id == id) else {
            self.0.retain(|story| story.is_open() || now.duration_since(story.last()) < REMEMBERED);
            if self.0.len() >= MAX_STORIES {
                // What was never critical first: who was called at night must hear how that ends.
                let oldest = self.0.iter().position(|story| story.alarms.is_empty());
                let oldest = oldest.or_else(|| self.0.iter().position(|story| !story.is_open()));
                oldest.map(|at| self.0.remove(at));
            }
            let alarms = key.map(begun).into_iter().collect();
            self.0.push(Story { id, incident, alarms, last: Some(now), escalated: BTreeSet::new() });
            return;
        };
        story.last = Some(now);
        let Some(key) = key else { return };
        if !story.incident && !story.is_open() {
            // Without an incident the next outage has the same key as the last one.
            story.escalated.clear();
        }
        match story.alarms.iter_mut().find(|alarm| alarm.key == key) {
            None => story.alarms.push(begun(key)),
            Some(alarm) if alarm.settled == Some(Settled::Ended) => *alarm = begun(key),
            Some(_) => {}
        }
    }

    /// Notes that a receiver is told of the story.
    pub(super) fn told(&mut self, notification: &Notification, receiver: &str) {
        let id = story(notification);
        if notification.event != Event::NotificationLost
            && let Some(story) = self.0.iter_mut().find(|story| story.id == id)
            && !story.escalated.contains(receiver)
        {
            story.escalated.insert(receiver.to_owned());
        }
    }

    fn settle(&mut self, id: &str, key: Option<&str>, how: Settled) {
        let alarms = self.0.iter_mut().filter(|story| story.id == id).flat_map(|story| &mut story.alarms);
        for alarm in alarms.filter(|alarm| key.is_none_or(|key| alarm.key == key)) {
            // What has ended can begin again, however it was settled before.
            if alarm.settled.is_none() || how == Settled::Ended {
                alarm.settled = Some(how);
            }
        }
    }

    /// What becomes of a notification for this second receiver, once it was noted.
    pub(super) fn route(&self, notification: &Notification, receiver: &str) -> Route {
        if notification.event == Event::NotificationLost {
            return if notification.severity == Severity::Critical { Route::Now } else { Route::Not };
        }
        match self.find(&story(notification)) {
            Some(story) if story.escalated.contains(receiver) => Route::Now,
            Some(story) if story.is_open() => Route::Held,
            _ => Route::Not,
        }
    }

    /// Marks the stories that this receiver is to be told now, and names them.
    pub(super) fn escalate(&mut self, receiver: &str, after: SignedDuration, now: Timestamp) -> Vec<String> {
        let due = |story: &&mut Story| story.due(receiver, after).is_some_and(|due| due <= now);
        let mut told = Vec::new();
        for story in self.0.iter_mut().filter(due) {
            story.escalated.insert(receiver.to_owned());
            told.push(story.id.clone());
        }
        told
    }

    /// The stories that this receiver is told of.
    pub(super) fn escalated_to(&self, receiver: &str) -> BTreeSet<String> {
        self.0.iter().filter(|story| story.escalated.contains(receiver)).map(|story| story.id.clone()).collect()
    }

    /// When the next story is due for this receiver.
    pub(super) fn next_due(&self, receiver: &str, after: SignedDuration) -> Option<Timestamp> {
        self.0.iter().filter_map(|story| story.due(receiver, after)).min()
    }

    /// Whether somebody still has to acknowledge the story.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.find(id).is_some_and(Story::is_open)
    }

    /// Whether the story is remembered.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Whether it has been critical, as far as that is remembered. A story that comes again and again is so only while it is.
    pub(super) fn was_critical(&self, id: &str) -> bool {
        self.find(id).is_some_and(|story| if story.incident { !story.alarms.is_empty() } else { story.is_open() })
    }

    /// Takes over the stories of another. What is known in both is known by both: of each alarm what came last.
    pub fn take_over(&mut self, other: Self) {
        for theirs in other.0 {
            match self.0.iter_mut().find(|story| story.id == theirs.id) {
                None => self.0.push(theirs),
                Some(ours) => ours.merge(theirs),
            }
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With all times changed by this.
    pub(super) fn at(mut self, time: impl Fn(Timestamp) -> Timestamp) -> Self {
        for story in &mut self.0 {
            story.last = story.last.map(&time);
            story.alarms.iter_mut().for_each(|alarm| alarm.since = time(alarm.since));
        }
        self
    }

    fn find(&self, id: &str) -> Option<&Story> {
        self.0.iter().find(|story| story.id == id)
    }
}

impl Story {
    fn merge(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.escalated.extend(other.escalated);
        for theirs in other.alarms {
            match self.alarms.iter_mut().find(|alarm| alarm.key == theirs.key) {
                None => self.alarms.push(theirs),
                Some(ours) if ours.since < theirs.since => *ours = theirs,
                Some(_) => {}
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter().filter(|alarm| alarm.settled.is_none())
    }

    fn is_open(&self) -> bool {
        self.open().next().is_some()
    }

    fn last(&self) -> Timestamp {
        self.alarms.iter().map(|alarm| alarm.since).chain(self.last).max().unwrap_or(Timestamp::MIN)
    }

    /// When the receiver is to be told; nothing when it was, or need not be.
    fn due(&self, receiver: &str, after: SignedDuration) -> Option<Timestamp> {
        if self.escalated.contains(receiver) {
            return None;
        }
        let oldest = self.open().map(|alarm| alarm.since).min()?;
        Some(oldest.checked_add(after).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::{Route, Stories};
    use crate::engine::{Alert, Event, Notification, Severity};
    use crate::notify::testing::notification;

    const AFTER: SignedDuration = SignedDuration::from_mins(15);

    fn at(minutes: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(60 * minutes)
    }

    fn of(event: Event, severity: Severity) -> Notification {
        let mut n = notification("n1");
        (n.event, n.severity) = (event, severity);
        n
    }

    /// What happens at which minute, and what becomes of it for the second receiver. `!` before it: the receiver is told just before.
    fn check(name: &str, incident: bool, night: &[(u64, Event, Route)], told_at: &[u64]) {
        let mut stories = Stories::default();
        let mut told = Vec::new();
        let mut night_now = night.iter().peekable();
        for minute in 0..200 {
            if !stories.escalate("second", AFTER, at(minute)).is_empty() {
                told.push(minute);
            }
            while let Some((_, event, route)) = night_now.next_if(|(m, _, _)| *m == minute) {
                let severity = match event {
                    Event::GuardAcknowledged | Event::GuardRearmed | Event::GuardPaused => Severity::Info,
                    Event::PageFiring => Severity::Warning,
                    _ => Severity::Critical,
                };
                let mut n = of(*event, severity);
                if !incident {
                    n.incident = None;
                }
                stories.note(&n, at(minute));
                assert_eq!(stories.route(&n, "second"), *route, "{name}: {event:?} at {minute}");
                // It outlives a restart.
                let text = serde_json::to_string(&stories).unwrap();
                assert_eq!(serde_json::from_str::<Stories>(&text).unwrap(), stories);
            }
        }
        assert_eq!(told, told_at, "{name}");
    }

    #[test]
    fn the_second_is_told_when_nobody_answers() {
        use Event::*;
        use Route::*;
        check(
            "nobody answers",
            true,
            &[
                (0, RollbackStarted, Held),
                (1, RollbackSucceeded, Held),
                (30, RollbackVerified, Now),
                (40, GuardRearmed, Now),
            ],
            &[15],
        );
        check(
            "acknowledged in time",
            true,
            &[(0, RollbackStarted, Held), (14, GuardAcknowledged, Not), (20, RollbackVerified, Not)],
            &[],
        );
        check(
            "over in time",
            true,
            &[(0, RollbackStarted, Held), (10, RollbackVerified, Not), (11, GuardRearmed, Not)],
            &[],
        );
        check("rearmed in time", true, &[(0, RollbackStarted, Held), (10, GuardRearmed, Not)], &[]);
        check(
            "acknowledged too late",
            true,
            &[(0, RollbackStarted, Held), (20, GuardAcknowledged, Now), (30, RollbackVerified, Now)],
            &[15],
        );
        check(
            "what is not critical opens nothing",
            true,
            &[(0, PageFiring, Not), (5, GuardPaused, Not), (9, PageResolved, Not)],
            &[],
        );
    }

    #[test]
    fn an_acknowledgement_does_not_hide_the_next_page() {
        use Event::*;
        use Route::*;
        let night = [
            (0, RollbackStarted, Held),
            (5, GuardAcknowledged, Not),
            (10, RollbackFailed, Held),
            (12, RollbackFailed, Held),
        ];
        check("another key", true, &night, &[25]);
        let night = [(0, RollbackStarted, Held), (5, GuardAcknowledged, Not), (10, RollbackStarted, Not)];
        check("the same key", true, &night, &[]);
        let night = [(0, RollbackStarted, Held), (2, RollbackFailed, Held), (5, RollbackSucceeded, Held)];
        check("the first one is still open", true, &night, &[15]);
        let night = [
            (0, RollbackStarted, Held),
            (2, GuardAcknowledged, Not),
            (3, RollbackFailed, Held),
            (5, RollbackSucceeded, Not),
        ];
        check("it works again", true, &night, &[]);
        let night = [(0, RollbackStarted, Held), (5, RollbackVerified, Not), (9, RollbackReverted, Held)];
        check("undone after it was over", true, &night, &[24]);
    }

    #[test]
    fn good_news_of_one_page_does_not_hide_another() {
        let mut stories = Stories::default();
        let tell = |stories: &mut Stories, event, settles: &[Alert]| {
            let n = Notification { settles: settles.to_vec(), ..of(event, Severity::Critical) };
            stories.note(&n, at(0));
            stories.is_open("terminal-20260102T030405Z")
        };
        tell(&mut stories, Event::RollbackStarted, &[]);
        tell(&mut stories, Event::RollbackReverted, &[]);
        assert!(tell(&mut stories, Event::PageResolved, &[]), "it is calm, and undone all the same");
        assert!(tell(&mut stories, Event::RollbackVerified, &[]));
        assert!(!tell(&mut stories, Event::PageResolved, &[Alert::Reverted]), "the story is over");
        assert!(tell(&mut stories, Event::RollbackFailed, &[]));
        assert!(!tell(&mut stories, Event::GuardRearmed, &[]), "a re-arm ends it all");
    }

    #[test]
    fn what_has_no_incident_is_a_story_too() {
        use Event::*;
        use Route::*;
        check(
            "blind",
            false,
            &[(0, WatchdogBlind, Held), (10, WatchdogSees, Not), (20, WatchdogBlind, Held), (40, WatchdogSees, Now)],
            &[35],
        );
        let twice = [
            (0, WatchdogNotReady, Held),
            (20, WatchdogReady, Now),
            (30, WatchdogNotReady, Held),
            (31, WatchdogReady, Not),
        ];
        check("the next one waits again", false, &twice, &[15]);
    }

    #[test]
    fn what_both_know_of_a_story_is_kept_of_both() {
        let told = |minute, receiver: &str| {
            let (mut stories, mut n) = (Stories::default(), of(Event::WatchdogNotReady, Severity::Critical));
            n.incident = Some("watchdog-cut-off".to_owned());
            stories.note(&n, at(minute));
            stories.told(&n, receiver);
            (stories, n)
        };
        // The document has an old one, which is over; this process has told the second receiver of one that goes on.
        let (mut kept, mut over) = told(0, "first");
        over.event = Event::WatchdogReady;
        kept.note(&over, at(1));
        let (own, _) = told(60, "second");
        kept.take_over(own);
        assert!(kept.is_open("watchdog-cut-off"));
        for receiver in ["first", "second"] {
            assert_eq!(kept.route(&over, receiver), Route::Now, "{receiver} hears of the end");
        }
        assert_eq!(kept.next_due("third", AFTER), Some(at(75)));
    }

    #[test]
    fn noise_does_not_push_out_what_somebody_was_called_for() {
        let mut stories = Stories::default();
        stories.note(&of(Event::RollbackStarted, Severity::Critical), at(0));
        stories.note(&of(Event::GuardAcknowledged, Severity::Info), at(1));
        for number in 0..2 * super::MAX_STORIES {
            let mut n = of(Event::PageFiring, Severity::Warning);
            n.incident = Some(format!("other-{number}"));
            stories.note(&n, at(2));
        }
        assert!(stories.knows("terminal-20260102T030405Z") && stories.0.len() <= super::MAX_STORIES);
    }

    #[test]
    fn a_lost_page_goes_to_whoever_is_left() {
        let stories = Stories::default();
        assert_eq!(stories.route(&of(Event::NotificationLost, Severity::Critical), "second"), Route::Now);
        assert_eq!(stories.route(&of(Event::NotificationLost, Severity::Warning), "second"), Route::Not);
    }

    #[test]
    fn each_second_receiver_has_its_own_time() {
        let mut stories = Stories::default();
        stories.note(&notification("n1"), at(0));
        assert_eq!(stories.next_due("third", 2 * AFTER), Some(at(30)));
        assert_eq!(stories.escalate("second", AFTER, at(15)), ["terminal-20260102T030405Z"]);
        assert!(stories.escalate("third", 2 * AFTER, at(15)).is_empty());
        assert_eq!((stories.next_due("second", AFTER), stories.next_due("third", 2 * AFTER)), (None, Some(at(30))));
    }

    #[test]
    fn not_everything_is_remembered_for_ever() {
        let mut stories = Stories::default();
        for i in 0..1000 {
            let mut n = notification("n");
            n.incident = Some(format!("shop-{i}"));
            stories.note(&n, at(i));
            // The first is the only one that nobody answers.
            n.event = Event::RollbackVerified;
            if i > 0 {
                stories.note(&n, at(i));
            }
        }
        assert_eq!(stories.0.len(), 256);
        assert!(stories.knows("shop-999") && !stories.knows("shop-700"));
        assert!(stories.is_open("shop-0"), "somebody waits for it");
        stories.note(&notification("n"), at(60 * 24 * 30));
        assert_eq!(stories.0.len(), 2);
    }
}
