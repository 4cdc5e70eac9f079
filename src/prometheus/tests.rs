//! Many guards, few queries: what is asked for, and whose each row of an answer is.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::body::{answer_of, data, series};
use super::plan::MAX_QUERY_BYTES;
use super::{Answer, Instants, Plan};
use crate::config::{self, Guard, LoadOptions};
use crate::engine::{Evidence, Unknown};

/// The guards of a configuration, each with these triggers. `{guard}` in a label's value is the guard's name.
fn guards(names: &[String], match_: &str, triggers: &str) -> Vec<Guard> {
    let mut text = format!(
        "prometheus: {{url: \"http://prometheus:9090\"}}\ndefaults:\n  match: {match_}\n  triggers: {triggers}\n  traffic:\n    - config_map: {{namespace: default, name: \"${{guard}}\", data: {{share: \"${{percentage}}\"}}}}\nguards:\n",
    );
    for name in names {
        let _ = writeln!(text, "  {name}: {{}}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ripcord.yaml");
    std::fs::write(&file, text).expect("a file in it");
    config::load(&[file], [], LoadOptions::default()).expect("a good configuration").guards
}

fn names(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:04}{}", "x".repeat(length - 4))).collect()
}

const OWN: &str = "{destination_workload: \"${guard}\"}";

/// As config/ripcord.yaml has them, with the throughput in place of the one that is written in PromQL.
const FOUR: &str = "{error_rate: {signal: error_rate, above: 1%}, latency: {signal: latency, above: 100ms}, \
                    availability: {signal: availability, below: 99%}, load: {signal: throughput, below: 1/s, action: page}}";

const ERRORS: &str = "{error_rate: {signal: error_rate, above: 1%}}";

#[test]
fn the_number_of_queries_does_not_grow_with_the_guards_until_one_would_be_too_long() {
    // Of 13 different numbers four are failures, whose query says the matcher twice.
    let table = [
        // guards, length of a name, queries
        (1, 20, 13),
        (10, 20, 13),
        (100, 20, 13),
        (300, 20, 13),
        (500, 20, 9 + 4 * 2),
        (1000, 20, 9 * 2 + 4 * 4),
        (1000, 10, 9 + 4 * 2),
        (1000, 32, 9 * 4 + 4 * 8),
    ];
    for (count, length, queries) in table {
        let plan = Plan::new(&guards(&names(count, length), OWN, FOUR));
        assert_eq!(plan.queries().len(), queries, "{count} guards with names of {length} characters");
        let longest = plan.queries().iter().map(|q| q.promql.len()).max();
        assert!(longest <= Some(MAX_QUERY_BYTES), "{count} guards: {longest:?} bytes");
    }
}

#[test]
fn a_guard_with_a_very_long_matcher_has_a_query_of_its_own() {
    let long = format!("{{destination_workload: \"${{guard}}{}\"}}", "y".repeat(MAX_QUERY_BYTES));
    let plan = Plan::new(&guards(&names(3, 8), &long, ERRORS));
    assert_eq!(plan.queries().len(), 4 * 3);
}

#[test]
fn each_guard_gets_its_own_number_out_of_all_pieces() {
    let all = names(1000, 20);
    let plan = Plan::new(&guards(&all, "{namespace: \"ns-${guard}\", destination_workload: \"${guard}\"}", ERRORS));
    assert!(plan.queries().len() > 8, "{}", plan.queries().len());
    // The failures of a guard are its number; a row that nobody asked for comes along.
    let answers: Vec<Answer> = plan
        .queries()
        .iter()
        .map(|query| {
            let failed = query.promql.contains("5..");
            let mut rows = String::new();
            for (n, name) in all.iter().enumerate().filter(|(_, name)| query.promql.contains(name.as_str())) {
                let value = if failed { n } else { 1000 };
                let _ = write!(
                    rows,
                    "{},",
                    row(&[("namespace", &format!("ns-{name}")), ("destination_workload", name)], &value.to_string())
                );
                let _ = write!(rows, "{},", row(&[("namespace", "ns-other"), ("destination_workload", name)], "5000"));
            }
            answer_of(query, vector(rows.trim_end_matches(',')).as_bytes())
        })
        .collect();
    let readings = plan.readings(&answers);
    assert_eq!(readings.len(), all.len());
    for (n, name) in all.iter().enumerate() {
        let reading = &readings[name.as_str()]["error_rate"];
        #[allow(clippy::cast_precision_loss)]
        let wanted = Ok(Evidence::Counts { failed: n as f64, total: 1000.0 });
        assert_eq!((&reading.window, reading.confirm.as_ref()), (&wanted, Some(&wanted)), "{name}");
    }
}

#[test]
fn guards_that_are_selected_by_other_labels_have_queries_of_their_own() {
    let mut all = guards(&names(5, 8), OWN, ERRORS);
    all.extend(guards(&["other".to_owned()], "{app: \"${guard}\"}", ERRORS));
    let plan = Plan::new(&all);
    assert_eq!(plan.queries().len(), 4 * 2);
}

fn row(labels: &[(&str, &str)], value: &str) -> String {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label:?}:{value:?}")).collect();
    format!("{{\"metric\":{{{}}},\"value\":[1767323045.6,\"{value}\"]}}", labels.join(","))
}

fn success(kind: &str, result: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":{result}}}}}")
}

fn vector(rows: &str) -> String {
    success("vector", &format!("[{rows}]"))
}

/// What the only trigger of a guard `a"b\c` makes of an answer to all of its queries.
fn read(body: &str) -> Result<Evidence, String> {
    let label = "{app: 'a\"b\\c'}";
    let plan = Plan::new(&guards(&["one".to_owned()], label, "{load: {signal: throughput, below: 1/s, action: page}}"));
    let answers: Vec<Answer> = plan.queries().iter().map(|query| answer_of(query, body.as_bytes())).collect();
    plan.readings(&answers)["one"]["load"].window.clone().map_err(|unknown| unknown.to_string())
}

#[test]
fn an_answer_is_read_as_it_is_written() {
    let own = ("app", r#"a"b\c"#);
    let matrix = success("matrix", "[]");
    let late =
        format!("{{\"status\":\"success\",\"data\":{{\"result\":[{}],\"resultType\":\"vector\"}}}}", row(&[own], "7"));
    let table: [(&str, String, Result<f64, &str>); 19] = [
        ("its type comes late", late, Ok(7.0)),
        ("no type", r#"{"status":"success","data":{"result":[]}}"#.to_owned(), Err("missing field `resultType`")),
        (
            "no result",
            r#"{"status":"success","data":{"resultType":"vector"}}"#.to_owned(),
            Err("missing field `result`"),
        ),
        ("its row", vector(&row(&[own], "12.5")), Ok(12.5)),
        ("with a label more", vector(&row(&[("pod", "p"), own], "1e+06")), Ok(1e6)),
        ("among others", vector(&[row(&[("app", "b")], "1"), row(&[own], "2"), row(&[], "3")].join(",")), Ok(2.0)),
        ("infinite", vector(&row(&[own], "+Inf")), Ok(f64::INFINITY)),
        ("no row", vector(""), Err("no series")),
        ("other rows", vector(&row(&[("app", "b")], "1")), Err("no series")),
        ("no number", vector(&row(&[own], "many")), Err("\"many\"")),
        ("a histogram", vector(r#"{"metric":{},"histogram":[1,{}]}"#), Err("no Prometheus answer (missing field")),
        ("a range", matrix, Err("a range of samples where a number is wanted")),
        ("a text", success("string", "[1,\"x\"]"), Err("no Prometheus answer")),
        ("another result", success("vector", "{}"), Err("no Prometheus answer")),
        ("not JSON", "<html>".to_owned(), Err("<html>")),
        ("no data", r#"{"status":"success"}"#.to_owned(), Err("without data")),
        ("an error", r#"{"status":"error","errorType":"bad_data","error":"x"}"#.to_owned(), Err("bad_data: x")),
        ("half an answer", vector("").replace("\"data\"", "\"isPartial\":true,\"data\""), Err("partial")),
        ("a warning", vector("").replace("\"data\"", "\"warnings\":[\"w1\",\"w2\"],\"data\""), Err("w1")),
    ];
    for (name, body, wanted) in table {
        match (read(&body), wanted) {
            (Ok(got), Ok(wanted)) => assert_eq!(got, Evidence::Value(wanted), "{name}"),
            (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{name}: {got}"),
            (got, wanted) => panic!("{name}: {got:?}, not {wanted:?}"),
        }
    }
    assert!(matches!(read(&vector(&row(&[own], "NaN"))), Ok(Evidence::Value(value)) if value.is_nan()));
}

#[test]
fn a_written_query_gives_one_number() {
    let written = "{one: {promql: 'max(x)', above: 1, action: page}}";
    let plan = Plan::new(&guards(&["one".to_owned()], OWN, written));
    let read = |body: &str| {
        let readings = plan.readings(&[answer_of(&plan.queries()[0], body.as_bytes())]);
        readings["one"]["one"].window.clone()
    };
    assert_eq!(read(&success("scalar", "[1767323045.6,\"3\"]")), Ok(Evidence::Value(3.0)));
    assert_eq!(read(&vector(&row(&[("any", "label")], "4"))), Ok(Evidence::Value(4.0)));
    assert_eq!(read(&vector("")), Err(Unknown::NoSeries));
    let two = [row(&[("pod", "a")], "1"), row(&[("pod", "b")], "1")].join(",");
    assert_eq!(read(&vector(&two)), Err(Unknown::SeveralSeries(2)));
}

#[test]
fn a_range_is_read_like_its_instants() {
    let plan = Plan::new(&guards(&["one".to_owned()], OWN, "{load: {signal: throughput, below: 1/s, action: page}}"));
    let query = &plan.queries()[0];
    let first = Timestamp::from_second(1000).expect("a time");
    let instants = Instants::between(first, first + Duration::from_secs(20), Duration::from_secs(10));
    let body = |samples: &str| {
        success("matrix", &format!("[{{\"metric\":{{\"destination_workload\":\"one\"}},\"values\":[{samples}]}}]"))
    };
    let series = |body: &str| data("200 OK", body.as_bytes()).and_then(|data| series(query, data, instants));
    assert_eq!(series(&body("[1000,\"1\"],[1020,\"3\"]")).expect("series").len(), 1);
    let wrong = |body: &str| series(body).expect_err("no series");
    assert_eq!(
        wrong(&body("[1005,\"1\"]")),
        Unknown::QueryFailed("answered for the instant 1005, which was not asked for".to_owned())
    );
    assert!(wrong(&vector("")).to_string().contains("one number where a range"));
    assert!(wrong(&body("[1000,\"x\"]")).to_string().contains("\"x\""));
}
