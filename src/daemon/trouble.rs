//! What is wrong with Ripcord itself: told once when it lasts, and once when it is over.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Beginning, Event, Language, Next, Notification, Sentence, Severity};

/// How long the state may be neither written nor read before people are told. An API server that is upgraded is away for less.
const STATE_PATIENCE: Duration = Duration::from_secs(60);

/// Something that keeps Ripcord from being relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The state cannot be written: a restart now would forget what is not.
    NotSaved,
    /// The state cannot be read, so that nothing is acted on.
    NotRead,
    /// This replica cannot lead, or cannot any more, and as far as it sees nobody does.
    CutOff,
    /// This replica stands by and cannot see whether the leader still does lead.
    OutOfSight,
    /// A receiver cannot be reached: pages for it would wait.
    NotReached,
}

/// What is wrong now.
///
/// None of it is kept over a restart: most of it is what keeps the state from being written. Each kind is one alert for good instead, so that
/// a process that knows nothing of its beginning ends it at the first look at which all is well.
#[derive(Debug, Default)]
pub struct Troubles {
    present: BTreeMap<Kind, Trouble>,
    /// What was well at one look of this process at least, or is told to be over.
    well: BTreeSet<Kind>,
}

/// It is over.
#[derive(Debug, PartialEq)]
pub enum Over {
    /// For whom it was told.
    Told(Notification),
    /// A process before this one may have told it: for whoever keeps alerts open, and nobody else.
    Perhaps(Notification),
}

#[derive(Debug)]
struct Trouble {
    since: Timestamp,
    error: Sentence,
    told: bool,
    beginning: Beginning,
}

impl Trouble {
    fn begin(error: Sentence, since: Timestamp) -> Self {
        Self { since, error, told: false, beginning: Beginning::default() }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::NotSaved => "state-not-saved",
            Self::NotRead => "state-not-read",
            Self::CutOff => "cut-off",
            Self::OutOfSight => "out-of-sight",
            Self::NotReached => "receivers-not-reached",
        }
    }

    fn severity(self) -> Severity {
        match self {
            // It decides and acts all the same.
            Self::NotSaved => Severity::Warning,
            // The other one may do well.
            Self::OutOfSight => Severity::Warning,
            // Pages for it are kept, and the other receivers get theirs.
            Self::NotReached => Severity::Warning,
            Self::NotRead | Self::CutOff => Severity::Critical,
        }
    }

    fn patience(self, blind_after: Duration) -> Duration {
        match self {
            Self::NotSaved | Self::NotRead => STATE_PATIENCE,
            // It was met twice.
            Self::NotReached => Duration::ZERO,
            // As for a Prometheus that does not answer: nothing is decided in this time.
            Self::CutOff | Self::OutOfSight => blind_after,
        }
    }

    fn summary(self, error: &Sentence) -> Sentence {
        Sentence::of(|language| match (language, error.in_language(language)) {
            (Language::English, error) => match self {
                Self::NotSaved => format!("Ripcord cannot save its state: {error}"),
                Self::NotRead => {
                    format!("Ripcord cannot read its state, and rolls nothing back until it can: {error}")
                }
                Self::CutOff => format!("Ripcord cannot lead, and rolls nothing back until a replica does: {error}"),
                Self::NotReached => format!("Ripcord cannot reach a receiver, so its pages would wait: {error}"),
                Self::OutOfSight => {
                    format!("a replica of Ripcord cannot see whether the leader still leads: {error}")
                }
            },
            (Language::Chinese, error) => match self {
                Self::NotSaved => format!("Ripcord 无法保存状态：{error}"),
                Self::NotRead => format!("Ripcord 无法读取状态，读到之前不会回滚：{error}"),
                Self::CutOff => format!("Ripcord 无法成为 leader，有副本成为 leader 之前不会回滚：{error}"),
                Self::NotReached => format!("Ripcord 连不上接收方，发给它的通知会积压：{error}"),
                Self::OutOfSight => format!("Ripcord 的一个副本看不到 leader 是否还在工作：{error}"),
            },
        })
    }

    fn advice(self) -> Sentence {
        let text = |language| match language {
            Language::English => match self {
                Self::NotSaved => {
                    "Fix what the error says. Until then Ripcord goes on, but a restart forgets incidents, latches and pages."
                }
                Self::NotRead => "Act now: fix what the error says. Until then the guards are not protected.",
                Self::CutOff => {
                    "Act now: check the API server, the network to it and Ripcord's permissions. Until then the guards are not protected."
                }
                Self::NotReached => {
                    "Fix what the error says before the next page has to get through; what waits is sent then. ripcord preflight tries it at once."
                }
                Self::OutOfSight => {
                    "Check the API server and the network to it. If no replica leads (ripcord status), the guards are not protected."
                }
            },
            Language::Chinese => match self {
                Self::NotSaved => {
                    "请按报错修好。在此之前 Ripcord 照常工作，但一旦重启就会丢失事件、锁定和未送达的通知。"
                }
                Self::NotRead => "请立即按报错修好：在此之前，各守护都起不到保护作用。",
                Self::CutOff => {
                    "请立即检查 API server、到它的网络和 Ripcord 的权限：在此之前，各守护都起不到保护作用。"
                }
                Self::NotReached => {
                    "请赶在下一次需要通知之前按报错修好；积压的通知届时会发出。修好后执行 ripcord preflight 可立即重试。"
                }
                Self::OutOfSight => {
                    "请检查 API server 和到它的网络。如果没有副本是 leader（ripcord status），各守护就起不到保护作用。"
                }
            },
        };
        Sentence::of(|language| text(language).to_owned())
    }

    /// It is over.
    fn over(self) -> Sentence {
        let text = |language| match language {
            Language::English => match self {
                Self::NotSaved => "Ripcord saves its state again",
                Self::NotRead => "Ripcord has read its state and watches again",
                Self::CutOff => "a replica of Ripcord leads again",
                Self::NotReached => "Ripcord reaches every receiver again",
                Self::OutOfSight => "the replica of Ripcord sees the leader again",
            },
            Language::Chinese => match self {
                Self::NotSaved => "Ripcord 已能重新保存状态",
                Self::NotRead => "Ripcord 已读到状态，恢复守护",
                Self::CutOff => "Ripcord 已重新选出 leader",
                Self::NotReached => "Ripcord 已能重新连上所有接收方",
                Self::OutOfSight => "Ripcord 的副本已能重新看到 leader",
            },
        };
        Sentence::of(|language| text(language).to_owned())
    }
}

impl Troubles {
    /// Something is wrong, now and maybe for long.
    pub fn note(&mut self, kind: Kind, error: impl Into<Sentence>, now: Timestamp) {
        let error = error.into();
        match self.present.entry(kind) {
            Entry::Occupied(mut trouble) => trouble.get_mut().error = error,
            Entry::Vacant(none) => {
                none.insert(Trouble::begin(error, now));
            }
        }
    }

    /// It is over. The notification is for whom it was told.
    pub fn over(&mut self, kind: Kind, now: Timestamp) -> Option<Notification> {
        let mut trouble = self.present.remove(&kind).filter(|t| t.told)?;
        self.well.insert(kind);
        Some(notification(kind, &mut trouble, Event::WatchdogReady, kind.over(), Sentence::nothing_to_do(), now))
    }

    /// The same, seen by this process itself: it is well.
    pub fn well(&mut self, kind: Kind, now: Timestamp) -> Option<Over> {
        if let Some(told) = self.over(kind, now) {
            return Some(Over::Told(told));
        }
        let mut nobody_knows = Trouble::begin(Sentence::of(|_| String::new()), now);
        self.well.insert(kind).then(|| {
            let (summary, advice) = (kind.over(), Sentence::nothing_to_do());
            Over::Perhaps(notification(kind, &mut nobody_knows, Event::WatchdogReady, summary, advice, now))
        })
    }

    /// It is another replica's to worry about. What nobody was told is forgotten; the rest ends when that one has mended it.
    pub fn hand_over(&mut self, kind: Kind) {
        // Who leads ends it, or tells it anew, at the first look at the receivers.
        self.present.retain(|k, trouble| *k != kind || (trouble.told && kind != Kind::NotReached));
    }

    /// Since when it has been wrong.
    pub fn since(&self, kind: Kind) -> Option<Timestamp> {
        self.present.get(&kind).map(|trouble| trouble.since)
    }

    /// What has lasted for too long and is not told yet.
    pub fn due(&mut self, blind_after: Duration, now: Timestamp) -> Vec<Notification> {
        let mut due = Vec::new();
        for (kind, trouble) in &mut self.present {
            let age = Duration::try_from(now.duration_since(trouble.since)).unwrap_or_default();
            if trouble.told || age < kind.patience(blind_after) {
                continue;
            }
            trouble.told = true;
            let summary = kind.summary(&trouble.error);
            due.push(notification(*kind, trouble, Event::WatchdogNotReady, summary, kind.advice(), now));
        }
        due
    }
}

fn notification(
    kind: Kind,
    trouble: &mut Trouble,
    event: Event,
    summary: Sentence,
    advice: Sentence,
    now: Timestamp,
) -> Notification {
    // The same for every time that it happens, so that whoever knows nothing of its beginning can end it. The ids tell the times apart.
    let story = format!("watchdog-{}", kind.word());
    let number = if event == Event::WatchdogNotReady { 1 } else { 2 };
    let mut told = Notification {
        id: format!("{story}-{}.{number}", trouble.since.strftime("%Y%m%dT%H%M%SZ")),
        event,
        severity: kind.severity(),
        time: now,
        guard: None,
        guards: Vec::new(),
        incident: Some(story),
        summary: String::new(),
        advice: String::new(),
        trigger: None,
        rollback: None,
        next: (event == Event::WatchdogNotReady).then_some(Next::Tell),
        opening: None,
        settles: Vec::new(),
        dry_run: false,
        chinese: None,
    };
    told.say(summary, advice);
    trouble.beginning.of_story(&mut told);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_once_when_it_lasts_and_once_when_it_is_over() {
        let blind_after = Duration::from_secs(120);
        let at = |seconds: i64| Timestamp::from_second(1_767_323_045 + seconds).unwrap();
        let mut troubles = Troubles::default();
        troubles.note(Kind::NotSaved, "disk full", at(0));
        troubles.note(Kind::CutOff, "no answer", at(0));
        assert_eq!(troubles.due(blind_after, at(59)), []);
        let told = troubles.due(blind_after, at(60));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].event, told[0].severity), (Event::WatchdogNotReady, Severity::Warning));
        assert!(told[0].summary.ends_with("disk full"), "{}", told[0].summary);
        troubles.note(Kind::NotSaved, "disk still full", at(90));
        assert_eq!(troubles.due(blind_after, at(100)), [], "it is told already");
        assert_eq!(troubles.due(blind_after, at(120)).len(), 1, "the other one");
        let over = troubles.over(Kind::NotSaved, at(130)).unwrap();
        assert_eq!((over.event, over.incident.clone()), (Event::WatchdogReady, told[0].incident.clone()));
        assert_ne!(over.id, told[0].id);
        assert_eq!(over.opening.unwrap().summary, told[0].summary, "a mail answers the first one");
        assert_eq!(troubles.over(Kind::NotSaved, at(131)), None);
        troubles.note(Kind::NotSaved, "again", at(200));
        assert_eq!(troubles.over(Kind::NotSaved, at(210)), None, "nobody was told");
    }

    #[test]
    fn what_a_process_before_may_have_told_ends_once_at_the_first_good_look() {
        let at = |seconds: i64| Timestamp::from_second(1_767_323_045 + seconds).unwrap();
        let mut before = Troubles::default();
        before.note(Kind::NotReached, "oncall: no answer", at(0));
        let told = before.due(Duration::ZERO, at(0)).remove(0);

        let mut after = Troubles::default();
        let Some(Over::Perhaps(over)) = after.well(Kind::NotReached, at(300)) else { panic!("it ends") };
        assert_eq!((over.event, &over.incident), (Event::WatchdogReady, &told.incident));
        assert_ne!(over.id, told.id);
        assert_eq!(after.well(Kind::NotReached, at(310)), None, "once");
        after.note(Kind::NotReached, "oncall: no answer", at(600));
        let again = after.due(Duration::ZERO, at(600)).remove(0);
        assert_eq!((&again.incident, again.id != told.id), (&told.incident, true));
        assert!(matches!(after.well(Kind::NotReached, at(700)), Some(Over::Told(_))));
        assert_eq!(after.well(Kind::NotReached, at(710)), None);
        // Trouble that nobody was told yet says nothing of what the process before has told.
        after.note(Kind::NotSaved, "disk full", at(720));
        assert!(matches!(after.well(Kind::NotSaved, at(721)), Some(Over::Perhaps(_))));
    }

    #[test]
    fn what_is_another_replicas_is_told_only_if_it_was() {
        let at = |seconds: i64| Timestamp::from_second(1_767_323_045 + seconds).unwrap();
        let mut troubles = Troubles::default();
        troubles.note(Kind::NotSaved, "no answer", at(0));
        troubles.hand_over(Kind::NotRead);
        assert_eq!(troubles.since(Kind::NotSaved), Some(at(0)), "another kind");
        troubles.hand_over(Kind::NotSaved);
        assert_eq!(troubles.due(Duration::from_secs(5), at(600)), [], "it does not write any more");
        troubles.note(Kind::NotSaved, "forbidden", at(700));
        assert_eq!(troubles.due(Duration::from_secs(5), at(760)).len(), 1);
        troubles.hand_over(Kind::NotSaved);
        assert!(troubles.over(Kind::NotSaved, at(800)).is_some(), "whoever was told hears of the end");
    }
}
