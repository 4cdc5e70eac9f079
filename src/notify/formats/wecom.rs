//! The webhook format `wecom`: a markdown message for the robot of a group.
//!
//! - <https://developer.work.weixin.qq.com/document/path/91770>: body and limits (a text of 4096 bytes; 20 messages a minute)
//! - <https://developer.work.weixin.qq.com/document/path/90313>: codes: `45009` for too many messages, `93000` for a wrong key, `40008` for a wrong type
//!   and `40058` for a text that is too long

use serde_json::{Value, json};

use crate::notify::message::Tone;
use crate::notify::text::clip;

use super::answer::Meaning;
use super::chat::{Chat, fit};
use super::markdown::{address, plain};

/// The limit of the text is 4096 bytes.
const MAX_TEXT: usize = 4096;

/// What a code means.
pub(super) fn meaning(code: i64) -> Meaning {
    match code {
        0 => Meaning::Accepted,
        -1 => Meaning::Retry("the service is busy"),
        45009 | 45033 => Meaning::Busy("more than 20 messages in a minute"),
        93000 | 93004 | 93008 => Meaning::Refused("check the receiver's address: the robot may be gone"),
        40008 | 40058 | 44004 => Meaning::Refused("the message is malformed or too long; please report it"),
        _ => Meaning::Unknown("see https://open.work.weixin.qq.com/devtool/query"),
    }
}

/// The message.
pub(super) fn message(chat: &Chat<'_>) -> Value {
    let size = |message: &Value| message["markdown"]["content"].as_str().map_or(0, str::len);
    let mut message = fit(MAX_TEXT, size, |room| with_room(chat, room));
    // Only where there are more people to call than any message has room for.
    if let Some(text) = message["markdown"]["content"].as_str().filter(|text| text.len() > MAX_TEXT) {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        message["markdown"]["content"] = text[..end].into();
    }
    message
}

fn with_room(chat: &Chat<'_>, room: usize) -> Value {
    let colour = match chat.tone {
        Tone::Critical | Tone::Warning => "warning",
        Tone::Info => "comment",
        Tone::Good => "info",
    };
    let lead = plain(&clip(&chat.content.lead, room));
    let (mark, severity) = (chat.mark(), &chat.content.severity);
    let mut text = vec![format!("**{mark} <font color=\"{colour}\">{severity} · {lead}</font>**")];
    if !chat.mention.is_empty() {
        let called: Vec<String> = chat.mention.iter().map(|id| format!("<@{id}>")).collect();
        text.push(called.join(" "));
    }
    for (heading, lines) in chat.paragraphs(room) {
        let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
        text.push(format!("**{heading}**\n{}", lines.join("\n")));
    }
    let links = chat.links().filter(|(_, url)| url.len() <= room);
    let links: Vec<String> = links.map(|(name, url)| format!("[{name}]({})", address(url))).collect();
    if !links.is_empty() {
        text.push(links.join("   "));
    }
    text.push(format!("<font color=\"comment\">{}</font>", plain(&chat.small_print(room))));
    json!({"msgtype": "markdown", "markdown": {"content": text.join("\n\n")}})
}
