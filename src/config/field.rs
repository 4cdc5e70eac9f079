//! Reading a tree into raw shapes without ever stopping: what is wrong is collected, and the field remembers that it
//! is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::node::{Kind, Node};
use super::path::Path;
use super::problems::Problems;
use super::units::{self, Scalar};

/// A key that may be written, rightly or wrongly.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// It is not written.
    #[default]
    Missing,
    /// It is written, and that it is wrong has been said.
    Wrong,
    /// It is written.
    Given(At<T>),
}

/// A value and where it is written.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// Where.
    pub(super) path: Path,
    /// What.
    pub(super) value: T,
}

impl<T> Field<T> {
    /// The value, where one is written rightly.
    pub(super) fn get(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Missing | Self::Wrong => None,
        }
    }

    /// The value alone.
    pub(super) fn value(&self) -> Option<&T> {
        self.get().map(|at| &at.value)
    }

    /// Whether nothing is written.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// Whether something is written, rightly or wrongly.
    pub(super) fn is_written(&self) -> bool {
        !self.is_missing()
    }

    /// The value; when nothing is written, an error at the map it belongs to.
    pub(super) fn required(&self, parent: &Path, message: &str, problems: &mut Problems) -> Option<&At<T>> {
        if self.is_missing() {
            problems.error(parent, message);
        }
        self.get()
    }
}

impl<T: Copy> Field<T> {
    /// The value, or the default when nothing is written. `None` only when what is written is wrong.
    pub(super) fn or_default(&self, default: T) -> Option<T> {
        match self {
            Self::Missing => Some(default),
            Self::Wrong => None,
            Self::Given(at) => Some(at.value),
        }
    }
}

/// What can be read from a node.
pub(super) trait Read: Sized {
    /// Reads it, or says what is wrong.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;

    /// What may be written, as a JSON Schema. Shapes are put into `defined` by their names and referred to.
    fn schema(defined: &mut Defined) -> Value;
}

/// The shapes of a schema, by their names.
pub(super) type Defined = BTreeMap<&'static str, Value>;

/// What a guard writes over what the defaults say. Most things replace the default as a whole.
pub(super) trait Over: Clone {
    /// This, with what it does not say taken from `base`.
    fn over(&self, _base: &Self) -> Self {
        self.clone()
    }
}

/// Reads a key's node.
pub(super) fn read_field<T: Read>(node: Option<&Node>, problems: &mut Problems) -> Field<T> {
    match node {
        None => Field::Missing,
        Some(Node { path, kind: Kind::Null }) => {
            problems.error(path, "is empty; give it a value, or leave the key out");
            Field::Wrong
        }
        Some(node) => match T::read(node, problems) {
            Some(value) => Field::Given(At { path: node.path.clone(), value }),
            None => Field::Wrong,
        },
    }
}

impl<T: Over> Over for Field<T> {
    fn over(&self, base: &Self) -> Self {
        match (self, base) {
            (Self::Missing, _) => base.clone(),
            (Self::Given(own), Self::Given(base)) => {
                Self::Given(At { path: own.path.clone(), value: own.value.over(&base.value) })
            }
            (own, _) => own.clone(),
        }
    }
}

fn wrong<T>(node: &Node, wanted: &str, problems: &mut Problems) -> Option<T> {
    problems.error(&node.path, format!("must be {wanted}, not {}", node.describe()));
    None
}

/// The same for a map or a list.
fn wrong_shape<T>(node: &Node, wanted: &str, problems: &mut Problems) -> Option<T> {
    problems.error(&node.path, format!("must be {wanted}, not {}", node.describe_kind()));
    None
}

impl Over for String {}

impl Read for String {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Text(text) | Kind::Untyped(text) if text.is_empty() => {
                problems.error(&node.path, "is an empty text; give it a value, or leave the key out");
                None
            }
            Kind::Text(text) | Kind::Untyped(text) => Some(text.clone()),
            _ => read_text(node, problems),
        }
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": "string", "minLength": 1})
    }
}

/// The text of a node. A number or a boolean is not turned into text: `010` or `1.10` would come out as something else.
fn read_text(node: &Node, problems: &mut Problems) -> Option<String> {
    let bare = match &node.kind {
        Kind::Text(text) | Kind::Untyped(text) => return Some(text.clone()),
        Kind::Bool(b) => b.to_string(),
        Kind::Int(i) => i.to_string(),
        Kind::Float(f) => f.to_string(),
        Kind::Null | Kind::List(_) | Kind::Map(_) => return wrong(node, "text", problems),
    };
    let what = if matches!(node.kind, Kind::Bool(_)) { "a boolean" } else { "a number" };
    // Not the value again with quotes: 010 or 1.10 reads as something else than what was meant.
    problems.error(
        &node.path,
        format!("{bare} is {what} where text is needed; put quotes around it, just as you wrote it"),
    );
    None
}

/// A text that may be empty, as the value of an environment variable may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnyText(pub(super) String);

impl Over for AnyText {}

impl Read for AnyText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        read_text(node, problems).map(Self)
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": "string"})
    }
}

impl Over for bool {}

impl Read for bool {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Bool(b) => Some(*b),
            Kind::Untyped(text) if text == "true" => Some(true),
            Kind::Untyped(text) if text == "false" => Some(false),
            _ => wrong(node, "true or false, without quotes", problems),
        }
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": "boolean"})
    }
}

impl Over for Duration {}

impl Read for Duration {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Text(text) | Kind::Untyped(text) => problems.take(&node.path, units::duration(text)),
            Kind::Int(i) => problems.take(&node.path, units::duration(&i.to_string())),
            Kind::Float(f) => problems.take(&node.path, units::duration(&f.to_string())),
            _ => wrong(node, "a duration, like 90s or 5m", problems),
        }
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": "string", "pattern": "^([0-9]+(y|w|d|h|m|s|ms))+$"})
    }
}

impl Over for Scalar {}

impl Read for Scalar {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Int(i) => Some(Self::Number(*i as f64)),
            Kind::Float(f) => Some(Self::Number(*f)),
            Kind::Text(text) | Kind::Untyped(text) => Some(Self::Text(text.clone())),
            _ => wrong(node, "a number, with its unit where it has one", problems),
        }
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": ["number", "string"]})
    }
}

/// A whole percentage, from 0 to 100: `5%` or `5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percentage(pub(super) u8);

impl Over for Percentage {}

impl Read for Percentage {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let (written, parsed) = match &node.kind {
            Kind::Int(i) => (i.to_string(), u8::try_from(*i).ok()),
            Kind::Float(f) => (f.to_string(), None),
            Kind::Text(text) => (text.clone(), text.strip_suffix('%').and_then(|t| t.parse().ok())),
            Kind::Untyped(text) => (text.clone(), text.strip_suffix('%').unwrap_or(text).parse().ok()),
            _ => return wrong(node, "a whole percentage from 0 to 100, like 5%", problems),
        };
        let percentage = parsed.filter(|p| *p <= 100).map(Self);
        if percentage.is_none() {
            let written = units::shown(&written);
            let message = format!("{written} is no percentage; write a whole number from 0 to 100, like 5 or 5%");
            problems.error(&node.path, message);
        }
        percentage
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]})
    }
}

impl Over for u16 {}

impl Read for u16 {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let port = match &node.kind {
            Kind::Int(i) => Self::try_from(*i).ok(),
            Kind::Untyped(text) => text.parse().ok(),
            _ => None,
        };
        match port {
            Some(port) if port > 0 => Some(port),
            _ => wrong(node, "a port, a whole number from 1 to 65535", problems),
        }
    }

    fn schema(_: &mut Defined) -> Value {
        json!({"type": "integer", "minimum": 1, "maximum": 65535})
    }
}

/// A map with names that the reader of the configuration chose.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub(super) BTreeMap<String, Field<T>>);

impl<T> Named<T> {
    /// The entries that are written rightly.
    pub(super) fn given(&self) -> impl Iterator<Item = (&String, &At<T>)> {
        self.0.iter().filter_map(|(name, field)| field.get().map(|at| (name, at)))
    }
}

impl<T: Over> Over for Named<T> {
    fn over(&self, base: &Self) -> Self {
        let mut merged = base.0.clone();
        for (name, own) in &self.0 {
            let entry = match merged.get(name) {
                Some(base) => own.over(base),
                None => own.clone(),
            };
            merged.insert(name.clone(), entry);
        }
        Self(merged)
    }
}

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Map(map) => {
                Some(Self(map.iter().map(|(name, node)| (name.clone(), read_field(Some(node), problems))).collect()))
            }
            _ => wrong_shape(node, "a map", problems),
        }
    }

    fn schema(defined: &mut Defined) -> Value {
        json!({"type": "object", "additionalProperties": T::schema(defined)})
    }
}

/// A list. One written over another replaces it.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<Field<T>>);

impl<T> List<T> {
    /// The items that are written rightly.
    pub(super) fn given(&self) -> impl Iterator<Item = &At<T>> {
        self.0.iter().filter_map(Field::get)
    }
}

impl<T: Clone> Over for List<T> {}

impl<T: Read> Read for List<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => Some(Self(items.iter().map(|item| read_field(Some(item), problems)).collect())),
            _ => wrong_shape(node, "a list", problems),
        }
    }

    fn schema(defined: &mut Defined) -> Value {
        json!({"type": "array", "items": T::schema(defined)})
    }
}

/// A list of texts; a single text stands for a list of one.
#[derive(Debug, Clone)]
pub(super) struct Texts(pub(super) List<String>);

impl Over for Texts {}

impl Read for Texts {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => List::read(node, problems).map(Self),
            Kind::Text(_) | Kind::Untyped(_) => Some(Self(List(vec![read_field(Some(node), problems)]))),
            _ => wrong_shape(node, "a list of texts", problems),
        }
    }

    fn schema(defined: &mut Defined) -> Value {
        json!({"anyOf": [String::schema(defined), List::<String>::schema(defined)]})
    }
}

/// The name as it is written of a key that is a word of Rust's.
pub(super) fn written(key: &'static str) -> &'static str {
    key.strip_prefix("r#").unwrap_or(key)
}

/// Says which keys of a map are not known, and returns its entries, and whether there are such keys.
pub(super) fn read_map<'a>(
    node: &'a Node,
    keys: &[&'static str],
    problems: &mut Problems,
) -> Option<(&'a BTreeMap<String, Node>, bool)> {
    let Kind::Map(map) = &node.kind else {
        return wrong_shape(node, "a map", problems);
    };
    let mut unknown = false;
    for (key, node) in map {
        if !keys.contains(&key.as_str()) {
            unknown_key(key, &node.path, keys, problems);
            unknown = true;
        }
    }
    Some((map, unknown))
}

/// Says that a key is not known.
pub(super) fn unknown_key(key: &str, path: &Path, keys: &[&'static str], problems: &mut Problems) {
    problems.error(path, format!("unknown key {key:?}{}", super::suggest::hint(key, keys, "allowed here")));
}

/// The schema of a shape: its keys with what they are for.
pub(super) fn shape_schema(
    name: &'static str,
    keys: impl FnOnce(&mut Defined) -> Vec<(&'static str, &'static str, Value)>,
    defined: &mut Defined,
) -> Value {
    if !defined.contains_key(name) {
        // Shapes may hold one another.
        defined.insert(name, Value::Null);
        let mut properties = serde_json::Map::new();
        for (key, about, mut schema) in keys(defined) {
            if !about.is_empty() {
                schema["description"] = json!(about);
            }
            properties.insert(key.to_owned(), schema);
        }
        defined.insert(name, json!({"type": "object", "additionalProperties": false, "properties": properties}));
    }
    json!({"$ref": format!("#/$defs/{name}")})
}

/// Declares a raw shape: a map whose keys are all known and may all be missing. `fieldwise` is how one is written over
/// another, key by key. What is said of a key here is what the configuration reference and the schema say.
macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $about:literal])* $key:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name {
            $($(#[doc = $about])* pub(super) $key: Field<$ty>,)*
            /// Whether it has keys that are not known, so that what seems to be missing may just be misspelt.
            pub(super) has_unknown_keys: bool,
        }

        impl Read for $name {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                let (map, has_unknown_keys) = read_map(node, &[$(written(stringify!($key))),*], problems)?;
                Some(Self { $($key: read_field(map.get(written(stringify!($key))), problems),)* has_unknown_keys })
            }

            fn schema(defined: &mut Defined) -> Value {
                let keys = |defined: &mut Defined| {
                    vec![$((written(stringify!($key)), concat!($($about,)* "").trim_ascii(), <$ty>::schema(defined)),)*]
                };
                shape_schema(stringify!($name), keys, defined)
            }
        }

        impl $name {
            #[allow(dead_code, reason = "not every shape is written over another one")]
            fn fieldwise(&self, base: &Self) -> Self {
                Self { $($key: self.$key.over(&base.$key),)* has_unknown_keys: self.has_unknown_keys }
            }
        }
    };
}
pub(super) use shape;
