//! The start, and the loop.

use std::collections::BTreeSet;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::config::{Finding, ObjectName, Settings, StatePlace};
use crate::engine::Sentence;
use crate::http::{self, Curves, Snapshot};
use crate::kubernetes::{Cluster, Election, Kind as ObjectKind, Leadership, LeaseSettings, ObjectRef, election};
use crate::notify::{Addresses, Losses, Outbox};
use crate::state::{self, ConfigMapPlace, FilePlace, Keeper, Report};
use crate::telemetry;

use super::changes::Changes;
use super::core::Core;
use super::heartbeat::Heart;
use super::role::Role;
use super::shares::Shares;
use super::signals::{Signal, Signals};
use super::ticker::CatchUp;
use super::trouble::Troubles;
use super::{Daemon, Inbox, Setup, World, by_hand, readiness, ticker};

/// Messages that may wait for the event loop. It handles one in well under a millisecond; a full channel slows the senders down.
const MESSAGES: usize = 256;

/// Runs until a signal ends it. The error is why it could not go on.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let Setup { settings, load, cluster, clock, dry_run, by_hand, metrics, listening, stop } = setup;
    let (reports_to, reports) = mpsc::unbounded_channel();
    let (delivery_to, deliveries) = mpsc::unbounded_channel();
    let (kept_to, kept) = mpsc::unbounded_channel();
    let (elections_to, elections) = mpsc::unbounded_channel();
    let (requests_to, requests) = mpsc::channel(MESSAGES);
    let (measured_to, measured) = mpsc::channel(1);
    let (tried_to, tried) = mpsc::channel(1);
    let mut inbox = Inbox { reports, deliveries, kept, elections, requests, measured, tried };
    let mut signals = Signals::listen().context("cannot listen for signals")?;

    let listen = settings.http.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (http.listen): is another Ripcord running?"))?;
    let address = listener.local_addr().context("the address of the HTTP server")?;

    let identity = election::new_identity();
    let lease = settings.leader_election.as_ref().filter(|_| !dry_run);
    let election = lease.map(|lease| {
        let ObjectName { namespace, name } = lease.lease.clone();
        let object = ObjectRef { kind: ObjectKind::Lease, namespace, name };
        let lease = LeaseSettings { object, duration: lease.lease_duration };
        Election::start(cluster.clone(), lease, identity.clone(), elections_to)
    });
    let leadership = election.as_ref().map_or_else(Leadership::alone, Election::leadership);
    let (keeper, place) = match keep(&settings, &cluster, dry_run, kept_to)? {
        Some((keeper, place)) => (Some(keeper), Some(place)),
        None => (None, None),
    };
    let own_pages = Arc::new(AtomicBool::new(true));
    let may_send = {
        let (leadership, own_pages) = (leadership.clone(), own_pages.clone());
        Arc::new(move || own_pages.load(Ordering::SeqCst) || leadership.may_act())
    };
    let outbox = Outbox::start(&settings.receivers, Addresses::of_settings(&settings), delivery_to, may_send)
        .map_err(|findings| anyhow::anyhow!("{}", list(&findings)))?;
    let world = World::new(settings)?;
    let now = clock.now();
    telemetry::Event::Started { guards: world.settings.guards.len(), dry_run }.emit();
    for finding in &world.settings.warnings {
        tracing::warn!(%finding, "Worth a second look");
    }
    telemetry::Event::Reloaded { at: now, guards: world.settings.guards.len() }.emit();
    world.count_from_zero();

    let writer = keeper.as_ref().map(|_| identity);
    let (snapshot, snapshots) = watch::channel(Snapshot::default());
    let curves = Curves::default();
    let (catch_up, owed) = watch::channel(CatchUp::default());
    let heart = Heart::new(world.settings.heartbeat.as_ref());
    let core = Core::new(world.engine_settings(dry_run), writer);
    let (world, worlds) = watch::channel(world);
    let (leading, leads) = watch::channel(false);
    let (watched, watches) = watch::channel(Vec::new());
    let mut daemon = Daemon {
        core,
        role: Role::Standby,
        elects: election.is_some(),
        keeper,
        place,
        written_by_the_leader: None,
        lost_by_the_leader: Vec::new(),
        saved_at: None,
        state_error: None,
        checkpoint: Instant::now(),
        troubles: Troubles::default(),
        changes: Changes::new(cluster.clone(), clock, reports_to, leadership.permit()),
        leadership,
        world,
        catch_up,
        asked: Vec::new(),
        saving: Vec::new(),
        replayed: None,
        outbox,
        losses: Losses::default(),
        own_pages,
        heart,
        cluster: cluster.clone(),
        clock,
        dry_run,
        by_hand,
        leading,
        watched,
        started_at: now,
        loaded_at: now,
        reload_success: true,
        last_tick: None,
        snapshot,
        curves: curves.clone(),
        gauges: telemetry::Gauges::default(),
        metrics: metrics.clone(),
        listen,
        unreachable: BTreeSet::new(),
        dirty: false,
    };
    daemon.publish();
    if !daemon.elects {
        daemon.elected();
    }

    let mut tasks = JoinSet::new();
    if by_hand {
        tasks.spawn(async move {
            let _open = (owed, watches, tried_to);
            by_hand::look_once(cluster, worlds, leads, clock, measured_to).await;
        });
    } else {
        let shares = Shares::new(watches);
        tasks.spawn(shares.clone().keep_reading(cluster.clone(), worlds.clone(), clock));
        let permit = daemon.leadership.permit();
        tasks.spawn(readiness::keep_trying(cluster, worlds.clone(), leads, clock, permit, tried_to));
        tasks.spawn(ticker::tick(clock, worlds, owed, shares, measured_to));
    }
    let now = Arc::new(move || clock.now());
    let server = http::Server { snapshots, curves, metrics, requests: requests_to, now };
    tasks.spawn(http::serve(listener, server));
    if let Some(listening) = listening {
        // Nobody may be waiting to know.
        let _ = listening.send(address);
    }
    let mut stop = std::pin::pin!(async move {
        match stop {
            Some(stop) => {
                let _ = stop.await;
            }
            None => std::future::pending().await,
        }
    });

    let ended = loop {
        let patience = daemon.core.patient_until();
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::Stop => break Ok(()),
                Signal::Reload => daemon.reload(&load),
                Signal::Status => daemon.log_status(),
            },
            () = &mut stop => break Ok(()),
            // Who leads comes before what the leader is to do.
            event = inbox.elections.recv(), if daemon.elects => match event {
                Some(event) => daemon.election(event),
                None => break Err(anyhow::anyhow!("the task that stands for election died")),
            },
            report = inbox.kept.recv(), if daemon.keeper.is_some() => match report.map(|report| daemon.kept(report)) {
                Some(Ok(())) => {}
                Some(Err(fenced)) => break Err(fenced),
                None => break Err(anyhow::anyhow!("the task that keeps the state died")),
            },
            () = until(patience) => daemon.out_of_patience(),
            Some(reported) = inbox.reports.recv() => daemon.reported(reported),
            Some(request) = inbox.requests.recv() => daemon.request(request),
            Some(measured) = inbox.measured.recv() => {
                daemon.tick(measured);
                if let Some(guard) = daemon.changes.died().await {
                    break Err(anyhow::anyhow!("the task that changes the guard {guard} died"));
                }
            },
            Some(tried) = inbox.tried.recv() => daemon.tried(tried),
            Some(event) = inbox.deliveries.recv() => daemon.delivery(&event),
            Some(ended) = tasks.join_next() => break Err(match ended {
                Ok(()) => anyhow::anyhow!("a task ended that never should"),
                Err(error) => anyhow::Error::from(error).context("a task died"),
            }),
            // Last, so that it is done once when many messages come at once.
            () = std::future::ready(()), if daemon.dirty => daemon.publish(),
        }
    };
    if let Err(error) = &ended {
        tracing::error!(error = format!("{error:#}"), "Ending: what is in flight is finished first");
    }

    signals.abort_on_next();
    daemon.stop(&mut inbox, election).await;
    ended
}

/// The task that keeps the state, and where it does so. A dry run keeps none.
fn keep(
    settings: &Settings,
    cluster: &Cluster,
    dry_run: bool,
    reports: mpsc::UnboundedSender<Report>,
) -> anyhow::Result<Option<(Keeper, Sentence)>> {
    let Some(place) = settings.state.as_ref().filter(|_| !dry_run) else { return Ok(None) };
    let keeper = match place {
        StatePlace::File(path) => Keeper::start(FilePlace::open(path).context("cannot run")?, reports),
        StatePlace::ConfigMap(object) => Keeper::start(ConfigMapPlace::new(cluster.clone(), object), reports),
    };
    Ok(Some((keeper, state::name(place))))
}

/// Waits until then, or for ever.
pub(super) async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
