//! The webhook format `pagerduty`: PagerDuty's Events API v2
//! (<https://developer.pagerduty.com/docs/events-api-v2-overview>).
//!
//! The routing key is a secret and is read when the body is sent, so the body made here does not have it yet.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::engine::{Event, Language, Notification};

use super::addresses::Addresses;
use super::signature::hex;
use super::text::{clip, single_line};
use super::{generic, message};

/// PagerDuty's limit for `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1024;

/// PagerDuty's limit for `dedup_key`, in characters; in bytes it is on the safe side.
const MAX_DEDUP_KEY: usize = 255;

/// PagerDuty's limit is 512 KB for a request; what is left of it is for the routing key.
const MAX_BODY: usize = 500 * 1000;

/// What an event does to the alert with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Trigger,
    Acknowledge,
    Resolve,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// What an event does, and the end of its key. A key of its own keeps a page from being hidden by the acknowledgement of another one of
/// the same incident, and good news of one kind from closing a page of another kind.
fn effect(event: Event) -> (Effect, &'static str) {
    match event {
        Event::RollbackStarted | Event::PageFiring => (Effect::Trigger, ""),
        Event::RollbackVerified | Event::PageResolved | Event::GuardRearmed => (Effect::Resolve, ""),
        Event::GuardAcknowledged => (Effect::Acknowledge, ""),
        Event::RollbackFailed => (Effect::Trigger, "/failed"),
        Event::RollbackSucceeded => (Effect::Resolve, "/failed"),
        Event::RollbackNotRecovered => (Effect::Trigger, "/not_recovered"),
        Event::RollbackReverted => (Effect::Trigger, "/reverted"),
        Event::WatchdogBlind => (Effect::Trigger, "/blind"),
        Event::WatchdogSees => (Effect::Resolve, "/blind"),
        Event::WatchdogNotReady => (Effect::Trigger, "/not_ready"),
        Event::WatchdogReady => (Effect::Resolve, "/not_ready"),
        Event::WatchdogStarted => (Effect::Trigger, "/started"),
        Event::WatchdogStopping => (Effect::Trigger, "/stopping"),
        Event::GuardPaused => (Effect::Trigger, "/paused"),
        Event::NotificationLost => (Effect::Trigger, ""),
    }
}

/// Whether the event acknowledges or closes an alert: whether it quiets somebody's pager and never sets it off.
pub(super) fn quiets(event: Event) -> bool {
    effect(event).0 != Effect::Trigger
}

/// The key under which PagerDuty keeps what belongs together: the incident, or where there is none the guard.
pub(super) fn dedup_key(notification: &Notification) -> String {
    let (_, end) = effect(notification.event);
    let story = match (notification.event, &notification.incident, &notification.guard) {
        // Each loss is an alert of its own: who acknowledged one must hear of the next, of the same receiver or incident too.
        (Event::NotificationLost, _, _) => notification.id.clone(),
        (_, Some(incident), _) => incident.clone(),
        (_, None, Some(guard)) => format!("ripcord/{guard}"),
        (_, None, None) => "ripcord".to_owned(),
    };
    // Each rung of a ladder has its own: who acknowledged that the first did not help must hear that the last did not either.
    let rung = match (notification.event, &notification.rollback) {
        (Event::RollbackNotRecovered, Some(rollback)) => format!("/{}", rollback.to_percentage),
        _ => String::new(),
    };
    let key = single_line(&format!("{story}{end}{rung}"));
    if key.len() <= MAX_DEDUP_KEY {
        return key;
    }
    let digest = hex(&Sha256::digest(key.as_bytes()));
    let mut room = MAX_DEDUP_KEY - digest.len() - 1;
    while !key.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}-{digest}", &key[..room])
}

/// The body, less the routing key.
pub(super) fn body(notification: &Notification, addresses: &Addresses, language: Language) -> Vec<u8> {
    let full = event(notification, addresses, language, generic::value(notification, addresses));
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
    let (effect, _) = effect(notification.event);
    let links = addresses.of(notification);
    let mut event = Map::new();
    event.insert("event_action".to_owned(), effect.as_str().into());
    event.insert("dedup_key".to_owned(), dedup_key(notification).into());
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
        let shown = [("Runbook", links.runbook), ("Status", links.status), ("Dashboard", links.dashboard)];
        let shown: Vec<Value> =
            shown.into_iter().filter_map(|(text, href)| href.map(|href| json!({"href": href, "text": text}))).collect();
        if !shown.is_empty() {
            event.insert("links".to_owned(), shown.into());
        }
    }
    serde_json::to_vec(&event).expect("a JSON value can be written")
}

fn summary(notification: &Notification, language: Language) -> String {
    clip(&message::lead(notification, language), MAX_SUMMARY)
}

/// The body as it is sent: with its routing key.
pub(super) fn with_routing_key(body: &[u8], key: &str) -> Vec<u8> {
    // The body is an object that is never empty, so the key can be put before its first member without reading the rest.
    let mut out = format!("{{\"routing_key\":{},", Value::from(key)).into_bytes();
    out.extend_from_slice(&body[1..]);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{body, dedup_key, with_routing_key};
    use crate::engine::{Event, Language, Severity, StepReport, StepResult};
    use crate::notify::generic;
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
                "component": "terminal", "class": "error_rate", "custom_details": generic::value(&n, &addresses()),
            },
            "client": "Ripcord",
            "client_url": "https://ripcord.example/",
            "links": [
                {"href": "https://runbooks.example/terminal", "text": "Runbook"},
                {"href": "https://ripcord.example/", "text": "Status"},
                {"href": "https://grafana.example/d/ripcord?var-guard=terminal", "text": "Dashboard"},
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
        assert_eq!(dedup_key(&n), "ripcord/terminal/blind");
        n.guard = None;
        assert_eq!(dedup_key(&n), "ripcord/blind");
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
        let first = dedup_key(&n);
        n.incident = Some("事".repeat(201));
        assert_ne!(dedup_key(&n), first, "long keys that differ at their end stay different");

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
