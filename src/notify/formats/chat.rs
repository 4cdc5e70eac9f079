//! What the messages for people in a chat are made of. The words are those of `message`; how they are set is each format's own.

use serde_json::Value;

use crate::engine::Notification;
use crate::notify::alert::{self, Effect};
use crate::notify::message::{Content, Section, Tone};
use crate::notify::text::clip;

/// How much of one paragraph is said, in characters, from all that a message may hold down to what the smallest one surely has room for.
const ROOMS: [usize; 7] = [2800, 1400, 700, 350, 180, 90, 40];

/// A message for people.
pub(super) struct Chat<'a> {
    /// The words.
    pub(super) content: &'a Content,
    /// What is seen before it is read.
    pub(super) tone: Tone,
    /// Whom it calls: nobody, unless it is critical and no good news.
    pub(super) mention: &'a [String],
    id: &'a str,
}

/// A mark in the colour of a tone, for services that have no colours for a text.
fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Critical => "🔴",
        Tone::Warning => "🟠",
        Tone::Info => "🔵",
        Tone::Good => "🟢",
    }
}

impl<'a> Chat<'a> {
    /// The message of a notification. `mention` are the people to call when it is critical.
    pub(super) fn new(notification: &'a Notification, content: &'a Content, mention: &'a [String]) -> Self {
        let tone = content.tone;
        let bad = tone == Tone::Critical && alert::effect(notification.event) == Effect::Trigger;
        let mention = if bad { mention } else { &[] };
        Self { content, tone, mention, id: &notification.id }
    }

    /// A mark in the colour of the tone.
    pub(super) fn mark(&self) -> &'static str {
        mark(self.tone)
    }

    /// The severity and what is wrong, in one line.
    pub(super) fn title(&self) -> String {
        format!("[{}] {}", self.content.severity, self.content.lead)
    }

    /// The paragraphs: a heading, and its lines, each of them at most so many characters long altogether.
    pub(super) fn paragraphs(&self, room: usize) -> Vec<(&str, Vec<String>)> {
        self.content.sections.iter().map(|section| (section.heading, lines(section, room))).collect()
    }

    /// Links that a browser opens.
    pub(super) fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        let web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        self.content.links.iter().filter(move |(_, url)| web(url)).map(|(name, url)| (*name, url.as_str()))
    }

    /// Names and values for whoever looks it up later, less the notification's id, which no reader of a chat looks up.
    pub(super) fn small_print(&self, room: usize) -> String {
        let pairs = self.content.ids.iter().filter(|(_, value)| value != self.id);
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}{}{value}", self.content.colon())).collect();
        clip(&pairs.join(" · "), room)
    }
}

/// The lines of a paragraph as far as there is room; what is left out is an ellipsis.
fn lines(section: &Section, room: usize) -> Vec<String> {
    let items = section.items.iter().map(|item| format!("- {item}"));
    let mut left = room;
    let mut lines = Vec::new();
    for line in section.lines.iter().cloned().chain(items) {
        let length = line.chars().count();
        if length > left {
            lines.push(clip(&line, left.max(1)));
            break;
        }
        left -= length;
        lines.push(line);
    }
    lines
}

/// The message with as much in it as fits: `make` sets it with this much room for each paragraph, and `size` measures what counts.
pub(super) fn fit(max: usize, size: impl Fn(&Value) -> usize, make: impl Fn(usize) -> Value) -> Value {
    let mut message = Value::Null;
    for room in ROOMS {
        message = make(room);
        if size(&message) <= max {
            break;
        }
    }
    message
}

/// The size of a whole body, in bytes.
pub(super) fn bytes(message: &Value) -> usize {
    serde_json::to_vec(message).map_or(usize::MAX, |body| body.len())
}
