//! What the page says of a night, and how much of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::tests::scenario;
use crate::engine::{
    ChangeReport, Command, Engine, Evidence, GuardSettings, Input, Observation, Progress, ReadinessReport, Reading,
    RollbackSettings, Settings, Tick, TickKind, TriggerSettings, Unknown,
};

use super::super::curves::Curves;
use super::super::{Lost, Queue, Snapshot};
use super::concerns::{self, Tone};
use super::selection::Selection;

const NAMES: [&str; 3] = ["adminer", "devbox", "terminal"];

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + Duration::from_secs(second)
}

/// Without a confirm window: one reading says all.
fn error_rate() -> TriggerSettings {
    TriggerSettings { confirm_window: None, ..scenario::error_rate() }
}

fn engine(names: &[String]) -> Engine {
    let guard = |name: &String| GuardSettings {
        name: name.clone(),
        triggers: vec![error_rate()],
        rollback: RollbackSettings {
            percentages: vec![0],
            verify_within: Duration::from_secs(600),
            drift_watch: Duration::from_secs(600),
            steps: vec!["deployment_env default/shop".to_owned()],
        },
    };
    let interval = Duration::from_secs(10);
    let (blind_after, live_for) = (interval * 12, interval * 2);
    let guards = names.iter().map(guard).collect();
    Engine::new(Settings { interval, blind_after, live_for, dry_run: false, chinese: false, guards })
}

fn three() -> Engine {
    engine(&NAMES.map(str::to_owned))
}

/// A tick at which all are well but terminal, whose evidence is given.
fn tick(engine: &mut Engine, second: u64, terminal: Result<Evidence, Unknown>) {
    let well = Evidence::Counts { failed: 0.0, total: 10_000.0 };
    let guards = NAMES.map(|name| {
        let window = if name == "terminal" { terminal.clone() } else { Ok(well) };
        let reading = Reading { window, confirm: None, baseline: None, burn: Vec::new() };
        (name, Observation { share: Ok(25), readings: BTreeMap::from([("error_rate", reading)]), drift: Vec::new() })
    });
    engine
        .handle(Input::Tick(Tick { at: at(second), kind: TickKind::Live, guards: BTreeMap::from(guards) }), at(second));
}

fn snapshot(engine: &Engine) -> Snapshot {
    Snapshot {
        leads: true,
        config_reload_success: true,
        started_at: at(0),
        last_tick: Some(at(60)),
        interval: Duration::from_secs(10),
        guards: engine.status(),
        incidents: engine.incidents(),
        ..Snapshot::default()
    }
}

fn said(snapshot: &Snapshot) -> Vec<(Tone, String)> {
    concerns::all(snapshot, at(61)).into_iter().map(|concern| (concern.tone, concern.text)).collect()
}

const WELL: Result<Evidence, Unknown> = Ok(Evidence::Counts { failed: 0.0, total: 10_000.0 });
const BAD: Result<Evidence, Unknown> = Ok(Evidence::Counts { failed: 310.0, total: 10_000.0 });

#[test]
fn the_headline_is_the_worst_there_is() {
    let mut engine = three();
    tick(&mut engine, 50, WELL);
    assert_eq!(said(&snapshot(&engine)), [], "all are well");

    tick(&mut engine, 60, BAD);
    let breach = "terminal: error rate 3.1 %, limit 1 %, held 0s of 5m0s".to_owned();
    assert_eq!(said(&snapshot(&engine)), [(Tone::Bad, breach.clone())]);

    // What is less bad comes after it.
    let mut other = snapshot(&engine);
    other.config_reload_success = false;
    other.receivers = vec![Queue { receiver: "oncall".to_owned(), waiting: 3, oldest_seconds: 300.0 }];
    other.guards[0].paused_until = Some(at(600));
    let all: Vec<Tone> = said(&other).into_iter().map(|(tone, _)| tone).collect();
    assert_eq!(all, [Tone::Bad, Tone::Warn, Tone::Warn, Tone::Warn]);
    assert_eq!(said(&other)[2].1, "oncall does not take notifications: 3 waiting, the oldest for 5m0s");

    tick(&mut engine, 70, Err(Unknown::NoTraffic));
    assert!(said(&snapshot(&engine)).iter().all(|(tone, _)| *tone != Tone::Unknown), "little traffic is no blindness");
    let mut blind = three();
    tick(&mut blind, 60, Err(Unknown::NoSeries));
    assert_eq!(said(&snapshot(&blind)), [(Tone::Unknown, "Does not see: terminal".to_owned())]);
}

#[test]
fn a_rollback_is_told_as_far_as_it_is() {
    let mut engine = three();
    tick(&mut engine, 50, WELL);
    let reason = "users complain".to_owned();
    let command = Command::Rollback { reason, percentage: None, once: false };
    engine.handle(Input::Command { guard: "terminal".to_owned(), command }, at(51));
    assert_eq!(said(&snapshot(&engine))[0].1, "terminal: rolling back 25 % → 0 %");
    let incident = engine.incidents()[0].id.clone();
    let mut report = |progress, second| {
        let report = ChangeReport { guard: "terminal".to_owned(), incident: incident.clone(), attempt: 1, progress };
        engine.handle(Input::Change(report), at(second));
        said(&snapshot(&engine))[0].clone()
    };
    report(Progress::Accepted, 52);
    let (tone, text) = report(Progress::Completed, 53);
    assert_eq!((tone, text.as_str()), (Tone::Warn, "terminal: rolled back 25 % → 0 %, and watched whether it helped"));
    // The share is 25 % again.
    tick(&mut engine, 60, WELL);
    tick(&mut engine, 70, WELL);
    let undone = "terminal: rolled back 25 % → 0 %, and somebody UNDID it; the share is 25 % now".to_owned();
    assert_eq!(said(&snapshot(&engine))[0], (Tone::Bad, undone));

    let mut engine = three();
    tick(&mut engine, 50, WELL);
    let command = Command::Rollback { reason: "x".to_owned(), percentage: None, once: false };
    engine.handle(Input::Command { guard: "terminal".to_owned(), command }, at(51));
    let failed = Progress::Failed { step: "deployment_env default/shop".to_owned(), error: "forbidden".to_owned() };
    let incident = engine.incidents()[0].id.clone();
    engine.handle(
        Input::Change(ChangeReport { guard: "terminal".to_owned(), incident, attempt: 1, progress: failed }),
        at(52),
    );
    let (tone, text) = said(&snapshot(&engine))[0].clone();
    assert!(tone == Tone::Bad && text.contains("FAILS, and is tried again"), "{text}");
}

#[test]
fn what_is_wrong_with_ripcord_itself_is_said() {
    let mut engine = three();
    tick(&mut engine, 50, WELL);
    let well = snapshot(&engine);
    type Change = fn(&mut Snapshot);
    let cases: [(Change, Tone, &str); 6] = [
        (
            |s| s.last_tick = Some(at(0) - Duration::from_secs(100)),
            Tone::Bad,
            "Nothing was measured for 2m41s: Ripcord stands still",
        ),
        (|s| s.last_tick = None, Tone::Note, "Nothing is measured yet: Ripcord has just started"),
        (|s| s.state_error = Some("disk full".to_owned()), Tone::Bad, "The state is not kept: disk full"),
        (|s| s.leads = false, Tone::Bad, "Does not lead, and knows of no replica that does"),
        (|s| (s.leads, s.leader) = (false, Some("ripcord-1_x".to_owned())), Tone::Note, "Stands by: ripcord-1_x leads"),
        (
            |s| {
                s.lost = vec![Lost {
                    receiver: "oncall".to_owned(),
                    time: at(1),
                    event: "rollback.started",
                    summary: String::new(),
                    reason: String::new(),
                }];
            },
            Tone::Warn,
            "1 notification was lost: see below",
        ),
    ];
    for (change, tone, text) in cases {
        let mut snapshot = well.clone();
        change(&mut snapshot);
        assert_eq!(said(&snapshot), [(tone, text.to_owned())]);
    }
}

#[test]
fn of_many_guards_those_are_shown_that_are_not_well_and_the_rest_is_counted() {
    let names: Vec<String> = (0..1000).map(|n| format!("guard-{n:03}")).collect();
    let mut engine = engine(&names);
    for guard in ["guard-500", "guard-900"] {
        let problems = vec![crate::engine::Problem { step: "s".to_owned(), error: "e".to_owned() }];
        let report = ReadinessReport { guard: guard.to_owned(), problems, warnings: Vec::new() };
        engine.handle(Input::Readiness(report), at(1));
    }
    let snapshot = snapshot(&engine);
    let of = |filter: Option<&str>| {
        let selection = Selection::of(&snapshot, &Curves::default(), filter, at(61));
        let whole: Vec<String> = selection.whole.iter().map(|whole| whole.status.guard.clone()).collect();
        (whole, selection.lines.len(), selection.left_out)
    };
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of(None), (own(&["guard-500", "guard-900"]), 200, 798));
    assert_eq!(of(Some("guard-90")).0.len(), 10, "few are shown whole");
    assert_eq!(of(Some("guard-9")), (own(&["guard-900"]), 99, 0));
    assert_eq!(of(Some("nobody")), (own(&[]), 0, 0));
}
