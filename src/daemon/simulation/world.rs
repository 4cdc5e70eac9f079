//! The world of a night: everything that two replicas share, and what goes wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::engine::{
    GuardSettings, GuardState, IncidentKind, Levels, Measure, RollbackSettings, Settings, Severity, Side,
    TriggerAction, TriggerSettings, Unit,
};
use crate::state::Document;

use super::Bug;
use super::node::Node;

/// The guard.
pub const GUARD: &str = "terminal";

/// The receivers. Both want everything.
pub const RECEIVERS: [&str; 2] = ["oncall", "sre"];

/// The time from one tick to the next, in seconds.
pub const INTERVAL: u64 = 10;

/// How long a breach must hold, in seconds.
pub const HOLD: u64 = 60;

/// How long clear must last to end a hold, in seconds.
pub const CLEAR_FOR: u64 = 20;

/// How long a night is, and how much of it, at the end, nothing fails: time enough to finish whatever was begun.
const NIGHT: u64 = 2400;
const CALM: u64 = 900;

/// Near the end of the calm part the service gets bad once more: a rollback must be the answer.
const LAST_CALL: u64 = 400;

/// The share that people move the traffic to.
const SHARE: u8 = 25;

/// When the simulated clock begins: aligned to every interval.
const EPOCH: i64 = 1_767_312_000;

/// How long a lease is believed by who wants it, and by who has it. As in production, to scale.
pub const LEASE: u64 = 15;
pub const RENEW_DEADLINE: u64 = 10;

/// A document on its way to the store. It may arrive although its sender has died.
pub struct WriteFlight {
    pub node: usize,
    pub boot: u32,
    pub term: u32,
    pub ticket: u64,
    pub text: String,
    pub base: u64,
    pub arrives: u64,
    pub answers: u64,
    pub lost: bool,
    pub outcome: Option<Outcome>,
}

/// A change on its way to the API server.
pub struct PatchFlight {
    pub node: usize,
    pub boot: u32,
    pub incident: String,
    pub to: u8,
    pub base: u64,
    pub arrives: u64,
    pub answers: u64,
    pub lost: bool,
    pub outcome: Option<Outcome>,
}

/// What the API server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done(u64),
    Conflict,
    Failed,
}

/// A change that moved traffic.
#[derive(Debug, Clone)]
pub struct Moved {
    pub incident: String,
    pub at: u64,
}

/// A page as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub id: String,
    pub incident: Option<String>,
    pub text: String,
    pub at: u64,
}

/// What the nights of a run had in them, so that a run that tests nothing is noticed.
#[derive(Default)]
pub struct Seen {
    pub moves: usize,
    pub crashes: usize,
    pub conflicts: usize,
    pub lost_answers: usize,
    pub pages: usize,
    pub repeated: usize,
    pub dead: usize,
    pub replayed: usize,
}

pub struct World {
    pub rng: Rng,
    pub t: u64,
    pub bug: Option<Bug>,
    pub seen: Seen,
    /// The document and its version.
    pub document: Option<String>,
    pub version: u64,
    pub share: u8,
    pub share_version: u64,
    /// What Prometheus has recorded of each second; none where it was away.
    pub record: Vec<Option<f64>>,
    /// Whether Prometheus answered in that second, and nobody asked it for the future: what it recorded otherwise may never have been seen.
    answered: Vec<bool>,
    pub received: [Vec<Page>; 2],
    pub moved: Vec<Moved>,
    pub writes: Vec<WriteFlight>,
    pub patches: Vec<PatchFlight>,
    /// Every incident that was ever in the document, with how long its trigger had held; every page, by receiver.
    pub journalled: BTreeMap<String, Option<f64>>,
    pub promised: BTreeSet<(String, String)>,
    /// Pages that a receiver has refused for good.
    pub refused: BTreeSet<(String, String)>,
    /// What began although the journal could not be written: the design wants it so.
    pub excused: BTreeSet<String>,
    pub state: GuardState,
    pub holder: Option<usize>,
    /// When each replica has last renewed the lease.
    pub renewals: [u64; 2],
    /// Until then both replicas are told that they lead.
    pub lying_until: u64,
    /// How far each replica's wall clock is off.
    pub offset: [i64; 2],
    /// Until when something is in the way of a leader, and until when it cannot see: what it did not see it does not count.
    pub last_disturbance: u64,
    pub blind_until: u64,
    pub jumps: u64,
    api_down_until: u64,
    prometheus_down_until: u64,
    scrapes_down_until: u64,
    receiver_down_until: [u64; 2],
    bad_until: u64,
    good_until: u64,
    latched_since: Option<u64>,
    ask: Option<Ask>,
    log: String,
}

/// What the operator wants of whoever leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Rearm,
    Pause,
    Acknowledge,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let good_until = rng.u64(60..400);
        Self {
            rng,
            t: 0,
            bug,
            seen: Seen::default(),
            document: None,
            version: 0,
            share: SHARE,
            share_version: 1,
            record: Vec::new(),
            answered: Vec::new(),
            received: [Vec::new(), Vec::new()],
            moved: Vec::new(),
            writes: Vec::new(),
            patches: Vec::new(),
            journalled: BTreeMap::new(),
            promised: BTreeSet::new(),
            refused: BTreeSet::new(),
            excused: BTreeSet::new(),
            state: GuardState::Watching,
            holder: None,
            renewals: [0, 0],
            lying_until: 0,
            offset: [0, 0],
            last_disturbance: 0,
            blind_until: 0,
            jumps: 0,
            api_down_until: 0,
            prometheus_down_until: 0,
            scrapes_down_until: 0,
            receiver_down_until: [0, 0],
            bad_until: 0,
            good_until,
            latched_since: None,
            ask: None,
            log: String::new(),
        }
    }

    pub fn is_over(&self) -> bool {
        self.t >= NIGHT
    }

    pub fn is_calm(&self) -> bool {
        self.t >= NIGHT - CALM
    }

    pub fn last_call() -> u64 {
        NIGHT - LAST_CALL
    }

    pub fn api_works(&self) -> bool {
        self.t >= self.api_down_until
    }

    pub fn prometheus_works(&self) -> bool {
        self.t >= self.prometheus_down_until
    }

    pub fn receiver_works(&self, receiver: usize) -> bool {
        self.t >= self.receiver_down_until[receiver]
    }

    pub fn say(&mut self, text: impl fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.log, "{:>5} {text}", self.t);
    }

    pub fn log(&self) -> String {
        self.log.clone()
    }

    /// The time by a replica's clock.
    pub fn wall(&self, node: usize) -> Timestamp {
        let seconds = EPOCH + i64::try_from(self.t).unwrap_or(i64::MAX) + self.offset[node];
        Timestamp::from_second(seconds).expect("a time of our days")
    }

    /// The second of the night at which this instant is.
    pub fn second(at: Timestamp) -> Option<usize> {
        usize::try_from(at.as_second() - EPOCH).ok()
    }

    /// What Prometheus says of an instant.
    pub fn measured(&self, at: Timestamp) -> Option<f64> {
        *self.record.get(Self::second(at)?)?
    }

    /// What the operator asks of a leader, once.
    pub fn asked(&mut self) -> Option<Ask> {
        self.ask.take()
    }

    pub fn settings() -> Settings {
        let trigger = |name: &str, action, hold_for| TriggerSettings {
            name: name.to_owned(),
            action,
            severity: Severity::Warning,
            source: "signal".to_owned(),
            measure: Measure::Value,
            side: Side::Above,
            levels: Levels { threshold: 1.0, clear: 0.5 },
            stages: Vec::new(),
            burn_rates: Vec::new(),
            window: Duration::ZERO,
            confirm_window: None,
            hold_for: Duration::from_secs(hold_for),
            clear_for: Duration::from_secs(CLEAR_FOR),
            literal: false,
            unit: Unit::None,
            baseline: None,
        };
        Settings {
            interval: Duration::from_secs(INTERVAL),
            blind_after: Duration::from_secs(120),
            live_for: Duration::from_secs(2 * INTERVAL + 5),
            dry_run: false,
            chinese: false,
            guards: vec![GuardSettings {
                name: GUARD.to_owned(),
                triggers: vec![
                    trigger("bad", TriggerAction::Rollback, HOLD),
                    trigger("odd", TriggerAction::Page, HOLD / 2),
                ],
                rollback: RollbackSettings {
                    percentages: vec![0],
                    verify_within: Duration::from_secs(120),
                    drift_watch: Duration::ZERO,
                    steps: vec!["deployment_env".to_owned()],
                },
            }],
        }
    }

    /// One second goes by: the service, Prometheus and the operator do what they do, and something may break.
    pub fn pass_a_second(&mut self, nodes: &mut [Node; 2]) {
        self.t += 1;
        self.service();
        if self.is_calm() {
            self.mend();
        } else {
            self.break_something(nodes);
        }
        self.arrive();
        self.operator();
    }

    fn service(&mut self) {
        let t = self.t;
        if t >= Self::last_call() {
            self.bad_until = NIGHT + 1;
        } else if t >= self.good_until && t >= self.bad_until {
            self.bad_until = t + self.rng.u64(15..300);
            self.good_until = self.bad_until + self.rng.u64(60..500);
            // Nobody can expect a rollback and a re-arming to be over in no time.
            if self.is_calm() {
                self.bad_until = t;
                self.good_until = NIGHT;
            }
        }
        let bad = t < self.bad_until && self.share > 0;
        // Never twice in a row for a replica that ticks: a breach is needed to fire.
        let between = (t / INTERVAL).is_multiple_of(3);
        let value = match (bad, self.rng.u8(0..10)) {
            (true, 0..3) if between => 0.7,
            (true, _) => 2.0,
            (false, 0) => 0.6,
            (false, _) => 0.1,
        };
        // Near the end it is as bad as can be.
        let value = if bad && t >= Self::last_call() { 2.0 } else { value };
        let scraped = t >= self.scrapes_down_until;
        self.record.resize(usize::try_from(t).unwrap_or_default(), None);
        self.record.push(scraped.then_some(value));
        self.answered.resize(usize::try_from(t).unwrap_or_default(), true);
        let seen = self.prometheus_works() && self.offset.iter().all(|offset| *offset <= 0);
        self.answered.push(seen);
    }

    fn mend(&mut self) {
        for until in [
            &mut self.api_down_until,
            &mut self.prometheus_down_until,
            &mut self.scrapes_down_until,
            &mut self.lying_until,
        ] {
            *until = (*until).min(self.t);
        }
        self.receiver_down_until = self.receiver_down_until.map(|until| until.min(self.t));
        if self.offset != [0, 0] {
            self.offset = [0, 0];
            self.jumps += 1;
            self.blind_until = self.t;
        }
    }

    fn break_something(&mut self, nodes: &mut [Node; 2]) {
        let t = self.t;
        // Something breaks every 40 seconds, more or less.
        if self.rng.u32(0..40) != 0 {
            return;
        }
        let length = self.rng.u64(1..120);
        let node = self.rng.usize(0..2);
        let kind = self.rng.u32(0..11);
        // A crash, a receiver that is gone and what people ask for excuse no leader from acting.
        if matches!(kind, 0..=2 | 7..=9) {
            self.last_disturbance = self.last_disturbance.max(t + length);
        }
        if matches!(kind, 1 | 2 | 9) {
            self.blind_until = self.blind_until.max(t + length);
        }
        match kind {
            0 => {
                self.api_down_until = t + length;
                self.say(format!("the API server is gone for {length} s"));
            }
            1 => {
                self.prometheus_down_until = t + length;
                self.say(format!("Prometheus is gone for {length} s"));
            }
            2 => {
                self.scrapes_down_until = t + length;
                self.say(format!("nothing is scraped for {length} s"));
            }
            3 => {
                let receiver = self.rng.usize(0..2);
                self.receiver_down_until[receiver] = t + 2 * length;
                self.say(format!("{} is gone for {} s", RECEIVERS[receiver], 2 * length));
            }
            4..=6 => {
                let clean = self.rng.bool();
                if clean && self.holder == Some(node) {
                    self.holder = None;
                }
                nodes[node].crash(self, length / 2);
            }
            7 => nodes[node].stall(self, length),
            8 => {
                self.lying_until = t + length / 4;
                self.say(format!("both believe that they lead for {} s", length / 4));
            }
            9 => {
                let by = self.rng.i64(-60..60);
                self.offset[node] = if self.rng.bool() { 0 } else { by };
                self.jumps += 1;
                nodes[node].clock_jumped();
                self.say(format!("the clock of {node} is off by {} s", self.offset[node]));
            }
            _ => self.ask = Some(if self.rng.bool() { Ask::Pause } else { Ask::Acknowledge }),
        }
    }

    /// What is on its way to the API server arrives, whether its sender lives or not.
    fn arrive(&mut self) {
        let (t, works) = (self.t, self.api_works());
        for mut flight in std::mem::take(&mut self.writes) {
            if flight.outcome.is_none() && flight.arrives <= t {
                flight.outcome = Some(if works { self.store(&flight) } else { Outcome::Failed });
            }
            if flight.answers + 60 > t {
                self.writes.push(flight);
            }
        }
        for mut flight in std::mem::take(&mut self.patches) {
            if flight.outcome.is_none() && flight.arrives <= t {
                flight.outcome = Some(if works { self.change(&flight) } else { Outcome::Failed });
            }
            if flight.answers + 60 > t {
                self.patches.push(flight);
            }
        }
    }

    fn store(&mut self, flight: &WriteFlight) -> Outcome {
        if self.bug == Some(Bug::SkipJournal) {
            return Outcome::Done(self.version);
        }
        if flight.base != self.version && self.bug != Some(Bug::ForgetFence) {
            self.seen.conflicts += 1;
            return Outcome::Conflict;
        }
        self.version += 1;
        let document = Document::read(&flight.text).expect("what a node writes can be read");
        for (receiver, page) in document.outbox.entries.iter().map(|e| (e.receiver.clone(), e.notification.id.clone()))
        {
            self.promised.insert((receiver, page));
        }
        for incident in document.engine.incidents() {
            let held = (incident.kind == IncidentKind::Rollback)
                .then(|| incident.triggers.first().map(|facts| facts.held_seconds))
                .flatten();
            self.journalled.entry(incident.id.clone()).or_insert(held);
        }
        let state = document.engine.state_of(GUARD).unwrap_or(GuardState::Watching);
        if state != self.state {
            self.say(format!("the journal says {}", state.as_str()));
            self.state = state;
            let latched = matches!(state, GuardState::RolledBack | GuardState::NotRecovered);
            self.latched_since = latched.then_some(self.t);
        }
        self.document = Some(flight.text.clone());
        Outcome::Done(self.version)
    }

    fn change(&mut self, flight: &PatchFlight) -> Outcome {
        if flight.base != self.share_version {
            return Outcome::Conflict;
        }
        self.share_version += 1;
        if self.share != flight.to {
            self.say(format!("{} moves the traffic to {} % for {}", flight.node, flight.to, flight.incident));
            self.moved.push(Moved { incident: flight.incident.clone(), at: self.t });
            self.seen.moves += 1;
        }
        self.share = flight.to;
        Outcome::Done(self.share_version)
    }

    /// People re-arm what is latched after a while, and move the traffic up again.
    fn operator(&mut self) {
        let t = self.t;
        let last_call = t + 60 >= Self::last_call();
        if self.latched_since.is_some_and(|since| t >= since + 40) && !last_call && t.is_multiple_of(7) {
            self.ask = Some(Ask::Rearm);
        }
        // What fails for long is no rollback that anybody waits for; near the end the stage is set for the last one.
        let settled = self.state == GuardState::Watching;
        if self.share == 0 && settled && t.is_multiple_of(30) && t < Self::last_call() {
            self.share = SHARE;
            self.share_version += 1;
            self.say("people move the traffic up again");
        }
    }

    /// For how long the trigger can have held at this second, at the very most, by what Prometheus has recorded.
    pub fn longest_hold(&self, until: u64) -> u64 {
        let (mut held, mut clear, mut last, mut longest) = (None::<u64>, None::<u64>, None::<u64>, 0);
        // A replica ticks at aligned times of its own clock, which can be any second of ours: each phase is looked at.
        for phase in 0..INTERVAL {
            for t in (phase..=until).step_by(INTERVAL as usize) {
                let Some(value) = self.record.get(t as usize).copied().flatten() else { continue };
                if value < 0.5 && !self.answered[t as usize] {
                    continue;
                }
                let gain = last.map_or(0, |last| (t - last).min(2 * INTERVAL));
                last = Some(t);
                if value < 0.5 {
                    let lasted = clear.map_or(0, |clear| clear + gain);
                    clear = Some(lasted);
                    if lasted >= CLEAR_FOR {
                        held = None;
                    }
                } else {
                    clear = None;
                    held = match held {
                        Some(held) => Some(held + gain),
                        None => (value > 1.0).then_some(0),
                    };
                }
            }
            longest = longest.max(held.unwrap_or(0));
            (held, clear, last) = (None, None, None);
        }
        longest
    }
}

/// A time of the night later than another.
pub fn after(at: Timestamp, seconds: u64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))).unwrap_or(Timestamp::MAX)
}

impl Seen {
    pub fn add(&mut self, world: &World) {
        let night = &world.seen;
        self.moves += night.moves;
        self.crashes += night.crashes;
        self.conflicts += night.conflicts;
        self.lost_answers += night.lost_answers;
        self.dead += night.dead;
        self.replayed += night.replayed;
        for received in &world.received {
            self.pages += received.len();
            let different: BTreeSet<&str> = received.iter().map(|page| page.id.as_str()).collect();
            self.repeated += received.len() - different.len();
        }
    }

    /// A run in which nothing happened proves nothing.
    pub fn was_worth_it(&self) {
        let Self { moves, crashes, conflicts, lost_answers, pages, repeated, dead, replayed } = self;
        for count in [moves, crashes, conflicts, lost_answers, pages, repeated, dead, replayed] {
            assert!(*count > 0, "something never happened: {self}");
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moves, crashes, conflicts, lost_answers, pages, repeated, dead, replayed } = self;
        write!(
            f,
            "{moves} rollbacks, {crashes} crashes, {conflicts} refused writes, {lost_answers} lost answers, {replayed} replayed ticks, \
             {pages} pages received ({repeated} of them again), {dead} refused for good"
        )
    }
}
