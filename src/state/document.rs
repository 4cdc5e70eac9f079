//! The document: everything that must outlive the process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Memory;
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

    /// The document as text of at most `limit` bytes. For that the oldest closed incidents are left out, then dead letters and pages of
    /// little worth; says how many things were.
    ///
    /// The error is a document that cannot be written at all.
    pub fn text(&self, limit: usize) -> Result<(String, usize), String> {
        let text = self.json()?;
        if text.len() <= limit {
            return Ok((text, 0));
        }
        let mut smaller = self.clone();
        let mut left_out = 0;
        // More at once each time: writing a megabyte again for each of a thousand pages would take minutes.
        let mut at_once = 1;
        loop {
            for _ in 0..at_once {
                if !smaller.engine.drop_oldest_closed() && !smaller.outbox.drop_least() {
                    return Err(format!("the open incidents alone are more than {limit} bytes"));
                }
                left_out += 1;
            }
            let text = smaller.json()?;
            if text.len() <= limit {
                return Ok((text, left_out));
            }
            at_once *= 2;
        }
    }

    fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| format!("the state cannot be written as JSON: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_later_version_may_add_what_this_one_ignores() {
        let (text, _) = empty().text(usize::MAX).unwrap();
        let more = text.replacen('{', r#"{"baselines": {"terminal": 0.12},"#, 1);
        assert_eq!(Document::read(&more), Ok(empty()));
    }
}
