//! What can be typed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::Timestamp;

use crate::commands::{self, Failure};
use crate::config;

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
    A component that is rolled back is latched: ripcord rearm NAME has it watched again.")]
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

/// Options of `render`.
#[derive(Debug, Args)]
pub struct Render {
    #[command(subcommand)]
    /// What to write.
    pub target: RenderTarget,
}

/// What can be rendered.
#[derive(Debug, Subcommand)]
pub enum RenderTarget {
    /// The least permissions: Roles and RoleBindings for kubectl apply
    Rbac(RenderRbac),
    /// What a configuration may hold, as a JSON Schema, for editors that complete and check as one types
    Schema,
    /// Manual pages, one for each command
    Man(RenderMan),
    /// Completions of a shell, to be sourced or put where it looks for them
    Completions(RenderCompletions),
    /// Recording and alerting rules for Prometheus
    Rules(RenderRules),
    /// A Grafana dashboard, as JSON to import
    Dashboard(RenderDashboard),
}

/// Options of `render man`.
#[derive(Debug, Args)]
pub struct RenderMan {
    /// The folder to write them into; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Options of `render completions`.
#[derive(Debug, Args)]
pub struct RenderCompletions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// How Prometheus knows Ripcord.
#[derive(Debug, Args)]
pub struct Scrape {
    /// The job that Prometheus scrapes Ripcord as
    #[arg(long, value_name = "NAME", default_value = "ripcord", value_parser = job)]
    pub job: String,
    /// What else tells Ripcord's own series from others, as PromQL has it: 'namespace="sealos-system",cluster="eu"'
    #[arg(long, value_name = "MATCHERS", value_parser = matchers)]
    pub selector: Option<String>,
}

/// Options of `render rules`.
#[derive(Debug, Args)]
pub struct RenderRules {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// For which reader
    #[arg(long, value_enum, default_value_t = RulesFormat::Prometheus)]
    pub format: RulesFormat,
    /// The namespace of a PrometheusRule
    #[arg(long, value_name = "NAME", default_value = "sealos-system", value_parser = job)]
    pub namespace: String,
    #[command(flatten)]
    /// How Prometheus knows Ripcord.
    pub scrape: Scrape,
}

/// Who reads the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// A file for rule_files.
    Prometheus,
    /// A PrometheusRule for the Prometheus Operator.
    PrometheusRule,
}

/// Options of `render dashboard`.
#[derive(Debug, Args)]
pub struct RenderDashboard {
    /// Which one
    #[arg(value_enum, default_value_t = Dashboard::Migration)]
    pub which: Dashboard,
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    #[command(flatten)]
    /// How Prometheus knows Ripcord.
    pub scrape: Scrape,
}

/// A dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dashboard {
    /// The guarded services while their traffic moves.
    Migration,
    /// Ripcord itself.
    Ripcord,
}

/// Options of `render rbac`.
#[derive(Debug, Args)]
pub struct RenderRbac {
    #[command(flatten)]
    /// The configuration.
    pub configured: Configured,
    /// Whom to give them to
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "sealos-system/ripcord", value_parser = service_account)]
    pub service_account: ServiceAccount,
}

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which its Roles have too.
    pub name: String,
}

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

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where the status API can be read while it runs
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
}

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

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For a person.
    Text,
    /// For a script.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).map_err(|e| e.to_string())
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == "now" {
        return Ok(Moment::Ago(Duration::ZERO));
    }
    if let Some(ago) = text.strip_prefix('-') {
        return duration(ago).map(Moment::Ago);
    }
    let at = text.parse().map_err(|_| format!("{text:?} is no time; write now, -7d or 2026-01-02T03:04:05Z"))?;
    Ok(Moment::At(at))
}

/// An instant; none for now.
fn time(text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When(None));
    }
    text.parse().map(|at| When(Some(at))).map_err(|_| "write now, or a time like 2026-01-02T03:04:05Z".to_owned())
}

/// A name that needs no quoting in PromQL or YAML.
fn job(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, -, _, . and / are allowed".to_owned())
    }
}

fn matchers(text: &str) -> Result<String, String> {
    let matcher = r#"[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*"([^"\\]|\\.)*""#;
    let list = regex::Regex::new(&format!(r"^\s*{matcher}(\s*,\s*{matcher})*\s*$")).map_err(|e| e.to_string())?;
    if list.is_match(text) {
        Ok(text.trim().to_owned())
    } else {
        Err("write it like namespace=\"sealos-system\",cluster=~\"eu-.*\"".to_owned())
    }
}

fn service_account(text: &str) -> Result<ServiceAccount, String> {
    let named =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    match text.split_once('/') {
        Some((namespace, name)) if named(namespace) && named(name) => {
            Ok(ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("write it like sealos-system/ripcord: the namespace, a slash, the name".to_owned()),
    }
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
    use super::*;

    #[test]
    fn what_can_be_typed_fits_together() {
        grammar().debug_assert();
    }

    #[test]
    fn matchers_are_those_of_promql() {
        for fine in [r#"namespace="x""#, r#"a="b", c!~"d|e""#, r#"a="\"x""#] {
            assert_eq!(matchers(fine).as_deref(), Ok(fine));
        }
        for wrong in ["", "x", r#"a="b"}"#, r#"a="b" or vector(1)"#, r#"a="b"#, r#"1a="b""#] {
            assert!(matchers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_written_or_counted_back_from_now() {
        assert_eq!(moment("-7d"), Ok(Moment::Ago(Duration::from_secs(7 * 86_400))));
        assert_eq!(moment("now"), Ok(Moment::Ago(Duration::ZERO)));
        assert_eq!(moment("2026-01-02T03:04:05Z"), Ok(Moment::At("2026-01-02T03:04:05Z".parse().unwrap())));
        assert!(moment("yesterday").unwrap_err().contains("write now, -7d or 2026"));
        assert!(moment("-7").unwrap_err().contains("no duration"));
    }
}
