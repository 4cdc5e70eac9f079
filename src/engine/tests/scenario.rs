//! Scenarios as text: one line per phase, command or report in, one line per thing that the engine does out.
//!
//! A phase is a time and what is measured during it. Its first tick is at its beginning and its end belongs to the next phase, so that
//! after `5m 5 %` from the start the last tick is at 4m50s and 4m50s of breach were observed.
//!
//! | line | meaning |
//! |---|---|
//! | `5m 5 %` | 5 % of 100 requests per second fail, over both windows |
//! | `5m 5 %, now 0 %` | 5 % over the window, 0 % over the confirm window |
//! | `5m 5 %, now no traffic` | the confirm window is unknown |
//! | `5m 5 % at 2 rps` | another number of requests |
//! | `5m flow 5 % at 2 rps` | requests as they come; the windows are summed over what came |
//! | `5m failing`, `no series`, `no traffic`, `few` | unknown, for this reason |
//! | `5m value 130` | what triggers on a plain value read; ratios are at 0 % then |
//! | `5m absent` | the guard is not in the tick at all |
//! | `5m 5 % \| 0 %` | the first guard and the second |
//! | `history 5m …`, `late 5m …` | ticks of the past, live ticks handled too late |
//! | `replay 5m …` | ticks of the past, of the time that ends now |
//! | `restart` | another engine goes on from the memory of this one, which goes through JSON |
//! | `again`, `older` | the last tick once more, and one that is a second older |
//! | `share 25`, `share ?` | the share as it is read from now on |
//! | `rearm`, `resume`, `ack`, `pause 10m`, `by hand`, `by hand 50` | commands |
//! | `shift 40`, `force 40`, `alert` | commands: a step of the migration, the same by force, a rollback as alerting systems ask for it |
//! | `record 100`, `use 1` | commands: a baseline for the first trigger that takes a recorded one |
//! | `drift kubectl`, `no drift` | what is found of the watched rollback from now on |
//! | `ready`, `not ready step_a step_b` | what came of trying whether a rollback would work |
//! | `saved` | a report of the present attempt: the objects were saved |
//! | `completed` | the same; the share is there (of a single guard) |
//! | `changed`, `would change`, `already there`, `accepted`, `failed` | reports of the present attempt |
//! | `old completed` | a report of the attempt before |
//! | `wait 10s` | time passes without a tick |
//! | `show` | says the state, the verdict and the held clock |
//! | `db: completed` | a command or a report of the guard `db` |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::super::*;

pub const INTERVAL: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(300);
const CONFIRM: Duration = Duration::from_secs(60);
const DEFAULT_RPS: f64 = 100.0;

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The instant at which every scenario begins.
pub fn start() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

/// Above 1 %, clear below 0.5 %, window 5m, confirm 1m, for 5m, clear for 1m.
pub fn error_rate() -> TriggerSettings {
    TriggerSettings {
        name: "error_rate".to_owned(),
        action: TriggerAction::Rollback,
        severity: Severity::Critical,
        source: String::new(),
        measure: Measure::FailureRatio,
        side: Side::Above,
        levels: Levels { threshold: 0.01, clear: 0.005 },
        stages: Vec::new(),
        burn_rates: Vec::new(),
        window: WINDOW,
        confirm_window: Some(CONFIRM),
        hold_for: seconds(300),
        clear_for: seconds(60),
        literal: false,
        unit: Unit::Ratio,
        baseline: None,
    }
}

/// A plain value above 128, clear below 120, for 5m, clear for 1m; it only pages.
pub fn memory() -> TriggerSettings {
    TriggerSettings {
        name: "memory".to_owned(),
        action: TriggerAction::Page,
        severity: Severity::Warning,
        measure: Measure::Value,
        levels: Levels { threshold: 128.0, clear: 120.0 },
        window: Duration::ZERO,
        confirm_window: None,
        unit: Unit::None,
        ..error_rate()
    }
}

pub fn guard(name: &str, triggers: Vec<TriggerSettings>) -> GuardSettings {
    GuardSettings {
        name: name.to_owned(),
        triggers,
        rollback: RollbackSettings {
            percentages: vec![0],
            verify_within: seconds(600),
            drift_watch: seconds(3600),
            steps: vec!["deployment_env ns/terminal".to_owned()],
        },
    }
}

/// Two unknown minutes make blind; a live tick may be 30 s old.
pub fn settings(guards: Vec<GuardSettings>) -> Settings {
    Settings {
        interval: INTERVAL,
        blind_after: seconds(120),
        live_for: seconds(30),
        dry_run: false,
        chinese: true,
        guards,
    }
}

/// One guard with the error rate alone.
pub fn plain() -> Settings {
    settings(vec![guard("terminal", vec![error_rate()])])
}

/// Runs the script and compares what was done with the expected lines.
#[track_caller]
pub fn check(settings: Settings, script: &str, expected: &str) {
    let mut scenario = Scenario::new(settings);
    scenario.run(script);
    scenario.expect(expected);
}

/// An engine, the world around it and what it did so far.
pub struct Scenario {
    pub engine: Engine,
    pub now: Duration,
    pub notifications: Vec<Notification>,
    pub orders: Vec<ChangeOrder>,
    pub withheld: Vec<Withheld>,
    pub last_tick: Option<Tick>,
    names: Vec<String>,
    triggers: Vec<Vec<TriggerSettings>>,
    settings: Settings,
    share: Result<u8, Unknown>,
    drift: Vec<Drift>,
    /// Failed and total requests of every second so far.
    flow: Vec<(f64, f64)>,
    ids: BTreeSet<String>,
    log: Vec<String>,
}

impl Scenario {
    pub fn new(settings: Settings) -> Self {
        let mut scenario = Self {
            engine: Engine::new(settings.clone()),
            now: Duration::ZERO,
            notifications: Vec::new(),
            orders: Vec::new(),
            withheld: Vec::new(),
            names: Vec::new(),
            triggers: Vec::new(),
            settings: settings.clone(),
            share: Ok(25),
            drift: Vec::new(),
            flow: Vec::new(),
            last_tick: None,
            ids: BTreeSet::new(),
            log: Vec::new(),
        };
        scenario.learn(&settings);
        scenario
    }

    fn learn(&mut self, settings: &Settings) {
        self.names = settings.guards.iter().map(|g| g.name.clone()).collect();
        self.triggers = settings.guards.iter().map(|g| g.triggers.clone()).collect();
        self.settings = settings.clone();
    }

    /// Another engine goes on with these settings from the memory of this one.
    pub fn restart(&mut self, settings: Settings) {
        self.learn(&settings);
        let (engine, actions) = Engine::resume(settings, through_json(&self.engine.memory()), self.time());
        self.engine = engine;
        self.note(&actions);
    }

    pub fn reconfigure(&mut self, settings: Settings) {
        self.learn(&settings);
        self.feed(Input::Reconfigure(settings), self.time());
    }

    pub fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
        }
    }

    /// Compares what was done since the last comparison.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let got = std::mem::take(&mut self.log);
        assert!(got == expected, "\nexpected:\n  {}\ngot:\n  {}\n", expected.join("\n  "), got.join("\n  "));
    }

    /// What was done so far is not compared.
    pub fn forget(&mut self) {
        self.log.clear();
    }

    /// The last line of what was done.
    pub fn expect_last(&mut self) -> String {
        self.log.pop().expect("something was done")
    }

    pub fn time(&self) -> Timestamp {
        start() + self.now
    }

    fn line(&mut self, line: &str) {
        let (guard, rest) = line.split_once(": ").unwrap_or((&self.names[0], line));
        let guard = guard.to_owned();
        match rest.split_once(' ') {
            _ if rest == "show" => self.show(&guard),
            _ if rest == "again" => {
                let tick = self.last_tick.clone().expect("a tick before");
                self.feed(Input::Tick(tick), self.time());
            }
            _ if rest == "older" => {
                let mut tick = self.last_tick.clone().expect("a tick before");
                tick.at -= seconds(1);
                self.feed(Input::Tick(tick), self.time());
            }
            Some(("share", share)) => self.share = share.parse().map_err(|_| Unknown::Cluster("timed out".to_owned())),
            Some(("drift", who)) => {
                let step = "deployment_env ns/terminal".to_owned();
                let (field, is, not) = ("ISTIO_PERCENTAGE".to_owned(), Held::of(Some("25")), "0".to_owned());
                let what = Differences(vec![Difference::Is { field, is, not }]);
                self.drift = vec![Drift { step, what, who: Some(who.to_owned()) }];
            }
            _ if rest == "no drift" => self.drift.clear(),
            _ if rest == "ready" => self.readiness(&guard, ""),
            Some(("not", steps)) => self.readiness(&guard, steps.strip_prefix("ready ").expect("steps")),
            Some(("wait", time)) => self.now += duration(time),
            _ if rest == "restart" => self.restart(self.settings.clone()),
            Some(("replay", phase)) => {
                let (end, time) = (self.now, phase.split_once(' ').expect("a time").0);
                self.now -= duration(time);
                self.phase_until(phase, TickKind::History, |_| start() + end);
            }
            Some(("history", phase)) => self.phase(phase, TickKind::History, Duration::ZERO),
            Some(("late", phase)) => self.phase(phase, TickKind::Live, seconds(31)),
            Some(("old", report)) => self.report(&guard, report, 1),
            _ if self.command(&guard, rest) => {}
            _ if rest.starts_with(|c: char| c.is_ascii_digit()) => self.phase(rest, TickKind::Live, Duration::ZERO),
            _ => self.report(&guard, rest, 0),
        }
    }

    fn command(&mut self, guard: &str, text: &str) -> bool {
        let command = match text.split_once(' ') {
            None if text == "rearm" => Command::Rearm,
            None if text == "resume" => Command::Resume,
            None if text == "ack" => Command::Acknowledge,
            Some(("pause", time)) => Command::Pause { until: self.time() + duration(time) },
            Some(("by", hand)) => Command::Rollback {
                reason: "a try".to_owned(),
                percentage: hand.strip_prefix("hand ").map(|share| share.parse().unwrap()),
                once: false,
            },
            None if text == "alert" => {
                Command::Rollback { reason: "complaints".to_owned(), percentage: None, once: true }
            }
            Some(("record", value)) => {
                let measured = self.measured(guard, value.parse().unwrap());
                Command::RecordBaselines { baselines: vec![measured] }
            }
            Some(("use", version)) => {
                let trigger = self.measured(guard, 0.0).trigger;
                Command::UseBaseline { trigger, version: version.parse().unwrap() }
            }
            Some((how @ ("shift" | "force"), share)) => {
                Command::Shift { reason: "day 3".to_owned(), percentage: share.parse().unwrap(), force: how == "force" }
            }
            _ => return false,
        };
        self.feed(Input::Command { guard: guard.to_owned(), command }, self.time());
        true
    }

    /// What a day before now says of the first trigger with a recorded baseline.
    pub fn measured(&self, guard: &str, value: f64) -> NewBaseline {
        let index = self.names.iter().position(|name| name == guard).expect("the guard");
        let trigger = self.triggers[index].iter().find_map(|t| Some((t, t.baseline.as_ref()?.digest()?)));
        let (trigger, of) = trigger.expect("a trigger with a recorded baseline");
        let (from, to) = (self.time() - seconds(86_400), self.time());
        let measured = Measurement { value, count: 1e6, counted: Counted::Samples, covered: 1.0, from, to, of };
        NewBaseline { trigger: trigger.name.clone(), measured }
    }

    fn readiness(&mut self, guard: &str, failing: &str) {
        let problem = |step: &str| Problem { step: step.to_owned(), error: "refused".to_owned() };
        let problems = failing.split_whitespace().map(problem).collect();
        let report = ReadinessReport { guard: guard.to_owned(), problems, warnings: Vec::new() };
        self.feed(Input::Readiness(report), self.time());
    }

    fn report(&mut self, guard: &str, text: &str, back: u32) {
        let order = self.orders.iter().rfind(|o| o.guard == guard).expect("an order before its report");
        let step = "deployment_env ns/terminal".to_owned();
        let stepped = |result| Progress::Step(StepReport { step: step.clone(), result, detail: None });
        let progress = match text {
            "changed" => stepped(StepResult::Changed),
            "would change" => stepped(StepResult::WouldChange),
            "already there" => stepped(StepResult::AlreadyThere),
            "saved" => Progress::Saved(vec![SavedObject {
                object: "Deployment ns/terminal".to_owned(),
                yaml: "a: 1\n".to_owned(),
            }]),
            "accepted" => Progress::Accepted,
            "completed" => Progress::Completed,
            "failed" => Progress::Failed { step, error: "refused".to_owned() },
            other => panic!("no such line: {other}"),
        };
        if text == "completed" && back == 0 && !order.dry_run && self.names.len() == 1 {
            self.share = Ok(order.percentage);
        }
        let report = ChangeReport {
            guard: guard.to_owned(),
            incident: order.incident.clone(),
            attempt: order.attempt - back,
            progress,
        };
        self.feed(Input::Change(report), self.time());
    }

    fn phase(&mut self, text: &str, kind: TickKind, late: Duration) {
        self.phase_until(text, kind, |at| at + late);
    }

    /// `handled` says when the tick of an instant is handled.
    fn phase_until(&mut self, text: &str, kind: TickKind, handled: impl Fn(Timestamp) -> Timestamp) {
        let (time, what) = text.split_once(' ').expect("a time and what is measured");
        let end = self.now + duration(time);
        while self.now < end {
            let mut guards = BTreeMap::new();
            for (index, what) in what.split('|').map(str::trim).enumerate() {
                if what != "absent" {
                    let readings =
                        self.triggers[index].iter().map(|t| (lasting(&t.name), self.reading(t, what))).collect();
                    guards.insert(
                        lasting(&self.names[index]),
                        Observation { share: self.share.clone(), readings, drift: self.drift.clone() },
                    );
                }
            }
            let tick = Tick { at: self.time(), kind, guards };
            self.last_tick = Some(tick.clone());
            self.feed(Input::Tick(tick), handled(self.time()));
            if let Some(flow) = what.strip_prefix("flow ") {
                let (ratio, rps) = ratio_and_rps(flow);
                self.flow.extend((0..INTERVAL.as_secs()).map(|_| (ratio * rps, rps)));
            }
            self.now += INTERVAL;
        }
    }

    fn reading(&self, trigger: &TriggerSettings, what: &str) -> Reading {
        let (over_window, over_confirm) = what.split_once(", now ").unwrap_or((what, what));
        let (window, confirm) = match what.strip_prefix("flow ") {
            Some(_) => (self.summed(WINDOW), self.summed(CONFIRM)),
            None => (evidence(over_window, trigger, WINDOW), evidence(over_confirm, trigger, CONFIRM)),
        };
        Reading { window, confirm: trigger.confirm_window.map(|_| confirm), baseline: None, burn: Vec::new() }
    }

    fn summed(&self, window: Duration) -> Result<Evidence, Unknown> {
        let from = self.flow.len().saturating_sub(usize::try_from(window.as_secs()).unwrap());
        let (failed, total) = self.flow[from..].iter().fold((0.0, 0.0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
        Ok(Evidence::Counts { failed, total })
    }

    fn show(&mut self, guard: &str) {
        let status = self.engine.status().into_iter().find(|s| s.guard == guard).expect("the guard");
        for trigger in status.triggers {
            let held = words::duration(Duration::from_secs_f64(trigger.held_seconds));
            self.say(format!("{}, {} {}, held {held}", status.state.as_str(), trigger.name(), trigger.verdict));
        }
    }

    fn say(&mut self, text: String) {
        self.log.push(format!("{} {text}", words::duration(self.now)));
    }

    /// Hands one input to the engine, checks what holds of every list of actions, and writes down what was done.
    pub fn feed(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let actions = self.engine.handle(input, now);
        self.note(&actions);
        actions
    }

    fn note(&mut self, actions: &[Action]) {
        check_order(actions);
        let of = |guard: &str| {
            if self.names.len() > 1 { format!("{guard}: ") } else { String::new() }
        };
        let mut lines = Vec::new();
        for action in actions {
            match action {
                Action::Journal
                | Action::Record(Record::Verdict { .. } | Record::Rollback { .. } | Record::Retrying { .. }) => {}
                Action::Change(order) => {
                    let dry = if order.dry_run { ", dry run" } else { "" };
                    let what = if order.rollback { "change" } else { "shift" };
                    lines.push(format!(
                        "{}{what} to {} %, attempt {}{dry}",
                        of(&order.guard),
                        order.percentage,
                        order.attempt
                    ));
                    self.orders.push(order.clone());
                }
                Action::AbandonChange { guard, .. } => lines.push(format!("{}abandon", of(guard))),
                Action::Notify(page) => {
                    assert!(self.ids.insert(page.id.clone()), "the id {} was used before", page.id);
                    let about = page.guard.as_deref().map_or_else(String::new, of);
                    lines.push(format!("{about}{} {}", page.severity.as_str(), page.event.as_str()));
                    self.notifications.push(page.clone());
                }
                Action::Record(Record::Transition { guard, to, .. }) => {
                    lines.push(format!("{}{}", of(guard), to.as_str()));
                }
                Action::Record(Record::Withheld { guard, reason, .. }) => {
                    self.withheld.push(reason.clone());
                    // What the verdict says already would only make the tables longer.
                    if matches!(reason, Withheld::NotBreaching | Withheld::Unknown(_)) {
                        continue;
                    }
                    let reason = format!("{reason:?}");
                    let word = reason.split('(').next().unwrap_or_default().to_lowercase();
                    lines.push(format!("{}withheld {word}", of(guard)));
                }
                Action::Record(Record::Ignored { .. }) => lines.push("ignored".to_owned()),
                Action::Record(Record::Baseline { guard, detail, .. }) => lines.push(format!("{}{detail}", of(guard))),
                Action::Record(Record::Shift { guard, result, .. }) => lines.push(format!("{}{result}", of(guard))),
                Action::Record(Record::Readiness { guard, ready, .. }) => {
                    lines.push(format!("{}{}", of(guard), if *ready { "is ready" } else { "is not ready" }));
                }
            }
        }
        lines.into_iter().for_each(|line| self.say(line));
    }
}

/// What a memory is after it was written and read again.
pub fn through_json(memory: &Memory) -> Memory {
    serde_json::from_str(&serde_json::to_string(memory).unwrap()).unwrap()
}

/// The journal is written before a change begins, and no page comes before a change.
#[track_caller]
pub fn check_order(actions: &[Action]) {
    let first = |of: fn(&Action) -> bool| actions.iter().position(of);
    let last = |of: fn(&Action) -> bool| actions.iter().rposition(of);
    let change = |a: &Action| matches!(a, Action::Change(_));
    let notify = |a: &Action| matches!(a, Action::Notify(_));
    let journal = first(|a| matches!(a, Action::Journal));
    let abandon = |a: &Action| matches!(a, Action::AbandonChange { .. });
    for begun in [first(change), first(abandon), first(notify)].into_iter().flatten() {
        assert!(journal.is_some_and(|journal| journal < begun), "not journalled before: {actions:#?}");
    }
    if let (Some(change), Some(notify)) = (last(change), first(notify)) {
        assert!(change < notify, "a page comes before a change: {actions:#?}");
    }
}

fn evidence(what: &str, trigger: &TriggerSettings, window: Duration) -> Result<Evidence, Unknown> {
    let value = what.strip_prefix("value ").map(|value| value.parse().unwrap());
    match what {
        "failing" => return Err(Unknown::QueryFailed("503".to_owned())),
        "no series" => return Err(Unknown::NoSeries),
        "no traffic" => return Err(Unknown::NoTraffic),
        "few" => {
            return Err(Unknown::TooFewRequests { requests: 3.0, needed: 200.0 });
        }
        _ => {}
    }
    if matches!(trigger.measure, Measure::Value | Measure::ValueDegradation) {
        return Ok(Evidence::Value(value.unwrap_or(0.0)));
    }
    let (ratio, rps) = if value.is_some() { (0.0, DEFAULT_RPS) } else { ratio_and_rps(what) };
    let total = rps * window.as_secs_f64();
    Ok(Evidence::Counts { failed: ratio * total, total })
}

/// `5 % at 2 rps`.
fn ratio_and_rps(text: &str) -> (f64, f64) {
    let (ratio, rps) = text.split_once(" at ").unwrap_or((text, "100 rps"));
    let number = |text: &str, unit: &str| -> f64 {
        let number = text.strip_suffix(unit).and_then(|n| n.trim().parse().ok());
        number.unwrap_or_else(|| panic!("not a number with {unit}: {text}"))
    };
    (number(ratio, "%") / 100.0, number(rps, "rps"))
}

/// `5m10s`.
fn duration(text: &str) -> Duration {
    let mut total = 0;
    let mut number = 0;
    for c in text.chars() {
        match c {
            'h' | 'm' | 's' => {
                total += number * [("h", 3600), ("m", 60), ("s", 1)].iter().find(|u| u.0 == c.to_string()).unwrap().1;
                number = 0;
            }
            digit => number = number * 10 + u64::from(digit.to_digit(10).expect("a time like 5m10s")),
        }
    }
    seconds(total)
}

/// A name as a tick has it. A test may leave it behind.
pub fn lasting(name: &str) -> Name {
    Box::leak(name.into())
}
