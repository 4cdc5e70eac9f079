//! Which alerts are opened and ended, by which labels, until when.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{narrowed, tells, timed};
use crate::config::{Webhook, WebhookFormat};
use crate::engine::{Event, Language, Notification, Opening, Severity};
use crate::notify::formats::{To, body};
use crate::notify::testing::{addresses, notification, webhook};

/// Long after everything that happened here.
const SENT: &str = "2026-01-02T12:00:00.5Z";

fn sent(format: WebhookFormat, notification: &Notification) -> Value {
    let settings = Webhook { format, ..webhook("https://unused.example/") };
    let to = To { receiver: "oncall", settings: &settings, language: Language::English };
    let body = body(&to, None, notification, &addresses()).unwrap().body;
    serde_json::from_slice(&timed(&body, notification, SENT.parse::<Timestamp>().unwrap())).unwrap()
}

fn api(notification: &Notification) -> Vec<Value> {
    sent(WebhookFormat::AlertmanagerApi, notification).as_array().unwrap().clone()
}

fn v4(notification: &Notification) -> Value {
    sent(WebhookFormat::Alertmanager, notification)
}

fn of(event: Event) -> Notification {
    let mut n = notification("n1");
    n.event = event;
    n
}

/// What the engine makes of a notification in a dry run.
fn dry(mut n: Notification) -> Notification {
    n.dry_run = true;
    n.severity = n.severity.min(Severity::Warning);
    n
}

/// Whether `ends` ends what `opens` opened.
fn check(opens: &Notification, ends: &Notification) {
    let (opened, ended) = (&api(opens)[0], api(ends));
    assert!(ended.iter().any(|alert| alert["labels"] == opened["labels"]), "{opened:#} stays open: {ended:#?}");
    assert!(ended.iter().all(|alert| alert["endsAt"].as_str() < Some("2026-01-02T03:05")), "{ended:#?}");
    let (opened, ended) = (v4(opens), v4(ends));
    assert!(
        ended["alerts"].as_array().unwrap().iter().any(|a| a["fingerprint"] == opened["alerts"][0]["fingerprint"]),
        "{opened:#} {ended:#}"
    );
}

const PAIRS: [(Event, Event, &str); 5] = [
    (Event::RollbackStarted, Event::RollbackVerified, "RipcordIncident"),
    (Event::PageFiring, Event::PageResolved, "RipcordIncident"),
    (Event::RollbackFailed, Event::RollbackSucceeded, "RipcordRollbackFailed"),
    (Event::WatchdogBlind, Event::WatchdogSees, "RipcordBlind"),
    (Event::WatchdogNotReady, Event::WatchdogReady, "RipcordNotReady"),
];

#[test]
fn what_ends_an_alert_has_the_labels_of_what_opened_it() {
    for (opens, ends, name) in PAIRS {
        let (firing, resolved) = (v4(&of(opens)), v4(&of(ends)));
        assert_eq!((&firing["status"], &resolved["status"]), (&json!("firing"), &json!("resolved")), "{opens:?}");
        let (alert, end) = (&firing["alerts"][0], &resolved["alerts"][0]);
        assert_eq!(alert["labels"]["alertname"], name);
        assert_eq!(alert["labels"], end["labels"], "{opens:?} is ended by {ends:?}");
        assert_eq!(
            (&alert["startsAt"], &alert["endsAt"], &end["endsAt"]),
            (&json!("2026-01-02T03:04:05Z"), &json!("0001-01-01T00:00:00Z"), &json!("2026-01-02T03:04:05Z"))
        );
        assert_eq!(firing["groupKey"], resolved["groupKey"]);
        assert_eq!(api(&of(opens))[0]["labels"], api(&of(ends))[0]["labels"], "the likeliest is the first");
        assert_eq!(api(&of(opens)).len(), 1);
        // However it was opened, and however it ends.
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            let mut first = of(opens);
            first.severity = severity;
            let mut last = of(ends);
            last.opening = Some(Opening { severity, summary: "first".to_owned() });
            check(&first, &last);
            check(&dry(first.clone()), &last);
            if severity == Severity::Critical {
                last.opening = None;
                check(&first, &dry(last.clone()));
                check(&dry(first), &dry(last));
            }
        }
    }
}

#[test]
fn what_is_told_of_one_guard_and_ends_for_all_is_one_alert() {
    for (opens, ends, _) in &PAIRS[3..] {
        let (one, mut several, mut none) = (of(*opens), of(*opens), of(*ends));
        (several.guard, several.guards) = (None, vec!["a".to_owned(), "b".to_owned()]);
        none.guard = None;
        check(&one, &none);
        check(&several, &none);
        assert_eq!(v4(&one)["groupKey"], v4(&none)["groupKey"]);
        assert_eq!(api(&one)[0]["annotations"]["guards"], "terminal");
        assert_eq!(api(&several)[0]["annotations"]["guards"], "a, b");
    }
    assert_eq!(api(&of(Event::PageFiring))[0]["labels"]["guard"], "terminal");
}

#[test]
fn a_rearm_ends_the_whole_story() {
    let mut rearmed = of(Event::GuardRearmed);
    rearmed.severity = Severity::Info;
    for event in [Event::RollbackStarted, Event::RollbackFailed, Event::RollbackReverted, Event::RollbackNotRecovered] {
        for rearmed in [rearmed.clone(), dry(rearmed.clone())] {
            check(&of(event), &rearmed);
            check(&dry(of(event)), &rearmed);
        }
    }
    assert_eq!(v4(&rearmed)["groupKey"], v4(&of(Event::RollbackStarted))["groupKey"]);
    assert_eq!(v4(&rearmed)["commonLabels"].get("alertname"), None, "there are several");
}

#[test]
fn alerts_of_one_story_are_apart() {
    let alerts: BTreeSet<String> =
        [Event::RollbackStarted, Event::RollbackFailed, Event::RollbackNotRecovered, Event::RollbackReverted]
            .into_iter()
            .map(|event| api(&of(event))[0]["labels"].to_string())
            .collect();
    assert_eq!(alerts.len(), 4);
    let mut rung = of(Event::RollbackNotRecovered);
    rung.rollback.as_mut().unwrap().to_percentage = 10;
    assert_ne!(api(&rung)[0]["labels"], api(&of(Event::RollbackNotRecovered))[0]["labels"]);
    assert!(!tells(Event::GuardAcknowledged));
}

/// However long ago it happened: Alertmanager tells nobody of an alert that is over when it comes.
#[test]
fn an_alert_fires_from_when_it_is_sent() {
    for (event, until) in [
        (Event::RollbackStarted, "2026-01-09T12:00:00Z"),
        (Event::WatchdogBlind, "2026-01-09T12:00:00Z"),
        (Event::RollbackNotRecovered, "2026-01-03T12:00:00Z"),
        (Event::RollbackReverted, "2026-01-03T12:00:00Z"),
        (Event::GuardPaused, "2026-01-02T13:00:00Z"),
        (Event::NotificationLost, "2026-01-02T13:00:00Z"),
        (Event::WatchdogStopping, "2026-01-02T13:00:00Z"),
    ] {
        let alert = &api(&of(event))[0];
        assert_eq!(
            (&alert["startsAt"], &alert["endsAt"]),
            (&json!("2026-01-02T03:04:05Z"), &json!(until)),
            "{event:?}"
        );
        // What nobody will end says in a webhook too when it ends.
        let told = if until.starts_with("2026-01-09") { "0001-01-01T00:00:00Z" } else { until };
        assert_eq!(v4(&of(event))["alerts"][0]["endsAt"], told, "{event:?}");
    }
}

#[test]
fn of_the_open_alerts_those_are_ended_that_it_ends() {
    let incident = "terminal-20260102T030405Z";
    let labels = |name: &str, severity: &str, incident: &str| json!({"labels": {"alertname": name, "severity": severity, "guard": "terminal", "incident": incident, "more": "x"}});
    let open = json!([
        labels("RipcordIncident", "warning", incident),
        labels("RipcordRollbackFailed", "critical", incident),
        labels("RipcordIncident", "critical", "another"),
        labels("Another", "critical", incident),
    ]);
    let ended = |event: Event, open: &Value| {
        let n = of(event);
        let body = serde_json::to_vec(&api(&n)).unwrap();
        serde_json::from_slice::<Vec<Value>>(&narrowed(&body, &n, open)).unwrap()
    };
    let names =
        |event: Event| -> Vec<Value> { ended(event, &open).iter().map(|alert| alert["labels"].clone()).collect() };
    assert_eq!(names(Event::RollbackVerified), [open[0]["labels"].clone()]);
    assert_eq!(names(Event::RollbackSucceeded), [open[1]["labels"].clone()]);
    assert_eq!(names(Event::GuardRearmed), [open[0]["labels"].clone(), open[1]["labels"].clone()]);
    for nothing in [json!([]), json!({"error": "x"}), json!([{"labels": 1}])] {
        assert_eq!(ended(Event::RollbackVerified, &nothing), api(&of(Event::RollbackVerified)));
    }
}

#[test]
fn labels_are_valid_and_times_in_order() {
    for event in Event::ALL {
        let mut bare = of(event);
        (bare.guard, bare.incident, bare.trigger, bare.rollback) = (None, None, None, None);
        for n in [of(event), dry(of(event)), bare] {
            for alert in api(&n) {
                for (name, value) in alert["labels"].as_object().unwrap() {
                    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                    assert!(!value.as_str().unwrap().is_empty(), "{name}");
                }
                assert!(alert["startsAt"].as_str() <= alert["endsAt"].as_str(), "{alert}");
            }
        }
    }
}
