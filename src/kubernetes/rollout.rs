//! When a Deployment's rollout is complete.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::object::ObjectRef;

/// The time between two looks. Short enough that a rollback's duration is measured well, long enough that dozens of
/// guards at once are no load.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What is missing where nothing has begun.
const UNSEEN: &str = "the Deployment's controller has not seen the change";

/// How far a rollout has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Every replica is of the new template and available.
    Done,
    /// Not yet; what is still missing.
    Waiting(String),
    /// The Deployment's controller has given up.
    Failed(String),
}

/// Decides as `kubectl rollout status` does (`DeploymentStatusViewer` in
/// `k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go`), with one addition: the status must be of `generation`,
/// which the change got, or of a later one. Until then it describes the pods of before.
pub fn status(deployment: &Deployment, generation: i64) -> Rollout {
    let status = deployment.status.as_ref();
    let observed = status.and_then(|s| s.observed_generation).unwrap_or_default();
    if observed < generation.max(deployment.metadata.generation.unwrap_or_default()) {
        return Rollout::Waiting(with_hints(deployment, UNSEEN));
    }
    if let Some(progressing) = condition(deployment, "Progressing")
        && progressing.reason.as_deref() == Some("ProgressDeadlineExceeded")
    {
        let why = progressing.message.as_deref().unwrap_or("no reason given").trim_end_matches('.');
        return Rollout::Failed(with_hints(deployment, &format!("it exceeded its progress deadline: {why}")));
    }
    let count = |pick: fn(&k8s_openapi::api::apps::v1::DeploymentStatus) -> Option<i32>| {
        status.and_then(pick).unwrap_or_default()
    };
    // The API server fills a missing number in with 1.
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let (all, updated, available) =
        (count(|s| s.replicas), count(|s| s.updated_replicas), count(|s| s.available_replicas));
    let missing = if updated < wanted {
        format!("{updated} of {wanted} new replicas are created")
    } else if all > updated {
        format!("{} old replicas are still there", all - updated)
    } else if available < updated {
        format!("{available} of {updated} updated replicas are available")
    } else {
        return Rollout::Done;
    };
    Rollout::Waiting(with_hints(deployment, &missing))
}

/// Adds what does not decide anything, and explains much.
fn with_hints(deployment: &Deployment, what: &str) -> String {
    let mut text = what.to_owned();
    if deployment.spec.paused == Some(true) {
        text.push_str("; the Deployment is paused");
    }
    if let Some(failure) = condition(deployment, "ReplicaFailure").filter(|c| c.status.as_deref() == Some("True")) {
        text.push_str("; pods cannot be created: ");
        text.push_str(failure.message.as_deref().unwrap_or("no reason given"));
    }
    text
}

fn condition<'d>(deployment: &'d Deployment, type_: &str) -> Option<&'d DeploymentCondition> {
    deployment.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_.as_deref() == Some(type_))
}

/// A rollout to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The step that began it.
    pub(super) step: String,
    pub(super) object: ObjectRef,
    /// The uid of the Deployment that was changed.
    pub(super) uid: Option<String>,
    /// The generation that the change got.
    pub(super) generation: i64,
}

/// Waits for a rollout, for `limit` at most. A look that fails is no reason to give up; the last one is told when the
/// time is over.
pub(super) async fn wait(cluster: &Cluster, target: &Target, limit: Duration) -> Result<(), String> {
    let ObjectRef { namespace, name, .. } = &target.object;
    let object = &target.object;
    let mut seen = None;
    let mut failure = None;
    let watching = async {
        loop {
            match cluster.get::<Deployment>(object).await {
                Ok(deployment) if deployment.metadata.uid != target.uid => {
                    return Err(format!("{object} was deleted and created anew while its rollout was waited for"));
                }
                Ok(deployment) => match status(&deployment, target.generation) {
                    Rollout::Done => return Ok(()),
                    Rollout::Failed(why) => {
                        return Err(format!(
                            "the rollout of {object} failed: {why}. Look at its new pods: kubectl -n {namespace} describe deployment {name}"
                        ));
                    }
                    Rollout::Waiting(missing) => (seen, failure) = (Some(missing), None),
                },
                Err(e) if e.is_not_found() => {
                    return Err(format!("{object} was deleted while its rollout was waited for"));
                }
                Err(e) => failure = Some(e),
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    if let Ok(result) = timeout(limit, watching).await {
        return result;
    }
    let mut told: Vec<String> = seen.into_iter().collect();
    told.extend(failure.map(|e| e.to_string()));
    if told.is_empty() {
        told.push("the cluster did not answer".to_owned());
    }
    // There are no new pods then.
    let hint = if told.first().is_some_and(|missing| missing.starts_with(UNSEEN)) {
        "See whether the kube-controller-manager runs: nothing has been done about the change yet".to_owned()
    } else {
        format!("Look at its new pods: kubectl -n {namespace} describe deployment {name}")
    };
    Err(format!("the rollout of {object} was not complete after {limit:?}: {}. {hint}", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn deployment(generation: i64, spec: Value, status: Value) -> Deployment {
        let mut spec = spec;
        spec["selector"] = json!({});
        spec["template"] = json!({});
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": generation}, "spec": spec, "status": status,
        }))
        .expect("a Deployment")
    }

    fn waiting(text: &str) -> Rollout {
        Rollout::Waiting(text.to_owned())
    }

    /// Each row: what it shows, the object's generation, spec, status; always asked against generation 2.
    #[test]
    fn the_decision_is_that_of_kubectl() {
        let unseen = waiting("the Deployment's controller has not seen the change");
        let all = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        let exceeded = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet \"web-2\" has timed out"}]);
        let cases: Vec<(&str, i64, Value, Value, Rollout)> = vec![
            ("complete", 2, json!({"replicas": 3}), all.clone(), Rollout::Done),
            ("no status yet", 2, json!({"replicas": 3}), Value::Null, unseen.clone()),
            (
                "the status is of before the change",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                unseen.clone(),
            ),
            (
                "an older object than the change itself",
                1,
                json!({"replicas": 3}),
                json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                unseen.clone(),
            ),
            ("somebody changed it again", 3, json!({"replicas": 3}), all.clone(), unseen),
            (
                "a later generation is complete",
                3,
                json!({"replicas": 3}),
                json!({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                Rollout::Done,
            ),
            (
                "new replicas missing",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 1, "availableReplicas": 3}),
                waiting("1 of 3 new replicas are created"),
            ),
            (
                "old replicas left",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 4}),
                waiting("1 old replicas are still there"),
            ),
            (
                "not available",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}),
                waiting("2 of 3 updated replicas are available"),
            ),
            (
                "no replicas wanted, none there",
                2,
                json!({"replicas": 0}),
                json!({"observedGeneration": 2}),
                Rollout::Done,
            ),
            (
                "no replicas wanted, one old left",
                2,
                json!({"replicas": 0}),
                json!({"observedGeneration": 2, "replicas": 1}),
                waiting("1 old replicas are still there"),
            ),
            (
                "a missing number means one",
                2,
                json!({}),
                json!({"observedGeneration": 2}),
                waiting("0 of 1 new replicas are created"),
            ),
            (
                "a missing number, one there",
                2,
                json!({}),
                json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}),
                Rollout::Done,
            ),
            ("scaled down while rolling out", 2, json!({"replicas": 1}), all, Rollout::Done),
            (
                "given up",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "updatedReplicas": 1, "conditions": exceeded}),
                Rollout::Failed("it exceeded its progress deadline: ReplicaSet \"web-2\" has timed out".to_owned()),
            ),
            (
                "given up before the change: that says nothing of it",
                2,
                json!({"replicas": 3}),
                json!({"observedGeneration": 1, "updatedReplicas": 1, "conditions": exceeded}),
                waiting("the Deployment's controller has not seen the change"),
            ),
            (
                "progressing as it should",
                2,
                json!({"replicas": 1}),
                json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]}),
                waiting("0 of 1 new replicas are created"),
            ),
            (
                "the quota is full",
                2,
                json!({"replicas": 1}),
                json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: compute"}]}),
                waiting("0 of 1 new replicas are created; pods cannot be created: exceeded quota: compute"),
            ),
            (
                "paused meanwhile",
                2,
                json!({"replicas": 1, "paused": true}),
                json!({"observedGeneration": 2}),
                waiting("0 of 1 new replicas are created; the Deployment is paused"),
            ),
        ];
        for (what, generation, spec, conditions, wanted) in cases {
            assert_eq!(status(&deployment(generation, spec, conditions), 2), wanted, "{what}");
        }
    }
}
