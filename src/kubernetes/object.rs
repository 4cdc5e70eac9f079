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
    /// A VirtualService of `networking.istio.io`.
    VirtualService,
    /// A Gateway of `networking.istio.io`.
    Gateway,
    /// A DestinationRule of `networking.istio.io`.
    DestinationRule,
    /// An Ingress of `networking.k8s.io/v1`.
    Ingress,
}

/// The API group of Istio's routing.
pub(super) const ISTIO: &str = "networking.istio.io";

impl Kind {
    /// The kind as an object's `kind` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ConfigMap => "ConfigMap",
            Self::Lease => "Lease",
            Self::VirtualService => "VirtualService",
            Self::Gateway => "Gateway",
            Self::DestinationRule => "DestinationRule",
            Self::Ingress => "Ingress",
        }
    }

    /// The resource as a Role names it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ConfigMap => "configmaps",
            Self::Lease => "leases",
            Self::VirtualService => "virtualservices",
            Self::Gateway => "gateways",
            Self::DestinationRule => "destinationrules",
            Self::Ingress => "ingresses",
        }
    }

    /// The API group; empty for the core one.
    pub fn group(self) -> &'static str {
        match self {
            Self::Deployment => "apps",
            Self::ConfigMap => "",
            Self::Lease => "coordination.k8s.io",
            Self::VirtualService | Self::Gateway | Self::DestinationRule => ISTIO,
            Self::Ingress => "networking.k8s.io",
        }
    }

    /// The kind as an object's `apiVersion` says it. Of Istio's kinds an older API server may have `v1beta1` only.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Deployment => "apps/v1",
            Self::ConfigMap => "v1",
            Self::Lease => "coordination.k8s.io/v1",
            Self::VirtualService | Self::Gateway | Self::DestinationRule => "networking.istio.io/v1",
            Self::Ingress => "networking.k8s.io/v1",
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

impl ObjectRef {
    /// The object that a step changes; none for a step that changes no object by itself.
    pub fn of(step: &Step) -> Option<Self> {
        let (kind, namespace, name) = match step {
            Step::DeploymentEnv(s) => (Kind::Deployment, &s.namespace, &s.name),
            Step::ConfigMap(s) => (Kind::ConfigMap, &s.namespace, &s.name),
            Step::VirtualService(s) => (Kind::VirtualService, &s.namespace, &s.name),
            Step::Command(_) => return None,
        };
        Some(Self { kind, namespace: namespace.clone(), name: name.clone() })
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}
