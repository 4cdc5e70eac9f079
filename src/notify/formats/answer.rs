//! Answers that say by a code in their body whether the message was taken. Feishu, DingTalk and WeCom answer HTTP 200 to what they refuse.

use std::time::Duration;

use serde_json::Value;

use crate::config::WebhookFormat;
use crate::notify::courier::Failure;

use super::{dingtalk, feishu, wecom};

/// How long a service is left alone that has had too many messages. Each counts them by the minute.
pub(in crate::notify) const PAUSE: Duration = Duration::from_secs(60);

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The message is there.
    Accepted,
    /// It never will be, for this reason.
    Refused(&'static str),
    /// It may be later: the service fails, or a person mends what is wrong while it waits.
    Retry(&'static str),
    /// There were too many.
    Busy(&'static str),
    /// No list has the code: what its text says of too many messages counts, and otherwise it may be taken later. It says where to look.
    Unknown(&'static str),
}

/// Whether a text says that there were too many messages, in the words in which these services do: `too many request`, `send too fast`,
/// `api freq out of limit`, `trigger frequency limit`. Their codes for it differ by the gateway that answers, and new ones come.
pub(super) fn says_too_many(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "too many",
        "too fast",
        "too frequent",
        "freq",
        "rate limit",
        "ratelimit",
        "rate_limit",
        "quota",
        "频率",
        "频繁",
        "限流",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// Whether a format's service says in its answer's body whether it took the message.
pub(in crate::notify) fn has_codes(format: WebhookFormat) -> bool {
    matches!(format, WebhookFormat::Feishu | WebhookFormat::Dingtalk | WebhookFormat::Wecom)
}

/// The code in an answer, with its text.
fn code(format: WebhookFormat, body: &str) -> Option<(i64, String)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let (codes, texts): (&[&str], &[&str]) = match format {
        // The older addresses of Feishu's bots have the other name only.
        WebhookFormat::Feishu => (&["code", "StatusCode"], &["msg", "StatusMessage"]),
        _ => (&["errcode"], &["errmsg"]),
    };
    let code = codes.iter().find_map(|key| body.get(*key)?.as_i64())?;
    let text = texts.iter().find_map(|key| body.get(*key)?.as_str()).unwrap_or_default();
    Some((code, text.to_owned()))
}

/// What an answer says by its code, where it has one; `said` is what may be told of its text, and `after` what its `Retry-After` says. Of an
/// answer that is an error by its status only a refusal or a wish to be left alone counts: for the rest the status says more.
pub(in crate::notify) fn verdict(
    format: WebhookFormat,
    body: &str,
    success: bool,
    target: &str,
    after: Option<Duration>,
    said: impl Fn(&str) -> String,
) -> Option<Result<(), Failure>> {
    let (code, text) = code(format, body)?;
    let meaning = match format {
        WebhookFormat::Feishu => feishu::meaning(code, &text),
        WebhookFormat::Dingtalk => dingtalk::meaning(code),
        WebhookFormat::Wecom => wecom::meaning(code),
        _ => return None,
    };
    let meaning = match meaning {
        Meaning::Unknown(_) if says_too_many(&text) => Meaning::Busy("too many messages at once"),
        known => known,
    };
    if !success && matches!(meaning, Meaning::Accepted | Meaning::Retry(_) | Meaning::Unknown(_)) {
        return None;
    }
    let text = said(&text);
    let error = |why: &str| format!("{target}: answered code {code} ({text}); {why}");
    Some(match meaning {
        Meaning::Accepted => Ok(()),
        Meaning::Refused(why) => Err(Failure::Refused(error(why))),
        Meaning::Retry(why) | Meaning::Unknown(why) => Err(Failure::retry(error(why))),
        Meaning::Busy(why) => Err(Failure::Retry { error: error(why), after: after.or(Some(PAUSE)) }),
    })
}
