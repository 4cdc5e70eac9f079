//! What `ripcord render` writes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::Configured;
use super::values::{job, matchers, service_account};

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
