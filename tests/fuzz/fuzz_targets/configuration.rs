//! A configuration of any bytes, and any text where a value with a unit stands. What is refused is refused with a finding; what is loaded
//! is loaded twice alike, and can be planned.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcord::prometheus::Plan;
use ripcord_fuzz::load;

/// A configuration whose values come from the environment: there, any text can stand.
const VALUES: &str = r#"
prometheus: {url: "http://prometheus:9090"}
guards:
  a:
    match: {destination_workload: a}
    triggers:
      error_rate: {signal: error_rate, above: 1%}
      latency: {signal: latency, above: 120ms}
      load: {signal: throughput, below: 1/s}
      memory: {promql: up, above: 128Mi}
    traffic:
      - deployment_env: {namespace: shop, name: a, container: web, env: {SHARE: "${percentage}"}}
"#;

/// What the text is put into, one after the other.
const PLACES: [&str; 11] = [
    "EVALUATION__INTERVAL",
    "PROMETHEUS__URL",
    "HTTP__LISTEN",
    "GUARDS__A__TRIGGERS__ERROR_RATE__ABOVE",
    "GUARDS__A__TRIGGERS__ERROR_RATE__WINDOW",
    "GUARDS__A__TRIGGERS__LATENCY__ABOVE",
    "GUARDS__A__TRIGGERS__LOAD__BELOW",
    "GUARDS__A__TRIGGERS__MEMORY__ABOVE",
    "GUARDS__A__TRIGGERS__MEMORY__PROMQL",
    "GUARDS__A__MATCH__DESTINATION_WORKLOAD",
    "GUARDS__A__ROLLBACK__PERCENTAGE",
];

fuzz_target!(|data: &[u8]| {
    match load(data, []) {
        Err(findings) => {
            assert!(!findings.is_empty());
            findings.iter().for_each(|finding| drop(finding.to_string()));
        }
        Ok(settings) => {
            assert_eq!(load(data, []).as_ref(), Ok(&settings));
            let _ = Plan::new(&settings.guards);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > 100 {
        return;
    }
    let _ = ripcord::config::parse_duration(text);
    for place in PLACES {
        match load(VALUES.as_bytes(), [(format!("RIPCORD__{place}"), text.to_owned())]) {
            Err(findings) => assert!(!findings.is_empty()),
            Ok(settings) => drop(Plan::new(&settings.guards)),
        }
    }
});
