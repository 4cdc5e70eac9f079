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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::verdict;
    use crate::config::WebhookFormat::{self, Dingtalk, Feishu, Wecom};
    use crate::notify::courier::Failure;

    /// What an answer means: delivered, refused for good, to be tried again, to be tried again after this many seconds; nothing where the
    /// status decides.
    #[derive(Debug, PartialEq)]
    enum Means {
        Taken,
        Lost,
        Again,
        After(u64),
        Nothing,
    }

    #[test]
    fn what_each_answer_means() {
        use Means::{After, Again, Lost, Nothing, Taken};
        let check = |format: WebhookFormat, success: bool, after: Option<u64>, body: &str, means: Means| {
            let after = after.map(Duration::from_secs);
            let found = match verdict(format, body, success, "POST", after, str::to_owned) {
                None => Nothing,
                Some(Ok(())) => Taken,
                Some(Err(Failure::Refused(_))) => Lost,
                Some(Err(Failure::Retry { after: None, .. })) => Again,
                Some(Err(Failure::Retry { after: Some(after), .. })) => After(after.as_secs()),
            };
            assert_eq!(found, means, "{format:?} {success} {body}");
        };
        // The format; whether the status is one of success; Retry-After; the body; what it means.
        check(Feishu, true, None, r#"{"code":0,"msg":"success"}"#, Taken);
        check(Feishu, true, None, r#"{"code":9499,"msg":"too many request"}"#, After(60));
        check(Feishu, false, None, r#"{"code":9499,"msg":"Too Many Requests"}"#, After(60));
        check(Feishu, true, None, r#"{"code":9499,"msg":"Bad Request"}"#, Lost);
        check(Feishu, false, None, r#"{"code":9499,"msg":"Bad Request"}"#, Lost);
        check(Feishu, true, None, r#"{"code":11232,"msg":"create message trigger frequency limit"}"#, After(60));
        check(Feishu, false, None, r#"{"code":99991400,"msg":"request trigger frequency limit"}"#, After(60));
        check(Feishu, false, Some(7), r#"{"code":99991400,"msg":"request trigger frequency limit"}"#, After(7));
        check(
            Feishu,
            false,
            None,
            r#"{"code":230020,"msg":"This operation triggers the frequency limit."}"#,
            After(60),
        );
        check(Feishu, true, None, r#"{"code":4711,"msg":"something new"}"#, Again);
        check(Feishu, false, None, r#"{"code":4711,"msg":"something new"}"#, Nothing);
        check(Feishu, false, None, r#"{"code":4711,"msg":"too many request"}"#, After(60));
        check(Dingtalk, true, None, r#"{"errcode":0,"errmsg":"ok"}"#, Taken);
        check(
            Dingtalk,
            true,
            None,
            r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
            After(60),
        );
        check(Dingtalk, true, None, r#"{"errcode":410100,"errmsg":"发送速度太快而限流"}"#, After(60));
        check(Dingtalk, true, None, r#"{"errcode":88,"errmsg":"调用频率超过限制"}"#, After(60));
        check(Dingtalk, true, None, r#"{"errcode":310000,"errmsg":"sign not match"}"#, Lost);
        check(Dingtalk, true, None, r#"{"errcode":-1,"errmsg":"system busy"}"#, Again);
        check(Wecom, true, None, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#, After(60));
        check(Wecom, true, None, r#"{"errcode":45033,"errmsg":"api concurrent out of limit"}"#, After(60));
        check(Wecom, true, None, r#"{"errcode":45011,"errmsg":"api minute-quota reach limit"}"#, After(60));
        check(Wecom, true, None, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, Lost);
        check(Wecom, true, None, r#"{"errcode":"0"}"#, Nothing);
    }
}
