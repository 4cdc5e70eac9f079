//! What a configuration must be permitted to do, as data: to be asked of the API server, and to be written as Roles.

use std::fmt;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use crate::config::{ObjectName, Settings, StatePlace, Step};

use super::cluster::Cluster;
use super::error::{Call, CallError, Cause};
use super::object::{Kind, ObjectRef};

/// What a permission is for. The order is that of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To read the share and to set it.
    Traffic,
    /// To keep the state.
    State,
    /// To agree on who leads.
    Leadership,
    /// To create the state and the Lease at the first start.
    FirstStart,
    /// To tell on a Deployment what was done with it.
    Events,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The namespace.
    pub namespace: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The API group; empty for the core one.
    pub group: &'static str,
    /// The resource, as a Role names it.
    pub resource: &'static str,
    /// The object; all of the resource where there is none.
    pub name: Option<String>,
    /// The verb.
    pub verb: &'static str,
}

/// The API group and the resource of the Events that Ripcord leaves on Deployments. The core group has them under the same name.
const EVENTS: (&str, &str) = ("events.k8s.io", "events");

impl Access {
    /// What these steps need: their objects read and patched. A step without an object needs nothing here; what it starts has its own
    /// rights.
    pub fn of_steps(steps: &[Step]) -> Vec<Self> {
        let objects = steps.iter().filter_map(ObjectRef::of);
        sorted(
            objects.flat_map(|object| ["get", "patch"].map(|verb| Self::on(verb, &object, Purpose::Traffic))).collect(),
        )
    }

    /// What all of a configuration needs: its guards' steps, Events on their Deployments, the state and the Lease. In a stable order, each
    /// once.
    pub fn of(settings: &Settings) -> Vec<Self> {
        let mut all = Vec::new();
        for guard in &settings.guards {
            all.extend(Self::of_steps(&guard.steps));
            let deployments = guard.steps.iter().filter_map(ObjectRef::of).filter(|o| o.kind == Kind::Deployment);
            all.extend(deployments.map(|object| Self::to_leave_events(object.namespace)));
        }
        if let Some(StatePlace::ConfigMap(name)) = &settings.state {
            all.extend(Self::of_own(Kind::ConfigMap, name, Purpose::State, "patch"));
        }
        if let Some(election) = &settings.leader_election {
            // A Lease is replaced as a whole.
            all.extend(Self::of_own(Kind::Lease, &election.lease, Purpose::Leadership, "update"));
        }
        sorted(all)
    }

    /// What an object of Ripcord's own needs: read, written, and created where it is missing. RBAC sees no name in a create.
    fn of_own(kind: Kind, name: &ObjectName, purpose: Purpose, write: &'static str) -> [Self; 3] {
        let object = ObjectRef { kind, namespace: name.namespace.clone(), name: name.name.clone() };
        let create = Self { name: None, ..Self::on("create", &object, Purpose::FirstStart) };
        [Self::on("get", &object, purpose), Self::on(write, &object, purpose), create]
    }

    fn to_leave_events(namespace: String) -> Self {
        let (group, resource) = EVENTS;
        Self { namespace, purpose: Purpose::Events, group, resource, name: None, verb: "create" }
    }

    fn on(verb: &'static str, object: &ObjectRef, purpose: Purpose) -> Self {
        Self {
            namespace: object.namespace.clone(),
            purpose,
            group: object.kind.group(),
            resource: object.kind.resource(),
            name: Some(object.name.clone()),
            verb,
        }
    }
}

fn sorted(mut all: Vec<Access>) -> Vec<Access> {
    all.sort();
    all.dedup();
    all
}

impl fmt::Display for Access {
    /// In the words of the errors that ask for it: `patch on deployments/terminal-controller in namespace sealos-system`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.verb, self.resource)?;
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        if (self.group, self.resource) == EVENTS {
            write!(f, " (API group {})", self.group)?;
        }
        write!(f, " in namespace {}", self.namespace)
    }
}

impl Cluster {
    /// Whether Ripcord is permitted this, as the API server's authorizers say. Everybody who has logged in may ask for themselves.
    pub async fn may(&self, access: &Access) -> Result<bool, CallError> {
        let call = Call {
            doing: format!("ask whether {access} is permitted"),
            permission:
                "create on selfsubjectaccessreviews (API group authorization.k8s.io; the ClusterRole system:basic-user)"
                    .to_owned(),
            writes: false,
        };
        let attributes = ResourceAttributes {
            verb: Some(access.verb.to_owned()),
            group: Some(access.group.to_owned()),
            resource: Some(access.resource.to_owned()),
            namespace: Some(access.namespace.clone()),
            name: access.name.clone(),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = &SelfSubjectAccessReview { spec, ..Default::default() };
        let ask = |client| async move { Api::all(client).create(&PostParams::default(), review).await };
        let answer: SelfSubjectAccessReview = self.call(&call, ask).await?;
        let status = answer.status.unwrap_or_default();
        match status.evaluation_error.filter(|_| !status.allowed && status.denied != Some(true)) {
            Some(error) => Err(CallError { doing: call.doing, cause: Cause::Other(error) }),
            None => Ok(status.allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, LoadOptions};

    fn shipped() -> Settings {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ripcord.yaml");
        config::load(&[file], Vec::new(), LoadOptions { syntax_only: true })
            .expect("the shipped configuration is valid")
    }

    fn words(all: &[Access]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn steps_need_their_objects_read_and_patched() {
        let settings = shipped();
        let terminal = settings.guards.iter().find(|g| g.name == "terminal").expect("the guard terminal");
        assert_eq!(
            words(&Access::of_steps(&terminal.steps)),
            [
                "get on configmaps/terminal-controller-config in namespace sealos-system",
                "patch on configmaps/terminal-controller-config in namespace sealos-system",
                "get on deployments/terminal-controller in namespace sealos-system",
                "patch on deployments/terminal-controller in namespace sealos-system",
            ]
        );
    }

    #[test]
    fn ripcord_itself_needs_its_state_its_lease_and_events() {
        let mut settings = shipped();
        let own = |settings: &Settings| {
            words(&Access::of(settings))
                .into_iter()
                .filter(|w| !w.contains("-controller") && !w.contains("-admission"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            own(&settings),
            [
                "get on configmaps/ripcord-state in namespace sealos-system",
                "patch on configmaps/ripcord-state in namespace sealos-system",
                "get on leases/ripcord in namespace sealos-system",
                "update on leases/ripcord in namespace sealos-system",
                "create on configmaps in namespace sealos-system",
                "create on leases in namespace sealos-system",
                "create on events (API group events.k8s.io) in namespace sealos-system",
            ]
        );
        settings.leader_election = None;
        settings.state = None;
        assert_eq!(own(&settings), ["create on events (API group events.k8s.io) in namespace sealos-system"]);
        settings.guards.clear();
        assert_eq!(Access::of(&settings), []);
    }

    #[test]
    fn what_several_guards_share_is_named_once() {
        let mut settings = shipped();
        let before = Access::of(&settings).len();
        let again = settings.guards[0].clone();
        settings.guards.push(again);
        assert_eq!(Access::of(&settings).len(), before);
    }
}
