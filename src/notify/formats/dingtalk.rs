//! The webhook format `dingtalk`: a markdown message for the custom robot of a group.
//!
//! - <https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages>: body and limits (a body of 20000 bytes; 20 messages a
//!   minute, then nothing for ten)
//! - <https://open.dingtalk.com/document/orgapp/customize-robot-security-settings>: the signature, in the address: `timestamp` in milliseconds, at most an
//!   hour old, and `sign`, the HMAC-SHA-256 of `timestamp + "\n" + secret` under the secret, in Base64
//! - codes as the service answers them: `310000` for a wrong signature, keyword or IP address, `300001` for a wrong token, `130101` and `410100`
//!   for too many messages, `460101` for one that is too long, `-1` when it is busy

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::notify::text::clip;

use super::answer::Meaning;
use super::chat::{Chat, bytes, fit};
use super::markdown::{address, plain};

/// The limit is 20000 bytes; what is left of it is for whatever the service puts around the body.
const MAX_BODY: usize = 18_000;

/// How much of the title is said, in characters: it is what the list of chats shows.
const MAX_TITLE: usize = 100;

/// What a code means.
pub(super) fn meaning(code: i64) -> Meaning {
    match code {
        0 => Meaning::Accepted,
        -1 => Meaning::Retry("the service is busy"),
        130101 | 410100 => Meaning::Busy("more than 20 messages in a minute"),
        310000 => Meaning::Refused(
            "meet the robot's security settings: check the receiver's secret_file and this machine's clock; a keyword must be in every \
             message, as Event is (in Chinese 类型)",
        ),
        300001 | 300005 | 40035 | 400013 | 400101 | 400102 | 400106 => {
            Meaning::Refused("check the receiver's address: the robot or its group may be gone")
        }
        400105 | 430101..=430104 => Meaning::Refused("the service takes offence at what the message holds"),
        460101 | 101002 => Meaning::Refused("the message is too long; please report it"),
        _ => Meaning::Unknown("see the documentation of DingTalk's custom robots"),
    }
}

/// Whether a name to call can be the number of a mobile phone.
fn is_mobile(name: &str) -> bool {
    let digits = name.strip_prefix('+').unwrap_or(name);
    digits.len() >= 8 && digits.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// Whether a name to call can be a user's id. Some companies number their users, so that digits alone can be either: they stand in both
/// lists, and the one in which DingTalk does not know them calls nobody.
fn is_user(name: &str) -> bool {
    name != "all" && !name.starts_with('+')
}

/// The message.
pub(super) fn message(chat: &Chat<'_>) -> Value {
    fit(MAX_BODY, bytes, |room| with_room(chat, room))
}

fn with_room(chat: &Chat<'_>, room: usize) -> Value {
    let title = format!("{} {}", chat.mark(), chat.title());
    let lead = plain(&clip(&chat.content.lead, room));
    let mut text = vec![format!("### {} {} · {lead}", chat.mark(), chat.content.severity)];
    if !chat.mention.is_empty() {
        // Who is called must stand in the text too.
        let called: Vec<String> = chat.mention.iter().map(|name| format!("@{name}")).collect();
        text.push(called.join(" "));
    }
    for (heading, lines) in chat.paragraphs(room) {
        // A single end of a line is none to markdown.
        text.push(format!("**{heading}**"));
        text.push(lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("  \n"));
    }
    let links = chat.links().filter(|(_, url)| url.len() <= room);
    let links: Vec<String> = links.map(|(name, url)| format!("[{name}]({})", address(url))).collect();
    if !links.is_empty() {
        text.push(links.join("   "));
    }
    text.push(plain(&chat.small_print(room)));
    let mut message = json!({
        "msgtype": "markdown",
        "markdown": {"title": clip(&title, MAX_TITLE), "text": text.join("\n\n")},
    });
    if !chat.mention.is_empty() {
        let mobiles: Vec<&String> = chat.mention.iter().filter(|name| is_mobile(name)).collect();
        let users: Vec<&String> = chat.mention.iter().filter(|name| is_user(name)).collect();
        let all = chat.mention.iter().any(|name| name == "all");
        message["at"] = json!({"atMobiles": mobiles, "atUserIds": users, "isAtAll": all});
    }
    message
}

/// The signature at this time, in milliseconds since 1970.
pub(in crate::notify) fn sign(secret: &str, timestamp: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{timestamp}\n{secret}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The address as it is asked, with its signature.
pub(in crate::notify) fn signed(url: &Url, timestamp: i64, sign: &str) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("timestamp", &timestamp.to_string()).append_pair("sign", sign);
    url
}
