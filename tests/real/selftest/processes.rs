//! Child processes, the last resort that ends them, the binary's runner, ports and wires, configurations, and waiting.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::FutureExt;
use rustix::process::{Pid, Signal, test_kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stories;
use crate::support::fixtures::Config;
use crate::support::hook::Hook;
use crate::support::mailbox::{Mailbox, Security};
use crate::support::reaper::Reaper;
use crate::support::ripcord::{Ripcord, metric_in, run_to_end};
use crate::support::server::{HttpServer, Reply};
use crate::support::wire::Wire;
use crate::support::{Story, World, eventually, never, ports};

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Story> {
    stories![
        children_die_with_their_handle,
        the_reaper_ends_what_is_left,
        ports_are_handed_out_once,
        a_cut_connection_is_dead_and_a_new_one_works,
        ripcord_starts_and_ends,
        metrics_pages_are_read,
        configurations_are_yaml,
        waiting_says_what_it_saw,
    ]
}

pub(super) fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// A shell with a child of its own, whose number it tells in a file.
fn shell_with_child(told: &std::path::Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $! >\"$1.new\"; mv \"$1.new\" \"$1\"; wait", "sh"]).arg(told);
    command
}

async fn grandchild(told: &std::path::Path) -> anyhow::Result<i32> {
    eventually(SOON, "the shell has a child", async || fs::read_to_string(told).ok()?.trim().parse().ok()).await
}

async fn children_die_with_their_handle(world: World) -> anyhow::Result<()> {
    let told = world.dir.join("told");
    let mut child = world.spawn("shell", &mut shell_with_child(&told))?;
    let (pid, grandchild) = (child.pid(), grandchild(&told).await?);
    ensure!(is_alive(pid) && is_alive(grandchild));
    child.check_alive()?;
    child.signal(Signal::STOP)?;
    drop(child);
    ensure!(!is_alive(pid));
    eventually(SOON, "the child's child is dead too", async || !is_alive(grandchild)).await?;

    let mut child = world.spawn("shell", Command::new("sh").args(["-c", "echo seen; exit 3"]))?;
    ensure!(child.wait(SOON).await?.code() == Some(3));
    ensure!(child.signal(Signal::TERM).is_err() && child.check_alive().is_err());
    ensure!(fs::read_to_string(world.dir.join("logs/shell-2.log"))? == "seen\n");
    Ok(())
}

async fn the_reaper_ends_what_is_left(world: World) -> anyhow::Result<()> {
    let root = world.new_dir("doomed")?;
    let reaper = Reaper::start(&root)?;
    let told = world.dir.join("told");
    let mut child = world.spawn("shell", &mut shell_with_child(&told))?;
    let grandchild = grandchild(&told).await?;
    fs::write(root.join("pids").join(child.pid().to_string()), "")?;
    // What the end of the run does, in whatever way it comes: the reaper's standard input ends.
    drop(reaper);
    ensure!(child.wait(SOON).await?.signal() == Some(Signal::KILL.as_raw()));
    eventually(SOON, "the child's child is dead too", async || !is_alive(grandchild)).await?;
    ensure!(!root.exists());
    Ok(())
}

async fn ports_are_handed_out_once(_world: World) -> anyhow::Result<()> {
    let mut ports: Vec<_> = (0..50).map(|_| ports::free()).collect();
    ports.sort_unstable();
    ports.dedup();
    ensure!(ports.len() == 50 && ports.iter().all(|p| *p < 32_768));
    Ok(())
}

/// Asks a server on this connection and reads its answer, up to the body `here`.
async fn ask(connection: &mut TcpStream) -> anyhow::Result<()> {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        ensure!(connection.read_buf(&mut answer).await? > 0, "the connection is closed");
    }
    Ok(())
}

async fn a_cut_connection_is_dead_and_a_new_one_works(_world: World) -> anyhow::Result<()> {
    let server = HttpServer::start(|_, _| async { Reply::text(200, "here") }.boxed()).await?;
    let wire = Wire::to(server.address()).await?;
    let mut old = TcpStream::connect(wire.address()).await?;
    timeout(SOON, ask(&mut old)).await??;
    timeout(SOON, ask(&mut old)).await??;
    ensure!(wire.cut() == 1);
    let dead = timeout(Duration::from_millis(500), ask(&mut old)).await;
    ensure!(dead.is_err(), "not dead: {dead:?}");
    let mut new = TcpStream::connect(wire.address()).await?;
    timeout(SOON, ask(&mut new)).await??;
    ensure!(wire.cut() == 2);
    let address = wire.address();
    drop(wire);
    eventually(SOON, "the wire is gone", async || TcpStream::connect(address).await.is_err()).await
}

async fn ripcord_starts_and_ends(world: World) -> anyhow::Result<()> {
    let hook = Hook::start(&world).await?;
    let config =
        Config::new(&world, "http://127.0.0.1:9").guard("terminal", "terminal-controller").webhook("oncall", &hook);
    let mut ripcord = Ripcord::start(&world, &config.to_string(), &world.admin_kubeconfig()?)?;
    let written = fs::read_to_string(ripcord.config_file())?;
    ensure!(written.contains(ripcord.url().trim_start_matches("http://")), "{written}");
    ripcord.kill();
    ensure!(ripcord.exited()?.is_some());
    ensure!(ripcord.signal(Signal::TERM).is_err() && ripcord.get("/healthz").await.is_err());

    let ended = run_to_end(&world, None, &["--version"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    Ok(())
}

async fn metrics_pages_are_read(_world: World) -> anyhow::Result<()> {
    let page = r#"# HELP ripcord_leader Whether it leads
ripcord_leader 1
ripcord_leader_changes 7
ripcord_guard_state{guard="terminal",state="watching"} 1 1700000000000
ripcord_guard_state{guard="a \"quoted\", one}",state="paused"} 0.5
"#;
    ensure!(metric_in(page, "ripcord_leader", &[])? == Some(1.0));
    ensure!(metric_in(page, "ripcord_guard_state", &[("guard", "terminal")])? == Some(1.0));
    ensure!(
        metric_in(page, "ripcord_guard_state", &[("guard", "a \"quoted\", one}"), ("state", "paused")])? == Some(0.5)
    );
    ensure!(metric_in(page, "ripcord_guard_state", &[("guard", "other")])?.is_none());
    ensure!(metric_in(page, "ripcord_guard_state", &[]).is_err(), "two series");
    Ok(())
}

async fn configurations_are_yaml(world: World) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(&world, Security::StartTls, true).await?;
    let hook = Hook::start(&world).await?;
    let text = Config::new(&world, "http://127.0.0.1:9090")
        .guard("terminal", "terminal-controller")
        .guard("db-adminer", "db-adminer-controller")
        .with_config_map()
        .webhook("oncall", &hook)
        .email(&world, "sre", &mailbox, Security::StartTls, true, &["sre@sealos.test"])?
        .set("defaults.triggers.error_rate.for", "3s")
        .set("guards.terminal.triggers.latency.above", "1%")
        .set("defaults.traffic.0.deployment_env.container", "other")
        .unset("defaults.triggers.availability")
        .to_string();
    let documents = yaml_rust2::YamlLoader::load_from_str(&text).with_context(|| text.clone())?;
    let yaml = &documents[0];
    let triggers = &yaml["defaults"]["triggers"];
    ensure!(triggers["error_rate"]["for"].as_str() == Some("3s"), "{text}");
    ensure!(triggers["availability"].is_badvalue(), "{text}");
    ensure!(yaml["guards"]["terminal"]["triggers"]["latency"]["above"].as_str() == Some("1%"), "{text}");
    ensure!(yaml["guards"]["db-adminer"]["vars"]["deployment"].as_str() == Some("db-adminer-controller"), "{text}");
    let steps = &yaml["defaults"]["traffic"];
    ensure!(steps[0]["deployment_env"]["container"].as_str() == Some("other"), "{text}");
    ensure!(steps[1]["config_map"]["namespace"].as_str() == Some(&*world.namespace), "{text}");
    let smtp = &yaml["receivers"]["sre"]["email"]["smtp"];
    ensure!(
        smtp["port"].as_i64() == Some(mailbox.address().port().into()) && smtp["tls"].as_str() == Some("starttls"),
        "{text}"
    );
    ensure!(
        fs::read_to_string(smtp["password_file"].as_str().context("a password file")?)?
            == crate::support::mailbox::PASSWORD
    );
    Ok(())
}

async fn waiting_says_what_it_saw(_world: World) -> anyhow::Result<()> {
    let short = Duration::from_millis(150);
    let error = eventually(short, "pigs fly", async || Err::<(), _>("the pig sits")).await;
    let error = error.err().context("it cannot hold")?.to_string();
    ensure!(error.contains("pigs fly") && error.contains("the pig sits"), "{error}");
    let hung = eventually(short, "a look ends", async || std::future::pending::<bool>().await).await;
    ensure!(hung.is_err());

    let start = Instant::now();
    let later = async || (start.elapsed() > short).then_some(7);
    ensure!(eventually(SOON, "time passes", later).await? == 7);
    ensure!(never(short, "it is still early", async || start.elapsed() < short).await.is_ok());
    ensure!(never(SOON, "time passes", later).await.is_err());
    Ok(())
}
