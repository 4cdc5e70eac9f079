//! Pages: triggers that only page, blindness, ids and words.

use super::super::super::*;
use super::super::scenario::*;

fn pages() -> Settings {
    settings(vec![guard("terminal", vec![memory()])])
}

#[test]
fn a_trigger_that_only_pages_fires_once_and_resolves() {
    check(
        pages(),
        "
        20m value 130
        5m value 1
        10m value 125
        5m10s value 130
        ",
        // Clear for a minute resolves it.
        "
        5m0s warning page.firing
        21m0s warning page.resolved
        40m0s warning page.firing
        ",
    );
}

#[test]
fn a_page_is_acknowledged_once() {
    check(
        pages(),
        "
        6m value 130
        ack
        ack
        5m value 1
        ack
        ",
        "
        5m0s warning page.firing
        6m0s info guard.acknowledged
        6m0s ignored
        7m0s warning page.resolved
        11m0s ignored
        ",
    );
}

#[test]
fn neither_band_nor_unknown_resolves_a_page() {
    check(
        pages(),
        "
        5m10s value 130
        10m value 125
        1m failing
        50s value 1
        10s value 125
        1m value 1
        ",
        "
        5m0s warning page.firing
        ",
    );
}

#[test]
fn a_paused_guard_pages_nothing_new() {
    check(
        pages(),
        "
        pause 10m
        10m10s value 130
        ",
        "
        0s info guard.paused
        0s paused
        5m0s withheld paused
        10m0s warning page.firing
        10m0s watching
        ",
    );
}

#[test]
fn a_rearm_does_not_resolve_what_still_fires() {
    let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![error_rate(), memory()])]));
    scenario.run(
        "5m10s value 130\n by hand\n completed\n pause 1h\n by hand\n completed\n 12m value 130\n rearm\n 1m failing",
    );
    let of_memory =
        |n: &&Notification| n.incident.as_ref().is_some_and(|incident| incident.starts_with("terminal.memory"));
    let resolved = scenario.notifications.iter().filter(of_memory).filter(|n| n.event == Event::PageResolved).count();
    assert_eq!(resolved, 0);
    assert!(scenario.engine.status()[0].triggers[1].firing);
}

#[test]
fn a_sensor_that_fails_pages_once_and_again_when_it_sees() {
    check(
        plain(),
        "
        1m 0 %
        20m failing
        10s 0 %
        1m50s no series
        10s 0 %
        ",
        "
        3m0s critical watchdog.blind
        21m0s critical watchdog.sees
        ",
    );
}

#[test]
fn a_page_triggers_sensor_is_less_urgent_and_too_little_traffic_is_for_the_record() {
    check(settings(vec![guard("terminal", vec![memory()])]), "3m failing", "2m0s warning watchdog.blind");
    check(plain(), "3m no traffic", "2m0s info watchdog.blind");
    check(plain(), "3m few", "2m0s info watchdog.blind");
}

#[test]
fn quiet_time_does_not_count_as_a_failing_sensor() {
    check(
        plain(),
        "
        1m50s no traffic
        2m failing
        show
        10s failing
        ",
        "
        3m50s watching, error_rate unknown, held 0s
        3m50s critical watchdog.blind
        ",
    );
}

#[test]
fn at_a_share_of_nothing_no_series_is_to_be_expected() {
    check(plain(), "share 0\n 10m no series\n 10m no traffic", "");
    check(plain(), "share 0\n 3m failing", "2m0s critical watchdog.blind");
    check(plain(), "share ?\n 3m no series", "2m0s critical watchdog.blind");
}

#[test]
fn guards_that_go_blind_together_are_one_page() {
    let two = settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate(), memory()])]);
    let mut scenario = Scenario::new(two);
    scenario.run("3m failing | failing\n 1m 0 % | failing\n 10s 0 % | 0 %");
    scenario.expect(
        "
        2m0s b: warning watchdog.blind
        2m0s critical watchdog.blind
        4m0s warning watchdog.sees
        4m0s critical watchdog.sees
        ",
    );
    assert_eq!(scenario.notifications[1].guards, ["a", "b"]);
    assert_eq!(scenario.notifications[0].guard.as_deref(), Some("b"));
}

#[test]
fn a_guard_that_is_missing_from_the_ticks_is_not_seen() {
    check(
        settings(vec![guard("a", vec![error_rate()]), guard("b", vec![error_rate()])]),
        "
        1m 0 % | 0 %
        3m 0 % | absent
        b: show
        10s 0 % | 0 %
        ",
        "
        3m0s b: critical watchdog.blind
        4m0s watching, error_rate unknown, held 0s
        4m0s critical watchdog.sees
        ",
    );
}

#[test]
fn a_paused_guard_is_not_called_blind_before_it_watches_again() {
    check(
        plain(),
        "
        pause 10m
        10m failing
        10s failing
        ",
        "
        0s info guard.paused
        0s paused
        10m0s critical watchdog.blind
        10m0s watching
        ",
    );
}

#[test]
fn a_repeated_tick_makes_nobody_blind() {
    check(
        plain(),
        "
        pause 1h
        3m failing
        resume
        again
        wait 10s
        10s failing
        ",
        "
        0s info guard.paused
        0s paused
        3m0s watching
        3m0s ignored
        3m10s critical watchdog.blind
        ",
    );
}

#[test]
fn ids_are_stable_and_name_the_story() {
    let ids = || {
        let mut scenario = Scenario::new(plain());
        scenario.run("5m10s 5 %\n completed\n 10m10s 5 %");
        scenario.notifications.iter().map(|n| n.id.clone()).collect::<Vec<_>>()
    };
    let expected = ["1-rollback.started", "2-rollback.succeeded", "3-rollback.not_recovered"]
        .map(|page| format!("terminal-20260102T000500Z.{page}"));
    assert_eq!(ids(), expected);
    assert_eq!(ids(), expected);
}

#[test]
fn commands_within_one_second_are_told_apart() {
    let mut scenario = Scenario::new(plain());
    // `feed` refuses an id that was used before.
    scenario.run("pause 1h\n resume\n pause 2h\n pause 3h\n by hand\n pause 1h\n by hand\n pause 2h\n by hand");
    let ids: std::collections::BTreeSet<_> = scenario.orders.iter().map(|o| o.incident.clone()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn pages_of_ticks_that_are_handled_at_once_are_told_apart() {
    let trigger = TriggerSettings { hold_for: seconds(0), clear_for: seconds(0), ..memory() };
    let mut scenario = Scenario::new(settings(vec![guard("terminal", vec![trigger])]));
    for (index, value) in [130.0, 1.0, 130.0].into_iter().enumerate() {
        let reading = Reading { window: Ok(Evidence::Value(value)), confirm: None, baseline: None, burn: Vec::new() };
        let readings = [("memory", reading)].into();
        let guards = [("terminal", Observation { share: Ok(25), readings, drift: Vec::new() })].into();
        let at = start() + INTERVAL * u32::try_from(index).unwrap();
        scenario.feed(Input::Tick(Tick { at, kind: TickKind::Live, guards }), start() + seconds(25));
    }
    assert_eq!(scenario.notifications.len(), 3);
}

#[test]
fn a_page_says_all_that_matters() {
    let mut scenario = Scenario::new(plain());
    scenario.run("5m10s 3.1 %\n failed");
    let started = &scenario.notifications[0];
    assert_eq!(started.summary, "terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %");
    assert_eq!(started.incident.as_deref(), Some("terminal-20260102T000500Z"));
    assert_eq!(started.time, start() + seconds(300));
    let trigger = started.trigger.as_ref().unwrap();
    assert_eq!((trigger.value, trigger.threshold, trigger.held_seconds), (Some(0.031), 0.01, 300.0));
    let facts = started.rollback.as_ref().unwrap();
    assert_eq!((facts.from_percentage, facts.to_percentage), (Some(25), 0));
    let failed = &scenario.notifications[1];
    assert_ne!(failed.id, started.id);
    assert_eq!(failed.rollback.as_ref().unwrap().error.as_deref(), Some("refused"));
    assert!(failed.summary.contains("FAILS: refused"), "{}", failed.summary);
}

#[test]
fn a_page_that_fires_says_since_when_and_whether_it_is_acknowledged() {
    let mut scenario = Scenario::new(pages());
    let mut is = |script: &str| {
        scenario.run(script);
        let trigger = scenario.engine.status().remove(0).triggers.remove(0);
        let second = |at: Option<jiff::Timestamp>| at.map(|at| at.duration_since(start()).as_secs());
        (second(trigger.firing_since), second(trigger.acknowledged_at), trigger.is_unacknowledged())
    };
    assert_eq!(is("1m value 130"), (None, None, false));
    assert_eq!(is("5m value 130"), (Some(300), None, true));
    assert_eq!(is("ack"), (Some(300), Some(360), false));
    assert_eq!(is("restart"), (Some(300), Some(360), false));
    assert_eq!(is("5m value 1"), (None, None, false));
    // Another one, which nobody has seen.
    assert_eq!(is("6m value 130"), (Some(960), None, true));
}

/// The last page of this event.
fn last(scenario: &Scenario, event: Event) -> &Notification {
    scenario.notifications.iter().rev().find(|n| n.event == event).expect("it was told")
}

#[test]
fn what_ends_or_acknowledges_a_story_does_so_for_every_alert_that_it_opened() {
    let rung = |percentage| Alert::NotRecovered { percentage };
    let cases: [(&str, Event, &[Alert]); 7] = [
        // It works at last: that is over already.
        ("failed\n changed\n completed\n 7m 0 %", Event::RollbackVerified, &[]),
        ("failed\n ack\n rearm", Event::GuardAcknowledged, &[Alert::Failed]),
        ("failed\n ack\n rearm", Event::GuardRearmed, &[Alert::Failed]),
        ("completed\n 10m10s 5 %\n completed\n 7m 0 %", Event::RollbackVerified, &[rung(10)]),
        ("completed\n 10m10s 5 %\n completed\n 10m10s 5 %\n rearm", Event::GuardRearmed, &[rung(10), rung(0)]),
        (
            "completed\n 10m10s 5 %\n failed\n by hand 0\n ack\n by hand",
            Event::PageResolved,
            &[rung(10), Alert::Failed],
        ),
        // Somebody brought the traffic back, and all is well there: it is undone all the same.
        ("changed\n completed\n drift kubectl\n share 25\n 7m 0 %\n rearm", Event::GuardRearmed, &[Alert::Reverted]),
    ];
    for (night, event, settles) in cases {
        let mut ladder = plain();
        ladder.guards[0].rollback.percentages = vec![10, 0];
        let mut scenario = Scenario::new(ladder);
        scenario.run(&format!("5m10s 5 %\n {night}"));
        assert_eq!(last(&scenario, event).settles, settles, "{night}");
        if settles == [Alert::Reverted] {
            assert!(last(&scenario, Event::RollbackVerified).settles.is_empty(), "{night}");
        }
    }
}

#[test]
fn an_incident_ends_when_another_takes_its_place() {
    for (first, second) in [
        // A person rolls back once more, as the page says.
        ("5m10s 5 %\n changed\n completed\n 10m10s 5 %", "by hand"),
        // The traffic was at its target, and is not any more.
        ("share 0\n 5m10s 5 %", "share 25\n 10s 5 %"),
    ] {
        let mut scenario = Scenario::new(plain());
        scenario.run(first);
        let before = scenario.notifications.last().unwrap().incident.clone();
        scenario.run(second);
        let [.., over, begins] = &scenario.notifications[..] else { panic!("{second}") };
        assert_eq!((over.event, &over.incident, over.severity), (Event::PageResolved, &before, Severity::Critical));
        assert_eq!(begins.event, Event::RollbackStarted);
        assert!(over.summary.contains(begins.incident.as_deref().unwrap()), "{}", over.summary);
    }
}
