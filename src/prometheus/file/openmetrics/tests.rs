//! Files as they are written, and what they answer. Worked out by hand.

use std::fmt::Write as _;

use super::*;
use crate::config::{self, Guard, LoadOptions};
use crate::engine::{Evidence, Unknown};

const CONFIG: &str = r#"
prometheus: {url: "http://prometheus:9090"}
guards:
  shop:
    match: {destination_workload: shop}
    triggers:
      error_rate: {signal: error_rate, above: 1%}
      latency: {signal: latency, quantile: 0.9, above: 1s}
      load: {signal: throughput, below: 1/s}
      memory: {promql: 'max(memory{pod=~"shop-.*"})', above: 1}
      each: {promql: 'memory', above: 1}
      growth: {promql: 'rate(memory[5m])', above: 1}
    traffic: [{deployment_env: {namespace: shop, name: shop, container: web, env: {SHARE: "${percentage}"}}}]
"#;

fn guards() -> Vec<Guard> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ripcord.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    config::load(&[file], [], LoadOptions::default()).unwrap().guards
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A text of one sample of each series per line: the series, and its values at every tenth second.
fn text(series: &[(&str, &[f64])]) -> String {
    let mut text = String::new();
    for (name, values) in series {
        for (n, value) in values.iter().enumerate() {
            writeln!(text, "{name} {value} {}", 1_700_000_000 + n * 10).unwrap();
        }
    }
    text + "# EOF\n"
}

fn problems(text: &str) -> Vec<String> {
    OpenMetrics::parse(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn samples_become_readings() {
    let labels =
        |more: &str| format!("{{reporter=\"destination\",destination_workload=\"shop\",response_flags=\"-\"{more}}}");
    let counter = |more: &str| format!("istio_requests_total{}", labels(more));
    let bucket = |le: &str| format!("istio_request_duration_milliseconds_bucket{}", labels(&format!(",le=\"{le}\"")));
    let rising = |step: f64| (0..=30).map(|n| f64::from(n) * step).collect::<Vec<_>>();
    let file = OpenMetrics::parse(&text(&[
        (&counter(",response_code=\"200\""), &rising(8.0)),
        (&counter(",response_code=\"503\""), &rising(2.0)),
        // A client that left, and another service: neither counts.
        (&counter(",response_code=\"0\"").replace("\"-\"", "\"UF,DC\""), &rising(100.0)),
        (&counter(",response_code=\"503\"").replace("\"shop\"", "\"other\""), &rising(100.0)),
        (&bucket("100"), &rising(5.0)),
        (&bucket("300"), &rising(10.0)),
        (&bucket("+Inf"), &rising(10.0)),
        (&format!("istio_request_duration_milliseconds_count{}", labels("")), &rising(10.0)),
        ("memory{pod=\"shop-1\"}", &[5.0]),
        ("memory{pod=\"shop-2\"}", &[7.0]),
        ("memory{pod=\"other\"}", &[9.0]),
        ("ripcord_traffic_percentage{guard=\"shop\",pod=\"a\"}", &[25.0, f64::NAN, 30.0]),
        ("ripcord_traffic_percentage{guard=\"shop\",pod=\"b\"}", &[20.0]),
    ]))
    .unwrap();
    assert_eq!(file.span(), Some((at(0), at(300))));
    let plan = Plan::new(&guards());
    let readings = |seconds| {
        let mut readings = plan.readings(&file.answers(&plan, at(seconds)));
        readings.remove("shop").unwrap()
    };
    let of = readings(300);
    // 30 steps of 10 s fill the window of 5 minutes to its edges: 240 and 60 requests, and the confirm window of 1 minute.
    assert_eq!(of["error_rate"].window, Ok(Evidence::Counts { failed: 60.0, total: 300.0 }));
    assert_eq!(of["error_rate"].confirm, Some(Ok(Evidence::Counts { failed: 12.0, total: 60.0 })));
    assert_eq!(of["load"].window, Ok(Evidence::Value(1.0)));
    // Of 300 requests 150 take up to 100 ms and 300 up to 300 ms: the 270th is at 100 + 200 * 120 / 150.
    let Ok(Evidence::Quantile { value, requests }) = of["latency"].window else { panic!("{:?}", of["latency"]) };
    assert!((value - 0.26).abs() < 1e-12 && requests == 300.0, "{value} {requests}");
    // The values are five minutes old.
    assert_eq!(of["memory"].window, Err(Unknown::NoSeries));
    assert_eq!(readings(120)["memory"].window, Ok(Evidence::Value(7.0)));
    assert_eq!(readings(0)["each"].window, Err(Unknown::SeveralSeries(3)));
    let Err(Unknown::QueryFailed(why)) = &of["growth"].window else { panic!("{:?}", of["growth"]) };
    assert!(why.contains("a file cannot answer written PromQL") && why.contains("rate(memory[5m])"), "{why}");
    // Before the first two samples there is nothing.
    assert_eq!(readings(5)["error_rate"].window, Err(Unknown::NoSeries));
    let shares: Vec<Option<u8>> = [-1, 0, 10, 20, 140, 141].map(|s| file.share("shop", at(s))).into();
    assert_eq!(shares, [None, Some(25), Some(20), Some(30), Some(30), None]);
    assert_eq!(file.share("other", at(0)), None);
}

#[test]
fn instants_in_any_order_are_answered_alike() {
    let values: Vec<f64> = (0..200).map(|n| f64::from(n * 7 % 50)).collect();
    let series = "istio_requests_total{reporter=\"destination\",destination_workload=\"shop\",response_code=\"200\"}";
    let file = OpenMetrics::parse(&text(&[(series, &values)])).unwrap();
    let plan = Plan::new(&guards());
    let mut prepared = file.prepare(&plan);
    for n in 0..500 {
        let at = at(n * 7919 % 2500 - 200);
        assert_eq!(prepared.answers(at), file.answers(&plan, at), "{at}");
    }
}

#[test]
fn a_series_is_one_however_it_is_written() {
    let file = OpenMetrics::parse(
        "# HELP a nothing\n\na{x=\"1\",y=\"2\"} 1 1700000000\r\na{y=\"2\", x=\"1\",z=\"\"} 2 1700000010.5\n\
         a{x=\"1\",y=\"2\"} 1 1700000000 # {trace=\"x\"} 0.5\n# EOF",
    )
    .unwrap();
    assert_eq!(file.series.len(), 1);
    assert_eq!(file.span().map(|(first, last)| (first, last.as_millisecond())), Some((at(0), 1_700_000_010_500)));
    let old = OpenMetrics::parse("a{x=\"1\"}\t1 1700000000000\n").unwrap();
    assert_eq!(old.span(), Some((at(0), at(0))));
    assert!(OpenMetrics::parse("").is_ok_and(|file| file.span().is_none()));
}

#[test]
fn every_problem_is_said_with_its_line() {
    let found = problems(
        "a 1 1700000000\nb{x=\"1} 1 1700000000\nc{x=\"1\"}\nd 1\ne one 1700000000\nf 1 soon\ng 1 1700000000000\nh 1 1700000000 5\n\
         {x=\"1\"} 1 1700000000\na 2 1700000000\n# EOF\ni 1 1700000000\n# EOF\n",
    );
    let expected = [
        (2, "without an end"),
        (3, "has no value"),
        (4, "has no time"),
        (5, "\"one\" is no value"),
        (6, "\"soon\" is no time"),
        (7, "no time in seconds"),
        (8, "stands after the time"),
        (9, "no name"),
        (10, "another value than line 1"),
        (12, "stands after # EOF"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (line, text)) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("line {line}: ")) && found.contains(text), "{found}");
    }
    assert!(problems("a 1 1700000000\n")[0].contains("ends with the line # EOF"));
    assert!(problems(&format!("a{{x=\"{}\"}} 1 1700000000000", "x".repeat(70_000)))[0].contains("longer than"));
}

#[test]
fn a_file_that_is_wrong_everywhere_is_said_in_some_lines() {
    let found = problems(&"a\n".repeat(1000));
    assert_eq!((found.len(), found[20].as_str()), (21, "line 20: … and 980 problems more"));
}
