//! What outlives the process: the memory, the engine that goes on from it, and what a reload ends.

use serde_json::json;

use super::super::super::*;
use super::super::scenario::*;

fn pages() -> Settings {
    settings(vec![guard("terminal", vec![memory()])])
}

#[test]
fn a_rollback_under_way_is_taken_up_again_at_once() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n changed\n failed\n failed\n restart\n old completed\n already there\n completed");
    scenario.expect(
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m10s change to 0 %, attempt 3
        5m10s change to 0 %, attempt 4
        5m10s ignored
        5m10s critical rollback.succeeded
        5m10s verifying
        ",
    );
    assert!(scenario.orders[3].delay.is_zero());
    assert_eq!(scenario.orders[3].incident, scenario.orders[0].incident);
    assert_eq!(scenario.orders[3].decided_at, scenario.orders[0].decided_at);
    let timeline = &scenario.engine.incidents()[0].timeline;
    let lines = timeline.iter().filter(|l| l.text == "taken up again after a restart or a change of leader").count();
    assert_eq!(lines, 1);
    // The step that was changed before the restart stays changed.
    assert!(scenario.notifications.last().unwrap().summary.contains("rolled back 25 % -> 0 %"));
}

#[test]
fn what_an_attempt_before_may_have_changed_is_not_said_to_be_unchanged() {
    for cut_off in ["restart", "failed", "pause 1h\n resume"] {
        let mut scenario = Scenario::new(plain());
        scenario.run(&format!("5m10s 5 %\n {cut_off}\n already there\n completed"));
        let page = scenario.notifications.last().unwrap();
        assert_eq!(
            page.summary,
            "terminal: every step was found at 0 % already, changed by an earlier attempt or by somebody else; checking whether it helped",
            "{cut_off}"
        );
    }
}

#[test]
fn a_paused_rollback_waits_for_a_person_after_a_restart_too() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n pause 1h");
    scenario.expect(
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s abandon
        5m10s info guard.paused
        5m10s paused
        ",
    );
    scenario.run("restart\n 10s 5 %\n resume");
    scenario.expect("5m10s withheld paused\n 5m20s change to 0 %, attempt 2\n 5m20s rolling_back");
}

#[test]
fn a_latch_a_hold_and_a_page_survive() {
    check(
        plain(),
        "
        5m10s 5 %
        completed
        share 0
        2m10s 0 %
        restart
        share 25
        6m 5 %
        ",
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        7m30s critical rollback.reverted
        12m20s critical page.firing
        12m20s withheld latched
        ",
    );
    check(plain(), "4m 5 %\n restart\n show", "4m0s watching, error_rate unknown, held 3m50s");
    check(
        pages(),
        "
        6m value 130
        restart
        5m value 130
        restart
        2m value 1
        ",
        "
        5m0s warning page.firing
        12m0s warning page.resolved
        ",
    );
    check(plain(), "3m failing\n restart\n 5m failing\n restart\n 10s 0 %", {
        "2m0s critical watchdog.blind\n 8m0s critical watchdog.sees"
    });
}

#[test]
fn the_ids_go_on_after_a_restart() {
    // The scenario itself fails where an id is used twice.
    let mut scenario = Scenario::new(plain());
    scenario.run("pause 1s\n restart\n pause 2s\n resume\n restart\n pause 1s\n by hand\n restart\n failed\n restart\n ack\n by hand");
    scenario.run("restart\n by hand\n completed\n by hand\n completed\n restart\n by hand");
    assert!(scenario.notifications.len() > 8);
}

#[test]
fn an_id_is_not_given_again_when_older_incidents_are_forgotten() {
    let mut scenario = Scenario::new(plain());
    scenario.run("by hand\n completed\n by hand\n completed\n by hand\n completed");
    let mut memory = scenario.engine.memory();
    assert!(memory.drop_oldest_closed().is_some());
    scenario.engine = Engine::resume(plain(), memory, scenario.time()).0;
    scenario.run("by hand");
    let ids: Vec<_> =
        scenario.orders.iter().map(|o| o.incident.trim_start_matches("terminal-20260102T000000Z")).collect();
    assert_eq!(ids, ["", "-2", "-3", "-4"]);
}

#[test]
fn a_memory_of_nothing_is_a_new_engine() {
    let (engine, actions) = Engine::resume(plain(), Memory::default(), start());
    assert_eq!((engine, actions), (Engine::new(plain()), Vec::new()));
}

#[test]
fn a_memory_of_another_version_is_read() {
    let empty: Memory = serde_json::from_value(json!({})).unwrap();
    assert_eq!(empty, Memory::default());
    let newer = json!({
        "guards": {"terminal": {"state": "paused", "told": 3, "of_the_future": [1],
            "pause": {"until": "2026-01-02T01:00:00Z", "from": "watching"}, "triggers": {"error_rate": {"x": 1}}}},
        "moods": {},
    });
    let memory: Memory = serde_json::from_value(newer).unwrap();
    let (engine, actions) = Engine::resume(plain(), memory, start());
    assert_eq!(engine.status()[0].state, GuardState::Paused);
    // The trigger without a fingerprint is another one.
    assert_eq!(actions.len(), 2, "{actions:#?}");
    assert_eq!(actions[0], Action::Journal);
}

#[test]
fn what_does_not_fit_together_neither_hangs_nor_acts() {
    let mut tripped = Scenario::new(plain());
    tripped.run("5m10s 5 %");
    let whole = tripped.engine.memory();
    let broken = |break_it: fn(&mut memory::GuardMemory)| {
        let mut memory = whole.clone();
        break_it(memory.guards.get_mut("terminal").unwrap());
        let (engine, actions) = Engine::resume(plain(), memory, tripped.time());
        assert!(!actions.iter().any(|a| matches!(a, Action::Change(_) | Action::Notify(_))), "{actions:#?}");
        let told = actions.iter().any(|a| matches!(a, Action::Record(Record::Ignored { .. })));
        assert!(told, "{actions:#?}");
        engine.status()[0].state
    };
    assert_eq!(broken(|g| g.incident = None), GuardState::Watching);
    assert_eq!(broken(|g| g.state = GuardState::Paused), GuardState::NotRecovered);
    assert_eq!(
        broken(|g| {
            g.state = GuardState::Paused;
            g.incident = None;
        }),
        GuardState::Watching
    );
}

#[test]
fn a_trigger_that_decides_by_something_else_starts_from_nothing_after_a_restart() {
    let stricter = TriggerSettings { levels: Levels { threshold: 0.009, clear: 0.005 }, ..error_rate() };
    let sooner = TriggerSettings { hold_for: seconds(60), severity: Severity::Warning, ..error_rate() };
    let held = |trigger, reload: bool| {
        let mut scenario = Scenario::new(plain());
        scenario.run("4m 5 %");
        let settings = settings(vec![guard("terminal", vec![trigger])]);
        if reload {
            scenario.reconfigure(settings);
        } else {
            scenario.restart(settings);
        }
        scenario.run("show");
        scenario.expect_last()
    };
    for reload in [false, true] {
        assert!(held(stricter.clone(), reload).ends_with("held 0s"));
        assert!(held(sooner.clone(), reload).ends_with("held 3m50s"));
    }
}

#[test]
fn a_page_that_fires_ends_when_its_trigger_is_changed_or_gone() {
    let changed = TriggerSettings { levels: Levels { threshold: 100.0, clear: 90.0 }, ..memory() };
    let action = TriggerSettings { action: TriggerAction::Rollback, ..memory() };
    for (triggers, summary) in [
        (vec![changed], "terminal: memory was changed and starts from nothing: whether it is clear again is not known"),
        (vec![action], "terminal: memory was changed and starts from nothing: whether it is clear again is not known"),
        (vec![error_rate()], "terminal: memory is no longer watched: whether it is clear again is not known"),
    ] {
        for reload in [false, true] {
            let mut scenario = Scenario::new(pages());
            scenario.run("6m value 130");
            let settings = settings(vec![guard("terminal", triggers.clone())]);
            if reload {
                scenario.reconfigure(settings);
            } else {
                scenario.restart(settings);
            }
            let [fired, resolved] = scenario.notifications.as_slice() else { panic!("{:#?}", scenario.notifications) };
            assert_eq!(resolved.event, Event::PageResolved);
            assert_eq!(resolved.severity, Severity::Warning);
            assert_eq!(resolved.incident, fired.incident);
            assert_eq!(resolved.summary, summary);
            assert!(!scenario.engine.status()[0].triggers[0].firing);
        }
    }
}

/// The guard `a` goes, by a reload and by a restart, and what is told of it.
#[track_caller]
fn gone(before: Settings, script: &str, expected: &str) -> Vec<Notification> {
    let without = settings(vec![guard("b", vec![error_rate()])]);
    let run = |reload: bool| {
        let mut scenario = Scenario::new(before.clone());
        scenario.run(script);
        scenario.forget();
        if reload {
            scenario.reconfigure(without.clone());
        } else {
            scenario.restart(without.clone());
        }
        scenario.run("1m 0 %");
        scenario.expect(expected);
        scenario.notifications
    };
    let by_reload = run(true);
    assert_eq!(run(false), by_reload);
    by_reload
}

#[test]
fn a_guard_that_is_gone_leaves_nothing_in_silence() {
    let both = |triggers| settings(vec![guard("a", triggers), guard("b", vec![error_rate()])]);
    let plain = || both(vec![error_rate()]);
    let told = gone(plain(), "5m10s 5 % | 0 %", "5m10s abandon\n 5m10s critical rollback.failed\n 5m10s ignored");
    assert_eq!(
        told.last().unwrap().summary,
        "a: the guard is no longer configured: its rollback 25 % -> 0 % is abandoned where it was"
    );
    // What was paused was abandoned before.
    gone(plain(), "5m10s 5 % | 0 %\n a: pause 1h", "5m10s critical rollback.failed\n 5m10s ignored");
    let told = gone(plain(), "5m10s 5 % | 0 %\n a: completed", "5m10s critical page.resolved\n 5m10s ignored");
    assert_eq!(
        told.last().unwrap().summary,
        "a: the guard is no longer configured: whether its rollback helped is not checked any more"
    );
    gone(plain(), "share 0\n 5m10s 5 % | 0 %", "5m10s critical page.resolved\n 5m10s ignored");
    gone(both(vec![memory()]), "6m value 130 | 0 %", "6m0s warning page.resolved\n 6m0s ignored");
    gone(plain(), "1m 5 % | 0 %", "1m0s ignored");
    // A dry run abandons nothing.
    gone(
        Settings { dry_run: true, ..plain() },
        "5m10s 5 % | 0 %",
        "5m10s abandon\n 5m10s critical page.resolved\n 5m10s ignored",
    );
}

#[test]
fn a_dry_run_does_not_go_on_with_what_began_for_real() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    scenario.forget();
    scenario.restart(Settings { dry_run: true, ..plain() });
    scenario.run("5m 5 %\n show");
    scenario.expect(
        "
        5m10s ignored
        5m10s withheld rollingback
        10m10s rolling_back, error_rate breach, held 10m0s
        ",
    );
    scenario.restart(plain());
    scenario.expect("10m10s change to 0 %, attempt 2");
}

#[test]
fn a_story_that_began_as_a_dry_run_ends_with_the_dry_run() {
    let dry = Settings { dry_run: true, ..plain() };
    let mut scenario = Scenario::new(dry);
    scenario.run("5m10s 5 %");
    scenario.forget();
    scenario.restart(plain());
    scenario.expect("5m10s change to 0 %, attempt 2, dry run");
    // What still holds is acted on, now that it may be.
    scenario.run("would change\n completed\n 10s 5 %");
    scenario.expect(
        "
        5m10s critical rollback.succeeded
        5m10s rolled_back
        5m10s change to 0 %, attempt 1
        5m10s critical page.resolved
        5m10s critical rollback.started
        5m10s watching
        5m10s rolling_back
        ",
    );
    assert!(!scenario.orders.last().unwrap().dry_run);
}

#[test]
fn history_is_wanted_from_where_the_least_known_guard_left_off() {
    let two = || settings(vec![guard("a", vec![error_rate(), memory()]), guard("b", vec![error_rate()])]);
    let mut scenario = Scenario::new(two());
    let end = start().checked_add(seconds(36_000)).unwrap();
    let owed = |scenario: &Scenario| (scenario.engine.owed_since(end) - start()).get_seconds();
    // As far back as nothing is known of a guard.
    let unknown = 36_000 - i64::try_from(scenario.engine.look_back().as_secs()).unwrap();
    assert_eq!(owed(&scenario), unknown);
    scenario.run("1m 5 % | failing");
    assert_eq!(owed(&scenario), 50, "the guard that was seen has left off earlier than the other must look back");
    scenario.run("1m 5 % | 0 %\n 1m 5 % | failing");
    assert_eq!(owed(&scenario), 110);
    scenario.run("restart");
    assert_eq!(owed(&scenario), 110);
    scenario.run("10m failing | 0 %");
    assert_eq!(owed(&scenario), 170);
    scenario.restart(settings(vec![guard("a", vec![error_rate()]), guard("c", vec![error_rate()])]));
    assert_eq!(owed(&scenario), 170, "a new guard does not shorten what another is owed");

    let long = TriggerSettings { hold_for: seconds(900), clear_for: seconds(120), ..memory() };
    let engine = Engine::new(settings(vec![guard("a", vec![error_rate(), long]), guard("b", vec![error_rate()])]));
    assert_eq!(engine.look_back(), seconds(900 + 120 + 60));
}

#[test]
fn what_was_held_before_a_rearm_or_a_rollback_is_not_replayed() {
    check(
        plain(),
        "
        5m10s 5 %
        completed
        share 25
        rearm
        pause 1h
        restart
        replay 5m 5 %
        show
        ",
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s critical rollback.succeeded
        5m10s verifying
        5m10s ignored
        5m10s info guard.paused
        5m10s paused
        5m10s paused, error_rate unknown, held 0s
        ",
    );
}

#[test]
fn a_restart_and_a_replay_are_as_if_nothing_had_been() {
    check(
        plain(),
        "
        2m 5 %
        restart
        wait 3m
        replay 3m 5 %
        show
        10s 5 %
        ",
        "
        5m0s watching, error_rate breach, held 4m50s
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        ",
    );
}

#[test]
fn the_past_is_replayed_behind_live_ticks_that_saw_nothing() {
    check(
        plain(),
        "
        1m 5 %
        4m failing
        replay 4m 5 %
        show
        10s 5 %
        ",
        "
        3m0s critical watchdog.blind
        5m0s watching, error_rate breach, held 4m50s
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s critical watchdog.sees
        5m0s rolling_back
        ",
    );
}

#[test]
fn history_that_is_known_already_is_passed_over_without_a_word() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m 0 %");
    let before = scenario.engine.clone();
    scenario.run("replay 5m 5 %");
    scenario.expect("");
    assert_eq!(scenario.engine, before);
}

#[test]
fn history_sets_the_last_tick_never_back_and_keeps_the_share() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m failing");
    let last_tick = scenario.engine.status()[0].last_tick;
    scenario.run("share ?\n replay 4m 5 %");
    let status = scenario.engine.status().remove(0);
    assert_eq!(status.last_tick, last_tick);
    assert_eq!(status.percentage, Some(25));
    scenario.run("history 1m 5 %");
    let status = scenario.engine.status().remove(0);
    assert_eq!(status.last_tick, Some(start() + seconds(350)));
    assert_eq!(status.percentage, Some(25));
    scenario.run("10s 5 %");
    assert_eq!(scenario.engine.status()[0].percentage, None);
}

#[test]
fn a_verdict_is_told_at_live_ticks_alone() {
    let mut scenario = Scenario::new(plain());
    let mut told = |line: &str, live: bool| {
        let now = scenario.time();
        scenario.run(line);
        let tick = Tick {
            at: now + seconds(10),
            kind: if live { TickKind::Live } else { TickKind::History },
            guards: scenario.last_tick.take().unwrap().guards,
        };
        let actions = scenario.feed(Input::Tick(tick), now + seconds(10));
        scenario.now += seconds(20);
        actions.iter().filter(|a| matches!(a, Action::Record(Record::Verdict { .. }))).count()
    };
    // The line itself is history too; what is counted is the tick after it.
    assert_eq!(told("history 10s 0 %", false), 0);
    assert_eq!(told("history 10s 0 %", true), 1);
    assert_eq!(told("history 10s 5 %", false), 0);
    assert_eq!(told("history 10s 5 %", true), 1);
    assert_eq!(told("history 10s 5 %", true), 0);
}

#[test]
fn a_pause_ends_at_a_live_tick_only() {
    check(
        plain(),
        "
        5m10s 5 %
        pause 1m
        history 10m 5 %
        show
        10s 5 %
        ",
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s abandon
        5m10s info guard.paused
        5m10s paused
        5m10s withheld history
        15m10s paused, error_rate breach, held 15m0s
        15m10s change to 0 %, attempt 2
        15m10s rolling_back
        15m10s withheld rollingback
        ",
    );
}

#[test]
fn not_seeing_begins_anew_where_history_saw() {
    check(
        plain(),
        "
        1m failing
        restart
        wait 10m
        replay 10m 0 %
        1m50s failing
        show
        30s failing
        ",
        "
        12m50s watching, error_rate unknown, held 0s
        13m0s critical watchdog.blind
        ",
    );
}

#[test]
fn a_story_that_goes_on_all_night_keeps_its_beginning_and_its_end() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    for _ in 0..500 {
        scenario.run("wait 30s\n failed");
    }
    let incident = scenario.engine.incidents().remove(0);
    assert_eq!(incident.timeline.len(), 51);
    assert!(incident.timeline[0].text.contains("rolling back 25 % -> 0 %"));
    assert_eq!(incident.timeline[1].text, "attempt 1 failed at deployment_env ns/terminal: refused");
    // One line for the start, one for the page of the first failure, 500 failures: 502 less 20 and 30.
    assert_eq!(incident.timeline[20].text, "452 lines are left out here");
    assert_eq!(incident.timeline[50].text, "attempt 500 failed at deployment_env ns/terminal: refused");
    assert!(incident.timeline.is_sorted_by_key(|line| line.time));
}

#[test]
fn a_text_from_outside_is_cut() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    let order = scenario.orders[0].clone();
    let step = "deployment_env ns/terminal".to_owned();
    let long = "x".repeat(1_000_000);
    let stepped = StepReport { step: step.clone(), result: StepResult::Failed, detail: Some(long.clone()) };
    for progress in [Progress::Step(stepped), Progress::Failed { step, error: long.clone() }] {
        let report =
            ChangeReport { guard: order.guard.clone(), incident: order.incident.clone(), attempt: 1, progress };
        scenario.feed(Input::Change(report), scenario.time());
    }
    let command = Command::Rollback { reason: long, percentage: None, once: false };
    scenario.run("pause 1h");
    scenario.feed(Input::Command { guard: "terminal".to_owned(), command }, scenario.time());
    let length = serde_json::to_string(&scenario.engine.memory()).unwrap().len();
    assert!(length < 40_000, "{length}");
}

#[test]
fn the_closed_incident_that_ended_first_is_forgotten_first() {
    let mut scenario = Scenario::new(settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate()])]));
    // Each one ends the one before of its guard.
    for guard in ["a", "b", "b", "a", "b"] {
        scenario.run(&format!("{guard}: by hand\n {guard}: completed\n wait 1m"));
    }
    let mut memory = scenario.engine.memory();
    let mut left = Vec::new();
    while memory.drop_oldest_closed().is_some() {
        let count = |guard: &str| memory.guards[guard].closed.len();
        left.push((count("a"), count("b")));
    }
    assert_eq!(left, [(1, 1), (0, 1), (0, 0)]);
    assert!(memory.guards["a"].incident.is_some(), "an open incident is never forgotten");
}

proptest::proptest! {
    /// The numbers of a page are what they were after the journal was read; JSON has no others than these.
    #[test]
    fn numbers_come_back_as_they_were(
        value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
        at in 0_i64..4_000_000_000_000_000_000,
        held in 0_u64..u64::MAX,
    ) {
        let at = Timestamp::from_nanosecond(at.into()).unwrap();
        let mut scenario = Scenario::new(plain());
        scenario.run("5m10s 5 %");
        let mut memory = scenario.engine.memory();
        let guard = memory.guards.get_mut("terminal").unwrap();
        guard.last_tick = Some(at);
        guard.triggers.get_mut("error_rate").unwrap().clocks.held = Some(Duration::from_nanos(held));
        let facts = &mut guard.incident.as_mut().unwrap().triggers[0];
        facts.value = Some(value);
        facts.threshold = -value;
        facts.held_seconds = value / 3.0;
        facts.baseline = Some(value * 0.7);
        proptest::prop_assert_eq!(through_json(&memory), memory);
    }
}

/// What is not a number is unknown before it gets anywhere; a baseline beside a plain value is not looked at, and is left out.
#[test]
fn only_numbers_get_into_the_memory() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut engine = Engine::new(pages());
        for tick in 0..40 {
            let at = start() + INTERVAL * tick;
            let reading = Reading {
                window: Ok(Evidence::Value(130.0)),
                confirm: None,
                baseline: Some(Ok(odd)),
                burn: Vec::new(),
            };
            let readings = [("memory", reading)].into();
            let guards = [("terminal", Observation { share: Ok(25), readings, drift: Vec::new() })].into();
            engine.handle(Input::Tick(Tick { at, kind: TickKind::Live, guards }), at);
        }
        assert!(engine.status()[0].triggers[0].firing);
        assert_eq!(through_json(&engine.memory()), engine.memory());
    }
}
