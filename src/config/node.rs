//! The merged configuration as a tree whose nodes know their paths.

use std::collections::BTreeMap;

use config::ValueKind;

use super::path::Path;

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where it stands.
    pub(super) path: Path,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Nothing was written.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// The value of an environment variable, which may stand for a text, a number or a boolean.
    Untyped(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    /// What kind of thing it is, without what it says: a text in the place of a map may be a secret.
    pub(super) fn describe_kind(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Text(_) | Kind::Untyped(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(b) => format!("{b} (true or false)"),
            Kind::Int(i) => format!("{i} (a number)"),
            Kind::Float(f) => format!("{f} (a number)"),
            Kind::Text(text) | Kind::Untyped(text) => format!("{text:?} (text)"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

/// Takes a value of the `config` crate. Only values of its environment source have an origin.
pub(super) fn from_config(path: Path, value: config::Value) -> Node {
    let untyped = value.origin().is_some();
    let kind = match value.kind {
        ValueKind::Nil => Kind::Null,
        ValueKind::Boolean(b) => Kind::Bool(b),
        ValueKind::I64(i) => Kind::Int(i),
        ValueKind::Float(f) => Kind::Float(f),
        ValueKind::String(text) if untyped => Kind::Untyped(text),
        ValueKind::String(text) => Kind::Text(text),
        // The layers hold no wider numbers; were there any, their text would say the same.
        wide @ (ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_)) => Kind::Text(wide.to_string()),
        ValueKind::Array(items) => {
            Kind::List(items.into_iter().enumerate().map(|(i, item)| from_config(path.index(i), item)).collect())
        }
        ValueKind::Table(table) => {
            Kind::Map(table.into_iter().map(|(key, value)| (key.clone(), from_config(path.key(&key), value))).collect())
        }
    };
    Node { path, kind }
}
