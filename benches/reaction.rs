//! How long it takes from the tick that completes a hold to the accepted change, with every receiver hanging.
//!
//! `cargo bench --bench reaction`. A real Prometheus, a real API server, the real program with all optimisations; one guard after another
//! goes bad. The time is taken at the API server's door: from the tick's instant (a whole second) to the answer to the first patch.

#[path = "../tests/real/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use support::apiserver::ApiProxy;
use support::controller::{Controller, Rollout};
use support::fixtures::{self, Config};
use support::hook::{Behaviour, Hook};
use support::mailbox::{self, Mailbox, Security};
use support::mesh::{Mesh, Traffic};
use support::prometheus::Prometheus;
use support::ripcord::Ripcord;
use support::{Story, World, eventually};

/// Rollbacks that are measured.
const ROLLBACKS: usize = 15;

const LONG: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    support::run::run_all(vec![Story::new("reaction", reaction).within(Duration::from_secs(900))])
}

async fn reaction(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    let names: Vec<String> = (0..ROLLBACKS).map(|n| format!("component-{n}")).collect();
    for name in &names {
        mesh.workload(name).set(Traffic::healthy(100.0));
        fixtures::create_deployment(&world, name).await?;
    }
    let prometheus = Prometheus::start(&world, mesh.address()).await?;
    let api = ApiProxy::start(&world).await?;
    let _controller = Controller::start(&world, Rollout::Finish(Duration::from_millis(100)))?;
    let hook = Hook::start(&world).await?;
    hook.set(Behaviour::Hang);
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    mailbox.set(mailbox::Behaviour::Hang);
    let mut config = Config::new(&world, &prometheus.url()).webhook("hook", &hook).email(
        &world,
        "mail",
        &mailbox,
        Security::Plain,
        false,
        &["a@sealos.test", "b@sealos.test"],
    )?;
    for name in &names {
        config = config.guard(name, name);
    }
    let kubeconfig = api.kubeconfig(&world, world.apiserver.admin_identity())?;
    let mut ripcord = Ripcord::start(&world, &config.to_string(), &kubeconfig)?;
    ripcord.wait_ready().await?;
    let mut taken = Vec::new();
    for name in &names {
        mesh.workload(name).set(Traffic::healthy(100.0).errors(0.5));
        let path = format!("/deployments/{name}");
        let accepted = eventually(LONG, &format!("{name} is patched"), async || {
            let patch = api.requests().into_iter().find(|r| r.method == "PATCH" && r.path.ends_with(&path))?;
            patch.answered.filter(|(status, _)| *status == 200).map(|(_, at)| at)
        })
        .await?;
        taken.push(since_whole_second(accepted)?);
    }
    taken.sort();
    let median = taken[taken.len() / 2];
    let (best, worst) = (taken.first().context("some")?, taken.last().context("some")?);
    println!("tick to accepted change, {ROLLBACKS} rollbacks, {ROLLBACKS} guards, every receiver hanging:");
    println!("  least {best:?}, median {median:?}, most {worst:?}");
    Ok(())
}

/// The ticks of a story are at whole seconds.
fn since_whole_second(time: SystemTime) -> anyhow::Result<Duration> {
    Ok(Duration::from_nanos(u64::from(time.duration_since(UNIX_EPOCH)?.subsec_nanos())))
}
