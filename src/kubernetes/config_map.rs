//! The step `config_map`: keys of a ConfigMap.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap as Object;
use kube::api::Patch;
use serde_json::json;

use crate::config::ConfigMap;
use crate::engine::StepResult;

use super::change::How;
use super::cluster::Cluster;
use super::object::{Kind, ObjectRef};
use super::step::{self, Conflicts, Done, StepError};

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
        let mut conflicts = Conflicts::default();
        loop {
            match self.attempt(cluster).await {
                Ok(done) => return Ok(done),
                Err(error) => conflicts.permit_another(error)?,
            }
        }
    }

    async fn attempt(&self, cluster: &Cluster) -> Result<Done, StepError> {
        let done = |result, detail| Ok(Done { result, detail, rollout: None });
        let before: Object = match cluster.get(&self.object).await {
            Err(e) if e.is_not_found() && self.step.optional => return done(StepResult::Absent, None),
            other => other?,
        };
        step::refuse_deleted(&self.object, &before.metadata).map_err(StepError::Failed)?;
        let below = step::below_target(&self.step.data, &self.values, |key| value_of(&before, key));
        if self.how.rollback && below.is_some() {
            return done(StepResult::AlreadyThere, below);
        }
        if step::decisive(&self.step.data, &self.values).all(|(key, value)| value_of(&before, key) == Some(value)) {
            return done(StepResult::AlreadyThere, None);
        }
        if before.immutable == Some(true) {
            return Err(StepError::Failed(format!(
                "{} is immutable; nothing was changed. Replace it with one that is not, or take the step out",
                self.object
            )));
        }
        let detail = Some(self.differences(&before).join(", "));

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
        let lost: Vec<(&String, &String)> =
            self.values.iter().filter(|(key, value)| value_of(after, key) != Some(value)).collect();
        let Some((first, _)) = lost.first() else { return Ok(()) };
        let differences: Vec<String> = lost
            .iter()
            .map(|(key, value)| format!("{key} is {}, not {value}", step::shown(value_of(after, key))))
            .collect();
        let path = ["f:data".to_owned(), format!("f:{first}")];
        Err(step::undone(&self.object, &after.metadata, &path, &differences))
    }
}

/// The text under a key.
pub(super) fn value_of<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.data.as_ref()?.get(key).map(String::as_str)
}
