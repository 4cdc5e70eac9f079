//! `traffic`: the steps that set a guard's share.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::field::{AnyText, At, Field, List, Named};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::template::Template;
use crate::config::{ConfigMap, DeploymentEnv, Step};

use super::vars::Vars;
use super::{commands, names, weights};

/// A step and where it is written.
pub(super) type Placed = (Step, Path);

/// Validates a guard's steps.
pub(super) fn steps(
    field: &Field<List<raw::Step>>,
    guard: &Path,
    vars: &Vars,
    problems: &mut Problems,
) -> Option<Vec<Placed>> {
    let missing = "needs traffic, the steps that set its share, like traffic: [{deployment_env: {…}}]: without one \
        nothing could be rolled back";
    let list = field.required(guard, missing, problems)?;
    if list.value.0.is_empty() {
        problems.error(&list.path, "is empty: nothing could be rolled back; write a step, like deployment_env: {…}");
        return None;
    }
    let mut steps = Vec::new();
    for (index, entry) in list.value.0.iter().enumerate() {
        if let Some(at) = entry.get() {
            let step = step(at, vars, problems);
            steps.extend(step.map(|step| (step, list.path.index(index))));
        }
    }
    // With a step missing, what is said of all of them together could be wrong.
    if steps.len() < list.value.0.len() {
        return None;
    }
    let told_apart = check_names(&list.path, &steps, problems);
    check_share(&list.path, &steps, problems)?;
    told_apart?;
    Some(steps)
}

/// Checks that the present share can be read from the steps' objects.
fn check_share(path: &Path, steps: &[Placed], problems: &mut Problems) -> Option<()> {
    let readable = |step: &Step| {
        let fields = match step {
            Step::DeploymentEnv(s) => &s.env,
            Step::ConfigMap(s) => &s.data,
            Step::VirtualService(s) => &s.weights,
            Step::Command(_) => return false,
        };
        fields.values().any(Template::is_percentage)
    };
    let optional = |step: &Step| matches!(step, Step::ConfigMap(s) if s.optional);
    let mut sources = steps.iter().map(|(step, _)| step).filter(|step| readable(step)).peekable();
    if sources.peek().is_none() {
        problems.error(
            path,
            "has no field that is exactly ${percentage}, like ISTIO_PERCENTAGE: \"${percentage}\": that is where the \
                present share is read",
        );
        return None;
    }
    if sources.all(optional) {
        problems.warn(
            path,
            "only an optional ConfigMap holds ${percentage}: where it does not exist, the present share cannot be read",
        );
    }
    Some(())
}

/// Checks that the commands can be told apart: a report names its step, and of a command only the program.
fn check_names(path: &Path, steps: &[Placed], problems: &mut Problems) -> Option<()> {
    let commands = steps.iter().filter(|(step, _)| matches!(step, Step::Command(_)));
    let mut seen = BTreeSet::new();
    let twice = commands.map(|(step, _)| step.name()).find(|name| !seen.insert(name.clone()));
    if let Some(name) = twice {
        let message = format!("has {name} twice, and a page could not tell them apart; make them one script");
        problems.error(path, message);
        return None;
    }
    Some(())
}

fn step(at: &At<raw::Step>, vars: &Vars, problems: &mut Problems) -> Option<Step> {
    let s = &at.value;
    let written = [
        s.deployment_env.is_written(),
        s.config_map.is_written(),
        s.virtual_service.is_written(),
        s.command.is_written(),
    ];
    match written.iter().filter(|w| **w).count() {
        1 => {}
        0 if s.has_unknown_keys => return None,
        0 => {
            let message =
                "says no step; write deployment_env: {…}, config_map: {…}, virtual_service: {…} or command: {…}";
            problems.error(&at.path, message);
            return None;
        }
        _ => {
            problems.error(&at.path, "says several steps; give each its own item of the list, with a - of its own");
            return None;
        }
    }
    if let Field::Given(at) = &s.deployment_env {
        return deployment_env(at, vars, problems).map(Step::DeploymentEnv);
    }
    if let Field::Given(at) = &s.virtual_service {
        return weights::virtual_service(at, vars, problems).map(Step::VirtualService);
    }
    if let Field::Given(at) = &s.command {
        return commands::command(at, vars, problems).map(Step::Command);
    }
    config_map(s.config_map.get()?, vars, problems).map(Step::ConfigMap)
}

fn deployment_env(at: &At<raw::DeploymentEnv>, vars: &Vars, problems: &mut Problems) -> Option<DeploymentEnv> {
    let s = &at.value;
    let namespace = name(&s.namespace, "namespace", &at.path, names::label, vars, problems);
    let object = name(&s.name, "name", &at.path, names::subdomain, vars, problems);
    let container = name(&s.container, "container", &at.path, names::label, vars, problems);
    let missing = "needs env, what to set, like env: {ISTIO_PERCENTAGE: \"${percentage}\"}";
    let env = s.env.required(&at.path, missing, problems).and_then(|env| {
        if env.value.0.is_empty() {
            problems.error(&env.path, "has no entries; write what to set, like ISTIO_PERCENTAGE: \"${percentage}\"");
            return None;
        }
        templates(&env.value, names::env, vars, problems)
    });
    let rollback_env = match &s.rollback_env {
        Field::Missing => Some(BTreeMap::new()),
        Field::Wrong => None,
        Field::Given(env) => templates(&env.value, names::env, vars, problems),
    };
    if let (Some(env), Some(rollback_env)) = (s.env.value(), s.rollback_env.get()) {
        for key in rollback_env.value.0.keys().filter(|key| env.0.contains_key(*key)) {
            problems.error(&rollback_env.path.key(key), "is in env too, so that it would have two values; keep one");
        }
    }
    Some(DeploymentEnv {
        namespace: namespace?,
        name: object?,
        container: container?,
        env: env?,
        rollback_env: rollback_env?,
    })
}

fn config_map(at: &At<raw::ConfigMap>, vars: &Vars, problems: &mut Problems) -> Option<ConfigMap> {
    let s = &at.value;
    let namespace = name(&s.namespace, "namespace", &at.path, names::label, vars, problems);
    let object = name(&s.name, "name", &at.path, names::subdomain, vars, problems);
    let missing = "needs data, what to set, like data: {istio_percentage: \"${percentage}\"}";
    let data = s.data.required(&at.path, missing, problems).and_then(|data| {
        if data.value.0.is_empty() {
            problems.error(&data.path, "has no entries; write what to set, like istio_percentage: \"${percentage}\"");
            return None;
        }
        templates(&data.value, names::config_map_key, vars, problems)
    });
    let optional = s.optional.or_default(false);
    Some(ConfigMap { namespace: namespace?, name: object?, optional: optional?, data: data? })
}

/// A name of Kubernetes', its variables put in.
pub(super) fn name(
    field: &Field<String>,
    key: &str,
    parent: &Path,
    check: fn(&str) -> Result<(), String>,
    vars: &Vars,
    problems: &mut Problems,
) -> Option<String> {
    let at = field.required(parent, &format!("needs {key}"), problems)?;
    let name = vars.render(&at.path, &at.value, problems)?;
    problems.take(&at.path, check(&name))?;
    Some(name)
}

fn templates(
    named: &Named<AnyText>,
    check: fn(&str) -> Result<(), String>,
    vars: &Vars,
    problems: &mut Problems,
) -> Option<BTreeMap<String, Template>> {
    let mut out = BTreeMap::new();
    for (key, at) in named.given() {
        let name = problems.take(&at.path, check(key));
        let template = problems.take(&at.path, vars.parse(&at.value.0));
        if let (Some(()), Some(template)) = (name, template) {
            out.insert(key.clone(), template);
        }
    }
    (out.len() == named.0.len()).then_some(out)
}

/// Finds objects that two steps touch: a share has one owner.
pub(super) fn check_owners<'a>(guards: impl Iterator<Item = (&'a str, &'a [Placed])>, problems: &mut Problems) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (guard, steps) in guards {
        for (step, path) in steps {
            let object = match step {
                Step::VirtualService(s) => format!("VirtualService {}/{}", s.namespace, s.name),
                Step::Command(_) => continue,
                Step::DeploymentEnv(s) => format!("Deployment {}/{}, container {}", s.namespace, s.name, s.container),
                Step::ConfigMap(s) => format!("ConfigMap {}/{}", s.namespace, s.name),
            };
            match owners.get(&object) {
                Some(owner) if *owner == guard => {
                    problems.error(path, format!("guard {guard} changes {object} in two steps; make them one"));
                }
                Some(owner) => problems.error(
                    path,
                    format!("guards {owner} and {guard} both change {object}; each object must belong to one guard"),
                ),
                None => {
                    owners.insert(object, guard);
                }
            }
        }
    }
}
