//! `ripcord run`: the daemon.

use anyhow::Context as _;

use crate::cli::Run;
use crate::daemon::{self, Clock, Setup};
use crate::kubernetes::Cluster;
use crate::telemetry::{self, Metrics};

use super::check::explain;
use super::{Failure, load, runtime};

/// Runs until a signal ends it.
pub fn run(options: &Run) -> Result<(), Failure> {
    let files = options.config.clone();
    let settings = load(&files).map_err(|findings| Failure::BadInput(explain(&files, &findings)))?;
    telemetry::start_log()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let cluster = Cluster::connect().await.context("cannot run")?;
        let setup = Setup {
            settings,
            load: Box::new(move || load(&files)),
            cluster,
            clock: Clock::wall(),
            dry_run: options.dry_run,
            by_hand: false,
            metrics: Metrics::start()?,
            listening: None,
            stop: None,
        };
        daemon::run(setup).await
    });
    // What still hangs in a file system or a name server must not hold up the end.
    runtime.shutdown_background();
    Ok(ended?)
}
