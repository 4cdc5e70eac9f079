//! Commands that move traffic, and those that keep and put back the objects.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Configured, Output};

/// Which components a command is for.
#[derive(Debug, Args)]
pub struct Components {
    /// The component, by the name of its guard; may be given several times
    #[arg(
        long = "component",
        short = 'c',
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub names: Vec<String>,
    /// All components of the configuration
    #[arg(long = "all-components")]
    pub all: bool,
    /// Of these only the ones whose objects are in this namespace
    #[arg(long, short)]
    pub namespace: Option<String>,
}

/// How a command that moves traffic is carried out.
#[derive(Debug, Args)]
pub struct Moving {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// Ask the daemon at this address to do it; without it this process does, which needs no running daemon
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File with the daemon's bearer token [default: http.token_file of the configuration]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub token_file: Option<PathBuf>,
    /// Show what would change, field by field, and change nothing
    #[arg(long, conflicts_with = "url")]
    pub dry_run: bool,
    /// You know that no daemon runs: take its state over although it was written a moment ago
    #[arg(long, conflicts_with = "url")]
    pub take_over: bool,
    /// Do not ask for a confirmation
    #[arg(long, short, visible_alias = "no-confirm")]
    pub yes: bool,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
#[command(
    override_usage = "ripcord rollback (--component NAME | --all-components) [--mode ingress|dual] [--percentage N] --reason TEXT [OPTIONS]"
)]
#[command(after_help = "Examples:\n  \
    ripcord rollback --component terminal --reason \"users complain\"\n  \
    ripcord rollback --all-components --mode dual --percentage 10 --reason \"gateway overloaded\" --yes\n\n\
    A component that is rolled back is latched. Once Ripcord has told whether it helped (some\n\
    minutes), ripcord rearm NAME has it watched again.")]
pub struct Rollback {
    #[command(flatten)]
    /// The components.
    pub components: Components,
    /// Where to: ingress is everything back (0 %), dual keeps --percentage on Istio [default: the configuration's own target]
    #[arg(long, short, value_enum)]
    pub mode: Option<Mode>,
    /// The share to keep on Istio, in percent
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=99))]
    pub percentage: Option<u8>,
    /// Why; it is told to everybody and kept with the incident
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// The same as --yes
    #[arg(long, short)]
    pub force: bool,
    #[command(flatten)]
    /// How it is carried out.
    pub moving: Moving,
}

/// Where a rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Everything goes back to the Ingress.
    Ingress,
    /// A part stays on Istio.
    Dual,
}

/// Options of `shift`.
#[derive(Debug, Args)]
#[command(override_usage = "ripcord shift (--component NAME | --all-components) --percentage N [OPTIONS]")]
#[command(after_help = "Examples:\n  \
    ripcord shift --component terminal --percentage 25 --url http://127.0.0.1:8080 --token-file token\n  \
    ripcord shift --all-components --percentage 40 --dry-run\n\n\
    A step up is refused while a trigger is not clear or a rollback is not known to work: it needs the daemon (--url), which knows.")]
pub struct Shift {
    #[command(flatten)]
    /// The components.
    pub components: Components,
    /// The share to move to Istio, in percent
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub percentage: u8,
    /// Why
    #[arg(long, short, value_name = "TEXT", default_value = "the next step of the migration")]
    pub reason: String,
    /// Take the step up even if not all is well
    #[arg(long, short)]
    pub force: bool,
    #[command(flatten)]
    /// How it is carried out.
    pub moving: Moving,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Folder to write: one that does not exist yet, or is empty
    pub dir: PathBuf,
    #[command(flatten)]
    /// Whose objects.
    pub configured: Configured,
    /// Write the objects as they were before this incident, as the state keeps them
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Folder that `ripcord backup` wrote
    pub dir: PathBuf,
    /// Show what would change, and ask the API server whether it would take it; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
