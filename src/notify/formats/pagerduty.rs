//! The webhook format `pagerduty`: PagerDuty's Events API v2
//! (<https://developer.pagerduty.com/docs/events-api-v2-overview>).
//!
//! The routing key is a secret and is read when the body is sent, so the body made here does not have it yet.

use serde_json::{Map, Value, json};

use crate::engine::{Language, Notification};
use crate::notify::addresses::Addresses;
use crate::notify::alert::{self, Effect};
use crate::notify::message;
use crate::notify::text::clip;

use super::generic;

/// PagerDuty's limit for `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1024;

/// PagerDuty's limit for `dedup_key`, in characters; in bytes it is on the safe side.
const MAX_DEDUP_KEY: usize = 255;

/// PagerDuty's limit is 512 KB for a request; what is left of it is for the routing key.
const MAX_BODY: usize = 500 * 1000;

/// The action of an effect, in PagerDuty's words.
fn action(effect: Effect) -> &'static str {
    match effect {
        Effect::Trigger => "trigger",
        Effect::Acknowledge => "acknowledge",
        Effect::Resolve => "resolve",
    }
}

/// The key under which PagerDuty keeps what belongs together.
fn dedup_key(notification: &Notification, end: &str) -> String {
    alert::shortened(alert::key_ending(notification, end), MAX_DEDUP_KEY)
}

/// The bodies, less the routing key, that acknowledge or end the other alerts of the story that the notification settles: PagerDuty takes
/// one key at a time.
pub(super) fn others(notification: &Notification) -> Vec<Vec<u8>> {
    let action = action(alert::effect(notification.event));
    let body = |end: String| json!({"event_action": action, "dedup_key": dedup_key(notification, &end)});
    alert::other_ends(notification).map(|end| written(&body(end))).collect()
}

/// The body, less the routing key.
pub(in crate::notify) fn body(notification: &Notification, addresses: &Addresses, language: Language) -> Vec<u8> {
    let full = event(notification, addresses, language, generic::value(notification, addresses, language));
    if full.len() <= MAX_BODY {
        return full;
    }
    let short = json!({
        "id": notification.id,
        "event": notification.event,
        "note": "The details are left out: with them the event is larger than PagerDuty accepts.",
    });
    event(notification, addresses, language, short)
}

fn event(notification: &Notification, addresses: &Addresses, language: Language, details: Value) -> Vec<u8> {
    let effect = alert::effect(notification.event);
    let links = addresses.of(notification);
    let mut event = Map::new();
    event.insert("event_action".to_owned(), action(effect).into());
    event.insert("dedup_key".to_owned(), dedup_key(notification, &alert::end(notification)).into());
    if effect == Effect::Trigger {
        let mut payload = Map::new();
        payload.insert("summary".to_owned(), summary(notification, language).into());
        payload.insert("source".to_owned(), notification.guard.as_deref().unwrap_or("ripcord").into());
        payload.insert("severity".to_owned(), notification.severity.as_str().into());
        payload.insert("timestamp".to_owned(), generic::whole_seconds(notification.time).to_string().into());
        if let Some(guard) = &notification.guard {
            payload.insert("component".to_owned(), guard.as_str().into());
        }
        if let Some(trigger) = &notification.trigger {
            payload.insert("class".to_owned(), trigger.name.as_str().into());
        }
        payload.insert("custom_details".to_owned(), details);
        event.insert("payload".to_owned(), payload.into());
        event.insert("client".to_owned(), "Ripcord".into());
        if let Some(status) = &links.status {
            event.insert("client_url".to_owned(), status.as_str().into());
        }
        let shown = message::named_links(links, notification.told_in(language));
        let shown: Vec<Value> = shown.into_iter().map(|(text, href)| json!({"href": href, "text": text})).collect();
        if !shown.is_empty() {
            event.insert("links".to_owned(), shown.into());
        }
    }
    written(&event.into())
}

fn written(event: &Value) -> Vec<u8> {
    serde_json::to_vec(event).expect("a JSON value can be written")
}

fn summary(notification: &Notification, language: Language) -> String {
    clip(&message::lead(notification, language), MAX_SUMMARY)
}

/// The body as it is sent: with its routing key.
pub(in crate::notify) fn with_routing_key(body: &[u8], key: &str) -> Vec<u8> {
    // The body is an object that is never empty, so the key can be put before its first member without reading the rest.
    let mut out = format!("{{\"routing_key\":{},", Value::from(key)).into_bytes();
    out.extend_from_slice(&body[1..]);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{body, dedup_key, others, with_routing_key};
    use crate::engine::{Alert, Event, Language, Severity, StepReport, StepResult};
    use crate::notify::alert;
    use crate::notify::formats::generic;
    use crate::notify::testing::{addresses, notification};

    fn parsed(n: &crate::engine::Notification) -> Value {
        serde_json::from_slice(&with_routing_key(&body(n, &addresses(), Language::English), "R0UT\"ING")).unwrap()
    }

    #[test]
    fn a_trigger_has_everything() {
        let n = notification("n1");
        let expected = json!({
            "routing_key": "R0UT\"ING",
            "event_action": "trigger",
            "dedup_key": "terminal-20260102T030405Z",
            "payload": {
                "summary": n.summary, "source": "terminal", "severity": "critical", "timestamp": "2026-01-02T03:04:05Z",
                "component": "terminal", "class": "error_rate", "custom_details": generic::value(&n, &addresses(), Language::English),
            },
            "client": "Ripcord",
            "client_url": "https://ripcord.example/",
            "links": [
                {"href": "https://runbooks.example/terminal", "text": "Runbook"},
                {"href": "https://grafana.example/d/ripcord?var-guard=terminal", "text": "Dashboard"},
                {"href": "https://ripcord.example/", "text": "Status"},
            ],
        });
        assert_eq!(parsed(&n), expected);
    }

    #[test]
    fn stories_have_their_keys() {
        let incident = "terminal-20260102T030405Z";
        let cases = [
            (Event::RollbackStarted, "trigger", ""),
            (Event::RollbackVerified, "resolve", ""),
            (Event::PageFiring, "trigger", ""),
            (Event::PageResolved, "resolve", ""),
            (Event::GuardRearmed, "resolve", ""),
            (Event::GuardAcknowledged, "acknowledge", ""),
            (Event::RollbackFailed, "trigger", "/failed"),
            (Event::RollbackSucceeded, "resolve", "/failed"),
            (Event::RollbackNotRecovered, "trigger", "/not_recovered/0"),
            (Event::RollbackReverted, "trigger", "/reverted"),
            (Event::WatchdogBlind, "trigger", "/blind"),
            (Event::WatchdogSees, "resolve", "/blind"),
            (Event::WatchdogNotReady, "trigger", "/not_ready"),
            (Event::WatchdogReady, "resolve", "/not_ready"),
        ];
        for (event, action, end) in cases {
            let mut n = notification("n1");
            n.event = event;
            let sent = parsed(&n);
            assert_eq!(sent["event_action"], action, "{event:?}");
            assert_eq!(sent["dedup_key"], format!("{incident}{end}"), "{event:?}");
            assert_eq!(sent.get("payload").is_some(), action == "trigger", "{event:?}");
        }
        let mut n = notification("n1");
        n.event = Event::WatchdogBlind;
        n.incident = None;
        assert_eq!(dedup_key(&n, &alert::end(&n)), "ripcord/terminal/blind");
        n.guard = None;
        assert_eq!(dedup_key(&n, &alert::end(&n)), "ripcord/blind");
        // Nothing ends these, and the next one must be heard.
        n.event = Event::WatchdogNotReady;
        assert_eq!(dedup_key(&n, &alert::end(&n)), "n1/not_ready");
        n.event = Event::GuardPaused;
        assert_eq!(dedup_key(&n, &alert::end(&n)), "n1/paused");
        for (event, action) in [(Event::WatchdogStopping, "trigger"), (Event::WatchdogStarted, "resolve")] {
            n.event = event;
            assert_eq!(
                (&parsed(&n)["event_action"], &parsed(&n)["dedup_key"]),
                (&json!(action), &json!("ripcord/stopping"))
            );
        }
    }

    #[test]
    fn what_acknowledges_or_ends_a_story_does_so_for_each_of_its_alerts() {
        let mut n = notification("n1");
        n.settles = vec![
            Alert::Failed,
            Alert::NotRecovered { percentage: 10 },
            Alert::NotRecovered { percentage: 0 },
            Alert::Reverted,
        ];
        for (event, action) in [
            (Event::GuardAcknowledged, "acknowledge"),
            (Event::RollbackVerified, "resolve"),
            (Event::PageResolved, "resolve"),
            (Event::GuardRearmed, "resolve"),
        ] {
            n.event = event;
            let sent: Vec<Value> = others(&n).iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
            let expected: Vec<Value> = ["/failed", "/not_recovered/10", "/not_recovered/0", "/reverted"]
                .map(|end| json!({"event_action": action, "dedup_key": format!("terminal-20260102T030405Z{end}")}))
                .into();
            assert_eq!(sent, expected, "{event:?}");
        }
        n.event = Event::RollbackNotRecovered;
        assert!(others(&n).is_empty(), "bad news ends nothing");
    }

    #[test]
    fn every_loss_is_an_alert_of_its_own() {
        let mut n = notification("notification.lost/n1/sre");
        n.event = Event::NotificationLost;
        let sent = parsed(&n);
        assert_eq!(
            (&sent["event_action"], &sent["dedup_key"]),
            (&json!("trigger"), &json!("notification.lost/n1/sre"))
        );
        assert_eq!(sent["payload"]["summary"], n.summary);
    }

    #[test]
    fn severities_keep_their_names() {
        for (severity, name) in
            [(Severity::Info, "info"), (Severity::Warning, "warning"), (Severity::Critical, "critical")]
        {
            let mut n = notification("n1");
            n.severity = severity;
            assert_eq!(parsed(&n)["payload"]["severity"], name);
        }
    }

    #[test]
    fn limits_are_kept() {
        let mut n = notification("n1");
        n.summary = "高".repeat(3000);
        n.incident = Some("事".repeat(200));
        let sent = parsed(&n);
        assert_eq!(sent["payload"]["summary"].as_str().unwrap().chars().count(), 1024);
        assert!(sent["dedup_key"].as_str().unwrap().len() <= 255);
        let first = dedup_key(&n, &alert::end(&n));
        n.incident = Some("事".repeat(201));
        assert_ne!(dedup_key(&n, &alert::end(&n)), first, "long keys that differ at their end stay different");

        let step = StepReport { step: "s".repeat(1000), result: StepResult::Failed, detail: None };
        n.rollback.as_mut().unwrap().steps = vec![step; 1000];
        let sent = body(&n, &addresses(), Language::English);
        assert!(sent.len() < 512_000);
        assert!(String::from_utf8(sent).unwrap().contains("left out"));
    }

    #[test]
    fn a_dry_run_says_so() {
        let mut n = notification("n1");
        n.dry_run = true;
        assert!(parsed(&n)["payload"]["summary"].as_str().unwrap().starts_with("[dry run] terminal"));
    }
}
