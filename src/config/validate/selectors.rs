//! `match`, `caller_match` and `metrics`: which series belong to a guard.

use std::collections::BTreeMap;

use crate::config::field::{Field, Named};
use crate::config::problems::Problems;
use crate::config::{MetricNames, Selector};

use super::vars::Vars;
use super::{choose, names};

/// The labels that the queries set themselves, so that a second matcher for one could never be right.
const OWN_LABELS: [&str; 2] = ["reporter", "le"];

/// `metrics`: `Some(None)` when it is not written.
pub(super) fn metric_names(field: &Field<String>, problems: &mut Problems) -> Option<Option<MetricNames>> {
    choose(field, &[("istio", MetricNames::Istio), ("ingress_nginx", MetricNames::IngressNginx)], problems)
}

/// A selector: `Some(None)` when it is not written.
pub(super) fn selector(
    field: &Field<Named<String>>,
    metrics: MetricNames,
    caller: bool,
    vars: &Vars,
    problems: &mut Problems,
) -> Option<Option<Selector>> {
    let at = match field {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    if at.value.0.is_empty() {
        problems.error(
            &at.path,
            "names no label, so that it would select everything; write like \
            {destination_workload: terminal-controller}",
        );
        return None;
    }
    let mut labels = BTreeMap::new();
    let mut ok = true;
    for (name, entry) in &at.value.0 {
        let Field::Given(entry) = entry else {
            ok = false;
            continue;
        };
        if OWN_LABELS.contains(&name.as_str()) {
            let message =
                format!("{name} is set by the queries themselves; leave it out (caller_match is the caller's side)");
            problems.error(&entry.path, message);
            ok = false;
        }
        ok &= problems.take(&entry.path, names::metric_label(name)).is_some();
        match vars.render(&entry.path, &entry.value, problems) {
            Some(value) => {
                labels.insert(name.clone(), value);
            }
            None => ok = false,
        }
    }
    ok.then_some(Some(Selector { names: metrics, labels, caller }))
}
