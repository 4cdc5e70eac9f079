//! Everything that is wrong with a file.

use std::fmt;

/// Problems that are listed. A file that is wrong in one way is so on each of its million lines.
const MAX_PROBLEMS: usize = 20;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// The problems that were found so far, as many as are listed.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(super) fn add(&mut self, line: usize, text: impl Into<String>) {
        if self.listed.len() < MAX_PROBLEMS {
            self.listed.push(Problem { line, text: text.into() });
        } else {
            self.more += 1;
        }
    }

    /// The whole, or all that is wrong with it.
    pub(super) fn or<T>(mut self, whole: T) -> Result<T, Vec<Problem>> {
        if self.listed.is_empty() {
            return Ok(whole);
        }
        self.listed.sort_by_key(|problem| problem.line);
        if let (more @ 1.., Some(last)) = (self.more, self.listed.last()) {
            let line = last.line;
            self.listed.push(Problem { line, text: format!("… and {more} problems more") });
        }
        Err(self.listed)
    }
}

/// The longest text of a file that a problem repeats.
const MAX_SHOWN: usize = 60;

/// A text of the file as a problem repeats it: quoted, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
