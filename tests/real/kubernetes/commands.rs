//! The step `command`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ripcord::config::{Command, Step};
use ripcord::engine::StepResult;
use ripcord::kubernetes::{ChangePlan, Outcome};

use super::stage::{carry_out, cluster, failure, results, rollback, template};
use crate::stories;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        what_it_writes_is_the_detail,
        arguments_are_no_shells_words,
        exit_codes_and_signals_are_told,
        what_cannot_be_run_is_told,
        a_time_out_asks_first,
        a_time_out_kills_grandchildren,
        a_change_that_is_given_up_kills_the_group,
        a_change_that_is_cancelled_kills_the_group_before_it_ends,
        what_stays_in_the_background_is_not_waited_for,
        much_output_is_cut,
        a_dry_run_runs_nothing,
        without_a_permit_nothing_is_run,
    ]
}

/// Long enough for any command here that is not meant to run into it.
const PATIENT: Duration = Duration::from_secs(100);

/// Within this a process that was killed is gone.
const GONE: Duration = Duration::from_secs(20);

/// A change that runs this.
fn command(argv: &[&str], timeout: Duration) -> ChangePlan {
    rollback([Step::Command(Command { argv: argv.iter().map(|text| template(text)).collect(), timeout })])
}

/// A change that runs a script with this as `$1`.
fn script(text: &str, argument: &Path, timeout: Duration) -> ChangePlan {
    command(&["sh", "-c", text, "script", &argument.to_string_lossy()], timeout)
}

/// The process whose id somebody wrote into a file.
async fn process(file: &Path) -> anyhow::Result<PathBuf> {
    eventually(PATIENT, "a process has written its id", async || {
        let text = fs::read_to_string(file)?;
        let id: u32 = text.strip_suffix('\n').context("a whole line")?.parse()?;
        anyhow::Ok(PathBuf::from(format!("/proc/{id}")))
    })
    .await
}

/// Whether a process runs. One that has ended and that nobody has waited for does not.
fn runs(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| !matches!(state, "Z" | "X"))
}

async fn is_gone(process: &Path) -> anyhow::Result<()> {
    eventually(GONE, "a killed process is gone", async || !runs(process)).await
}

async fn what_it_writes_is_the_detail(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    // Both streams in their order, and nothing to read.
    let text = "cat; echo to \"$1\"; echo careful >&2; echo because \"$2\"";
    let plan = command(&["sh", "-c", text, "script", "${percentage}", "${reason}"], PATIENT);
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    let wanted = vec![(StepResult::Changed, Some("to 0\ncareful\nbecause error rate 3.1 %"))];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    let (_, reports) = carry_out(&cluster, &command(&["true"], PATIENT)).await;
    ensure!(results(&reports) == [(StepResult::Changed, None)], "{reports:?}");
    Ok(())
}

async fn arguments_are_no_shells_words(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("made");
    let hostile = format!("$(touch {0}); `touch {0}` & touch {0}", file.display());
    let mut plan = command(&["echo", "${reason}", "a  b"], PATIENT);
    plan.vars.insert("reason".to_owned(), hostile.clone());
    let (_, reports) = carry_out(&cluster, &plan).await;
    ensure!(results(&reports) == [(StepResult::Changed, Some(format!("{hostile} a  b").as_str()))], "{reports:?}");
    ensure!(!file.exists());
    Ok(())
}

async fn exit_codes_and_signals_are_told(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let error = failure(&cluster, &command(&["sh", "-c", "echo no such route; exit 3"], PATIENT)).await?;
    let wanted = "sh -c \"echo no such route; exit 3\" ended with exit code 3; run it by hand to see why. It wrote: no such route";
    ensure!(error == wanted, "{error}");
    let error = failure(&cluster, &command(&["false"], PATIENT)).await?;
    ensure!(error.starts_with("false ended with exit code 1") && error.ends_with("It wrote nothing"), "{error}");
    let error = failure(&cluster, &command(&["sh", "-c", "kill -KILL $$"], PATIENT)).await?;
    ensure!(error.contains("was killed by signal 9"), "{error}");
    Ok(())
}

async fn what_cannot_be_run_is_told(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.write("move", "#!/bin/sh\n")?;
    let garbage = world.write("garbage", "\u{1}\u{2}\u{3}")?;
    fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (program, wanted) in [
        ("no-such-program", "could not run no-such-program x: there is no no-such-program in PATH"),
        ("/no/such/program", "could not run /no/such/program x: /no/such/program: No such file"),
        (&file.to_string_lossy(), "may not be executed by this user"),
    ] {
        let mut plan = command(&[program, "x"], PATIENT);
        for dry_run in [false, true] {
            plan.dry_run = dry_run;
            let error = failure(&cluster, &plan).await?;
            ensure!(error.contains(wanted), "{error}");
        }
    }
    let error = failure(&cluster, &command(&[&garbage.to_string_lossy()], PATIENT)).await?;
    ensure!(error.starts_with("could not run ") && error.contains("check the program"), "{error}");
    Ok(())
}

async fn a_time_out_asks_first(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let text = "trap 'echo put back; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let error = failure(&cluster, &command(&["sh", "-c", text], Duration::from_secs(5))).await?;
    ensure!(error.contains("did not end within 5s and was killed with its whole process group"), "{error}");
    ensure!(error.contains("It wrote: ready\n") && error.ends_with("put back"), "{error}");
    Ok(())
}

/// What ignores SIGTERM, and what its children started, ends too.
async fn a_time_out_kills_grandchildren(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("id");
    let text = "trap '' TERM; sh -c 'echo $$ > \"$1\"; exec sleep 1000' inner \"$1\" & wait";
    let error = failure(&cluster, &script(text, &file, Duration::from_secs(5))).await?;
    ensure!(error.contains("did not end within 5s"), "{error}");
    is_gone(&process(&file).await?).await
}

async fn a_change_that_is_given_up_kills_the_group(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("id");
    let text = "trap '' TERM; sh -c 'echo $$ > \"$1\"; exec sleep 1000' inner \"$1\" & wait";
    let plan = script(text, &file, PATIENT);
    let change = tokio::spawn(async move { carry_out(&cluster, &plan).await });
    let grandchild = process(&file).await?;
    ensure!(runs(&grandchild), "it has ended already");
    change.abort();
    ensure!(change.await.is_err_and(|e| e.is_cancelled()), "the change ended by itself");
    is_gone(&grandchild).await
}

/// What comes after it, a rollback say, begins when it has ended.
async fn a_change_that_is_cancelled_kills_the_group_before_it_ends(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("id");
    let plan = script("trap '' TERM; echo $$ > \"$1\"; while :; do sleep 0.05; done", &file, PATIENT);
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let change = tokio::spawn(async move {
        let mut reports = Vec::new();
        let gone = async move { drop(cancelled.await) };
        let outcome = cluster.carry_out(&plan, |progress| reports.push(progress), gone).await;
        (outcome, reports)
    });
    let shell = process(&file).await?;
    ensure!(runs(&shell), "it has ended already");
    drop(cancel);
    let (outcome, reports) = tokio::time::timeout(GONE, change).await??;
    ensure!((outcome, reports.is_empty()) == (Outcome::Cancelled, true), "{outcome:?}: {reports:?}");
    is_gone(&shell).await
}

async fn what_stays_in_the_background_is_not_waited_for(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("id");
    let text = "sleep 1000 & echo $! > \"$1\"; echo done";
    let began = Instant::now();
    let (_, reports) = carry_out(&cluster, &script(text, &file, PATIENT)).await;
    let took = began.elapsed();
    let left = process(&file).await?;
    let ran_on = runs(&left);
    let id = left.file_name().context("an id")?;
    std::process::Command::new("kill").arg("-KILL").arg(id).status()?;
    ensure!(results(&reports) == [(StepResult::Changed, Some("done"))], "{reports:?}");
    ensure!(took < PATIENT / 2, "it took {took:?}");
    ensure!(ran_on, "it was killed");
    Ok(())
}

async fn much_output_is_cut(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let text = "echo the beginning; yes | head -c 3000000; echo the end";
    let (_, reports) = carry_out(&cluster, &command(&["sh", "-c", text], PATIENT)).await;
    let [(StepResult::Changed, Some(detail))] = results(&reports)[..] else { anyhow::bail!("{reports:?}") };
    ensure!(detail.starts_with("the beginning\ny\n") && detail.ends_with("y\nthe end"), "{detail}");
    ensure!(detail.contains("bytes are left out") && detail.len() < 4200, "{} bytes", detail.len());
    Ok(())
}

async fn a_dry_run_runs_nothing(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("made");
    let mut plan = script("touch \"$1\"", &file, PATIENT);
    plan.dry_run = true;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    let detail = format!("would run sh -c \"touch \\\"$1\\\"\" script {}", file.display());
    let wanted = vec![(StepResult::WouldChange, Some(detail.as_str()))];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    ensure!(!file.exists(), "it was run");
    plan.dry_run = false;
    carry_out(&cluster, &plan).await;
    ensure!(file.exists(), "it was not run, so that the story shows nothing");
    Ok(())
}

async fn without_a_permit_nothing_is_run(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let file = world.dir.join("made");
    let mut plan = script("touch \"$1\"", &file, PATIENT);
    plan.permit = Arc::new(|| false);
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!((outcome, reports.as_slice()) == (Outcome::Cancelled, &[]), "{outcome:?}: {reports:?}");
    ensure!(!file.exists(), "it was run");
    Ok(())
}
