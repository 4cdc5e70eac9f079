//! A notification in words, to be read on a phone at night.

use std::time::Duration;

use jiff::SignedDuration;

use crate::engine::{Event, Language, Notification, RollbackFacts, TriggerFacts, duration_in_words};

use super::addresses::Addresses;
use super::html;
use super::text::{clip, single_line};

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
}

/// What a message says, before it is set as text or as HTML. Every text in it is a single line.
pub(super) struct Content {
    /// The severity in capitals.
    pub(super) severity: String,
    /// What is wrong.
    pub(super) lead: String,
    /// The paragraphs: a heading, and one line or a list.
    pub(super) sections: Vec<Section>,
    /// What each link is, and where it goes.
    pub(super) links: Vec<(&'static str, String)>,
    /// Names and values for whoever looks it up later.
    pub(super) ids: Vec<(&'static str, String)>,
}

/// One paragraph.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) lines: Vec<String>,
    pub(super) items: Vec<String>,
}

/// The notification in words of this language; in English where it is not there in that language.
pub fn compose(notification: &Notification, addresses: &Addresses, language: Language) -> Message {
    let content = content(notification, addresses, language);
    let subject = clip(&format!("[{}] {}", content.severity, content.lead), MAX_SUBJECT);
    Message { text: text(&content), html: html::document(&subject, &content), subject }
}

/// What every one line of a dry run begins with.
const DRY_RUN: &str = "[dry run] ";

/// The one line that says all that matters, free of control characters.
pub(super) fn lead(notification: &Notification, language: Language) -> String {
    let summary = single_line(notification.summary_in(language));
    if notification.dry_run && !summary.starts_with(DRY_RUN) { format!("{DRY_RUN}{summary}") } else { summary }
}

/// What a message says, for those who set it in another shape than these.
pub(super) fn content(notification: &Notification, addresses: &Addresses, language: Language) -> Content {
    let links = addresses.of(notification);
    let mut sections = Vec::new();
    let mut section = |heading, lines: Vec<String>, items: Vec<String>| {
        if !lines.is_empty() || !items.is_empty() {
            sections.push(Section { heading, lines, items });
        }
    };
    section("What was measured", notification.trigger.iter().map(|t| measured(t, notification)).collect(), vec![]);
    section("What Ripcord did", did(notification).into_iter().collect(), vec![]);
    section("Did it help", helped(notification).map(str::to_owned).into_iter().collect(), vec![]);
    section("What to do now", lines(notification.advice_in(language)), vec![]);
    if let Some(rollback) = &notification.rollback {
        section("What went wrong", rollback.error.iter().map(|e| line(e)).collect(), vec![]);
        section("Steps", vec![], rollback.steps.iter().map(step).collect());
    }
    section("Guards", vec![], notification.guards.iter().map(|g| line(g)).collect());

    let mut ids = vec![("Event", notification.event.as_str().to_owned())];
    ids.push(("Time", notification.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    ids.extend(notification.guard.iter().map(|g| ("Guard", line(g))));
    ids.extend(notification.incident.iter().map(|i| ("Incident", line(i))));
    ids.push(("Notification", line(&notification.id)));
    let links = [("Runbook", links.runbook), ("Status", links.status), ("Dashboard", links.dashboard)];
    Content {
        severity: notification.severity.as_str().to_uppercase(),
        lead: clip(&lead(notification, language), MAX_LINE),
        sections,
        links: links.into_iter().filter_map(|(name, link)| link.map(|link| (name, line(&link)))).collect(),
        ids,
    }
}

fn text(content: &Content) -> String {
    let mut paragraphs = vec![content.lead.clone()];
    for section in &content.sections {
        let lines = section.lines.iter().cloned();
        let items = section.items.iter().map(|item| format!("- {item}"));
        let rest: Vec<String> = lines.chain(items).collect();
        paragraphs.push(format!("{}:\n{}", section.heading, rest.join("\n")));
    }
    for pairs in [&content.links, &content.ids] {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        if !pairs.is_empty() {
            paragraphs.push(pairs.join("\n"));
        }
    }
    paragraphs.join("\n\n") + "\n"
}

fn line(text: &str) -> String {
    clip(&single_line(text), MAX_LINE)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(line).filter(|l| !l.is_empty()).collect()
}

fn measured(trigger: &TriggerFacts, notification: &Notification) -> String {
    let mut out = format!("{}: {} (limit {})", trigger.name, trigger.text, trigger.threshold_text);
    if trigger.held_seconds >= 1.0 {
        let held = Duration::try_from_secs_f64(trigger.held_seconds).unwrap_or_default();
        out.push_str(&format!(", breach observed for {}", duration_in_words(held)));
        let since = SignedDuration::try_from(held).ok().and_then(|held| notification.time.checked_sub(held).ok());
        if let Some(since) = since {
            // What was not observed does not count as held, so the breach may be older than this.
            out.push_str(&format!(", since {} or before", since.strftime("%H:%M:%S UTC")));
        }
    }
    if let Some(source) = &trigger.baseline_source {
        out.push_str(&format!("; the baseline: {source}"));
    }
    line(&out)
}

fn step(report: &crate::engine::StepReport) -> String {
    let detail = report.detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default();
    line(&format!("{}: {}{detail}", report.step, report.result.as_str()))
}

/// The way of the traffic: `from 25 % to 0 %`.
fn way(rollback: &RollbackFacts) -> String {
    match rollback.from_percentage {
        Some(from) => format!("from {from} % to {} %", rollback.to_percentage),
        None => format!("to {} %", rollback.to_percentage),
    }
}

fn did(notification: &Notification) -> Option<String> {
    let way = notification.rollback.as_ref().map(|r| format!(" {}", way(r))).unwrap_or_default();
    if notification.dry_run && notification.rollback.is_some() {
        return Some(format!("Nothing: this is a dry run. It would have moved the traffic{way}."));
    }
    match notification.event {
        Event::RollbackStarted => Some(format!("It is moving the traffic{way}.")),
        Event::RollbackSucceeded => Some(format!("It moved the traffic{way}. Every step is done.")),
        Event::RollbackFailed => Some(format!("It is moving the traffic{way}. A step failed and is being retried.")),
        Event::RollbackVerified | Event::RollbackNotRecovered => Some(format!("It moved the traffic{way}.")),
        Event::RollbackReverted => {
            Some(format!("It moved the traffic{way}. Somebody undid that, and Ripcord does not repeat it."))
        }
        Event::PageFiring => Some("It changed nothing, it only tells you.".to_owned()),
        _ => None,
    }
}

fn helped(notification: &Notification) -> Option<&'static str> {
    if notification.dry_run {
        return None;
    }
    match notification.event {
        Event::RollbackStarted | Event::RollbackSucceeded => {
            Some("Not known yet. Ripcord checks it on data younger than the change and tells you.")
        }
        Event::RollbackFailed => Some("No. The traffic may not have moved, or only in part."),
        Event::RollbackVerified => Some("Yes. The triggers are clear on data younger than the change."),
        Event::RollbackNotRecovered => Some("No, or it cannot be seen: the triggers did not become clear in time."),
        Event::RollbackReverted => Some("No longer."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::compose;
    use crate::engine::{Event, Language, StepReport, StepResult};
    use crate::notify::testing::{addresses, notification};

    #[test]
    fn reads_well() {
        let message = compose(&notification("n1"), &addresses(), Language::English);
        assert_eq!(
            message.subject,
            "[CRITICAL] terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %"
        );
        let expected = "\
terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %

What was measured:
error_rate: 3.1 % (limit 1 %), breach observed for 5m0s, since 02:59:05 UTC or before

What Ripcord did:
It is moving the traffic from 25 % to 0 %.

Did it help:
Not known yet. Ripcord checks it on data younger than the change and tells you.

What to do now:
Watch the error rate; nothing else to do yet.

What went wrong:
one replica is slow

Steps:
- deployment_env sealos-system/terminal-controller: changed (2 variables)

Runbook: https://runbooks.example/terminal
Status: https://ripcord.example/
Dashboard: https://grafana.example/d/ripcord?var-guard=terminal

Event: rollback.started
Time: 2026-01-02 03:04:05 UTC
Guard: terminal
Incident: terminal-20260102T030405Z
Notification: n1
";
        assert_eq!(message.text, expected);
    }

    #[test]
    fn says_whether_it_helped() {
        let says = |event, words: &str| {
            let mut n = notification("n1");
            n.event = event;
            let message = compose(&n, &addresses(), Language::English);
            assert!(message.text.contains(words), "{}", message.text);
            assert!(message.html.contains(words), "{}", message.html);
        };
        says(Event::RollbackVerified, "Yes. The triggers are clear");
        says(Event::RollbackNotRecovered, "No, or it cannot be seen");
        says(Event::RollbackFailed, "A step failed and is being retried");
        says(Event::RollbackReverted, "Somebody undid that");
        says(Event::PageFiring, "It changed nothing");
    }

    #[test]
    fn says_where_a_baseline_comes_from() {
        let mut n = notification("n1");
        let source = "recorded 2026-01-02, 7d, 120345 requests, version 3";
        n.trigger.as_mut().unwrap().baseline_source = Some(source.to_owned());
        let message = compose(&n, &addresses(), Language::English);
        assert!(message.text.contains(&format!("; the baseline: {source}\n")), "{}", message.text);
    }

    #[test]
    fn a_dry_run_cannot_be_taken_for_the_real_thing() {
        let mut n = notification("n1");
        n.dry_run = true;
        let message = compose(&n, &addresses(), Language::English);
        assert!(message.subject.starts_with("[CRITICAL] [dry run] terminal"));
        assert!(message.text.contains("Nothing: this is a dry run. It would have moved the traffic from 25 % to 0 %."));
        assert!(!message.text.contains("Did it help"));
    }

    #[test]
    fn hostile_texts_come_out_harmless() {
        let hostile = "x\r\nBcc: all@example.com\n\n<script>alert('1')</script>\u{202e}";
        let mut n = notification("n1");
        n.summary = hostile.to_owned();
        n.advice = hostile.to_owned();
        n.guard = Some(hostile.to_owned());
        n.incident = Some(hostile.to_owned());
        n.trigger.as_mut().unwrap().text = hostile.to_owned();
        n.rollback.as_mut().unwrap().steps =
            vec![StepReport { step: hostile.to_owned(), result: StepResult::Failed, detail: Some(hostile.to_owned()) }];
        n.rollback.as_mut().unwrap().error = Some(hostile.to_owned());
        let mut addresses = addresses();
        addresses.links.runbook = Some("javascript:alert(1)".to_owned());
        let message = compose(&n, &addresses, Language::English);
        assert!(!message.subject.contains(['\r', '\n', '\u{202e}']));
        assert!(!message.text.contains(['\r', '\u{202e}']));
        assert!(!message.html.contains("<script"), "{}", message.html);
        assert!(!message.html.contains("href=\"javascript"), "{}", message.html);
        assert!(message.html.contains("&lt;script&gt;alert(&#39;1&#39;)"));
    }

    #[test]
    fn long_texts_are_cut() {
        let mut n = notification("n1");
        n.summary = "很".repeat(5000);
        let message = compose(&n, &addresses(), Language::English);
        assert_eq!(message.subject.chars().count(), 200);
        assert_eq!(message.text.lines().next().unwrap().chars().count(), 1000);
    }
}
