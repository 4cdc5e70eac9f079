//! A rule, and how it is written.

use std::fmt::Write as _;
use std::time::Duration;

/// Rules that are evaluated together, one after the other.
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// How often.
    pub interval: Duration,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule.
pub struct Rule {
    /// The name of what it records, or of its alert.
    pub name: String,
    /// What is evaluated.
    pub expr: String,
    /// Of an alert: how it is told.
    pub alert: Option<Alert>,
    /// The labels that it adds.
    pub labels: Vec<(&'static str, String)>,
}

/// How an alert is told.
pub struct Alert {
    /// For how long it must be so.
    pub hold: Duration,
    /// What people read: name and text.
    pub annotations: Vec<(&'static str, String)>,
}

/// The groups as YAML, this far to the right.
pub fn yaml(groups: &[Group], indent: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |depth: usize, text: &str| {
        let _ = writeln!(out, "{:1$}{text}", "", indent + depth);
    };
    for group in groups {
        line(0, &format!("- name: {}", group.name));
        line(2, &format!("interval: {}", duration(group.interval)));
        line(2, "rules:");
        for rule in &group.rules {
            let kind = if rule.alert.is_some() { "alert" } else { "record" };
            line(4, &format!("- {kind}: {}", rule.name));
            // How far its lines are indented is guessed from the first one, which may be indented itself.
            line(6, if rule.expr.starts_with(' ') { "expr: |2-" } else { "expr: |-" });
            rule.expr.lines().for_each(|text| line(8, text));
            if let Some(alert) = rule.alert.as_ref().filter(|alert| !alert.hold.is_zero()) {
                line(6, &format!("for: {}", duration(alert.hold)));
            }
            map(6, "labels", &rule.labels, &mut line);
            if let Some(alert) = &rule.alert {
                map(6, "annotations", &alert.annotations, &mut line);
            }
        }
    }
    out
}

fn map(depth: usize, name: &str, entries: &[(&'static str, String)], line: &mut impl FnMut(usize, &str)) {
    line(depth, &format!("{name}:"));
    for (key, value) in entries {
        // JSON is YAML.
        line(depth + 2, &format!("{key}: {}", serde_json::Value::from(value.as_str())));
    }
}

/// A duration as Prometheus writes it, in the largest unit that holds it whole.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit))
        .map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}
