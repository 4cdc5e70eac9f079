//! Tables as they are written, and what they say. Worked out by hand.

use super::*;
use crate::config::{Guard, LoadOptions};
use crate::engine::{Evidence, Unknown};

const SHOP: &str = r#"
    triggers:
      error_rate: {signal: error_rate, above: 1%}
      latency: {signal: latency, degraded_by: 50%, baseline: {offset: 10m}, low_traffic: literal}
      slow: {signal: latency, degraded_by: 50%, baseline: {fixed: 120ms}}
      other: {signal: latency, degraded_by: 50%, baseline: {control: {match: {destination_workload: old}}}}
      load: {signal: throughput, degraded_by: 30%, baseline: {offset: 10m}, action: page}
      memory: {promql: 'max(memory)', above: 128}
      routes: {signal: client_error_rate, rises_by: 5%, baseline: {offset: 10m}}
      budget: {signal: error_rate, slo: {objective: 99.9%, burn_rates: [{above: 14.4, window: 10m, confirm_window: 2m}]}}
"#;

fn guards(names: &[&str]) -> Vec<Guard> {
    let mut text = format!(
        "prometheus: {{url: \"http://prometheus:9090\"}}\ndefaults:\n    match: {{destination_workload: \"${{guard}}\"}}\n    traffic: \
         [{{deployment_env: {{namespace: shop, name: \"${{guard}}\", container: web, env: {{SHARE: \"${{percentage}}\"}}}}}}]{SHOP}guards:\n"
    );
    names.iter().for_each(|name| text.push_str(&format!("  {name}: {{}}\n")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ripcord.yaml");
    std::fs::write(&file, text).unwrap();
    config::load(&[file], [], LoadOptions::default()).unwrap().guards
}

fn at(text: &str) -> Timestamp {
    format!("2026-01-02T{text}Z").parse().unwrap()
}

fn problems(text: &str, guards: &[Guard]) -> Vec<String> {
    Csv::parse(text, guards).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn rows_become_readings() {
    let guards = guards(&["shop"]);
    let table = Csv::parse(
        "time,requests,failed,latency_ms,share,memory\n\
         2026-01-02 03:02:00,60,,,,\n\
         2026-01-02T03:01:00Z,60,0,100,5,100\n\
         2026-01-02 03:03:00,120,6,200,10,\n\
         2026-01-02 03:04:00,180,18,300,,NaN\n\
         2026-01-02 03:05:00,0,0,500,,\n",
        &guards,
    )
    .unwrap();
    assert_eq!(table.span(), Some((at("03:01:00"), at("03:05:00"))));
    assert_eq!(table.distance("shop"), Some(Duration::from_secs(60)));
    let readings = |time| table.readings(&guards, at(time)).remove("shop").unwrap();

    // Five minutes hold all rows but, for the failures and latencies, the one that knows none.
    let of = readings("03:05:00");
    assert_eq!(of["error_rate"].window, Ok(Evidence::Counts { failed: 24.0, total: 360.0 }));
    assert_eq!(of["error_rate"].confirm, Some(Ok(Evidence::Counts { failed: 0.0, total: 0.0 })));
    // (60 * 0.1 + 120 * 0.2 + 180 * 0.3) / 360
    let Ok(Evidence::Quantile { value, requests }) = of["latency"].window else { panic!("{:?}", of["latency"]) };
    assert!((value - 84.0 / 360.0).abs() < 1e-12 && requests == 360.0, "{value} {requests}");
    // 360 requests in the four minutes since the first row.
    assert_eq!(of["load"].window, Ok(Evidence::Value(1.5)));
    assert!(matches!(of["memory"].window, Ok(Evidence::Value(value)) if value.is_nan()), "{:?}", of["memory"]);
    assert_eq!(of["slow"].baseline, Some(Ok(0.12)));
    assert_eq!(of["latency"].baseline, Some(Err(Unknown::NoSeries)));
    let Some(Err(Unknown::QueryFailed(why))) = &of["other"].baseline else { panic!("{:?}", of["other"]) };
    assert!(why.contains("baseline.control"), "{why}");

    // The window goes back to after 03:02:30.
    let of = readings("03:07:30");
    assert_eq!(of["error_rate"].window, Ok(Evidence::Counts { failed: 24.0, total: 300.0 }));
    assert_eq!(of["error_rate"].confirm, Some(Err(Unknown::NoSeries)));
    // Rows come each minute, so a value holds for three.
    assert_eq!(of["memory"].window, Err(Unknown::Stale(Duration::from_secs(210))));
    assert!(matches!(readings("03:03:59")["memory"].window, Ok(Evidence::Value(value)) if value == 100.0));

    // Ten minutes later: what was then is the baseline.
    let of = readings("03:15:00");
    assert_eq!(of["error_rate"].window, Err(Unknown::NoSeries));
    assert_eq!(of["load"].baseline, Some(Ok(1.5)));
    assert!(matches!(of["latency"].baseline, Some(Ok(value)) if (value - 84.0 / 360.0).abs() < 1e-12));
    // Then there were 60 + 120 requests of a known latency, and a baseline needs 200.
    let needed = crate::engine::needed_for_quantile(0.95);
    let few = Unknown::TooFewRequests { requests: 180.0, needed };
    assert_eq!(readings("03:13:30")["latency"].baseline, Some(Err(few)));

    let shares = ["03:00:59", "03:01:00", "03:02:59", "03:03:00", "03:06:00", "03:06:01"];
    assert_eq!(shares.map(|time| table.share("shop", at(time))), [None, Some(5), Some(5), Some(10), Some(10), None]);
    // Before everything.
    let of = readings("03:00:00");
    assert!(of.values().all(|reading| reading.window == Err(Unknown::NoSeries)), "{of:?}");
}

#[test]
fn client_errors_and_burn_rates_have_counts_of_their_own() {
    let guards = guards(&["shop"]);
    let text = "time,requests,failed,client_errors\n1767322860,400,4,20\n1767322920,100,3,1\n1767322980,100,2,2\n";
    let table = Csv::parse(text, &guards).unwrap();
    let readings = |time| table.readings(&guards, at(time)).remove("shop").unwrap();
    let counts = |failed, total| Ok(Evidence::Counts { failed, total });
    let of = readings("03:03:00");
    assert_eq!(of["routes"].window, counts(23.0, 600.0));
    assert_eq!(of["budget"].burn, [(counts(9.0, 600.0), counts(5.0, 200.0))]);
    // Ten minutes before, 20 of 400 were; and 5 % is told from 200 requests.
    assert_eq!(readings("03:11:00")["routes"].baseline, Some(Ok(0.05)));
    // Later, 3 of 200; and then only the last row's 100 requests.
    assert_eq!(readings("03:16:30")["routes"].baseline, Some(Ok(0.015)));
    let few = Unknown::TooFewRequests { requests: 100.0, needed: 200.0 };
    assert_eq!(readings("03:17:30")["routes"].baseline, Some(Err(few)));
}

#[test]
fn each_guard_has_its_rows() {
    let guards = guards(&["shop", "till"]);
    let table = Csv::parse(
        "guard,time,requests,failed,load\ntill,1767322860,10,1,7\nshop,1767322860,20,0,\ntill,1767322920,10,2,\n",
        &guards,
    )
    .unwrap();
    let readings = table.readings(&guards, at("03:02:00"));
    assert_eq!(readings["till"]["error_rate"].window, Ok(Evidence::Counts { failed: 3.0, total: 20.0 }));
    assert_eq!(readings["shop"]["error_rate"].window, Ok(Evidence::Counts { failed: 0.0, total: 20.0 }));
    // Its own column comes before the requests.
    assert_eq!(readings["till"]["load"].window, Ok(Evidence::Value(7.0)));
    assert_eq!(readings["shop"]["load"].window, Err(Unknown::NoSeries));
    let none = Csv::parse("guard,time\n", &guards).unwrap();
    assert_eq!(none.span(), None);
    assert_eq!(none.readings(&guards, at("03:00:00"))["shop"]["error_rate"].window, Err(Unknown::NoSeries));
}

#[test]
fn every_problem_is_said_with_its_line() {
    let guards = guards(&["shop", "till"]);
    let of_header = problems("time,requests,errors,error_rate,requests,latency,latency_ms\n", &guards);
    for (found, expected) in of_header.iter().zip([
        "column \"errors\" is not known; these are: time, guard, requests, failed, client_errors, latency",
        "error_rate is no column",
        "requests is there twice",
        "latency_ms is there twice",
        "there must be a column guard",
    ]) {
        assert!(found.starts_with("line 1: ") && found.contains(expected), "{found}");
    }
    assert_eq!(of_header.len(), 5, "{of_header:#?}");
    assert!(problems("", &guards)[0].contains("must be time"));
    assert!(problems("guard,time,failed", &guards)[0].contains("there must be a column requests"));

    let found = problems(
        "time,guard,requests,failed\n\
         1767322860,shop,10,1\n\
         soon,shop,10,1\n\
         1767322920,bar,10,1\n\
         1767322920,shop,-1,1\n\
         1767322920,shop,10,11\n\
         1767322920,shop,10\n\
         2026-01-02T03:01:00Z,shop,11,1\n\
         ,shop,11,1\n\
         1767322860,till,10,1\n",
        &guards,
    );
    let expected = [
        (3, "time: \"soon\" is no time"),
        (4, "\"bar\" is no guard of the configuration; it has shop, till"),
        (5, "requests: \"-1\" is no number of requests"),
        (6, "failed: 11 of 10 requests are more than all"),
        (7, "has 3 cells, and the header 4"),
        (8, "same time as line 2"),
        (9, "needs its time"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (line, text)) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("line {line}: ")) && found.contains(text), "{found}");
    }
}
