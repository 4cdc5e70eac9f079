//! The runner itself: this binary is run once more, with stories that are meant to go wrong, and has to leave nothing behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::processes::is_alive;
use crate::stories;
use crate::support::child::Child;
use crate::support::{Story, World, eventually};

/// Set, it makes this binary tell the doomed stories instead of the others.
pub const DOOMED: &str = "RIPCORD_TEST_DOOMED";

/// Long enough for an API server to start on a busy machine.
const LONG: Duration = Duration::from_secs(120);

pub fn trials() -> Vec<Story> {
    stories![failed_stories_are_shown_and_cleaned_up, a_killed_run_leaves_nothing, missing_parts_are_named]
}

/// Stories that go wrong.
pub fn doomed() -> Vec<Story> {
    let mut stories = stories![fails, panics, goes_well];
    stories.extend(stories![hangs].into_iter().map(|story| story.within(Duration::from_secs(1))));
    stories.extend(stories![waits_for_its_end]);
    stories
}

async fn fails(world: World) -> anyhow::Result<()> {
    let _child = world.spawn("sleeper", Command::new("sh").args(["-c", "echo sleeping; exec sleep 1000"]))?;
    eventually(LONG, "it speaks", async || fs::read(world.dir.join("logs/sleeper.log")).is_ok_and(|t| !t.is_empty()))
        .await?;
    Err(anyhow::anyhow!("the reason").context("it failed on purpose"))
}

async fn panics(world: World) -> anyhow::Result<()> {
    assert!(world.name.is_empty(), "a panic on purpose");
    Ok(())
}

async fn goes_well(_world: World) -> anyhow::Result<()> {
    Ok(())
}

async fn hangs(_world: World) -> anyhow::Result<()> {
    std::future::pending().await
}

async fn waits_for_its_end(world: World) -> anyhow::Result<()> {
    world.write("reached", "")?;
    std::future::pending().await
}

/// This binary with the doomed stories, whose temporary files go below `temp`.
fn run_again(world: &World, temp: &Path, args: &[&str]) -> anyhow::Result<Child> {
    fs::create_dir_all(temp)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).env(DOOMED, "1").env("TMPDIR", temp).env("RIPCORD_TEST_LOGS", world.dir.join("kept"));
    world.spawn("run", &mut command)
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

async fn failed_stories_are_shown_and_cleaned_up(world: World) -> anyhow::Result<()> {
    let temp = world.dir.join("temp");
    let mut run = run_again(&world, &temp, &["--skip", "waits_for_its_end"])?;
    let status = run.wait(LONG).await?;
    let shown = fs::read_to_string(world.dir.join("logs/run.log"))?;
    ensure!(status.code() == Some(101), "{status}");
    ensure!(shown.contains("1 passed; 3 failed"), "the counts");
    ensure!(shown.contains("it failed on purpose\n  caused by: the reason"), "the error");
    ensure!(shown.contains("--- sleeper.log\nsleeping"), "the log");
    ensure!(shown.contains("a panic on purpose") && shown.contains("selftest/runner.rs:"), "the panic and its place");
    ensure!(shown.contains("took longer than 1s"), "the time limit");
    let kept = world.dir.join("kept/selftest-runner-fails/sleeper.log");
    ensure!(fs::read_to_string(&kept)? == "sleeping\n");
    ensure!(is_empty(&temp), "a folder is left");
    Ok(())
}

async fn a_killed_run_leaves_nothing(world: World) -> anyhow::Result<()> {
    let temp = world.dir.join("temp");
    let mut run = run_again(&world, &temp, &["waits_for_its_end"])?;
    let root = eventually(LONG, "the story has begun", async || {
        let root = fs::read_dir(&temp).ok()?.flatten().next()?.path();
        root.join("selftest-runner-waits-for-its-end/reached").exists().then_some(root)
    })
    .await?;
    let pids: Vec<i32> = fs::read_dir(root.join("pids"))?
        .map(|entry| entry?.file_name().to_str().and_then(|n| n.parse().ok()).context("a number"))
        .collect::<anyhow::Result<_>>()?;
    ensure!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)), "etcd and the API server: {pids:?}");
    // The whole group would be killed with a handle; a single signal is what a person or the system sends.
    run.signal(Signal::KILL)?;
    eventually(LONG, "the processes are gone", async || !pids.iter().any(|pid| is_alive(*pid))).await?;
    eventually(LONG, "the folder is gone", async || is_empty(&temp)).await
}

async fn missing_parts_are_named(world: World) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env("PATH", &world.dir)
        .env("KUBEBUILDER_ASSETS", &world.dir)
        .env("RIPCORD_TEST_LOGS", world.dir.join("kept"));
    let mut run = world.spawn("run", &mut command)?;
    ensure!(run.wait(LONG).await?.code() == Some(1));
    let shown = fs::read_to_string(world.dir.join("logs/run.log"))?;
    ensure!(shown.contains("prometheus, promtool, etcd, kube-apiserver") && shown.contains("make test"), "{shown}");
    Ok(())
}
