//! `ripcord baseline`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::values::{duration, time};
use super::{Configured, Output};

/// What to do with recorded baselines.
#[derive(Debug, Subcommand)]
pub enum Baseline {
    /// Measure over a period of the past, show what that changes, and compare with it from now on
    Record(BaselineRecord),
    /// Show what is recorded, how old it is, and the versions before
    List(BaselineList),
    /// Go back to a version that is kept
    Use(BaselineUse),
}

/// Who keeps baselines.
#[derive(Debug, Args)]
pub struct Keeping {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// Have the daemon at this address keep it; without it this process writes the state, which needs no running daemon
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File with the daemon's bearer token [default: http.token_file of the configuration]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub token_file: Option<PathBuf>,
    /// You know that no daemon runs: take its state over although it was written a moment ago
    #[arg(long, conflicts_with = "url")]
    pub take_over: bool,
}

/// Options of `baseline record`.
#[derive(Debug, Args)]
pub struct BaselineRecord {
    /// Only the triggers of this guard; may be given several times
    #[arg(long = "guard", short, value_name = "NAME")]
    pub guards: Vec<String>,
    /// Measure over this much of the past [default: each trigger's baseline.recorded.over]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub over: Option<Duration>,
    /// The end of the period: now, or a time like 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = time)]
    pub to: When,
    /// Measure and show, record nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for a confirmation
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    /// Who keeps them.
    pub keeping: Keeping,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// An instant that was typed; none for now.
#[derive(Debug, Clone, Copy)]
pub struct When(pub Option<jiff::Timestamp>);

/// Options of `baseline list`.
#[derive(Debug, Args)]
pub struct BaselineList {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// Ask the daemon at this address; without it the state of the configuration is read
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `baseline use`.
#[derive(Debug, Args)]
pub struct BaselineUse {
    /// The guard
    pub guard: String,
    /// The trigger
    pub trigger: String,
    /// Which of its versions, as ripcord baseline list numbers them
    // By another id than clap's own --version.
    #[arg(id = "of_version", value_name = "VERSION")]
    pub version: u32,
    #[command(flatten)]
    /// Who keeps them.
    pub keeping: Keeping,
}
