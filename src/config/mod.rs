//! Settings: what was written, what is meant, and everything that is wrong with it at once.
//!
//! A configuration goes through these, in this order:
//!
//! | file | does |
//! |---|---|
//! | `file`, `yaml` | read a file's text, and make a tree of it that knows its lines |
//! | `layers` | merges files and environment (the `config` crate), and says where something was written |
//! | `node`, `path` | the merged tree; each node knows its path |
//! | `field`, `raw` | the shapes as written, read without stopping at what is wrong |
//! | `validate` | what is meant, or everything that is wrong |
//! | `settings`, `template` | what is meant |
//!
//! `defaults` holds every default and limit with its reason, `units` the units, `secret` the files with secrets,
//! `problems` what was found so far, `suggest` what somebody probably meant, `promql` a look at queries.
//!
//! Layers, later over earlier: what is built in, the files in their order, environment variables like
//! `RIPCORD__PROMETHEUS__URL`, and what was typed to see what would be (`--set`). Maps merge key by key, anything else is replaced. Keys in the name of a variable are
//! lower-cased, so a key with capitals can only be set in a file. Relative paths start at the working directory.

mod defaults;
mod field;
mod file;
mod lasting;
mod layers;
mod loopback;
mod node;
mod path;
mod problems;
mod promql;
mod raw;
mod secret;
mod settings;
mod suggest;
pub mod template;
mod units;
mod validate;
mod yaml;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use lasting::lasting;
pub use loopback::{is_loopback, is_loopback_host};
pub use secret::SecretError;
pub use settings::*;
pub use units::duration as parse_duration;

use layers::Layers;
use problems::{Problem, Problems};

/// One thing that is wrong, or worth a second look, in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file it is in. Absent for an environment variable, and for what is missing from several files.
    pub file: Option<PathBuf>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// Where: `guards.terminal.triggers.error_rate.for`, or the name of an environment variable. Empty for the file as
    /// a whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Finding {
    /// A finding at a path of the configuration; empty for the whole of it.
    pub fn at(path: String, message: String) -> Self {
        Self { file: None, line: None, path, message }
    }

    fn of_file(file: PathBuf, line: Option<usize>, message: String) -> Self {
        Self { file: Some(file), line, path: String::new(), message }
    }

    fn of_variable(name: &str, message: String) -> Self {
        Self { file: None, line: None, path: name.to_owned(), message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// How a configuration is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Do not look for the files that the configuration names (secrets, certificates): they are elsewhere.
    pub syntax_only: bool,
}

/// One setting that was typed, over files and environment. Its keys keep their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The option that it was typed with, for the findings: `--set`.
    pub option: &'static str,
    /// `PATH=VALUE`, like `guards.terminal.triggers.error_rate.for=2m`.
    pub text: String,
}

impl Override {
    /// What it is called in a finding.
    fn named(&self, path: &str) -> String {
        format!("{} {path}", self.option)
    }
}

/// What a configuration may hold, as a JSON Schema (draft 2020-12), for editors. It knows the keys and their kinds; `load` knows the rest.
pub fn schema() -> serde_json::Value {
    let mut defined = field::Defined::new();
    let root = <raw::Root as field::Read>::schema(&mut defined);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ripcord's configuration",
        "$ref": root["$ref"],
        "$defs": defined,
    })
}

/// Loads a configuration from files, later ones over earlier ones, and environment variables over all of them.
///
/// The error is everything that is wrong. It is never empty. Where a file cannot be read or is no YAML, nothing else is
/// looked at: what it should have said would seem to be missing.
pub fn load(
    paths: &[PathBuf],
    env: impl IntoIterator<Item = (String, String)>,
    options: LoadOptions,
) -> Result<Settings, Vec<Finding>> {
    load_with(paths, env, &[], options)
}

/// The same with overrides, which come over everything else in their order.
pub fn load_with(
    paths: &[PathBuf],
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
    options: LoadOptions,
) -> Result<Settings, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let text = match file::read_config(path) {
            Ok(text) => text,
            Err(error) => {
                findings.push(Finding::of_file(path.clone(), None, error.to_string()));
                continue;
            }
        };
        let (tree, errors) = yaml::parse(&text);
        findings.extend(errors.into_iter().map(|e| Finding::of_file(path.clone(), e.line, e.message)));
        files.extend(tree.map(|tree| (path.clone(), tree)));
    }
    if files.len() < paths.len() {
        return Err(findings);
    }
    let (layers, wrong_variables) = Layers::new(files, env);
    findings.extend(wrong_variables);
    let (layers, wrong_overrides) = layers.with_overrides(overrides);
    findings.extend(wrong_overrides);
    let node = match layers.merge() {
        Ok(node) => node,
        Err(error) => {
            let message = format!("the layers cannot be merged: {error}");
            findings.push(Finding { file: None, line: None, path: String::new(), message });
            return Err(findings);
        }
    };
    let mut problems = Problems::default();
    let settings = validate::settings(&node, &layers.odd_keys(), options, &mut problems);
    let locate = |problem: &Problem| layers.finding(&problem.path, problems.text(problem));
    findings.extend(problems.errors.iter().map(locate));
    match settings {
        Some(mut settings) if findings.is_empty() => {
            settings.warnings = problems.warnings.iter().map(locate).collect();
            Ok(settings)
        }
        _ => {
            findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            Err(findings)
        }
    }
}
