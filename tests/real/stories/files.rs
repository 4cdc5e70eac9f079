//! A file in Prometheus' place says what Prometheus says: random samples are put into a real one and read from the file, and each query
//! is answered by both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use jiff::Timestamp;
use ripcord::config::{self, LoadOptions};
use ripcord::engine::Unknown;
use ripcord::prometheus::{Answer, Client, Instants, OpenMetrics, Plan};

use crate::stories;
use crate::support::prometheus::Prometheus;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![a_file_answers_as_prometheus_does]
}

/// The files that are made, each from its own seed. One that fails names its seed.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Scrapes of each file, one every 15 s or so.
const SCRAPES: i64 = 200;

/// How exactly both must agree. Prometheus may add the same numbers in another order.
const PRECISION: f64 = 1e-9;

/// How far back a plain value is looked for. Newer ones than 2.42 are told so with each query.
const LOOKBACK: &str = "--query.lookback-delta=2m";

/// A query that a file cannot answer.
const TOO_MUCH: &str = "max(rate(memory[5m]))";

/// Something of every query there is, and some that people write.
fn settings(world: &World, url: &str) -> anyhow::Result<config::Settings> {
    let mut text = format!(
        r#"
prometheus: {{url: "{url}", timeout: 20s}}
defaults:
  match: {{destination_workload: "${{guard}}"}}
  triggers:
    error_rate: {{signal: error_rate, above: 1%}}
    availability: {{signal: availability, below: 99%, window: 10m, confirm_window: 30s}}
    latency: {{signal: latency, quantile: 0.9, degraded_by: 50%, baseline: {{offset: 7m}}}}
    routes: {{signal: client_error_rate, rises_by: 5%, baseline: {{offset: 6m}}}}
    budget:
      signal: error_rate
      slo: {{objective: 99.9%, burn_rates: [{{above: 14.4, window: 30m, confirm_window: 5m}}]}}
    load: {{signal: throughput, degraded_by: 30%, baseline: {{offset: 600s}}, window: 2m, action: page}}
  traffic:
    - deployment_env: {{namespace: shop, name: "${{guard}}", container: web, env: {{SHARE: "${{percentage}}"}}}}
guards:
  a: {{}}
  b.c:
    triggers:
      latency: {{degraded_by: 50%, baseline: {{control: {{metrics: ingress_nginx, match: {{ingress: a}}}}}}}}
  old: {{metrics: ingress_nginx, match: {{ingress: a, exported_namespace: ""}}}}
  plain:
    triggers:
"#
    )
    .replace("  b.c:", "  b-c:\n    match: {destination_workload: b.c}")
    .replace("exported_namespace: \"\"", "exported_namespace: shop");
    let written = [
        "memory",
        "max(memory)",
        "min(memory)",
        "sum(memory)",
        "avg(memory)",
        "count(memory)",
        r#"memory{pod=~"x|y",pod!="y"}"#,
        r#"memory{none!~".+"}"#,
        "nothing",
        TOO_MUCH,
    ];
    for (n, promql) in written.iter().enumerate() {
        writeln!(text, "      written-{n}: {{promql: '{promql}', above: 1}}")?;
    }
    let file = world.write("files.yaml", &text)?;
    config::load(&[file], [], LoadOptions::default())
        .map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// One series of a random life: it begins and ends some time, is not scraped for a while, is set back to zero.
struct Life {
    name: String,
    begins: i64,
    ends: i64,
    gap: std::ops::Range<i64>,
    resets: Vec<i64>,
    per_scrape: u64,
    value: f64,
}

impl Life {
    fn new(rng: &mut Rng, name: String) -> Self {
        let gap = rng.i64(0..SCRAPES);
        Self {
            name,
            begins: if rng.u8(0..3) == 0 { rng.i64(0..SCRAPES) } else { 0 },
            ends: if rng.u8(0..4) == 0 { rng.i64(0..SCRAPES) } else { SCRAPES },
            gap: gap..gap + rng.i64(0..30),
            resets: (0..rng.u8(0..3)).map(|_| rng.i64(0..SCRAPES)).collect(),
            per_scrape: [0, 1, 7, 400][rng.usize(0..4)],
            // A counter that begins at zero is one whose zero is near.
            value: if rng.bool() { 0.0 } else { f64::from(rng.u32(0..100_000)) },
        }
    }

    /// The value at a scrape, if it has one.
    fn at(&mut self, rng: &mut Rng, scrape: i64) -> Option<f64> {
        if self.resets.contains(&scrape) {
            self.value = 0.0;
        }
        #[allow(clippy::cast_precision_loss)]
        let grown = rng.u64(0..=2 * self.per_scrape) as f64;
        self.value += grown;
        let there = (self.begins..self.ends).contains(&scrape) && !self.gap.contains(&scrape);
        there.then_some(self.value)
    }
}

/// All series of a file.
fn lives(rng: &mut Rng) -> Vec<Life> {
    let mut names = Vec::new();
    for workload in ["a", "b.c", "bxc"] {
        for reporter in ["destination", "source"] {
            let one = format!("reporter=\"{reporter}\",destination_workload=\"{workload}\"");
            for (code, flags, grpc) in [
                ("200", "-", ""),
                ("200", "DC", ""),
                ("200", "-", "14"),
                ("200", "-", "5"),
                ("404", "NR", ""),
                ("503", "UF,URX", ""),
                ("503", "URX,DC", ""),
                ("0", "DPE", ""),
                ("500", "-", "13"),
            ] {
                names.push(format!(
                    "istio_requests_total{{{one},response_code=\"{code}\",response_flags=\"{flags}\",grpc_response_status=\"{grpc}\"}}"
                ));
            }
            let histogram = "istio_request_duration_milliseconds";
            names.push(format!("{histogram}_count{{{one}}}"));
            for le in ["5", "50", "50.0", "100", "+Inf", "wrong"] {
                names.push(format!("{histogram}_bucket{{{one},le=\"{le}\"}}"));
            }
        }
    }
    let ingress = "ingress=\"a\",exported_namespace=\"shop\",destination_workload=\"old\"";
    for status in ["200", "403", "499", "502"] {
        names.push(format!("nginx_ingress_controller_requests{{{ingress},status=\"{status}\"}}"));
        let histogram = "nginx_ingress_controller_request_duration_seconds";
        names.push(format!("{histogram}_count{{{ingress},status=\"{status}\"}}"));
        for le in ["-1", "0.1", "2.5", "+Inf"] {
            names.push(format!("{histogram}_bucket{{{ingress},status=\"{status}\",le=\"{le}\"}}"));
        }
    }
    names.into_iter().map(|name| Life::new(rng, name)).collect()
}

/// A random file that begins at this second.
fn file(rng: &mut Rng, start: i64) -> String {
    let mut lives = lives(rng);
    let pods = ["x", "y", "\\\"z\\\\"];
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut write = |series: &str, value: f64, millis: i64| {
        let name = series.split('{').next().unwrap_or_default().to_owned();
        let at = format!("{}.{:03}", start + millis / 1000, millis % 1000);
        let _ = writeln!(families.entry(name).or_default(), "{series} {value} {at}");
    };
    for scrape in 0..SCRAPES {
        for life in &mut lives {
            // In eighths of a second, which a float holds exactly.
            let millis = scrape * 15_000 + rng.i64(0..8) * 125;
            let Some(mut value) = life.at(rng, scrape) else { continue };
            if rng.u32(0..2000) == 0 {
                value = [f64::NAN, f64::INFINITY][rng.usize(0..2)];
            }
            write(&life.name, value, millis);
        }
        for pod in pods {
            if rng.u8(0..8) == 0 || (60..75).contains(&scrape) {
                continue;
            }
            let value = if rng.u8(0..10) == 0 { f64::NAN } else { f64::from(rng.i16(..)) / 8.0 };
            write(&format!("memory{{pod=\"{pod}\"}}"), value, scrape * 15_000);
        }
    }
    families.values().fold(String::new(), |text, family| text + family) + "# EOF\n"
}

/// An answer's rows in the order of their numbers in the plan; those of one number, which a query without labels has, by their values.
fn rows(answer: &Answer) -> anyhow::Result<Vec<(usize, f64)>> {
    let mut rows = answer.clone().map_err(|unknown| anyhow::anyhow!("{unknown}"))?;
    rows.sort_by(|(a, x), (b, y)| a.cmp(b).then(x.total_cmp(y)));
    Ok(rows)
}

fn agree(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= PRECISION * a.abs().max(b.abs())
}

/// What was compared of a query, to see that it was worth it.
#[derive(Debug, Default)]
struct Seen {
    rows: usize,
    absent: usize,
    not_a_number: usize,
}

/// Compares both for all queries of the plan at each instant.
async fn compare(
    client: &Client,
    plan: &Plan,
    file: &OpenMetrics,
    mut rest: Instants,
    seen: &mut BTreeMap<String, Seen>,
) -> anyhow::Result<()> {
    let step = Duration::from_millis(u64::try_from(
        rest.iter().nth(1).context("several")?.as_millisecond() - rest.first().as_millisecond(),
    )?);
    let mut prepared = file.prepare(plan);
    while !rest.is_empty() {
        let (range, _) = client.ask_range(plan, rest.first_chunk()).await;
        for (at, server) in range.steps() {
            let file = prepared.answers(at);
            for ((query, server), file) in plan.queries().iter().zip(&server).zip(&file) {
                let told = seen.entry(query.promql.clone()).or_default();
                if query.promql == TOO_MUCH {
                    let no = matches!(file, Err(Unknown::QueryFailed(why)) if why.contains(TOO_MUCH));
                    ensure!(no, "{file:?}");
                    continue;
                }
                let (server, file) = (rows(server)?, rows(file).context("of the file")?);
                let same = server.len() == file.len()
                    && server.iter().zip(&file).all(|((a, x), (b, y))| a == b && agree(*x, *y));
                ensure!(same, "{} at {at}:\n{server:?} says Prometheus\n{file:?} says the file", query.promql);
                told.rows += server.len();
                told.absent += usize::from(server.is_empty());
                told.not_a_number += server.iter().filter(|(_, value)| value.is_nan()).count();
            }
        }
        rest = Instants::between(range.instants().last() + step, rest.last(), step);
    }
    Ok(())
}

async fn a_file_answers_as_prometheus_does(world: World) -> anyhow::Result<()> {
    let mut seen = BTreeMap::new();
    for seed in SEEDS {
        let mut rng = Rng::with_seed(seed);
        let start = Timestamp::now().as_second() / 60 * 60 - 24 * 60 * 60;
        let text = file(&mut rng, start);
        let prometheus = Prometheus::builder(&world).history(&text).flag(LOOKBACK).start().await?;
        let settings = settings(&world, &prometheus.url())?;
        let client = Client::new(&settings.prometheus)?;
        let file = OpenMetrics::parse(&text).map_err(|p| anyhow::anyhow!("{p:?}"))?;
        // From before the first sample to after the last; the second one meets the edges of windows exactly.
        let first = Timestamp::from_second(start - 60)?;
        let last = first + Duration::from_secs(15) * u32::try_from(SCRAPES)? + Duration::from_secs(900);
        for step in [7_300, 15_000] {
            let instants = Instants::between(first, last, Duration::from_millis(step));
            for plan in [Plan::new(&settings.guards), Plan::of_scrapes(&settings.guards)] {
                let compared = compare(&client, &plan, &file, instants, &mut seen).await;
                compared.with_context(|| format!("seed {seed}, step {step} ms"))?;
            }
        }
    }
    for (promql, seen) in seen.iter().filter(|(promql, _)| *promql != TOO_MUCH) {
        ensure!(seen.rows > 100 || promql == "nothing", "{promql} was hardly ever answered: {seen:?}");
        ensure!(seen.absent > 10, "{promql} was hardly ever absent: {seen:?}");
    }
    let not_a_number: usize = seen.values().map(|seen| seen.not_a_number).sum();
    ensure!(not_a_number > 100, "only {not_a_number} were no number");
    Ok(())
}
