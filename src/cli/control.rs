//! Commands that ask a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Output;
use super::values::duration;

/// How to reach the daemon.
#[derive(Debug, Args)]
pub struct Daemon {
    /// The daemon's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// File with the API's bearer token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    /// How to reach the daemon.
    pub daemon: Daemon,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of a command on one guard.
#[derive(Debug, Args)]
pub struct OneGuard {
    /// The guard
    pub guard: String,
    #[command(flatten)]
    /// How to reach the daemon.
    pub daemon: Daemon,
}

/// Options of `pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// For how long, like 30m; at most 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub length: Duration,
    #[command(flatten)]
    /// The guard and the daemon.
    pub guard: OneGuard,
}
