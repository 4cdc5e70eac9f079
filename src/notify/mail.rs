//! An entry as an e-mail.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use crate::engine::{Event, Language, Notification};

use super::addresses::Addresses;
use super::entry::Entry;
use super::message;
use super::signature::hex;

/// The longest left side of a message id: with the domain it stays well within a line.
const MAX_ID: usize = 200;

/// The message as it is sent, the same bytes for the same entry.
pub(super) fn write(
    entry: &Entry,
    from: &Mailbox,
    to: &Mailbox,
    addresses: &Addresses,
    language: Language,
) -> Result<Vec<u8>, lettre::error::Error> {
    let notification = &entry.notification;
    let words = message::compose(notification, addresses, language);
    let domain = domain(from);
    let mut mail = Message::builder()
        .from(from.clone())
        .to(to.clone())
        .subject(subject(notification, language).unwrap_or(words.subject))
        .date(SystemTime::from(notification.time.max(Timestamp::UNIX_EPOCH)))
        .message_id(Some(message_id(&entry.id, &domain)))
        .raw_header(fixed("Auto-Submitted", "auto-generated"))
        .raw_header(fixed("Content-Language", words.language.tag()))
        .raw_header(fixed("X-Ripcord-Event", notification.event.as_str()))
        .raw_header(fixed("X-Ripcord-Severity", notification.severity.as_str()));
    if words.urgent {
        mail = mail.raw_header(fixed("Importance", "high")).raw_header(fixed("X-Priority", "1"));
    }
    if let Some(incident) = &notification.incident {
        // No mail has this id. That all of an incident refer to it makes them one thread, whichever arrives first.
        let story = message_id(incident, &domain);
        mail = mail.in_reply_to(story.clone()).references(story);
    }
    let boundary = hex(&Sha256::digest(entry.id.as_bytes()))[..40].to_owned();
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(SinglePart::plain(words.text))
        .singlepart(SinglePart::html(words.html));
    Ok(mail.multipart(parts)?.formatted())
}

/// The subject of a mail that only says how its story goes on: that of the story's first one, as of an answer to it. Mail programs put
/// mails under one another that refer to one another, but Gmail and Outlook only those whose subjects are the same but for `Re:`. What wants
/// something new of its reader has a subject of its own: a conversation that somebody has muted or put away must not hide it. What it says
/// is in the preview, which the HTML part begins with.
fn subject(notification: &Notification, language: Language) -> Option<String> {
    if wants_a_person(notification.event) {
        return None;
    }
    message::opening(notification, language).map(|opening| format!("Re: {opening}"))
}

/// Whether an event wants something of its reader that nothing before it in its story did.
fn wants_a_person(event: Event) -> bool {
    match event {
        Event::RollbackFailed
        | Event::RollbackNotRecovered
        | Event::RollbackReverted
        | Event::PageFiring
        | Event::WatchdogBlind
        | Event::WatchdogNotReady
        | Event::WatchdogStopping
        | Event::NotificationLost => true,
        Event::RollbackStarted
        | Event::RollbackSucceeded
        | Event::RollbackVerified
        | Event::PageResolved
        | Event::WatchdogSees
        | Event::WatchdogReady
        | Event::WatchdogStarted
        | Event::GuardPaused
        | Event::GuardRearmed
        | Event::GuardAcknowledged => false,
    }
}

fn fixed(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The right side of message ids. Only ASCII may stand in that header.
fn domain(from: &Mailbox) -> String {
    let domain = from.email.domain();
    if domain.is_ascii() { domain.to_owned() } else { "ripcord.invalid".to_owned() }
}

/// `<{id}@{domain}>`, with `=` and the hexadecimal code for each byte that a dot-atom cannot hold (RFC 5322, section 3.2.3). Different ids
/// stay different.
fn message_id(id: &str, domain: &str) -> String {
    let bytes = id.as_bytes();
    let inside = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_alphanumeric);
    let mut out = String::with_capacity(id.len());
    for (i, &byte) in bytes.iter().enumerate() {
        let dot = byte == b'.' && i > 0 && inside(i - 1) && inside(i + 1);
        if dot || byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("={byte:02X}"));
        }
    }
    if out.len() > MAX_ID {
        out = hex(&Sha256::digest(bytes));
    }
    format!("<{out}@{domain}>")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::{message_id, write};
    use crate::engine::Language;
    use crate::notify::entry::Entry;
    use crate::notify::testing::{addresses, notification};

    fn written(n: crate::engine::Notification) -> String {
        let entry = Entry::new("sre", Some("a@example.org"), Timestamp::UNIX_EPOCH, Arc::new(n));
        let from = "Ripcord <ripcord@example.com>".parse().unwrap();
        let to = "a@example.org".parse().unwrap();
        let bytes = write(&entry, &from, &to, &addresses(), Language::English).unwrap();
        assert_eq!(
            bytes,
            write(&entry, &from, &to, &addresses(), Language::English).unwrap(),
            "the same bytes each time"
        );
        assert!(bytes.is_ascii(), "no server needs an extension for it");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn headers_are_as_promised() {
        let mail = written(notification("n1"));
        for header in [
            "From: Ripcord <ripcord@example.com>",
            "To: a@example.org",
            "Date: Fri, 02 Jan 2026 03:04:05 +0000",
            "Message-ID: <n1/sre/a=40example.org@example.com>",
            "In-Reply-To: <terminal-20260102T030405Z@example.com>",
            "References: <terminal-20260102T030405Z@example.com>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(mail.lines().any(|l| l == header), "{header} is not in {mail}");
        }
        assert!(mail.contains("multipart/alternative"));
        assert!(mail.find("text/plain").unwrap() < mail.find("text/html").unwrap(), "the richer part comes last");
    }

    #[test]
    fn a_hostile_summary_adds_no_header() {
        let mut n = notification("n1");
        n.summary = "x\r\nBcc: all@example.org\r\n\r\nbody".to_owned();
        n.incident = Some("i>\r\nBcc: all@example.org".to_owned());
        let mail = written(n);
        let head = mail.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|l| l.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(head.contains("References: <i=3E=0D=0ABcc=3A=20all=40example.org@example.com>"), "{head}");
    }

    #[test]
    fn message_ids_are_valid_and_distinct() {
        assert_eq!(message_id("a/b-c_d.e", "x.y"), "<a/b-c_d.e@x.y>");
        assert_eq!(message_id(".a..b.", "x"), "<=2Ea=2E=2Eb=2E@x>");
        assert_ne!(message_id("a@b", "x"), message_id("a=40b", "x"));
        let long = message_id(&"n".repeat(300), "x");
        assert_eq!(long.len(), 64 + 4);
        assert_ne!(long, message_id(&"n".repeat(301), "x"));
    }
}
