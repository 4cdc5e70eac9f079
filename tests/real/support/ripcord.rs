//! The program under test: the real binary, as a process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::child::{Child, Killer};
use super::fixtures::LISTEN;
use super::story::log_dir;
use super::{World, eventually, log, ports};

/// The binary.
const BINARY: &str = env!("CARGO_BIN_EXE_ripcord");

/// How long it may take until the first tick is done.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long one HTTP request to it may take.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command that is not given a time may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// How it is started.
pub struct Builder<'a> {
    world: &'a World,
    name: String,
    config: String,
    kubeconfig: Option<PathBuf>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// `ripcord run`, running. Dropping it kills it.
pub struct Ripcord {
    child: Child,
    address: SocketAddr,
    config_file: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
    http: reqwest::Client,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit code; -1 when a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

impl<'a> Builder<'a> {
    /// The one who talks to Kubernetes. Without one there is no cluster to be found.
    pub fn kubeconfig(mut self, file: &Path) -> Self {
        self.kubeconfig = Some(file.to_owned());
        self
    }

    /// What its logs are called, where a story has several.
    pub fn called(mut self, name: &str) -> Self {
        self.name = format!("ripcord-{name}");
        self
    }

    /// One more argument behind `run --config F`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// One more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it; `wait_ready` waits for its first tick.
    pub fn start(self) -> anyhow::Result<Ripcord> {
        let address = ports::free_address();
        let dir = self.world.new_dir("ripcord")?;
        let config_file = dir.join("ripcord.yaml");
        fs::write(&config_file, with_listen(&self.config, address)?)?;
        let logs = log_dir(&self.world.dir);
        let stdout = log::free_name(&logs, &format!("{}-stdout", self.name))?;
        let stderr = log::free_name(&logs, &self.name)?;
        let mut command = command(self.world, self.kubeconfig.as_deref());
        command.arg("run").arg("--config").arg(&config_file).args(&self.args).envs(self.env);
        let (out, err) = (File::create_new(&stdout)?, File::create_new(&stderr)?);
        let child = Child::start("ripcord", &self.world.run_dir, &mut command, out, err)?;
        let http = reqwest::Client::builder().no_proxy().timeout(HTTP_TIMEOUT).build()?;
        Ok(Ripcord { child, address, config_file, stdout, stderr, http })
    }
}

/// The binary in an environment that holds nothing of the caller's but where programs are (and where coverage data go).
fn command(world: &World, kubeconfig: Option<&Path>) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().current_dir(&world.dir).env("HOME", &world.dir);
    for name in ["PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // A file that does not exist keeps a cluster of the machine's own out of reach.
    command.env("KUBECONFIG", kubeconfig.unwrap_or(&world.dir.join("no-kubeconfig")));
    command
}

/// Puts the address in: for `LISTEN_ADDRESS` where the configuration has it, else as an `http` section of its own.
fn with_listen(config: &str, address: SocketAddr) -> anyhow::Result<String> {
    if config.contains(LISTEN) {
        return Ok(config.replace(LISTEN, &address.to_string()));
    }
    let has_http = config.lines().any(|l| l.starts_with("http:") || l.starts_with("\"http\":"));
    ensure!(!has_http, "a configuration with an http section has to say listen: {LISTEN}");
    Ok(format!("{}\nhttp: {{listen: \"{address}\"}}\n", config.trim_end()))
}

/// Runs a command of the binary to its end.
pub async fn run_to_end(world: &World, kubeconfig: Option<&Path>, args: &[&str]) -> anyhow::Result<Ended> {
    let dir = world.new_dir("command")?;
    let (stdout, stderr) = (dir.join("stdout"), dir.join("stderr"));
    let mut command = command(world, kubeconfig);
    command.args(args);
    let (out, err) = (File::create_new(&stdout)?, File::create_new(&stderr)?);
    let name = format!("ripcord {}", args.join(" "));
    let mut child = Child::start(&name, &world.run_dir, &mut command, out, err)?;
    let waited = child.wait(COMMAND_TIMEOUT).await;
    let read = |file: &Path| fs::read(file).map(|b| String::from_utf8_lossy(&b).into_owned());
    let (stdout, stderr) = (read(&stdout)?, read(&stderr)?);
    world.log("command")?.line(format!("{name}: {waited:?}\n{stdout}{stderr}"));
    Ok(Ended { status: waited?, stdout, stderr })
}

impl Ripcord {
    /// One that is yet to be started. The configuration's `http.listen` is put in: see `fixtures::LISTEN`.
    pub fn builder<'a>(world: &'a World, config: &str) -> Builder<'a> {
        Builder {
            world,
            name: "ripcord".to_owned(),
            config: config.to_owned(),
            kubeconfig: None,
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Starts it with this configuration as this user of the API server.
    pub fn start(world: &World, config: &str, kubeconfig: &Path) -> anyhow::Result<Self> {
        Self::builder(world, config).kubeconfig(kubeconfig).start()
    }

    /// The base address of its HTTP server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file with its configuration, for commands that want one too.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Writes another configuration for it to reload; the address stays.
    pub fn write_config(&self, config: &str) -> anyhow::Result<()> {
        Ok(fs::write(&self.config_file, with_listen(config, self.address)?)?)
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.url());
        let http = self.http.clone();
        let ready = eventually(READY_TIMEOUT, "Ripcord is ready", async || {
            let answer = http.get(&url).send().await?;
            ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
            Ok(())
        });
        tokio::select! {
            ready = ready => ready,
            ended = self.child.wait(READY_TIMEOUT * 2) => bail!("Ripcord ended ({})", ended?),
        }
    }

    /// A page's status and text.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.url())).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Posts JSON, with a bearer token if there is one; status and text.
    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> anyhow::Result<(u16, String)> {
        let mut request = self.http.post(format!("{}{path}", self.url())).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let (status, text) = self.get(path).await?;
        ensure!(status == 200, "{path} answers {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{path} answers {text}"))
    }

    /// `/api/v1/status`.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.json("/api/v1/status").await
    }

    /// `/api/v1/incidents`.
    pub async fn incidents(&self) -> anyhow::Result<Value> {
        self.json("/api/v1/incidents").await
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let (status, text) = self.get("/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}: {text}");
        Ok(text)
    }

    /// The value of the one series of this name with at least these labels; none when there is none. Several are an error.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<Option<f64>> {
        metric_in(&self.metrics().await?, name, labels)
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.child.signal(signal)
    }

    /// Waits until it ends by itself.
    pub async fn wait_exit(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        self.child.wait(timeout).await
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it from elsewhere: from where a request of its arrives, say.
    pub fn killer(&self) -> Killer {
        self.child.killer()
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// What it has written to stderr so far, line by line.
    pub fn stderr(&self) -> Vec<String> {
        lines(&self.stderr)
    }

    /// What it has written to stdout so far, line by line.
    pub fn stdout(&self) -> Vec<String> {
        lines(&self.stdout)
    }

    /// Its log so far: the lines of stderr that are JSON objects.
    pub fn log(&self) -> Vec<Value> {
        self.stderr().iter().filter_map(|l| serde_json::from_str(l).ok()).filter(Value::is_object).collect()
    }

    /// Waits for a log line.
    pub async fn wait_log(&self, what: &str, is: impl Fn(&Value) -> bool, timeout: Duration) -> anyhow::Result<Value> {
        eventually(timeout, &format!("the log says: {what}"), async || self.log().into_iter().find(|l| is(l))).await
    }
}

/// Whole lines only: the last one may be half written.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')).map(str::to_owned).collect()
}

/// The value of the one series of this name with at least these labels on a metrics page.
pub fn metric_in(page: &str, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<Option<f64>> {
    let wanted: Vec<_> = samples(page, name)
        .filter(|(has, _)| labels.iter().all(|(l, v)| has.get(*l).is_some_and(|x| x == v)))
        .collect();
    match wanted.as_slice() {
        [] => Ok(None),
        [(_, value)] => Ok(Some(*value)),
        many => bail!("{} series {name} have {labels:?}", many.len()),
    }
}

/// The samples of one name on a metrics page: labels and value.
fn samples<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = (BTreeMap<String, String>, f64)> + 'a {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (BTreeMap::new(), rest.strip_prefix(' ')?),
        };
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

/// Parses `a="b",c="d"} rest`.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(end) = rest.strip_prefix('}') {
            return Some((labels, end));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        rest = loop {
            match chars.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, c) => value.push(c),
            }
        };
        labels.insert(name.to_owned(), value);
    }
}
