//! A notification in words, to be read on a phone at night.
//!
//! - here: the message, its subject and its one line
//! - `content`: what is said, in which order; `shown`: which of it a notification shows
//! - `plain` sets it as text, `html` beside this folder as a document
//! - `words`: what has to be said in each language besides what the notification brings with it; `english`, `chinese`: how
//! - `pages.txt` of the daemon: every page there is, as the tests make and compare them, to be read in one go

mod chinese;
mod content;
mod english;
mod plain;
mod shown;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Language, Notification};

use super::addresses::Addresses;
use super::html;
use super::text::{clip, single_line};

pub(super) use content::{Content, Section, Tone, content, named_links};
use words::words;

/// The longest subject, in characters: mail programs on phones show less than half of it.
const MAX_SUBJECT: usize = 200;

/// The longest line, in characters: an error text from a server can be a whole page.
const MAX_LINE: usize = 1000;

/// A notification in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line, free of control characters.
    pub subject: String,
    /// Plain text. Its first line says what is wrong.
    pub text: String,
    /// The same as an HTML document that refers to nothing outside itself.
    pub html: String,
    /// The language that it is in.
    pub language: Language,
    /// Whether somebody must look now.
    pub urgent: bool,
}

/// The notification in words of this language; in English where it is not there in that language.
pub fn compose(notification: &Notification, addresses: &Addresses, language: Language) -> Message {
    let content = content(notification, addresses, language);
    let subject = clip(&format!("[{}] {}", content.severity, content.lead), MAX_SUBJECT);
    let urgent = content.tone == Tone::Critical;
    Message {
        text: plain::text(&content),
        html: html::document(&subject, &content),
        subject,
        language: content.language,
        urgent,
    }
}

/// What every one line of a dry run begins with.
const DRY_RUN: &str = "[dry run] ";

/// The one line that says all that matters, free of control characters.
pub(super) fn lead(notification: &Notification, language: Language) -> String {
    dry(notification, single_line(notification.summary_in(language)))
}

/// What the first page of its story said under which severity, where this is a later one.
pub(super) fn opening(notification: &Notification, language: Language) -> Option<String> {
    let opening = notification.opening.as_ref()?;
    let (language, tone) = (notification.told_in(language), Tone::of_severity(opening.severity));
    let summary = dry(notification, single_line(notification.opening_in(language)?));
    Some(clip(&format!("[{}] {summary}", words(language).severity(tone)), MAX_SUBJECT))
}

fn dry(notification: &Notification, line: String) -> String {
    if notification.dry_run && !line.starts_with(DRY_RUN) { format!("{DRY_RUN}{line}") } else { line }
}

fn line(text: &str) -> String {
    clip(&single_line(text), MAX_LINE)
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Seconds as a time.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
