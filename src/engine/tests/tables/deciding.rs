//! The clock, and what it takes to fire.

use super::super::super::*;
use super::super::scenario::*;

#[test]
fn five_observed_minutes_fire_and_not_ten_seconds_less() {
    check(
        plain(),
        "
        2m 0 %
        5m 5 %
        show
        10s 5 %
        ",
        "
        7m0s watching, error_rate breach, held 4m50s
        7m0s change to 0 %, attempt 1
        7m0s critical rollback.started
        7m0s rolling_back
        ",
    );
}

#[test]
fn a_burst_that_is_over_does_not_fire() {
    // The window stays bad for five minutes after the burst; the confirm window clears it one minute after.
    check(
        plain(),
        "
        10m flow 0 % at 100 rps
        30s flow 50 % at 100 rps
        1m flow 0 % at 100 rps
        show
        10s flow 0 % at 100 rps
        show
        9m flow 0 % at 100 rps
        show
        ",
        "
        11m30s watching, error_rate breach, held 1m10s
        11m40s watching, error_rate clear, held 1m10s
        20m40s watching, error_rate clear, held 0s
        ",
    );
}

#[test]
fn a_true_outage_fires_from_its_very_requests() {
    // 3 % of what comes: the window is beyond 1 % after 110 s (3 % x 110 s / 300 s = 1.1 %), and five minutes later it fires.
    check(
        plain(),
        "
        10m flow 0 % at 100 rps
        6m40s flow 3 % at 100 rps
        show
        10s flow 3 % at 100 rps
        show
        10s flow 3 % at 100 rps
        ",
        "
        16m40s watching, error_rate breach, held 4m40s
        16m50s watching, error_rate breach, held 4m50s
        16m50s change to 0 %, attempt 1
        16m50s critical rollback.started
        16m50s rolling_back
        ",
    );
}

#[test]
fn a_burst_before_the_traffic_stops_does_not_fire_on_one_late_failure() {
    // While nobody asks nothing is observed, whatever the window still remembers.
    check(
        plain(),
        "
        30s 50 %
        4m30s 50 %, now no traffic
        10s 50 %, now 100 % at 0.02 rps
        show
        ",
        "
        2m30s info watchdog.blind
        5m0s info watchdog.sees
        5m10s watching, error_rate breach, held 40s
        ",
    );
}

#[test]
fn band_does_not_start_the_clock() {
    check(plain(), "20m 0.7 %\n show", "20m0s watching, error_rate band, held 0s");
}

#[test]
fn band_goes_on_with_the_clock_and_does_not_fire() {
    check(
        plain(),
        "
        10s 5 %
        6m 0.7 %
        show
        10s 5 %
        ",
        "
        6m10s watching, error_rate band, held 6m0s
        6m10s change to 0 %, attempt 1
        6m10s critical rollback.started
        6m10s rolling_back
        ",
    );
}

#[test]
fn clear_for_a_minute_resets_and_less_does_not() {
    check(
        plain(),
        "
        4m 5 %
        1m 0 %
        show
        10s 5 %
        show
        1m10s 0 %
        show
        ",
        "
        5m0s watching, error_rate clear, held 3m50s
        5m10s watching, error_rate breach, held 4m0s
        6m20s watching, error_rate clear, held 0s
        ",
    );
}

#[test]
fn band_breaks_a_run_of_clear() {
    check(
        plain(),
        "
        4m 5 %
        1m 0 %
        10s 0.7 %
        1m 0 %
        show
        ",
        "6m10s watching, error_rate clear, held 4m0s",
    );
}

#[test]
fn unknown_freezes_the_clock() {
    // At the first known tick after it the clock gains two intervals, not the hour nobody saw.
    check(
        plain(),
        "
        3m 5 %
        1h failing
        show
        10s 5 %
        show
        ",
        "
        5m0s critical watchdog.blind
        1h3m0s watching, error_rate unknown, held 2m50s
        1h3m0s critical watchdog.sees
        1h3m10s watching, error_rate breach, held 3m10s
        ",
    );
}

#[test]
fn unknown_does_not_fire_what_holds() {
    check(
        plain(),
        "
        4m50s 5 %
        10s 5 %, now 0.7 %
        10s 5 %, now 0.7 %
        1m failing
        show
        10s 5 %
        ",
        "
        6m10s watching, error_rate unknown, held 5m0s
        6m10s change to 0 %, attempt 1
        6m10s critical rollback.started
        6m10s rolling_back
        ",
    );
}

#[test]
fn why_a_trigger_that_holds_does_not_fire_is_said_once() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m 5 %");
    let mut said = |what: &str| {
        scenario.run(&format!("10s {what}"));
        let Some(tick) = scenario.last_tick.clone() else { panic!("no tick") };
        let mut again = scenario.engine.clone();
        // One tick later the same is said no more.
        let next = Tick { at: tick.at + INTERVAL, ..tick.clone() };
        let actions = again.handle(Input::Tick(next.clone()), next.at);
        let repeated = actions.iter().filter(|a| matches!(a, Action::Record(Record::Withheld { .. }))).count();
        assert_eq!(repeated, 0, "{what}");
        scenario.withheld.last().cloned()
    };
    assert_eq!(said("0.7 %"), Some(Withheld::NotBreaching));
    assert_eq!(said("failing"), Some(Withheld::Unknown(Unknown::QueryFailed("503".to_owned()))));
    assert_eq!(said("0.7 %"), Some(Withheld::NotBreaching));
}

#[test]
fn unknown_does_not_reset_and_clear_on_both_sides_of_it_is_not_one_run_of_seen_time() {
    check(
        plain(),
        "
        4m 5 %
        30s 0 %
        1m failing
        20s 0 %
        show
        10s 0 %
        show
        ",
        // 20 s seen, 20 s for the gap, 10 s: not a minute; 10 s later it is.
        "
        5m50s watching, error_rate clear, held 3m50s
        6m0s watching, error_rate clear, held 0s
        ",
    );
}

#[test]
fn missed_ticks_gain_two_intervals() {
    check(
        plain(),
        "
        10s 5 %
        wait 10m
        10s 5 %
        show
        ",
        "10m20s watching, error_rate breach, held 20s",
    );
}

#[test]
fn history_advances_the_clock_and_never_fires() {
    check(
        plain(),
        "
        history 20m 5 %
        show
        10s 5 %
        ",
        "
        5m0s withheld history
        20m0s watching, error_rate breach, held 19m50s
        20m0s change to 0 %, attempt 1
        20m0s critical rollback.started
        20m0s rolling_back
        ",
    );
}

#[test]
fn history_does_not_page_resolve_verify_or_close() {
    let pages = || settings(vec![guard("terminal", vec![memory()])]);
    check(
        pages(),
        "
        history 6m value 130
        10s value 130
        history 10m value 1
        10s value 1
        ",
        "
        5m0s withheld history
        6m0s warning page.firing
        16m10s warning page.resolved
        ",
    );
    check(
        plain(),
        "
        5m10s 5 %
        completed
        history 30m 0 %
        show
        10s 0 %
        ",
        "
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        5m10s critical rollback.succeeded
        5m10s verifying
        35m10s verifying, error_rate clear, held 0s
        35m10s critical rollback.verified
        35m10s rolled_back
        ",
    );
    check(
        plain(),
        "
        share 0
        5m10s 5 %
        history 30m 0 %
        10s 0 %
        ",
        "
        5m0s critical page.firing
        35m10s critical page.resolved
        ",
    );
}

#[test]
fn late_live_ticks_never_fire() {
    check(
        plain(),
        "
        late 6m 5 %
        10s 5 %
        ",
        "
        5m0s withheld late
        6m0s change to 0 %, attempt 1
        6m0s critical rollback.started
        6m0s rolling_back
        ",
    );
}

#[test]
fn the_same_tick_twice_and_an_older_one_are_not_used() {
    check(
        plain(),
        "
        5m 5 %
        again
        older
        show
        ",
        "
        5m0s ignored
        5m0s ignored
        5m0s watching, error_rate breach, held 4m50s
        ",
    );
}

#[test]
fn a_change_of_stage_keeps_the_clock() {
    // 0.8 % is a breach up to 5 % of the traffic and band above it.
    let stage = Stage { up_to: 5, levels: Levels { threshold: 0.005, clear: 0.0025 } };
    let trigger = TriggerSettings { stages: vec![stage], ..error_rate() };
    check(
        settings(vec![guard("terminal", vec![trigger])]),
        "
        share 5
        3m 0.8 %
        show
        share 25
        1m 0.8 %
        show
        share ?
        1m 0.8 %
        show
        share 5
        10s 0.8 %
        ",
        "
        3m0s watching, error_rate breach, held 2m50s
        4m0s watching, error_rate band, held 3m50s
        5m0s watching, error_rate band, held 4m50s
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s rolling_back
        ",
    );
}

#[test]
fn little_traffic_does_not_fire_on_one_users_bad_luck() {
    // One request every ten seconds: 30 in the window. Ten percent of it failing is 3, all of it 30.
    check(
        plain(),
        "
        20m 10 % at 0.1 rps
        show
        5m10s 100 % at 0.1 rps
        ",
        "
        20m0s watching, error_rate band, held 0s
        25m0s change to 0 %, attempt 1
        25m0s critical rollback.started
        25m0s rolling_back
        ",
    );
}

#[test]
fn guards_are_independent() {
    let two = settings(vec![guard("db", vec![error_rate()]), guard("terminal", vec![error_rate()])]);
    check(
        two,
        "
        5m10s 0 % | 5 %
        2m 5 % | 5 %
        db: show
        3m10s 5 % | 5 %
        terminal: completed
        ",
        "
        5m0s terminal: change to 0 %, attempt 1
        5m0s terminal: critical rollback.started
        5m0s terminal: rolling_back
        5m10s terminal: withheld rollingback
        7m10s watching, error_rate breach, held 1m50s
        10m10s db: change to 0 %, attempt 1
        10m10s db: critical rollback.started
        10m10s db: rolling_back
        10m20s terminal: critical rollback.succeeded
        10m20s terminal: verifying
        ",
    );
}

#[test]
fn no_guards_change_waits_for_another_guards_page() {
    let two = settings(vec![guard("db", vec![error_rate()]), guard("terminal", vec![error_rate(), memory()])]);
    let mut scenario = Scenario::new(two);
    scenario.run("5m10s 5 % | 5 %");
    scenario.expect(
        "
        5m0s db: change to 0 %, attempt 1
        5m0s terminal: change to 0 %, attempt 1
        5m0s db: critical rollback.started
        5m0s terminal: critical rollback.started
        5m0s db: rolling_back
        5m0s terminal: rolling_back
        ",
    );
}

#[test]
fn two_triggers_that_fire_together_are_one_rollback() {
    let second = TriggerSettings { name: "other".to_owned(), ..error_rate() };
    let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![error_rate(), second])]));
    scenario.run("5m10s 5 %");
    assert_eq!(scenario.orders.len(), 1);
    let incident = &scenario.engine.incidents()[0];
    let names: Vec<_> = incident.triggers.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["error_rate", "other"]);
}

#[test]
fn reconfigure_keeps_the_clocks_of_what_did_not_change() {
    let second = TriggerSettings { name: "other".to_owned(), ..error_rate() };
    let both = |second| settings(vec![guard("terminal", vec![error_rate(), second])]);
    let mut scenario = Scenario::new(both(second.clone()));
    scenario.run("4m 5 %");
    let stricter = TriggerSettings { levels: Levels { threshold: 0.009, clear: 0.005 }, ..second };
    scenario.reconfigure(both(stricter));
    scenario.run("show");
    scenario.expect(
        "
        4m0s ignored
        4m0s watching, error_rate breach, held 3m50s
        4m0s watching, other unknown, held 0s
        ",
    );
}

#[test]
fn reconfigure_keeps_latches_and_pauses() {
    let mut scenario = Scenario::new(settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate()])]));
    scenario.run("5m10s 5 % | 0 %\n b: pause 1h");
    scenario.expect(
        "
        5m0s a: change to 0 %, attempt 1
        5m0s a: critical rollback.started
        5m0s a: rolling_back
        5m10s b: info guard.paused
        5m10s b: paused
        ",
    );
    let mut second = guard("b", vec![error_rate()]);
    second.rollback.percentages = vec![10, 0];
    scenario.reconfigure(settings(vec![guard("a", vec![error_rate()]), second, guard("c", vec![error_rate()])]));
    let states: Vec<_> = scenario.engine.status().iter().map(|s| s.state).collect();
    assert_eq!(states, [GuardState::RollingBack, GuardState::Paused, GuardState::Watching]);
}

#[test]
fn a_guard_that_is_no_longer_configured_stops_its_change() {
    let mut scenario = Scenario::new(settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate()])]));
    scenario.run("5m10s 5 % | 0 %");
    scenario.expect(
        "
        5m0s a: change to 0 %, attempt 1
        5m0s a: critical rollback.started
        5m0s a: rolling_back
        ",
    );
    scenario.reconfigure(settings(vec![guard("b", vec![error_rate()])]));
    scenario.expect("5m10s abandon\n 5m10s critical rollback.failed\n 5m10s ignored");
    let page = scenario.notifications.last().unwrap();
    assert_eq!(
        page.summary,
        "a: the guard is no longer configured: its rollback 25 % -> 0 % is abandoned where it was"
    );
}

#[test]
fn a_clock_that_is_set_back_neither_stops_the_watch_nor_counts_anything_twice() {
    let mut scenario = Scenario::new(plain());
    // Three minutes of breach, then the clock goes back by an hour: the breach goes on, and so does what was held.
    scenario.now = Duration::from_secs(7200);
    scenario.run("3m 5 %");
    scenario.now -= Duration::from_secs(3600);
    scenario.run("10s 5 %\n show");
    let again = scenario.engine.status().remove(0).triggers.remove(0).held_seconds;
    assert!((again - 170.0).abs() < 1e-9, "nothing was gained over the step: {again}");
    scenario.run("2m 5 %");
    assert!(scenario.orders.is_empty(), "4m50s are not reached yet: {:?}", scenario.orders);
    scenario.run("20s 5 %");
    assert_eq!(scenario.orders.len(), 1);
}

#[test]
fn a_trigger_that_measures_something_else_starts_from_nothing() {
    let mut scenario = Scenario::new(plain());
    scenario.run("4m50s 5 %");
    let other = TriggerSettings { source: "other series".to_owned(), ..error_rate() };
    scenario.reconfigure(settings(vec![guard("terminal", vec![other])]));
    scenario.run("1m 5 %");
    assert!(scenario.orders.is_empty(), "what was held was of other series: {:?}", scenario.orders);
}
