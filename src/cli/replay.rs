//! `ripcord replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::Configured;
use super::values::{duration, moment};

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(
    override_usage = "ripcord replay (--from TIME | --input FILE) [--to TIME] [--set PATH=VALUE] [--against PATH=VALUE] [--format text|json|html] [OPTIONS]"
)]
#[command(after_help = "Examples:\n  \
    ripcord replay --from -7d\n  \
    ripcord replay --from 2026-01-02T03:00:00Z --to 2026-01-02T06:00:00Z --guard terminal --format html --out night.html\n  \
    ripcord replay --from -30d --step 15s --against guards.terminal.triggers.error_rate.for=2m\n  \
    ripcord replay --input night.csv --share 25\n\n\
    Nothing is changed and nobody is paged. What a rollback would have changed in what came after it, history does not know.")]
pub struct Replay {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// From when on: -7d, or a time like 2026-01-02T03:04:05Z [default with --input: the file's first sample]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment, required_unless_present = "input")]
    pub from: Option<Moment>,
    /// Until when: now, -1h, or a time; with --input, now is the file's last sample
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment, default_value = "now")]
    pub to: Moment,
    /// Take history from this file and not from Prometheus: samples in OpenMetrics or Prometheus text format with time stamps, or a CSV table
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// What if: a setting that comes over files and environment, like guards.terminal.triggers.error_rate.for=2m; may be given several times
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Compare with this setting, side by side; it comes over --set too; may be given several times
    #[arg(long, value_name = "PATH=VALUE")]
    pub against: Vec<String>,
    /// Only this guard; may be given several times
    #[arg(long = "guard", value_name = "NAME")]
    pub guards: Vec<String>,
    /// The share of the traffic that is assumed all the time, in percent [default: what Ripcord's own metric says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub share: Option<u8>,
    /// The time from one tick to the next [default: evaluation.interval]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub step: Option<Duration>,
    /// How to write the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the report to this file and not to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A time.
    At(Timestamp),
    /// This long ago.
    Ago(Duration),
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For a script.
    Json,
    /// For a browser: one file with charts.
    Html,
}
