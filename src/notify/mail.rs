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
        let story = message_id(thread(notification, incident), &domain);
        mail = mail.in_reply_to(story.clone()).references(story);
    }
    let boundary = hex(&Sha256::digest(entry.id.as_bytes()))[..40].to_owned();
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(SinglePart::plain(words.text))
        .singlepart(SinglePart::html(words.html));
    Ok(mail.multipart(parts)?.formatted())
}

/// What makes mails one thread: the incident. Of what is wrong with Ripcord itself each time is one, by the beginning of its mails' ids:
/// its story is the same for good, and a conversation that was muted last year must not hide it.
fn thread<'a>(notification: &'a Notification, incident: &'a str) -> &'a str {
    let each = notification.id.strip_prefix(incident).filter(|rest| rest.starts_with('-'));
    each.and_then(|_| notification.id.rsplit_once('.')).map_or(incident, |(time, _)| time)
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

    use mailparse::{MailHeaderMap, ParsedMail};

    use super::{message_id, write};
    use crate::engine::{Chinese, Event, Language, Opening, Severity};
    use crate::notify::entry::Entry;
    use crate::notify::testing::{addresses, notification};

    fn written(n: crate::engine::Notification) -> String {
        written_in(n, Language::English)
    }

    fn written_in(n: crate::engine::Notification, language: Language) -> String {
        let entry = Entry::new("sre", Some("a@example.org"), Timestamp::UNIX_EPOCH, Arc::new(n));
        let from = "Ripcord <ripcord@example.com>".parse().unwrap();
        let to = "a@example.org".parse().unwrap();
        let bytes = write(&entry, &from, &to, &addresses(), language).unwrap();
        assert_eq!(bytes, write(&entry, &from, &to, &addresses(), language).unwrap(), "the same bytes each time");
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
            "Content-Language: en",
            "X-Ripcord-Event: rollback.started",
            "X-Ripcord-Severity: critical",
            "MIME-Version: 1.0",
        ] {
            assert!(mail.lines().any(|l| l == header), "{header} is not in {mail}");
        }
        assert!(mail.contains("multipart/alternative"));
        assert!(mail.find("text/plain").unwrap() < mail.find("text/html").unwrap(), "the richer part comes last");
    }

    #[test]
    fn each_time_that_something_is_wrong_with_ripcord_itself_is_a_thread_of_its_own() {
        let references = |time: &str, number: u8| {
            let mut n = notification(&format!("watchdog-cut-off-{time}.{number}"));
            n.incident = Some("watchdog-cut-off".to_owned());
            let mail = written(n);
            mail.lines().find_map(|line| line.strip_prefix("References: ")).expect("a header").to_owned()
        };
        let first = references("20260102T030405Z", 1);
        assert_eq!(first, references("20260102T030405Z", 2));
        assert_ne!(first, references("20260203T040506Z", 1));
    }

    fn subject(mail: &str) -> String {
        mailparse::parse_mail(mail.as_bytes()).unwrap().headers.get_first_value("Subject").unwrap()
    }

    fn head(mail: &str) -> &str {
        mail.split("\r\n\r\n").next().unwrap()
    }

    /// A later notification of the story that `notification` begins.
    fn later(event: Event, severity: Severity) -> crate::engine::Notification {
        let mut n = notification("n2");
        let opening = Opening { severity: n.severity, summary: n.summary.clone() };
        n.opening = Some(opening);
        (n.event, n.severity, n.summary) = (event, severity, "terminal: something else".to_owned());
        n
    }

    #[test]
    fn what_says_how_a_story_goes_on_answers_its_first_mail_and_what_wants_a_person_does_not() {
        let first = subject(&written(notification("n1")));
        assert_eq!(first, "[CRITICAL] terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %");
        for event in [Event::RollbackSucceeded, Event::RollbackVerified, Event::GuardAcknowledged, Event::GuardRearmed]
        {
            assert_eq!(subject(&written(later(event, Severity::Info))), format!("Re: {first}"), "{event:?}");
        }
        for event in [Event::RollbackFailed, Event::RollbackNotRecovered, Event::RollbackReverted, Event::PageFiring] {
            let mail = written(later(event, Severity::Critical));
            assert_eq!(subject(&mail), "[CRITICAL] terminal: something else", "{event:?}");
            assert!(mail.contains("References: <terminal-20260102T030405Z@example.com>"), "{mail}");
        }
        // What it says stands in the preview and in its first line.
        let mail = written(later(Event::RollbackVerified, Severity::Critical));
        let parsed = mailparse::parse_mail(mail.as_bytes()).unwrap();
        assert!(parsed.subparts[0].get_body().unwrap().starts_with("terminal: something else\r\n"), "{mail}");
    }

    #[test]
    fn only_what_is_urgent_is_marked_so() {
        let urgent = |n| head(&written(n)).contains("\r\nImportance: high\r\n");
        assert!(urgent(notification("n1")));
        assert!(!urgent(later(Event::RollbackVerified, Severity::Critical)), "good news");
        assert!(!urgent(later(Event::RollbackFailed, Severity::Warning)), "a dry run, say");
        assert!(head(&written(notification("n1"))).contains("\r\nX-Priority: 1\r\n"));
    }

    fn in_chinese() -> crate::engine::Notification {
        let mut n = later(Event::RollbackFailed, Severity::Critical);
        n.chinese = Some(Box::new(Chinese {
            summary: "terminal：回滚 25 % -> 0 % 失败：deployments.apps \"terminal-controller\" is forbidden；正在重试"
                .to_owned(),
            advice: "请立即处理：流量还没有切回。".to_owned(),
            opening: Some("terminal：错误率 3.1 %（阈值 1 %），已持续 5 分钟，正在回滚 25 % -> 0 %".to_owned()),
            trigger: None,
        }));
        n
    }

    #[test]
    fn chinese_arrives_as_it_was_written() {
        let mail = written_in(in_chinese(), Language::Chinese);
        let parsed = mailparse::parse_mail(mail.as_bytes()).unwrap();
        let says = "terminal：回滚 25 % -> 0 % 失败：deployments.apps \"terminal-controller\" is forbidden；正在重试";
        assert_eq!(subject(&mail), format!("[严重] {says}"));
        assert!(head(&mail).lines().all(|line| line.len() <= 78), "{}", head(&mail));
        assert!(head(&mail).contains("\r\nContent-Language: zh-CN\r\n"));
        let body = |part: &ParsedMail<'_>| part.get_body().unwrap();
        let [text, html] = &parsed.subparts[..] else { panic!("{} parts", parsed.subparts.len()) };
        assert!(body(text).starts_with(&format!("{says}\r\n\r\n现在要做什么：\r\n请立即处理")), "{}", body(text));
        assert!(body(html).contains("<html lang=\"zh-CN\">") && body(html).contains("请立即处理"), "{}", body(html));

        let mut goes_on = in_chinese();
        goes_on.event = Event::RollbackSucceeded;
        let mail = written_in(goes_on, Language::Chinese);
        assert_eq!(
            subject(&mail),
            "Re: [严重] terminal：错误率 3.1 %（阈值 1 %），已持续 5 分钟，正在回滚 25 % -> 0 %"
        );
        assert_eq!(subject(&written(in_chinese())), "[CRITICAL] terminal: something else", "another wants English");
        assert!(head(&written(in_chinese())).contains("\r\nContent-Language: en\r\n"));
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
