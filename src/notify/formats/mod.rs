//! What is sent by HTTP, a file for each format. A format makes the body of a notification, says what is added to it at the moment of
//! sending (a key, a signature), and knows the answers by which its service says that it did not take it.
//!
//! - `generic`: Ripcord's own JSON; `pagerduty`: Events API v2
//! - `slack`, `feishu`, `dingtalk`, `wecom`: a message for people, in the words of `message`; `chat` is what they share, `markdown` makes
//!   a text harmless
//! - `alertmanager`: the body that Alertmanager sends to webhooks, and the one that its API takes
//! - `template`: a body that the configuration writes
//! - `answer`: answers that say by a code in their body what others say by their status

pub(super) mod alertmanager;
pub(super) mod answer;
mod chat;
pub(super) mod dingtalk;
pub(super) mod feishu;
pub(super) mod generic;
mod markdown;
pub(super) mod pagerduty;
mod slack;
pub(super) mod template;
mod wecom;

use crate::config::{Webhook, WebhookFormat};
use crate::engine::{Language, Notification};

use super::addresses::Addresses;
use super::courier::{Failure, Made};
use super::message;
use chat::Chat;
use template::BodyTemplate;

/// Whom a body is for.
pub(super) struct To<'a> {
    pub(super) receiver: &'a str,
    pub(super) settings: &'a Webhook,
    pub(super) language: Language,
}

/// The body of a notification, less what is added when it is sent.
pub(super) fn body(
    to: &To<'_>,
    template: Option<&BodyTemplate>,
    notification: &Notification,
    addresses: &Addresses,
) -> Result<Made, Failure> {
    let (settings, language) = (to.settings, to.language);
    let chat = |make: fn(&Chat<'_>) -> serde_json::Value| {
        let content = message::content(notification, addresses, language);
        let message = make(&Chat::new(notification, &content, &settings.mention));
        serde_json::to_vec(&message).expect("a JSON value can be written")
    };
    Ok(match settings.format {
        WebhookFormat::Generic => generic::body(notification, addresses, language),
        WebhookFormat::Pagerduty => pagerduty::body(notification, addresses, language),
        WebhookFormat::Slack => chat(slack::message),
        WebhookFormat::Feishu => chat(feishu::message),
        WebhookFormat::Dingtalk => chat(dingtalk::message),
        WebhookFormat::Wecom => chat(wecom::message),
        WebhookFormat::Alertmanager => alertmanager::webhook(notification, addresses, to),
        WebhookFormat::AlertmanagerApi => alertmanager::api(notification, addresses, language),
        WebhookFormat::Template => {
            let template = template.ok_or_else(|| Failure::Refused("the receiver has no template".to_owned()))?;
            return Ok(template.body(notification, addresses, language));
        }
    }
    .into())
}

/// The bodies that follow the notification's own, for what it acknowledges or ends besides, where the format says so one at a time.
pub(super) fn others(to: &To<'_>, notification: &Notification) -> Vec<Vec<u8>> {
    match to.settings.format {
        WebhookFormat::Pagerduty => pagerduty::others(notification),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
