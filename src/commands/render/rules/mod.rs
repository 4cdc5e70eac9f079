//! `ripcord render rules`: rules for Prometheus.
//!
//! - `recording`: what each trigger is judged by, with the guard's name on it
//! - `alerts`: what is wrong with Ripcord itself
//! - `rule`: a rule, and how it is written

mod alerts;
mod recording;
mod rule;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::cli::{RenderRules, RulesFormat};
use crate::config::Settings;

use super::scrape::Own;
use rule::Group;

pub use recording::{PATH_RATE, QUANTILE, SIGNAL, SUCCESS};
pub use rule::duration;

/// All rules.
pub fn groups(settings: &Settings, own: &Own) -> Vec<Group> {
    vec![
        Group { name: "ripcord-recording", interval: settings.evaluation.interval, rules: recording::rules(settings) },
        Group { name: "ripcord-alerts", interval: settings.evaluation.interval, rules: alerts::rules(settings, own) },
    ]
}

/// What the reader must know first.
pub fn head(options: &RenderRules) -> String {
    let mut command = "ripcord render rules".to_owned();
    for file in &options.configured.files {
        // Writing to a String cannot fail.
        let _ = write!(command, " --config {}", file.display());
    }
    if options.format == RulesFormat::PrometheusRule {
        command.push_str(" --format prometheus-rule");
    }
    if let Some(more) = &options.scrape.selector {
        let _ = write!(command, " --selector '{more}'");
    }
    let command = command.replace(|c: char| c.is_control(), " ");
    format!("# Made from a configuration. Make it anew after every change of its guards:\n#   {command}\n")
}

/// A file for `rule_files`.
pub fn file(head: &str, groups: &[Group]) -> String {
    format!("{head}groups:\n{}", rule::yaml(groups, 2))
}

/// The same for the Prometheus Operator.
pub fn custom_resource(head: &str, namespace: &str, groups: &[Group]) -> String {
    format!(
        "{head}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: ripcord\n  namespace: {namespace:?}\n  \
         labels: {{app.kubernetes.io/name: ripcord}}\nspec:\n  groups:\n{}",
        rule::yaml(groups, 4)
    )
}
