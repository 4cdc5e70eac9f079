//! The rules that are compared: "more than 1 % of the requests failed, for 5 minutes", read in three ways.

use std::time::Duration;

use jiff::Timestamp;
use ripcord::engine::{
    Action, Engine, Event, Evidence, GuardSettings, Input, Levels, Measure, Observation, Reading, RollbackSettings,
    Settings, Severity, Side, Tick, TickKind, TriggerAction, TriggerSettings, Unit,
};

use super::traffic::{Counts, INTERVAL};

const THRESHOLD: f64 = 0.01;
const CLEAR: f64 = 0.005;
const HOLD: u32 = 300;

/// How the rule is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// As an alerting rule: `failed / all > 0.01` over one window of 5m, `for: 5m`, evaluated every 10 s.
    Plain,
    /// By Ripcord's engine with `low_traffic: literal`: two windows, hysteresis, and the ratio as it is.
    Literal,
    /// By Ripcord's engine as it comes.
    Ripcord,
}

impl Reads {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Literal, Self::Ripcord];

    /// A rule that has seen nothing yet.
    pub fn rule(self) -> Rule {
        match self {
            Self::Plain => Rule::Plain(Plain::default()),
            Self::Literal => Rule::Engine(Box::new(Judge::new(true))),
            Self::Ripcord => Rule::Engine(Box::new(Judge::new(false))),
        }
    }
}

/// One rule, and what it remembers.
pub enum Rule {
    Plain(Plain),
    Engine(Box<Judge>),
}

impl Rule {
    /// The next tick. Whether the rule trips at it.
    pub fn trips(&mut self, window: Counts, confirm: Counts) -> bool {
        match self {
            Self::Plain(plain) => plain.trips(window),
            Self::Engine(judge) => judge.trips(window, confirm),
        }
    }
}

/// What Prometheus does with `for`: pending from the first evaluation that is true, back to nothing at one that is not, firing once it has
/// been true at each for so long.
#[derive(Default)]
pub struct Plain {
    now: u32,
    active_since: Option<u32>,
    firing: bool,
}

impl Plain {
    fn trips(&mut self, window: Counts) -> bool {
        self.now += INTERVAL;
        // Without requests it is 0 / 0, which is above nothing.
        if f64::from(window.failed) / f64::from(window.total) > THRESHOLD {
            let since = *self.active_since.get_or_insert(self.now);
            let was_firing = std::mem::replace(&mut self.firing, self.now - since >= HOLD);
            return self.firing && !was_firing;
        }
        self.active_since = None;
        self.firing = false;
        false
    }
}

/// The names in it.
const GUARD: &str = "service";
const TRIGGER: &str = "error_rate";

/// Ripcord's engine. Its trigger only pages: a rollback would latch, and what ends here is to begin again. When it fires is the same.
pub struct Judge {
    engine: Engine,
    at: Timestamp,
}

impl Judge {
    fn new(literal: bool) -> Self {
        let trigger = TriggerSettings {
            name: TRIGGER.to_owned(),
            action: TriggerAction::Page,
            severity: Severity::Critical,
            source: String::new(),
            measure: Measure::FailureRatio,
            side: Side::Above,
            levels: Levels { threshold: THRESHOLD, clear: CLEAR },
            baseline: None,
            stages: Vec::new(),
            burn_rates: Vec::new(),
            window: Duration::from_secs(300),
            confirm_window: Some(Duration::from_secs(60)),
            hold_for: Duration::from_secs(u64::from(HOLD)),
            clear_for: Duration::from_secs(60),
            literal,
            unit: Unit::Ratio,
        };
        let guard = GuardSettings {
            name: GUARD.to_owned(),
            triggers: vec![trigger],
            rollback: RollbackSettings {
                percentages: vec![0],
                verify_within: Duration::from_secs(600),
                drift_watch: Duration::from_secs(600),
                steps: vec!["deployment_env ns/service".to_owned()],
            },
        };
        let settings = Settings {
            interval: Duration::from_secs(u64::from(INTERVAL)),
            blind_after: Duration::from_secs(120),
            live_for: Duration::from_secs(30),
            dry_run: false,
            chinese: false,
            guards: vec![guard],
        };
        Self { engine: Engine::new(settings), at: Timestamp::from_second(1_767_312_000).expect("2026-01-02T00:00:00Z") }
    }

    fn trips(&mut self, window: Counts, confirm: Counts) -> bool {
        self.at += Duration::from_secs(u64::from(INTERVAL));
        let evidence =
            |counts: Counts| Ok(Evidence::Counts { failed: f64::from(counts.failed), total: f64::from(counts.total) });
        let reading =
            Reading { window: evidence(window), confirm: Some(evidence(confirm)), baseline: None, burn: Vec::new() };
        let observation = Observation { share: Ok(25), readings: [(TRIGGER, reading)].into(), drift: Vec::new() };
        let tick = Tick { at: self.at, kind: TickKind::Live, guards: [(GUARD, observation)].into() };
        let actions = self.engine.handle(Input::Tick(tick), self.at);
        actions.iter().any(|action| matches!(action, Action::Notify(page) if page.event == Event::PageFiring))
    }
}
