//! Names: of guards, triggers and receivers, of Kubernetes' objects and keys, of labels and variables.

use crate::config::defaults::MAX_NAME;
use crate::config::path::Path;
use crate::config::problems::Problems;

/// The longest name of a Kubernetes object (a DNS subdomain, RFC 1123).
const MAX_SUBDOMAIN: usize = 253;

/// The longest DNS label (RFC 1123).
const MAX_LABEL: usize = 63;

/// A name of our own: it stands in metric labels, in addresses of the API and in the names of environment variables.
pub(super) fn own(name: &str, what: &str, at: &Path, problems: &mut Problems) {
    let good = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if !good {
        problems.error(
            at,
            format!(
                "{name:?} is no name of a {what}; use at most {MAX_NAME} small letters, digits, - and _, with a \
                    letter or a digit first"
            ),
        );
    }
}

/// A DNS label, as namespaces and containers are named.
pub(super) fn label(name: &str) -> Result<(), String> {
    if is_label(name) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no valid name; use at most {MAX_LABEL} small letters, digits and -, and no - at the ends"
        ))
    }
}

/// A DNS subdomain, as Deployments and ConfigMaps are named.
pub(super) fn subdomain(name: &str) -> Result<(), String> {
    if name.len() <= MAX_SUBDOMAIN && name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no valid name; use small letters, digits, - and ., each part between dots beginning and \
                ending with a letter or a digit"
        ))
    }
}

fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_LABEL).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// The name of an environment variable, by the API server's own rule.
pub(super) fn env(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty()
        && name.chars().all(good)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
    {
        Ok(())
    } else {
        Err(format!("{name:?} is no name of an environment variable; use letters, digits, _, - and ., no digit first"))
    }
}

/// A key of a ConfigMap, by the API server's own rule.
pub(super) fn config_map_key(key: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_SUBDOMAIN).contains(&key.len()) && key.chars().all(good) && key != "." && !key.starts_with("..") {
        Ok(())
    } else {
        Err(format!("{key:?} is no key of a ConfigMap; use letters, digits, _, - and ."))
    }
}

/// A destination of a VirtualService: a host, or the name of a subset.
pub(super) fn destination(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_SUBDOMAIN).contains(&name.len()) && name.chars().all(good) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no destination; write a host or a subset as the VirtualService has it, with letters, digits, - and ."
        ))
    }
}

/// The name of a Prometheus label.
pub(super) fn metric_label(name: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.starts_with(first) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with("__")
    {
        Ok(())
    } else {
        Err(format!("{name:?} is no name of a label; use letters, digits and _, no digit first and no __ first"))
    }
}

/// The name of a variable of a template.
pub(super) fn variable(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(())
    } else {
        Err(format!("{name:?} is no name of a variable; use letters, digits and _"))
    }
}
