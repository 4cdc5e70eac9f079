//! From the trip to the re-arm.

use super::super::super::*;
use super::super::scenario::*;

/// Trips at 5m0s; the next line of a script that begins with it happens at 5m10s.
const TRIP: &str = "
    5m0s change to 0 %, attempt 1
    5m0s critical rollback.started
    5m0s rolling_back
";

/// Runs `5m10s 5 %`, which trips, and then the script.
#[track_caller]
pub fn after_trip(settings: Settings, script: &str, expected: &str) {
    let mut scenario = Scenario::new(settings);
    scenario.run("5m10s 5 %");
    let to = scenario.orders[0].percentage;
    scenario.expect(&TRIP.replace("to 0", &format!("to {to}")));
    scenario.run(script);
    scenario.expect(expected);
}

fn ladder(percentages: &[u8]) -> Settings {
    let mut settings = plain();
    settings.guards[0].rollback.percentages = percentages.to_vec();
    settings
}

#[test]
fn the_whole_life_of_a_rollback_that_helps() {
    after_trip(
        plain(),
        "
        changed
        accepted
        completed
        50s 5 %, now 0 %
        1m20s 5 %, now 0 %
        10m 0 %
        1h 5 %
        rearm
        show
        ",
        // The confirm window is younger than the change from 6m10s on, and must then be clear for a minute.
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        22m20s critical page.firing
        22m20s withheld latched
        1h17m20s info guard.rearmed
        1h17m20s watching
        1h17m20s watching, error_rate breach, held 0s
        ",
    );
}

#[test]
fn only_data_younger_than_the_change_verifies() {
    after_trip(
        plain(),
        "
        changed
        accepted
        completed
        1m 0 %
        show
        1m10s 0 %
        ",
        // Clear from 5m10s on by windows that reach back to before the change; by young ones from 6m10s on.
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        6m10s verifying, error_rate clear, held 0s
        7m10s critical rollback.verified
        7m10s rolled_back
        ",
    );
}

#[test]
fn young_data_must_stay_clear() {
    after_trip(
        plain(),
        "
        completed
        1m50s 0 %
        10s 5 %
        1m10s 0 %
        ",
        // 6m10s to 6m50s clear, then bad, then clear from 7m10s on.
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        8m10s critical rollback.verified
        8m10s rolled_back
        ",
    );
}

#[test]
fn a_rollback_that_does_not_help_says_so_and_latches() {
    after_trip(
        plain(),
        "
        completed
        10m10s 5 %
        1h 5 %
        show
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        10m10s withheld rollingback
        15m10s critical rollback.not_recovered
        15m10s not_recovered
        15m10s withheld latched
        1h15m20s not_recovered, error_rate breach, held 1h10m0s
        ",
    );
}

#[test]
fn whether_it_helped_cannot_be_seen_without_data() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n completed\n 10m10s no traffic");
    scenario.expect(&format!(
        "{TRIP}
        5m10s critical rollback.succeeded
        5m10s verifying
        15m10s critical rollback.not_recovered
        15m10s rolled_back
        "
    ));
    let incident = &scenario.engine.incidents()[0];
    assert_eq!(incident.verification, Some(Verification::CannotSee));
}

#[test]
fn nobody_asking_any_more_does_not_mean_that_it_did_not_help() {
    // The window is young and remembers failures right after the change; the confirm window counts no request.
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n completed\n 10m10s 5 %, now no traffic");
    let incident = &scenario.engine.incidents()[0];
    assert_eq!(incident.verification, Some(Verification::CannotSee));
}

#[test]
fn what_did_not_trip_must_be_well_too_and_holds_nothing_up_when_it_cannot_be_seen() {
    let two = || {
        let other = TriggerSettings { name: "other".to_owned(), measure: Measure::Availability, ..availability() };
        settings(vec![guard("terminal", vec![error_rate(), other])])
    };
    let life_at = |share: Result<u8, Unknown>, readings: &[(&'static str, &str)], minutes: u64| {
        let mut scenario = Scenario::new(two());
        scenario.run("5m10s 5 %\n completed");
        for _ in 0..minutes * 6 {
            let readings = readings.iter().map(|(name, what)| (*name, counted(what))).collect();
            let guards = [("terminal", Observation { share: share.clone(), readings, drift: Vec::new() })].into();
            let tick = Tick { at: scenario.time(), kind: TickKind::Live, guards };
            let now = scenario.time();
            scenario.feed(Input::Tick(tick), now);
            scenario.now += INTERVAL;
        }
        scenario.engine.incidents()[0].verification
    };
    let life = |readings: &[(&'static str, &str)], minutes: u64| life_at(Ok(0), readings, minutes);
    assert_eq!(life(&[("error_rate", "good"), ("other", "good")], 3), Some(Verification::Recovered));
    // All traffic has left what the other one counts, as it was told to; where that is not known, it might be blind instead.
    assert_eq!(life(&[("error_rate", "good"), ("other", "none")], 3), Some(Verification::Recovered));
    let unread = Err(Unknown::Cluster("hung".to_owned()));
    assert_eq!(life_at(unread, &[("error_rate", "good"), ("other", "none")], 3), None);
    assert_eq!(life(&[("error_rate", "good"), ("other", "bad")], 11), Some(Verification::NotRecovered));
    assert_eq!(life(&[("error_rate", "none"), ("other", "none")], 11), Some(Verification::CannotSee));
}

fn availability() -> TriggerSettings {
    TriggerSettings { side: Side::Below, levels: Levels { threshold: 0.99, clear: 0.995 }, ..error_rate() }
}

fn counted(what: &str) -> Reading {
    let counts = |total: f64| match what {
        "good" => Ok(Evidence::Counts { failed: 0.0, total }),
        "bad" => Ok(Evidence::Counts { failed: 0.1 * total, total }),
        _ => Err(Unknown::NoTraffic),
    };
    Reading { window: counts(30_000.0), confirm: Some(counts(6000.0)), baseline: None, burn: Vec::new() }
}

#[test]
fn the_next_rung_is_taken_when_the_one_before_did_not_help() {
    after_trip(
        ladder(&[10, 0]),
        "
        completed
        share 10
        10m10s 5 %
        completed
        share 0
        10m10s 5 %
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        10m10s withheld rollingback
        15m10s change to 0 %, attempt 2
        15m10s critical rollback.not_recovered
        15m10s rolling_back
        15m20s critical rollback.succeeded
        15m20s verifying
        20m20s withheld rollingback
        25m20s critical rollback.not_recovered
        25m20s not_recovered
        25m20s withheld latched
        ",
    );
}

#[test]
fn a_ladder_begins_below_the_present_share() {
    let mut scenario = Scenario::new(ladder(&[50, 10, 0]));
    scenario.run("share 10\n 5m10s 5 %");
    assert_eq!(scenario.orders[0].percentage, 0);
    let mut scenario = Scenario::new(ladder(&[50, 10, 0]));
    scenario.run("share 50\n 5m10s 5 %");
    assert_eq!(scenario.orders[0].percentage, 10);
}

#[test]
fn a_share_that_is_not_known_is_never_raised() {
    // It may well be 5 %: the first rung, 10 %, would double it.
    let mut scenario = Scenario::new(ladder(&[10, 0]));
    scenario.run("share ?\n 5m10s 5 %");
    assert_eq!(scenario.orders[0].percentage, 0);
    assert_eq!(scenario.engine.incidents()[0].from_percentage, None);
}

#[test]
fn the_next_rung_is_below_the_share_that_is_there_by_then() {
    // A person moved the rest by hand meanwhile: going on to 10 % would bring traffic back.
    after_trip(
        ladder(&[20, 10]),
        "
        completed
        share 5
        10m10s 5 %
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        10m10s withheld rollingback
        15m10s critical rollback.not_recovered
        15m10s not_recovered
        15m10s withheld latched
        ",
    );
}

#[test]
fn a_failure_pages_once_and_is_retried_until_it_works() {
    after_trip(
        plain(),
        "
        failed
        wait 10s
        failed
        wait 10s
        failed
        wait 10s
        changed
        completed
        ",
        "
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m20s change to 0 %, attempt 3
        5m30s change to 0 %, attempt 4
        5m40s critical rollback.succeeded
        5m40s verifying
        ",
    );
}

#[test]
fn the_waits_between_attempts_grow_and_are_bounded() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    (0..40).for_each(|_| scenario.run("failed"));
    let delays: Vec<_> = scenario.orders.iter().map(|o| o.delay.as_secs_f64()).collect();
    assert_eq!(delays[0], 0.0);
    // 1, 2, 4, 8, 16, 30, 30 … seconds, each with a fifth of jitter.
    for (failure, delay) in delays[1..].iter().enumerate() {
        let base = f64::min(f64::powi(2.0, i32::try_from(failure).unwrap()), 30.0);
        assert!((base * 0.8..=base * 1.2).contains(delay), "the wait after failure {} is {delay} s", failure + 1);
    }
    assert!(delays[1..6].is_sorted());
}

#[test]
fn guards_that_fail_together_do_not_retry_together() {
    let two = settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate()])]);
    let mut scenario = Scenario::new(two);
    scenario.run("5m10s 5 % | 5 %\n a: failed\n b: failed");
    assert_ne!(scenario.orders[2].delay, scenario.orders[3].delay);
}

#[test]
fn every_attempt_tells_which_steps_are_done() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n changed\n failed\n already there\n completed");
    let page = scenario.notifications.last().unwrap();
    assert!(page.summary.starts_with("terminal: rolled back 25 % -> 0 %"), "{}", page.summary);
    assert_eq!(page.rollback.as_ref().unwrap().steps[0].result, StepResult::Changed);
}

#[test]
fn steps_that_found_everything_there_say_that_nothing_was_changed() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n already there\n completed");
    let page = scenario.notifications.last().unwrap();
    assert_eq!(page.summary, "terminal: every step was at 0 % already; nothing was changed");
}

#[test]
fn latched_means_latched() {
    after_trip(
        plain(),
        "
        completed
        3m 0 %
        2h 5 %
        30m 0 %
        2h 5 %
        show
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        13m10s critical page.firing
        13m10s withheld latched
        2h9m10s critical page.resolved
        2h43m10s critical page.firing
        2h43m10s withheld latched
        4h38m10s rolled_back, error_rate breach, held 1h59m50s
        ",
    );
}

#[test]
fn at_the_target_already_it_pages_changes_nothing_and_closes_by_itself() {
    check(
        plain(),
        "
        share 0
        10m 5 %
        5m 0 %
        10s 0 %
        ",
        // Clear for the five minutes of `for`.
        "
        5m0s critical page.firing
        5m10s withheld attarget
        15m0s critical page.resolved
        ",
    );
}

#[test]
fn at_the_target_already_a_share_that_rises_is_rolled_back() {
    check(
        plain(),
        "
        share 0
        10m 5 %
        share 25
        10s 5 %
        ",
        "
        5m0s critical page.firing
        5m10s withheld attarget
        10m0s change to 0 %, attempt 1
        10m0s critical page.resolved
        10m0s critical rollback.started
        10m0s rolling_back
        ",
    );
}

#[test]
fn at_the_target_already_a_share_that_cannot_be_read_is_no_reason_to_act() {
    check(
        plain(),
        "
        share 0
        10m 5 %
        share ?
        10m 5 %
        share 0
        10m 5 %
        ",
        "
        5m0s critical page.firing
        5m10s withheld attarget
        ",
    );
}

#[test]
fn at_the_target_a_rearm_begins_a_new_story() {
    check(
        plain(),
        "
        share 0
        5m10s 5 %
        rearm
        5m10s 5 %
        ",
        "
        5m0s critical page.firing
        5m10s info guard.rearmed
        5m10s watching
        10m10s critical page.firing
        ",
    );
}

#[test]
fn a_rollback_that_somebody_undid_is_paged_once_and_not_fought() {
    after_trip(
        plain(),
        "
        completed
        share 0
        2m10s 0 %
        share 25
        10s 0 %
        share 0
        10s 0 %
        share 25
        10m 0 %
        share 0
        1m 0 %
        share 25
        1m 0 %
        ",
        // A single reading above the target may be an old one.
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        7m50s critical rollback.reverted
        ",
    );
}

#[test]
fn a_change_is_watched_for_a_while_only() {
    after_trip(
        plain(),
        "
        completed
        share 0
        1h1m 0 %
        share 25
        10m 0 %
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        ",
    );
}

#[test]
fn reports_of_an_old_attempt_or_of_nothing_under_way_are_ignored() {
    after_trip(
        plain(),
        "
        failed
        old completed
        old failed
        completed
        completed
        failed
        ",
        "
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m10s ignored
        5m10s ignored
        5m10s critical rollback.succeeded
        5m10s verifying
        5m10s ignored
        5m10s ignored
        ",
    );
}

#[test]
fn a_report_of_another_incident_is_ignored() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    let report = ChangeReport {
        guard: "terminal".to_owned(),
        incident: "terminal-20250102T000000Z".to_owned(),
        attempt: 1,
        progress: Progress::Completed,
    };
    let before = scenario.engine.clone();
    scenario.feed(Input::Change(report), scenario.time());
    assert_eq!(scenario.engine, before);
}

#[test]
fn a_dry_run_decides_and_tells_and_watches_on() {
    let dry = Settings { dry_run: true, ..plain() };
    let mut scenario = Scenario::new(dry);
    scenario.run(
        "
        5m10s 5 %
        would change
        completed
        5m 5 %
        5m10s 0 %
        ",
    );
    scenario.expect(
        "
        5m0s change to 0 %, attempt 1, dry run
        5m0s warning rollback.started
        5m0s rolling_back
        5m10s warning rollback.succeeded
        5m10s rolled_back
        5m10s withheld latched
        15m10s warning page.resolved
        15m10s watching
        ",
    );
    assert!(scenario.notifications[0].dry_run && scenario.notifications[0].summary.starts_with("[dry run] "));
    assert!(scenario.notifications[1].summary.contains("nothing was changed"));
}

#[test]
fn a_real_rollback_stays_latched_in_a_dry_run() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\n changed\n completed\n share 0\n 3m 0 %");
    scenario.reconfigure(Settings { dry_run: true, ..plain() });
    scenario.run("30m 0 %");
    assert_eq!(scenario.engine.status()[0].state, GuardState::RolledBack);
}
