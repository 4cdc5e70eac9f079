//! The step `deployment_env`: environment variables of one container of a Deployment, and nothing else of it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, PodSpec};
use kube::api::Patch;
use serde_json::{Value, json};

use crate::config::{DeploymentEnv, Step};
use crate::engine::{Difference, Held, StepResult};

use super::change::How;
use super::cluster::Cluster;
use super::drift::Undone;
use super::error::CallError;
use super::object::{Kind, ObjectRef};
use super::rollout::Target;
use super::step::{self, Done, StepError};

/// One carrying-out of the step.
pub(super) struct Change<'a> {
    step: &'a DeploymentEnv,
    object: ObjectRef,
    /// What is to be set, on a rollback with what belongs to a rollback only.
    values: BTreeMap<String, String>,
    /// What must not be there: the marks of a rollback, when it is none.
    gone: Vec<&'a str>,
    how: How<'a>,
}

impl<'a> Change<'a> {
    pub(super) fn new(step: &'a DeploymentEnv, vars: &BTreeMap<String, String>, how: How<'a>) -> Self {
        let mut values = step::render(&step.env, vars);
        let mut gone = Vec::new();
        if how.rollback {
            values.extend(step::render(&step.rollback_env, vars));
        } else {
            gone.extend(step.rollback_env.keys().map(String::as_str));
        }
        Self { step, object: object_of(step), values, gone, how }
    }

    pub(super) async fn carry_out(&self, cluster: &Cluster) -> Result<Done, StepError> {
        step::begun_anew_on_conflict(|| self.attempt(cluster)).await
    }

    async fn attempt(&self, cluster: &Cluster) -> Result<Done, StepError> {
        let before: Deployment = cluster.get(&self.object).await?;
        let container = self.fit(&before).map_err(StepError::Failed)?;
        let below = step::below_target(&self.step.env, &self.values, |variable| literal(container, variable));
        let below = below.filter(|_| self.how.rollback);
        let there = below.is_some() || self.is_there_already(container);
        if there && !self.how.rehearsal {
            let rollout = Some(self.target(&before));
            return Ok(Done { result: StepResult::AlreadyThere, detail: below, rollout });
        }
        let detail = if there { step::already_there() } else { self.differences(container).join(", ") };
        let detail = below.or(Some(detail));

        let patch = Patch::Strategic(self.patch(&before, container));
        let after: Deployment = cluster.patch(&self.object, &patch, self.how).await?;
        self.check(&before, &after).map_err(StepError::Failed)?;
        if self.how.dry_run {
            return Ok(Done { result: StepResult::WouldChange, detail, rollout: None });
        }

        let detail = match cluster.get::<Deployment>(&self.object).await {
            Ok(now) => {
                self.check_values(&now).map_err(StepError::Failed)?;
                detail
            }
            Err(e) if e.is_not_found() => return Err(e.into()),
            // The answer to the patch said that it is stored; a failed second look must not keep the steps after it
            // from being tried.
            Err(e) => detail.map(|d| format!("{d} (accepted; not read back: {e})")),
        };
        Ok(Done { result: StepResult::Changed, detail, rollout: Some(self.target(&after)) })
    }

    /// The container to change, if the Deployment can be changed at all.
    fn fit<'d>(&self, deployment: &'d Deployment) -> Result<&'d Container, String> {
        let (object, DeploymentEnv { namespace, name, .. }) = (&self.object, self.step);
        step::refuse_fleeting(object, &deployment.metadata)?;
        if deployment.spec.paused == Some(true) {
            return Err(format!(
                "{object} is paused, so a change would reach no pod; nothing was changed. Resume it: \
                 kubectl -n {namespace} rollout resume deployment/{name}"
            ));
        }
        let container = self.container(deployment)?;
        for variable in self.values.keys().map(String::as_str).chain(self.gone.iter().copied()) {
            if entries(container, variable).count() > 1 {
                return Err(format!(
                    "container {} of {object} has the env {variable} more than once, and a patch changes only one of them; nothing was changed. \
                     Leave one in its manifest",
                    container.name
                ));
            }
        }
        Ok(container)
    }

    fn container<'d>(&self, deployment: &'d Deployment) -> Result<&'d Container, String> {
        container(deployment, &self.object, &self.step.container)
            .map_err(|e| format!("{e}; nothing was changed. Correct the container in the step"))
    }

    fn is_there_already(&self, container: &Container) -> bool {
        step::decisive(&self.step.env, &self.values)
            .all(|(variable, value)| literal(container, variable) == Some(value))
            && self.left(container).next().is_none()
    }

    /// What is there and must not be.
    fn left<'c>(&'c self, container: &'c Container) -> impl Iterator<Item = &'c EnvVar> {
        self.gone.iter().filter_map(|variable| entries(container, variable).next())
    }

    /// What the change does, for a person.
    fn differences(&self, container: &Container) -> Vec<String> {
        let changed = self.values.iter().filter(|(variable, value)| literal(container, variable) != Some(value));
        let describe = |(variable, value): (&String, &String)| {
            let to = step::shown(Some(value));
            match entries(container, variable).next() {
                Some(EnvVar { value_from: Some(source), .. }) => {
                    format!("{variable}: {} -> {to} (the reference is replaced)", origin(source))
                }
                entry => {
                    format!("{variable}: {} -> {to}", step::shown(entry.map(|e| e.value.as_deref().unwrap_or(""))))
                }
            }
        };
        let left = self.left(container).map(|e| format!("{}: {} -> {}", e.name, seen(Some(e)), step::shown(None)));
        let mut all: Vec<String> = changed.map(describe).chain(left).collect();
        all.sort();
        all
    }

    /// A strategic merge puts the container's variables into the order in which the patch names them, and a variable
    /// can refer only to those before it (`$(NAME)`). So the patch names those that are there in the order that they
    /// have, and the new ones last.
    fn patch(&self, before: &Deployment, container: &Container) -> Value {
        let there = container.env.iter().flatten().filter_map(|entry| {
            let value = self.values.get(&entry.name)?;
            Some(match entry.value_from {
                // A variable that has both is invalid, so the reference has to go.
                Some(_) => json!({"name": entry.name, "value": value, "valueFrom": null}),
                None => json!({"name": entry.name, "value": value}),
            })
        });
        let new = self.values.iter().filter(|(variable, _)| entries(container, variable).next().is_none());
        let new = new.map(|(variable, value)| json!({"name": variable, "value": value}));
        let left = self.left(container).map(|entry| json!({"name": entry.name, "$patch": "delete"}));
        let env: Vec<Value> = there.chain(new).chain(left).collect();
        json!({
            "metadata": step::preconditions(&before.metadata),
            "spec": {"template": {"spec": {"containers": [{"name": container.name, "env": env}]}}},
        })
    }

    /// Whether the server's answer holds the change and no other: nobody wrote in between, so whatever else differs is
    /// an admission webhook's.
    fn check(&self, before: &Deployment, after: &Deployment) -> Result<(), String> {
        self.check_values(after)?;
        let (was, is) = (images(before), images(after));
        if was == is {
            return Ok(());
        }
        Err(format!(
            "the change of {} was accepted, and an admission webhook changed its containers besides: they were {}, they are {}. Find out \
             whether that is wanted",
            self.object,
            was.join(", "),
            is.join(", ")
        ))
    }

    fn check_values(&self, deployment: &Deployment) -> Result<(), String> {
        let container = container(deployment, &self.object, &self.step.container)?;
        let set = self.values.iter().map(|(variable, value)| (variable.as_str(), Some(value.as_str())));
        let gone = self.gone.iter().map(|variable| (*variable, None));
        let Some(lost) = Lost::of(container, set.chain(gone)) else { return Ok(()) };
        Err(step::undone(&self.object, &deployment.metadata, &lost.path, lost.differences))
    }

    fn target(&self, deployment: &Deployment) -> Target {
        Target {
            step: Step::DeploymentEnv(self.step.clone()).name(),
            object: self.object.clone(),
            uid: deployment.metadata.uid.clone(),
            generation: deployment.metadata.generation.unwrap_or_default(),
        }
    }
}

fn object_of(step: &DeploymentEnv) -> ObjectRef {
    ObjectRef { kind: Kind::Deployment, namespace: step.namespace.clone(), name: step.name.clone() }
}

/// What became of a rollback.
pub(super) async fn drift(
    cluster: &Cluster,
    step: &DeploymentEnv,
    vars: &BTreeMap<String, String>,
) -> Result<Option<Undone>, CallError> {
    let object = object_of(step);
    let now: Deployment = match cluster.get(&object).await {
        Err(e) if e.is_not_found() => return Ok(Some(Undone::deleted(&object))),
        other => other?,
    };
    let container = match container(&now, &object, &step.container) {
        Ok(container) => container,
        Err(what) => return Ok(Some(Undone::other(what))),
    };
    let values = step::render(&step.env, vars);
    if step::below_target(&step.env, &values, |variable| literal(container, variable)).is_some() {
        return Ok(None);
    }
    let marks = step::render(&step.rollback_env, vars);
    // A rollback that found its share there already has set no mark. So one that is missing says something only beside another.
    let marked = marks.keys().any(|variable| entries(container, variable).next().is_some());
    let fixed = |variable: &str| step.rollback_env.get(variable).is_some_and(|template| !template.is_volatile());
    let marks = marks.iter().map(|(variable, value)| (variable.as_str(), value.as_str()));
    let marks = marks.filter(|(variable, _)| marked && fixed(variable));
    let wanted = step::decisive(&step.env, &values).chain(marks).map(|(variable, value)| (variable, Some(value)));
    let lost = Lost::of(container, wanted);
    Ok(lost.map(|lost| Undone::new(&now.metadata, &lost.path, lost.differences)))
}

/// Variables that are not as they should be.
struct Lost {
    differences: Vec<Difference>,
    /// Where `managedFields` has the first of them.
    path: Vec<String>,
}

impl Lost {
    /// `wanted` has a variable's value, or none for one that must not be there.
    fn of<'v>(container: &Container, wanted: impl Iterator<Item = (&'v str, Option<&'v str>)>) -> Option<Self> {
        let mut first = None;
        let mut differences = Vec::new();
        for (variable, value) in wanted {
            let entry = entries(container, variable).next();
            match value {
                Some(value) if literal(container, variable) != Some(value) => {
                    let (field, is) = (variable.to_owned(), seen(entry));
                    differences.push(Difference::Is { field, is, not: value.to_owned() });
                }
                None if entry.is_some() => {
                    differences.push(Difference::Still { field: variable.to_owned(), is: seen(entry) });
                }
                _ => continue,
            }
            first.get_or_insert((variable, entry));
        }
        let (variable, entry) = first?;
        let value = if entry.is_some_and(|e| e.value_from.is_some()) { "f:valueFrom" } else { "f:value" };
        let named = |name: &str| format!("k:{}", json!({"name": name}));
        let fields = ["f:spec", "f:template", "f:spec", "f:containers"].map(str::to_owned).into_iter();
        let path = fields.chain([named(&container.name), "f:env".to_owned(), named(variable), value.to_owned()]);
        Some(Self { differences, path: path.collect() })
    }
}

/// An entry as texts for people show it.
fn seen(entry: Option<&EnvVar>) -> Held {
    match entry {
        Some(EnvVar { value_from: Some(source), .. }) => Held::Text(origin(source)),
        entry => Held::of(entry.map(|e| e.value.as_deref().unwrap_or(""))),
    }
}

/// A container by its name. The error lists those that there are.
pub(super) fn container<'d>(
    deployment: &'d Deployment,
    object: &ObjectRef,
    name: &str,
) -> Result<&'d Container, String> {
    let pod = pod(deployment);
    let containers = pod.map_or(&[][..], |p| &p.containers);
    if let Some(container) = containers.iter().find(|c| c.name == name) {
        return Ok(container);
    }
    let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
    let has = format!("(its containers: {})", names.join(", "));
    let is_init = pod.and_then(|p| p.init_containers.as_ref()).is_some_and(|all| all.iter().any(|c| c.name == name));
    Err(if is_init {
        format!("{name} is an init container of {object}, which serves no traffic {has}")
    } else {
        format!("{object} has no container {name} {has}")
    })
}

/// The value of a variable that is written in the container itself. A missing value is an empty one; a reference is
/// none.
pub(super) fn literal<'c>(container: &'c Container, variable: &str) -> Option<&'c str> {
    let entry = entries(container, variable).next()?;
    entry.value_from.is_none().then(|| entry.value.as_deref().unwrap_or(""))
}

/// The entries of a variable: one, unless the manifest is wrong.
pub(super) fn entries<'c>(container: &'c Container, variable: &str) -> impl Iterator<Item = &'c EnvVar> {
    container.env.iter().flatten().filter(move |e| e.name == variable)
}

/// Where a variable's value comes from, for a person.
pub(super) fn origin(source: &EnvVarSource) -> String {
    if let Some(key) = &source.config_map_key_ref {
        return format!("(key {} of ConfigMap {})", key.key, key.name);
    }
    if let Some(key) = &source.secret_key_ref {
        return format!("(key {} of Secret {})", key.key, key.name);
    }
    if let Some(field) = &source.field_ref {
        return format!("(field {})", field.field_path);
    }
    "(a reference)".to_owned()
}

fn pod(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.template.spec.as_ref()
}

/// Every container with its image, as `controller=registry/image:tag`.
fn images(deployment: &Deployment) -> Vec<String> {
    let Some(pod) = pod(deployment) else { return Vec::new() };
    let init = pod.init_containers.iter().flatten();
    init.chain(&pod.containers).map(|c| format!("{}={}", c.name, c.image.as_deref().unwrap_or(""))).collect()
}
