//! Collects everything that is wrong, so that all of it is said at once.

use std::collections::HashMap;

use super::path::{Path, Segment};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// What makes the configuration unusable.
    pub(super) errors: Found,
    /// What is worth a second look.
    pub(super) warnings: Found,
    /// The guard that is being looked at.
    guard: Option<String>,
    /// How many guards were looked at.
    guards: usize,
}

/// Problems in the order they were found in, each once.
#[derive(Debug, Default)]
pub(super) struct Found {
    list: Vec<Problem>,
    /// Where in the list what is said of a place stands: a file may have very many problems.
    places: HashMap<(Path, String), usize>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where it is written.
    pub(super) path: Path,
    message: String,
    /// The guards it was found for. The same thing in the defaults counts once, however many guards it is wrong for.
    guards: Vec<String>,
}

impl Problems {
    /// Adds an error.
    pub(super) fn error(&mut self, at: &Path, message: impl Into<String>) {
        self.errors.add(at, message.into(), self.guard.as_ref());
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, at: &Path, message: impl Into<String>) {
        self.warnings.add(at, message.into(), self.guard.as_ref());
    }

    /// Takes a value, or adds the error that there is instead.
    pub(super) fn take<T>(&mut self, at: &Path, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(at, message)).ok()
    }

    /// Says which guard is looked at from here on.
    pub(super) fn enter_guard(&mut self, name: &str) {
        self.guard = Some(name.to_owned());
        self.guards += 1;
    }

    /// Says that no guard is looked at any more.
    pub(super) fn leave_guards(&mut self) {
        self.guard = None;
    }

    /// The message of a problem. One in the defaults that only some guards have says which.
    pub(super) fn text(&self, problem: &Problem) -> String {
        let names = &problem.guards;
        let in_defaults = matches!(problem.path.segments().first(), Some(Segment::Key(key)) if key == "defaults");
        if !in_defaults || names.is_empty() || names.len() == self.guards {
            return problem.message.clone();
        }
        let what = if names.len() == 1 { "guard" } else { "guards" };
        format!("{} (for {what} {})", problem.message, names.join(", "))
    }
}

impl Found {
    /// Them all.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    fn add(&mut self, at: &Path, message: String, guard: Option<&String>) {
        let next = self.list.len();
        let place = *self.places.entry((at.clone(), message.clone())).or_insert(next);
        if place == next {
            self.list.push(Problem { path: at.clone(), message, guards: Vec::new() });
        }
        let names = &mut self.list[place].guards;
        names.extend(guard.filter(|guard| names.last() != Some(*guard)).cloned());
    }
}
