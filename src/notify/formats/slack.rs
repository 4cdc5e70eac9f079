//! The webhook format `slack`: a message of blocks for an incoming webhook.
//!
//! - <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>: body and errors. What it refuses it answers with a status of
//!   4xx and a word like `invalid_payload`, `no_service` or `channel_is_archived`; 429 with `Retry-After` when there are too many
//! - <https://docs.slack.dev/reference/block-kit/blocks>: the limits
//! - <https://docs.slack.dev/messaging/formatting-message-text>: what is escaped

use serde_json::{Value, json};

use crate::notify::text::clip;

use super::chat::Chat;

/// The limit of a header, in characters.
const MAX_HEADER: usize = 150;

/// The limit of a section's text, in characters as they are sent.
const MAX_SECTION: usize = 3000;

/// How much of a paragraph is said, in characters as they are read. With its heading it stays below the limit unless much is escaped.
const ROOM: usize = 2800;

/// The limit of an address in a link, far above any that a browser opens; longer ones are left out.
const MAX_URL: usize = 1000;

/// A text of at most so many characters once `set` has made of it what is sent. They are counted in the strictest way, by UTF-16.
fn within(text: &str, max: usize, set: impl Fn(&str) -> String) -> String {
    let mut room = max;
    loop {
        let out = set(&clip(text, room));
        if out.encode_utf16().count() <= max || room <= 1 {
            return out;
        }
        room = room * 3 / 4;
    }
}

/// The text for a section: the three characters that Slack reads as signs are escaped.
fn escape(text: &str, max: usize) -> String {
    within(text, max, |text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// Whom to call: a user's id, a group's id, or everybody who is `here`, in the `channel`, or `everyone`.
fn call(name: &str) -> String {
    match name {
        "here" | "channel" | "everyone" => format!("<!{name}>"),
        group if group.starts_with('S') => format!("<!subteam^{group}>"),
        user => format!("<@{user}>"),
    }
}

fn section(text: String) -> Value {
    // Verbatim: no name in it is looked for, nobody is called by it and no link made of it.
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// The message.
pub(super) fn message(chat: &Chat<'_>) -> Value {
    let title = format!("{} {}", chat.mark(), chat.title());
    let header = within(&title, MAX_HEADER, str::to_owned);
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text", "text": header, "emoji": false}})];
    if header != title {
        blocks.push(section(escape(&chat.content.lead, MAX_SECTION)));
    }
    if !chat.mention.is_empty() {
        let called: Vec<String> = chat.mention.iter().map(|name| call(name)).collect();
        blocks.push(section(called.join(" ")));
    }
    for (heading, lines) in chat.paragraphs(ROOM) {
        let heading = escape(heading, 100);
        let text = escape(&lines.join("\n"), MAX_SECTION - heading.encode_utf16().count() - "**\n".len());
        blocks.push(section(format!("*{heading}*\n{text}")));
    }
    let links = chat.links().filter(|(_, url)| url.chars().count() <= MAX_URL);
    let links: Vec<String> = links
        .map(|(name, url)| format!("<{}|{}>", escape(&url.replace('|', "%7C"), MAX_SECTION), escape(name, 100)))
        .collect();
    if !links.is_empty() {
        blocks.push(section(links.join("   ")));
    }
    let small = json!({"type": "plain_text", "text": within(&chat.small_print(ROOM), MAX_SECTION, str::to_owned), "emoji": false});
    blocks.push(json!({"type": "context", "elements": [small]}));
    // What a phone shows while it is locked, and programs that know no blocks.
    json!({"text": escape(&title, MAX_SECTION), "blocks": blocks})
}
