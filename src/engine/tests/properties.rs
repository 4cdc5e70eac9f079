//! What must hold whatever comes: random ticks, commands and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::*;
use super::scenario::{INTERVAL, check_order, error_rate, guard, memory, seconds, settings, start, through_json};

/// What is measured at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    Bad,
    Middling,
    Good,
    Quiet,
    Failing,
    Absent,
}

#[derive(Debug, Clone)]
enum Move {
    /// Ticks of one weather for each guard.
    Ticks {
        weather: [Weather; 2],
        share: [Option<u8>; 2],
        gaps: Vec<u64>,
        kind: TickKind,
        late: bool,
    },
    /// The time until now once more, as history.
    Replay {
        weather: [Weather; 2],
        share: [Option<u8>; 2],
        ticks: u64,
    },
    /// Other settings, one of `worlds`.
    Reload(usize),
    /// The last tick once more.
    Again,
    Command {
        guard: usize,
        command: Asked,
    },
    Report {
        guard: usize,
        back: u32,
        progress: Progress,
    },
    Wait(u64),
}

#[derive(Debug, Clone)]
enum Asked {
    Rollback(Option<u8>),
    Rearm,
    Pause(u64),
    Resume,
    Acknowledge,
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        6 => Just(Weather::Bad),
        1 => Just(Weather::Middling),
        4 => Just(Weather::Good),
        1 => Just(Weather::Quiet),
        1 => Just(Weather::Failing),
        1 => Just(Weather::Absent),
    ]
}

fn progress() -> impl Strategy<Value = Progress> {
    let step = || "deployment_env ns/terminal".to_owned();
    let stepped = move |result| Progress::Step(StepReport { step: step(), result, detail: None });
    prop_oneof![
        1 => prop::sample::select(vec![StepResult::Changed, StepResult::AlreadyThere, StepResult::Failed])
            .prop_map(stepped),
        1 => Just(Progress::Accepted),
        4 => Just(Progress::Completed),
        3 => Just(Progress::Failed { step: "a".to_owned(), error: "refused".to_owned() }),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let share = || prop_oneof![5 => Just(Some(25)), 2 => Just(Some(0)), 1 => Just(Some(5)), 1 => Just(None)];
    let gap = || prop_oneof![8 => Just(10_u64), 1 => 1_u64..10, 1 => 11_u64..90];
    let kind = prop_oneof![6 => Just(TickKind::Live), 1 => Just(TickKind::History)];
    let ticks = (
        [weather(), weather()],
        [share(), share()],
        prop::collection::vec(gap(), 1..12),
        kind,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(weather, share, gaps, kind, late)| Move::Ticks { weather, share, gaps, kind, late });
    let asked = prop_oneof![
        2 => proptest::option::of(0_u8..=60).prop_map(Asked::Rollback),
        3 => Just(Asked::Rearm),
        1 => (0_u64..200).prop_map(Asked::Pause),
        1 => Just(Asked::Resume),
        2 => Just(Asked::Acknowledge),
    ];
    let command = (0_usize..2, asked).prop_map(|(guard, command)| Move::Command { guard, command });
    let report = (0_usize..2, prop_oneof![8 => Just(0_u32), 1 => 1_u32..3], progress())
        .prop_map(|(guard, back, progress)| Move::Report { guard, back, progress });
    let replay = ([weather(), weather()], [share(), share()], 1_u64..12)
        .prop_map(|(weather, share, ticks)| Move::Replay { weather, share, ticks });
    let one = prop_oneof![
        16 => ticks,
        1 => replay,
        1 => (0..WORLDS).prop_map(Move::Reload),
        2 => Just(Move::Again),
        6 => command,
        16 => report,
        2 => (1_u64..90).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..40)
}

const NAMES: [&str; 2] = ["db", "terminal"];
const HOLD: Duration = Duration::from_secs(60);

/// Short times, so that whole lives fit into a case. The first guard has a ladder.
fn world_settings() -> Settings {
    let errors = TriggerSettings {
        window: seconds(60),
        confirm_window: Some(seconds(20)),
        hold_for: HOLD,
        clear_for: seconds(20),
        ..error_rate()
    };
    let memory = TriggerSettings { hold_for: seconds(20), clear_for: seconds(10), ..memory() };
    let guard = |name, percentages: &[u8]| {
        let mut guard = guard(name, vec![errors.clone(), memory.clone()]);
        guard.rollback.percentages = percentages.to_vec();
        guard.rollback.verify_within = seconds(60);
        guard
    };
    let guards = vec![guard(NAMES[0], &[10, 0]), guard(NAMES[1], &[0])];
    Settings { blind_after: seconds(40), ..settings(guards) }
}

const WORLDS: usize = 6;

/// The settings that a reload can bring.
fn worlds(which: usize) -> Settings {
    let mut settings = world_settings();
    let db = &mut settings.guards[0];
    match which {
        0 => {}
        1 => drop(settings.guards.remove(0)),
        2 => db.triggers[0].levels.threshold = 0.02,
        3 => drop(db.triggers.remove(1)),
        4 => db.triggers[1].source = "other".to_owned(),
        _ => db.triggers[0].hold_for = seconds(30),
    }
    settings
}

fn observation(weather: Weather, share: Option<u8>) -> Option<Observation> {
    let counts = |ratio: f64, total: f64| Ok(Evidence::Counts { failed: ratio * total, total });
    let (errors, memory) = match weather {
        Weather::Absent => return None,
        Weather::Bad => (counts(0.05, 1e4), Ok(Evidence::Value(130.0))),
        Weather::Middling => (counts(0.007, 1e4), Ok(Evidence::Value(125.0))),
        Weather::Good => (counts(0.0, 1e4), Ok(Evidence::Value(1.0))),
        Weather::Quiet => (counts(0.0, 0.0), Ok(Evidence::Value(1.0))),
        Weather::Failing => {
            let failed = Unknown::QueryFailed("503".to_owned());
            (Err(failed.clone()), Err(failed))
        }
    };
    let errors = Reading { window: errors.clone(), confirm: Some(errors), baseline: None, burn: Vec::new() };
    let memory = Reading { window: memory, confirm: None, baseline: None, burn: Vec::new() };
    let readings = [("error_rate", errors), ("memory", memory)].into();
    Some(Observation { share: share.ok_or(Unknown::Cluster("503".to_owned())), readings, drift: Vec::new() })
}

/// What was told of one incident.
#[derive(Default)]
struct Told {
    events: BTreeMap<Event, u32>,
    rungs: BTreeSet<u8>,
    /// Rungs that a person went past before they were done.
    passed: u32,
    attempt: u32,
    superseded: bool,
}

/// Another engine that is told the same, and that a restart or a change of leader replaces now and then.
struct Heir {
    engine: Engine,
    /// How many attempts an incident has had more than without the restarts.
    ahead: BTreeMap<String, u32>,
}

impl Heir {
    fn new() -> Self {
        Self { engine: Engine::new(world_settings()), ahead: BTreeMap::new() }
    }

    fn ahead(&self, incident: &str) -> u32 {
        self.ahead.get(incident).copied().unwrap_or_default()
    }

    /// What the input is for this engine.
    fn told(&self, mut input: Input) -> Input {
        if let Input::Change(report) = &mut input {
            report.attempt += self.ahead(&report.incident);
        }
        input
    }

    /// What the actions, its own or those of the engine that was never replaced, are without the restarts and without what is only said.
    fn without_restarts(&self, actions: &[Action], own: bool) -> Vec<Action> {
        let mut actions: Vec<_> = actions.iter().filter(|a| !matches!(a, Action::Record(_))).cloned().collect();
        for action in &mut actions {
            match action {
                Action::Change(order) if own => order.attempt -= self.ahead(&order.incident),
                // It may not say that nothing was changed.
                Action::Notify(page) if page.event == Event::RollbackSucceeded => {
                    let incident = page.incident.as_deref().expect("a rollback has an incident");
                    if self.ahead(incident) > 0 {
                        page.summary.clear();
                        page.chinese.iter_mut().for_each(|chinese| chinese.summary.clear());
                    }
                }
                _ => {}
            }
        }
        actions
    }

    /// What an engine, its own or the one that was never replaced, remembers without the restarts.
    fn memory(&self, engine: &Engine, own: bool) -> Memory {
        let mut memory = engine.memory();
        for guard in memory.guards.values_mut() {
            for incident in guard.closed.iter_mut().chain(&mut guard.incident) {
                let ahead = self.ahead(&incident.id);
                if ahead > 0 {
                    incident.attempt -= if own { ahead } else { 0 };
                    incident.resumed = false;
                    incident.timeline.clear();
                    incident.left_out = 0;
                }
            }
        }
        memory
    }

    /// Another engine takes over. What was under way is ordered again, and nothing else is done.
    fn restart(&mut self, settings: Settings, now: Timestamp) {
        let before = self.engine.memory();
        let kept = through_json(&before);
        assert_eq!(kept, before, "the memory is another one after JSON");
        let mut under_way: BTreeSet<String> = self
            .engine
            .status()
            .iter()
            .filter(|s| s.state == GuardState::RollingBack)
            .map(|s| s.guard.clone())
            .collect();
        let (engine, actions) = Engine::resume(settings, kept, now);
        check_order(&actions);
        for action in &actions {
            match action {
                Action::Change(order) => {
                    assert!(under_way.remove(&order.guard), "nothing of it was under way: {order:?}");
                    assert!(order.delay.is_zero());
                    *self.ahead.entry(order.incident.clone()).or_default() += 1;
                }
                Action::Journal | Action::Record(Record::Rollback { result: "resumed", .. }) => {}
                other => panic!("a restart did {other:?}"),
            }
        }
        assert!(under_way.is_empty(), "not taken up again: {under_way:?}");
        self.engine = engine;
    }
}

/// What must come with the journal when it changes: everything but what each tick moves.
fn durable(mut memory: Memory) -> Memory {
    for guard in memory.guards.values_mut() {
        guard.share = None;
        guard.last_tick = None;
        for trigger in guard.triggers.values_mut() {
            trigger.clocks = Default::default();
            trigger.dark = None;
        }
    }
    memory
}

impl Told {
    fn count(&self, event: Event) -> u32 {
        self.events.get(&event).copied().unwrap_or_default()
    }

    fn ends(&self) -> u32 {
        self.count(Event::RollbackVerified) + self.count(Event::RollbackNotRecovered)
    }
}

/// The engine, a second one that is told the same, and what must hold of what they do.
struct World {
    engine: Engine,
    twin: Engine,
    /// Only where restarts are tried.
    heir: Option<Heir>,
    settings: Settings,
    at: Timestamp,
    last: Option<Tick>,
    ids: BTreeSet<String>,
    latest: BTreeMap<String, ChangeOrder>,
    under_way: BTreeSet<String>,
    latched: BTreeSet<String>,
    told: BTreeMap<String, Told>,
    /// The incident of each guard's last rollback.
    stories: BTreeMap<String, String>,
    /// The alerts of each incident that were opened and not ended, as whoever keeps alerts open has them.
    alerts: BTreeMap<String, Vec<Option<Alert>>>,
}

impl World {
    fn new() -> Self {
        Self {
            engine: Engine::new(world_settings()),
            twin: Engine::new(world_settings()),
            heir: None,
            settings: world_settings(),
            at: start(),
            last: None,
            ids: BTreeSet::new(),
            latest: BTreeMap::new(),
            under_way: BTreeSet::new(),
            latched: BTreeSet::new(),
            told: BTreeMap::new(),
            stories: BTreeMap::new(),
            alerts: BTreeMap::new(),
        }
    }

    /// What is held, by guard and trigger.
    fn held(&self) -> BTreeMap<(String, String), f64> {
        let status = self.engine.status();
        let triggers = status.iter().flat_map(|s| s.triggers.iter().map(move |t| (s, t)));
        triggers.map(|(s, t)| ((s.guard.clone(), t.name().to_owned()), t.held_seconds)).collect()
    }

    fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let by_hand = matches!(&input, Input::Command { command: Command::Rollback { .. }, .. });
        let reload = matches!(&input, Input::Reconfigure(_));
        let actions = self.engine.handle(input.clone(), now);
        if !actions.contains(&Action::Journal) && self.heir.is_none() {
            // The twin was not told yet.
            let (before, after) = (durable(self.twin.memory()), durable(self.engine.memory()));
            assert_eq!(before, after, "a change that must survive is not journalled: {actions:#?}");
        }
        if let Some(heir) = &mut self.heir {
            let heirs = heir.engine.handle(heir.told(input.clone()), now);
            let (heirs, ours) = (heir.without_restarts(&heirs, true), heir.without_restarts(&actions, false));
            assert_eq!(heirs, ours, "the heir does something else");
        }
        assert_eq!(actions, self.twin.handle(input, now), "the same input gave other actions");
        assert_eq!(self.engine, self.twin, "the same input gave another engine");
        check_order(&actions);
        for action in &actions {
            match action {
                Action::Change(order) => {
                    assert!(self.under_way.insert(order.guard.clone()), "two changes under way: {order:?}");
                    let told = self.told.entry(order.incident.clone()).or_default();
                    assert!(order.attempt > told.attempt, "the attempts do not rise: {order:?}");
                    told.attempt = order.attempt;
                    let further = !told.rungs.is_empty() && told.rungs.insert(order.percentage);
                    told.passed += u32::from(by_hand && further);
                    told.rungs.insert(order.percentage);
                    self.latest.insert(order.guard.clone(), order.clone());
                }
                Action::AbandonChange { guard, .. } => {
                    self.under_way.remove(guard);
                }
                Action::Notify(page) => self.page(page, by_hand, reload),
                Action::Journal | Action::Record(_) => {}
            }
        }
        self.what_is_over_has_ended();
        actions
    }

    /// Opens and ends the alerts of an incident as the page says. The incident's own one is `None`.
    fn keep_alerts(&mut self, page: &Notification, incident: &str, reload: bool) {
        let open = self.alerts.entry(incident.to_owned()).or_default();
        let percentage = page.rollback.as_ref().map_or(0, |rollback| rollback.to_percentage);
        let (opened, ended) = match page.event {
            // Taken out of the configuration while traffic may be half moved: that is a person's to end.
            Event::RollbackFailed if reload => return drop(self.alerts.remove(incident)),
            Event::RollbackStarted | Event::PageFiring => (Some(None), None),
            Event::RollbackFailed => (Some(Some(Alert::Failed)), None),
            Event::RollbackNotRecovered => (Some(Some(Alert::NotRecovered { percentage })), None),
            Event::RollbackReverted => (Some(Some(Alert::Reverted)), None),
            Event::RollbackSucceeded => (None, Some(Some(Alert::Failed))),
            Event::RollbackVerified | Event::PageResolved | Event::GuardRearmed => (None, Some(None)),
            Event::GuardAcknowledged => {
                let seen: Vec<_> = page.settles.iter().copied().map(Some).chain([None]).collect();
                assert!(open.iter().all(|alert| seen.contains(alert)), "{open:?} not acknowledged by {page:?}");
                return;
            }
            _ => return,
        };
        open.extend(opened.filter(|alert| !open.contains(alert)));
        if ended.is_some() {
            open.retain(|alert| ended != Some(*alert) && !alert.is_some_and(|alert| page.settles.contains(&alert)));
        }
    }

    /// Every alert that is open belongs to a story that goes on: nothing else would ever end it.
    fn what_is_over_has_ended(&self) {
        let memory = self.engine.memory();
        let of_guards = memory.guards.values().filter_map(|guard| guard.incident.as_ref());
        let of_triggers =
            memory.guards.values().flat_map(|guard| guard.triggers.values()).filter_map(|t| t.firing.as_ref());
        let going_on: BTreeSet<&str> = of_guards.chain(of_triggers).map(|incident| incident.id.as_str()).collect();
        for (incident, open) in self.alerts.iter().filter(|(incident, _)| !going_on.contains(incident.as_str())) {
            assert!(open.is_empty(), "{incident} is over, and is open for ever: {open:?}");
        }
    }

    fn page(&mut self, page: &Notification, by_hand: bool, reload: bool) {
        assert!(self.ids.insert(page.id.clone()), "the id {} was used before", page.id);
        let (Some(guard), Some(incident)) = (&page.guard, &page.incident) else {
            return;
        };
        self.keep_alerts(page, incident, reload);
        if reload {
            // The end of what is no longer configured.
            self.told.entry(incident.clone()).or_default().superseded = true;
            return;
        }
        *self.told.entry(incident.clone()).or_default().events.entry(page.event).or_default() += 1;
        match page.event {
            Event::RollbackStarted => {
                let was_latched = !self.latched.insert(guard.clone());
                assert!(by_hand || !was_latched, "rolled back twice without a re-arm: {}", page.summary);
                if let Some(before) = self.stories.insert(guard.clone(), incident.clone()) {
                    self.told.entry(before).or_default().superseded = true;
                }
            }
            Event::GuardRearmed => {
                self.latched.remove(guard);
            }
            _ => {}
        }
    }

    fn tick(&mut self, weather: [Weather; 2], share: [Option<u8>; 2], gap: u64, kind: TickKind, late: bool) {
        self.at += seconds(gap);
        let observed = |index: usize| Some((NAMES[index], observation(weather[index], share[index])?));
        let tick = Tick { at: self.at, kind, guards: (0..2).filter_map(observed).collect() };
        let now = if late { self.at + seconds(31) } else { self.at };
        let before = self.held();
        let actions = self.handle(Input::Tick(tick.clone()), now);
        let after = self.held();
        for (name, weather) in NAMES.into_iter().zip(weather) {
            let unseen: &[&str] = match weather {
                Weather::Failing | Weather::Absent => &["error_rate", "memory"],
                Weather::Quiet => &["error_rate"],
                _ => &[],
            };
            for trigger in unseen {
                let trigger = (name.to_owned(), (*trigger).to_owned());
                assert_eq!(before.get(&trigger), after.get(&trigger), "what is unknown changed the held clock");
            }
        }
        if kind == TickKind::History {
            assert!(actions.iter().all(|a| matches!(a, Action::Record(_))), "the past did something: {actions:#?}");
            let told = |a: &Action| matches!(a, Action::Record(Record::Verdict { .. } | Record::Ignored { .. }));
            assert!(!actions.iter().any(told), "the past is told at each tick: {actions:#?}");
        }
        if late || kind == TickKind::History {
            let fires = |a: &Action| {
                let Action::Notify(page) = a else { return false };
                matches!(page.event, Event::RollbackStarted | Event::PageFiring | Event::PageResolved)
            };
            assert!(!actions.iter().any(fires), "a tick that is not of now fired: {actions:#?}");
        }
        self.last = Some(tick);
        self.again(now);
        // What is handled late is handled before what comes later.
        self.at = now;
    }

    /// The same tick once more changes nothing.
    fn again(&mut self, now: Timestamp) {
        let Some(tick) = self.last.clone() else { return };
        let before = self.engine.clone();
        let actions = self.handle(Input::Tick(tick), now);
        assert!(actions.iter().all(|a| matches!(a, Action::Record(_))), "a repeated tick did something: {actions:#?}");
        assert_eq!(self.engine, before, "a repeated tick changed something");
    }

    fn report(&mut self, guard: &str, back: u32, progress: Progress) {
        let Some(order) = self.latest.get(guard).cloned() else {
            return;
        };
        if back == 0 && matches!(progress, Progress::Completed | Progress::Failed { .. }) {
            self.under_way.remove(guard);
        }
        let attempt = order.attempt.saturating_sub(back);
        let report = ChangeReport { guard: guard.to_owned(), incident: order.incident, attempt, progress };
        self.handle(Input::Change(report), self.at);
    }

    fn command(&mut self, guard: usize, asked: &Asked) {
        let command = match asked {
            Asked::Rollback(percentage) => {
                Command::Rollback { reason: "a try".to_owned(), percentage: *percentage, once: false }
            }
            Asked::Rearm => Command::Rearm,
            Asked::Pause(time) => Command::Pause { until: self.at + seconds(*time) },
            Asked::Resume => Command::Resume,
            Asked::Acknowledge => Command::Acknowledge,
        };
        self.handle(Input::Command { guard: NAMES[guard].to_owned(), command }, self.at);
    }

    fn replay(&mut self, weather: [Weather; 2], share: [Option<u8>; 2], ticks: u64) {
        for back in (0..ticks).rev() {
            let observed = |index: usize| Some((NAMES[index], observation(weather[index], share[index])?));
            let at = self.at - seconds(10 * back);
            let tick = Tick { at, kind: TickKind::History, guards: (0..2).filter_map(observed).collect() };
            let last: Vec<_> = self.engine.status().iter().map(|s| s.last_tick).collect();
            let actions = self.handle(Input::Tick(tick), self.at);
            assert!(actions.iter().all(|a| matches!(a, Action::Record(_))), "the past did something: {actions:#?}");
            for (before, now) in last.iter().zip(self.engine.status()) {
                assert!(now.last_tick >= *before, "history set the last tick back");
            }
        }
    }

    fn reload(&mut self, which: usize) {
        self.settings = worlds(which);
        let known = |name: &&str| self.settings.guards.iter().any(|g| g.name == *name);
        for gone in NAMES.iter().filter(|name| !known(name)) {
            self.latched.remove(*gone);
            if let Some(story) = self.stories.remove(*gone) {
                self.told.entry(story).or_default().superseded = true;
            }
        }
        self.handle(Input::Reconfigure(self.settings.clone()), self.at);
        // A guard that is new begins its names anew, and tells them apart by the second. To it the last tick would be news.
        self.at += seconds(1);
        self.last = None;
    }

    /// The heir is replaced, after it was seen to remember the same.
    fn restart(&mut self) {
        let Some(heir) = &mut self.heir else { return };
        assert_eq!(
            heir.memory(&heir.engine, true),
            heir.memory(&self.engine, false),
            "the heir remembers something else"
        );
        heir.restart(self.settings.clone(), self.at);
    }

    fn go(&mut self, step: Move) {
        match step {
            Move::Replay { weather, share, ticks } => self.replay(weather, share, ticks),
            Move::Reload(which) => self.reload(which),
            Move::Ticks { weather, share, gaps, kind, late } => {
                gaps.into_iter().for_each(|gap| self.tick(weather, share, gap, kind, late));
            }
            Move::Again => self.again(self.at),
            Move::Command { guard, command } => self.command(guard, &command),
            Move::Report { guard, back, progress } => self.report(NAMES[guard], back, progress),
            Move::Wait(time) => self.at += seconds(time),
        }
    }

    fn state(&self, guard: usize) -> GuardState {
        self.engine.status().iter().find(|s| s.guard == NAMES[guard]).expect("the guard is configured").state
    }

    /// Carries out what is under way until every story is told to its end.
    fn settle(&mut self) {
        self.reload(0);
        for _ in 0..60 {
            for (guard, name) in NAMES.into_iter().enumerate() {
                if self.state(guard) == GuardState::Paused {
                    self.command(guard, &Asked::Resume);
                }
                if self.state(guard) == GuardState::RollingBack {
                    self.report(name, 0, Progress::Completed);
                }
            }
            self.tick([Weather::Good; 2], [Some(0); 2], 10, TickKind::Live, false);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything that `World` asserts on the way, and that every rollback's story is told to its end.
    #[test]
    fn whatever_comes(moves in moves()) {
        let mut world = World::new();
        moves.into_iter().for_each(|step| world.go(step));
        world.settle();
        for (guard, name) in NAMES.into_iter().enumerate() {
            let state = world.state(guard);
            prop_assert!(
                matches!(state, GuardState::Watching | GuardState::RolledBack | GuardState::NotRecovered),
                "{} is still {:?}", name, state
            );
        }
        for (incident, told) in world.told.iter().filter(|(_, told)| told.count(Event::RollbackStarted) > 0) {
            let rungs = u32::try_from(told.rungs.len()).unwrap();
            let succeeded = told.count(Event::RollbackSucceeded);
            prop_assert_eq!(told.count(Event::RollbackStarted), 1, "{}", incident);
            prop_assert!(succeeded <= rungs, "{}: {} times succeeded", incident, succeeded);
            prop_assert!(told.count(Event::RollbackFailed) <= rungs, "{}: failed more than once a rung", incident);
            prop_assert!(told.count(Event::RollbackReverted) <= rungs, "{}: reverted more than once a rung", incident);
            prop_assert!(told.ends() <= succeeded, "{}: an outcome without a change", incident);
            if !told.superseded {
                let given_up = told.count(Event::RollbackFailed) > 0 && told.count(Event::GuardAcknowledged) > 0;
                prop_assert_eq!(told.ends(), succeeded, "{}: an outcome is missing", incident);
                prop_assert!(succeeded + told.passed == rungs || given_up, "{}: neither worked nor was given up", incident);
            }
        }
    }

    #[test]
    fn nothing_fires_before_its_time_was_seen(weather in prop::collection::vec((weather(), 1_u64..60), 1..80)) {
        let mut engine = Engine::new(world_settings());
        let mut at = start();
        let mut bad_since = None;
        let mut ticks_seen_bad = 0;
        for (weather, gap) in weather {
            at += seconds(gap);
            if weather == Weather::Bad {
                bad_since.get_or_insert(at);
            }
            ticks_seen_bad += u32::from(matches!(weather, Weather::Bad | Weather::Middling));
            let guards: BTreeMap<_, _> =
                observation(weather, Some(25)).map(|o| (NAMES[1], o)).into_iter().collect();
            let actions = engine.handle(Input::Tick(Tick { at, kind: TickKind::Live, guards }), at);
            if actions.iter().any(|a| matches!(a, Action::Change(_))) {
                let since = bad_since.expect("a breach before the change");
                prop_assert!(at >= since + HOLD);
                prop_assert!((ticks_seen_bad - 1) * 2 * INTERVAL >= HOLD);
                break;
            }
        }
    }

    #[test]
    fn an_uninterrupted_breach_fires_in_time(
        before in prop::collection::vec((weather(), 1_u64..60), 0..20),
        gaps in prop::collection::vec(1_u64..=20, 100),
    ) {
        let mut engine = Engine::new(world_settings());
        let mut at = start();
        let mut changed = false;
        let mut tick = |weather, gap| {
            at += seconds(gap);
            let guards: BTreeMap<_, _> =
                observation(weather, Some(25)).map(|o| (NAMES[1], o)).into_iter().collect();
            let actions = engine.handle(Input::Tick(Tick { at, kind: TickKind::Live, guards }), at);
            changed |= actions.iter().any(|a| matches!(a, Action::Change(_)));
            (at, changed)
        };
        for (weather, gap) in before {
            tick(weather, gap);
        }
        let (first, _) = tick(Weather::Bad, 10);
        for gap in gaps {
            let (at, changed) = tick(Weather::Bad, gap);
            if at >= first + HOLD + 2 * INTERVAL {
                prop_assert!(changed, "no change {} after the first breach", at - first);
                return Ok(());
            }
        }
        prop_assert!(false, "the ticks did not reach far enough");
    }
}

proptest! {
    // Fewer cases: each restarts a dozen times, so that there are more than a thousand points.
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// A restart or a change of leader, after any of the moves, changes nothing but the attempt that is made again: the heir does the
    /// same from then on, under the same ids. `World::handle` compares.
    #[test]
    fn another_engine_goes_on_the_same_from_any_point(
        moves in moves(),
        restarts in prop::collection::vec(prop::bool::weighted(0.4), 40),
    ) {
        let mut world = World { heir: Some(Heir::new()), ..World::new() };
        for (step, restarts) in moves.into_iter().zip(restarts) {
            world.go(step);
            if restarts {
                world.restart();
            }
        }
        world.restart();
        world.settle();
        world.restart();
    }
}
