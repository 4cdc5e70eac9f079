//! `ripcord demo`: the whole story in under a minute, with nothing else installed.
//!
//! Everything of Ripcord is the real thing: the daemon, its clients, the engine, the steps. What it talks to is simulated, in this process,
//! on loopback addresses; one fast clock holds for both.
//!
//! - `mesh`: the traffic, as pure functions of time; `prometheus`: what is counted of it
//! - `cluster`: a Kubernetes API with two components; `receiver`: where the pages go
//! - `setting`: the configuration that the daemon runs with, and what the world is made of
//! - `story`: what happens when, and who says it; `status` reads the daemon's API; `pages` and `verdict` tell the end; `screen` writes

mod cluster;
mod mesh;
mod pages;
mod prometheus;
mod receiver;
mod screen;
mod setting;
mod status;
mod story;
mod verdict;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::cli::Demo;
use crate::config::{self, Finding, LoadOptions, Settings};
use crate::daemon::{self, Clock, Setup};
use crate::kubernetes::Cluster;
use crate::telemetry::{self, Metrics};

use super::{Failure, runtime};

use setting::{Addresses, SPEED};

use super::scratch::Folder;
use story::Story;

/// How long the daemon may take to listen, and to stop: far longer than a loaded machine needs.
const DAEMON_WITHIN: Duration = Duration::from_secs(30);

/// How long all of it may take, far beyond the half minute that it takes: on an overloaded machine ticks are missed, and the hold takes longer.
const LIMIT: Duration = Duration::from_secs(180);

/// Shows the whole story.
pub fn demo(options: &Demo) -> Result<(), Failure> {
    if std::env::var_os(telemetry::LOG_VARIABLE).is_some() {
        telemetry::start_log()?;
    }
    runtime()?.block_on(play(options.listen))?;
    Ok(())
}

async fn play(listen: SocketAddr) -> anyhow::Result<()> {
    let clock = Clock::fast(SPEED);
    let objects = Arc::new(cluster::Objects::new(clock, setting::objects()));
    let mesh = Arc::new(mesh::Mesh::new(objects.clone()));
    let (pages_to, pages) = mpsc::unbounded_channel();
    let addresses = Addresses {
        prometheus: serve(prometheus::app(mesh.clone())).await?,
        receiver: serve(receiver::app(pages_to)).await?,
        listen,
    };
    let kubernetes = serve(cluster::app(objects.clone())).await?;

    let load = move || load(&setting::configuration(&addresses));
    let settings = load().map_err(|findings| {
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        anyhow!("the demo's own configuration is wrong: {}", findings.join("; "))
    })?;
    let api_server = format!("http://{kubernetes}").parse().context("the address of the simulated cluster")?;
    let cluster = Cluster::from_config(kube::Config::new(api_server)).await?;

    let (listening, listens) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let guards = settings.guards.clone();
    let setup = Setup {
        settings,
        load: Box::new(load),
        cluster: cluster.clone(),
        clock,
        dry_run: false,
        by_hand: false,
        metrics: Metrics::start()?,
        listening: Some(listening),
        stop: Some(stopped),
    };
    let mut daemon = tokio::spawn(daemon::run(setup));
    let telling = async {
        let address = match tokio::time::timeout(DAEMON_WITHIN, listens).await {
            Ok(Ok(address)) => address,
            // It ended. That it did comes with its reason, by its own way.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => bail!("the daemon did not begin to listen within {DAEMON_WITHIN:?}"),
        };
        let mut story = Story::new(clock, reachable(address), mesh, objects, cluster, guards, pages)?;
        match tokio::time::timeout(LIMIT, story.tell()).await {
            Ok(told) => told,
            Err(_) => bail!("gave up after {LIMIT:?} while waiting for {}", story.waiting_for()),
        }
    };
    let told = tokio::select! {
        biased;
        ended = &mut daemon => {
            ended.context("the daemon died")??;
            bail!("interrupted");
        }
        told = telling => told,
    };
    // An error means that it has ended already.
    let _ = stop.send(());
    let ended = tokio::time::timeout(DAEMON_WITHIN, daemon).await.context("the daemon did not stop")?;
    let last_line = told?;
    ended.context("the daemon died")??;
    writeln!(std::io::stdout(), "\n{last_line}").context("cannot write to stdout")
}

/// Loads a configuration the way in which `ripcord run` does: from a file. The file is gone when it is read.
fn load(configuration: &str) -> Result<Settings, Vec<Finding>> {
    let trouble = |error: anyhow::Error| vec![Finding::at(String::new(), format!("{error:#}"))];
    let folder = Folder::create().map_err(trouble)?;
    let file = folder.write("ripcord.yaml", configuration).map_err(trouble)?;
    // The environment of whoever looks at the demo says nothing about its configuration.
    config::load(&[file], HashMap::new(), LoadOptions::default())
}

/// Serves one of the simulated servers on a free port of the loopback interface, until the process ends.
async fn serve(app: axum::Router) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr().context("the address of a simulated server")?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// The address that reaches a server which listens on every interface.
fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listening.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, listening.port())),
        _ => listening,
    }
}
