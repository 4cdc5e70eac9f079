//! What was missed is fetched as it was: for many instants at once, and at each of them exactly what the query for that instant
//! gives.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use ripcord::config::{self, LoadOptions};
use ripcord::engine::Unknown;
use ripcord::prometheus::{Answer, Client, Instants, Plan, QueryOutcome};
use serde_json::{Value, json};

use super::stage::{COMPONENT, LONG};
use crate::stories;
use crate::support::fixtures::Config;
use crate::support::mesh::{Mesh, Traffic};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::{Fault, PromProxy, Recorded};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        the_past_is_as_the_present_was,
        what_was_just_scraped_is_as_it_was,
        a_range_that_fails_fails_at_each_instant,
        a_range_is_asked_for_like_an_instant,
    ]
}

/// The guard of the component that is there all the time.
const GUARD: &str = "terminal";

/// Queries that people might write, by the names of their triggers. The last two can never be answered.
const WRITTEN: [(&str, &str); 7] = [
    ("one", "max(written)"),
    ("several", "written"),
    ("number", "scalar(max(written))"),
    ("clock", "time() % 7"),
    ("nothing", "no_such_series"),
    ("bad_regex", r#"label_replace(written, "a", "$1", "b", "(")"#),
    ("bad_type", "written[1m]"),
];

/// A client and the plan of a configuration with something of everything.
struct Asker {
    client: Client,
    plan: Plan,
}

impl Asker {
    fn new(world: &World, url: &str, windows: [&str; 2]) -> anyhow::Result<Self> {
        let mut config = Config::new(world, url);
        let throughput =
            json!({"signal": "throughput", "below": "1/s", "clear_above": "2/s", "for": "5s", "action": "page"});
        config = config.set("defaults.triggers.throughput", throughput);
        for (trigger, windows) in [
            ("error_rate", &windows[..]),
            ("latency", &windows),
            ("availability", &windows),
            ("throughput", &windows[..1]),
        ] {
            for (name, window) in ["window", "confirm_window"].into_iter().zip(windows) {
                config = config.set(&format!("defaults.triggers.{trigger}.{name}"), *window);
            }
        }
        config = config.set("defaults.rollback.verify.within", "10m");
        config = config.guard(GUARD, COMPONENT).guard("late", "late-controller").guard("never", "never-controller");
        for (name, promql) in WRITTEN {
            let trigger = json!({"promql": promql, "above": 1, "for": "5s", "action": "page"});
            config = config.set(&format!("guards.{GUARD}.triggers.{name}"), trigger);
        }
        config =
            config.set("receivers.people", json!({"webhook": {"url": "http://127.0.0.1:9/", "format": "generic"}}));
        let text = config.set("http.listen", "127.0.0.1:0").to_string();
        let file = world.write("replay.yaml", &text)?;
        let settings = config::load(&[file], [], LoadOptions::default())
            .map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        Ok(Self { client: Client::new(&settings.prometheus)?, plan: Plan::new(&settings.guards) })
    }

    /// The answers at each instant, asked for in chunks as the daemon does, and how many chunks it took.
    async fn range(&self, all: Instants) -> anyhow::Result<(Vec<(Timestamp, Vec<Answer>)>, usize)> {
        let step = Duration::from_millis(u64::try_from(
            all.iter().nth(1).context("several")?.as_millisecond() - all.first().as_millisecond(),
        )?);
        let (mut steps, mut chunks, mut rest) = (Vec::new(), 0, all);
        while !rest.is_empty() {
            let (range, _) = self.client.ask_range(&self.plan, rest.first_chunk()).await;
            ensure!(range.instants() == rest.first_chunk());
            rest = Instants::between(range.instants().last() + step, all.last(), step);
            steps.extend(range.steps());
            chunks += 1;
        }
        ensure!(steps.iter().map(|(at, _)| *at).eq(all.iter()), "not one entry for each instant");
        Ok((steps, chunks))
    }

    /// Asks both ways and compares. Returns the answers by query and instant.
    async fn compare(&self, all: Instants) -> anyhow::Result<BTreeMap<&str, Vec<Rows>>> {
        let (steps, chunks) = self.range(all).await?;
        ensure!(chunks > 1, "one chunk");
        let mut by_query: BTreeMap<&str, Vec<Rows>> = BTreeMap::new();
        for (at, answers) in steps {
            let (instant, _) = self.client.ask(&self.plan, at).await;
            ensure!(answers.len() == instant.len());
            for ((query, there), here) in self.plan.queries().iter().zip(&answers).zip(&instant) {
                let (there, here) = (rows(there), rows(here));
                ensure!(there == here, "{} at {at}: {there:?} in the range, {here:?} alone", query.promql);
                by_query.entry(query.promql.as_str()).or_default().push(here);
            }
        }
        Ok(by_query)
    }
}

/// An answer that can be compared: sorted, and with the very bits of each number.
type Rows = Result<Vec<(usize, u64)>, &'static str>;

fn rows(answer: &Answer) -> Rows {
    let rows = answer.as_ref().map_err(Unknown::kind)?;
    let mut rows: Vec<_> = rows
        .iter()
        .map(|(number, value)| (*number, if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }))
        .collect();
    rows.sort();
    Ok(rows)
}

/// How many instants have so many rows.
fn with_rows(rows: &[Rows], count: usize) -> usize {
    rows.iter().filter(|rows| rows.as_ref().is_ok_and(|rows| rows.len() == count)).count()
}

/// The answers to the built-in query of the component's own side that contains all of these texts; it is one for failures or not.
fn found<'a>(by_query: &'a BTreeMap<&str, Vec<Rows>>, failures: bool, texts: &[&str]) -> anyhow::Result<&'a Vec<Rows>> {
    let is = |promql: &str| {
        let own = promql.contains("reporter=\"destination\"") && promql.contains("5..|0") == failures;
        own && texts.iter().all(|text| promql.contains(text))
    };
    let of = by_query.iter().find(|(promql, _)| is(promql));
    Ok(of.with_context(|| format!("no query with {texts:?} among {:?}", by_query.keys()))?.1)
}

/// The samples of a past with everything in it: from a scrape every 15 s, two counters, one of which begins late, is set back to zero and
/// is not scraped for five minutes; failures that begin in the middle; a histogram; a value that comes, doubles, and is no number.
fn past(start: i64) -> String {
    let labels = |workload: &str, code: u16| {
        format!(
            "reporter=\"destination\",destination_workload=\"{workload}\",response_code=\"{code}\",response_flags=\"-\",grpc_response_status=\"\""
        )
    };
    let scraped = |n: i64| !(60..80).contains(&n);
    let mut families = [String::new(), String::new(), String::new()];
    for n in (0..160).filter(|n| scraped(*n)) {
        let at = format!("{}.{:03}", start + n * 15, 7 * n % 1000);
        let count = |from: i64, per_scrape: i64| if n >= from { Some((n - from) * per_scrape) } else { None };
        let healthy = if n < 110 { count(0, 37) } else { count(110, 41) };
        for (workload, code, value) in
            [(COMPONENT, 200, healthy), (COMPONENT, 503, count(45, 3)), ("late-controller", 200, count(90, 11))]
        {
            let Some(value) = value else { continue };
            let _ = writeln!(families[0], "istio_requests_total{{{}}} {value} {at}", labels(workload, code));
            for (le, part) in [("50", 0.3), ("100", 0.8), ("250", 0.97), ("+Inf", 1.0)] {
                #[allow(clippy::cast_precision_loss)]
                let within = (value as f64 * part).floor();
                let _ = writeln!(
                    families[1],
                    "istio_request_duration_milliseconds_bucket{{{},le=\"{le}\"}} {within} {at}",
                    labels(workload, code)
                );
            }
            let _ = writeln!(
                families[1],
                "istio_request_duration_milliseconds_count{{{}}} {value} {at}",
                labels(workload, code)
            );
        }
        let value = if (100..105).contains(&n) { "NaN".to_owned() } else { format!("{}.1", n % 13) };
        let _ = writeln!(families[2], "written{{pod=\"a\"}} {value} {at}");
        if (30..50).contains(&n) {
            let _ = writeln!(families[2], "written{{pod=\"b\"}} 1 {at}");
        }
    }
    format!(
        "# TYPE istio_requests counter\n{}# TYPE istio_request_duration_milliseconds histogram\n{}# TYPE written gauge\n{}# EOF\n",
        families[0], families[1], families[2]
    )
}

async fn the_past_is_as_the_present_was(world: World) -> anyhow::Result<()> {
    let start = Timestamp::now().as_second() - 24 * 60 * 60;
    let prometheus = Prometheus::builder(&world).history(&past(start)).start().await?;
    let asker = Asker::new(&world, &prometheus.url(), ["5m", "1m"])?;
    // From before the first sample to after the last, at a distance that goes evenly into nothing.
    let first = Timestamp::from_millisecond((start - 100) * 1000 + 300)?;
    let last = first + Duration::from_secs(160 * 15 + 600);
    let by_query = asker.compare(Instants::between(first, last, Duration::from_millis(14_700))).await?;

    // All of it was really there.
    let count = by_query["max(written)"].len();
    ensure!(with_rows(&by_query["max(written)"], 0) > 20 && with_rows(&by_query["max(written)"], 1) > 20);
    let not_a_number =
        |rows: &&Rows| rows.as_ref().is_ok_and(|r| r.iter().any(|(_, bits)| *bits == f64::NAN.to_bits()));
    ensure!(by_query["max(written)"].iter().filter(not_a_number).count() > 2, "no NaN");
    ensure!(with_rows(&by_query["written"], 2) > 5 && with_rows(&by_query["written"], 1) > 5, "not several series");
    ensure!(with_rows(&by_query["scalar(max(written))"], 1) == count && with_rows(&by_query["time() % 7"], 1) == count);
    ensure!(with_rows(&by_query["no_such_series"], 0) == count);
    for (_, promql) in &WRITTEN[5..] {
        ensure!(
            by_query[promql].iter().all(|rows| *rows == Err("query_failed")),
            "{promql}: {:?}",
            by_query[promql][0]
        );
    }
    let requests = found(&by_query, false, &["increase(istio_requests_total", "[300s]"])?;
    let counts: Vec<usize> = (0..3).map(|guards| with_rows(requests, guards)).collect();
    ensure!(counts.iter().all(|instants| *instants > 5), "the guards do not come and go: {counts:?}");
    let failed = found(&by_query, true, &["increase(istio_requests_total", "[60s]"])?;
    ensure!(with_rows(failed, 0) > 5 && with_rows(failed, 1) > 5, "the failures do not begin");
    let latency = found(&by_query, false, &["histogram_quantile", "[300s]"])?;
    ensure!(with_rows(latency, 2) > 5, "no quantiles");
    Ok(())
}

async fn what_was_just_scraped_is_as_it_was(world: World) -> anyhow::Result<()> {
    let begun = Timestamp::now();
    let mesh = Mesh::start(&world).await?;
    let workload = mesh.workload(COMPONENT);
    workload.set(Traffic::healthy(200.0));
    mesh.gauge("written", &[("pod", "a")], 3.0);
    let prometheus = Prometheus::start(&world, mesh.address()).await?;
    let becomes = async |promql: &str, wanted: Option<f64>| {
        eventually(LONG, &format!("{promql} is {wanted:?}"), async || {
            prometheus.query_opt(promql).await.is_ok_and(|value| value == wanted)
        })
        .await
    };
    workload.set(Traffic::healthy(200.0).errors(0.2));
    becomes("count(rate(istio_requests_total{response_code=\"503\",reporter=\"destination\"}[4s]))", Some(1.0)).await?;
    workload.reset();
    mesh.workload("late-controller").set(Traffic::healthy(20.0));
    mesh.gauge("written", &[("pod", "b")], f64::NAN);
    becomes("count(written)", Some(2.0)).await?;
    // Prometheus marks the series of a failed scrape, and one that is gone, as stale.
    mesh.down();
    becomes("up", Some(0.0)).await?;
    mesh.up();
    mesh.remove_gauge("written", &[("pod", "a")]);
    mesh.remove_gauge("written", &[("pod", "b")]);
    becomes("up", Some(1.0)).await?;
    becomes("count(written)", None).await?;
    mesh.gauge("written", &[("pod", "a")], 5.0);
    becomes("written", Some(5.0)).await?;

    let asker = Asker::new(&world, &prometheus.url(), ["10s", "4s"])?;
    let now = Timestamp::now();
    let step = Duration::from_millis(u64::try_from((now.as_millisecond() - begun.as_millisecond()) / 100)?);
    let by_query = asker.compare(Instants::between(begun, now, step)).await?;
    ensure!(with_rows(&by_query["written"], 0) > 1 && with_rows(&by_query["written"], 2) > 1);
    Ok(())
}

fn of_ranges(r: &Recorded) -> bool {
    r.path == "/api/v1/query_range"
}

/// Whether a request is for the query `time() % 7`.
fn of_the_clock(r: &Recorded) -> bool {
    of_ranges(r) && String::from_utf8_lossy(&r.body).contains("query=time")
}

/// The samples of the first series of an answer.
fn samples(answer: &mut Value) -> &mut Vec<Value> {
    answer["data"]["result"][0]["values"].as_array_mut().expect("samples of a range")
}

async fn a_range_that_fails_fails_at_each_instant(world: World) -> anyhow::Result<()> {
    let prometheus = Prometheus::builder(&world).start().await?;
    let proxy = PromProxy::start(&world, &prometheus.url()).await?;
    let asker = Asker::new(&world, &proxy.url(), ["5m", "1m"])?;
    let clock = asker.plan.queries().iter().position(|q| q.promql == "time() % 7").context("the query")?;
    let other = asker.plan.queries().iter().position(|q| q.promql == "no_such_series").context("the other")?;
    let first = Timestamp::from_second(Timestamp::now().as_second() - 600)?;
    let instants = Instants::between(first, first + Duration::from_secs(90), Duration::from_secs(10));
    let cut = async |fault: Fault| -> anyhow::Result<(Vec<Answer>, Vec<QueryOutcome>)> {
        proxy.rule_times(1, of_the_clock, fault);
        let (range, outcomes) = asker.client.ask_range(&asker.plan, instants).await;
        let steps: Vec<_> = range.steps().collect();
        ensure!(steps.len() == 10);
        ensure!(steps.iter().all(|(_, answers)| answers[other] == Ok(Vec::new())), "another query suffers");
        Ok((steps.into_iter().map(|(_, mut answers)| answers.swap_remove(clock)).collect(), outcomes))
    };

    let (fine, outcomes) = cut(Fault::Pass).await?;
    ensure!(fine.iter().all(|a| a.as_ref().is_ok_and(|rows| rows.len() == 1)), "{fine:?}");
    ensure!(outcomes[clock].is_ok() && outcomes[other].is_ok());
    let (absent, _) = cut(Fault::edit(|answer| drop(samples(answer).remove(4)))).await?;
    ensure!(absent[4] == Ok(Vec::new()) && absent[..4] == fine[..4] && absent[5..] == fine[5..], "{absent:?}");

    let shifted = |by: f64| {
        Fault::edit(move |answer| {
            let time = &mut samples(answer)[4][0];
            *time = json!(time.as_f64().expect("a time") + by);
        })
    };
    let table: [(&str, Fault, &str, &str); 13] = [
        ("warnings", Fault::warnings(&["a store is missing"]), "warning", "a store is missing"),
        ("partial", Fault::edit(|answer| answer["isPartial"] = json!(true)), "warning", "partial"),
        ("truncated", Fault::garbage(), "query_failed", "no Prometheus answer"),
        ("refused", Fault::answer(503, "{\"status\":\"error\",\"error\":\"busy\"}"), "query_failed", "busy"),
        ("not JSON", Fault::answer(502, "<html>"), "query_failed", "<html>"),
        ("closed", Fault::Close, "query_failed", "cannot be reached"),
        ("hangs", Fault::Hang, "timed_out", ""),
        ("between", shifted(3.0), "query_failed", "not asked for"),
        ("beyond", shifted(3600.0), "query_failed", "not asked for"),
        ("twice", shifted(10.0), "query_failed", "twice"),
        ("an hour late", shifted(-3600.0), "query_failed", "not asked for"),
        (
            "one instant",
            Fault::edit(|answer| answer["data"] = json!({"resultType": "vector", "result": []})),
            "query_failed",
            "one number",
        ),
        ("no data", Fault::edit(|answer| answer["data"] = Value::Null), "query_failed", "without data"),
    ];
    for (name, fault, kind, text) in table {
        let (answers, outcomes) = cut(fault).await?;
        for answer in &answers {
            let unknown = answer.as_ref().err().with_context(|| format!("{name}: answered {answer:?}"))?;
            ensure!(unknown.kind() == kind && unknown.to_string().contains(text), "{name}: {unknown:?}");
        }
        ensure!(outcomes[clock].result == kind && outcomes[other].is_ok(), "{name}: {outcomes:?}");
    }
    Ok(())
}

async fn a_range_is_asked_for_like_an_instant(world: World) -> anyhow::Result<()> {
    let prometheus = Prometheus::builder(&world).start().await?;
    let proxy = PromProxy::start(&world, &prometheus.url()).await?;
    let asker = Asker::new(&world, &proxy.url(), ["5m", "1m"])?;
    let first = Timestamp::from_millisecond(Timestamp::now().as_millisecond() / 1000 * 1000 - 599_700)?;
    asker.client.ask(&asker.plan, first).await;
    let instants = Instants::between(first, first + Duration::from_secs(3), Duration::from_millis(300));
    asker.client.ask_range(&asker.plan, instants).await;
    let (ranges, alone): (Vec<Recorded>, Vec<Recorded>) = proxy.requests().into_iter().partition(of_ranges);
    ensure!(ranges.len() == asker.plan.queries().len() && alone.len() == ranges.len());
    let parameters = |r: &Recorded| -> anyhow::Result<BTreeMap<String, String>> {
        ensure!(r.method == "POST" && r.query.is_empty(), "{} {}", r.method, r.query);
        let body = String::from_utf8(r.body.to_vec())?;
        let url = reqwest::Url::parse(&format!("http://proxy/?{body}"))?;
        Ok(url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    };
    let sorted = |requests: &[Recorded]| -> anyhow::Result<Vec<BTreeMap<String, String>>> {
        let mut all = requests.iter().map(parameters).collect::<anyhow::Result<Vec<_>>>()?;
        all.sort();
        Ok(all)
    };
    let (ranges, mut alone) = (sorted(&ranges)?, sorted(&alone)?);
    let second = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
    for (mut range, alone) in ranges.into_iter().zip(&mut alone) {
        let own = ["start", "end", "step"].map(|name| range.remove(name).unwrap_or_default());
        ensure!(
            own == [second(first.as_millisecond()), second(first.as_millisecond() + 3000), "300ms".to_owned()],
            "{own:?}"
        );
        ensure!(alone.remove("time") == Some(second(first.as_millisecond())));
        ensure!(range == *alone, "{range:?} and {alone:?}");
        ensure!(
            range["lookback_delta"] == "120s" && range["nocache"] == "1" && range["timeout"] == "2000ms",
            "{range:?}"
        );
    }
    Ok(())
}
