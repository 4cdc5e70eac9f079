//! One replica: what the daemon does around the core, second by second. The engine, the core, the document and the queue are the real
//! ones; what is a task there is a step here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::{
    ChangeOrder, ChangeReport, Command, Evidence, Input, Memory, Notification, Observation, Progress, Reading,
    StepReport, StepResult, Tick, TickKind, Unknown,
};
use crate::notify::{Contents, Entry, Queue, Whom};
use crate::state::Document;

use super::Bug;
use super::world::{
    Ask, GUARD, INTERVAL, LEASE, Outcome, Page, PatchFlight, RECEIVERS, RENEW_DEADLINE, World, WriteFlight, after,
};
use crate::daemon::clock::Clock;
use crate::daemon::core::{Core, Effect, Post};

/// The step of the guard.
const STEP: &str = "deployment_env";

/// How often a replica tries to renew or take the lease, in seconds.
const LEASE_RETRY: u64 = 2;

/// How long a call may take, in seconds.
const CALL: u64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Standby,
    TakingUp { at: u64 },
    Leading,
}

/// How far a change is.
enum Phase {
    Get { at: u64 },
    Patching,
    RollingOut { until: u64 },
}

struct Change {
    order: ChangeOrder,
    phase: Phase,
}

/// A page on its way to a receiver.
struct Sending {
    entry: Entry,
    arrives: u64,
    answers: u64,
    arrived: bool,
    lost: bool,
}

pub struct Node {
    index: usize,
    pub boot: u32,
    /// Which of its times of leading this is. What was sent in another is not heard of any more.
    term: u32,
    base: Instant,
    down_until: Option<u64>,
    stalled_until: u64,
    role: Role,
    core: Core,
    queue: Queue,
    /// The document's version that this replica read or wrote last.
    version: u64,
    unsaved: Option<(u64, Document)>,
    retry_save_at: u64,
    /// Whether the last write failed, or took too long.
    journal_fails: bool,
    renewed_at: u64,
    /// When the lease was last seen to change, and who had it.
    observed: (Option<usize>, u64, u64),
    next_election: u64,
    jumped: bool,
    last_tick: Option<Timestamp>,
    owed_since: Option<Timestamp>,
    last_reading: BTreeMap<&'static str, f64>,
    change: Option<Change>,
    sending: [Option<Sending>; 2],
    not_before: [u64; 2],
    /// Since when it leads.
    pub leads_since: Option<u64>,
    checkpoint: u64,
}

/// The outbox of a replica, less the tasks.
struct PostOffice<'a> {
    queue: &'a Queue,
    now: Timestamp,
    bug: Option<Bug>,
}

impl Post for PostOffice<'_> {
    fn put(&self, notification: &Notification, ticket: u64, whom: Whom<'_>) {
        let notification = Arc::new(notification.clone());
        for receiver in RECEIVERS.iter().filter(|r| whom != Whom::AllBut(r)) {
            let ticket = if self.bug == Some(Bug::PageFirst) { 0 } else { ticket };
            self.queue.put(Entry::new(receiver, None, self.now, notification.clone()), ticket);
        }
    }

    fn open(&self, ticket: u64) {
        self.queue.open(ticket);
    }

    fn contents(&self) -> Contents {
        self.queue.contents()
    }
}

/// What is left of a memory whose clocks nobody wrote down.
fn without_clocks(memory: &Memory) -> Memory {
    let mut value = serde_json::to_value(memory).expect("it can be written");
    for guard in value["guards"].as_object_mut().into_iter().flatten() {
        guard.1["triggers"] = serde_json::json!({});
    }
    serde_json::from_value(value).expect("it can be read")
}

impl Node {
    pub fn new(index: usize, world: &mut World) -> Self {
        let mut node = Self {
            index,
            boot: 0,
            term: 0,
            base: Instant::now(),
            down_until: None,
            stalled_until: 0,
            role: Role::Standby,
            core: Core::new(World::settings(), None),
            queue: Queue::default(),
            version: 0,
            unsaved: None,
            retry_save_at: 0,
            journal_fails: false,
            renewed_at: 0,
            observed: (None, 0, 0),
            next_election: 0,
            jumped: false,
            last_tick: None,
            owed_since: None,
            last_reading: BTreeMap::new(),
            change: None,
            sending: [None, None],
            not_before: [0, 0],
            leads_since: None,
            checkpoint: 0,
        };
        node.start(world);
        node
    }

    fn name(&self) -> String {
        format!("{}.{}", self.index, self.boot)
    }

    fn start(&mut self, world: &World) {
        let (index, boot, base) = (self.index, self.boot + 1, self.base);
        self.core = Core::new(World::settings(), Some(format!("{index}.{boot}")));
        self.queue = Queue::default();
        self.boot = boot;
        self.base = base;
        self.down_until = None;
        self.role = Role::Standby;
        self.unsaved = None;
        self.journal_fails = false;
        self.change = None;
        self.sending = [None, None];
        self.not_before = [0, 0];
        self.last_tick = None;
        self.owed_since = None;
        self.leads_since = None;
        self.observed = (world.holder, world.t, 0);
        self.next_election = world.t;
    }

    /// The process dies. What it has sent is on its way.
    pub fn crash(&mut self, world: &mut World, length: u64) {
        if self.down_until.is_none() {
            world.say(format!("{} crashes for {length} s", self.name()));
            world.seen.crashes += 1;
            self.down_until = Some(world.t + length);
            self.leads_since = None;
        }
    }

    /// The process is stopped and goes on later, as if nothing had been.
    pub fn stall(&mut self, world: &mut World, length: u64) {
        world.say(format!("{} is stopped for {length} s", self.name()));
        self.stalled_until = world.t + length;
    }

    pub fn clock_jumped(&mut self) {
        self.jumped = true;
    }

    pub fn leads(&self) -> bool {
        self.role == Role::Leading && self.down_until.is_none()
    }

    fn may_act(&self, world: &World) -> bool {
        if world.t < world.lying_until {
            return true;
        }
        !self.jumped && self.role != Role::Standby && world.t - self.renewed_at < RENEW_DEADLINE
    }

    fn at(&self, world: &World) -> Instant {
        self.base + Duration::from_secs(world.t)
    }

    /// One second of the process. What is due at once is done in any order.
    pub fn work(&mut self, world: &mut World) {
        if let Some(until) = self.down_until {
            if world.t < until && !world.is_calm() {
                return;
            }
            self.start(world);
        }
        if world.t < self.stalled_until && !world.is_calm() {
            return;
        }
        let mut steps = [0, 1, 2, 3, 4, 5];
        world.rng.shuffle(&mut steps);
        for step in steps {
            match step {
                0 => self.elect(world),
                1 => self.keep(world),
                2 => self.change(world),
                3 => self.tick(world),
                4 => self.deliver(world),
                _ => self.listen(world),
            }
        }
    }

    fn with_core(
        &mut self,
        world: &mut World,
        work: impl FnOnce(&mut Core, Timestamp, Instant, &dyn Post) -> Vec<Effect>,
    ) {
        let now = world.wall(self.index);
        let at = self.at(world);
        let queue = self.queue.clone();
        let post = PostOffice { queue: &queue, now, bug: world.bug };
        let effects = work(&mut self.core, now, at, &post);
        self.carry_out(effects, world);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, world: &mut World) {
        for effect in effects {
            match effect {
                Effect::Write { ticket, document } => {
                    self.unsaved = Some((ticket, document));
                    self.checkpoint = world.t;
                }
                Effect::Begin(order) => {
                    if !world.journalled.contains_key(&order.incident) && self.journal_fails {
                        world.excused.insert(order.incident.clone());
                    }
                    world.say(format!("{} begins attempt {} of {}", self.name(), order.attempt, order.incident));
                    let just_taken_up = order.attempt > 1 && self.leads_since.is_some_and(|since| world.t < since + 10);
                    if world.bug == Some(Bug::ForgetChange) && just_taken_up {
                        continue;
                    }
                    let at = world.t + order.delay.as_secs();
                    self.change = Some(Change { order, phase: Phase::Get { at } });
                }
                Effect::Abandon { .. } => self.change = None,
                Effect::Announce(page) => {
                    if self.journal_fails {
                        world.excused.insert(page.id.clone());
                        world.excused.extend(page.incident.clone());
                    }
                }
                Effect::Record(_) => {}
            }
        }
    }

    /// Leader election, as the real one goes: by what was seen to change, and when.
    fn elect(&mut self, world: &mut World) {
        let t = world.t;
        let led = self.role != Role::Standby;
        if led && t >= self.renewed_at + RENEW_DEADLINE && t >= world.lying_until {
            self.stand_by(world, "it could not renew the lease in time");
        }
        if t < self.next_election || !world.api_works() {
            return;
        }
        self.next_election = t + LEASE_RETRY;
        if t < world.lying_until {
            self.renewed_at = t;
            self.jumped = false;
            if self.role == Role::Standby {
                self.elected(world);
            }
            return;
        }
        match world.holder {
            Some(holder) if holder == self.index && self.role != Role::Standby => {
                self.renewed_at = t;
                self.jumped = false;
                self.observed = (world.holder, t, t);
            }
            Some(holder) if holder != self.index => {
                if self.role != Role::Standby {
                    self.stand_by(world, "another holds the lease");
                }
                // The other's renewals are seen as changes.
                let renewed = world.renewals[holder];
                if self.observed.0 != Some(holder) || self.observed.2 != renewed {
                    self.observed = (Some(holder), t, renewed);
                } else if t >= self.observed.1 + LEASE {
                    self.take_lease(world);
                }
            }
            // Nobody's, or its own of a life before, which it cannot know.
            Some(_) if t < self.observed.1 + LEASE => {}
            _ => self.take_lease(world),
        }
        if self.role != Role::Standby {
            world.renewals[self.index] = t;
        }
    }

    fn take_lease(&mut self, world: &mut World) {
        world.holder = Some(self.index);
        self.renewed_at = world.t;
        self.jumped = false;
        self.elected(world);
    }

    fn elected(&mut self, world: &mut World) {
        world.say(format!("{} is elected", self.name()));
        self.role = Role::TakingUp { at: world.t + world.rng.u64(0..3) };
    }

    fn stand_by(&mut self, world: &mut World, why: &str) {
        world.say(format!("{} stands by: {why}", self.name()));
        self.role = Role::Standby;
        self.leads_since = None;
        self.change = None;
        self.unsaved = None;
        self.queue.clear();
        self.core.stand_by(World::settings());
    }

    /// The keeper: the document is read once, then written whenever there is a newer one.
    fn keep(&mut self, world: &mut World) {
        let t = world.t;
        if let Role::TakingUp { at } = self.role
            && t >= at
        {
            if !world.api_works() {
                self.role = Role::TakingUp { at: t + 2 };
                return;
            }
            self.version = world.version;
            let document = world.document.as_deref().map(|text| Document::read(text).expect("it can be read"));
            self.lead(world, document);
        }
        self.hear_of_writes(world);
        // Patience with a journal that hangs.
        if self.core.patient_until().is_some_and(|until| until <= self.at(world)) {
            self.journal_fails = true;
            self.with_core(world, |core, _, at, post| core.out_of_patience(at, post));
        }
        if self.role == Role::Leading
            && t >= self.retry_save_at
            && !world.writes.iter().any(|w| w.node == self.index && w.boot == self.boot && w.term == self.term)
            && let Some((ticket, document)) = &self.unsaved
        {
            let (text, _) = document.text(1 << 20).expect("it is small");
            let slow = world.rng.u8(0..10) == 0;
            let arrives = t + if slow { world.rng.u64(0..CALL) } else { 0 };
            let lost = !world.is_calm() && world.rng.u8(0..20) == 0;
            world.seen.lost_answers += usize::from(lost);
            let answers = if lost { t + CALL } else { arrives };
            world.writes.push(WriteFlight {
                node: self.index,
                boot: self.boot,
                term: self.term,
                ticket: *ticket,
                text,
                base: self.version,
                arrives,
                answers,
                lost,
                outcome: None,
            });
        }
    }

    fn hear_of_writes(&mut self, world: &mut World) {
        let mine = |w: &WriteFlight| w.node == self.index && w.boot == self.boot && w.term == self.term;
        let Some(at) = world.writes.iter().position(|w| mine(w) && w.answers <= world.t && w.outcome.is_some()) else {
            return;
        };
        let flight = world.writes.remove(at);
        if self.role != Role::Leading {
            return;
        }
        let outcome = if flight.lost { Outcome::Failed } else { flight.outcome.unwrap_or(Outcome::Failed) };
        match outcome {
            Outcome::Done(version) => {
                self.version = version;
                self.journal_fails = false;
                self.unsaved.take_if(|(ticket, _)| *ticket == flight.ticket);
                self.with_core(world, |core, _, _, post| core.settled(flight.ticket, post));
            }
            Outcome::Conflict => {
                let there = world.document.as_deref().and_then(Document::writer);
                if there.is_none() || there == Document::writer(&flight.text) {
                    // An answer was lost: the document is this replica's own.
                    self.version = world.version;
                    return;
                }
                self.stand_by(world, "another has written the state");
                if self.may_act(world) && world.holder == Some(self.index) {
                    self.elected(world);
                }
            }
            Outcome::Failed => {
                self.journal_fails = true;
                self.retry_save_at = world.t + 1;
                self.with_core(world, |core, _, _, post| core.settled(flight.ticket, post));
            }
        }
    }

    fn lead(&mut self, world: &mut World, document: Option<Document>) {
        world.say(format!("{} leads", self.name()));
        self.role = Role::Leading;
        self.term += 1;
        self.leads_since = Some(world.t);
        self.journal_fails = false;
        let (mut memory, contents) = document.map_or_else(Default::default, |d| (d.engine, d.outbox));
        self.queue.replace(if world.bug == Some(Bug::ForgetPages) { Contents::default() } else { contents });
        if world.bug == Some(Bug::ForgetHolds) {
            memory = without_clocks(&memory);
        }
        self.with_core(world, |core, now, at, post| core.resume(World::settings(), memory, now, at, post));
        let now = world.wall(self.index);
        self.owed_since = (world.bug != Some(Bug::ForgetHolds)).then(|| self.core.engine().owed_since(now));
    }

    fn observation(&mut self, world: &World, at: Timestamp, live: bool) -> Observation {
        let share = if world.api_works() { Ok(world.share) } else { Err(Unknown::NotObserved) };
        let mut value = if world.prometheus_works() { world.measured(at) } else { None };
        if world.bug == Some(Bug::CountUnknown) {
            value = value.or_else(|| self.last_reading.get(GUARD).copied());
        }
        if let Some(value) = value.filter(|_| live) {
            self.last_reading.insert(GUARD, value);
        }
        let window = value.map(Evidence::Value).ok_or(Unknown::NoSeries);
        let reading = Reading { window, confirm: None, baseline: None, burn: Vec::new() };
        let readings = [("bad", reading.clone()), ("odd", reading)].into();
        Observation { share, readings, drift: Vec::new() }
    }

    fn tick(&mut self, world: &mut World) {
        let now = world.wall(self.index);
        let interval = Duration::from_secs(INTERVAL);
        let due = Clock::aligned_after(now.checked_sub(interval).unwrap_or(now), interval);
        // The clock may have been set back.
        if self.last_tick.is_some_and(|last| due == last || (due < last && last <= now)) {
            return;
        }
        // What was missed is owed, be it for a stop of this process.
        if let Some(last) = self.last_tick.filter(|last| *last < due)
            && after(last, INTERVAL) < due
            && self.owed_since.is_none()
        {
            self.owed_since = Some(last);
        }
        self.last_tick = Some(due);
        if self.role == Role::Leading
            && world.prometheus_works()
            && let Some(since) = self.owed_since.take()
        {
            let mut at = Clock::aligned_after(since, interval);
            while at < due {
                let tick =
                    Tick { at, kind: TickKind::History, guards: [(GUARD, self.observation(world, at, false))].into() };
                self.with_core(world, |core, now, instant, post| core.handle(Input::Tick(tick), now, instant, post));
                world.seen.replayed += 1;
                at = after(at, INTERVAL);
            }
        }
        let kind = if self.role == Role::Leading { TickKind::Live } else { TickKind::History };
        let tick = Tick { at: due, kind, guards: [(GUARD, self.observation(world, due, true))].into() };
        self.with_core(world, |core, now, instant, post| core.handle(Input::Tick(tick), now, instant, post));
        if self.role == Role::Leading && world.t >= self.checkpoint + 60 {
            self.with_core(world, |core, now, _, post| core.save(now, post).into_iter().collect());
        }
    }

    /// What people ask of who leads.
    fn listen(&mut self, world: &mut World) {
        if self.role != Role::Leading {
            return;
        }
        let Some(ask) = world.asked() else { return };
        let command = match ask {
            Ask::Rearm => Command::Rearm,
            Ask::Pause => Command::Pause { until: after(world.wall(self.index), 60) },
            Ask::Acknowledge => Command::Acknowledge,
        };
        world.say(format!("{} is asked to {ask:?}", self.name()));
        let input = Input::Command { guard: GUARD.to_owned(), command };
        self.with_core(world, |core, now, at, post| core.handle(input, now, at, post));
    }

    fn report(&mut self, world: &mut World, progress: Progress) {
        let Some(change) = &self.change else { return };
        let report = ChangeReport {
            guard: GUARD.to_owned(),
            incident: change.order.incident.clone(),
            attempt: change.order.attempt,
            progress,
        };
        self.with_core(world, |core, now, at, post| core.handle(Input::Change(report), now, at, post));
    }

    fn step(&mut self, world: &mut World, result: StepResult) {
        self.report(world, Progress::Step(StepReport { step: STEP.to_owned(), result, detail: None }));
        self.report(world, Progress::Accepted);
        if let Some(change) = &mut self.change {
            change.phase = Phase::RollingOut { until: world.t + world.rng.u64(1..20) };
        }
    }

    fn failed(&mut self, world: &mut World) {
        self.report(world, Progress::Failed { step: STEP.to_owned(), error: "no answer".to_owned() });
    }

    /// The change under way: read, write with what was read as the precondition, wait for the rollout.
    fn change(&mut self, world: &mut World) {
        let t = world.t;
        let Some(change) = &mut self.change else { return };
        match change.phase {
            Phase::Get { at } if t >= at => {
                if !world.api_works() {
                    return self.failed(world);
                }
                if world.share <= change.order.percentage {
                    return self.step(world, StepResult::AlreadyThere);
                }
                let (incident, to) = (change.order.incident.clone(), change.order.percentage);
                if !self.may_act(world) {
                    return;
                }
                let arrives = t + world.rng.u64(0..3);
                let lost = !world.is_calm() && world.rng.u8(0..10) == 0;
                world.seen.lost_answers += usize::from(lost);
                world.patches.push(PatchFlight {
                    node: self.index,
                    boot: self.boot,
                    incident,
                    to,
                    base: world.share_version,
                    arrives,
                    answers: if lost { t + CALL } else { arrives },
                    lost,
                    outcome: None,
                });
                if let Some(change) = &mut self.change {
                    change.phase = Phase::Patching;
                }
            }
            Phase::Get { .. } => {}
            Phase::Patching => {
                let incident = change.order.incident.clone();
                let mine = |p: &PatchFlight| p.node == self.index && p.boot == self.boot && p.incident == incident;
                let Some(at) = world.patches.iter().position(|p| mine(p) && p.answers <= t && p.outcome.is_some())
                else {
                    return;
                };
                let flight = world.patches.remove(at);
                match flight.outcome.filter(|_| !flight.lost) {
                    Some(Outcome::Done(_)) => self.step(world, StepResult::Changed),
                    Some(Outcome::Conflict) => {
                        if let Some(change) = &mut self.change {
                            change.phase = Phase::Get { at: t };
                        }
                    }
                    _ => self.failed(world),
                }
            }
            Phase::RollingOut { until } if t >= until => {
                self.report(world, Progress::Completed);
                self.change = None;
            }
            Phase::RollingOut { .. } => {}
        }
    }

    /// The lanes: one page at a time to each receiver.
    fn deliver(&mut self, world: &mut World) {
        for (receiver, name) in RECEIVERS.iter().enumerate() {
            self.finish_sending(receiver, world);
            if self.sending[receiver].is_some() || world.t < self.not_before[receiver] || !self.may_act(world) {
                continue;
            }
            if self.role != Role::Leading {
                continue;
            }
            let Some(entry) = self.queue.heads(name, None).into_iter().next() else { continue };
            let arrives = world.t + world.rng.u64(0..2);
            let lost = !world.is_calm() && world.rng.u8(0..10) == 0;
            let answers = if lost { arrives + CALL } else { arrives };
            self.sending[receiver] = Some(Sending { entry, arrives, answers, arrived: false, lost });
            self.finish_sending(receiver, world);
        }
    }

    fn finish_sending(&mut self, receiver: usize, world: &mut World) {
        let t = world.t;
        let Some(sending) = &mut self.sending[receiver] else { return };
        let works = world.receiver_works(receiver);
        if !sending.arrived && sending.arrives <= t {
            sending.arrived = true;
            let key = (RECEIVERS[receiver].to_owned(), sending.entry.notification.id.clone());
            // What is refused once is refused always, whoever sends it.
            let refused = world.refused.contains(&key) || (!world.is_calm() && world.rng.u8(0..60) == 0);
            if refused && works {
                // Refused for good; what was told before stays told.
                world.seen.dead += 1;
                world.refused.insert(key);
                let (id, now) = (sending.entry.id.clone(), world.wall(self.index));
                self.sending[receiver] = None;
                self.queue.dead(&id, "refused", now);
                self.with_core(world, |core, now, _, post| core.save(now, post).into_iter().collect());
                return;
            }
            if works {
                let page = &sending.entry.notification;
                world.received[receiver].push(Page {
                    id: page.id.clone(),
                    incident: page.incident.clone(),
                    text: format!("{} {}", page.event.as_str(), page.summary),
                    at: t,
                });
                world.seen.lost_answers += usize::from(sending.lost);
            } else {
                sending.lost = true;
            }
        }
        if !sending.arrived || t < sending.answers {
            return;
        }
        let Some(sending) = self.sending[receiver].take() else { return };
        if sending.lost {
            self.not_before[receiver] = t + world.rng.u64(1..10);
            return;
        }
        if self.queue.accepted(&sending.entry.id) && self.role == Role::Leading {
            self.with_core(world, |core, now, _, post| core.save(now, post).into_iter().collect());
        }
    }
}
