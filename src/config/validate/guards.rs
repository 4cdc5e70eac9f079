//! `guards` over `defaults`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::field::{At, Field, Named, Over};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::{Guard, MetricNames, Signal, Step};
use crate::engine::{GuardSettings, TriggerAction, TriggerSettings};

use super::steps::Placed;
use super::triggers::Context;
use super::{addresses, names, rollback, selectors, stages, state, steps, triggers, vars};

/// Validates all guards.
pub(super) fn guards(raw: &raw::Root, interval: Duration, problems: &mut Problems) -> Option<Vec<Guard>> {
    let missing = "needs guards, at least one, like guards: {terminal: {match: {…}}}";
    let named = raw.guards.required(&Path::root(), missing, problems)?;
    if named.value.0.is_empty() {
        problems.error(&named.path, "is empty: nothing would be watched; write at least one guard");
        return None;
    }
    let defaults = match &raw.defaults {
        Field::Missing => raw::Guard::default(),
        Field::Wrong => return None,
        Field::Given(at) => at.value.clone(),
    };
    let mut guards = Vec::new();
    let mut placed: Vec<(String, Vec<Placed>)> = Vec::new();
    for (name, own) in named.value.given() {
        problems.enter_guard(name);
        let merged = At { path: own.path.clone(), value: own.value.over(&defaults) };
        let (guard, steps) = guard(name, &merged, interval, problems);
        guards.extend(guard);
        placed.extend(steps.map(|steps| (name.clone(), steps)));
    }
    problems.leave_guards();
    let owners = || placed.iter().map(|(name, steps)| (name.as_str(), steps.as_slice()));
    steps::check_owners(owners(), problems);
    state::check_owner(&raw.state, owners(), problems);
    (guards.len() == named.value.0.len()).then_some(guards)
}

/// One guard, and its steps with their places even where something else of it is wrong.
fn guard(
    name: &str,
    at: &At<raw::Guard>,
    interval: Duration,
    problems: &mut Problems,
) -> (Option<Guard>, Option<Vec<Placed>>) {
    let g = &at.value;
    names::own(name, "guard", &at.path, problems);
    let vars = vars::vars(name, &g.vars, problems);
    let steps = steps::steps(&g.traffic, &at.path, &vars, problems);
    let rollback = rollback::rollback(&g.rollback, &at.path, problems);
    let runbook = addresses::link(&g.runbook, problems);
    let dashboard = addresses::link(&g.dashboard, problems);
    stages::check(&g.stages, g.triggers.value(), problems);
    let metrics = selectors::metric_names(&g.metrics, problems);
    let names = metrics.flatten().unwrap_or(MetricNames::Istio);
    let context = Context {
        path: &at.path,
        metrics: names,
        own: selectors::selector(&g.r#match, names, false, &vars, problems),
        caller: selectors::selector(&g.caller_match, names, true, &vars, problems),
        vars: &vars,
        stages: &g.stages,
        interval,
    };
    let triggers = all_triggers(&g.triggers, &at.path, &context, problems);
    if let (Some(rollback), Some((triggers, _))) = (&rollback, &triggers) {
        rollback::check_verify(&g.rollback, &at.path, rollback.engine.verify_within, triggers, problems);
    }
    let guard = (|| {
        let (triggers, signals) = triggers?;
        let rollback = rollback?;
        metrics?;
        let steps: Vec<_> = steps.as_ref()?.iter().map(|(step, _)| step.clone()).collect();
        let mut engine = GuardSettings { name: name.to_owned(), triggers, rollback: rollback.engine };
        engine.rollback.steps = steps.iter().map(Step::name).collect();
        Some(Guard {
            name: name.to_owned(),
            engine,
            signals,
            steps,
            rollout_timeout: rollback.rollout_timeout,
            vars: vars.own.clone(),
            runbook: runbook?,
            dashboard: dashboard?,
        })
    })();
    (guard, steps)
}

type Triggers = (Vec<TriggerSettings>, BTreeMap<String, Signal>);

fn all_triggers(
    field: &Field<Named<raw::Trigger>>,
    guard: &Path,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Triggers> {
    let named = field.required(
        guard,
        "needs triggers, like triggers: {error_rate: {signal: error_rate, above: 1%}}",
        problems,
    )?;
    let mut settings = Vec::new();
    let mut signals = BTreeMap::new();
    let mut ok = true;
    for (name, entry) in &named.value.0 {
        let Some(at) = entry.get() else {
            ok = false;
            continue;
        };
        names::own(name, "trigger", &at.path, problems);
        match at.value.enabled.or_default(true) {
            Some(true) => {}
            Some(false) => continue,
            None => ok = false,
        }
        match triggers::trigger(name, at, context, problems) {
            Some((trigger, signal)) => {
                settings.push(trigger);
                signals.insert(name.clone(), signal);
            }
            None => ok = false,
        }
    }
    if !ok {
        return None;
    }
    if settings.is_empty() {
        problems.error(guard, "has no trigger that is switched on: nothing would be watched");
        return None;
    }
    if !settings.iter().any(|t| t.action == TriggerAction::Rollback) {
        problems.warn(guard, "has no trigger with action: rollback: nothing rolls it back by itself");
    }
    Some((settings, signals))
}
