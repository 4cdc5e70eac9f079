//! What a call is about.

use std::fmt;

use crate::config::Step;

/// A kind of object that Ripcord reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Deployment of `apps/v1`.
    Deployment,
    /// A ConfigMap of `v1`.
    ConfigMap,
    /// A Lease of `coordination.k8s.io/v1`.
    Lease,
}

impl Kind {
    /// The kind as an object's `kind` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ConfigMap => "ConfigMap",
            Self::Lease => "Lease",
        }
    }

    /// The resource as a Role names it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ConfigMap => "configmaps",
            Self::Lease => "leases",
        }
    }

    /// The kind as an object's `apiVersion` says it.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Deployment => "apps/v1",
            Self::ConfigMap => "v1",
            Self::Lease => "coordination.k8s.io/v1",
        }
    }
}

/// One object of the cluster, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Kind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl From<&Step> for ObjectRef {
    fn from(step: &Step) -> Self {
        let (kind, namespace, name) = match step {
            Step::DeploymentEnv(s) => (Kind::Deployment, &s.namespace, &s.name),
            Step::ConfigMap(s) => (Kind::ConfigMap, &s.namespace, &s.name),
        };
        Self { kind, namespace: namespace.clone(), name: name.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}
