//! Nothing is lost in a crash, and nothing is done twice: Ripcord is killed (SIGKILL) at every point between the decision and the end
//! of a rollback, started anew, and the rollback ends as if nothing had been.
//!
//! Every point can be seen from outside: the state is in a ConfigMap, so that a write of the journal is a request like a patch, and a
//! page is one at its receiver. *Before* such a request the process is killed when it arrives (or, for the journal, a while later),
//! and it goes no further; *after* it the process is killed when it was carried out and before its answer.
//!
//! `RIPCORD_CRASH_ROUNDS` says how often all of it is done, `RIPCORD_CRASH_SEED` begins other random moments, and where
//! `RIPCORD_CRASH_TABLE` is set the tables of what became of each point are printed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use futures::StreamExt;
use rustix::process::Signal;

use super::site::{Arrival, Case, LastWrite, STORY, Site, Table, Verdict, is_journal, rounds, seed};
use super::stage::{LONG, all_clear};
use crate::stories;
use crate::support::child::Killer;
use crate::support::mailbox;
use crate::support::proxy::{Fault, Recorded};
use crate::support::ripcord::Ripcord;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    let stories = stories![
        killed_at_each_write_of_the_journal,
        killed_at_each_step_of_the_change,
        killed_at_each_page,
        killed_again_and_again_with_a_state_file,
    ];
    stories.into_iter().map(|story| story.within(STORY_TIMEOUT * rounds())).collect()
}

/// A round of one story takes a minute or two, and longer where all have to share the room there is.
const STORY_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a write of the journal hangs before the process is killed: what does not wait for it has happened by then, unknown to the
/// process that goes on. It is much less than the two seconds after which a rollback waits no longer.
const UNWRITTEN: Duration = Duration::from_millis(600);

/// How many rollbacks of a story are under way at once: they mostly wait.
const AT_ONCE: usize = 4;

/// At least so many writes of the journal are part of a rollback: its decision, two steps, their acceptance, the end of the rollout,
/// the verification, and something of what was delivered. How many there are besides depends on which of them come together.
const LEAST_WRITES: usize = 7;

/// Whether it is killed before something happens or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// Something that a Ripcord asks the API server for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Journal,
    PatchDeployment,
    PatchConfigMap,
    /// Of the Deployment or the ConfigMap, by the change or to know the share.
    Read,
    /// An Event on the Deployment.
    Announce,
}

impl Call {
    fn is(self, component: &str, request: &Recorded) -> bool {
        let deployment = request.path.ends_with(&format!("/deployments/{component}"));
        let config_map = request.path.ends_with(&format!("/configmaps/{component}-config"));
        match self {
            Self::Journal => is_journal(component, request),
            Self::PatchDeployment => request.method == "PATCH" && !request.is_dry_run() && deployment,
            Self::PatchConfigMap => request.method == "PATCH" && !request.is_dry_run() && config_map,
            Self::Read => request.method == "GET" && (deployment || config_map),
            Self::Announce => request.is("POST", "/events"),
        }
    }
}

/// Where in a rollback it is killed.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// Never, to compare with.
    Nowhere,
    /// At the creation of the state, before anything else.
    Creation(When),
    /// At the n-th such call since the first one of another kind, or since all was well.
    Call { since: Option<Call>, call: Call, nth: usize, when: When },
    /// At an event's way to the webhook.
    Webhook(&'static str, When),
    /// At an event's way to the mail server.
    Mail(&'static str, When),
    /// So much later than an event was taken by the webhook.
    Later(&'static str, Duration),
}

#[derive(Debug, Clone)]
struct Point {
    name: String,
    spot: Spot,
}

fn point(name: impl Into<String>, spot: Spot) -> Point {
    Point { name: name.into(), spot }
}

fn both(name: &str, spot: impl Fn(When) -> Spot) -> [Point; 2] {
    [(When::Before, "before"), (When::After, "after")].map(|(when, word)| point(format!("{name}, {word}"), spot(when)))
}

fn call(since: Option<Call>, call: Call, nth: usize) -> impl Fn(When) -> Spot {
    move |when| Spot::Call { since, call, nth, when }
}

async fn killed_at_each_write_of_the_journal(world: World) -> anyhow::Result<()> {
    // How many there are is counted first, in a rollback of its own.
    let counted = [point("undisturbed", Spot::Nowhere)];
    let (rows, writes) = survive_all(&world, "counting", &counted).await?;
    let writes = writes.max(LEAST_WRITES);
    let mut points: Vec<Point> = both("the state's creation", Spot::Creation).into();
    for nth in 1..=writes {
        points.extend(both(&format!("journal write {nth} of {writes}"), call(None, Call::Journal, nth)));
    }
    let (more, _) = survive_all(&world, "journal", &points).await?;
    let reached = more.iter().filter(|row| row.killed.is_some()).count();
    show(&world, "Killed at the writes of the journal", rows.into_iter().chain(more).collect())?;
    ensure!(reached >= 2 + 2 * LEAST_WRITES, "only {reached} of these points were reached");
    Ok(())
}

async fn killed_at_each_step_of_the_change(world: World) -> anyhow::Result<()> {
    let journal = Some(Call::Journal);
    let mut points = Vec::new();
    points.extend(both("read 1 after the decision", call(journal, Call::Read, 1)));
    points.extend(both("read 2 after the decision", call(journal, Call::Read, 2)));
    points.extend(both("patch of the Deployment", call(None, Call::PatchDeployment, 1)));
    points.extend(both("read 1 after that patch", call(Some(Call::PatchDeployment), Call::Read, 1)));
    points.extend(both("read 2 after that patch", call(Some(Call::PatchDeployment), Call::Read, 2)));
    points.extend(both("patch of the ConfigMap", call(None, Call::PatchConfigMap, 1)));
    for nth in 1..=3 {
        let name = format!("read {nth} after that patch (rollout)");
        points.extend(both(&name, call(Some(Call::PatchConfigMap), Call::Read, nth)));
    }
    points.extend(both("the Event on the Deployment", call(None, Call::Announce, 1)));
    for tenths in [2, 10, 18, 26] {
        let later = Duration::from_millis(tenths * 100);
        points.push(point(format!("verifying for {later:?}"), Spot::Later("rollback.succeeded", later)));
    }
    points.push(point("verified", Spot::Later("rollback.verified", Duration::ZERO)));
    let (rows, _) = survive_all(&world, "change", &points).await?;
    show(&world, "Killed at the steps of the change", rows)
}

async fn killed_at_each_page(world: World) -> anyhow::Result<()> {
    let mut points = Vec::new();
    for event in STORY {
        points.extend(both(&format!("{event} to the webhook"), |when| Spot::Webhook(event, when)));
        points.extend(both(&format!("{event} to the mail server"), |when| Spot::Mail(event, when)));
    }
    let (rows, _) = survive_all(&world, "page", &points).await?;
    show(&world, "Killed at the pages", rows)
}

/// What became of a point.
struct Row {
    point: String,
    /// How long after the trouble began.
    killed: Option<Duration>,
    verdict: anyhow::Result<Verdict>,
    took: Duration,
}

fn show(world: &World, title: &str, rows: Vec<Row>) -> anyhow::Result<()> {
    let head = ["point", "killed at", "patches sent/answered 200", "webhook", "mail", "repeated", "took", "result"];
    let mut table = Table::new(title, &head);
    for row in rows {
        let mut cells = vec![row.point, row.killed.map_or("not reached".to_owned(), |at| format!("{at:.2?}"))];
        let good = match &row.verdict {
            Ok(verdict) => {
                cells.push(format!("{}/{}", verdict.sent, verdict.accepted));
                cells.extend([verdict.events("webhook"), verdict.events("mail"), verdict.repeated.to_string()]);
                cells.push(format!("{:.1?}", row.took));
                cells.push(if verdict.wrong.is_empty() { "ok".to_owned() } else { verdict.wrong.join("; ") });
                verdict.wrong.is_empty()
            }
            Err(error) => {
                cells.push(format!("{error:#}"));
                false
            }
        };
        table.row(cells, good);
    }
    table.end(world)
}

/// Has a rollback at each of the points, each of a component of its own. Also says how many writes of the journal the last of them made
/// after its trouble began.
async fn survive_all(world: &World, prefix: &str, points: &[Point]) -> anyhow::Result<(Vec<Row>, usize)> {
    let points: Vec<Point> = (0..rounds()).flat_map(|_| points.to_vec()).collect();
    let names: Vec<String> = (1..=points.len()).map(|n| format!("{prefix}-{n}")).collect();
    let site = Site::set(world, &names).await?;
    let runs = points.into_iter().zip(&names).map(|(point, name)| {
        let site = &site;
        async move {
            let case = Case::set(site, name, 1).await?;
            let begun = SystemTime::now();
            let victim = Victim::default();
            let verdict = survive(&case, point.spot, &victim).await;
            if verdict.as_ref().map_or(true, |v| !v.wrong.is_empty()) {
                site.world.keep_logs_of(&case.world)?;
            }
            let writes =
                victim.since_trouble().map_or(0, |since| case.api.count(|r| r.at >= since && case.is_journal(r)));
            case.clear_away().await?;
            let row = Row {
                point: point.name,
                killed: victim.killed_after(),
                verdict,
                took: begun.elapsed().unwrap_or_default(),
            };
            Ok::<_, anyhow::Error>((row, writes))
        }
    });
    let all: Vec<_> = futures::stream::iter(runs).buffered(AT_ONCE).collect().await;
    let (mut rows, mut writes) = (Vec::new(), 0);
    for one in all {
        let (row, its) = one?;
        rows.push(row);
        writes = its;
    }
    Ok((rows, writes))
}

/// The process that is to be killed, from wherever its moment is seen.
#[derive(Clone, Default)]
struct Victim(Arc<Mutex<Fate>>);

#[derive(Default)]
struct Fate {
    killer: Option<Killer>,
    trouble: Option<SystemTime>,
    killed: Option<SystemTime>,
}

impl Victim {
    fn is(&self, ripcord: &Ripcord) {
        self.lock().killer = Some(ripcord.killer());
    }

    fn trouble_begins(&self) {
        self.lock().trouble = Some(SystemTime::now());
    }

    /// Kills it, unless it was killed before or is spared; says whether it did.
    fn kill(&self) -> bool {
        let mut fate = self.lock();
        let Some(killer) = fate.killer.take() else { return false };
        killer.kill();
        fate.killed = Some(SystemTime::now());
        true
    }

    /// From now on it is not killed any more; says whether it was.
    fn spare(&self) -> bool {
        let mut fate = self.lock();
        fate.killer = None;
        fate.killed.is_some()
    }

    fn is_killed(&self) -> bool {
        self.lock().killed.is_some()
    }

    fn since_trouble(&self) -> Option<SystemTime> {
        self.lock().trouble
    }

    fn killed_after(&self) -> Option<Duration> {
        let fate = self.lock();
        let killed = fate.killed?;
        Some(fate.trouble.and_then(|trouble| killed.duration_since(trouble).ok()).unwrap_or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Fate> {
        self.0.lock().expect("no holder panics")
    }
}

/// One rollback in whose course Ripcord is killed once and started anew.
async fn survive(case: &Case<'_>, spot: Spot, victim: &Victim) -> anyhow::Result<Verdict> {
    let config = case.config()?;
    if let Spot::Creation(when) = spot {
        arm(case, Spot::Call { since: None, call: Call::Journal, nth: 1, when }, victim);
        let mut early = case.start(&config)?;
        victim.is(&early);
        killed(&mut early).await?;
        ensure!(victim.is_killed());
    }
    let mut ripcord = case.start(&config)?;
    ripcord.wait_ready().await?;
    all_clear(&ripcord).await?;
    case.quiet(&ripcord).await?;
    if !matches!(spot, Spot::Nowhere | Spot::Creation(_)) {
        victim.is(&ripcord);
        arm(case, spot, victim);
    }
    victim.trouble_begins();
    case.break_it();
    if let Spot::Later(event, later) = spot {
        case.hook.wait_event(event, LONG).await?;
        tokio::time::sleep(later).await;
        victim.kill();
    }
    let was_killed_before = matches!(spot, Spot::Creation(_));
    let mut last = LastWrite::default();
    eventually(LONG, "it is killed, or the rollback is over, told and written", async || {
        if victim.is_killed() && !was_killed_before {
            return Ok(());
        }
        case.is_over(&ripcord).await?;
        case.is_quiet(&ripcord, &case.api, &mut last).await
    })
    .await?;
    if victim.spare() && !was_killed_before {
        killed(&mut ripcord).await?;
        ripcord = case.start(&config)?;
        ripcord.wait_ready().await?;
    }
    case.over(&ripcord).await?;
    case.quiet(&ripcord).await?;
    case.judge(&ripcord, &[&case.api], &STORY).await
}

/// Waits until it was killed; an error when it ended in another way.
async fn killed(ripcord: &mut Ripcord) -> anyhow::Result<()> {
    use std::os::unix::process::ExitStatusExt;
    let status = ripcord.wait_exit(LONG).await?;
    ensure!(status.signal() == Some(Signal::KILL.as_raw()), "it was to be killed, and ended with {status}");
    Ok(())
}

/// Sees to it that the victim is killed there, once.
fn arm(case: &Case<'_>, spot: Spot, victim: &Victim) {
    let victim = victim.clone();
    match spot {
        Spot::Nowhere | Spot::Creation(_) | Spot::Later(..) => {}
        Spot::Call { since, call, nth, when } => {
            let (begun, seen) = (AtomicBool::new(since.is_none()), AtomicUsize::new(0));
            let component = case.component.clone();
            let applies = move |request: &Recorded| {
                if !begun.load(Ordering::Relaxed) {
                    begun.store(since.is_some_and(|since| since.is(&component, request)), Ordering::Relaxed);
                    return false;
                }
                call.is(&component, request) && seen.fetch_add(1, Ordering::Relaxed) + 1 == nth
            };
            let fault = match (call, when) {
                (Call::Journal, When::Before) => Fault::before(move || {
                    let victim = victim.clone();
                    async move {
                        tokio::time::sleep(UNWRITTEN).await;
                        hang_if(victim.kill()).await;
                    }
                }),
                _ => fatal(victim, when),
            };
            case.api.rule_times(1, applies, fault);
        }
        Spot::Webhook(event, when) => {
            case.front.rule_times(1, move |request| request.json()["event"] == event, fatal(victim, when));
        }
        Spot::Mail(event, when) => {
            let moment = match when {
                When::Before => mailbox::Moment::Before,
                When::After => mailbox::Moment::After,
            };
            let armed = AtomicBool::new(true);
            case.mailbox.watch(move |mail, now| {
                let here = now == moment && Arrival::of_mail(mail).event == event;
                if here && armed.swap(false, Ordering::Relaxed) {
                    victim.kill();
                    return false;
                }
                true
            });
        }
    }
}

fn fatal(victim: Victim, when: When) -> Fault {
    match when {
        When::Before => Fault::before(move || hang_if(victim.kill())),
        When::After => Fault::after(move || hang_if(victim.kill())),
    }
}

/// A request of a process that was killed goes no further; one of a process that was spared does.
async fn hang_if(killed: bool) {
    if killed {
        std::future::pending().await
    }
}

/// The same with the state in a file: one rollback in whose course Ripcord is killed ten times, at random moments.
async fn killed_again_and_again_with_a_state_file(world: World) -> anyhow::Result<()> {
    let seeds: Vec<u64> = (0..3 * u64::from(rounds())).map(|n| seed() + n).collect();
    let names: Vec<String> = seeds.iter().map(|seed| format!("random-{seed}")).collect();
    let site = Site::set(&world, &names).await?;
    let site = &site;
    let runs = seeds.into_iter().zip(&names).map(|(seed, name)| async move {
        let case = Case::set(site, name, 1).await?;
        let begun = SystemTime::now();
        let outcome = killed_at_random(&case, seed).await;
        if outcome.as_ref().map_or(true, |(verdict, _)| !verdict.wrong.is_empty()) {
            site.world.keep_logs_of(&case.world)?;
        }
        Ok::<_, anyhow::Error>((seed, begun.elapsed().unwrap_or_default(), outcome))
    });
    let all: Vec<_> = futures::stream::iter(runs).buffered(AT_ONCE).collect().await;
    let head = ["seed", "killed while", "patches sent/answered 200", "webhook", "mail", "repeated", "took", "result"];
    let mut table = Table::new("Killed ten times each, with a state file", &head);
    for one in all {
        let (seed, took, outcome) = one?;
        let mut cells = vec![seed.to_string()];
        let good = match outcome {
            Ok((verdict, states)) => {
                cells.push(states.join(" "));
                cells.push(format!("{}/{}", verdict.sent, verdict.accepted));
                cells.extend([verdict.events("webhook"), verdict.events("mail"), verdict.repeated.to_string()]);
                cells.push(format!("{took:.1?}"));
                cells.push(if verdict.wrong.is_empty() { "ok".to_owned() } else { verdict.wrong.join("; ") });
                verdict.wrong.is_empty()
            }
            Err(error) => {
                cells.push(format!("{error:#}"));
                false
            }
        };
        table.row(cells, good);
    }
    table.end(&world)
}

/// How often one rollback is killed.
const KILLS: usize = 10;

/// The longest time from a start to the kill: it covers the start, the reading of the state and whatever it does first.
const LONGEST_LIFE: Duration = Duration::from_millis(1500);

async fn killed_at_random(case: &Case<'_>, seed: u64) -> anyhow::Result<(Verdict, Vec<String>)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let config = case
        .config()?
        .unset("state.config_map")
        .set("state.file", case.world.dir.join("state.json").display().to_string());
    let mut ripcord = case.start(&config)?;
    ripcord.wait_ready().await?;
    all_clear(&ripcord).await?;
    case.break_it();
    // The first kill comes in the middle: it is decided, and hardly begun.
    eventually(LONG, "the rollback is decided", async || {
        let text = std::fs::read_to_string(case.world.dir.join("state.json")).unwrap_or_default();
        text.contains("rolling_back")
    })
    .await?;
    let mut states = Vec::new();
    for _ in 0..KILLS {
        let state = ripcord.status().await.ok().and_then(|s| Some(s["guards"][0]["state"].as_str()?.to_owned()));
        ripcord.kill();
        states.push(state.unwrap_or_else(|| "starting".to_owned()));
        ripcord = case.start(&config)?;
        tokio::time::sleep(LONGEST_LIFE.mul_f64(random.f64())).await;
    }
    ripcord.wait_ready().await?;
    case.over(&ripcord).await?;
    let verdict = case.judge(&ripcord, &[&case.api], &STORY).await?;
    let text = std::fs::read_to_string(case.world.dir.join("state.json")).context("the state file")?;
    ensure!(text.contains("rolled_back"), "{text}");
    Ok((verdict, states))
}
