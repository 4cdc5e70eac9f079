//! The webhook formats `alertmanager` (what Alertmanager sends to a webhook, for whatever takes that) and `alertmanager_api` (what an
//! Alertmanager itself takes).
//!
//! - <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>: the webhook's body, version 4
//! - <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>: `POST` and `GET /api/v2/alerts`
//!
//! An alert is known by its labels; `labels` says which they are, and what ends an alert that was opened when other settings held. `sending`
//! completes a body at the moment at which it is sent. An acknowledgement is nothing to Alertmanager; its receivers do not get it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::{Event, Language, Notification};
use crate::notify::addresses::Addresses;
use crate::notify::alert::{self, Effect};
use crate::notify::message;
use crate::notify::text::clip;

use super::To;
use super::generic::whole_seconds;
use labels::{Texts, concerned, fingerprint, identity, labels, openings, own};

mod labels;
mod sending;

pub(in crate::notify) use sending::{matcher, narrowed, timed};

/// The version of the webhook's body.
const VERSION: &str = "4";

/// The end of an alert that has not ended, in a webhook's body: Go's zero time.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The longest annotation, in characters: they end up in messages of chats and mails.
const MAX_ANNOTATION: usize = 2000;

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
    /// Of what opens it is said when it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

/// Whether the formats have anything to say about the event.
pub(in crate::notify) fn tells(event: Event) -> bool {
    alert::effect(event) != Effect::Acknowledge
}

/// The body that Alertmanager would send. What knows alerts by their fingerprint or by the key of their group finds the end where it has the
/// beginning: both are made of what the alert is about, less how urgent it is.
pub(super) fn webhook(notification: &Notification, addresses: &Addresses, to: &To<'_>) -> Vec<u8> {
    let ended = alert::effect(notification.event) != Effect::Trigger;
    let status = if ended { "resolved" } else { "firing" };
    let time = whole_seconds(notification.time);
    let annotations = annotations(notification, addresses, to.language);
    let url = addresses.of(notification).status.unwrap_or_default();
    let alerts: Vec<Alert> = concerned(notification)
        .iter()
        .map(|end| Alert {
            status,
            labels: own(notification, end),
            annotations: annotations.clone(),
            starts_at: begun(notification).unwrap_or(time).to_string(),
            ends_at: if ended { time.to_string() } else { NOT_ENDED.to_owned() },
            generator_url: url.clone(),
            fingerprint: fingerprint(&identity(notification, end)),
        })
        .collect();
    let group = identity(notification, &alert::end(notification));
    let quoted: Vec<String> = group.iter().map(|(name, value)| format!("{name}={}", go_quoted(value))).collect();
    let mut common = alerts[0].labels.clone();
    common.retain(|name, value| alerts.iter().all(|alert| alert.labels.get(name) == Some(value)));
    let body = Body {
        receiver: to.receiver.to_owned(),
        status,
        alerts,
        group_key: format!("{{}}:{{{}}}", quoted.join(", ")),
        group_labels: group,
        common_labels: common,
        common_annotations: annotations,
        external_url: url,
        version: VERSION,
        truncated_alerts: 0,
    };
    serde_json::to_vec(&body).expect("texts and maps with text as keys")
}

/// The alerts for the API: one that opens; or all that may be open of what the notification ends, under each severity under which they can
/// have been opened. An end of what Alertmanager does not know tells it nothing.
pub(super) fn api(notification: &Notification, addresses: &Addresses, language: Language) -> Vec<u8> {
    let time = whole_seconds(notification.time);
    let annotations = annotations(notification, addresses, language);
    let generator_url = addresses.of(notification).status.unwrap_or_default();
    let post = |labels: Texts, starts_at: Timestamp, ends_at: Option<Timestamp>| Posted {
        labels,
        annotations: annotations.clone(),
        starts_at,
        ends_at,
        generator_url: generator_url.clone(),
    };
    let alerts: Vec<Posted> = match alert::effect(notification.event) {
        Effect::Trigger => vec![post(own(notification, &alert::end(notification)), time, None)],
        // Its beginning is Alertmanager's to know; its end must be past by Alertmanager's own clock, or the alert goes on.
        Effect::Resolve | Effect::Acknowledge => {
            let past = time.checked_sub(CLOCKS_APART).unwrap_or(time);
            let ends = concerned(notification).into_iter();
            ends.flat_map(|end| {
                openings(notification).into_iter().map(move |opening| labels(notification, &end, opening))
            })
            .map(|labels| post(labels, past, Some(past)))
            .collect()
        }
    };
    serde_json::to_vec(&alerts).expect("texts and maps with text as keys")
}

/// How far Alertmanager's clock may be behind ours.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);

/// When the story began: the id of an incident ends with it, as in `terminal-20260102T030405Z.2`.
fn begun(notification: &Notification) -> Option<Timestamp> {
    let (_, last) = notification.incident.as_ref()?.rsplit_once('-')?;
    let stamp = last.split('.').next()?;
    let stamp = format!("{}+0000", stamp.strip_suffix('Z')?);
    Timestamp::strptime("%Y%m%dT%H%M%S%z", stamp).ok().filter(|begun| *begun <= notification.time)
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
    // Of several they are no label, and of what is told of one guard after the other neither is the one.
    let guards: Vec<&str> = notification.guards.iter().chain(&notification.guard).map(String::as_str).collect();
    if !identity(notification, "").contains_key("guard") {
        say("guards", &guards.join(", "));
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

#[cfg(test)]
mod tests;
