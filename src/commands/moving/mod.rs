//! `ripcord rollback` and `ripcord shift`: traffic is moved by hand.
//!
//! - here: what is asked for, its confirmation, its summary
//! - `target`: where to; `follow`: what comes of it; `preview`: what would
//!
//! With `--url` the running daemon does it. Without, this process becomes one for as long as it takes: the same engine, steps, journal and
//! pages, so that a daemon that is down is no reason to do it otherwise.

mod follow;
mod preview;
mod target;

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use crate::cli::{self, Components, Moving, Output};
use crate::config::{Guard, StatePlace, Step};
use crate::kubernetes::Cluster;

use super::control::{call, token_file};
use super::here::{self, Here};
use super::patience::patiently;
use super::{Failure, ask_to_go_on, load_apart, print, runtime, say};
use follow::{Ending, Story};

/// What is asked for.
struct Order {
    /// `rollback` or `shift`, as the API has it.
    command: &'static str,
    /// To which share, in percent; the component's own target when absent.
    percentage: Option<u8>,
    reason: String,
    force: bool,
}

/// One component, before anything is done.
struct Component {
    name: String,
    /// The share now, in percent, or why it is not known.
    share: Result<u8, String>,
    /// The share to go to, in percent; absent where only the daemon knows it.
    target: Option<u8>,
}

/// Moves traffic back.
pub fn rollback(options: &cli::Rollback) -> Result<(), Failure> {
    let percentage = target::of_rollback(options.mode, options.percentage).map_err(Failure::BadInput)?;
    let order = Order { command: "rollback", percentage, reason: options.reason.clone(), force: false };
    carry_out(&order, &options.components, &options.moving, options.moving.yes || options.force)
}

/// Takes a step of the migration.
pub fn shift(options: &cli::Shift) -> Result<(), Failure> {
    let percentage = Some(options.percentage);
    let order = Order { command: "shift", percentage, reason: options.reason.clone(), force: options.force };
    carry_out(&order, &options.components, &options.moving, options.moving.yes)
}

fn carry_out(order: &Order, components: &Components, moving: &Moving, confirmed: bool) -> Result<(), Failure> {
    if order.reason.trim().is_empty() {
        return Err(Failure::BadInput("--reason is empty; say why, for whoever is paged".to_owned()));
    }
    if !confirmed && !moving.dry_run && !std::io::stdin().is_terminal() {
        let text = format!("ripcord {} moves traffic and there is no terminal to ask on; add --yes", order.command);
        return Err(Failure::BadInput(text));
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        match &moving.url {
            Some(url) => by_the_daemon(order, components, moving, url, confirmed).await,
            None => by_this_process(order, components, moving, confirmed).await,
        }
    });
    // What still hangs in a file system or a name server must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn by_the_daemon(
    order: &Order,
    components: &Components,
    moving: &Moving,
    url: &str,
    confirmed: bool,
) -> Result<(), Failure> {
    let daemon =
        cli::Daemon { url: url.to_owned(), token_file: token_file(moving.token_file.as_deref(), &moving.configured)? };
    let status = call(&daemon, &["api", "v1", "status"], None).await?;
    if status["dry_run"] == true {
        let text =
            format!("the daemon at {url} is a dry run: it would change nothing. Leave --url out, or ask another");
        return Err(Failure::BadInput(text));
    }
    let guards = status["guards"].as_array().cloned().unwrap_or_default();
    let known: Vec<String> = guards.iter().filter_map(|g| g["guard"].as_str().map(str::to_owned)).collect();
    let of_namespace = match &components.namespace {
        Some(namespace) => Some(in_namespace(&load_apart(&moving.configured)?.guards, namespace)),
        None => None,
    };
    let names = target::choose(components, &known, of_namespace.as_deref()).map_err(Failure::BadInput)?;
    let component = |name: String| {
        let guard = guards.iter().find(|g| g["guard"] == name.as_str());
        let share = guard.and_then(|g| g["percentage"].as_u64()).and_then(|share| u8::try_from(share).ok());
        let why = guard.and_then(|g| g["percentage_unknown"].as_str()).unwrap_or("not known").to_owned();
        Component { name, share: share.ok_or(why), target: order.percentage }
    };
    let components: Vec<_> = names.into_iter().map(component).collect();
    confirm(order, &components, confirmed)?;
    say(&format!("{url} carries it out and goes on with it if this is interrupted"));
    let stories = follow::ask(&daemon, order, &components).await;
    let stories = follow::follow(&daemon, stories).await;
    report(order, &stories, moving.output, Afterwards::Watched)
}

async fn by_this_process(
    order: &Order,
    components: &Components,
    moving: &Moving,
    confirmed: bool,
) -> Result<(), Failure> {
    let settings = load_apart(&moving.configured)?;
    let known: Vec<String> = settings.guards.iter().map(|guard| guard.name.clone()).collect();
    let of_namespace = components.namespace.as_deref().map(|namespace| in_namespace(&settings.guards, namespace));
    let names = target::choose(components, &known, of_namespace.as_deref()).map_err(Failure::BadInput)?;
    let cluster = Cluster::connect().await.map_err(|e| {
        let doing = if order.command == "rollback" { "roll back" } else { "shift" };
        let why = std::error::Error::source(&e).map(|why| format!(" ({why})")).unwrap_or_default();
        anyhow::anyhow!("cannot {doing}: {e}{why}")
    })?;
    let guards: Vec<&Guard> = settings.guards.iter().filter(|guard| names.contains(&guard.name)).collect();
    let reading = futures::future::join_all(guards.iter().map(|guard| cluster.share(&guard.steps)));
    let shares = patiently("Reading the shares", reading).await;
    let component = |(guard, share): (&&Guard, Result<u8, crate::engine::Unknown>)| Component {
        name: guard.name.clone(),
        share: share.map_err(|unknown| unknown.to_string()),
        target: order.percentage.or_else(|| guard.engine.rollback.percentages.last().copied()),
    };
    let components: Vec<_> = guards.iter().zip(shares).map(component).collect();
    if moving.dry_run {
        return preview::preview(order, &cluster, &guards, &components, moving.output).await;
    }
    if order.command == "shift" && components.iter().any(Component::goes_up) {
        let text = "a step up is taken by the daemon, which measures and watches it: start it and ask it with --url. Nothing was changed";
        return Err(Failure::Failed(anyhow::anyhow!("{text}")));
    }
    confirm(order, &components, confirmed)?;
    if !moving.take_over {
        here::refuse_beside_a_daemon(&settings, &cluster).await?;
    }
    let afterwards = match &settings.state {
        Some(StatePlace::ConfigMap(_)) => Afterwards::TakenUp,
        Some(StatePlace::File(_)) | None => Afterwards::TakenUpFromHere,
    };
    let mut here = Here::start(settings, cluster).await?;
    let followed = here
        .while_it_runs(async |daemon| {
            let stories = follow::ask(daemon, order, &components).await;
            Ok(follow::follow(daemon, stories).await)
        })
        .await;
    let reported = followed.and_then(|stories| report(order, &stories, moving.output, afterwards));
    here.stop().await;
    reported
}

/// The guards with an object in a namespace.
fn in_namespace(guards: &[Guard], namespace: &str) -> Vec<String> {
    let is_there = |step: &Step| crate::kubernetes::ObjectRef::of(step).is_some_and(|o| o.namespace == namespace);
    guards.iter().filter(|guard| guard.steps.iter().any(is_there)).map(|guard| guard.name.clone()).collect()
}

/// Says what is about to be done, and asks.
fn confirm(order: &Order, components: &[Component], confirmed: bool) -> Result<(), Failure> {
    say(if order.command == "rollback" { "Roll back:" } else { "Shift:" });
    for component in components {
        say(&format!("  {:<20} {}", component.name, component.movement()));
    }
    if confirmed {
        return Ok(());
    }
    ask_to_go_on("Type yes to go on: ")
}

/// What becomes of a move once it is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// The daemon checks whether it helped.
    Watched,
    /// It does when it runs again.
    TakenUp,
    /// It does if it uses the state that is here.
    TakenUpFromHere,
}

impl Component {
    /// Whether it is moved up, or that cannot be told.
    fn goes_up(&self) -> bool {
        !self.share.as_ref().is_ok_and(|share| self.target.is_some_and(|target| target <= *share))
    }

    /// `25 % -> 0 %`.
    fn movement(&self) -> String {
        let from = match &self.share {
            Ok(share) => format!("{share} %"),
            Err(why) => format!("? ({why})"),
        };
        match self.target {
            Some(target) if self.share == Ok(target) => format!("at {target} % already"),
            Some(target) => format!("{from} -> {target} %"),
            None => format!("{from} -> its configured target"),
        }
    }
}

/// The result, for a person or a script. The error is that not all of it is done.
fn report(order: &Order, stories: &[Story], output: Output, afterwards: Afterwards) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let components: Vec<Value> = stories.iter().map(Story::json).collect();
            let done = stories.iter().all(Story::is_done);
            let report = json!({
                "command": order.command, "reason": order.reason, "percentage": order.percentage, "dry_run": false, "done": done,
                "components": components,
            });
            print(&format!("{report:#}\n"))?;
        }
        Output::Text => {
            let mut text = String::new();
            for story in stories {
                text.push_str(&format!("{}\n", story.in_words(order.command)));
            }
            if order.command == "rollback" && stories.iter().any(Story::is_done) {
                text.push_str(match afterwards {
                    Afterwards::Watched => {
                        "Ripcord checks now whether it helped, and tells within some minutes (rollback.verify.within at most). After that, not before,\n\
                         ripcord rearm NAME has a component watched again: until then it is latched.\n"
                    }
                    Afterwards::TakenUp => {
                        "Nobody checks whether it helped until Ripcord runs again: look at the service now. The components are latched until\n\
                         ripcord rearm NAME.\n"
                    }
                    Afterwards::TakenUpFromHere => {
                        "Nobody checks whether it helped: look at the service now. A Ripcord that uses the same state file goes on from here, and\n\
                         has the components latched until ripcord rearm NAME; any other knows nothing of this.\n"
                    }
                });
            }
            print(&text)?;
        }
    }
    let open: Vec<&str> =
        stories.iter().filter(|story| !story.is_done()).map(|story| story.component.as_str()).collect();
    if open.is_empty() {
        return Ok(());
    }
    let mut hint = String::new();
    if stories.iter().any(|story| matches!(story.ending, Ending::Failing(_))) {
        hint.push_str(if afterwards == Afterwards::Watched {
            "; Ripcord goes on trying: ripcord status, and ripcord ack NAME to stop that"
        } else {
            "; nobody goes on trying: mend what the error says and run this again"
        });
    }
    Err(Failure::Failed(anyhow::anyhow!("not done: {}{hint}", open.join(", "))))
}
