//! All that was looked at, written for a person or for a script.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::Output;

use super::check::{Check, Result};

/// How many have this result.
pub(super) fn count(checks: &[Check], result: Result) -> usize {
    checks.iter().filter(|check| check.result == result).count()
}

/// The report.
pub(super) fn write(checks: &[Check], output: Output) -> String {
    match output {
        Output::Text => table(checks),
        Output::Json => {
            let all: Vec<_> = checks
                .iter()
                .map(|check| {
                    json!({
                        "area": check.area.as_str(),
                        "check": check.what,
                        "result": check.result.word(),
                        "detail": check.detail,
                        "hint": check.hint,
                    })
                })
                .collect();
            format!("{:#}\n", json!(all))
        }
    }
}

fn table(checks: &[Check]) -> String {
    let width = |text: fn(&Check) -> &str| checks.iter().map(|check| text(check).chars().count()).max().unwrap_or(0);
    let (areas, whats) = (width(|check| check.area.as_str()), width(|check| &check.what));
    let mut out = String::new();
    for check in checks {
        let (area, what, result) = (check.area.as_str(), on_one_line(&check.what), check.result.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{area:areas$}  {what:whats$}  {result:4}  {}", on_one_line(&check.detail));
        if let Some(hint) = &check.hint {
            let _ = writeln!(out, "{:areas$}  -> {}", "", on_one_line(hint));
        }
    }
    let _ = writeln!(out, "{}", summary(checks));
    out
}

/// `20 ok, 1 warning, 0 failed`.
fn summary(checks: &[Check]) -> String {
    let warnings = count(checks, Result::Warn);
    format!(
        "{} ok, {warnings} warning{}, {} failed",
        count(checks, Result::Ok),
        if warnings == 1 { "" } else { "s" },
        count(checks, Result::Fail),
    )
}

/// A server's words can hold anything; in a table and on a terminal they must stay a line.
fn on_one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::super::check::Area;
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Area::Prometheus.ok("answers", "http://p:9090"),
            Area::State.warn("place", "in memory", "set state"),
            Area::Cluster.fail("shop: step", "line one\nline \u{1b}[31mtwo", "do this"),
        ]
    }

    #[test]
    fn a_table_has_a_hint_below_what_is_not_well_and_the_sum_at_its_end() {
        assert_eq!(
            write(&checks(), Output::Text),
            "prometheus  answers     ok    http://p:9090\n\
             state       place       warn  in memory\n            -> set state\n\
             cluster     shop: step  FAIL  line one line  [31mtwo\n            -> do this\n\
             1 ok, 1 warning, 1 failed\n"
        );
    }

    #[test]
    fn a_script_reads_a_list() {
        let list: serde_json::Value = serde_json::from_str(&write(&checks(), Output::Json)).unwrap();
        let wanted = serde_json::json!({
            "area": "cluster", "check": "shop: step", "result": "fail", "detail": "line one\nline \u{1b}[31mtwo", "hint": "do this",
        });
        assert_eq!(list[2], wanted);
        assert_eq!((&list[0]["result"], &list[0]["hint"]), (&"ok".into(), &serde_json::Value::Null));
    }
}
