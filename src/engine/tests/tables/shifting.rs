//! Steps of the migration: up only while all is well, and never in the way of a rollback.

use super::super::super::*;
use super::super::scenario::*;

/// Why the last command was not carried out.
fn refused(engine: &mut Scenario, command: &str) -> String {
    let percentage = command.split(' ').next_back().unwrap().parse().unwrap();
    let command = Command::Shift { reason: "day 3".to_owned(), percentage, force: command.starts_with("force") };
    let actions = engine.feed(Input::Command { guard: "terminal".to_owned(), command }, engine.time());
    match actions.as_slice() {
        [Action::Record(Record::Ignored { reason, .. })] => reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_step_up_is_taken_while_all_is_well() {
    check(
        plain(),
        "
        ready
        10m 0 %
        shift 40
        saved
        changed
        accepted
        completed
        10s 0 %
        shift 50
        ",
        "
        0s is ready
        10m0s shift to 40 %, attempt 1
        10m0s shifted
        10m10s shift to 50 %, attempt 1
        ",
    );
}

#[test]
fn a_step_up_needs_a_clear_guard_and_a_rollback_that_works() {
    let mut scenario = Scenario::new(plain());
    assert_eq!(
        refused(&mut scenario, "shift 40"),
        "not all is well: the present share is not known: not measured at this tick; error rate is not measured yet; whether a rollback would work is not known yet"
    );
    scenario.run("1m 0 %");
    assert_eq!(refused(&mut scenario, "shift 40"), "not all is well: whether a rollback would work is not known yet");
    scenario.run("not ready patch");
    assert_eq!(refused(&mut scenario, "shift 40"), "not all is well: a rollback would fail: patch: refused");
    scenario.run("ready\n10s 0.7 %");
    assert_eq!(refused(&mut scenario, "shift 40"), "not all is well: error rate 0.7 % (limit 1 %)");
    scenario.run("10s failing");
    assert!(refused(&mut scenario, "shift 40").starts_with("not all is well: error rate is unknown"));
    scenario.run("share ?\n10s 0 %");
    assert!(refused(&mut scenario, "shift 40").contains("the present share is not known"));
    scenario.run("share 25\n10s 0 %");
    assert_eq!(refused(&mut scenario, "shift 25"), "the share is 25 % already");
    scenario.forget();
    scenario.run("10s 0.7 %\nforce 40");
    scenario.expect("1m50s shift to 40 %, attempt 1");
}

#[test]
fn the_first_step_is_taken_without_traffic_to_measure() {
    check(plain(), "ready\nshare 0\n1m no traffic\nshift 5", "0s is ready\n1m0s shift to 5 %, attempt 1");
    let mut scenario = Scenario::new(plain());
    scenario.run("ready\nshare 5\n1m no traffic");
    assert!(refused(&mut scenario, "shift 10").contains("error rate is unknown: no requests in the window"));
}

#[test]
fn a_step_down_is_always_taken() {
    check(plain(), "1m 0.7 %\nshift 10", "1m0s shift to 10 %, attempt 1");
}

#[test]
fn a_latched_or_paused_guard_takes_no_step_up_even_by_force() {
    let mut scenario = Scenario::new(plain());
    scenario.run("ready\n5m10s 5 %\nchanged\naccepted");
    assert_eq!(refused(&mut scenario, "force 40"), "a rollback is under way: wait for it");
    scenario.run("completed\n20m 0 %");
    assert!(refused(&mut scenario, "force 5").contains("ripcord rearm terminal"));
    scenario.run("rearm\n10s 0 %\npause 1h\n10s 0 %");
    assert!(refused(&mut scenario, "force 5").contains("ripcord resume terminal"));
}

#[test]
fn a_failed_step_is_not_tried_again_and_pages_nobody() {
    check(
        plain(),
        "
        ready
        1m 0 %
        shift 40
        failed
        10m 0 %
        ",
        "
        0s is ready
        1m0s shift to 40 %, attempt 1
        1m0s failed
        ",
    );
}

#[test]
fn a_rollback_comes_before_a_shift_under_way() {
    check(
        plain(),
        "
        ready
        4m 5 %
        force 40
        1m10s 5 %
        ",
        "
        0s is ready
        4m0s shift to 40 %, attempt 1
        5m0s abandon
        5m0s change to 0 %, attempt 1
        5m0s critical rollback.started
        5m0s cut_short
        5m0s rolling_back
        ",
    );
}

#[test]
fn one_shift_at_a_time_and_none_outlives_the_process() {
    let mut scenario = Scenario::new(plain());
    scenario.run("ready\n1m 0 %\nshift 40");
    assert_eq!(refused(&mut scenario, "shift 50"), "a shift is under way already: wait for it");
    scenario.forget();
    scenario.restart(plain());
    scenario.expect("1m0s abandon\n1m0s cut_short");
    let story = &scenario.engine.incidents()[0];
    assert_eq!((story.kind, story.closed_at.is_some()), (IncidentKind::Shift, true));
    assert!(story.error.as_ref().unwrap().contains("restarted"), "{story:?}");
}

#[test]
fn the_story_of_a_shift_is_kept_with_what_was_there_before() {
    let mut scenario = Scenario::new(plain());
    scenario.run("ready\n1m 0 %\nshift 40\nsaved\nchanged\naccepted\ncompleted");
    let story = scenario.engine.memory().incidents().next().unwrap().clone();
    assert_eq!((story.kind, story.from_percentage, story.to_percentage), (IncidentKind::Shift, Some(25), 40));
    assert_eq!(story.snapshot[0].yaml, "a: 1\n");
    assert_eq!(scenario.engine.incidents()[0].snapshot[0].yaml, "", "what everybody may see has the name only");
}

#[test]
fn who_asks_again_and_again_is_obeyed_once() {
    check(
        plain(),
        "
        1m 0 %
        alert
        alert
        completed
        alert
        30m 0 %
        alert
        rearm
        10s 0 %
        alert
        share 25
        10s 0 %
        alert
        ",
        "
        1m0s change to 0 %, attempt 1
        1m0s critical rollback.started
        1m0s rolling_back
        1m0s ignored
        1m0s critical rollback.succeeded
        1m0s verifying
        1m0s ignored
        3m0s critical rollback.verified
        3m0s rolled_back
        31m0s ignored
        31m0s info guard.rearmed
        31m0s watching
        31m10s ignored
        31m20s change to 0 %, attempt 1
        31m20s critical rollback.started
        31m20s rolling_back
        ",
    );
}
