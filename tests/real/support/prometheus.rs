//! A real Prometheus that scrapes what it is told to.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::child::Child;
use super::{World, eventually, ports};

/// How long it may take until it is ready and has scraped. Prometheus looks for new targets every five seconds, so that a quiet
/// machine takes about six; rarely two rounds are needed.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long one query may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The scrape interval unless a story says otherwise.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// What to start.
pub struct Builder<'a> {
    world: &'a World,
    targets: Vec<(String, SocketAddr)>,
    interval: Duration,
    history: Vec<String>,
    flags: Vec<String>,
    rules: Option<Value>,
}

/// A Prometheus. Dropping it kills it.
pub struct Prometheus<'a> {
    world: &'a World,
    address: SocketAddr,
    dir: PathBuf,
    flags: Vec<String>,
    targets: usize,
    http: reqwest::Client,
    child: Option<Child>,
    started: Instant,
}

impl<'a> Builder<'a> {
    /// Scrapes this address as this job.
    pub fn target(mut self, job: &str, address: SocketAddr) -> Self {
        self.targets.push((job.to_owned(), address));
        self
    }

    /// Scrapes this often; whole milliseconds.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Puts samples of the past into its storage before it starts: OpenMetrics text with a time stamp in seconds on each sample, and
    /// `# EOF` at the end. Prometheus keeps them in blocks of two hours; they must not be younger than about three hours.
    pub fn history(mut self, open_metrics: &str) -> Self {
        self.history.push(open_metrics.to_owned());
        self
    }

    /// Starts it with this on its command line, too.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Evaluates these rules, as often as it scrapes.
    pub fn rules(mut self, rules: Value) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Starts it and waits until each target has been scraped twice.
    pub async fn start(self) -> anyhow::Result<Prometheus<'a>> {
        let dir = self.world.new_dir("prometheus")?;
        for (n, text) in self.history.iter().enumerate() {
            let file = dir.join(format!("history-{n}.txt"));
            fs::write(&file, text)?;
            let out = Command::new(&self.world.binaries.promtool)
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .args([&file, &dir.join("data")])
                .output()
                .context("Starting promtool")?;
            ensure!(out.status.success(), "promtool took no history: {}", String::from_utf8_lossy(&out.stderr));
        }
        let jobs: Vec<_> = self
            .targets
            .iter()
            .map(|(job, address)| json!({"job_name": job, "static_configs": [{"targets": [address.to_string()]}]}))
            .collect();
        let interval = format!("{}ms", self.interval.as_millis());
        let mut config = json!({
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": jobs,
        });
        if let Some(rules) = &self.rules {
            config["rule_files"] = json!(["rules.yml"]);
            fs::write(dir.join("rules.yml"), rules.to_string())?;
        }
        // JSON is YAML.
        fs::write(dir.join("prometheus.yml"), config.to_string())?;
        let mut prometheus = Prometheus {
            world: self.world,
            address: ports::free_address(),
            dir,
            flags: self.flags,
            targets: self.targets.len(),
            http: reqwest::Client::builder().no_proxy().timeout(QUERY_TIMEOUT).build()?,
            child: None,
            started: Instant::now(),
        };
        prometheus.run().await?;
        prometheus.wait_scraped().await?;
        Ok(prometheus)
    }
}

impl<'a> Prometheus<'a> {
    /// One that is yet to be told what to scrape.
    pub fn builder(world: &'a World) -> Builder<'a> {
        Builder {
            world,
            targets: Vec::new(),
            interval: SCRAPE_INTERVAL,
            history: Vec::new(),
            flags: Vec::new(),
            rules: None,
        }
    }

    /// One that scrapes this address every second.
    pub async fn start(world: &'a World, target: SocketAddr) -> anyhow::Result<Self> {
        Self::builder(world).target("mesh", target).start().await
    }

    /// Its base address; the same over a restart.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it, as a crash would. Its data stay.
    pub fn stop(&mut self) {
        self.child = None;
    }

    /// Starts it again on the same port with the same data, and waits until it is ready. Its first new scrape comes about five
    /// seconds later: `wait_scraped`.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.run().await
    }

    /// Halts it (SIGSTOP): connections are accepted by the system and nothing answers. A signal is only a request: this waits until every
    /// thread stands still.
    pub async fn pause(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("Prometheus was stopped")?;
        child.signal(Signal::STOP)?;
        let threads = format!("/proc/{}/task", child.pid());
        eventually(READY_TIMEOUT, "every thread of Prometheus stands still", async || {
            let all: Vec<_> = fs::read_dir(&threads)?.collect::<Result<_, _>>()?;
            for thread in all {
                let stat = fs::read_to_string(thread.path().join("stat"))?;
                // The state comes after the name, which stands in brackets.
                let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
                ensure!(state.starts_with('T'), "{stat}");
            }
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// Lets it run on.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.child.as_mut().context("Prometheus was stopped")?.signal(Signal::CONT)
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        self.started = Instant::now();
        let mut child = self.world.spawn(
            "prometheus",
            Command::new(&self.world.binaries.prometheus)
                .arg(format!("--config.file={}", self.dir.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", self.dir.join("data").display()))
                .arg(format!("--web.listen-address={}", self.address))
                .args(&self.flags)
                // Its garbage collector and its queries need not fill the machine.
                .env("GOMAXPROCS", "2")
                .current_dir(&self.dir),
        )?;
        eventually(READY_TIMEOUT, "Prometheus is ready", async || {
            child.check_alive()?;
            let answer = self.http.get(format!("{}/-/ready", self.url())).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            Ok::<_, anyhow::Error>(())
        })
        .await?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until every target has been scraped at least twice since the start, so that a rate can be taken.
    pub async fn wait_scraped(&self) -> anyhow::Result<()> {
        if self.targets == 0 {
            return Ok(());
        }
        eventually(READY_TIMEOUT, "Prometheus has scraped all targets", async || {
            let since = self.started.elapsed().as_millis();
            match self.query_opt(&format!("count(count_over_time(up[{since}ms]) >= 2)")).await? {
                Some(n) if n >= self.targets as f64 => Ok(()),
                n => bail!("{n:?} of {} targets", self.targets),
            }
        })
        .await
    }

    /// The value of a query that gives one number.
    pub async fn query(&self, promql: &str) -> anyhow::Result<f64> {
        self.query_opt(promql).await?.with_context(|| format!("Nothing answers {promql}"))
    }

    /// The same for a query that may give nothing.
    pub async fn query_opt(&self, promql: &str) -> anyhow::Result<Option<f64>> {
        let data = self.query_raw(promql).await?;
        let value = match data["resultType"].as_str() {
            Some("scalar") => &data["result"][1],
            Some("vector") => match data["result"].as_array().map(Vec::as_slice) {
                Some([]) | None => return Ok(None),
                Some([one]) => &one["value"][1],
                Some(many) => bail!("{} series answer {promql}: aggregate them", many.len()),
            },
            other => bail!("{promql} gives {other:?}, not one number"),
        };
        let text = value.as_str().with_context(|| format!("No value in {data}"))?;
        Ok(Some(text.parse()?))
    }

    /// What the query endpoint answers as `data`.
    pub async fn query_raw(&self, promql: &str) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url()), [("query", promql)])?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{promql}: {}", answer["error"]);
        Ok(answer["data"].clone())
    }
}
