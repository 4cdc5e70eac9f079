//! The webhook format `feishu`: a card for the custom bot of a group, of Feishu or Lark.
//!
//! - <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>: body, signature, limits (20 KB a request; 100 requests a minute and 5 a
//!   second) and codes; what its gateway answers to too many is `9499` with `too many request`, `99991400`, `11232` or `230020`. The signature is the HMAC-SHA-256 of *nothing* under the key `timestamp + "\n" + secret`, in Base64
//! - <https://open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards/feishu-card-overview>: the parts of a card
//!
//! What comes from elsewhere is set as `plain_text`, in which nothing is a sign; only headings and calls are set as markdown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::notify::message::Tone;
use crate::notify::text::clip;

use super::answer::{Meaning, says_too_many};
use super::chat::{Chat, bytes, fit};

/// The limit is 20 KB for a request, however it counts them; what is left of it is for the signature.
const MAX_BODY: usize = 18_000;

/// How much of the title is said, in characters: a phone shows three lines of it.
const MAX_TITLE: usize = 300;

/// What is wrong when a limit is met.
const TOO_MANY: &str = "more than 100 messages in a minute, 5 in a second";

/// What a code means, with its text.
pub(super) fn meaning(code: i64, text: &str) -> Meaning {
    match code {
        0 => Meaning::Accepted,
        // One code for whatever is a bad request to the gateway, too many of them too.
        9499 if says_too_many(text) => Meaning::Busy(TOO_MANY),
        9499 => Meaning::Refused("the body is malformed or too large; please report it"),
        19001 | 19003 => Meaning::Refused("check the receiver's address: the bot may be gone"),
        19002 => Meaning::Refused("the body is malformed; please report it"),
        19021 => Meaning::Refused("check the receiver's secret_file and this machine's clock"),
        19022 => Meaning::Refused("add this machine to the bot's list of IP addresses"),
        19024 => Meaning::Refused("let the bot want a keyword that every message has, like Event, or a signature"),
        11232 | 230020 | 99991400 => Meaning::Busy(TOO_MANY),
        11233 | 19007 => Meaning::Refused("see in the group's settings why the bot may not send"),
        _ => Meaning::Unknown("see the documentation of Feishu's custom bots"),
    }
}

/// The message.
pub(super) fn message(chat: &Chat<'_>) -> Value {
    fit(MAX_BODY, bytes, |room| card(chat, room))
}

fn card(chat: &Chat<'_>, room: usize) -> Value {
    let plain = |text: String| json!({"tag": "div", "text": {"tag": "plain_text", "content": text}});
    let marked = |text: String| json!({"tag": "div", "text": {"tag": "lark_md", "content": text}});
    let title = clip(&chat.title(), MAX_TITLE);
    let mut elements = Vec::new();
    if title != chat.title() {
        elements.push(plain(clip(&chat.content.lead, room)));
    }
    if !chat.mention.is_empty() {
        let called: Vec<String> = chat.mention.iter().map(|id| format!("<at id={id}></at>")).collect();
        elements.push(marked(called.join(" ")));
    }
    for (heading, lines) in chat.paragraphs(room) {
        elements.push(marked(format!("**{heading}**")));
        elements.push(plain(lines.join("\n")));
    }
    let links = chat.links().filter(|(_, url)| url.len() <= room);
    let buttons: Vec<Value> = links
        .map(|(name, url)| {
            json!({"tag": "button", "type": "default", "url": url, "text": {"tag": "plain_text", "content": name}})
        })
        .collect();
    if !buttons.is_empty() {
        elements.push(json!({"tag": "action", "actions": buttons}));
    }
    let small = json!({"tag": "plain_text", "content": chat.small_print(room)});
    elements.push(json!({"tag": "note", "elements": [small]}));
    let colour = match chat.tone {
        Tone::Critical => "red",
        Tone::Warning => "orange",
        Tone::Info => "blue",
        Tone::Good => "green",
    };
    json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {"template": colour, "title": {"tag": "plain_text", "content": title}},
            "elements": elements,
        },
    })
}

/// The signature at this time, in seconds since 1970.
pub(in crate::notify) fn sign(secret: &str, timestamp: i64) -> String {
    let key = format!("{timestamp}\n{secret}");
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The body as it is sent, with its signature: it must not be older than an hour.
pub(in crate::notify) fn signed(body: &[u8], timestamp: i64, sign: &str) -> Vec<u8> {
    // The body is an object that is never empty, so both can be put before its first member without reading the rest.
    let mut out = format!("{{\"timestamp\":\"{timestamp}\",\"sign\":{},", Value::from(sign)).into_bytes();
    out.extend_from_slice(&body[1..]);
    out
}
