//! The objects of the simulated cluster, and what its controllers make of a change.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::daemon::Clock;

use super::Refusal;
use super::merge::{Kind, merge};

/// How long the Deployment's controller takes to see a change.
const SEEN_AFTER: Duration = Duration::from_secs(2);

/// How long it takes until half of the new pods serve.
const HALF_AFTER: Duration = Duration::from_secs(15);

/// How long it takes until all new pods serve and the old ones are gone. From then on the traffic follows the new variables.
const ROLLED_OUT_AFTER: Duration = Duration::from_secs(30);

/// The container and its variable that say how much of the traffic goes through Istio.
const CONTAINER: &str = "controller";
const SHARE_VARIABLE: &str = "ISTIO_PERCENTAGE";

/// The objects.
pub struct Objects {
    clock: Clock,
    kept: Mutex<BTreeMap<String, Kept>>,
}

struct Kept {
    object: Value,
    /// The changes of a Deployment's pods: when, and the share that the new pods take.
    rollouts: Vec<(Timestamp, u8)>,
}

impl Objects {
    /// A cluster with these objects, each with its path. They have been there for long.
    pub fn new(clock: Clock, objects: Vec<(String, Value)>) -> Self {
        let long_ago = clock.now().checked_sub(Duration::from_secs(3600)).unwrap_or(Timestamp::MIN);
        let mut kept = BTreeMap::new();
        for (number, (path, mut object)) in objects.into_iter().enumerate() {
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{number:012}"));
            object["metadata"]["resourceVersion"] = json!("1");
            object["metadata"]["generation"] = json!(1);
            let rollouts = share(&object).map(|share| (long_ago, share)).into_iter().collect();
            kept.insert(path, Kept { object, rollouts });
        }
        Self { clock, kept: Mutex::new(kept) }
    }

    /// An object as it is now.
    pub fn read(&self, path: &str) -> Option<Value> {
        let now = self.clock.now();
        self.kept().get(path).map(|kept| kept.shown(now))
    }

    /// How the share of a Deployment's traffic came to be what it is. A rollout that another overtook never served.
    pub fn shares(&self, deployment: &str) -> Option<Vec<(Timestamp, u8)>> {
        let kept = self.kept();
        let rollouts = &kept.get(&deployment_path(deployment))?.rollouts;
        let mut shares: Vec<(Timestamp, u8)> = Vec::new();
        for (at, &(began, share)) in rollouts.iter().enumerate() {
            let serves = began.checked_add(ROLLED_OUT_AFTER).unwrap_or(Timestamp::MAX);
            if rollouts.get(at + 1).is_none_or(|(next, _)| *next >= serves) {
                shares.push((serves, share));
            }
        }
        Some(shares)
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.read(path).ok_or_else(|| not_found(path))
    }

    /// Patches an object, if it is the one, in the version, that the patch names.
    pub(super) fn patch(&self, path: &str, kind: Kind, patch: &Value, dry_run: bool) -> Result<Value, Refusal> {
        let now = self.clock.now();
        let mut all = self.kept();
        let kept = all.get_mut(path).ok_or_else(|| not_found(path))?;
        for (key, message) in [
            ("uid", "the UID in the precondition is not that of the object"),
            (
                "resourceVersion",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
        ] {
            let wanted = &patch["metadata"][key];
            if !wanted.is_null() && *wanted != kept.object["metadata"][key] {
                let message = format!("Operation cannot be fulfilled on {path}: {message}");
                return Err(Refusal { code: StatusCode::CONFLICT, reason: "Conflict", message });
            }
        }
        let mut object = kept.object.clone();
        merge(&mut object, patch, kind);
        if object == kept.object {
            return Ok(kept.shown(now));
        }
        let number = |key: &str| kept.object["metadata"][key].clone();
        let version = number("resourceVersion").as_str().and_then(|v| v.parse::<u64>().ok()).unwrap_or_default();
        object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        if object["spec"] != kept.object["spec"] {
            object["metadata"]["generation"] = json!(number("generation").as_i64().unwrap_or_default() + 1);
        }
        let mut rollouts = kept.rollouts.clone();
        if object["spec"]["template"] != kept.object["spec"]["template"] {
            rollouts.extend(share(&object).map(|share| (now, share)));
        }
        let changed = Kept { object, rollouts };
        let shown = changed.shown(now);
        if !dry_run {
            *kept = changed;
        }
        Ok(shown)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The object with the status that its controller would have written by now.
    fn shown(&self, now: Timestamp) -> Value {
        let mut object = self.object.clone();
        let Some((began, _)) = self.rollouts.last() else { return object };
        let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
        let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
        let age = Duration::try_from(now.duration_since(*began)).unwrap_or_default();
        let status = |observed: i64, all: i64, updated: i64| json!({"observedGeneration": observed, "replicas": all, "updatedReplicas": updated, "availableReplicas": replicas});
        object["status"] = match age {
            age if age < SEEN_AFTER => status(generation - 1, replicas, replicas),
            age if age < HALF_AFTER => status(generation, replicas + 1, 1),
            age if age < ROLLED_OUT_AFTER => status(generation, replicas + 1, replicas),
            _ => status(generation, replicas, replicas),
        };
        object
    }
}

/// The path of a Deployment of the demo.
pub fn deployment_path(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{}/deployments/{name}", super::super::setting::NAMESPACE)
}

/// The share that a Deployment's variables ask for.
pub fn share(deployment: &Value) -> Option<u8> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    let container = containers.iter().find(|c| c["name"] == CONTAINER)?;
    let variable = container["env"].as_array()?.iter().find(|v| v["name"] == SHARE_VARIABLE)?;
    variable["value"].as_str()?.parse().ok()
}

fn not_found(path: &str) -> Refusal {
    let name = path.rsplit('/').next().unwrap_or_default();
    Refusal { code: StatusCode::NOT_FOUND, reason: "NotFound", message: format!("{name:?} not found") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::setting;

    const PATH: &str = "/apis/apps/v1/namespaces/sealos-system/deployments/terminal-controller";

    fn patch_to(share: &str, metadata: Value) -> Value {
        let env = json!([{"name": SHARE_VARIABLE, "value": share}]);
        json!({"metadata": metadata, "spec": {"template": {"spec": {"containers": [{"name": CONTAINER, "env": env}]}}}})
    }

    fn objects() -> Objects {
        Objects::new(Clock::wall(), setting::objects())
    }

    #[test]
    fn a_change_gets_a_generation_and_begins_a_rollout() {
        let objects = objects();
        let before = objects.get(PATH).unwrap();
        assert_eq!((share(&before), before["status"]["observedGeneration"].as_i64()), (Some(0), Some(1)));
        let after = objects.patch(PATH, Kind::Strategic, &patch_to("25", json!({})), false).unwrap();
        assert_eq!(share(&after), Some(25));
        assert_eq!(after["metadata"]["generation"], 2);
        assert_eq!(after["status"]["observedGeneration"], 1, "the controller has not seen it yet");
        let shares = objects.shares("terminal-controller").unwrap();
        assert_eq!(shares.iter().map(|(_, share)| *share).collect::<Vec<_>>(), [0, 25]);
        assert!(shares[1].0 > Timestamp::now(), "the traffic follows once the pods serve");

        let again = objects.patch(PATH, Kind::Strategic, &patch_to("25", json!({})), false).unwrap();
        assert_eq!(again["metadata"], after["metadata"], "the same again changes nothing");
    }

    #[test]
    fn a_rollout_takes_its_time() {
        let objects = objects();
        objects.patch(PATH, Kind::Strategic, &patch_to("25", json!({})), false).unwrap();
        let kept = objects.kept();
        let began = kept[PATH].rollouts[1].0;
        for (after, observed, all, updated) in [(0, 1, 2, 2), (3, 2, 3, 1), (20, 2, 3, 2), (30, 2, 2, 2)] {
            let shown = kept[PATH].shown(began + Duration::from_secs(after));
            let status = json!({
                "observedGeneration": observed, "replicas": all, "updatedReplicas": updated, "availableReplicas": 2,
            });
            assert_eq!(shown["status"], status, "after {after} s");
        }
    }

    #[test]
    fn a_rollout_that_is_overtaken_never_serves() {
        let objects = objects();
        for share in ["25", "0"] {
            objects.patch(PATH, Kind::Strategic, &patch_to(share, json!({})), false).unwrap();
        }
        let shares: Vec<u8> = objects.shares("terminal-controller").unwrap().iter().map(|(_, share)| *share).collect();
        assert_eq!(shares, [0, 0]);
    }

    #[test]
    fn preconditions_and_dry_runs_are_kept() {
        let objects = objects();
        let metadata = objects.get(PATH).unwrap()["metadata"].clone();
        for wrong in [json!({"uid": "another"}), json!({"resourceVersion": "0"})] {
            let refused = objects.patch(PATH, Kind::Strategic, &patch_to("25", wrong), false).unwrap_err();
            assert_eq!((refused.code, refused.reason), (StatusCode::CONFLICT, "Conflict"));
        }
        let right = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        let would = objects.patch(PATH, Kind::Strategic, &patch_to("25", right.clone()), true).unwrap();
        assert_eq!(share(&would), Some(25));
        assert_eq!(share(&objects.get(PATH).unwrap()), Some(0), "a dry run changes nothing");
        objects.patch(PATH, Kind::Strategic, &patch_to("25", right.clone()), false).unwrap();
        assert!(
            objects.patch(PATH, Kind::Strategic, &patch_to("0", right), false).is_err(),
            "it has a new version now"
        );
        assert_eq!(objects.get("/api/v1/namespaces/x/configmaps/y").unwrap_err().code, StatusCode::NOT_FOUND);
    }
}
