//! What of a body is known only at the moment at which it is sent: until when an alert fires, and which alerts are open.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::engine::{Event, Notification};
use crate::notify::alert::{self, Effect};

use super::super::generic::whole_seconds;
use super::go_quoted;
use super::labels::{concerned, ends_the_story, identity, incident};

/// How long an alert fires whose end will be told. Without a time Alertmanager would end it after five minutes (`resolve_timeout`), as
/// nobody repeats it. A latched guard may wait for a person over a holiday.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long an alert fires that a person must look at and that nothing ends but a re-arm: until the next shift has seen it.
const LASTS_A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long a piece of news fires, which is no state that could end: longer than Alertmanager waits before it sends (`group_interval`).
const NEWS_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// How long an alert fires that ends by itself.
fn ends_by_itself(event: Event) -> Option<SignedDuration> {
    match event {
        Event::RollbackNotRecovered | Event::RollbackReverted => Some(LASTS_A_DAY),
        Event::WatchdogStopping | Event::GuardPaused | Event::NotificationLost => Some(NEWS_LASTS),
        _ => None,
    }
}

/// A body as it is sent now: what opens an alert says until when it fires. That counts from now and not from the event, which may be long
/// past after a quiet night or an outage: Alertmanager would take the alert for one that is over, and tell nobody.
pub(in crate::notify) fn timed(body: &[u8], notification: &Notification, now: Timestamp) -> Vec<u8> {
    let by_itself = ends_by_itself(notification.event);
    if alert::effect(notification.event) != Effect::Trigger {
        return body.to_vec();
    }
    let until = |lasts| json!(whole_seconds(now).checked_add(lasts).unwrap_or(Timestamp::MAX));
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    let (alerts, lasts) = match &mut value {
        Value::Array(alerts) => (Some(alerts), Some(by_itself.unwrap_or(LASTS))),
        // A webhook is told the end of what has one; of the rest only this says it.
        body => (body["alerts"].as_array_mut(), by_itself),
    };
    let (Some(alerts), Some(lasts)) = (alerts, lasts) else { return body.to_vec() };
    for alert in alerts {
        alert["endsAt"] = until(lasts);
    }
    serde_json::to_vec(&value).unwrap_or_else(|_| body.to_vec())
}

/// What asks Alertmanager for the open alerts that a notification may end; nothing when it ends none.
pub(in crate::notify) fn matcher(notification: &Notification) -> Option<String> {
    let ends = alert::effect(notification.event) == Effect::Resolve;
    incident(notification).filter(|_| ends).map(|story| format!("incident={}", go_quoted(&story)))
}

/// The body that ends exactly those of the open alerts which the notification ends. Where none is known to be open the body stays what it
/// is, and ends all that may be: another of several Alertmanagers may have answered.
pub(in crate::notify) fn narrowed(body: &[u8], notification: &Notification, open: &Value) -> Vec<u8> {
    let identities: Vec<_> = concerned(notification).iter().map(|end| identity(notification, end)).collect();
    let ends = |labels: &Value| {
        let is = |name: &str, value: &str| labels[name].as_str() == Some(value);
        let ours = labels["alertname"].as_str().is_some_and(|name| name.starts_with("Ripcord"));
        let of_the_story = identities.iter().flat_map(|i| i.get("incident")).any(|story| is("incident", story));
        ours && of_the_story
            && (ends_the_story(notification.event)
                || identities.iter().any(|identity| identity.iter().all(|(name, value)| is(name, value))))
    };
    let open: Vec<&Value> =
        open.as_array().into_iter().flatten().map(|alert| &alert["labels"]).filter(|labels| ends(labels)).collect();
    let Ok(Value::Array(posted)) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    let Some(pattern) = posted.first().filter(|_| !open.is_empty()) else { return body.to_vec() };
    let exact: Vec<Value> = open
        .into_iter()
        .map(|labels| {
            let mut alert = pattern.clone();
            alert["labels"] = labels.clone();
            alert
        })
        .collect();
    serde_json::to_vec(&exact).unwrap_or_else(|_| body.to_vec())
}
