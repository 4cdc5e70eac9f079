//! What may begin when: the engine's actions, the journal and the outbox in their order. No I/O and no clock, so that a simulation can run
//! it through thousands of nights.
//!
//! An input gives actions. Where they change what must outlive the process, the document is to be written first (its *ticket* counts
//! these writes), and changes and pages wait for it: until it is written, until that failed, or for `PATIENCE` at most. A refusal because
//! somebody else has written ends it all: another leads.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::{Action, ChangeOrder, Engine, Input, Memory, Notification, Record, Settings};
use crate::notify::{Contents, Whom};
use crate::state::Document;

/// How long a change or a page waits for the journal, at most. A healthy place takes milliseconds; one that hangs must not cost a
/// rollback more than a small part of what the rollback itself takes.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Where notifications go.
pub trait Post {
    /// Queues a notification for whoever wants it of these; it goes out once its ticket is opened.
    fn put(&self, notification: &Notification, ticket: u64, whom: Whom<'_>);
    /// Lets out what was queued up to this ticket.
    fn open(&self, ticket: u64);
    /// What is queued, for the document.
    fn contents(&self) -> Contents;
}

/// Something to do, in the order of the list.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the document.
    Write {
        /// Which of all writes it is.
        ticket: u64,
        /// The document.
        document: Document,
    },
    /// Begin a change.
    Begin(ChangeOrder),
    /// Stop trying the change of this incident.
    Abandon {
        /// The guard.
        guard: String,
        /// The incident.
        incident: String,
    },
    /// Leave a trace of the notification where the cluster's people look. It is queued already.
    Announce(Notification),
    /// Log and count.
    Record(Record),
}

/// The engine with what stands between it and the world.
pub struct Core {
    engine: Engine,
    /// The name of this process in the documents; `None` where nothing is kept, so that nothing waits.
    writer: Option<String>,
    /// How often it has taken up the state. A document of an earlier time can still be on its way, and is another's by then.
    terms: u32,
    ticket: u64,
    /// The last ticket whose document is written, or whose writing failed.
    written: u64,
    /// What waits for its ticket, in order.
    held: VecDeque<Held>,
}

struct Held {
    ticket: u64,
    since: Instant,
    effect: Option<Effect>,
}

impl Core {
    /// A core whose engine has seen nothing.
    pub fn new(settings: Settings, writer: Option<String>) -> Self {
        Self { engine: Engine::new(settings), writer, terms: 0, ticket: 0, written: 0, held: VecDeque::new() }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Measures against the recorded baselines that the leader has.
    pub fn borrow_baselines(&mut self, leader: &Engine) {
        self.engine.borrow_baselines(leader);
    }

    /// Hands one input to the engine.
    pub fn handle(&mut self, input: Input, now: Timestamp, at: Instant, post: &dyn Post) -> Vec<Effect> {
        let actions = self.engine.handle(input, now);
        self.carry_out(actions, now, at, post)
    }

    /// Goes on where another engine left off. The document is claimed by writing it: nothing begins before.
    pub fn resume(
        &mut self,
        settings: Settings,
        memory: Memory,
        now: Timestamp,
        at: Instant,
        post: &dyn Post,
    ) -> Vec<Effect> {
        let (engine, mut actions) = Engine::resume(settings, memory, now);
        self.engine = engine;
        self.held.clear();
        self.terms += 1;
        if !actions.contains(&Action::Journal) {
            actions.insert(0, Action::Journal);
        }
        self.carry_out(actions, now, at, post)
    }

    /// Forgets everything: another leads. What waited does not begin.
    pub fn stand_by(&mut self, settings: Settings) {
        self.engine = Engine::new(settings);
        self.held.clear();
        self.written = self.ticket;
    }

    /// A notification about Ripcord itself, for these receivers.
    pub fn tell(
        &mut self,
        notification: &Notification,
        whom: Whom<'_>,
        now: Timestamp,
        at: Instant,
        post: &dyn Post,
    ) -> Vec<Effect> {
        post.put(notification, self.ticket + 1, whom);
        self.journal(Vec::new(), now, at, post)
    }

    /// Something that is kept has changed by itself: a page was delivered, a clock went on.
    pub fn save(&mut self, now: Timestamp, post: &dyn Post) -> Option<Effect> {
        let writer = self.writer.as_deref()?;
        self.ticket += 1;
        let writer = format!("{writer}#{}", self.terms);
        let document = Document::new(&writer, now, self.engine.memory(), post.contents());
        Some(Effect::Write { ticket: self.ticket, document })
    }

    /// The document of this ticket is written, or that failed for another reason than somebody else's write: what waited begins.
    pub fn settled(&mut self, ticket: u64, post: &dyn Post) -> Vec<Effect> {
        self.written = self.written.max(ticket);
        post.open(ticket);
        let ready = self.held.iter().take_while(|held| held.ticket <= ticket).count();
        self.held.drain(..ready).filter_map(|held| held.effect).collect()
    }

    /// What has waited for longer than `PATIENCE` begins.
    pub fn out_of_patience(&mut self, at: Instant, post: &dyn Post) -> Vec<Effect> {
        let late = self.held.iter().take_while(|held| at.duration_since(held.since) >= PATIENCE).last();
        match late.map(|held| held.ticket) {
            Some(ticket) => self.settled(ticket, post),
            None => Vec::new(),
        }
    }

    /// The last ticket that nothing waits for any more.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether the last document is not written yet.
    pub fn unwritten(&self) -> bool {
        self.written < self.ticket
    }

    /// When patience with the journal ends.
    pub fn patient_until(&self) -> Option<Instant> {
        self.held.front().map(|held| held.since + PATIENCE)
    }

    fn carry_out(&mut self, actions: Vec<Action>, now: Timestamp, at: Instant, post: &dyn Post) -> Vec<Effect> {
        let lasting = actions.iter().any(|a| !matches!(a, Action::Record(_)));
        let (mut at_once, mut waiting) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Journal => {}
                // Stopping is never wrong, and never too early.
                Action::AbandonChange { guard, incident } => {
                    self.held.retain(|held| !matches!(&held.effect, Some(Effect::Begin(o)) if o.incident == incident));
                    at_once.push(Effect::Abandon { guard, incident });
                }
                Action::Record(record) => at_once.push(Effect::Record(record)),
                Action::Change(order) => waiting.push(Effect::Begin(order)),
                Action::Notify(notification) => {
                    post.put(&notification, self.ticket + 1, Whom::Everybody);
                    waiting.push(Effect::Announce(notification));
                }
            }
        }
        if lasting {
            at_once.extend(self.journal(waiting, now, at, post));
        }
        at_once
    }

    /// Writes the document, and lets these effects and what was queued for the next ticket wait for it.
    fn journal(&mut self, waiting: Vec<Effect>, now: Timestamp, at: Instant, post: &dyn Post) -> Vec<Effect> {
        let write = self.save(now, post);
        if write.is_none() {
            self.ticket += 1;
        }
        let ticket = self.ticket;
        // One that has nothing to begin still stands for the pages of its ticket.
        self.held.push_back(Held { ticket, since: at, effect: None });
        self.held.extend(waiting.into_iter().map(|effect| Held { ticket, since: at, effect: Some(effect) }));
        match write {
            Some(write) => vec![write],
            // Nothing is kept: there is nothing to wait for.
            None => self.settled(ticket, post),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::engine::{Command, GuardSettings, RollbackSettings};

    const GUARD: &str = "terminal";

    /// What was put, and up to which ticket it may go out.
    #[derive(Default)]
    struct Pigeonhole {
        put: RefCell<Vec<(String, u64)>>,
        open: RefCell<u64>,
    }

    impl Post for Pigeonhole {
        fn put(&self, notification: &Notification, ticket: u64, _whom: Whom<'_>) {
            self.put.borrow_mut().push((notification.event.as_str().to_owned(), ticket));
        }

        fn open(&self, ticket: u64) {
            let mut open = self.open.borrow_mut();
            *open = ticket.max(*open);
        }

        fn contents(&self) -> Contents {
            Contents::default()
        }
    }

    impl Pigeonhole {
        fn out(&self) -> Vec<String> {
            let open = *self.open.borrow();
            self.put.borrow().iter().filter(|(_, t)| *t <= open).map(|(event, _)| event.clone()).collect()
        }
    }

    fn settings() -> Settings {
        let rollback = RollbackSettings {
            percentages: vec![0],
            verify_within: Duration::from_secs(60),
            drift_watch: Duration::ZERO,
            steps: vec!["step".to_owned()],
        };
        Settings {
            interval: Duration::from_secs(10),
            blind_after: Duration::from_secs(60),
            live_for: Duration::from_secs(25),
            dry_run: false,
            chinese: false,
            guards: vec![GuardSettings { name: GUARD.to_owned(), triggers: Vec::new(), rollback }],
        }
    }

    fn command(command: Command) -> Input {
        Input::Command { guard: GUARD.to_owned(), command }
    }

    fn rollback() -> Input {
        command(Command::Rollback { reason: "users complain".to_owned(), percentage: None, once: false })
    }

    fn kinds(effects: &[Effect]) -> Vec<&'static str> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Write { .. } => "write",
                Effect::Begin(_) => "begin",
                Effect::Abandon { .. } => "abandon",
                Effect::Announce(_) => "announce",
                Effect::Record(_) => "record",
            })
            .collect()
    }

    fn ticket(effects: &[Effect]) -> u64 {
        effects
            .iter()
            .find_map(|e| if let Effect::Write { ticket, .. } = e { Some(*ticket) } else { None })
            .expect("a write")
    }

    struct Stage {
        core: Core,
        post: Pigeonhole,
        at: Instant,
    }

    impl Stage {
        fn new(writer: Option<&str>) -> Self {
            let mut stage = Self {
                core: Core::new(settings(), writer.map(str::to_owned)),
                post: Pigeonhole::default(),
                at: Instant::now(),
            };
            let effects =
                stage.core.resume(settings(), Memory::default(), Timestamp::UNIX_EPOCH, stage.at, &stage.post);
            if writer.is_some() {
                stage.core.settled(ticket(&effects), &stage.post);
            }
            stage
        }

        fn handle(&mut self, input: Input) -> Vec<Effect> {
            self.core.handle(input, Timestamp::UNIX_EPOCH, self.at, &self.post)
        }
    }

    #[test]
    fn changes_and_pages_wait_for_the_document_that_has_them() {
        let mut stage = Stage::new(Some("here"));
        let effects = stage.handle(rollback());
        assert_eq!(kinds(&effects).iter().filter(|k| **k != "record").collect::<Vec<_>>(), [&"write"]);
        assert_eq!(stage.post.out(), Vec::<String>::new());
        let Some(Effect::Write { document, .. }) = effects.iter().find(|e| matches!(e, Effect::Write { .. })) else {
            panic!("a write")
        };
        assert_eq!(document.engine.incidents().count(), 1, "the incident is in the document");
        let begun = stage.core.settled(ticket(&effects), &stage.post);
        assert_eq!(kinds(&begun), ["begin", "announce"], "the change before the page");
        assert_eq!(stage.post.out(), ["rollback.started"]);
        assert_eq!(kinds(&stage.core.settled(ticket(&effects), &stage.post)), Vec::<&str>::new(), "once");
    }

    #[test]
    fn patience_ends_after_two_seconds() {
        let mut stage = Stage::new(Some("here"));
        stage.handle(rollback());
        assert_eq!(stage.core.patient_until(), Some(stage.at + PATIENCE));
        let early = stage.at + PATIENCE - Duration::from_millis(1);
        assert_eq!(kinds(&stage.core.out_of_patience(early, &stage.post)), Vec::<&str>::new());
        assert_eq!(kinds(&stage.core.out_of_patience(stage.at + PATIENCE, &stage.post)), ["begin", "announce"]);
        assert_eq!(stage.post.out(), ["rollback.started"]);
        assert_eq!(stage.core.patient_until(), None);
    }

    #[test]
    fn what_waits_is_dropped_when_another_leads() {
        let mut stage = Stage::new(Some("here"));
        let effects = stage.handle(rollback());
        stage.core.stand_by(settings());
        assert_eq!(kinds(&stage.core.settled(ticket(&effects), &stage.post)), Vec::<&str>::new());
        assert!(!stage.core.unwritten());
    }

    #[test]
    fn a_change_that_is_called_off_before_it_began_never_begins() {
        let mut stage = Stage::new(Some("here"));
        let effects = stage.handle(rollback());
        let until = Timestamp::UNIX_EPOCH + Duration::from_secs(60);
        let paused = stage.handle(command(Command::Pause { until }));
        assert!(kinds(&paused).contains(&"abandon"), "{:?}", kinds(&paused));
        let mut begun = stage.core.settled(ticket(&effects), &stage.post);
        begun.extend(stage.core.settled(ticket(&paused), &stage.post));
        assert_eq!(kinds(&begun), ["announce", "announce"]);
        assert_eq!(stage.post.out(), ["rollback.started", "guard.paused"]);
    }

    #[test]
    fn where_nothing_is_kept_nothing_waits() {
        let mut stage = Stage::new(None);
        let effects = stage.handle(rollback());
        let kinds: Vec<_> = kinds(&effects).into_iter().filter(|k| *k != "record").collect();
        assert_eq!(kinds, ["begin", "announce"]);
        assert_eq!(stage.post.out(), ["rollback.started"]);
        assert_eq!(stage.core.patient_until(), None);
    }

    #[test]
    fn each_time_of_leading_has_a_writer_of_its_own() {
        let mut stage = Stage::new(Some("here"));
        let writer = |effects: &[Effect]| {
            effects
                .iter()
                .find_map(|e| if let Effect::Write { document, .. } = e { Some(document.writer.clone()) } else { None })
        };
        let first = writer(&stage.handle(rollback()));
        let memory = stage.core.engine().memory();
        let again = stage.core.resume(settings(), memory, Timestamp::UNIX_EPOCH, stage.at, &stage.post);
        assert!(first.is_some() && first != writer(&again), "{first:?}");
    }
}
