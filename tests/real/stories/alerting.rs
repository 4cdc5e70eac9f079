//! The same series through real alerting rules with `for` and through Ripcord. Where they differ, each difference is one that is wanted;
//! `docs/deciding.md` has the table.
//!
//! Prometheus' side of a history is its own rule engine (`promtool test rules`, which evaluates real rules without waiting); Ripcord's is
//! the same series in a real Prometheus, asked for as the daemon asks for what it missed. Errors and restarts are no part of a history:
//! they happen to a Prometheus that runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use ripcord::config::{self, LoadOptions};
use ripcord::engine::{self, Action, Engine, Input, Observation, Tick, TickKind};
use ripcord::prometheus::{Answer, Client, Instants, Plan};
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG};
use crate::stories;
use crate::support::fixtures::Config;
use crate::support::mesh::Mesh;
use crate::support::prometheus::Prometheus;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![the_same_histories_through_alerting_rules, errors_and_a_restart_in_the_middle_of_a_hold]
}

/// From one scrape to the next, in seconds.
const SCRAPE: u32 = 15;

/// How long each history is, in scrapes: forty minutes.
const SCRAPES: u32 = 160;

/// From one tick or evaluation to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// How Ripcord's trip compares with the alert that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trips {
    /// Both, at the same tick or one beside it.
    Same,
    /// Neither.
    Neither,
    OnlyThere,
    OnlyHere,
    /// Both, Ripcord earlier.
    Earlier,
    /// Both, Ripcord later.
    Later,
}

/// One scrape of a component.
#[derive(Clone, Copy)]
enum Scrape {
    /// Requests since the last one, and how many of them failed.
    Counts(u32, u32),
    /// The same after its counters began anew.
    Anew(u32, u32),
    /// It was not scraped.
    Missing,
}

/// A history: what each scrape sees, by its minute.
struct History {
    name: &'static str,
    what: &'static str,
    scrape: fn(f64) -> Scrape,
    trips: Trips,
}

/// 10 requests a second and 5 % failing where `bad`.
fn busy(bad: bool) -> Scrape {
    Scrape::Counts(150, if bad { 8 } else { 0 })
}

const HISTORIES: [History; 8] = [
    History { name: "plain", what: "5 % fail from now on", scrape: |minute| busy(minute >= 10.0), trips: Trips::Same },
    History {
        name: "reset",
        what: "the same, and the counters begin anew in its middle",
        scrape: |minute| if minute == 12.0 { Scrape::Anew(150, 8) } else { busy(minute >= 10.0) },
        trips: Trips::Same,
    },
    History {
        name: "burst",
        what: "half of the requests fail for 30 s",
        scrape: |minute| Scrape::Counts(150, if (10.0..10.5).contains(&minute) { 75 } else { 0 }),
        trips: Trips::OnlyThere,
    },
    History {
        name: "over",
        what: "5 % fail for four minutes, then none",
        scrape: |minute| busy((10.0..14.0).contains(&minute)),
        trips: Trips::OnlyThere,
    },
    History {
        name: "gap",
        what: "5 % fail; from 2½ to 10 minutes after the beginning nothing is scraped",
        scrape: |minute| if (12.5..20.0).contains(&minute) { Scrape::Missing } else { busy(minute >= 10.0) },
        trips: Trips::Later,
    },
    History {
        name: "flapping",
        what: "1.7 % for 90 s and 0.6 % for 150 s, in turn",
        scrape: |minute| {
            let failed = if (minute - 10.0) % 4.0 < 1.5 { 26 } else { 9 };
            Scrape::Counts(1500, if minute < 10.0 { 0 } else { failed })
        },
        trips: Trips::OnlyHere,
    },
    History {
        name: "few",
        what: "one request in five seconds, and two of them fail in two minutes",
        scrape: |minute| Scrape::Counts(3, u32::from(minute == 10.0 || minute == 12.0)),
        trips: Trips::OnlyThere,
    },
    History {
        name: "few-all",
        what: "one request in five seconds, and all of them fail from now on",
        scrape: |minute| Scrape::Counts(3, if minute >= 10.0 { 3 } else { 0 }),
        trips: Trips::Later,
    },
];

/// Histories that are not of requests that are counted on and on.
const OTHERS: [(&str, &str, Trips); 3] = [
    ("new", "a 5xx series appears, already at 300, and counts no more", Trips::Neither),
    ("empty", "a value above its limit from now on; for one scrape its query answers with nothing", Trips::Earlier),
    ("nan", "the same; for one scrape it is NaN", Trips::Earlier),
];

/// The value of `level`, which is bad above 1, whose query `hidden` makes empty.
const LEVEL: &str = "level unless on (destination_workload) (hidden == 1)";

/// Labels and the samples, one per scrape, of each series.
fn series() -> Vec<(String, Vec<Option<String>>)> {
    let name = |component: &str, code: u16| {
        format!(
            "istio_requests_total{{reporter=\"destination\",destination_workload=\"{component}\",response_code=\"{code}\",response_flags=\"-\",grpc_response_status=\"\"}}"
        )
    };
    let minutes = || (0..SCRAPES).map(|n| f64::from(n * SCRAPE) / 60.0);
    let mut all = Vec::new();
    for history in &HISTORIES {
        let (mut good, mut bad, mut samples) = (0, 0, [Vec::new(), Vec::new()]);
        for minute in minutes() {
            let (total, failed) = match (history.scrape)(minute) {
                Scrape::Missing => {
                    samples.iter_mut().for_each(|s| s.push(None));
                    continue;
                }
                Scrape::Counts(total, failed) => (total, failed),
                Scrape::Anew(total, failed) => {
                    (good, bad) = (0, 0);
                    (total, failed)
                }
            };
            (good, bad) = (good + total - failed, bad + failed);
            samples[0].push(Some(good.to_string()));
            samples[1].push(Some(bad.to_string()));
        }
        let [good, bad] = samples;
        all.extend([(name(history.name, 200), good), (name(history.name, 503), bad)]);
    }
    all.push((name("new", 200), (1..=SCRAPES).map(|n| Some((n * 150).to_string())).collect()));
    all.push((name("new", 503), minutes().map(|minute| (minute >= 10.0).then(|| "300".to_owned())).collect()));
    let bad = |minute: f64| Some(if minute >= 10.0 { "5" } else { "0" }.to_owned());
    let once = |minute: f64| Some(u8::from(minute == 12.0).to_string());
    let nan = |minute: f64| if minute == 12.0 { Some("NaN".to_owned()) } else { bad(minute) };
    all.push(("level{destination_workload=\"empty\"}".to_owned(), minutes().map(bad).collect()));
    all.push(("hidden{destination_workload=\"empty\"}".to_owned(), minutes().map(once).collect()));
    all.push(("level{destination_workload=\"nan\"}".to_owned(), minutes().map(nan).collect()));
    all.push(("hidden{destination_workload=\"nan\"}".to_owned(), minutes().map(|_| Some("0".to_owned())).collect()));
    all
}

/// The alerting rules that say what Ripcord's triggers say.
fn rules() -> Value {
    let increase = |more: &str| {
        format!("sum by (destination_workload) (increase(istio_requests_total{{reporter=\"destination\"{more}}}[5m]))")
    };
    let ratio = format!("{} / {} > 0.01", increase(",response_code=~\"5..\""), increase(""));
    json!({"groups": [{"name": "service", "rules": [
        {"alert": "ErrorRate", "expr": ratio, "for": "5m"},
        {"alert": "Level", "expr": format!("({LEVEL}) > 1"), "for": "5m"},
    ]}]})
}

/// When each component's alert first fires, in seconds of the history, as Prometheus' rule engine has it.
fn alerts(world: &World) -> anyhow::Result<BTreeMap<String, u32>> {
    let input: Vec<Value> = series()
        .into_iter()
        .map(|(series, samples)| {
            let values: Vec<String> = samples.into_iter().map(|s| s.unwrap_or_else(|| "_".to_owned())).collect();
            json!({"series": series, "values": values.join(" ")})
        })
        .collect();
    // A test that expects nothing: promtool says what there is in its place.
    let end = SCRAPES * SCRAPE;
    let first = format!("min_over_time((timestamp(ALERTS{{alertstate=\"firing\"}}))[{end}s:10s])");
    let test = json!({"rule_files": ["rules.json"], "evaluation_interval": "10s", "tests": [{
        "interval": format!("{SCRAPE}s"),
        "input_series": input,
        "promql_expr_test": [{"expr": first, "eval_time": format!("{end}s"), "exp_samples": []}],
    }]});
    world.write("rules.json", &rules().to_string())?;
    let file = world.write("test.json", &test.to_string())?;
    let out = Command::new(&world.binaries.promtool)
        .args(["test", "rules"])
        .arg(&file)
        .current_dir(&world.dir)
        .output()
        .context("Starting promtool")?;
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let (_, got) = told.split_once("got:").with_context(|| format!("promtool told no samples: {told}"))?;
    let mut first = BTreeMap::new();
    for sample in got.lines().next().unwrap_or_default().split("{alertname=").skip(1) {
        let component = sample.split("destination_workload=\"").nth(1).and_then(|rest| rest.split('"').next());
        let (_, value) = sample.split_once("} ").with_context(|| format!("no value in {sample}"))?;
        let seconds: f64 = value.trim().trim_end_matches(',').parse().with_context(|| value.to_owned())?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        first.insert(component.context("a component")?.to_owned(), seconds.round() as u32);
    }
    Ok(first)
}

/// The samples as OpenMetrics.
fn open_metrics(start: i64) -> String {
    let mut families: BTreeMap<&str, String> = BTreeMap::new();
    let all = series();
    for (series, samples) in &all {
        let family = families.entry(series.split('{').next().unwrap_or_default()).or_default();
        for (n, sample) in samples.iter().enumerate() {
            if let Some(sample) = sample {
                let at = start + i64::from(SCRAPE) * i64::try_from(n).unwrap_or_default();
                let _ = writeln!(family, "{series} {sample} {at}");
            }
        }
    }
    let mut text = String::new();
    for (name, samples) in families {
        let (name, kind) = name.strip_suffix("_total").map_or((name, "gauge"), |name| (name, "counter"));
        let _ = write!(text, "# TYPE {name} {kind}\n{samples}");
    }
    text + "# EOF\n"
}

/// Ripcord's own side: what it asks, and what it decides.
struct Judge {
    client: Client,
    plan: Plan,
    engine: Engine,
    interval: Duration,
    trips: BTreeMap<String, Timestamp>,
}

impl Judge {
    fn new(world: &World, config: Config) -> anyhow::Result<Self> {
        let text = config.set("http.listen", "127.0.0.1:0").to_string();
        let file = world.write("alerting.yaml", &text)?;
        let settings = config::load(&[file], [], LoadOptions::default())
            .map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let interval = settings.evaluation.interval;
        let engine = Engine::new(engine::Settings {
            interval,
            blind_after: settings.evaluation.blind_after,
            live_for: interval,
            dry_run: false,
            chinese: false,
            guards: settings.guards.iter().map(|guard| guard.engine.clone()).collect(),
        });
        let plan = Plan::new(&settings.guards);
        Ok(Self { client: Client::new(&settings.prometheus)?, plan, engine, interval, trips: BTreeMap::new() })
    }

    /// One live tick, from the answers to its queries.
    fn tick(&mut self, at: Timestamp, answers: &[Answer]) {
        let seen = |readings| Observation { share: Ok(25), readings, drift: Vec::new() };
        let readings = self.plan.readings(answers);
        let guards = readings.into_iter().map(|(guard, readings)| (guard, seen(readings))).collect();
        for action in self.engine.handle(Input::Tick(Tick { at, kind: TickKind::Live, guards }), at) {
            if let Action::Change(order) = action {
                self.trips.entry(order.guard.to_string()).or_insert(at);
            }
        }
    }

    /// Every tick of a time that is over, asked for at once.
    async fn replay(&mut self, first: Timestamp, last: Timestamp) {
        let mut rest = Instants::between(first, last, self.interval);
        while !rest.is_empty() {
            let (range, _) = self.client.ask_range(&self.plan, rest.first_chunk()).await;
            rest = Instants::between(range.instants().last() + self.interval, last, self.interval);
            for (at, answers) in range.steps() {
                self.tick(at, &answers);
            }
        }
    }

    /// The same, each tick asked for by itself: a query that fails at one instant fails for a whole range.
    async fn relive(&mut self, first: Timestamp, last: Timestamp) {
        for at in Instants::between(first, last, self.interval).iter() {
            let (answers, _) = self.client.ask(&self.plan, at).await;
            self.tick(at, &answers);
        }
    }
}

/// A configuration with the error rate as Ripcord comes with it, and without any other trigger.
fn config(world: &World, url: &str) -> Config {
    let mut config = Config::new(world, url)
        .unset("defaults.triggers.latency")
        .unset("defaults.triggers.availability")
        .set("prometheus.timeout", "10s")
        .set("evaluation.interval", "10s")
        .set("evaluation.blind_after", "2m")
        .set("defaults.rollback.verify.within", "10m");
    for (name, time) in [("window", "5m"), ("confirm_window", "1m"), ("for", "5m")] {
        config = config.set(&format!("defaults.triggers.error_rate.{name}"), time);
    }
    config
}

async fn the_same_histories_through_alerting_rules(world: World) -> anyhow::Result<()> {
    // At a whole minute, so that both look at the same instants of the history.
    let start = (Timestamp::now().as_second() / 60 - 24 * 60) * 60;
    let prometheus = Prometheus::builder(&world).history(&open_metrics(start)).start().await?;
    let mut config = config(&world, &prometheus.url());
    for name in HISTORIES.iter().map(|history| history.name).chain(["new", "empty", "nan"]) {
        config = config.guard(name, name);
    }
    for name in ["empty", "nan"] {
        let promql = LEVEL.replace("level", &format!("level{{destination_workload=\"{name}\"}}"));
        let trigger = json!({"promql": promql, "above": 1, "for": "5m", "action": "rollback"});
        config = config.set(&format!("guards.{name}.triggers.level"), trigger);
    }
    let mut judge = Judge::new(&world, config)?;
    let first = Timestamp::from_second(start)?;
    judge.replay(first, first + Duration::from_secs(u64::from(SCRAPES * SCRAPE))).await;
    let there = alerts(&world)?;
    let mut table = "| history | Prometheus | Ripcord |\n|---|---|---|\n".to_owned();
    let mut wrong = Vec::new();
    let expected = HISTORIES.iter().map(|h| (h.name, h.what, h.trips)).chain(OTHERS);
    for (name, what, expected) in expected {
        let there = there.get(name).copied();
        let here = judge.trips.get(name).map(|at| u32::try_from(at.as_second() - start)).transpose()?;
        let tick = u32::try_from(INTERVAL.as_secs())?;
        let trips = match (there, here) {
            (None, None) => Trips::Neither,
            (Some(_), None) => Trips::OnlyThere,
            (None, Some(_)) => Trips::OnlyHere,
            (Some(there), Some(here)) if there.abs_diff(here) <= tick => Trips::Same,
            (Some(there), Some(here)) if here < there => Trips::Earlier,
            (Some(_), Some(_)) => Trips::Later,
        };
        let after = |seconds: Option<u32>| {
            seconds.map_or("-".to_owned(), |s| {
                let after = s.saturating_sub(600);
                format!("{}:{:02}", after / 60, after % 60)
            })
        };
        let _ = writeln!(table, "| {what} | {} | {} |", after(there), after(here));
        if trips != expected {
            wrong.push(format!("{name}: {trips:?} and not {expected:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}\n{table}");
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deciding.md"))?;
    let missing: Vec<&str> = table.lines().filter(|row| !document.contains(row)).collect();
    ensure!(missing.is_empty(), "docs/deciding.md has another table: {missing:#?}\n{table}");
    Ok(())
}

/// How long a breach must last in the story that cannot be told without waiting.
const LIVE_FOR: &str = "20s";

async fn errors_and_a_restart_in_the_middle_of_a_hold(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    // With two gates the query fails: each value is to be multiplied by one.
    let promql = "level * on () gate";
    mesh.gauge("level", &[], 0.0);
    mesh.gauge("gate", &[("pod", "a")], 1.0);
    let rules = json!({"groups": [{"name": "level", "rules": [
        {"alert": "Level", "expr": format!("{promql} > 1"), "for": LIVE_FOR},
    ]}]});
    let mut prometheus = Prometheus::builder(&world).target("mesh", mesh.address()).rules(rules).start().await?;
    let trigger = json!({"promql": promql, "above": 1, "for": LIVE_FOR, "action": "rollback"});
    let config = config(&world, &prometheus.url())
        .set("evaluation.interval", "1s")
        .unset("defaults.triggers.error_rate")
        .set("defaults.triggers.level", trigger)
        .guard(GUARD, COMPONENT);
    let mut judge = Judge::new(&world, config.clone())?;
    let alert = |state: &str| format!("min(timestamp(ALERTS{{alertstate=\"{state}\"}}))");

    // Errors: pending, then nothing but errors for longer than the hold, then one more evaluation that is bad.
    let begun = Timestamp::now();
    mesh.gauge("level", &[], 5.0);
    eventually(LONG, "the alert is pending", async || prometheus.query(&alert("pending")).await).await?;
    mesh.gauge("gate", &[("pod", "b")], 1.0);
    eventually(LONG, "its query fails", async || prometheus.query(promql).await.is_err()).await?;
    let errors_since = Timestamp::now();
    eventually(LONG, "the errors last for longer than the hold", async || {
        Timestamp::now().duration_since(errors_since).as_secs() > 21
    })
    .await?;
    ensure!(prometheus.query_opt(&alert("firing")).await?.is_none(), "it fires although its query fails");
    mesh.remove_gauge("gate", &[("pod", "b")]);
    let fires = eventually(LONG, "the alert fires", async || prometheus.query(&alert("firing")).await).await?;
    // To the second: a float of some 1.7e9 has milliseconds to spare.
    #[allow(clippy::cast_possible_truncation)]
    let fires = Timestamp::from_millisecond((fires * 1000.0) as i64)?;
    judge.relive(begun, fires).await;
    ensure!(judge.trips.is_empty(), "Ripcord counted time in which nobody saw anything: {:?}", judge.trips);
    let held = judge.engine.status()[0].triggers[0].held_seconds;
    ensure!(held > 0.0, "Ripcord saw no breach at all");

    // A restart in the middle: the alert waits anew from its beginning.
    mesh.gauge("level", &[], 0.0);
    eventually(LONG, "the alert is over", async || prometheus.query_opt("ALERTS").await.is_ok_and(|a| a.is_none()))
        .await?;
    let mut judge = Judge::new(&world, config)?;
    let begun = Timestamp::now();
    mesh.gauge("level", &[], 5.0);
    let active = "min(ALERTS_FOR_STATE)";
    let first = eventually(LONG, "the alert is pending", async || prometheus.query(active).await).await?;
    eventually(LONG, "half of its hold is over", async || Timestamp::now().as_second() as f64 > first + 10.0).await?;
    prometheus.restart().await?;
    let fires = eventually(LONG, "the alert fires", async || prometheus.query(&alert("firing")).await).await?;
    let again = prometheus.query(active).await?;
    ensure!(again > first + 10.0, "the alert went on from before the restart: {first}, {again}");
    let now = Timestamp::now();
    judge.relive(begun, now).await;
    let trip = judge.trips.get(GUARD).with_context(|| format!("Ripcord did not trip by {now}"))?;
    ensure!((trip.as_second() as f64) < fires, "Ripcord at {trip}, the alert at {fires}");
    Ok(())
}
