//! What can be typed: here each command and what several share, beside it the options of each group of commands.

mod baseline;
mod control;
mod moving;
mod render;
mod replay;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands::{self, Failure};

pub use baseline::{Baseline, BaselineList, BaselineRecord, BaselineUse, Keeping, When};
pub use control::{Daemon, OneGuard, Pause, Status};
pub use moving::{Backup, Components, Mode, Moving, Restore, Rollback, Shift};
pub use render::{
    Dashboard, Render, RenderCompletions, RenderDashboard, RenderMan, RenderRbac, RenderRules, RenderTarget,
    RulesFormat, Scrape, ServiceAccount,
};
pub use replay::{Format, Moment, Replay};

/// Watches a service's metrics in Prometheus while its traffic is being moved, and pulls the traffic back when they stay bad.
#[derive(Debug, Parser)]
#[command(name = "ripcord", version, propagate_version = true, max_term_width = 120)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad input or configuration.\n\
    The log goes to stderr; RIPCORD_LOG=debug says more. Settings can be overridden by RIPCORD__… variables, like\n\
    RIPCORD__PROMETHEUS__URL=http://prometheus:9090.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(Run),
    /// Validate configuration files, offline
    Check(Check),
    /// Check the configuration against the real world: metrics, cluster, permissions, receivers, certificates
    Preflight(Preflight),
    /// Write what belongs to a configuration and is kept elsewhere
    Render(Render),
    /// Say what would have happened over history, and why not: with these settings, or with others
    Replay(Replay),
    /// Show the whole story in under a minute, with nothing else installed
    Demo(Demo),
    /// Move traffic back by hand, with or without a running daemon
    Rollback(Rollback),
    /// Take a step of the migration, up or down
    Shift(Shift),
    /// Show what the daemon sees and does
    Status(Status),
    /// Say that you have seen a guard's incident: a failing rollback is not retried any more
    Ack(OneGuard),
    /// Watch a guard again after a rollback
    Rearm(OneGuard),
    /// Let a guard do nothing for a while
    Pause(Pause),
    /// End a guard's pause
    Resume(OneGuard),
    /// Write the objects of the guards, and what routes traffic beside them, into a folder
    Backup(Backup),
    /// Put the objects of a folder back as they were
    Restore(Restore),
    /// Record what triggers are compared with, list it, go back
    #[command(subcommand)]
    Baseline(Baseline),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Configuration file; may be given several times, later ones win
    #[arg(long, short, value_name = "FILE", required = true)]
    pub config: Vec<PathBuf>,
    /// Decide and tell, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which configuration a command goes by.
#[derive(Debug, Args)]
pub struct Configured {
    /// Configuration file; may be given several times, later ones win
    #[arg(long = "config", value_name = "FILE", default_value = "/etc/ripcord/ripcord.yaml")]
    pub files: Vec<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration files; several are layered, later ones win
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do not look for the files that the configuration names (secrets, certificates): they are on another machine
    #[arg(long)]
    pub syntax_only: bool,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `preflight`.
#[derive(Debug, Args)]
pub struct Preflight {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// Send a test notification to every receiver
    #[arg(long)]
    pub send_test: bool,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where the status API can be read while it runs
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For a person.
    Text,
    /// For a script.
    Json,
}

/// Everything that can be typed, as data: for manual pages and completions.
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(options) => commands::run(&options),
        Command::Check(options) => commands::check(&options),
        Command::Preflight(options) => commands::preflight(&options),
        Command::Render(options) => commands::render(&options),
        Command::Replay(options) => commands::replay(&options),
        Command::Demo(options) => commands::demo(&options),
        Command::Rollback(options) => commands::rollback(&options),
        Command::Shift(options) => commands::shift(&options),
        Command::Status(options) => commands::status(&options),
        Command::Ack(options) => commands::ask(&options, "ack", None),
        Command::Rearm(options) => commands::ask(&options, "rearm", None),
        Command::Resume(options) => commands::ask(&options, "resume", None),
        Command::Backup(options) => commands::backup(&options),
        Command::Restore(options) => commands::restore(&options),
        Command::Baseline(Baseline::Record(options)) => commands::baseline_record(&options),
        Command::Baseline(Baseline::List(options)) => commands::baseline_list(&options),
        Command::Baseline(Baseline::Use(options)) => commands::baseline_use(&options),
        Command::Pause(options) => commands::ask(&options.guard, "pause", Some(options.length)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::BadInput(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("ripcord: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_can_be_typed_fits_together() {
        super::grammar().debug_assert();
    }
}
