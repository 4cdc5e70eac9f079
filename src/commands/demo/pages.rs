//! A page in full, as it arrived and as the same notification looks in an e-mail.

use anyhow::Context as _;

use serde_json::Value;

use crate::config::Links;
use crate::engine::{Language, Notification};
use crate::notify::{Addresses, message};

use super::receiver::{PATH, Page};

/// The lines to show.
pub fn in_full(page: &Page) -> anyhow::Result<Vec<String>> {
    let notification: Notification =
        serde_json::from_str(&page.body).context("the page is no notification of Ripcord's")?;
    let body: Value = serde_json::from_str(&page.body).context("the page is no JSON")?;
    let link = |name: &str| body["links"][name].as_str().map(str::to_owned);
    let addresses = Addresses {
        links: Links { status: link("status"), runbook: link("runbook"), dashboard: link("dashboard") },
        ..Addresses::default()
    };
    let mail = message::compose(&notification, &addresses, Language::English);

    let mut lines = vec![
        String::new(),
        "The page, as the receiver got it:".to_owned(),
        String::new(),
        format!("    POST {PATH}"),
        format!("    Idempotency-Key: {}", page.key),
        String::new(),
    ];
    lines.extend(pretty(&page.body).lines().map(indented));
    lines.extend([String::new(), "The same page as an e-mail:".to_owned(), String::new()]);
    lines.push(format!("    Subject: {}", mail.subject));
    lines.push(String::new());
    lines.extend(mail.text.lines().map(indented));
    lines.push(String::new());
    Ok(lines)
}

fn indented(line: &str) -> String {
    format!("    {line}").trim_end().to_owned()
}

/// JSON over several lines, its keys in the order in which they came. Only spaces and line ends are added.
fn pretty(json: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut opened, mut in_string, mut escaped) = (0_usize, false, false, false);
    for c in json.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // What is empty stays on its line.
        if opened != closes {
            new_line(&mut out, depth);
        }
        out.push(c);
        opened = matches!(c, '{' | '[');
        match c {
            '{' | '[' => depth += 1,
            ',' => new_line(&mut out, depth),
            ':' => out.push(' '),
            _ => in_string = c == '"',
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_over_lines_in_its_own_order() {
        let json = r#"{"b":1,"a":{"text":"x, {y}: \"[z]\\","none":[],"no":{}},"list":[1,{"c":null}]}"#;
        let wanted = r#"{
  "b": 1,
  "a": {
    "text": "x, {y}: \"[z]\\",
    "none": [],
    "no": {}
  },
  "list": [
    1,
    {
      "c": null
    }
  ]
}"#;
        assert_eq!(pretty(json), wanted);
    }
}
