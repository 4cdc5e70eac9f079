//! What people ask for: acknowledge, pause, resume, re-arm, roll back by hand.

use super::super::super::*;
use super::super::scenario::*;
use super::acting::after_trip;

#[test]
fn an_acknowledgement_stops_the_retries_of_a_failing_rollback() {
    after_trip(
        plain(),
        "
        failed
        ack
        failed
        1h 5 %
        rearm
        ",
        "
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m10s abandon
        5m10s info guard.acknowledged
        5m10s not_recovered
        5m10s ignored
        5m10s withheld latched
        1h5m10s info guard.rearmed
        1h5m10s watching
        ",
    );
}

#[test]
fn an_acknowledgement_of_the_first_page_does_not_stop_the_retries() {
    after_trip(
        plain(),
        "
        ack
        failed
        ack
        ack
        ",
        "
        5m10s info guard.acknowledged
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m10s abandon
        5m10s info guard.acknowledged
        5m10s not_recovered
        5m10s ignored
        ",
    );
}

/// Whoever has seen the first page has not seen that it did not help: that one can be acknowledged too, and must be.
#[test]
fn each_page_of_its_own_key_is_acknowledged_anew() {
    after_trip(
        plain(),
        "
        completed
        ack
        10m10s 5 %
        ack
        ack
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        5m10s info guard.acknowledged
        10m10s withheld rollingback
        15m10s critical rollback.not_recovered
        15m10s not_recovered
        15m10s withheld latched
        15m20s info guard.acknowledged
        15m20s ignored
        ",
    );
}

#[test]
fn an_acknowledgement_during_a_pause_stops_the_retries_too() {
    after_trip(
        plain(),
        "
        failed
        pause 1h
        ack
        resume
        show
        ",
        "
        5m10s change to 0 %, attempt 2
        5m10s critical rollback.failed
        5m10s abandon
        5m10s info guard.paused
        5m10s paused
        5m10s info guard.acknowledged
        5m10s not_recovered
        5m10s not_recovered, error_rate breach, held 5m0s
        ",
    );
}

#[test]
fn an_acknowledgement_without_an_incident_is_ignored() {
    check(plain(), "1m 0 %\n ack", "1m0s ignored");
}

#[test]
fn a_pause_holds_back_and_the_clock_runs_on() {
    check(
        plain(),
        "
        pause 1h
        10m 5 %
        resume
        10s 5 %
        ",
        "
        0s info guard.paused
        0s paused
        5m0s withheld paused
        10m0s watching
        10m0s change to 0 %, attempt 1
        10m0s critical rollback.started
        10m0s rolling_back
        ",
    );
}

#[test]
fn a_pause_ends_by_itself() {
    check(
        plain(),
        "
        pause 10m
        20m 0 %
        pause 0s
        resume
        ",
        "
        0s info guard.paused
        0s paused
        10m0s watching
        20m0s ignored
        20m0s ignored
        ",
    );
}

#[test]
fn a_pause_in_the_middle_of_a_rollback_stops_it_and_its_end_takes_it_up_again() {
    after_trip(
        plain(),
        "
        pause 1m
        completed
        50s 5 %
        show
        20s 5 %
        old completed
        completed
        ",
        "
        5m10s abandon
        5m10s info guard.paused
        5m10s paused
        5m10s ignored
        5m10s withheld paused
        6m0s paused, error_rate breach, held 5m50s
        6m10s change to 0 %, attempt 2
        6m10s rolling_back
        6m10s withheld rollingback
        6m20s ignored
        6m20s critical rollback.succeeded
        6m20s verifying
        ",
    );
}

#[test]
fn resume_takes_up_a_rollback_again() {
    after_trip(
        plain(),
        "
        pause 1h
        pause 2h
        resume
        resume
        ",
        "
        5m10s abandon
        5m10s info guard.paused
        5m10s paused
        5m10s info guard.paused
        5m10s change to 0 %, attempt 2
        5m10s rolling_back
        5m10s ignored
        ",
    );
}

#[test]
fn a_pause_while_verifying_goes_on_verifying() {
    after_trip(
        plain(),
        "
        completed
        pause 1h
        20m 0 %
        resume
        10s 0 %
        1m10s 0 %
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        5m10s info guard.paused
        5m10s paused
        25m10s verifying
        25m10s critical rollback.verified
        25m10s rolled_back
        ",
    );
}

#[test]
fn a_rearm_starts_the_clocks_from_nothing() {
    after_trip(
        plain(),
        "
        completed
        10m10s 5 %
        share 25
        rearm
        rearm
        5m 5 %
        show
        10s 5 %
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        10m10s withheld rollingback
        15m10s critical rollback.not_recovered
        15m10s not_recovered
        15m10s withheld latched
        15m20s info guard.rearmed
        15m20s watching
        15m20s ignored
        20m20s watching, error_rate breach, held 4m50s
        20m20s change to 0 %, attempt 1
        20m20s critical rollback.started
        20m20s rolling_back
        ",
    );
}

#[test]
fn a_rearm_is_refused_while_a_rollback_is_under_way_or_paused() {
    after_trip(
        plain(),
        "
        rearm
        completed
        rearm
        pause 1h
        rearm
        ",
        "
        5m10s ignored
        5m10s critical rollback.succeeded
        5m10s verifying
        5m10s ignored
        5m10s info guard.paused
        5m10s paused
        5m10s ignored
        ",
    );
}

#[test]
fn a_rollback_by_hand_needs_no_breach() {
    check(
        plain(),
        "
        1m 0 %
        by hand
        by hand
        completed
        share 0
        2m10s 0 %
        ",
        "
        1m0s change to 0 %, attempt 1
        1m0s critical rollback.started
        1m0s rolling_back
        1m0s abandon
        1m0s change to 0 %, attempt 2
        1m0s critical rollback.succeeded
        1m0s verifying
        3m0s critical rollback.verified
        3m0s rolled_back
        ",
    );
}

#[test]
fn a_rollback_by_hand_that_is_asked_for_again_is_tried_at_once_and_may_go_further_down() {
    let mut ladder = plain();
    ladder.guards[0].rollback.percentages = vec![10, 0];
    check(
        ladder,
        "
        1m 0 %
        by hand 10
        failed
        by hand 50
        by hand 0
        completed
        ",
        "
        1m0s change to 10 %, attempt 1
        1m0s critical rollback.started
        1m0s rolling_back
        1m0s change to 10 %, attempt 2
        1m0s critical rollback.failed
        1m0s abandon
        1m0s change to 10 %, attempt 3
        1m0s abandon
        1m0s change to 0 %, attempt 4
        1m0s critical rollback.succeeded
        1m0s verifying
        ",
    );
}

#[test]
fn a_rollback_by_hand_never_goes_up() {
    check(
        plain(),
        "
        1m 0 %
        by hand 50
        by hand 10
        ",
        "
        1m0s ignored
        1m0s change to 10 %, attempt 1
        1m0s critical rollback.started
        1m0s rolling_back
        ",
    );
}

#[test]
fn a_rollback_by_hand_works_when_latched_and_when_paused() {
    after_trip(
        plain(),
        "
        completed
        3m 0 %
        by hand
        completed
        pause 1h
        by hand
        resume
        ",
        "
        5m10s critical rollback.succeeded
        5m10s verifying
        7m10s critical rollback.verified
        7m10s rolled_back
        8m10s change to 0 %, attempt 1
        8m10s critical page.resolved
        8m10s critical rollback.started
        8m10s rolling_back
        8m10s critical rollback.succeeded
        8m10s verifying
        8m10s info guard.paused
        8m10s paused
        8m10s change to 0 %, attempt 1
        8m10s critical page.resolved
        8m10s critical rollback.started
        8m10s rolling_back
        8m10s ignored
        ",
    );
}

#[test]
fn commands_for_no_guard_are_ignored() {
    let mut scenario = Scenario::new(plain());
    let command = Input::Command { guard: "nobody".to_owned(), command: Command::Rearm };
    scenario.feed(command, start());
    scenario.expect("0s ignored");
}
