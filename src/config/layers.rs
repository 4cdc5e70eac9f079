//! Layers: files in their order, then the environment. The `config` crate merges them: maps merge deep, anything else
//! is replaced. What was built in as a default is put in later, where a value is missing.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use config::{Config, Environment, Source, ValueKind};

use super::Finding;
use super::node::{self, Node};
use super::path::{Path, Segment};
use super::yaml::{Tree, Value};

/// What the names of environment variables begin with that are settings.
const PREFIX: &str = "RIPCORD__";

/// What stands between the keys in such a name.
const SEPARATOR: &str = "__";

/// The files and the environment, read and not merged yet.
#[derive(Debug)]
pub(super) struct Layers {
    files: Vec<(PathBuf, Tree)>,
    env: BTreeMap<String, Variable>,
}

/// One environment variable that is a setting.
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
        (Self { files, env: variables }, findings)
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
        let merged = builder.add_source(env).build()?.collect()?;
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
    /// an environment variable said is shown by the variable's name.
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

    /// The environment variable that said what stands at a path.
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
        let (name, variable) = self.env.iter().find(|(_, v)| below(v))?;
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
