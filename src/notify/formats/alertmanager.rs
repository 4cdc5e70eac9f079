//! The webhook formats `alertmanager` (what Alertmanager sends to a webhook, for whatever takes that) and `alertmanager_api` (what an
//! Alertmanager itself takes).
//!
//! - <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>: the webhook's body, version 4
//! - <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>: `POST /api/v2/alerts`
//!
//! An alert is known by its labels, so what opens it and what ends it have the same ones: they are made of the story and of the end of its
//! key, as `pagerduty` uses them. An acknowledgement is nothing to Alertmanager; its receivers do not get it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::{Event, Language, Notification, Severity};
use crate::notify::addresses::Addresses;
use crate::notify::alert::{self, Effect};
use crate::notify::message;
use crate::notify::text::{clip, single_line};

use super::To;
use super::generic::whole_seconds;

/// The version of the webhook's body.
const VERSION: &str = "4";

/// The end of an alert that has not ended, in a webhook's body: Go's zero time.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// How long an alert fires whose end will be told. Without a time Alertmanager would end it after five minutes (`resolve_timeout`), as
/// nobody repeats it. A latched guard may wait for a person over a holiday.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long an alert fires that a person must look at and that nothing ends but a re-arm: until the next shift has seen it.
const LASTS_A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long a piece of news fires, which is no state that could end: longer than Alertmanager waits before it sends (`group_interval`).
const NEWS_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// The longest annotation, in characters: they end up in messages of chats and mails.
const MAX_ANNOTATION: usize = 2000;

type Texts = BTreeMap<&'static str, String>;

/// An alert in a webhook's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: &'static str,
    labels: Texts,
    annotations: Texts,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// A webhook's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    receiver: String,
    status: &'static str,
    alerts: Vec<Alert>,
    group_labels: Texts,
    common_labels: Texts,
    common_annotations: Texts,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
}

/// An alert as the API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: Texts,
    annotations: Texts,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

/// Whether the formats have anything to say about the event.
pub(in crate::notify) fn tells(event: Event) -> bool {
    alert::effect(event) != Effect::Acknowledge
}

/// The body that Alertmanager would send.
pub(super) fn webhook(notification: &Notification, addresses: &Addresses, to: &To<'_>) -> Vec<u8> {
    let ended = alert::effect(notification.event) != Effect::Trigger;
    let status = if ended { "resolved" } else { "firing" };
    let time = whole_seconds(notification.time);
    let labels = labels(notification, &alert::end(notification));
    let annotations = annotations(notification, addresses, to.language);
    let url = addresses.of(notification).status.unwrap_or_default();
    let group: Texts = labels.iter().filter(|(name, _)| **name != "severity").map(|(k, v)| (*k, v.clone())).collect();
    let quoted: Vec<String> = group.iter().map(|(name, value)| format!("{name}={}", go_quoted(value))).collect();
    let body = Body {
        receiver: to.receiver.to_owned(),
        status,
        alerts: vec![Alert {
            status,
            labels: labels.clone(),
            annotations: annotations.clone(),
            starts_at: begun(notification).unwrap_or(time).to_string(),
            ends_at: if ended { time.to_string() } else { NOT_ENDED.to_owned() },
            generator_url: url.clone(),
            fingerprint: fingerprint(&labels),
        }],
        group_key: format!("{{}}:{{{}}}", quoted.join(", ")),
        group_labels: group,
        common_labels: labels,
        common_annotations: annotations,
        external_url: url,
        version: VERSION,
        truncated_alerts: 0,
    };
    serde_json::to_vec(&body).expect("texts and maps with text as keys")
}

/// The alerts for the API: one, and with what ends a whole story all others of it that may be open.
pub(super) fn api(notification: &Notification, addresses: &Addresses, language: Language) -> Vec<u8> {
    let time = whole_seconds(notification.time);
    let end = alert::end(notification);
    let annotations = annotations(notification, addresses, language);
    let url = addresses.of(notification).status.unwrap_or_default();
    let posted = |end: &str| {
        let (starts_at, ends_at) = match alert::effect(notification.event) {
            Effect::Trigger => (time, time.checked_add(lasts(notification.event)).unwrap_or(Timestamp::MAX)),
            // Its beginning is Alertmanager's to know; its end must be past by Alertmanager's own clock, or the alert goes on.
            Effect::Resolve | Effect::Acknowledge => {
                let past = time.checked_sub(CLOCKS_APART).unwrap_or(time);
                (past, past)
            }
        };
        let (labels, annotations) = (labels(notification, end), annotations.clone());
        Posted { labels, annotations, starts_at, ends_at, generator_url: url.clone() }
    };
    let mut alerts = vec![posted(&end)];
    if notification.event == Event::GuardRearmed {
        alerts.extend(["/failed", "/reverted"].map(posted));
    }
    serde_json::to_vec(&alerts).expect("texts and maps with text as keys")
}

/// How far Alertmanager's clock may be behind ours.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);

fn lasts(event: Event) -> SignedDuration {
    match event {
        Event::RollbackNotRecovered | Event::RollbackReverted => LASTS_A_DAY,
        Event::WatchdogStarted | Event::WatchdogStopping | Event::GuardPaused | Event::NotificationLost => NEWS_LASTS,
        _ => LASTS,
    }
}

/// When the story began: the id of an incident ends with it, as in `terminal-20260102T030405Z.2`.
fn begun(notification: &Notification) -> Option<Timestamp> {
    let (_, last) = notification.incident.as_ref()?.rsplit_once('-')?;
    let stamp = last.split('.').next()?;
    let stamp = format!("{}+0000", stamp.strip_suffix('Z')?);
    Timestamp::strptime("%Y%m%dT%H%M%S%z", stamp).ok().filter(|begun| *begun <= notification.time)
}

/// The labels of the alert with this end of its key. Their names are valid everywhere; a value that is empty would be none at all.
fn labels(notification: &Notification, end: &str) -> Texts {
    let mut labels = Texts::new();
    labels.insert("alertname", name(notification.event, end).to_owned());
    // A re-arm ends what was critical, and is news for the record itself.
    let severity = if notification.event == Event::GuardRearmed { Severity::Critical } else { notification.severity };
    labels.insert("severity", severity.as_str().to_owned());
    if let Some(guard) = &notification.guard {
        labels.insert("guard", single_line(guard));
    }
    let story = if notification.event == Event::NotificationLost {
        Some(alert::story(notification))
    } else {
        notification.incident.clone()
    };
    if let Some(story) = story {
        labels.insert("incident", single_line(&story));
    }
    if let Some(rung) = end.strip_prefix("/not_recovered/") {
        labels.insert("percentage", rung.to_owned());
    }
    if notification.dry_run {
        labels.insert("dry_run", "true".to_owned());
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The alert's name.
fn name(event: Event, end: &str) -> &'static str {
    if event == Event::NotificationLost {
        return "RipcordNotificationLost";
    }
    match end.split('/').nth(1) {
        None => "RipcordIncident",
        Some("failed") => "RipcordRollbackFailed",
        Some("not_recovered") => "RipcordNotRecovered",
        Some("reverted") => "RipcordRollbackReverted",
        Some("blind") => "RipcordBlind",
        Some("not_ready") => "RipcordNotReady",
        Some("started") => "RipcordStarted",
        Some("stopping") => "RipcordStopping",
        Some("paused") => "RipcordGuardPaused",
        Some(_) => "Ripcord",
    }
}

/// What people read. The names are those that Alertmanager's own templates and most others look for.
fn annotations(notification: &Notification, addresses: &Addresses, language: Language) -> Texts {
    let links = addresses.of(notification);
    let mut annotations = Texts::new();
    let mut say = |name, text: &str| {
        if !text.trim().is_empty() {
            annotations.insert(name, clip(text.trim(), MAX_ANNOTATION));
        }
    };
    say("summary", &message::lead(notification, language));
    say("description", notification.advice_in(language));
    say("event", notification.event.as_str());
    if let (Some(facts), Some(words)) = (&notification.trigger, notification.trigger_in(language)) {
        say("trigger", &facts.name);
        say("value", &words.text);
        say("threshold", &words.threshold_text);
    }
    if let Some(error) = notification.rollback.as_ref().and_then(|r| r.error.as_ref()) {
        say("error", error);
    }
    if !notification.guards.is_empty() {
        say("guards", &notification.guards.join(", "));
    }
    say("runbook_url", &links.runbook.unwrap_or_default());
    say("status_url", &links.status.unwrap_or_default());
    say("dashboard_url", &links.dashboard.unwrap_or_default());
    annotations
}

/// A text as Go quotes it, as far as the characters of one line go.
fn go_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The fingerprint of labels, as Prometheus makes it: FNV-1a of 64 bits (`LabelSet.Fingerprint` of prometheus/common).
fn fingerprint(labels: &Texts) -> String {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    const SEPARATOR: u8 = 255;
    let mut hash = OFFSET;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (name, value) in labels {
        name.bytes().for_each(&mut add);
        add(SEPARATOR);
        value.bytes().for_each(&mut add);
        add(SEPARATOR);
    }
    format!("{hash:016x}")
}
