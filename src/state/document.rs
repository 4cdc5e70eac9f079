//! The document: everything that must outlive the process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Language, Memory, Sentence};
use crate::notify::Contents;

/// The version that this program writes. A change that an older program would misread gets the next number.
const VERSION: u32 = 1;

/// The state of a Ripcord.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The version of its shape.
    pub version: u32,
    /// Who wrote it: no two processes have the same name.
    pub writer: String,
    /// When.
    pub saved_at: Timestamp,
    /// What the engine remembers: incidents, latches, clocks.
    pub engine: Memory,
    /// What is still to be told.
    pub outbox: Contents,
}

/// What every version of the document has.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// Who wrote a document, of whatever version.
#[derive(Deserialize)]
struct Writer {
    writer: String,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A newer Ripcord wrote it.
    #[error("it has version {0}, and this Ripcord reads up to {VERSION}: a newer one wrote it")]
    Newer(u32),
    /// It is not what a Ripcord writes.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Unreadable {
    /// The same in every language.
    pub fn in_words(&self) -> Sentence {
        Sentence::of(|language| match (language, self) {
            (Language::English, _) => self.to_string(),
            (Language::Chinese, Self::Newer(version)) => {
                format!("版本是 {version}，由更新的 Ripcord 写入，而当前的 Ripcord 最高只能读版本 {VERSION}")
            }
            (Language::Chinese, Self::Damaged(error)) => format!("内容已损坏：{error}"),
        })
    }
}

impl Document {
    /// A document of this version.
    pub fn new(writer: &str, saved_at: Timestamp, engine: Memory, outbox: Contents) -> Self {
        Self { version: VERSION, writer: writer.to_owned(), saved_at, engine, outbox }
    }

    /// Reads a document.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let damaged = |e: serde_json::Error| Unreadable::Damaged(e.to_string());
        let header: Header = serde_json::from_str(text).map_err(damaged)?;
        if header.version > VERSION {
            return Err(Unreadable::Newer(header.version));
        }
        serde_json::from_str(text).map_err(damaged)
    }

    /// Who wrote it, if that can be told.
    pub fn writer(text: &str) -> Option<String> {
        serde_json::from_str::<Writer>(text).ok().map(|w| w.writer)
    }

    /// The document as text of at most `limit` bytes. For that the objects saved for closed incidents are left out, then the oldest closed
    /// incidents, then objects saved for open ones, then dead letters and pages of little worth, then lines of the open incidents' timelines, and no more of them than it takes; says how many things were.
    ///
    /// The error is a document that cannot be written at all.
    pub fn text(&self, limit: usize) -> Result<(String, usize), String> {
        let text = self.json()?;
        let mut excess = text.len().saturating_sub(limit);
        if excess == 0 {
            return Ok((text, 0));
        }
        let mut smaller = self.clone();
        let mut left_out = 0;
        loop {
            // What each frees is known well enough: writing a megabyte again for each of a thousand pages would take minutes.
            while excess > 0 {
                let freed = smaller.leave_out().ok_or_else(|| {
                    format!("what cannot be left out, the open incidents above all, is more than {limit} bytes")
                })?;
                excess = excess.saturating_sub(freed);
                left_out += 1;
            }
            let text = smaller.json()?;
            excess = text.len().saturating_sub(limit);
            if excess == 0 {
                return Ok((text, left_out));
            }
        }
    }

    /// Leaves out what is worth least, and says how many bytes that frees, give or take a comma. None when all that is left is needed.
    fn leave_out(&mut self) -> Option<usize> {
        if let Some(freed) = self.engine.drop_oldest_snapshot() {
            return Some(freed);
        }
        match self.engine.drop_oldest_closed() {
            Some(incident) => Some(serde_json::to_string(&incident).map_or(0, |text| text.len() + ",".len())),
            // No page is worth less than an object that was saved.
            None => match self.engine.drop_open_snapshot().or_else(|| self.outbox.drop_least()) {
                Some(freed) => Some(freed),
                // The time of a line takes about as much as its frame.
                None => self.engine.shorten_open().map(|line| line.len()),
            },
        }
    }

    fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| format!("the state cannot be written as JSON: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::engine::Severity;

    fn empty() -> Document {
        Document::new("here", Timestamp::UNIX_EPOCH, Memory::default(), Contents::default())
    }

    #[test]
    fn what_is_written_is_read() {
        let (text, left_out) = empty().text(usize::MAX).unwrap();
        assert_eq!(left_out, 0);
        assert_eq!(Document::read(&text), Ok(empty()));
        assert_eq!(Document::writer(&text).as_deref(), Some("here"));
    }

    #[test]
    fn a_newer_document_is_told_from_a_damaged_one() {
        let newer = r#"{"version": 7, "writer": "tomorrow", "engine": "of another kind"}"#;
        assert_eq!(Document::read(newer), Err(Unreadable::Newer(7)));
        assert_eq!(Document::writer(newer).as_deref(), Some("tomorrow"));
        for damaged in ["", "null", "{", "{}", r#"{"version": 1}"#, r#"{"version": "1"}"#, "\u{fffd}\u{fffd}", "[1]"] {
            assert!(matches!(Document::read(damaged), Err(Unreadable::Damaged(_))), "{damaged:?}");
        }
        let (whole, _) = empty().text(usize::MAX).unwrap();
        for end in 0..whole.len() {
            assert!(Document::read(&whole[..end]).is_err(), "half a document is none: {end}");
        }
    }

    /// A memory as the journal has it: closed incidents of two guards by when they ended, and an open one.
    fn memory(closed: &[(&str, &str)]) -> Memory {
        let incident = |id: &str, ended: Option<&str>| {
            json!({
                "id": id, "guard": id, "opened_at": "2026-01-01T00:00:00Z", "closed_at": ended, "kind": "rollback",
                "reason": "errors ".repeat(100), "triggers": [], "from_percentage": 25, "to_percentage": 0, "attempt": 1,
                "steps": [], "error": null, "accepted_at": null, "completed_at": null, "verification": null,
                "acknowledged_at": null, "timeline": [], "failures": 0, "pages": 3, "fresh_clear_since": null,
                "seen_above_target": 0, "reverted": false,
            })
        };
        let mut guards = json!({"open": {"state": "rolled_back", "incident": incident("open", None)}});
        for (id, ended) in closed {
            let guard = &id[..1];
            if guards[guard].is_null() {
                guards[guard] = json!({"closed": []});
            }
            guards[guard]["closed"].as_array_mut().unwrap().push(incident(id, Some(ended)));
        }
        serde_json::from_value(json!({"guards": guards})).unwrap()
    }

    /// Pages that wait, each with its receivers, and dead letters.
    fn outbox(pages: &[(&str, &str, &[&str])], dead: &[&str]) -> Contents {
        let notification = |id: &str, severity: &str| {
            json!({
                "id": id, "event": "page.firing", "severity": severity, "time": "2026-01-01T00:00:00Z", "guard": "a",
                "guards": [], "incident": id, "summary": id, "advice": "look ".repeat(100), "trigger": null,
                "rollback": null, "dry_run": false,
            })
        };
        let notifications: serde_json::Map<_, _> =
            pages.iter().map(|(id, severity, _)| ((*id).to_owned(), notification(id, severity))).collect();
        let entry =
            |id: &str, to: &str| json!({"notification": id, "receiver": to, "queued_at": "2026-01-01T00:00:00Z"});
        let entries: Vec<_> = pages.iter().flat_map(|(id, _, to)| to.iter().map(|to| entry(id, to))).collect();
        let letter = |id: &&str| {
            json!({
                "id": id, "receiver": "sre", "event": "page.firing", "severity": "critical", "summary": id,
                "reason": "no ".repeat(100), "at": "2026-01-01T00:00:00Z",
            })
        };
        let dead: Vec<_> = dead.iter().map(letter).collect();
        let written = json!({"notifications": notifications, "entries": entries, "dead_letters": dead});
        serde_json::from_value(written).unwrap()
    }

    /// What a document holds that can be left out, in words.
    fn holds(document: &Document) -> Vec<String> {
        let closed = document.engine.incidents().filter(|i| i.closed_at.is_some()).map(|i| i.id.clone());
        let dead = document.outbox.dead_letters.iter().map(|d| d.id.clone());
        let waiting = document.outbox.entries.iter().map(|e| e.id.clone());
        closed.chain(dead).chain(waiting).collect()
    }

    /// One limit after the other: each document is within its limit, as large as it may be, and lacks what is worth least.
    #[test]
    fn what_is_over_goes_first_and_critical_pages_last() {
        let closed = [("a1", "2026-01-02T00:00:00Z"), ("a2", "2026-01-04T00:00:00Z"), ("b1", "2026-01-03T00:00:00Z")];
        let pages: [(&str, &str, &[&str]); 4] = [
            ("c1", "critical", &["oncall", "sre"]),
            ("w1", "warning", &["oncall"]),
            ("i1", "info", &["oncall", "sre"]),
            ("c2", "critical", &["oncall"]),
        ];
        let document = Document::new("here", Timestamp::UNIX_EPOCH, memory(&closed), outbox(&pages, &["d1", "d2"]));
        let order =
            ["a1", "b1", "a2", "d1", "d2", "i1/oncall", "i1/sre", "w1/oncall", "c1/oncall", "c1/sre", "c2/oncall"];
        assert_eq!(holds(&document).len(), order.len());
        let (whole, _) = document.text(usize::MAX).unwrap();
        let mut sizes = vec![whole.len()];
        for gone in 1..=order.len() {
            // One byte less than the one before had.
            let limit = sizes[gone - 1] - 1;
            let (text, left_out) = document.text(limit).unwrap();
            assert!(text.len() <= limit, "{} bytes for {limit}", text.len());
            let read = Document::read(&text).unwrap();
            let left = holds(&read);
            assert_eq!(left_out, gone, "no more than it takes");
            for (n, name) in order.iter().enumerate() {
                assert_eq!(left.iter().any(|l| l == name), n >= gone, "{name} of {left:?} at {limit} bytes");
            }
            assert_eq!(read.engine.state_of("open"), document.engine.state_of("open"));
            sizes.push(text.len());
        }
        let error = document.text(sizes[order.len()] - 1).unwrap_err();
        assert!(error.contains("open incidents"), "{error}");
    }

    /// Objects that were saved give way before any page, those of what is over first.
    #[test]
    fn saved_objects_go_before_pages() {
        let pages: [(&str, &str, &[&str]); 2] = [("c1", "critical", &["oncall"]), ("i1", "info", &["sre"])];
        let saved = |name: &str| json!([{"object": name, "yaml": "a: 1\n".repeat(4000)}]);
        let mut written = serde_json::to_value(memory(&[("a1", "2026-01-02T00:00:00Z")])).unwrap();
        written["guards"]["a"]["closed"][0]["snapshot"] = saved("Deployment ns/over");
        written["guards"]["open"]["incident"]["snapshot"] = saved("Deployment ns/open");
        let memory = serde_json::from_value(written).unwrap();
        let document = Document::new("here", Timestamp::UNIX_EPOCH, memory, outbox(&pages, &["d1"]));
        let (whole, _) = document.text(usize::MAX).unwrap();
        let (text, left_out) = document.text(whole.len() - 1).unwrap();
        assert_eq!((left_out, text.contains("ns/over"), text.contains("ns/open")), (1, false, true));
        let (text, _) = document.text(text.len() - 10_000).unwrap();
        let read = Document::read(&text).unwrap();
        assert!(!text.contains("a: 1"), "the objects are gone");
        assert_eq!(read.outbox.entries.len(), 2, "no page is");
        assert_eq!(read.outbox.dead_letters.len(), 1);
    }

    /// A receiver that is down for a night, and a bad week before: it fits, no critical page is left out, and it takes no time.
    #[test]
    fn a_thousand_long_pages_fit_into_a_config_map() {
        let ids: Vec<String> = (0..1024).map(|n| format!("p{n:04}")).collect();
        let severity = |n: usize| if n.is_multiple_of(4) { "critical" } else { "warning" };
        let to: &[&str] = &["oncall", "sre"];
        let pages: Vec<_> = ids.iter().enumerate().map(|(n, id)| (id.as_str(), severity(n), to)).collect();
        let mut contents = outbox(&pages, &[]);
        for entry in &mut contents.entries {
            Arc::make_mut(&mut entry.notification).summary = "long ".repeat(200);
        }
        let closed: Vec<_> = ids.iter().map(|id| (id.as_str(), "2026-01-02T00:00:00Z")).collect();
        let document = Document::new("here", Timestamp::UNIX_EPOCH, memory(&closed), contents);
        let limit = 800 * 1024;
        let (text, left_out) = document.text(limit).unwrap();
        assert!(left_out > closed.len() && text.len() <= limit && text.len() > limit - 2048, "{} bytes", text.len());
        let read = Document::read(&text).unwrap();
        assert!(read.engine.incidents().all(|i| i.closed_at.is_none()));
        let critical = read.outbox.entries.iter().filter(|e| e.notification.severity == Severity::Critical).count();
        assert_eq!(critical, 512, "256 for two receivers");
    }

    #[test]
    fn a_later_version_may_add_what_this_one_ignores() {
        let (text, _) = empty().text(usize::MAX).unwrap();
        let more = text.replacen('{', r#"{"baselines": {"terminal": 0.12},"#, 1);
        assert_eq!(Document::read(&more), Ok(empty()));
    }
}
