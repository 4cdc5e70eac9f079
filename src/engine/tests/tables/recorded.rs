//! Baselines that were recorded: which one is in use, what is refused, how long they hold, and what outlives what.

use serde_json::json;

use super::super::super::*;
use super::super::scenario::*;

const DAY: u64 = 86_400;

/// Bad at half as much again as what was recorded, for 1m; it rolls back. Too old after 30 days.
fn load() -> TriggerSettings {
    TriggerSettings {
        name: "load".to_owned(),
        action: TriggerAction::Rollback,
        measure: Measure::ValueDegradation,
        levels: Levels { threshold: 0.5, clear: 0.25 },
        hold_for: seconds(60),
        baseline: recorded("load"),
        ..memory()
    }
}

fn recorded(of: &str) -> Option<BaselineSource> {
    Some(BaselineSource::Recorded { of: of.to_owned(), max_age: seconds(30 * DAY) })
}

fn recording() -> Settings {
    settings(vec![guard("terminal", vec![load()])])
}

fn in_use(scenario: &Scenario) -> Option<(u32, f64)> {
    let status = scenario.engine.status();
    let recorded = status[0].triggers[0].recorded.clone().expect("it takes a recorded baseline");
    recorded.current().map(|current| (current.version, current.measured.value))
}

#[test]
fn what_is_recorded_is_compared_with() {
    let mut scenario = Scenario::new(recording());
    scenario.run("record 100\n 1m value 120\n show\n 1m10s value 160\n");
    scenario.expect(
        "
        0s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1
        1m0s watching, load clear, held 0s
        2m0s change to 0 %, attempt 1
        2m0s critical rollback.started
        2m0s rolling_back
        ",
    );
    let page = &scenario.notifications[0];
    assert_eq!(
        page.summary,
        "terminal: load +60 % (160, baseline 100 recorded 2026-01-02, limit +50 %) for 1m0s, rolling back 25 % -> 0 %"
    );
    let facts = page.trigger.as_ref().expect("facts");
    assert_eq!(facts.baseline, Some(100.0));
    assert_eq!(facts.baseline_source.as_deref(), Some("recorded 2026-01-02, 1d, 1000000 samples, version 1"));
}

/// It guards nothing then, and that is told like any sensor that does not see, on a quiet night and at a share of 0 % too.
#[test]
fn without_a_recording_nothing_is_seen() {
    for measured in ["value 160", "no series", "few"] {
        let mut scenario = Scenario::new(recording());
        scenario.run(&format!("share 0\n 2m10s {measured}\n show"));
        scenario.expect("2m0s critical watchdog.blind\n 2m10s watching, load unknown, held 0s");
        let said = &scenario.notifications[0].summary;
        assert!(said.contains("terminal (load): no baseline is recorded yet: run ripcord baseline record"), "{said}");
        scenario.run("record 100\n 10s value 100");
        scenario
            .expect("2m10s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1\n 2m10s critical watchdog.sees");
    }
}

#[test]
fn a_recording_of_other_series_is_not_used_and_not_forgotten() {
    let mut scenario = Scenario::new(recording());
    scenario.run("record 100\n 10s value 100");
    let of = |of: &str| settings(vec![guard("terminal", vec![TriggerSettings { baseline: recorded(of), ..load() }])]);
    scenario.reconfigure(of("other"));
    scenario.run("10s value 100");
    let trigger = scenario.engine.status()[0].triggers[0].clone();
    assert_eq!(trigger.unknown, Some("baseline"));
    assert!(trigger.reason().starts_with("the recorded baseline is of other series"), "{}", trigger.reason());
    assert_eq!(trigger.baseline_source.as_deref(), Some("recorded: none yet"));
    scenario.run("record 50\n use 1");
    assert_eq!(in_use(&scenario), Some((2, 50.0)), "version 1 is of something else");
    assert!(scenario.expect_last().ends_with("ignored"));
    scenario.reconfigure(of("load"));
    assert_eq!(in_use(&scenario), Some((1, 100.0)));
}

/// What was held was held against another number. A page that fires goes on.
#[test]
fn a_new_recording_starts_the_clock_anew() {
    let mut scenario = Scenario::new(recording());
    scenario.run("record 100\n 50s value 160\n show\n record 90\n show\n 1m value 160\n show\n 10s value 160");
    scenario.expect(
        "
        0s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1
        50s watching, load breach, held 40s
        50s 90, recorded 2026-01-02, 1d, 1000000 samples, version 2
        50s watching, load breach, held 0s
        1m50s watching, load breach, held 50s
        1m50s change to 0 %, attempt 1
        1m50s critical rollback.started
        1m50s rolling_back
        ",
    );
    let pages = TriggerSettings { action: TriggerAction::Page, ..load() };
    let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![pages])]));
    scenario.run("record 100\n 1m10s value 160\n record 90\n 1m value 160");
    scenario.expect(
        "
        0s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1
        1m0s warning page.firing
        1m10s 90, recorded 2026-01-02, 1d, 1000000 samples, version 2
        ",
    );
    scenario.run("record 200\n 1m10s value 160");
    scenario.expect(
        "
        2m10s 200, recorded 2026-01-02, 1d, 1000000 samples, version 3
        3m10s warning page.resolved
        ",
    );
}

#[test]
fn the_last_versions_are_kept_and_can_be_gone_back_to() {
    let mut scenario = Scenario::new(recording());
    for value in 1..=7 {
        scenario.run(&format!("record {value}"));
    }
    let versions = |scenario: &Scenario| -> Vec<u32> {
        let status = scenario.engine.status()[0].triggers[0].recorded.clone().expect("recorded");
        status.versions.iter().map(|recorded| recorded.version).collect()
    };
    assert_eq!(versions(&scenario), [7, 6, 5, 4, 3]);
    scenario.run("use 4");
    assert_eq!(in_use(&scenario), Some((4, 4.0)));
    scenario.forget();
    scenario.run("use 2");
    scenario.expect("0s ignored");
    scenario.run("record 8");
    assert_eq!(in_use(&scenario), Some((8, 8.0)));
    assert_eq!(versions(&scenario), [8, 4, 7, 6, 5]);
}

#[test]
fn what_is_no_baseline_is_refused_with_all_its_reasons() {
    let scenario = Scenario::new(recording());
    let good = scenario.measured("terminal", 100.0).measured;
    let now = scenario.time();
    let q95 = TriggerSettings { measure: Measure::QuantileDegradation { q: 0.95 }, ..load() };
    let rise =
        TriggerSettings { measure: Measure::FailureRise, levels: Levels { threshold: 0.1, clear: 0.05 }, ..load() };
    let m = |change: fn(&mut Measurement)| {
        let mut measured = good.clone();
        change(&mut measured);
        measured
    };
    let cases = [
        (&load(), m(|_| ()), vec![]),
        (&load(), m(|m| m.count = 30.0), vec![]),
        (&load(), m(|m| m.count = 29.0), vec!["29 samples are too few, it takes 30"]),
        (&load(), m(|m| m.covered = 0.5), vec![]),
        (&load(), m(|m| m.covered = 0.28), vec!["in 28 % of the period only, and it takes 50 %"]),
        (&load(), m(|m| m.value = 0.0), vec!["0 is no baseline: it must be above 0"]),
        (&load(), m(|m| m.value = f64::NAN), vec!["NaN is no baseline"]),
        (&load(), m(|m| m.value = f64::INFINITY), vec!["inf is no baseline"]),
        (&load(), m(|m| m.of = "0".to_owned()), vec!["measured of other series"]),
        (&load(), m(|m| m.to += seconds(61)), vec!["is no period of the past"]),
        (&load(), m(|m| m.from = m.to), vec!["is no period of the past"]),
        (&memory(), m(|_| ()), vec!["its baseline is not a recorded one"]),
        // A window takes 10 / (1 - q) requests, and a baseline ten times as many.
        (&q95, m(|m| m.count = 2000.0), vec![]),
        (&q95, m(|m| m.count = 1999.0), vec!["1999 samples are too few, it takes 2000"]),
        (&rise, m(|m| m.value = 0.0), vec![]),
        (&rise, m(|m| (m.value, m.count) = (0.02, 1000.0)), vec![]),
        (
            &rise,
            m(|m| (m.value, m.count) = (1.5, 999.0)),
            vec!["1.5 is no baseline: it must be a ratio", "999 samples"],
        ),
        (
            &load(),
            m(|m| (m.value, m.count, m.covered) = (-1.0, f64::NAN, f64::NAN)),
            vec!["-1 is no baseline", "too few", "of the period only"],
        ),
    ];
    for (trigger, measured, wanted) in cases {
        let reasons = trigger.refuses(&measured, now);
        assert_eq!(reasons.len(), wanted.len(), "{measured:?}: {reasons:?}");
        for (reason, wanted) in reasons.iter().zip(wanted) {
            assert!(reason.contains(wanted), "{reason}");
        }
    }
}

/// One bad baseline of a guard keeps the others from being taken, so that what is answered is what is so.
#[test]
fn all_of_a_guard_is_taken_or_nothing() {
    let other = TriggerSettings { name: "other".to_owned(), ..load() };
    let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![load(), other])]));
    let good = scenario.measured("terminal", 100.0);
    let named = |name: &str| NewBaseline { trigger: name.to_owned(), ..good.clone() };
    let mut ask = |baselines| {
        let command = Command::RecordBaselines { baselines };
        scenario.feed(Input::Command { guard: "terminal".to_owned(), command }, scenario.time())
    };
    let ignored = |actions: &[Action]| match actions {
        [Action::Record(Record::Ignored { reason, .. })] => reason.clone(),
        other => panic!("{other:?}"),
    };
    let mut bad = named("other");
    bad.measured.value = 0.0;
    let said = ignored(&ask(vec![good.clone(), bad, named("third")]));
    assert!(said.contains("other: 0 is no baseline") && said.contains("there is no trigger \"third\""), "{said}");
    assert_eq!(ignored(&ask(Vec::new())), "there is no baseline to record");
    let taken = ask(vec![good.clone(), named("other")]);
    assert!(matches!(taken.as_slice(), [Action::Journal, Action::Record(_), Action::Record(_)]), "{taken:?}");
}

/// It is compared with all the same; a person is told once, and again only when another one gets too old.
#[test]
fn a_baseline_that_is_too_old_is_told_once() {
    let mut scenario = Scenario::new(recording());
    scenario.run("record 100\n wait 720h\n 10s value 100\n show\n 5m value 100\n show\n restart\n 1m value 100");
    scenario.expect(
        "
        0s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1
        720h0m10s watching, load clear, held 0s
        720h0m10s warning watchdog.not_ready
        720h5m10s watching, load clear, held 0s
        ",
    );
    assert_eq!(scenario.notifications[0].summary, "terminal: the baseline of load is 30d old (at most 30d)");
    // The rollback works, and is not said to fail.
    assert_eq!(scenario.engine.status()[0].ready, None);
    scenario.run("record 110\n 10s value 100\n 10s value 100");
    scenario.expect(
        "
        720h6m10s 110, recorded 2026-02-01, 1d, 1000000 samples, version 2
        720h6m10s warning watchdog.ready
        ",
    );
    scenario.run("use 1\n pause 10m\n 5m value 100\n resume\n 10s value 100");
    scenario.expect(
        "
        720h6m30s 100, recorded 2026-01-02, 1d, 1000000 samples, version 1
        720h6m30s info guard.paused
        720h6m30s paused
        720h11m30s watching
        720h11m30s warning watchdog.not_ready
        ",
    );
}

/// Two that get too old together are one page, and it is over when neither is.
#[test]
fn what_gets_too_old_together_is_told_together() {
    let both = || vec![guard("db", vec![load()]), guard("terminal", vec![load()])];
    let mut scenario = Scenario::new(settings(both()));
    scenario.run("db: record 10\n terminal: record 10\n wait 721h\n 20s value 10 | value 10");
    scenario.forget();
    let page = scenario.notifications.last().expect("a page");
    assert_eq!(page.guards, ["db", "terminal"]);
    scenario.run("db: record 10\n 10s value 10 | value 10\n terminal: record 10\n 10s value 10 | value 10");
    assert!(scenario.expect_last().ends_with("warning watchdog.ready"));
    assert_eq!(scenario.notifications.len(), 2);
    assert_eq!(scenario.notifications[0].incident, scenario.notifications[1].incident);
}

#[test]
fn recordings_outlive_a_restart_a_changed_level_and_a_night_switched_off() {
    let mut scenario = Scenario::new(recording());
    scenario.run("record 100");
    let kept = Some((1, 100.0));
    scenario.restart(recording());
    assert_eq!(in_use(&scenario), kept);
    let stricter = TriggerSettings { levels: Levels { threshold: 0.4, clear: 0.2 }, ..load() };
    scenario.reconfigure(settings(vec![guard("terminal", vec![stricter])]));
    assert_eq!(in_use(&scenario), kept);
    scenario.reconfigure(settings(vec![guard("terminal", vec![error_rate()])]));
    scenario.restart(settings(vec![guard("terminal", vec![error_rate()])]));
    scenario.reconfigure(recording());
    assert_eq!(in_use(&scenario), kept);
}

/// Whoever stands by measures against what the leader has.
#[test]
fn a_standby_borrows_the_leaders_baselines() {
    let mut leader = Scenario::new(recording());
    leader.run("record 100");
    let written = Engine::remembered(recording(), through_json(&leader.engine.memory()), leader.time());
    let mut standby = Scenario::new(recording());
    standby.engine.borrow_baselines(&written);
    standby.run("history 10s value 120");
    assert_eq!(in_use(&standby), Some((1, 100.0)));
    assert_eq!(standby.engine.status()[0].triggers[0].verdict, "clear");
}

/// A document of before there were any reads as one without, and one without any is written as before.
#[test]
fn a_document_without_baselines_is_the_one_of_before() {
    let plain = serde_json::to_value(Scenario::new(plain()).engine.memory()).unwrap();
    assert_eq!(plain.get("ageing"), None);
    assert_eq!(plain["guards"]["terminal"].get("baselines"), None);
    let mut scenario = Scenario::new(recording());
    scenario.run("record 0.12");
    let mut written = serde_json::to_value(scenario.engine.memory()).unwrap();
    let baselines = &written["guards"]["terminal"]["baselines"];
    assert_eq!(
        *baselines,
        json!({"load": [{
            "version": 1, "recorded_at": "2026-01-02T00:00:00Z", "value": 0.12, "count": 1e6, "counted": "samples", "covered": 1.0,
            "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z",
            "of": load().baseline.and_then(|b| b.digest()).unwrap(),
        }]})
    );
    written["guards"]["terminal"].as_object_mut().unwrap().remove("baselines");
    let older: Memory = serde_json::from_value(written).unwrap();
    assert!(older.baselines("terminal", "load").is_empty());
    assert_eq!(scenario.engine.memory().baselines("terminal", "load").len(), 1);
}

#[test]
fn every_baseline_says_where_it_comes_from() {
    let source = |baseline| {
        let trigger = TriggerSettings { baseline, ..load() };
        let reading =
            Reading { window: Ok(Evidence::Value(160.0)), confirm: None, baseline: Some(Ok(100.0)), burn: Vec::new() };
        let text = trigger.assess(&reading, None).text(&trigger);
        let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![trigger])]));
        scenario.run("10s value 160");
        (text, scenario.engine.status()[0].triggers[0].baseline_source.clone().expect("a source"))
    };
    let said = |text: &str, source: &str| (text.to_owned(), source.to_owned());
    assert_eq!(source(Some(BaselineSource::Fixed)), said("+60 % (160, baseline 100)", "fixed"));
    assert_eq!(
        source(Some(BaselineSource::Offset(seconds(DAY)))),
        said("+60 % (160, baseline 100 a day ago)", "a day ago")
    );
    assert_eq!(
        source(Some(BaselineSource::Offset(seconds(7 * DAY)))),
        said("+60 % (160, baseline 100 7d ago)", "7d ago")
    );
    assert_eq!(
        source(Some(BaselineSource::Control("ingress_nginx {ingress=\"shop\"}".to_owned()))),
        said(
            "+60 % (160, baseline 100 of ingress_nginx {ingress=\"shop\"} at the same time)",
            "ingress_nginx {ingress=\"shop\"} at the same time"
        )
    );
}
