//! The last hour as it is drawn: what was missed is fetched, a breach is shaded, what was not scraped is a gap.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::stage::LONG;
use super::{TOKEN, sign_in};
use crate::stories;
use crate::support::apiserver::ApiProxy;
use crate::support::browser::Browser;
use crate::support::fixtures::{self, Config};
use crate::support::hook::Hook;
use crate::support::prometheus::Prometheus;
use crate::support::ripcord::Ripcord;
use crate::support::server::{HttpServer, Reply};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![the_last_hour_is_drawn]
}

/// The components, the first of which is in trouble.
const COMPONENTS: [&str; 3] = ["terminal", "devbox", "db-adminer"];

/// Prometheus takes samples of the past only where they are older than some three hours, so everything happens this much earlier. In seconds.
const EARLIER: i64 = 4 * 3600;

/// The time between two scrapes, in seconds.
const SCRAPE: i64 = 15;

/// What there is before the present and after it, in seconds.
const BEFORE: i64 = 150 * 60;
const AFTER: i64 = 20 * 60;

/// Requests between two scrapes.
const REQUESTS: f64 = 3000.0;

/// How many of a hundred requests fail, so many seconds before the present; `None`: nothing is scraped.
fn failing(component: &str, ago: i64) -> Option<f64> {
    let noise = f64::from(u8::try_from((ago / SCRAPE * 37).rem_euclid(11)).unwrap_or_default());
    match (component, ago) {
        ("terminal", 1260..1620) => None,
        ("terminal", ..290) => Some(6.0),
        ("terminal", 2520..2640) => Some(3.0),
        ("devbox", 900..1200) => Some(0.6),
        _ => Some(noise * 0.02),
    }
}

/// Everything that was scraped.
fn past(present: i64) -> String {
    let mut families = [String::new(), String::new(), String::new()];
    for component in COMPONENTS {
        let (mut all, mut failed, mut slow) = (0.0, 0.0, 0.0);
        let labels = format!("reporter=\"destination\",destination_workload=\"{component}\",response_flags=\"-\"");
        for n in -BEFORE / SCRAPE..AFTER / SCRAPE {
            let ago = -n * SCRAPE;
            let bad = failing(component, ago);
            all += REQUESTS;
            failed += REQUESTS * bad.unwrap_or_default() / 100.0;
            let wave = (f64::from(i32::try_from(n).unwrap_or_default()) / 17.0).sin();
            slow += REQUESTS * if component == "terminal" && ago < 290 { 0.07 } else { 0.03 + 0.01 * wave };
            if bad.is_none() {
                continue;
            }
            let at = present - ago;
            let _ = writeln!(
                families[0],
                "istio_requests_total{{{labels},response_code=\"200\"}} {:.0} {at}",
                all - failed
            );
            let _ = writeln!(families[0], "istio_requests_total{{{labels},response_code=\"503\"}} {failed:.0} {at}");
            for (le, within) in [("50", 0.5 * all), ("100", all - slow), ("250", all), ("+Inf", all)] {
                let _ = writeln!(
                    families[1],
                    "istio_request_duration_milliseconds_bucket{{{labels},le=\"{le}\"}} {within:.0} {at}"
                );
            }
            let _ = writeln!(families[2], "istio_request_duration_milliseconds_count{{{labels}}} {all:.0} {at}");
        }
    }
    // A series' samples must come in one piece.
    let sorted = families.map(|family| {
        let mut lines: Vec<&str> = family.lines().collect();
        lines.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
        lines.join("\n")
    });
    format!(
        "# TYPE istio_requests counter\n{}\n# TYPE istio_request_duration_milliseconds_bucket gauge\n{}\n# TYPE istio_request_duration_milliseconds_count gauge\n{}\n# EOF\n",
        sorted[0], sorted[1], sorted[2]
    )
}

/// A way to Prometheus on which its past is the present: the times of each question are set back, and those of each answer forth.
async fn later(prometheus: String) -> anyhow::Result<HttpServer> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    HttpServer::start(move |parts, body| {
        let (http, prometheus) = (http.clone(), prometheus.clone());
        async move {
            let asked = async {
                let query: Vec<(String, String)> =
                    reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&body)))?
                        .query_pairs()
                        .map(|(name, value)| match name.as_ref() {
                            "time" | "start" | "end" => (name.to_string(), shifted(&value, -EARLIER)),
                            _ => (name.to_string(), value.to_string()),
                        })
                        .collect();
                let answer = http.post(format!("{prometheus}{}", parts.uri.path())).form(&query).send().await?;
                let (status, mut answer) = (answer.status().as_u16(), answer.json::<Value>().await?);
                for series in answer["data"]["result"].as_array_mut().into_iter().flatten() {
                    let several = series["values"].as_array_mut().map(std::mem::take);
                    match several {
                        Some(values) => series["values"] = values.into_iter().map(forth).collect(),
                        None => series["value"] = forth(series["value"].take()),
                    }
                }
                anyhow::Ok(Reply::json(status, &answer))
            };
            asked.await.unwrap_or_else(|error: anyhow::Error| Reply::text(502, error.to_string()))
        }
        .boxed()
    })
    .await
}

fn shifted(time: &str, by: i64) -> String {
    match (time.parse::<f64>(), time.parse::<Timestamp>()) {
        #[allow(clippy::cast_precision_loss)]
        (Ok(seconds), _) => (seconds + by as f64).to_string(),
        (_, Ok(time)) => (time.as_second() + by).to_string(),
        _ => time.to_owned(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn forth(sample: Value) -> Value {
    json!([sample[0].as_f64().unwrap_or_default() + EARLIER as f64, sample[1]])
}

async fn the_last_hour_is_drawn(world: World) -> anyhow::Result<()> {
    let present = Timestamp::now().as_second() - EARLIER;
    let present = present - present % SCRAPE;
    let prometheus = Prometheus::builder(&world).history(&past(present)).start().await?;
    let later = later(prometheus.url()).await?;
    let names = COMPONENTS.map(str::to_owned);
    let identity = super::super::super::deploy::least_identity_for(&world, &names).await?;
    let api = ApiProxy::start(&world).await?;
    let kubeconfig = api.kubeconfig(&world, &identity)?;
    let hook = Hook::start(&world).await?;
    let times = |own: Value| {
        let mut all = json!({"window": "5m", "confirm_window": "1m", "for": "5m"});
        for (key, value) in own.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        all
    };
    let mut config = Config::new(&world, &format!("http://{}", later.address()))
        .webhook("oncall", &hook)
        .set("prometheus.timeout", "5s")
        .set("defaults.rollback.verify.within", "10m")
        .set("evaluation", json!({"interval": "10s"}))
        .set("defaults.triggers", json!({
            "error_rate": times(json!({"signal": "error_rate", "above": "1%", "clear_below": "0.5%"})),
            "latency": times(json!({"signal": "latency", "degraded_by": "50%", "clear_below": "25%", "baseline": {"fixed": "100ms"}})),
            // What must hold for so long has an hour fetched at the start.
            "load": {"signal": "throughput", "below": "1/s", "window": "5m", "for": "1h", "action": "page"},
        }))
        .set("links.runbook", "https://runbooks.example/ripcord")
        .set("http.token_file", json!(world.write("token", TOKEN)?));
    for name in COMPONENTS {
        fixtures::create_deployment(&world, name).await?;
        config = config.guard(name, name);
    }
    let mut ripcord = Ripcord::builder(&world, &config.to_string()).kubeconfig(&kubeconfig).start()?;
    ripcord.wait_ready().await?;
    let browser = Browser::start(&world).await?;
    sign_in(&browser, &ripcord).await?;
    browser.until_text("h1", "terminal: error rate", LONG).await?;
    eventually(LONG, "it was tried that rollbacks would work", async || {
        browser.count(".readiness .sign.good").await.is_ok_and(|count| count == 3)
    })
    .await?;
    let drawn = "const id = id => document.getElementById(id).closest('svg'); const chart = id('c-terminal.error_rate-t'); \
                 return {breaches: chart.querySelectorAll('rect.breach').length, unseen: chart.querySelectorAll('rect.unseen').length, \
                 signal: chart.querySelector('.signal').getAttribute('d'), words: chart.querySelector('desc').textContent}";
    let chart = browser.run(drawn).await?;
    ensure!(chart["breaches"] == 2, "a breach that is over, and one that is not: {chart}");
    ensure!(chart["unseen"] == 1, "what was not scraped: {chart}");
    let signal = chart["signal"].as_str().context("a path")?;
    let (parts, points) = (signal.matches('M').count(), signal.matches(['M', 'L']).count());
    ensure!(parts == 2 && points > 90, "the signal has a gap and an hour: {signal}");
    let words = chart["words"].as_str().context("words")?;
    for part in ["The limit is 1 %.", "In breach for about", "Not known for about"] {
        ensure!(words.contains(part), "{part} is not in {words}");
    }
    ensure!(browser.text("#guard-terminal .hold").await?.contains("of 5m0s"));
    browser.judge("hour", &ripcord.url()).await?;
    // The ways to print and to read it on paper are seen by an eye only.
    browser.picture("hour-last").await
}
