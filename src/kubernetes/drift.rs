//! Whether a rollback is still there: GitOps tools and operators undo patches, and a person should know.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::config::Step;
use crate::engine::{Difference, Differences, Drift};

use super::cluster::Cluster;
use super::error::CallError;
use super::object::ObjectRef;
use super::{FIELD_MANAGER, config_map, deployment_env, step, virtual_service};

/// How an object differs from what a rollback made of it.
pub(super) struct Undone {
    what: Vec<Difference>,
    who: Option<String>,
}

impl Undone {
    /// `path` leads to the first field that differs, as `managedFields` writes paths.
    pub(super) fn new(metadata: &ObjectMeta, path: &[String], differences: Vec<Difference>) -> Self {
        // Ripcord's own name means that an admission webhook changed the patch, whose name nobody records.
        let who = step::owner(metadata, path).filter(|manager| *manager != FIELD_MANAGER).map(str::to_owned);
        Self { what: differences, who }
    }

    pub(super) fn deleted(object: &ObjectRef) -> Self {
        Self { what: vec![Difference::Deleted(object.to_string())], who: None }
    }

    /// It cannot be compared with what it should be, for this reason.
    pub(super) fn other(why: String) -> Self {
        Self { what: vec![Difference::Other(why)], who: None }
    }
}

impl Cluster {
    /// What of a rollback with these variables is not there any more, by step. Values that are others at every rollback do not count,
    /// and a step whose share is below the target is no drift: somebody moved more of the traffic back. A command never drifts.
    ///
    /// The error is that an object could not be read: then nothing is known.
    pub async fn drift(&self, steps: &[Step], vars: &BTreeMap<String, String>) -> Result<Vec<Drift>, CallError> {
        let looks = steps.iter().map(|step| async move {
            let found = match step {
                Step::DeploymentEnv(s) => deployment_env::drift(self, s, vars).await,
                Step::ConfigMap(s) => config_map::drift(self, s, vars).await,
                Step::VirtualService(s) => virtual_service::drift(self, s, vars).await,
                Step::Command(_) => Ok(None),
            };
            found.map(|found| {
                found.map(|Undone { what, who }| Drift { step: step.name(), what: Differences(what), who })
            })
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }
}
