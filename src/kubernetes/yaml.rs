//! JSON as YAML: in blocks, as people read it, and so that no reader takes a text for something else.
//!
//! The readers disagree: for `kubectl` (YAML 1.1) `on`, `y`, `1_000`, `012`, `0x1F`, `1:30` and `2026-01-02` are no texts, as values and as
//! keys. serde-saphyr's writer knows that for values and not for keys. Here the rule is the other way round: what is not plainly a text is
//! quoted.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Spaces per level.
const STEP: usize = 2;

/// Words that a reader of YAML 1.1 or 1.2 may take for a truth value, for nothing or for a number. In any case.
const NO_TEXTS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];

/// What may stand between letters and digits in a text without quotes. A colon may, as long as it ends nothing.
const PLAIN: [char; 8] = ['_', '-', '.', '/', '@', '+', '=', ','];

/// The map as YAML; `first` names the keys that come before the others, which come in the map's order.
pub(super) fn write(map: &Map<String, Value>, first: &[&str]) -> String {
    let mut out = String::new();
    let others = map.iter().filter(|(key, _)| !first.contains(&key.as_str()));
    for (key, value) in first.iter().filter_map(|key| map.get_key_value(*key)).chain(others) {
        entry(&mut out, key, value, 0);
    }
    out
}

fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    let quoted_key = if is_plain(key) && !key.contains(':') { key.to_owned() } else { quoted(key) };
    // Writing to a String cannot fail.
    let _ = write!(out, "{quoted_key}:");
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            entries(out, map, indent + STEP, true);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            list(out, items, indent, true);
        }
        value => {
            out.push(' ');
            scalar(out, value, indent + STEP);
        }
    }
}

/// The entries of a map. Behind the dash of a list the first one needs no spaces.
fn entries(out: &mut String, map: &Map<String, Value>, indent: usize, indent_first: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || indent_first {
            spaces(out, indent);
        }
        entry(out, key, value, indent);
    }
}

fn list(out: &mut String, items: &[Value], indent: usize, indent_first: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || indent_first {
            spaces(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => entries(out, map, indent + STEP, false),
            Value::Array(items) if !items.is_empty() => list(out, items, indent + STEP, false),
            item => scalar(out, item, indent + STEP),
        }
    }
}

/// What is no map and no list with something in it, to the end of its line. `indent` is for a text of several lines.
fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.lines() {
                out.push('\n');
                if !line.is_empty() {
                    spaces(out, indent);
                    out.push_str(line);
                }
            }
        }
        Value::String(text) => out.push_str(&quoted(text)),
        // JSON's own way to write them is YAML's too: true, null, 1, 1.5, {}, [].
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

fn spaces(out: &mut String, number: usize) {
    out.extend(std::iter::repeat_n(' ', number));
}

/// Whether every reader takes it for a text as it stands. No number and no date begins with a letter or a slash.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ':' || PLAIN.contains(&c))
        && !text.ends_with(':')
        && !NO_TEXTS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether it is a text of several lines that a block `|` holds without a loss. Readers differ in what they make of tabs, of blanks at the
/// ends of lines and of empty lines at the ends of the text.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.is_empty()
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && !text.chars().any(|c| c != '\n' && must_be_escaped(c))
        && !text.lines().any(|line| line.ends_with(char::is_whitespace))
}

/// Whether YAML forbids the character, takes it for a line break, or a terminal obeys it or does not show it.
fn must_be_escaped(c: char) -> bool {
    let is_direction = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    is_direction || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// In double quotes, on one line.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            c if must_be_escaped(c) && u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
            c if must_be_escaped(c) => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    /// What yaml-rust2 reads.
    fn by_yaml_rust2(text: &str) -> Value {
        fn json_of(yaml: &Yaml) -> Value {
            match yaml {
                Yaml::String(s) => json!(s),
                Yaml::Integer(i) => json!(i),
                Yaml::Real(r) => json!(r.parse::<f64>().unwrap()),
                Yaml::Boolean(b) => json!(b),
                Yaml::Null => Value::Null,
                Yaml::Array(list) => list.iter().map(json_of).collect(),
                Yaml::Hash(map) => map
                    .iter()
                    .map(|(key, value)| (key.as_str().expect("a key that is a text").to_owned(), json_of(value)))
                    .collect(),
                other => panic!("{other:?}"),
            }
        }
        let documents = YamlLoader::load_from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(documents.len(), 1, "{text}");
        json_of(&documents[0])
    }

    fn by_serde_saphyr(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn comes_back(value: &Value) {
        let text = write(value.as_object().unwrap(), &["b"]);
        assert_eq!(by_serde_saphyr(&text), *value, "{text}");
        assert_eq!(by_yaml_rust2(&text), *value, "{text}");
    }

    /// As value, as key, in a list, in a map in a list.
    fn everywhere(text: &str) -> Value {
        json!({"a": text, "b": [text, {text: text}, [text, text]], text: {text: text}})
    }

    /// What some reader takes for something else, or does not read at all, when it is not quoted.
    const STRANGE: [&str; 72] = [
        "",
        "0",
        "1",
        "-1",
        "+1",
        "1.5",
        ".5",
        "1.",
        "1e3",
        "1E3",
        "1e+3",
        "0x1F",
        "0X1f",
        "0o17",
        "0b11",
        "012",
        "00",
        "1_000",
        "0_1",
        "1:30",
        "190:20:30",
        "2026-01-02",
        "2026-01-02T03:04:05Z",
        "on",
        "On",
        "OFF",
        "y",
        "Y",
        "n",
        "yes",
        "No",
        "true",
        "True",
        "FALSE",
        "null",
        "Null",
        "~",
        "nan",
        ".nan",
        ".NaN",
        "inf",
        "-.inf",
        "Infinity",
        "<<",
        "=",
        "-",
        "- a",
        "--- a",
        "---",
        "...",
        "?",
        "? a",
        ":",
        ": a",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "&a",
        "*a",
        "!a",
        "!!str a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "'a'",
        "\"a\"",
        "{a}",
        "[a]",
        "a, b",
    ];

    const STRANGE_BLANKS: [&str; 26] = [
        " ",
        "  a",
        "a  ",
        "\t",
        "\ta",
        "a\t",
        "\n",
        "\n\n",
        "a\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a\n b\n",
        "a\nb",
        "a\n\nb\n",
        "a \nb",
        "a\n\tb",
        "a\r\nb\r\n",
        "a\rb",
        "a\u{85}b",
        "a\u{2028}b\n",
        "\u{feff}a",
        "a\u{0}b",
        "\u{7f}\u{9f}",
        "a\n---\nb\n",
        "a\n# b: c\n- d",
    ];

    #[test]
    fn what_looks_like_something_else_stays_a_text() {
        for text in STRANGE.iter().chain(&STRANGE_BLANKS) {
            comes_back(&everywhere(text));
        }
        for text in ["\u{1f600}\u{10ffff}", "Grüße, 你好", "\\x41", "\u{e000}\u{fffd}\u{fffe}\u{ffff}", "a\\"] {
            comes_back(&everywhere(text));
        }
        comes_back(&json!({"a": {}, "b": [[], {}, null, true, -1, 1.5, 18446744073709551_u64], "c": null}));
    }

    #[test]
    fn it_looks_as_kubectl_writes_it() {
        let value = json!({
            "kind": "ConfigMap",
            "data": {"app.conf": "listen 80\n  deep\n", "share": "25", "mode": "dual", "on": "y", "empty": ""},
            "spec": {"args": ["--leader-elect"], "env": [{"name": "A", "value": "b:c"}, {"name": "B"}], "none": []},
        });
        let expected = concat!(
            "kind: ConfigMap\n",
            "data:\n",
            "  app.conf: |\n",
            "    listen 80\n",
            "      deep\n",
            "  empty: \"\"\n",
            "  mode: dual\n",
            "  \"on\": \"y\"\n",
            "  share: \"25\"\n",
            "spec:\n",
            "  args:\n",
            "  - \"--leader-elect\"\n",
            "  env:\n",
            "  - name: A\n",
            "    value: b:c\n",
            "  - name: B\n",
            "  none: []\n",
        );
        assert_eq!(write(value.as_object().unwrap(), &["kind"]), expected);
    }

    /// Texts of the characters that matter.
    fn texts() -> impl Strategy<Value = String> {
        let meaningful = "[-+:.,_ \t\n\r'\"#&*!|>%@`{}\\[\\]?~=<0-9xXoObeEyYnN/\\\\a-f]{0,12}";
        prop_oneof![
            meaningful.prop_map(String::from),
            "\\PC{0,8}",
            any::<String>(),
            "([a-z #:-]{0,5}\n){0,4}[a-z]{0,3}"
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            4 => texts().prop_map(Value::String),
            1 => any::<bool>().prop_map(Value::Bool),
            1 => any::<i64>().prop_map(|i| json!(i)),
            1 => Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(texts(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_readers_read_what_was_written(key in texts(), value in values()) {
            comes_back(&Value::Object([(key, value)].into_iter().collect()));
        }
    }
}
