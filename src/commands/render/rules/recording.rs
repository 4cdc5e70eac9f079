//! What each trigger is judged by, recorded with the names of its guard and of itself: dashboards need not know by which labels a guard's
//! series are told. The expressions are those of the engine's own queries.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{Baseline, Guard, Selector, Settings, Signal};
use crate::prometheus::{Judged, judged, request_rate};

use super::rule::{Rule, duration};

/// Good requests of all requests (of client errors: those that were no such error), by guard, trigger and window.
pub const SUCCESS: &str = "guard_trigger:request_success:ratio";

/// A quantile of the duration in seconds, by guard, trigger and window.
pub const QUANTILE: &str = "guard_trigger:request_duration_seconds:quantile";

/// What a person's own PromQL says, by guard and trigger.
pub const SIGNAL: &str = "guard_trigger:signal:value";

/// Requests per second, by guard and path: whose metrics, and which side counts them.
pub const PATH_RATE: &str = "guard_path:requests:rate";

/// Over which window requests per second are taken: as the migration's own dashboards do.
const RATE_WINDOW: Duration = Duration::from_secs(300);

/// All of them.
pub fn rules(settings: &Settings) -> Vec<Rule> {
    settings.guards.iter().flat_map(of_guard).collect()
}

fn of_guard(guard: &Guard) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (trigger, signal) in &guard.signals {
        let windows = windows(signal);
        for window in &windows {
            rules.push(of_window(guard, trigger, signal, *window));
        }
        if windows.is_empty() {
            rules.push(of_window(guard, trigger, signal, Duration::ZERO));
        }
    }
    let mut known = BTreeSet::new();
    for selector in guard.signals.values().flat_map(selectors) {
        rules.extend(path_rule(guard, selector, &mut known));
    }
    rules
}

/// The series of a signal, and those that it is compared with.
fn selectors(signal: &Signal) -> impl Iterator<Item = &Selector> {
    let control = match &signal.baseline {
        Some(Baseline::Control(selector)) => Some(selector),
        _ => None,
    };
    signal.kind.selector().into_iter().chain(control)
}

/// Every window that the signal is taken over, each once.
fn windows(signal: &Signal) -> BTreeSet<Duration> {
    let burning = signal.burn_rates.iter().flat_map(|rate| [rate.window, rate.confirm_window]);
    let own = [Some(signal.window), signal.confirm_window].into_iter().flatten();
    let own = own.filter(|_| signal.burn_rates.is_empty());
    burning.chain(own).filter(|window| !window.is_zero()).collect()
}

fn path(selector: &Selector) -> String {
    let side = if selector.caller { "_caller" } else { "" };
    format!("{}{side}", selector.names.as_str())
}

fn path_rule(guard: &Guard, selector: &Selector, known: &mut BTreeSet<String>) -> Option<Rule> {
    let path = path(selector);
    known.insert(path.clone()).then(|| Rule {
        name: PATH_RATE.to_owned(),
        expr: request_rate(selector, RATE_WINDOW),
        alert: None,
        labels: vec![("guard", guard.name.clone()), ("path", path)],
    })
}

fn of_window(guard: &Guard, trigger: &str, signal: &Signal, window: Duration) -> Rule {
    let mut labels = vec![("guard", guard.name.clone()), ("trigger", trigger.to_owned())];
    if !window.is_zero() {
        labels.push(("window", duration(window)));
    }
    let (name, expr) = match judged(&signal.kind, window) {
        // Missing failures with traffic present are zero failures; without traffic there is no ratio.
        Judged::Counts { failed, requests } => {
            (SUCCESS, format!("1 - (\n  ({failed})\n  or\n  0 * ({requests})\n) / (({requests}) > 0)"))
        }
        Judged::Quantile { value, quantile } => {
            labels.push(("quantile", quantile.to_string()));
            (QUANTILE, value)
        }
        Judged::Rate(rate) => (SIGNAL, rate),
        Judged::Written(query) => (SIGNAL, query),
    };
    Rule { name: name.to_owned(), expr, alert: None, labels }
}
