//! The step `config_map`: keys of a ConfigMap.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap as Object;
use kube::api::Patch;
use serde_json::json;

use crate::config::ConfigMap;
use crate::engine::{Difference, Held, StepResult};

use super::change::How;
use super::cluster::Cluster;
use super::drift::Undone;
use super::error::CallError;
use super::object::{Kind, ObjectRef};
use super::step::{self, Done, StepError};

/// One carrying-out of the step.
pub(super) struct Change<'a> {
    step: &'a ConfigMap,
    object: ObjectRef,
    values: BTreeMap<String, String>,
    how: How<'a>,
}

impl<'a> Change<'a> {
    pub(super) fn new(step: &'a ConfigMap, vars: &BTreeMap<String, String>, how: How<'a>) -> Self {
        let object = ObjectRef { kind: Kind::ConfigMap, namespace: step.namespace.clone(), name: step.name.clone() };
        Self { step, object, values: step::render(&step.data, vars), how }
    }

    pub(super) async fn carry_out(&self, cluster: &Cluster) -> Result<Done, StepError> {
        step::begun_anew_on_conflict(|| self.attempt(cluster)).await
    }

    async fn attempt(&self, cluster: &Cluster) -> Result<Done, StepError> {
        let done = |result, detail| Ok(Done { result, detail, rollout: None });
        let before: Object = match cluster.get(&self.object).await {
            Err(e) if e.is_not_found() && self.step.optional => return done(StepResult::Absent, None),
            other => other?,
        };
        step::refuse_fleeting(&self.object, &before.metadata).map_err(StepError::Failed)?;
        let below = step::below_target(&self.step.data, &self.values, |key| value_of(&before, key));
        let below = below.filter(|_| self.how.rollback);
        let immutable = before.immutable == Some(true);
        let there = below.is_some()
            || step::decisive(&self.step.data, &self.values).all(|(key, value)| value_of(&before, key) == Some(value));
        if there && !self.how.rehearsal {
            return done(StepResult::AlreadyThere, below);
        }
        if there && immutable {
            return done(StepResult::WouldChange, below.or_else(|| Some(step::already_there())));
        }
        if immutable {
            return Err(StepError::Failed(format!(
                "{} is immutable; nothing was changed. Replace it with one that is not, or take the step out",
                self.object
            )));
        }
        let detail = if there { step::already_there() } else { self.differences(&before).join(", ") };
        let detail = below.or(Some(detail));

        // `data` is a map of texts, so a JSON merge patch touches exactly the keys that it names.
        let patch = Patch::Merge(json!({"metadata": step::preconditions(&before.metadata), "data": self.values}));
        let after: Object = cluster.patch(&self.object, &patch, self.how).await?;
        self.check(&after).map_err(StepError::Failed)?;
        if self.how.dry_run {
            return done(StepResult::WouldChange, detail);
        }

        match cluster.get::<Object>(&self.object).await {
            Ok(now) => {
                self.check(&now).map_err(StepError::Failed)?;
                done(StepResult::Changed, detail)
            }
            Err(e) if e.is_not_found() => Err(e.into()),
            // The answer to the patch said that it is stored; a failed second look must not keep the steps after it
            // from being tried.
            Err(e) => done(StepResult::Changed, detail.map(|d| format!("{d} (accepted; not read back: {e})"))),
        }
    }

    /// What the change does, for a person.
    fn differences(&self, before: &Object) -> Vec<String> {
        self.values
            .iter()
            .filter(|(key, value)| value_of(before, key) != Some(value))
            .map(|(key, value)| {
                format!("{key}: {} -> {}", step::shown(value_of(before, key)), step::shown(Some(value)))
            })
            .collect()
    }

    fn check(&self, after: &Object) -> Result<(), String> {
        let wanted = self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let Some(lost) = Lost::of(after, wanted) else { return Ok(()) };
        Err(step::undone(&self.object, &after.metadata, &lost.path, lost.differences))
    }
}

/// What became of a change that was made.
pub(super) async fn drift(
    cluster: &Cluster,
    step: &ConfigMap,
    vars: &BTreeMap<String, String>,
) -> Result<Option<Undone>, CallError> {
    let object = ObjectRef { kind: Kind::ConfigMap, namespace: step.namespace.clone(), name: step.name.clone() };
    let now: Object = match cluster.get(&object).await {
        Err(e) if e.is_not_found() && step.optional => return Ok(None),
        Err(e) if e.is_not_found() => return Ok(Some(Undone::deleted(&object))),
        other => other?,
    };
    let values = step::render(&step.data, vars);
    if step::below_target(&step.data, &values, |key| value_of(&now, key)).is_some() {
        return Ok(None);
    }
    let lost = Lost::of(&now, step::decisive(&step.data, &values));
    Ok(lost.map(|lost| Undone::new(&now.metadata, &lost.path, lost.differences)))
}

/// Keys that do not hold what they should.
struct Lost {
    differences: Vec<Difference>,
    /// Where `managedFields` has the first of them.
    path: Vec<String>,
}

impl Lost {
    fn of<'v>(object: &Object, wanted: impl Iterator<Item = (&'v str, &'v str)>) -> Option<Self> {
        let lost: Vec<(&str, &str)> = wanted.filter(|(key, value)| value_of(object, key) != Some(*value)).collect();
        let (first, _) = lost.first()?;
        let describe = |(key, value): &(&str, &str)| Difference::Is {
            field: (*key).to_owned(),
            is: Held::of(value_of(object, key)),
            not: (*value).to_owned(),
        };
        Some(Self {
            differences: lost.iter().map(describe).collect(),
            path: vec!["f:data".to_owned(), format!("f:{first}")],
        })
    }
}

/// The text under a key.
pub(super) fn value_of<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.data.as_ref()?.get(key).map(String::as_str)
}
