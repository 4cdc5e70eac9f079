//! Who leads, by a Lease: several candidates in front of one real API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use ripcord::kubernetes::election::new_identity;
use ripcord::kubernetes::{Cluster, Election, ElectionEvent, Kind, Leadership, LeaseSettings, LossReason, ObjectRef};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stage::{cluster_of, deployed, deployed_behind_a_proxy, reader};
use crate::stories;
use crate::support::proxy::{Fault, Recorded};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        one_leads_and_a_clean_stop_hands_over,
        a_crash_is_waited_out,
        one_whose_calls_hang_stops_before_another_begins,
        one_whose_server_is_gone_stops_before_another_begins,
        one_that_was_stopped_does_not_act_when_it_wakes_up,
        the_clocks_of_others_do_not_matter,
        odd_leases_are_taken_and_break_nothing,
        odd_answers_break_nothing,
        a_deleted_lease_is_created_anew_by_its_holder,
        what_others_write_beside_the_record_stays,
        whoever_is_ousted_stops_at_once,
        a_lost_answer_costs_no_election,
        missing_rights_are_told_once,
        a_stop_does_not_wait_for_a_dead_server,
    ]
}

/// The Lease that `deploy/overlays/sealos` names.
const LEASE: &str = "ripcord";

/// How long it is held for in most stories: renewed every 0.4 s, lost after 2 s.
const DURATION: Duration = Duration::from_secs(3);

const RENEW_DEADLINE: Duration = Duration::from_secs(2);

const RETRY_PERIOD: Duration = Duration::from_millis(400);

/// How much later than it should something may seem to happen on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// One who stands for election.
struct Candidate {
    election: Election,
    leadership: Leadership,
    events: mpsc::UnboundedReceiver<ElectionEvent>,
    /// Those so far, with the time at which they were read.
    seen: Vec<(Instant, ElectionEvent)>,
}

fn settings(world: &World, duration: Duration) -> LeaseSettings {
    let object = ObjectRef { kind: Kind::Lease, namespace: world.namespace.clone(), name: LEASE.to_owned() };
    LeaseSettings { object, duration }
}

impl Candidate {
    fn stand(world: &World, cluster: Cluster, duration: Duration) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let election = Election::start(cluster, settings(world, duration), new_identity(), tell);
        let leadership = election.leadership();
        Self { election, leadership, events, seen: Vec::new() }
    }

    fn leads(&self) -> bool {
        self.leadership.may_act()
    }

    /// Waits for an event and says when it came. What came before is kept.
    async fn until(&mut self, timeout: Duration, is: impl Fn(&ElectionEvent) -> bool) -> anyhow::Result<Instant> {
        let end = tokio::time::Instant::now() + timeout;
        loop {
            match tokio::time::timeout_at(end, self.events.recv()).await {
                Ok(Some(event)) => {
                    let found = is(&event);
                    self.seen.push((Instant::now(), event));
                    if found {
                        return Ok(Instant::now());
                    }
                }
                Ok(None) => bail!("the election ended; so far: {:?}", self.seen),
                Err(_) => bail!("waited {timeout:?} in vain for an event; so far: {:?}", self.seen),
            }
        }
    }

    async fn elected(&mut self, timeout: Duration) -> anyhow::Result<Instant> {
        self.until(timeout, |event| *event == ElectionEvent::Elected).await
    }

    async fn lost(&mut self, timeout: Duration) -> anyhow::Result<(Instant, LossReason)> {
        let at = self.until(timeout, |event| matches!(event, ElectionEvent::Lost(_))).await?;
        match self.seen.last() {
            Some((_, ElectionEvent::Lost(reason))) => Ok((at, reason.clone())),
            other => bail!("{other:?}"),
        }
    }

    /// Everything that came and was not waited for.
    fn drain(&mut self) -> Vec<ElectionEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

/// Looks all the time whether two may act at once.
struct Watch {
    stop: Arc<AtomicBool>,
    overlaps: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The time between two looks.
const GLANCE: Duration = Duration::from_micros(500);

impl Watch {
    fn over(all: Vec<Leadership>) -> Self {
        let (stop, overlaps, looks) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (stopped, found, count) = (stop.clone(), overlaps.clone(), looks.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let first = all.iter().position(Leadership::may_act);
                let other = all.iter().enumerate().find(|(n, l)| Some(*n) != first && l.may_act());
                // The first may have stopped before the other was looked at. It does not get the Lease back so soon.
                if other.is_some() && first.is_some_and(|n| all[n].may_act()) {
                    found.fetch_add(1, Ordering::SeqCst);
                }
                count.fetch_add(1, Ordering::SeqCst);
                thread::sleep(GLANCE);
            }
        });
        Self { stop, overlaps, looks, thread: Some(thread) }
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            ensure!(thread.join().is_ok(), "the watch panicked");
        }
        let (overlaps, looks) = (self.overlaps.load(Ordering::SeqCst), self.looks.load(Ordering::SeqCst));
        ensure!(looks > 100, "only {looks} looks");
        ensure!(overlaps == 0, "two might act at once in {overlaps} of {looks} looks");
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn watch(candidates: &[&Candidate]) -> Watch {
    Watch::over(candidates.iter().map(|c| c.leadership.clone()).collect())
}

/// A leader and a standby that sees it.
async fn two(world: &World) -> anyhow::Result<(Candidate, Candidate)> {
    let mut leader = Candidate::stand(world, deployed(world).await?, DURATION);
    leader.elected(SLACK).await?;
    let standby = standby(world, &leader).await?;
    Ok((leader, standby))
}

async fn standby(world: &World, leader: &Candidate) -> anyhow::Result<Candidate> {
    let mut standby = Candidate::stand(world, deployed(world).await?, DURATION);
    let holder = ElectionEvent::Holder(Some(leader.leadership.identity().to_owned()));
    standby.until(SLACK, |event| *event == holder).await?;
    Ok(standby)
}

async fn lease(world: &World) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(world.api::<Lease>().get(LEASE).await?)?)
}

/// Writes into the Lease as somebody else.
async fn write(world: &World, patch: Value) -> anyhow::Result<()> {
    world.api::<Lease>().patch(LEASE, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn create(world: &World, spec: &Value) -> anyhow::Result<()> {
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": LEASE}, "spec": spec}))?;
    world.create(&lease).await?;
    Ok(())
}

async fn delete(world: &World) -> anyhow::Result<()> {
    ensure!(world.api::<Lease>().delete(LEASE, &DeleteParams::default()).await?.is_right(), "it is still there");
    Ok(())
}

/// A time as the Lease has it, so many seconds from now.
fn in_seconds(seconds: i64) -> String {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

async fn one_leads_and_a_clean_stop_hands_over(world: World) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Candidate::stand(&world, deployed(&world).await?, DURATION));
    }
    let watch = watch(&all.iter().collect::<Vec<_>>());
    eventually(SLACK, "one leads", async || all.iter().any(Candidate::leads)).await?;
    let leader = all.iter().position(Candidate::leads).context("a leader")?;
    let name = all[leader].leadership.identity().to_owned();
    // Longer than the Lease lasts: the renewals keep it, and nobody but the first is elected.
    never(DURATION + RETRY_PERIOD, "the leader changes", async || !all[leader].leads()).await?;
    for candidate in &all {
        ensure!(candidate.leadership.holder().as_deref() == Some(name.as_str()), "{:?}", candidate.leadership);
    }
    let before = lease(&world).await?;
    ensure!(before["spec"]["holderIdentity"] == name.as_str() && before["spec"]["leaseTransitions"] == 0, "{before}");
    ensure!(before["spec"]["leaseDurationSeconds"] == 3, "{before}");
    ensure!(before["spec"]["renewTime"].as_str() > before["spec"]["acquireTime"].as_str(), "{before}");

    let mut leader = all.remove(leader);
    let leadership = leader.leadership.clone();
    leader.election.release().await?;
    ensure!(!leadership.may_act());
    let released = Instant::now();
    eventually(SLACK, "another leads", async || all.iter().any(Candidate::leads)).await?;
    let took = released.elapsed();
    ensure!(took < DURATION - RETRY_PERIOD * 2, "it was waited out, not given back: {took:?}");
    let after = lease(&world).await?;
    ensure!(after["spec"]["leaseTransitions"] == 1 && after["metadata"]["uid"] == before["metadata"]["uid"], "{after}");
    let events: Vec<_> = std::iter::from_fn(|| leader.events.try_recv().ok()).collect();
    ensure!(events == [ElectionEvent::Holder(Some(name)), ElectionEvent::Elected], "{events:?}");
    ensure!(leader.events.recv().await.is_none(), "the election goes on");
    watch.end()
}

async fn a_crash_is_waited_out(world: World) -> anyhow::Result<()> {
    let (leader, mut standby) = two(&world).await?;
    let watch = watch(&[&leader, &standby]);
    drop(leader.election);
    let crashed = Instant::now();
    ensure!(!leader.leadership.may_act());
    let took = standby.elected(DURATION + SLACK).await? - crashed;
    // The last renewal is a retry period old at most, and was seen a retry period later at most.
    ensure!(took > RENEW_DEADLINE && took < DURATION + RETRY_PERIOD * 2 + SLACK, "{took:?}");
    ensure!(standby.leads() && lease(&world).await?["spec"]["leaseTransitions"] == 1);
    watch.end()
}

async fn one_whose_calls_hang_stops_before_another_begins(world: World) -> anyhow::Result<()> {
    cut_off(world, |proxy| proxy.all(Fault::Hang), async |proxy| proxy.clear()).await
}

async fn one_whose_server_is_gone_stops_before_another_begins(world: World) -> anyhow::Result<()> {
    cut_off(world, |proxy| proxy.gone(), async |proxy| proxy.back().await.expect("to listen again")).await
}

async fn cut_off(
    world: World,
    cut: impl Fn(&crate::support::proxy::FaultProxy),
    mend: impl AsyncFn(&crate::support::proxy::FaultProxy),
) -> anyhow::Result<()> {
    let (proxy, cluster) = deployed_behind_a_proxy(&world).await?;
    let mut leader = Candidate::stand(&world, cluster, DURATION);
    leader.elected(SLACK).await?;
    let mut standby = standby(&world, &leader).await?;
    let watch = watch(&[&leader, &standby]);
    cut(&proxy);
    let began = Instant::now();
    let (lost, elected) = tokio::join!(leader.lost(DURATION + SLACK), standby.elected(DURATION + SLACK));
    let ((lost, reason), elected) = (lost?, elected?);
    ensure!(!leader.leads() && standby.leads());
    ensure!(lost < elected, "it was told {:?} too late", lost - elected);
    // Even where the call under way hangs, not only after it.
    ensure!(lost - began < RENEW_DEADLINE + SLACK, "{:?}", lost - began);
    let LossReason::NotRenewed { error: Some(error) } = &reason else { bail!("{reason:?}") };
    ensure!(error.contains(&format!("Lease {}/{LEASE}: ", world.namespace)), "{error}");
    let failing = |event: &ElectionEvent| matches!(event, ElectionEvent::Failing(_));
    ensure!(leader.seen.iter().filter(|(_, event)| failing(event)).count() == 1, "{:?}", leader.seen);

    mend(&proxy).await;
    leader.until(SLACK, |event| *event == ElectionEvent::Recovered).await?;
    ensure!(leader.leadership.holder().as_deref() == Some(standby.leadership.identity()), "{:?}", leader.leadership);
    never(DURATION, "the old one leads again", async || leader.leads() || !standby.leads()).await?;
    watch.end()
}

/// The whole process is stopped, as by SIGSTOP: nothing of it runs, and its clocks go on.
async fn one_that_was_stopped_does_not_act_when_it_wakes_up(world: World) -> anyhow::Result<()> {
    let cluster = deployed(&world).await?;
    let (tell, events) = mpsc::unbounded_channel();
    let (freeze, frozen) = std::sync::mpsc::channel::<Duration>();
    let (hand_out, handed) = std::sync::mpsc::channel();
    let object = settings(&world, DURATION);
    // A runtime of one thread, which a task of it then holds up.
    let process = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let election = Election::start(cluster, object, new_identity(), tell);
            hand_out.send(election.leadership()).expect("somebody listens");
            loop {
                match frozen.try_recv() {
                    Ok(duration) => thread::sleep(duration),
                    Err(std::sync::mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => break,
                }
            }
            drop(election);
        });
    });
    let leadership = handed.recv()?;
    let mut events = events;
    while tokio::time::timeout(SLACK, events.recv()).await?.context("the election ended")? != ElectionEvent::Elected {}
    let mut standby = Candidate::stand(&world, deployed(&world).await?, DURATION);
    let holder = ElectionEvent::Holder(Some(leadership.identity().to_owned()));
    standby.until(SLACK, |event| *event == holder).await?;
    let watch = Watch::over(vec![leadership.clone(), standby.leadership.clone()]);

    freeze.send(DURATION + SLACK * 2)?;
    standby.elected(DURATION + SLACK).await?;
    ensure!(!leadership.may_act());
    let lost = tokio::time::timeout(SLACK * 4, events.recv()).await?.context("the election ended")?;
    let stopped = ElectionEvent::Lost(LossReason::NotRenewed { error: None });
    let taken = ElectionEvent::Lost(LossReason::Taken { by: standby.leadership.identity().to_owned() });
    ensure!(lost == stopped || lost == taken, "{lost:?}");
    never(DURATION, "the stopped one acts again", async || leadership.may_act()).await?;
    drop(freeze);
    ensure!(process.join().is_ok());
    watch.end()
}

async fn the_clocks_of_others_do_not_matter(world: World) -> anyhow::Result<()> {
    let stranger = |renewed: i64| {
        json!({
            "holderIdentity": "stranger", "leaseDurationSeconds": 2, "leaseTransitions": 6,
            "acquireTime": in_seconds(-7200), "renewTime": in_seconds(renewed),
        })
    };
    create(&world, &stranger(-3600)).await?;
    let mut candidate = Candidate::stand(&world, deployed(&world).await?, DURATION);
    // Its clock is an hour late, and it renews.
    never(DURATION * 2, "it is taken from one that is alive", async || {
        write(&world, json!({"spec": stranger(-3600)})).await.expect("to renew");
        candidate.leads()
    })
    .await?;
    // Its clock is an hour early, and it is dead. The longer duration was never its own.
    write(&world, json!({"spec": stranger(3600)})).await?;
    let died = Instant::now();
    let took = candidate.elected(DURATION + SLACK).await? - died;
    ensure!(took > Duration::from_secs(2) - RETRY_PERIOD, "{took:?}");
    ensure!(lease(&world).await?["spec"]["leaseTransitions"] == 7);
    Ok(())
}

async fn odd_leases_are_taken_and_break_nothing(world: World) -> anyhow::Result<()> {
    let short = Duration::from_secs(1);
    let odd = [
        Value::Null,
        json!({}),
        json!({"holderIdentity": ""}),
        json!({"holderIdentity": "x"}),
        json!({"leaseDurationSeconds": i32::MAX}),
        json!({"holderIdentity": "x", "leaseDurationSeconds": 1, "leaseTransitions": i32::MAX}),
        json!({"renewTime": "9999-12-30T00:00:00.000000Z", "acquireTime": "0001-01-01T00:00:00.000000Z"}),
        json!({"holderIdentity": "x".repeat(10_000), "renewTime": "1970-01-01T00:00:00.000000Z"}),
    ];
    for spec in odd {
        create(&world, &spec).await?;
        let mut candidate = Candidate::stand(&world, deployed(&world).await?, short);
        candidate.elected(short + SLACK).await.with_context(|| spec.to_string())?;
        let after = lease(&world).await?;
        ensure!(after["spec"]["holderIdentity"] == candidate.leadership.identity(), "{spec}: {after}");
        candidate.election.release().await?;
        delete(&world).await?;
    }
    Ok(())
}

/// What an API server does not let through, a proxy in between can make up.
async fn odd_answers_break_nothing(world: World) -> anyhow::Result<()> {
    let short = Duration::from_secs(1);
    create(&world, &json!({"holderIdentity": "x", "leaseDurationSeconds": 1})).await?;
    let (proxy, cluster) = deployed_behind_a_proxy(&world).await?;
    let seconds = |value: Value| {
        Fault::edit(move |answer| {
            if answer["spec"]["holderIdentity"] == "x" {
                answer["spec"]["leaseDurationSeconds"] = value.clone();
            }
        })
    };
    let faults = [seconds(json!("a while")), Fault::garbage(), Fault::answer(404, "<html>"), Fault::kubernetes(500)];
    proxy.all(Fault::kubernetes(503));
    let mut candidate = Candidate::stand(&world, cluster, short);
    candidate.until(SLACK, |event| matches!(event, ElectionEvent::Failing(_))).await?;
    for fault in faults {
        proxy.all(fault.clone());
        let before = proxy.requests().len();
        eventually(SLACK, "it looks again", async || proxy.requests().len() > before + 3).await?;
        ensure!(!candidate.leads() && proxy.count(|r| r.method != "GET") == 0, "{fault:?}");
    }
    for value in [json!(0), json!(-1), json!(i32::MIN)] {
        proxy.clear();
        proxy.all(seconds(value.clone()));
        candidate.elected(short + SLACK).await.with_context(|| value.to_string())?;
        write(&world, json!({"spec": {"holderIdentity": "x"}})).await?;
        candidate.lost(SLACK).await?;
    }
    Ok(())
}

async fn a_deleted_lease_is_created_anew_by_its_holder(world: World) -> anyhow::Result<()> {
    let (mut leader, mut standby) = two(&world).await?;
    let watch = watch(&[&leader, &standby]);
    for _ in 0..3 {
        delete(&world).await?;
        eventually(SLACK, "it is there again", async || lease(&world).await).await?;
        ensure!(lease(&world).await?["spec"]["holderIdentity"] == leader.leadership.identity());
    }
    never(DURATION, "the leader changes", async || !leader.leads() || standby.leads()).await?;
    let (events, others) = (leader.drain(), standby.drain());
    ensure!(
        !events.iter().chain(&others).any(|e| matches!(e, ElectionEvent::Lost(_) | ElectionEvent::Elected)),
        "{events:?}, {others:?}"
    );
    watch.end()
}

async fn what_others_write_beside_the_record_stays(world: World) -> anyhow::Result<()> {
    let (mut leader, standby) = two(&world).await?;
    let touched = Instant::now();
    let (mut count, mut label) = (0, String::new());
    // More often than it is renewed, for longer than it lasts.
    while touched.elapsed() < DURATION + RETRY_PERIOD {
        count += 1;
        label = count.to_string();
        write(&world, json!({"metadata": {"annotations": {"count": label}, "labels": {"team": "sre"}}})).await?;
        tokio::time::sleep(RETRY_PERIOD / 3).await;
        ensure!(leader.leads() && !standby.leads());
    }
    let before = lease(&world).await?["spec"]["renewTime"].clone();
    eventually(SLACK, "it is renewed", async || lease(&world).await.is_ok_and(|l| l["spec"]["renewTime"] != before))
        .await?;
    let after = lease(&world).await?;
    ensure!(after["metadata"]["annotations"]["count"] == label.as_str(), "{after}");
    ensure!(after["metadata"]["labels"]["team"] == "sre", "{after}");
    ensure!(leader.drain().is_empty(), "the leader noticed");

    // They are no sign of life of a holder that is dead.
    let mut standby = standby;
    drop(leader.election);
    let crashed = Instant::now();
    let touching = async {
        loop {
            write(&world, json!({"metadata": {"annotations": {"again": in_seconds(0)}}})).await?;
            tokio::time::sleep(RETRY_PERIOD / 3).await;
        }
    };
    tokio::select! {
        elected = standby.elected(DURATION * 2 + SLACK) => ensure!(elected? > crashed),
        failed = touching => return failed,
    }
    Ok(())
}

async fn whoever_is_ousted_stops_at_once(world: World) -> anyhow::Result<()> {
    let (mut leader, standby) = two(&world).await?;
    let watch = watch(&[&leader, &standby]);
    let stranger = json!({"holderIdentity": "stranger", "leaseDurationSeconds": 2, "renewTime": in_seconds(0)});
    write(&world, json!({"spec": stranger})).await?;
    let ousted = Instant::now();
    let (lost, reason) = leader.lost(SLACK).await?;
    ensure!(reason == LossReason::Taken { by: "stranger".to_owned() }, "{reason:?}");
    ensure!(!leader.leads() && lost - ousted < RENEW_DEADLINE, "{:?}", lost - ousted);
    eventually(DURATION + SLACK, "one of them leads again", async || leader.leads() || standby.leads()).await?;
    let again = ousted.elapsed();
    ensure!(again > Duration::from_secs(2) - RETRY_PERIOD, "the stranger was not waited out: {again:?}");
    watch.end()?;

    // Emptied by hand: its holder stops, and takes it or leaves it to another, but not before it could have acted.
    let mut now = if leader.leads() { leader } else { standby };
    now.drain();
    write(&world, json!({"spec": {"holderIdentity": null}})).await?;
    let (_, reason) = now.lost(SLACK).await?;
    ensure!(reason == LossReason::Altered, "{reason:?}");
    Ok(())
}

/// Whether a request writes.
fn writes(request: &Recorded) -> bool {
    request.method != "GET"
}

async fn a_lost_answer_costs_no_election(world: World) -> anyhow::Result<()> {
    let (proxy, cluster) = deployed_behind_a_proxy(&world).await?;
    proxy.rule_times(1, writes, Fault::LoseAnswer);
    let mut candidate = Candidate::stand(&world, cluster, DURATION);
    candidate.elected(RETRY_PERIOD + RENEW_DEADLINE).await?;
    ensure!(lease(&world).await?["spec"]["leaseTransitions"] == 0);
    // So with a renewal, and with the last write.
    proxy.rule_times(1, writes, Fault::LoseAnswer);
    never(DURATION, "it is lost", async || !candidate.leads()).await?;
    proxy.rule_times(1, writes, Fault::LoseAnswer);
    candidate.election.release().await?;
    ensure!(lease(&world).await?["spec"]["holderIdentity"] == "");
    Ok(())
}

async fn missing_rights_are_told_once(world: World) -> anyhow::Result<()> {
    let cluster = cluster_of(&world, &reader(&world).await?).await?;
    let mut candidate = Candidate::stand(&world, cluster, DURATION);
    let failing = |event: &ElectionEvent| matches!(event, ElectionEvent::Failing(_));
    candidate.until(SLACK, failing).await?;
    let ns = &world.namespace;
    let Some((_, ElectionEvent::Failing(error))) = candidate.seen.last() else { bail!("{:?}", candidate.seen) };
    let wanted =
        format!("could not read Lease {ns}/{LEASE}: not permitted; grant get on leases/{LEASE} in namespace {ns}");
    ensure!(error.starts_with(&wanted), "{error}");
    never(DURATION, "it leads, or says it again", async || candidate.leads() || !candidate.drain().is_empty()).await?;
    Ok(())
}

async fn a_stop_does_not_wait_for_a_dead_server(world: World) -> anyhow::Result<()> {
    let (proxy, cluster) = deployed_behind_a_proxy(&world).await?;
    let mut candidate = Candidate::stand(&world, cluster, DURATION);
    candidate.elected(SLACK).await?;
    proxy.all(Fault::Hang);
    let (leadership, began) = (candidate.leadership.clone(), Instant::now());
    let (released, acted) = tokio::join!(candidate.election.release(), async {
        tokio::task::yield_now().await;
        leadership.may_act()
    });
    ensure!(!acted, "it acts while it gives back");
    let error = released.err().context("nobody answered")?.to_string();
    ensure!(error.contains(&format!("Lease {}/{LEASE}: the API server did not answer", world.namespace)), "{error}");
    ensure!(began.elapsed() < Duration::from_secs(5) + SLACK, "{:?}", began.elapsed());
    // What it left behind is waited out.
    let mut next = Candidate::stand(&world, deployed(&world).await?, DURATION);
    next.elected(DURATION + SLACK).await?;
    Ok(())
}
