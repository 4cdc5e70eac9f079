//! Two replicas: one leads, the other stands by; whichever way the first goes, the second goes on, and nothing is done twice or lost.
//!
//! The variables of `crashes` hold here too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::site::{Case, STORY, Site, Table, Verdict, rounds, seed};
use super::stage::{LONG, Stage, all_clear, state, until_state};
use crate::stories;
use crate::support::apiserver::ApiProxy;
use crate::support::controller::{self, Rollout};
use crate::support::fixtures::Config;
use crate::support::hook::Hook;
use crate::support::mesh::Traffic;
use crate::support::proxy::{Fault, Recorded};
use crate::support::ripcord::{Ripcord, metric_in};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    let mut stories = stories![
        a_standby_shows_and_does_nothing,
        a_leader_outlives_its_lease,
        a_foreign_state_is_taken_up,
        a_second_one_on_the_same_state_ends_the_first,
        a_second_one_on_the_same_file_does_not_start,
    ];
    stories = stories.into_iter().map(|s| s.within(STORY_TIMEOUT)).collect();
    stories.extend(
        stories![rollbacks_survive_many_hand_overs].into_iter().map(|s| s.within(HAND_OVERS_TIMEOUT * rounds())),
    );
    stories
}

/// How long a Lease lasts after the last sign of life of its holder.
const LEASE: Duration = Duration::from_secs(3);

/// The same where nothing has to go fast: a busy machine must not cost the leadership.
const CALM_LEASE: Duration = Duration::from_secs(8);

/// How long a hand-over may usually take: two seconds after a clean stop, and as much after the end of the Lease otherwise. The longest of
/// many may take longer on a busy machine.
const CLEAN: Duration = Duration::from_secs(2);
const CRASH: Duration = Duration::from_secs(5);

/// Rollbacks that are handed over, and how often each.
const ROLLBACKS: usize = 5;
const HAND_OVERS: usize = 10;
/// How many of these rollbacks are under way at once. More would have their leaders starve on a busy machine: they must renew their
/// Leases within two seconds.
const AT_ONCE: usize = 3;

/// These stories share the room that there is with others, and wait for it.
const STORY_TIMEOUT: Duration = Duration::from_secs(300);
const HAND_OVERS_TIMEOUT: Duration = Duration::from_secs(600);

fn elected(config: Config, case: &Case<'_>, lease: Duration) -> Config {
    let lease = json!({"lease": case.object("lease"), "lease_duration": format!("{}s", lease.as_secs())});
    config.set("leader_election", lease)
}

/// Asks the leader for something. It is asked again when it does not lead just then, as people would.
async fn ask(node: &Node, component: &str, command: &str, body: &Value) -> anyhow::Result<()> {
    let path = format!("/api/v1/guards/{component}/{command}");
    eventually(LONG, &format!("{command} is done"), async || {
        let (status, answer) = node.ripcord.post(&path, Some(TOKEN), body).await?;
        ensure!(status == 200, "{status}: {answer}");
        anyhow::Ok(())
    })
    .await
}

/// What requests need.
const TOKEN: &str = "open-sesame";

/// One of two replicas, with a way to the API server of its own.
struct Node {
    name: &'static str,
    api: ApiProxy,
    kubeconfig: PathBuf,
    ripcord: Ripcord,
    /// When it was let go on after it was stopped, and how often it had led until then: until it leads again it must not write.
    continued: Option<(SystemTime, usize)>,
}

impl Node {
    async fn start(case: &Case<'_>, name: &'static str, config: &Config) -> anyhow::Result<Self> {
        let (api, kubeconfig) = case.another_way().await?;
        let ripcord = run(case, name, &kubeconfig, config).await?;
        Ok(Self { name, api, kubeconfig, ripcord, continued: None })
    }

    async fn leads(&self) -> bool {
        leads(&self.ripcord).await
    }

    /// How often it has begun to lead.
    fn terms(&self) -> usize {
        self.ripcord.log().iter().filter(|l| l["message"] == "This replica leads").count()
    }

    /// An error when it has written since it was let go on and has not led again. Looked at once.
    fn has_kept_still(&mut self, case: &Case<'_>) -> anyhow::Result<()> {
        if let Some((since, terms)) = self.continued.take()
            && self.terms() == terms
        {
            // What it was about to send when it was stopped may still go out; what another has written since refuses it.
            let accepted = |r: &Recorded| r.at >= since && r.answered.is_some_and(|(status, _)| status < 300);
            let changes = self.api.count(|r| {
                let ours = r.method == "PATCH" && !r.is_dry_run() && (case.is_deployment(r) || case.is_config_map(r));
                ours && accepted(r)
            });
            let journal = self.api.count(|r| case.is_journal(r) && accepted(r));
            let after = "after it was stopped and continued";
            ensure!(changes + journal == 0, "{} {after}: {changes} changes, {journal} writes of the state", self.name);
        }
        Ok(())
    }

    /// How often it has tried to write something: the traffic or the state.
    fn writes(&self, case: &Case<'_>) -> usize {
        self.api.count(|r| {
            (r.method == "PATCH" && !r.is_dry_run() && (case.is_deployment(r) || case.is_config_map(r)))
                || case.is_journal(r)
        })
    }
}

async fn run(case: &Case<'_>, name: &str, kubeconfig: &std::path::Path, config: &Config) -> anyhow::Result<Ripcord> {
    let builder = Ripcord::builder(&case.world, &config.to_string()).called(name).kubeconfig(kubeconfig);
    let mut ripcord = builder.start()?;
    ripcord.wait_ready().await?;
    Ok(ripcord)
}

async fn leads(ripcord: &Ripcord) -> bool {
    ripcord.metric("ripcord_leader", &[]).await.is_ok_and(|v| v == Some(1.0))
}

async fn until_leads(ripcord: &Ripcord) -> anyhow::Result<()> {
    eventually(LONG, "it leads", async || leads(ripcord).await).await
}

/// How a leader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGKILL; started anew as a standby.
    Crash,
    /// SIGTERM; started anew as a standby.
    Stop,
    /// SIGSTOP, and SIGCONT when the other leads.
    Freeze,
    /// Its way to the API server is cut off until the other leads.
    CutOff,
}

const ENDS: [End; 4] = [End::Crash, End::Stop, End::Freeze, End::CutOff];

/// What keeps a rollback from its end until it is let go.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// Its rollout does not complete.
    ByItsRollout,
    /// The API server refuses the patch of the ConfigMap, the last step.
    AtItsLastStep,
    /// The API server refuses the patch of the Deployment, the first step.
    AtItsFirstStep,
}

const HELD: [Held; 3] = [Held::ByItsRollout, Held::AtItsLastStep, Held::AtItsFirstStep];

async fn rollbacks_survive_many_hand_overs(world: World) -> anyhow::Result<()> {
    let rollbacks = ROLLBACKS * rounds() as usize;
    let names: Vec<String> = (1..=rollbacks).map(|n| format!("handed-over-{n}")).collect();
    let site = Site::set(&world, &names).await?;
    site.controller.set(Rollout::Never);
    let site = &site;
    let runs = names.iter().enumerate().map(|(n, name)| async move {
        let case = Case::set(site, name, 2).await?;
        let held = HELD[n % HELD.len()];
        let mut random = fastrand::Rng::with_seed(seed() + n as u64);
        let outcome = handed_over(&case, held, &mut random).await;
        if outcome.as_ref().map_or(true, |o| !o.verdict.wrong.is_empty()) {
            site.world.keep_logs_of(&case.world)?;
        }
        Ok::<_, anyhow::Error>((held, outcome))
    });
    let all: Vec<_> = futures::stream::iter(runs).buffered(AT_ONCE).collect().await;
    let head = ["held", "hand-overs", "patches sent/answered 200", "webhook", "mail", "repeated", "two led", "result"];
    let mut table = Table::new("Rollbacks that were handed over", &head);
    let mut times: Vec<(End, Duration)> = Vec::new();
    for one in all {
        let (held, outcome) = one?;
        let mut cells = vec![format!("{held:?}")];
        let good = match outcome {
            Ok(Outcome { verdict, took, overlaps: (overlaps, samples) }) => {
                cells.push(took.len().to_string());
                cells.push(format!("{}/{}", verdict.sent, verdict.accepted));
                cells.extend([verdict.events("webhook"), verdict.events("mail"), verdict.repeated.to_string()]);
                cells.push(format!("{overlaps} of {samples} looks"));
                cells.push(if verdict.wrong.is_empty() { "ok".to_owned() } else { verdict.wrong.join("; ") });
                times.extend(took);
                verdict.wrong.is_empty() && overlaps == 0
            }
            Err(error) => {
                cells.push(format!("{error:#}"));
                false
            }
        };
        table.row(cells, good);
    }
    let rollbacks = table.end(&world);
    let mut table =
        Table::new("From the end of one leader to the next", &["end", "times", "shortest", "median", "longest"]);
    for end in ENDS {
        let mut of: Vec<_> = times.iter().filter(|(e, _)| *e == end).map(|(_, took)| *took).collect();
        of.sort_unstable();
        let (Some(&shortest), Some(&longest)) = (of.first(), of.last()) else { continue };
        let median = of[of.len() / 2];
        let cells = [shortest, median, longest].map(|took| format!("{took:.2?}"));
        let limit = if end == End::Stop { CLEAN } else { CRASH };
        table.row([&[format!("{end:?}"), of.len().to_string()][..], &cells].concat(), median <= limit);
    }
    rollbacks.and(table.end(&world))
}

struct Outcome {
    verdict: Verdict,
    took: Vec<(End, Duration)>,
    /// How often two said that they lead, and how often it was looked.
    overlaps: (usize, usize),
}

async fn handed_over(case: &Case<'_>, held: Held, random: &mut fastrand::Rng) -> anyhow::Result<Outcome> {
    let config = elected(case.config()?, case, LEASE).set("defaults.rollback.rollout_timeout", "10m");
    let mut nodes = [Node::start(case, "first", &config).await?, Node::start(case, "second", &config).await?];
    all_clear(&nodes[0].ripcord).await?;
    for node in &nodes {
        if let Some((path, fault)) = refused(case, held) {
            node.api.rule(move |r| r.method == "PATCH" && !r.is_dry_run() && r.path.ends_with(&path), fault);
        }
    }
    let watch = Watch::start(&nodes)?;
    case.break_it();
    case.hook.wait_event("rollback.started", LONG).await?;

    let mut took = Vec::new();
    let mut ends: Vec<End> = ENDS.iter().cycle().take(HAND_OVERS).copied().collect();
    random.shuffle(&mut ends);
    for end in ends {
        tokio::time::sleep(Duration::from_millis(random.u64(0..800))).await;
        took.push((end, hand_over(case, &mut nodes, end, &config, &watch).await.with_context(|| format!("{end:?}"))?));
    }

    nodes.iter().for_each(|node| node.api.clear());
    let leader = leader(&nodes).await?;
    eventually(LONG, "the change is there and seen", async || {
        let status = case.deployment().await.map_err(|e| e.to_string())?.status.unwrap_or_default();
        if status.observed_generation == Some(2) { Ok(()) } else { Err(format!("{:?}", status.observed_generation)) }
    })
    .await?;
    controller::finish(&case.world, &case.component).await?;
    case.over(&nodes[leader].ripcord).await?;
    let mut verdict = case.judge(&nodes[leader].ripcord, &[&nodes[0].api, &nodes[1].api], &expected(held)).await?;
    for node in &mut nodes {
        if let Err(error) = node.has_kept_still(case) {
            verdict.wrong.push(error.to_string());
        }
    }
    Ok(Outcome { verdict, took, overlaps: watch.end() })
}

/// What the API server refuses until the rollback is let go.
fn refused(case: &Case<'_>, held: Held) -> Option<(String, Fault)> {
    match held {
        Held::ByItsRollout => None,
        Held::AtItsLastStep => Some((format!("/configmaps/{}-config", case.component), Fault::kubernetes(500))),
        Held::AtItsFirstStep => Some((format!("/deployments/{}", case.component), Fault::kubernetes(500))),
    }
}

/// The pages of such a rollback.
fn expected(held: Held) -> Vec<&'static str> {
    let mut story = STORY.to_vec();
    if !matches!(held, Held::ByItsRollout) {
        story.insert(1, "rollback.failed");
    }
    story
}

/// Which one leads, once one does.
async fn leader(nodes: &[Node; 2]) -> anyhow::Result<usize> {
    eventually(LONG, "one of them leads", async || match [nodes[0].leads().await, nodes[1].leads().await] {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    })
    .await
}

/// Ends the leader and waits until the other leads and there is a standby again. Says how long the first part took.
async fn hand_over(
    case: &Case<'_>,
    nodes: &mut [Node; 2],
    end: End,
    config: &Config,
    watch: &Watch,
) -> anyhow::Result<Duration> {
    let at = leader(nodes).await?;
    let [first, second] = nodes;
    let (old, new) = if at == 0 { (first, second) } else { (second, first) };
    new.has_kept_still(case)?;
    old.continued = None;
    let begun = Instant::now();
    match end {
        End::Crash => old.ripcord.kill(),
        End::Stop => old.ripcord.signal(Signal::TERM)?,
        End::Freeze => {
            watch.excuse(true);
            old.ripcord.signal(Signal::STOP)?;
        }
        End::CutOff => old.api.gone(),
    }
    until_leads(&new.ripcord).await?;
    let took = begun.elapsed();
    match end {
        End::Crash => {}
        End::Stop => {
            let status = old.ripcord.wait_exit(LONG).await?;
            ensure!(status.code() == Some(0), "a clean stop ends with {status}");
        }
        End::Freeze => {
            old.continued = Some((SystemTime::now(), old.terms()));
            old.ripcord.signal(Signal::CONT)?;
        }
        End::CutOff => old.api.back().await?,
    }
    if matches!(end, End::Crash | End::Stop) {
        old.ripcord = run(case, old.name, &old.kubeconfig, config).await?;
        watch.follow(at, &old.ripcord);
    }
    eventually(LONG, "the other one stands by", async || !old.leads().await).await?;
    let shown = eventually(LONG, "the other one knows who leads", async || {
        let status = old.ripcord.status().await.map_err(|e| e.to_string())?;
        if status["leads"] == false && status["leader"].is_string() { Ok(status) } else { Err(status.to_string()) }
    });
    shown.await?;
    watch.excuse(false);
    Ok(took)
}

/// Looks all the time at who says to lead.
struct Watch {
    urls: Arc<Mutex<[String; 2]>>,
    /// While one is stopped, or was continued a moment ago: what it shows is of before.
    excused: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    overlaps: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Watch {
    fn start(nodes: &[Node; 2]) -> anyhow::Result<Self> {
        let urls = Arc::new(Mutex::new([nodes[0].ripcord.url(), nodes[1].ripcord.url()]));
        let (excused, looks, overlaps) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(500)).build()?;
        let task = tokio::spawn({
            let (urls, excused, looks, overlaps) =
                (Arc::clone(&urls), Arc::clone(&excused), Arc::clone(&looks), Arc::<AtomicUsize>::clone(&overlaps));
            async move {
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    let [first, second] = urls.lock().expect("no holder panics").clone();
                    let before = excused.load(Ordering::SeqCst);
                    // The first one is asked again: else a change between the two questions would look like two leaders.
                    let both = says(&http, &first).await && says(&http, &second).await && says(&http, &first).await;
                    if before || excused.load(Ordering::SeqCst) {
                        continue;
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                    overlaps.fetch_add(usize::from(both), Ordering::Relaxed);
                }
            }
        });
        Ok(Self { urls, excused, looks, overlaps, task })
    }

    fn follow(&self, at: usize, ripcord: &Ripcord) {
        self.urls.lock().expect("no holder panics")[at] = ripcord.url();
    }

    fn excuse(&self, excused: bool) {
        self.excused.store(excused, Ordering::SeqCst);
    }

    fn end(self) -> (usize, usize) {
        (self.overlaps.load(Ordering::Relaxed), self.looks.load(Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn says(http: &reqwest::Client, url: &str) -> bool {
    let Ok(answer) = http.get(format!("{url}/metrics")).send().await else { return false };
    let text = answer.text().await.unwrap_or_default();
    metric_in(&text, "ripcord_leader", &[]).is_ok_and(|v| v == Some(1.0))
}

/// A standby is ready, shows what the leader does, refuses requests and tells nobody anything.
async fn a_standby_shows_and_does_nothing(world: World) -> anyhow::Result<()> {
    let names = ["watched".to_owned()];
    let site = Site::set(&world, &names).await?;
    let case = Case::alone(&site, &names[0], 2).await?;
    let token = case.world.write("token", TOKEN)?;
    let config = elected(case.config()?, &case, CALM_LEASE).set("http.token_file", json!(token));
    let (first_heart, second_heart, second_hook) =
        (Hook::start(&world).await?, Hook::start(&world).await?, Hook::start(&world).await?);
    let beats =
        |config: Config, hook: &Hook| config.set("heartbeat", json!({"url": hook.url("/beat"), "interval": "1s"}));
    let first = Node::start(&case, "first", &beats(config.clone(), &first_heart)).await?;
    until_leads(&first.ripcord).await?;
    // What the second one told would arrive elsewhere.
    let apart = config.unset("receivers.mail").set("receivers.hook.webhook.url", second_hook.url("/second"));
    let second = Node::start(&case, "second", &beats(apart, &second_heart)).await?;

    ensure!(second.ripcord.get("/readyz").await?.0 == 200, "a standby is ready");
    let status = second.ripcord.status().await?;
    let leader = first.ripcord.status().await?["leader"].clone();
    ensure!(leader.is_string() && status["leader"] == leader && status["leads"] == false, "{status}, led by {leader}");
    ensure!(first.leads().await && !second.leads().await);
    ensure!(second.ripcord.metric("ripcord_leader", &[]).await? == Some(0.0));
    let path = format!("/api/v1/guards/{}/pause", case.component);
    let (code, answer) = second.ripcord.post(&path, Some(TOKEN), &json!({"for": "1m"})).await?;
    ensure!(code == 503 && answer.contains(leader.as_str().unwrap_or("?")), "{code}: {answer}");
    ensure!(second.ripcord.post(&path, None, &json!({"for": "1m"})).await?.0 == 401);

    all_clear(&second.ripcord).await?;
    case.break_it();
    case.over(&first.ripcord).await?;
    until_state(&second.ripcord, "rolled_back").await?;
    let shown = |incidents: Value| incidents[0]["id"].clone();
    let (led, stood_by) = (shown(first.ripcord.incidents().await?), shown(second.ripcord.incidents().await?));
    ensure!(led.is_string() && led == stood_by, "the incidents are {led} and {stood_by}");
    ensure!(second_hook.calls().is_empty(), "a standby tells nobody: {:?}", second_hook.calls());
    ensure!(second_heart.calls().is_empty(), "a standby does not beat");
    ensure!(first_heart.accepted().len() >= 3, "the leader beats");
    ensure!(second.writes(&case) == 0, "a standby writes nothing");

    // Where it has not seen the Lease for long it does not say who leads: that one may be gone.
    let known = async || second.ripcord.status().await.is_ok_and(|status| status["leader"] == leader);
    second.api.gone();
    eventually(LONG, "it does not claim to know who leads", async || {
        let status = second.ripcord.status().await.map_err(|e| e.to_string())?;
        if status["leader"].is_null() { Ok(()) } else { Err(status["leader"].to_string()) }
    })
    .await?;
    second.api.back().await?;
    eventually(LONG, "it sees who leads", async || known().await).await?;

    // It takes over what it has shown, and beats from then on.
    drop(first);
    until_leads(&second.ripcord).await?;
    second_heart.wait_for(|calls| (calls.len() >= 2).then_some(()), LONG).await?;
    ensure!(state(&second.ripcord).await? == "rolled_back");
    ensure!(shown(second.ripcord.incidents().await?) == led);
    Ok(())
}

async fn a_leader_outlives_its_lease(world: World) -> anyhow::Result<()> {
    let names = ["led".to_owned()];
    let site = Site::set(&world, &names).await?;
    let case = Case::alone(&site, &names[0], 2).await?;
    let config = elected(case.config()?, &case, CALM_LEASE);
    let first = Node::start(&case, "first", &config).await?;
    until_leads(&first.ripcord).await?;
    let second = Node::start(&case, "second", &config).await?;
    all_clear(&first.ripcord).await?;
    let leases: Api<Lease> = world.api();
    let name = format!("{}-lease", case.component);
    leases.delete(&name, &DeleteParams::default()).await?;
    never(CALM_LEASE * 2, "the leadership is lost", async || !first.leads().await || second.leads().await).await?;
    ensure!(leases.get_opt(&name).await?.is_some(), "the Lease is made anew");
    case.break_it();
    case.over(&first.ripcord).await?;
    let verdict = case.judge(&first.ripcord, &[&first.api, &second.api], &STORY).await?;
    ensure!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
    Ok(())
}

/// Somebody writes another state in the very moment before a rollback: the journal refuses, nothing is begun, and the leader goes on
/// from what was written.
async fn a_foreign_state_is_taken_up(world: World) -> anyhow::Result<()> {
    let names = ["overwritten".to_owned()];
    let site = Site::set(&world, &names).await?;
    let case = Case::alone(&site, &names[0], 2).await?;
    let token = case.world.write("token", TOKEN)?;
    let config = elected(case.config()?, &case, CALM_LEASE).set("http.token_file", json!(token));
    let node = Node::start(&case, "only", &config).await?;
    until_leads(&node.ripcord).await?;
    all_clear(&node.ripcord).await?;
    case.quiet_by(&node.ripcord, &node.api).await?;

    // The foreign document: the guard is latched in it, by an incident that this process knows nothing of.
    let maps: Api<ConfigMap> = world.api();
    let name = format!("{}-state", case.component);
    ask(&node, &case.component, "rollback", &json!({"reason": "by hand"})).await?;
    case.over(&node.ripcord).await?;
    case.quiet_by(&node.ripcord, &node.api).await?;
    let data = maps.get(&name).await?.data.context("data")?;
    let mut foreign: Value = serde_json::from_str(data.get("state.json").context("state.json")?)?;
    foreign["writer"] = json!("somebody-else_00000000");
    ask(&node, &case.component, "rearm", &json!({})).await?;
    crate::support::fixtures::set_share(&world.api(), &case.component, "25").await?;
    case.quiet_by(&node.ripcord, &node.api).await?;
    eventually(LONG, "the share is seen", async || {
        let status = node.ripcord.status().await.ok()?;
        (status["guards"][0]["percentage"] == 25 && status["guards"][0]["state"] == "watching").then_some(())
    })
    .await?;
    let patches = |from: SystemTime| {
        node.api.count(|r| r.at >= from && r.method == "PATCH" && !r.is_dry_run() && case.is_deployment(r))
    };

    let begun = SystemTime::now();
    let patch = Patch::Merge(json!({"data": {"state.json": foreign.to_string()}}));
    maps.patch(&name, &PatchParams::default(), &patch).await?;
    case.break_it();
    node.ripcord
        .wait_log(
            "somebody else wrote",
            |l| l["message"].as_str().is_some_and(|m| m.contains("Somebody else wrote the state")),
            LONG,
        )
        .await?;
    until_state(&node.ripcord, "rolled_back").await?;
    until_leads(&node.ripcord).await?;
    never(Duration::from_secs(6), "traffic is moved", async || patches(begun) > 0).await?;
    ensure!(node.ripcord.metric("ripcord_journal_writes_total", &[("result", "conflict")]).await? == Some(1.0));
    let text = maps.get(&name).await?.data.context("data")?["state.json"].clone();
    ensure!(!text.contains("somebody-else_00000000"), "it is claimed again: {text}");
    case.workload().set(Traffic::healthy(200.0));
    Ok(())
}

/// Without election nobody says who leads: the one that was there first finds that its state is another's, and ends.
async fn a_second_one_on_the_same_state_ends_the_first(world: World) -> anyhow::Result<()> {
    let names = ["shared".to_owned()];
    let site = Site::set(&world, &names).await?;
    let case = Case::alone(&site, &names[0], 2).await?;
    let config = case.config()?;
    let mut first = Node::start(&case, "first", &config).await?;
    all_clear(&first.ripcord).await?;
    // A write of the first one that came between the second's reading and writing would end the second.
    case.quiet_by(&first.ripcord, &first.api).await?;
    let second = Node::start(&case, "second", &config).await?;
    all_clear(&second.ripcord).await?;
    case.break_it();
    let status = first.ripcord.wait_exit(LONG).await?;
    let said = first.ripcord.stderr().join("\n");
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(said.contains("Only one Ripcord can use this state"), "{said}");
    case.over(&second.ripcord).await?;
    let verdict = case.judge(&second.ripcord, &[&first.api, &second.api], &STORY).await?;
    ensure!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
    Ok(())
}

async fn a_second_one_on_the_same_file_does_not_start(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = stage.config();
    let ripcord = stage.watch(&config).await?;
    let mut second = stage.start(&config)?;
    let status = second.wait_exit(LONG).await?;
    let said = second.stderr().join("\n");
    ensure!(status.code() == Some(1) && said.contains("another Ripcord uses the state file"), "{status}: {said}");
    // A command by hand meets it too: a file of its own would be a second opinion on the same traffic.
    ensure!(said.contains("ask that one (--url), or stop it first"), "{said}");
    ensure!(state(&ripcord).await? == "watching", "the first one goes on");
    Ok(())
}
