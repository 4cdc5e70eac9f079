//! What the steps' texts can hold.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The variables of a guard's steps: its own `vars` and the built-in ones, which win. `time` becomes RFC 3339 in UTC,
/// to the second.
pub fn variables(
    guard: &str,
    vars: &BTreeMap<String, String>,
    percentage: u8,
    reason: &str,
    incident: &str,
    time: Timestamp,
) -> BTreeMap<String, String> {
    let mode = match percentage {
        0 => "ingress",
        100.. => "istio",
        _ => "dual",
    };
    let built_in = [
        ("guard", guard.to_owned()),
        ("mode", mode.to_owned()),
        ("percentage", percentage.to_string()),
        ("rest", 100u8.saturating_sub(percentage).to_string()),
        ("reason", reason.to_owned()),
        ("incident", incident.to_owned()),
        ("time", time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ];
    let mut all = vars.clone();
    all.extend(built_in.map(|(name, value)| (name.to_owned(), value)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::template::BUILT_IN;

    fn at(percentage: u8) -> BTreeMap<String, String> {
        let vars = BTreeMap::from([("deployment".to_owned(), "terminal-controller".to_owned())]);
        let time = "2026-01-02T03:04:05.678Z".parse().expect("a time stamp");
        variables("terminal", &vars, percentage, "error rate 3.1 %", "terminal-1", time)
    }

    #[test]
    fn the_mode_follows_the_percentage() {
        for (percentage, mode, rest) in
            [(0, "ingress", "100"), (1, "dual", "99"), (99, "dual", "1"), (100, "istio", "0")]
        {
            let vars = at(percentage);
            assert_eq!((vars["mode"].as_str(), vars["rest"].as_str()), (mode, rest), "at {percentage} %");
        }
    }

    #[test]
    fn every_built_in_variable_is_there_beside_the_guards_own() {
        let vars = at(25);
        for name in BUILT_IN {
            assert!(vars.contains_key(name), "{name} is missing");
        }
        assert_eq!(vars["deployment"], "terminal-controller");
        assert_eq!(vars["time"], "2026-01-02T03:04:05Z");
        assert_eq!(vars["percentage"], "25");
    }
}
