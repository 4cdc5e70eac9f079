//! Whether a rollback would work, and whether one that was done is still there.

use super::super::scenario::*;
use super::acting::after_trip;

#[test]
fn a_rollback_that_would_fail_is_paged_when_it_is_met_twice_and_again_when_it_works() {
    let mut scenario = Scenario::new(plain());
    scenario.run(
        "
        ready
        wait 5m
        not ready deployment_env
        wait 30s
        ready
        wait 5m
        not ready deployment_env
        wait 30s
        not ready deployment_env
        wait 5m
        not ready deployment_env
        wait 5m
        ready
        ",
    );
    scenario.expect(
        "
        0s is ready
        5m0s is not ready
        5m30s is ready
        10m30s is not ready
        11m0s critical watchdog.not_ready
        21m0s critical watchdog.ready
        21m0s is ready
        ",
    );
    let [page, over] = scenario.notifications.as_slice() else { panic!("{:?}", scenario.notifications) };
    assert_eq!(page.summary, "terminal: a rollback would FAIL now: deployment_env: refused");
    assert_eq!((page.incident.clone(), page.guard.as_deref()), (over.incident.clone(), Some("terminal")));
    assert_ne!(page.id, over.id);
}

#[test]
fn another_step_that_fails_is_news() {
    check(
        plain(),
        "
        not ready a
        not ready a
        not ready b a
        not ready b
        not ready b
        ready
        ",
        "
        0s is not ready
        0s critical watchdog.not_ready
        0s critical watchdog.not_ready
        0s critical watchdog.ready
        0s is ready
        ",
    );
}

#[test]
fn what_was_told_outlives_a_restart() {
    check(
        plain(),
        "
        not ready a
        not ready a
        restart
        not ready a
        not ready a
        restart
        ready
        ready
        ",
        "
        0s is not ready
        0s critical watchdog.not_ready
        0s is not ready
        0s critical watchdog.ready
        0s is ready
        ",
    );
}

#[test]
fn while_traffic_is_moved_it_says_nothing_and_while_paused_it_pages_nobody() {
    after_trip(plain(), "not ready a\nnot ready a", "5m10s ignored\n5m10s ignored");
    check(
        plain(),
        "pause 1h\nnot ready a\nnot ready a\nresume\nnot ready a",
        "0s info guard.paused\n0s paused\n0s is not ready\n0s watching\n0s critical watchdog.not_ready",
    );
}

#[test]
fn a_change_that_is_undone_is_paged_once_with_who_and_what() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\nchanged\naccepted\ncompleted\n10s 0 %");
    scenario.forget();
    scenario.run("drift argocd-controller\n10s 0 %\nno drift\n10s 0 %\ndrift argocd-controller\n1m 0 %");
    scenario.expect("5m50s critical rollback.reverted");
    let page = scenario.notifications.last().unwrap();
    assert_eq!(
        page.summary,
        "terminal: somebody undid the rollback: deployment_env ns/terminal: ISTIO_PERCENTAGE is 25, not 0 (set by argocd-controller)"
    );
    let incident = scenario.engine.status()[0].incident.clone().unwrap();
    assert_eq!(incident.drift[0].who.as_deref(), Some("argocd-controller"));
}

#[test]
fn what_was_undone_meanwhile_is_not_said_to_have_helped() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %\ncompleted\nshare 0\n20s 0 %");
    scenario.forget();
    scenario.run("share 40\n5m 0 %");
    scenario.expect("5m40s critical rollback.reverted\n7m10s critical rollback.verified\n7m10s rolled_back");
    assert_eq!(
        scenario.notifications.last().unwrap().summary,
        "terminal: the triggers are clear again, but whether the rollback helped cannot be told: it was undone, and the share is 40 % (it \
         went to 0 %)"
    );
}

#[test]
fn what_is_undone_long_after_is_not_paged() {
    let mut short = plain();
    short.guards[0].rollback.drift_watch = seconds(60);
    let mut scenario = Scenario::new(short);
    scenario.run("5m10s 5 %\ncompleted\n2m10s 0 %");
    scenario.forget();
    assert_eq!(scenario.engine.watched(scenario.time()), []);
    scenario.run("drift kubectl\n1m 0 %");
    scenario.expect("");
}

#[test]
fn only_a_rollback_that_is_done_is_watched() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 5 %");
    assert_eq!(scenario.engine.watched(scenario.time()), []);
    scenario.run("completed");
    let watched = scenario.engine.watched(scenario.time());
    assert_eq!((watched.len(), watched[0].percentage), (1, 0));
    scenario.run("drift kubectl\n1m 0 %");
    assert_eq!(scenario.engine.watched(scenario.time()), [], "it was paged");
}
