//! Layers: files in their order, then the environment, then what was typed. The `config` crate merges them: maps merge deep, anything else
//! is replaced. What was built in as a default is put in later, where a value is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use config::{Config, Environment, Source, ValueKind};

use super::node::{self, Node};
use super::path::{Path, Segment};
use super::suggest;
use super::yaml::{Tree, Value};
use super::{Finding, Override};

/// What the names of environment variables begin with that are settings.
const PREFIX: &str = "RIPCORD__";

/// What stands between the keys in such a name.
const SEPARATOR: &str = "__";

/// What stands between the keys in the path of an override.
const TYPED_SEPARATOR: char = '.';

/// The files, the environment and the overrides, read and not merged yet.
#[derive(Debug)]
pub(super) struct Layers {
    files: Vec<(PathBuf, Tree)>,
    env: BTreeMap<String, Variable>,
    /// By what they are called in a finding, in the order they were typed in.
    typed: Vec<(String, Variable)>,
}

/// One environment variable or override that is a setting.
#[derive(Debug)]
struct Variable {
    value: String,
    keys: Vec<String>,
}

impl Layers {
    /// Takes the files in their order, and from the environment what is a setting. The findings are about variables
    /// whose names cannot be settings, whatever the settings are.
    pub(super) fn new(
        files: Vec<(PathBuf, Tree)>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut variables: BTreeMap<String, Variable> = BTreeMap::new();
        let mut env: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        env.sort();
        for (name, value) in env {
            let keys: Vec<String> = name[PREFIX.len()..].to_lowercase().split(SEPARATOR).map(str::to_owned).collect();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if keys.iter().any(|key| key.is_empty() || !key.chars().all(plain)) {
                findings.push(Finding::of_variable(
                    &name,
                    format!(
                        "is no name of a setting; it is made of keys with {SEPARATOR} between them, like \
                        {PREFIX}PROMETHEUS__URL"
                    ),
                ));
                continue;
            }
            let clash = variables.iter().find(|(_, v)| v.keys.starts_with(&keys) || keys.starts_with(&v.keys));
            if let Some((other, _)) = clash {
                findings.push(Finding::of_variable(&name, format!("sets the same as {other}; set one of the two")));
                continue;
            }
            variables.insert(name, Variable { value, keys });
        }
        (Self { files, env: variables, typed: Vec::new() }, findings)
    }

    /// Takes the overrides in their order, over everything else; of two for the same path the later one wins. The findings are about those
    /// that can be no settings, whatever the settings are.
    pub(super) fn with_overrides(mut self, overrides: &[Override]) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        for typed in overrides {
            let Some((path, value)) = typed.text.split_once('=') else {
                let message = "is no PATH=VALUE, like guards.terminal.triggers.error_rate.for=2m".to_owned();
                findings.push(Finding::of_variable(&typed.named(&typed.text), message));
                continue;
            };
            let name = typed.named(path);
            let keys: Vec<String> = path.split(TYPED_SEPARATOR).map(str::to_owned).collect();
            if let Err(message) = self.takes(&keys) {
                findings.push(Finding::of_variable(&name, message));
                continue;
            }
            self.typed.retain(|(_, other)| other.keys != keys);
            let clash = self.typed.iter().find(|(_, v)| v.keys.starts_with(&keys) || keys.starts_with(&v.keys));
            if let Some((other, _)) = clash {
                findings.push(Finding::of_variable(&name, format!("sets the same as {other}; set one of the two")));
                continue;
            }
            self.typed.push((name, Variable { value: value.to_owned(), keys }));
        }
        (self, findings)
    }

    /// Whether these keys can be the path of an override. A guard or a trigger that is nowhere else would be a new one, which a single value
    /// cannot make.
    fn takes(&self, keys: &[String]) -> Result<(), String> {
        if !keys.iter().all(|key| is_plain_key(key)) {
            return Err(
                "is no path of a setting; it is made of keys with dots between them, and cannot reach into a list"
                    .to_owned(),
            );
        }
        let (Some(name), "guards") = (keys.get(1), keys[0].as_str()) else { return Ok(()) };
        let guards = self.keys_at(&Path::root().key("guards"));
        if keys.len() > 2 && !guards.contains(name) && !self.env.values().any(|v| v.keys.starts_with(&keys[..2])) {
            let known: Vec<&str> = guards.iter().map(String::as_str).collect();
            return Err(format!("there is no guard {name:?}{}", suggest::hint(name, &known, "there are")));
        }
        Ok(())
    }

    /// The keys that the files have in the map at a path.
    fn keys_at(&self, path: &Path) -> BTreeSet<String> {
        let maps = self.files.iter().filter_map(|(_, tree)| tree.map_at(path));
        maps.flat_map(|map| map.keys().cloned()).collect()
    }

    /// Merges the layers.
    pub(super) fn merge(&self) -> Result<Node, config::ConfigError> {
        let mut builder = Config::builder();
        for (_, tree) in &self.files {
            builder = builder.add_source(FileLayer(to_table(tree)));
        }
        let variables = self.env.iter().map(|(name, v)| (name.clone(), v.value.clone())).collect();
        let env =
            Environment::with_prefix(PREFIX.trim_end_matches(SEPARATOR)).separator(SEPARATOR).source(Some(variables));
        let mut builder = builder.add_source(env);
        for (name, typed) in &self.typed {
            builder = builder.add_source(FileLayer(nested(name, &typed.keys, &typed.value)));
        }
        let merged = builder.build()?.collect()?;
        Ok(node::from_config(Path::root(), config::Value::new(None, ValueKind::Table(merged))))
    }

    /// The keys at the top of a file that the `config` crate would take for paths (`guards.terminal: …`).
    pub(super) fn odd_keys(&self) -> Vec<String> {
        let keys = self.files.iter().filter_map(|(_, tree)| match &tree.value {
            Value::Map(map) => Some(map.keys()),
            _ => None,
        });
        keys.flatten().filter(|key| !is_plain_key(key)).cloned().collect()
    }

    /// Says where a path was written: the last file that has it all, else the one that has the longest part of it. What
    /// an override or an environment variable said is shown by its name.
    pub(super) fn finding(&self, path: &Path, message: String) -> Finding {
        if let Some(name) = self.variable_at(path) {
            return Finding::of_variable(name, message);
        }
        let mut best: Option<(usize, &PathBuf, usize)> = None;
        for (file, tree) in &self.files {
            let (depth, line) = tree.locate(path);
            if best.is_none_or(|(deepest, ..)| depth >= deepest) {
                best = Some((depth, file, line));
            }
        }
        let (file, line) = match best {
            Some((0, ..)) if self.files.len() > 1 => (None, None),
            Some((0, file, _)) => (Some(file.clone()), None),
            Some((_, file, line)) => (Some(file.clone()), Some(line)),
            None => (None, None),
        };
        Finding { file, line, path: path.to_string(), message }
    }

    /// The override or environment variable that said what stands at a path.
    fn variable_at(&self, path: &Path) -> Option<&str> {
        let keys: Option<Vec<&String>> = path
            .segments()
            .iter()
            .map(|segment| match segment {
                Segment::Key(key) => Some(key),
                Segment::Index(_) => None,
            })
            .collect();
        let keys = keys.filter(|keys| !keys.is_empty())?;
        let below = |v: &Variable| v.keys.len() >= keys.len() && v.keys.iter().zip(&keys).all(|(a, b)| a == *b);
        let typed = self.typed.iter().rev().map(|(name, v)| (name, v));
        let (name, variable) = typed.chain(&self.env).find(|(_, v)| below(v))?;
        let in_a_file = || self.files.iter().any(|(_, tree)| tree.is_map_at(path));
        (variable.keys.len() == keys.len() || !in_a_file()).then_some(name.as_str())
    }
}

/// Whether the `config` crate takes a key for just that key.
fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// One file, as the `config` crate takes it.
#[derive(Debug, Clone)]
struct FileLayer(HashMap<String, config::Value>);

impl Source for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<HashMap<String, config::Value>, config::ConfigError> {
        Ok(self.0.iter().filter(|(key, _)| is_plain_key(key)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// One value at a path of keys. It has an origin, as what the environment says has: its text may stand for a number.
fn nested(origin: &str, keys: &[String], value: &str) -> HashMap<String, config::Value> {
    let leaf = config::Value::new(Some(&origin.to_owned()), ValueKind::String(value.to_owned()));
    let mut keys = keys.iter().rev();
    let last = keys.next().cloned().unwrap_or_default();
    keys.fold(HashMap::from([(last, leaf)]), |inner, key| {
        HashMap::from([(key.clone(), config::Value::new(None, ValueKind::Table(inner)))])
    })
}

fn to_table(tree: &Tree) -> HashMap<String, config::Value> {
    match &tree.value {
        Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), to_value(value))).collect(),
        _ => HashMap::new(),
    }
}

fn to_value(tree: &Tree) -> config::Value {
    let kind = match &tree.value {
        Value::Null => ValueKind::Nil,
        Value::Bool(b) => ValueKind::Boolean(*b),
        Value::Int(i) => ValueKind::I64(*i),
        Value::Float(f) => ValueKind::Float(*f),
        Value::Text(text) => ValueKind::String(text.clone()),
        Value::List(items) => ValueKind::Array(items.iter().map(to_value).collect()),
        Value::Map(_) => ValueKind::Table(to_table(tree)),
    };
    config::Value::new(None, kind)
}
