//! `ripcord preflight`: the configuration against the real world, before anybody relies on it. It changes nothing and pages nobody; with
//! `--send-test` the receivers get a notification that says that it is a test.
//!
//! - `check`: one thing that was looked at, and what came of it; `report`: all of them, written
//! - `clock`: how far another machine's clock is away
//! - one file for each area: `prometheus`, `istio`, `cluster`, `permissions`, `receivers`, `state`, `baselines`, `certificates`,
//!   `heartbeat`
//!
//! The areas look at the same time. Each call in them has its own time-out, so that all of it ends.

mod baselines;
mod certificates;
mod check;
mod clock;
mod cluster;
mod heartbeat;
mod istio;
mod permissions;
mod prometheus;
mod receivers;
mod report;
mod state;

use anyhow::anyhow;
use futures::join;
use jiff::Timestamp;

use crate::cli;
use crate::config::Settings;

use super::check::explain;
use super::say;
use super::{Failure, load, print, runtime};

use check::{Check, Result};

/// Calls of one area to the API server that are under way at once. It limits the requests of one client; these are small.
const CONCURRENT_CALLS: usize = 16;

/// Looks at everything and says what is wrong.
pub fn preflight(options: &cli::Preflight) -> std::result::Result<(), Failure> {
    let files = &options.configured.files;
    let settings = load(files).map_err(|findings| Failure::BadInput(explain(files, &findings)))?;
    let runtime = runtime()?;
    let checks = runtime.block_on(look(&settings, options.send_test));
    // What still hangs in a file system or a name server must not hold up the result.
    runtime.shutdown_background();
    print(&report::write(&checks, options.output))?;
    match report::count(&checks, Result::Fail) {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} of {} checks failed: see what to do above", checks.len()).into()),
    }
}

/// All areas, in the order of the report.
async fn look(settings: &Settings, send_test: bool) -> Vec<Check> {
    let (cluster, measured, told) = join!(
        done("API server", cluster::reach()),
        done("prometheus", prometheus::measure(settings)),
        done("receivers", receivers::look(settings, send_test)),
    );
    let (cluster, mut in_the_cluster) = cluster;
    let cluster = cluster.as_ref();
    let (guards, permissions, istio, state, kept, certificates) = join!(
        done("rollbacks", cluster::look(cluster, settings)),
        done("permissions", permissions::look(cluster, settings)),
        done("istio", istio::look(cluster, settings)),
        done("state", state::look(cluster, settings)),
        baselines::read(cluster, settings),
        done("certificates", certificates::look(cluster, settings)),
    );
    in_the_cluster.extend(guards.checks);
    [
        prometheus::judge(&measured, settings, &guards.shares, &kept),
        istio,
        in_the_cluster,
        permissions,
        told,
        state,
        baselines::judge(&kept, settings, Timestamp::now()),
        certificates,
        heartbeat::look(settings),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Says on stderr that a part is done, for whoever waits.
async fn done<T>(part: &str, look: impl Future<Output = T>) -> T {
    let seen = look.await;
    say(&format!("{part}: looked at"));
    seen
}
