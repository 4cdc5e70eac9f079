//! Services of chats: what each checks of a message, as its documentation says and as it was seen to answer, and how its programs show one.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::config::WebhookFormat;

/// The path of an address, which is a secret.
pub(in crate::notify) const PATH: &str = "/robot/send-T0K3N-1234";

/// HMAC-SHA-256 as RFC 2104 defines it, for keys of at most one block.
pub(in crate::notify) fn hmac_by_definition(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// How a service is set up, and what it has taken.
#[derive(Clone)]
struct Robot {
    format: WebhookFormat,
    secret: Option<&'static str>,
    /// How far its clock is ahead of this machine's, in seconds.
    ahead: i64,
    /// How many messages it still takes this minute.
    room: Arc<Mutex<usize>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

/// A service on a free port that answers as the real one does: by what it checks, in its words.
pub(in crate::notify) struct Service {
    port: u16,
    robot: Robot,
}

impl Service {
    pub(in crate::notify) async fn start(format: WebhookFormat, secret: Option<&'static str>, ahead: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let room = if format == WebhookFormat::Feishu { 100 } else { 20 };
        let robot = Robot { format, secret, ahead, room: Arc::new(Mutex::new(room)), taken: Arc::default() };
        let app = Router::new().fallback(answer).with_state(robot.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, robot }
    }

    pub(in crate::notify) fn url(&self) -> String {
        let query = if self.robot.format == WebhookFormat::Dingtalk { "?access_token=s3cr3t-token" } else { "" };
        format!("http://127.0.0.1:{}{PATH}{query}", self.port)
    }

    /// The messages that it has taken.
    pub(in crate::notify) fn taken(&self) -> Vec<Value> {
        self.robot.taken.lock().unwrap().clone()
    }

    /// From now on it has had too many messages this minute.
    pub(in crate::notify) fn is_full(&self) {
        *self.robot.room.lock().unwrap() = 0;
    }
}

async fn answer(State(robot): State<Robot>, method: Method, uri: Uri, body: Bytes) -> Response {
    let in_words = |status: u16, text: &str| (StatusCode::from_u16(status).unwrap(), text.to_owned()).into_response();
    if method != Method::POST {
        return in_words(405, "");
    }
    let slack = robot.format == WebhookFormat::Slack;
    let coded = |code: i64, text: &str| {
        let (name, words) = if robot.format == WebhookFormat::Feishu { ("code", "msg") } else { ("errcode", "errmsg") };
        axum::Json(json!({name: code, words: text})).into_response()
    };
    if uri.path() != PATH {
        return match robot.format {
            WebhookFormat::Slack => in_words(404, "no_service"),
            WebhookFormat::Feishu => coded(19001, "param invalid: incoming webhook access token invalid"),
            WebhookFormat::Dingtalk => coded(300001, "token is not exist"),
            _ => coded(93000, "invalid webhook url, hint: [1], from ip: 127.0.0.1"),
        };
    }
    let now = Timestamp::now().as_second() + robot.ahead;
    if let (Some(secret), WebhookFormat::Feishu) = (robot.secret, robot.format) {
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let timestamp = message["timestamp"].as_str().unwrap_or_default();
        let expected = STANDARD.encode(hmac_by_definition(format!("{timestamp}\n{secret}").as_bytes(), b""));
        let recent = timestamp.parse::<i64>().is_ok_and(|t| (now - t).abs() <= 3600);
        if message["sign"] != expected || !recent {
            return coded(19021, "sign match fail or timestamp is not within one hour from current time");
        }
    }
    if let (Some(secret), WebhookFormat::Dingtalk) = (robot.secret, robot.format) {
        let url = reqwest::Url::parse(&format!("http://x{uri}")).unwrap();
        let get = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        let (timestamp, sign) = (get("timestamp").unwrap_or_default(), get("sign").unwrap_or_default());
        let expected =
            STANDARD.encode(hmac_by_definition(secret.as_bytes(), format!("{timestamp}\n{secret}").as_bytes()));
        let recent = timestamp.parse::<i64>().is_ok_and(|t| (now - t / 1000).abs() <= 3600);
        if sign != expected || !recent {
            // Services like to repeat what they were given.
            return coded(310000, &format!("sign not match, sign {sign} of {uri}"));
        }
    }
    if let Err(refusal) = check(robot.format, &body) {
        let code = refusal.split(':').next().and_then(|code| code.parse().ok()).unwrap_or(9499);
        return if slack { in_words(400, &refusal) } else { coded(code, &refusal) };
    }
    let full = std::mem::replace(&mut *robot.room.lock().unwrap(), 1) == 0;
    if full {
        return match robot.format {
            WebhookFormat::Slack => {
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")], "rate_limited").into_response()
            }
            // An error of the limit comes with a status of its own.
            WebhookFormat::Feishu => (StatusCode::BAD_REQUEST, coded(11232, "frequency limited")).into_response(),
            WebhookFormat::Dingtalk => coded(130101, "send too fast, exceed 20 times per minute"),
            _ => coded(45009, "api freq out of limit"),
        };
    }
    robot.taken.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    if slack { in_words(200, "ok") } else { coded(0, "ok") }
}

/// Why a message is refused, as the service says it.
pub(in crate::notify) fn check(format: WebhookFormat, body: &[u8]) -> Result<(), String> {
    let message: Value = serde_json::from_slice(body).map_err(|e| format!("invalid_payload: {e}"))?;
    match format {
        WebhookFormat::Slack => slack(&message),
        WebhookFormat::Feishu => feishu(&message, body.len()),
        WebhookFormat::Dingtalk => dingtalk(&message, body.len()),
        WebhookFormat::Wecom => wecom(&message),
        other => panic!("{other:?} is no chat"),
    }
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("{what} is missing or empty: {value}"))
}

fn at_most(text: &str, max: usize, what: &str) -> Result<(), String> {
    // The programs count as JavaScript does, the strictest way.
    let length = text.encode_utf16().count();
    if length <= max { Ok(()) } else { Err(format!("{what} has {length} characters, not at most {max}")) }
}

fn slack(message: &Value) -> Result<(), String> {
    at_most(text(&message["text"], "text")?, 40_000, "text")?;
    let blocks = message["blocks"].as_array().ok_or("invalid_blocks_format")?;
    if blocks.is_empty() || blocks.len() > 50 {
        return Err(format!("invalid_blocks: {} of them", blocks.len()));
    }
    for block in blocks {
        let object = &block["text"];
        match block["type"].as_str() {
            Some("header") if object["type"] == "plain_text" => {
                at_most(text(&object["text"], "header")?, 150, "header")?
            }
            Some("section") if matches!(object["type"].as_str(), Some("mrkdwn" | "plain_text")) => {
                at_most(text(&object["text"], "section")?, 3000, "section")?;
            }
            Some("context") => {
                let elements = block["elements"].as_array().ok_or("invalid_blocks: a context without elements")?;
                if elements.is_empty() || elements.len() > 10 {
                    return Err(format!("invalid_blocks: {} elements", elements.len()));
                }
                for element in elements {
                    at_most(text(&element["text"], "element")?, 3000, "element")?;
                }
            }
            _ => return Err(format!("invalid_blocks: {block}")),
        }
    }
    Ok(())
}

fn feishu(message: &Value, size: usize) -> Result<(), String> {
    if size > 20_000 {
        return Err(format!("9499: {size} bytes"));
    }
    if message["msg_type"] != "interactive" {
        return Err(format!("19002: params error, msg_type {}", message["msg_type"]));
    }
    let header = &message["card"]["header"];
    let colours = [
        "blue",
        "wathet",
        "turquoise",
        "green",
        "yellow",
        "orange",
        "red",
        "carmine",
        "violet",
        "purple",
        "indigo",
        "grey",
    ];
    if !header["template"].as_str().is_some_and(|colour| colours.contains(&colour))
        || header["title"]["tag"] != "plain_text"
    {
        return Err(format!("9499: header {header}"));
    }
    text(&header["title"]["content"], "the title")?;
    let elements = message["card"]["elements"].as_array().ok_or("9499: no elements")?;
    for element in elements {
        let content = match element["tag"].as_str() {
            Some("div") => vec![&element["text"]],
            Some("note") => element["elements"].as_array().ok_or("9499: note")?.iter().collect(),
            Some("action") => {
                for button in element["actions"].as_array().filter(|a| !a.is_empty()).ok_or("9499: action")? {
                    if button["tag"] != "button" || !button["url"].as_str().is_some_and(|url| url.starts_with("http")) {
                        return Err(format!("9499: {button}"));
                    }
                }
                element["actions"].as_array().unwrap().iter().map(|button| &button["text"]).collect()
            }
            _ => return Err(format!("9499: {element}")),
        };
        for object in content {
            if !matches!(object["tag"].as_str(), Some("plain_text" | "lark_md")) {
                return Err(format!("9499: {object}"));
            }
            text(&object["content"], "content")?;
        }
    }
    Ok(())
}

fn dingtalk(message: &Value, size: usize) -> Result<(), String> {
    if size > 20_000 {
        return Err("460101: message too long, exceed 20000 bytes".to_owned());
    }
    if message["msgtype"] != "markdown" {
        return Err(format!("40035: msgtype {}", message["msgtype"]));
    }
    text(&message["markdown"]["title"], "title")?;
    let content = text(&message["markdown"]["text"], "text")?;
    for mobile in message["at"]["atMobiles"].as_array().into_iter().flatten() {
        let mobile = mobile.as_str().unwrap_or_default();
        if !content.contains(&format!("@{mobile}")) {
            return Err(format!("nobody is called: @{mobile} is not in the text"));
        }
    }
    Ok(())
}

fn wecom(message: &Value) -> Result<(), String> {
    if message["msgtype"] != "markdown" {
        return Err("40008: invalid message type".to_owned());
    }
    let content = text(&message["markdown"]["content"], "44004: content")?;
    if content.len() > 4096 {
        return Err(format!("40058: markdown.content exceed max length 4096: {}", content.len()));
    }
    Ok(())
}

/// What a message does beside being read.
#[derive(Debug, Default)]
pub(in crate::notify) struct Shown {
    pub(in crate::notify) called: Vec<String>,
    pub(in crate::notify) links: Vec<String>,
}

/// What the service's programs make of the signs in a message.
pub(in crate::notify) fn shown(format: WebhookFormat, message: &Value) -> Shown {
    let mut shown = Shown::default();
    let signs: Vec<&str> = match format {
        // Plain text is shown as it is.
        WebhookFormat::Slack => {
            let blocks = message["blocks"].as_array().unwrap().iter();
            let marked = blocks.filter(|b| b["text"]["type"] == "mrkdwn").map(|b| b["text"]["text"].as_str().unwrap());
            marked.chain([message["text"].as_str().unwrap()]).collect()
        }
        WebhookFormat::Feishu => {
            for element in message["card"]["elements"].as_array().unwrap() {
                for button in element["actions"].as_array().into_iter().flatten() {
                    shown.links.push(button["url"].as_str().unwrap().to_owned());
                }
            }
            let elements = message["card"]["elements"].as_array().unwrap().iter();
            elements.filter(|e| e["text"]["tag"] == "lark_md").map(|e| e["text"]["content"].as_str().unwrap()).collect()
        }
        WebhookFormat::Dingtalk => vec![message["markdown"]["text"].as_str().unwrap()],
        _ => vec![message["markdown"]["content"].as_str().unwrap()],
    };
    for text in signs {
        match format {
            WebhookFormat::Slack => {
                for part in text.split('<').skip(1) {
                    let inside = part.split('>').next().unwrap();
                    if inside.starts_with(['!', '@', '#']) {
                        shown.called.push(inside.to_owned());
                    } else {
                        shown.links.push(inside.to_owned());
                    }
                }
            }
            _ => {
                // `<@id>`, `<at id=…>`, `@name`; links with or without an image's sign.
                for (at, _) in text.match_indices('@').chain(text.match_indices("<at ")) {
                    shown.called.push(text[at..].chars().take(20).collect());
                }
                for (at, _) in text.match_indices("](") {
                    shown.links.push(text[at + 2..].chars().take_while(|c| *c != ')').collect());
                }
                for (at, _) in text.match_indices('<') {
                    let tag: String = text[at..].chars().take(30).collect();
                    let own = tag.starts_with("<font color=\"warning\"")
                        || tag.starts_with("<font color=\"comment\"")
                        || tag.starts_with("</font>");
                    if !own {
                        shown.called.push(tag);
                    }
                }
                for sign in ["`", "~~"] {
                    assert!(!text.contains(sign), "{sign} in {text}");
                }
            }
        }
    }
    shown
}

/// A message as a person reads it, a line each.
pub(in crate::notify) fn as_read(format: WebhookFormat, message: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    match format {
        WebhookFormat::Slack => {
            for block in message["blocks"].as_array().unwrap() {
                let text = block["text"]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .replace("&gt;", ">")
                    .replace("&lt;", "<")
                    .replace("&amp;", "&");
                lines.push(match block["type"].as_str().unwrap() {
                    "header" => format!("# {text}"),
                    "context" => format!("({})", block["elements"][0]["text"].as_str().unwrap()),
                    _ => text,
                });
            }
        }
        WebhookFormat::Feishu => {
            let header = &message["card"]["header"];
            lines.push(format!(
                "# [{}] {}",
                header["template"].as_str().unwrap(),
                header["title"]["content"].as_str().unwrap()
            ));
            for element in message["card"]["elements"].as_array().unwrap() {
                lines.extend(element["text"]["content"].as_str().map(str::to_owned));
                let buttons: Vec<String> = element["actions"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|b| format!("[{}]({})", b["text"]["content"].as_str().unwrap(), b["url"].as_str().unwrap()))
                    .collect();
                if !buttons.is_empty() {
                    lines.push(buttons.join("   "));
                }
                lines.extend(element["elements"][0]["content"].as_str().map(|small| format!("({small})")));
            }
        }
        WebhookFormat::Dingtalk => lines.push(message["markdown"]["text"].as_str().unwrap().to_owned()),
        _ => lines.push(message["markdown"]["content"].as_str().unwrap().to_owned()),
    }
    lines.join("\n")
}
