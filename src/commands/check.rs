//! `ripcord check`: validates files, offline.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{Check, Output};
use crate::config::{self, Finding, LoadOptions, Settings};
use crate::notify;

use super::{Failure, environment, print};

/// What to do where a file is missing that is in the cluster only.
const ELSEWHERE: &str =
    "\nWhere the files that it names are on another machine (/etc/ripcord/… in the pod): ripcord check --syntax-only";

/// Says everything that is wrong with the files, or what they say.
pub fn check(options: &Check) -> Result<(), Failure> {
    let load_options = LoadOptions { syntax_only: options.syntax_only };
    let loaded = config::load(&options.files, environment(), load_options);
    let loaded = loaded.and_then(|settings| {
        // A template can be in a file, which is elsewhere then.
        let wrong = if options.syntax_only { Vec::new() } else { notify::wrong(&settings.receivers) };
        if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
    });
    match (loaded, options.output) {
        (Ok(settings), Output::Text) => {
            let mut text = String::new();
            for warning in &settings.warnings {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "warning: {warning}");
            }
            print(&format!("{text}{}\n", summary(&options.files, &settings)))
        }
        (Ok(settings), Output::Json) => {
            print(&format!("{}\n", json!({"valid": true, "errors": [], "warnings": findings(&settings.warnings)})))
        }
        (Err(errors), Output::Text) => {
            let mut text = explain(&options.files, &errors);
            if !options.syntax_only && without_files(options) < errors.len() {
                text.push_str(ELSEWHERE);
            }
            Err(Failure::BadInput(text))
        }
        (Err(errors), Output::Json) => {
            print(&format!("{}\n", json!({"valid": false, "errors": findings(&errors), "warnings": []})))?;
            Err(Failure::BadInput(count(errors.len(), "problem")))
        }
    }
}

/// How many problems are left where nobody looks for the files that the configuration names.
fn without_files(options: &Check) -> usize {
    config::load(&options.files, environment(), LoadOptions { syntax_only: true }).err().unwrap_or_default().len()
}

/// Everything that is wrong, a line each, and how many there are.
pub(super) fn explain(files: &[PathBuf], errors: &[Finding]) -> String {
    let mut text = String::new();
    for error in errors {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "error: {error}");
    }
    let _ = write!(text, "{} in {}", count(errors.len(), "problem"), names(files));
    text
}

fn summary(files: &[PathBuf], settings: &Settings) -> String {
    let triggers: usize = settings.guards.iter().map(|g| g.engine.triggers.len()).sum();
    format!(
        "{}: valid: {}, {}, {}, {}",
        names(files),
        count(settings.guards.len(), "guard"),
        count(triggers, "trigger"),
        count(settings.receivers.len(), "receiver"),
        count(settings.warnings.len(), "warning"),
    )
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|f: &PathBuf| Path::display(f).to_string()).collect::<Vec<_>>().join(" + ")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn findings(findings: &[Finding]) -> Vec<serde_json::Value> {
    findings
        .iter()
        .map(|f| {
            json!({
                "file": f.file.as_ref().map(|file| file.display().to_string()),
                "line": f.line,
                "path": f.path,
                "message": f.message,
            })
        })
        .collect()
}
