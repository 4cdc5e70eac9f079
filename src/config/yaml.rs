//! YAML text to a tree that knows its lines.
//!
//! It reads the parser's events one by one and keeps its own stack, so that no depth of nesting can overflow the
//! program's. Anchors, aliases and tags are refused: aliases of aliases grow without bound, and none of the three is
//! needed here.

use std::collections::BTreeMap;

use yaml_rust2::Yaml;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use super::defaults::MAX_DEPTH;
use super::path::{Path, Segment};

/// One node of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    /// The line of its key; of its beginning where it has none. From 1.
    pub(super) line: usize,
    /// What it is.
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

/// What is wrong with a file's YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    /// The line, where there is one.
    pub(super) line: Option<usize>,
    /// What is wrong there.
    pub(super) message: String,
}

impl Tree {
    /// Follows a path as far as it goes: how many steps were found, and the line of the last of them.
    pub(super) fn locate(&self, path: &Path) -> (usize, usize) {
        let mut node = self;
        for (depth, segment) in path.segments().iter().enumerate() {
            let next = match (segment, &node.value) {
                (Segment::Key(key), Value::Map(map)) => map.get(key),
                (Segment::Index(index), Value::List(list)) => list.get(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return (depth, node.line),
            }
        }
        (path.segments().len(), node.line)
    }

    /// What kind of node a path leads to: whether a map is there.
    pub(super) fn is_map_at(&self, path: &Path) -> bool {
        self.map_at(path).is_some()
    }

    /// The map that a path leads to.
    pub(super) fn map_at(&self, path: &Path) -> Option<&BTreeMap<String, Tree>> {
        let mut node = self;
        for segment in path.segments() {
            let next = match (segment, &node.value) {
                (Segment::Key(key), Value::Map(map)) => map.get(key),
                (Segment::Index(index), Value::List(list)) => list.get(*index),
                _ => None,
            };
            node = next?;
        }
        match &node.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// A map or a list that is being read.
enum Open {
    List { line: usize, items: Vec<Tree> },
    Map { line: usize, entries: BTreeMap<String, Tree>, key: Option<(String, usize)> },
}

/// Reads one file's text. Some errors leave a tree to look at further, others do not.
pub(super) fn parse(text: &str) -> (Option<Tree>, Vec<YamlError>) {
    let mut errors = Vec::new();
    match read(text, &mut errors) {
        Ok(tree) => (Some(tree), errors),
        Err(error) => {
            errors.push(error);
            (None, errors)
        }
    }
}

fn read(text: &str, errors: &mut Vec<YamlError>) -> Result<Tree, YamlError> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Tree> = None;
    loop {
        let (event, mark) = parser.next_token().map_err(|e| YamlError {
            line: Some(e.marker().line()),
            message: format!("is no valid YAML: {}{}", e.info(), hint(text, e.marker().line())),
        })?;
        let refuse = |message: &str| Err(YamlError { line: Some(mark.line()), message: message.to_owned() });
        let done = match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => continue,
            Event::DocumentStart if root.is_some() => {
                return refuse("holds more than one YAML document (a second one begins here); give each its own file");
            }
            Event::DocumentStart => continue,
            Event::Alias(_) => return refuse("YAML aliases (*name) are not supported; write the value out"),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return refuse("YAML anchors (&name) are not supported; write the value out where it is needed");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return refuse("YAML tags (!name) are not supported; to make a text of a number, quote it");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                return refuse(&format!("is nested more than {MAX_DEPTH} deep"));
            }
            Event::SequenceStart(..) => {
                let line = key_line(&open, mark)?;
                open.push(Open::List { line, items: Vec::new() });
                continue;
            }
            Event::MappingStart(..) => {
                let line = key_line(&open, mark)?;
                open.push(Open::Map { line, entries: BTreeMap::new(), key: None });
                continue;
            }
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Map { entries, key: key @ None, .. }) = open.last_mut() {
                    if style == TScalarStyle::Plain && matches!(Yaml::from_str(&text), Yaml::Null) {
                        return refuse("a key is missing before the colon");
                    }
                    if let Some(first) = entries.get(&text) {
                        errors.push(YamlError {
                            line: Some(mark.line()),
                            message: format!("the key {text:?} is written twice, first in line {}", first.line),
                        });
                    }
                    *key = Some((text, mark.line()));
                    continue;
                }
                let line = key_line(&open, mark)?;
                Tree { line, value: scalar(text, style) }
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List { line, items }) => Tree { line, value: Value::List(items) },
                Some(Open::Map { line, entries, .. }) => Tree { line, value: Value::Map(entries) },
                None => return refuse("is no valid YAML: something ends that never began"),
            },
        };
        match open.last_mut() {
            None => root = Some(done),
            Some(Open::List { items, .. }) => items.push(done),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, _)) => {
                    entries.insert(key, done);
                }
                None => return refuse("a map or a list cannot be a key"),
            },
        }
    }
    match root {
        Some(tree @ Tree { value: Value::Map(_), .. }) => Ok(tree),
        None | Some(Tree { value: Value::Null, .. }) => {
            Err(YamlError { line: None, message: "is empty; it needs at least prometheus: and guards:".to_owned() })
        }
        Some(tree) => Err(YamlError {
            line: Some(tree.line),
            message: "must be a map at the top, like `prometheus: {url: …}`".to_owned(),
        }),
    }
}

/// What is most often behind a syntax error, judged by the line where it was noticed and the one before.
fn hint(text: &str, line: usize) -> &'static str {
    let near: Vec<&str> = text.lines().skip(line.saturating_sub(2)).take(2).collect();
    let bare = |line: &&str| line.match_indices("${").any(|(at, _)| !line[..at].contains(['"', '\'']));
    if near.iter().any(bare) {
        "; within { } a variable must be quoted: \"${percentage}\""
    } else if near.iter().any(|line| line.starts_with([' ', '\t']) && line.trim_start_matches(' ').starts_with('\t')) {
        "; YAML is indented with spaces, not with tabs"
    } else {
        "; check the indentation, the colons and the quotes of this line and the one above"
    }
}

/// The line of a node that begins here: that of its key in a map.
fn key_line(open: &[Open], mark: Marker) -> Result<usize, YamlError> {
    match open.last() {
        Some(Open::Map { key: Some((_, line)), .. }) => Ok(*line),
        Some(Open::Map { key: None, .. }) => Err(YamlError {
            line: Some(mark.line()),
            message: "a map or a list cannot be a key; quote the text if it begins with { or [".to_owned(),
        }),
        _ => Ok(mark.line()),
    }
}

/// A scalar by the rules of YAML's core schema: only an unquoted one can be anything but text.
fn scalar(text: String, style: TScalarStyle) -> Value {
    if style != TScalarStyle::Plain {
        return Value::Text(text);
    }
    match Yaml::from_str(&text) {
        Yaml::Null => Value::Null,
        Yaml::Boolean(b) => Value::Bool(b),
        Yaml::Integer(i) => Value::Int(i),
        Yaml::Real(real) => match real.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => Value::Text(text),
        },
        _ => Value::Text(text),
    }
}
