//! A daemon in this process, for one command that moves traffic or records baselines: it takes the state up, carries out what it is asked for, tells, and stops. It does not
//! measure, so that it decides nothing by itself.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::control::call;
use super::patience::patiently;
use super::scratch::Folder;
use super::{Failure, namespace, say};
use crate::cli::Daemon;
use crate::config::{SecretFile, Settings, StatePlace};
use crate::daemon::{self, Clock, Setup};
use crate::engine::duration_in_words;
use crate::kubernetes::Cluster;
use crate::notify;
use crate::state;
use crate::telemetry::{self, LOG_VARIABLE, Metrics};

/// How long it may take to listen, and to have read the state and the shares once it leads.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How long it may take to stop: as long as a daemon's stop, which delivers pages.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A daemon that leads writes its state at least once in this time, with room for a slow API server.
const WRITES_WITHIN: Duration = Duration::from_secs(150);

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long the pages may take to be delivered: what a healthy receiver takes many times over.
const DELIVER_WITHIN: Duration = Duration::from_secs(8);

/// The bytes of the token that this process talks to itself with.
const TOKEN_BYTES: usize = 32;

/// A daemon in this process.
pub struct Here {
    daemon: JoinHandle<anyhow::Result<()>>,
    stop: Option<oneshot::Sender<()>>,
    address: Daemon,
    /// Holds the token as long as it is needed.
    _folder: Folder,
}

impl Here {
    /// Starts it, and waits until it leads and knows the shares.
    pub async fn start(mut settings: Settings, cluster: Cluster) -> Result<Self, Failure> {
        // The log of a daemon says more than a person wants beside the answer.
        if std::env::var_os(LOG_VARIABLE).is_some() {
            telemetry::start_log()?;
        }
        for (receiver, why) in notify::unusable(&settings.receivers) {
            say(&format!("{receiver} cannot be told from here: {why}"));
            settings.receivers.retain(|other| other.name != receiver);
        }
        // Nothing is measured.
        settings.prometheus.ca_file = None;
        let folder = Folder::create()?;
        let token = folder.write("token", &token()?)?;
        settings.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        settings.http.token_file = Some(SecretFile(token.clone()));
        let lease = settings.leader_election.as_ref().map(|election| election.lease_duration).unwrap_or_default();
        let namespace = namespace(&settings).to_owned();
        let (listening, listens) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let setup = Setup {
            settings,
            load: Box::new(|| Err(Vec::new())),
            cluster,
            clock: Clock::wall(),
            dry_run: false,
            by_hand: true,
            metrics: Metrics::start()?,
            listening: Some(listening),
            stop: Some(stopped),
        };
        let daemon = tokio::spawn(daemon::run(setup));
        let address = Daemon { url: String::new(), token_file: Some(token) };
        let mut here = Self { daemon, stop: Some(stop), address, _folder: folder };
        let port = tokio::select! {
            ended = &mut here.daemon => return Err(early(ended).into()),
            listens = tokio::time::timeout(READY_WITHIN, listens) => match listens {
                Ok(Ok(address)) => address.port(),
                _ => return Err(anyhow!("this process did not begin to listen on 127.0.0.1 within {READY_WITHIN:?}").into()),
            },
        };
        here.address.url = format!("http://127.0.0.1:{port}");
        here.while_it_runs(async |daemon| ready(daemon, lease, &namespace).await).await?;
        Ok(here)
    }

    /// Does something with it; its own end is an error.
    pub async fn while_it_runs<T>(
        &mut self,
        work: impl AsyncFnOnce(&Daemon) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let address = &self.address;
        tokio::select! {
            biased;
            done = work(address) => done,
            ended = &mut self.daemon => Err(early(ended).into()),
        }
    }

    /// Stops it: what is in flight is finished or journalled, and pages are delivered as far as that goes.
    pub async fn stop(mut self) {
        patiently("Delivering the pages", self.deliver()).await;
        drop(self.stop.take());
        if self.daemon.is_finished() {
            return;
        }
        match patiently("Writing the state", tokio::time::timeout(STOP_WITHIN, &mut self.daemon)).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => say(&format!("the end was not clean: {error:#}")),
            _ => say(&format!("the end was not clean: it took longer than {STOP_WITHIN:?}")),
        }
    }

    /// Waits until the pages are delivered, for as long as a person waits for that; what is left is sent by the daemon later.
    async fn deliver(&self) {
        let begun = Instant::now();
        loop {
            let Ok(status) = call(&self.address, &["api", "v1", "status"], None).await else { return };
            let receivers = status["receivers"].as_array().cloned().unwrap_or_default();
            let waiting: Vec<&str> =
                receivers.iter().filter(|r| r["waiting"] != 0).filter_map(|r| r["receiver"].as_str()).collect();
            if waiting.is_empty() {
                return;
            }
            if begun.elapsed() > DELIVER_WITHIN {
                say(&format!(
                    "Pages for {} wait in the state, and are sent when Ripcord runs again",
                    waiting.join(", ")
                ));
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// It ended before it was told to.
fn early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!(
            "interrupted: what was sent stays sent. What was begun is in the state, and the daemon goes on with it when it runs"
        ),
        Ok(Err(error)) => error.context("cannot do it without the daemon; if one is running, ask it with --url"),
        Err(error) => anyhow::Error::from(error).context("this process' own daemon died"),
    }
}

/// Waits until it leads, and then until the shares are known.
async fn ready(daemon: &Daemon, lease: Duration, namespace: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let status = call(daemon, &["api", "v1", "status"], None).await?;
        if status["leads"] == true {
            break;
        }
        let leader = status["leader"].as_str().map(str::to_owned);
        if begun.elapsed() > lease + READY_WITHIN {
            return Err(not_leading(leader, status["state_error"].as_str(), namespace).into());
        }
        if !said && begun.elapsed() > Duration::from_secs(1) {
            said = true;
            match &leader {
                Some(leader) => {
                    say(&format!("The Lease is held by {leader}: waiting up to {lease:?} whether that one is gone"))
                }
                None => say("Taking the state up"),
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let begun = Instant::now();
    while !is_ready(daemon).await {
        if begun.elapsed() > READY_WITHIN {
            // What the engine does not know it says itself.
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn is_ready(daemon: &Daemon) -> bool {
    let get = async {
        let client = reqwest::Client::builder().no_proxy().timeout(READY_WITHIN).build()?;
        client.get(format!("{}/readyz", daemon.url)).send().await
    };
    get.await.is_ok_and(|answer| answer.status().is_success())
}

fn not_leading(leader: Option<String>, error: Option<&str>, namespace: &str) -> anyhow::Error {
    match (leader, error) {
        (Some(leader), _) => {
            let pod = leader.rsplit_once('_').map_or(leader.as_str(), |(pod, _)| pod).to_owned();
            anyhow!(
                "a Ripcord runs and leads ({leader}). If that is somebody's own command (ripcord rollback, ripcord baseline record), wait for it. If it is the daemon's pod, \
                 ask it, so that both know the same:\n  \
                 kubectl -n {namespace} port-forward pod/{pod} 8080\n  \
                 and add --url http://127.0.0.1:8080 --token-file FILE\n\
                 If that one hangs, take it away first: kubectl -n {namespace} scale deployment/ripcord --replicas=0"
            )
        }
        (None, Some(error)) => anyhow!("the state cannot be read, and without it nothing is moved: {error}"),
        (None, None) => {
            anyhow!("the Lease could not be taken: see whether the API server answers and whether you may update it")
        }
    }
}

/// Refuses where a daemon without leader election may be running: it would find its state written by somebody else, and end.
pub async fn refuse_beside_a_daemon(settings: &Settings, cluster: &Cluster) -> Result<(), Failure> {
    let (Some(StatePlace::ConfigMap(name)), None) = (&settings.state, &settings.leader_election) else { return Ok(()) };
    // What cannot be read is said when it is taken up.
    let Ok(Some(document)) = state::look_at_config_map(cluster, name).await else { return Ok(()) };
    let age = Duration::try_from(Timestamp::now().duration_since(document.saved_at)).unwrap_or_default();
    if age > WRITES_WITHIN {
        return Ok(());
    }
    Err(anyhow!(
        "the ConfigMap {name} was written {} ago: a Ripcord seems to run, and without leader_election it would end if its state were \
         taken away. Nothing was changed. Ask it with --url, or stop it; if you know that none runs, add --take-over",
        duration_in_words(age)
    )
    .into())
}

/// A token that nobody guesses.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    if let Err(error) = read {
        bail!("cannot make a token: /dev/urandom: {error}");
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
