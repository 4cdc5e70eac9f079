//! The cluster: reading the traffic share, carrying out steps, waiting for rollouts, leaving Events on the objects.
//!
//! - `cluster`: the connection; every call goes through it and has a time-out
//! - `dynamic`: objects of any kind, as they are
//! - `object`, `error`: what a call is about, and what a failed one means in words that say what to do
//! - `change`: a whole change, in order; `deployment_env`, `config_map`, `virtual_service` (with `routes`) and `command` are its steps, `rollout`
//!   the wait after them
//! - `drift`: what of a change is not there any more; `gitops`: who will undo one
//! - `document`: what must outlive the process, in a ConfigMap
//! - `election`: who leads where there are several replicas, by a Lease
//! - `access`: what a configuration must be permitted to do
//! - `surroundings`: what only preflight looks at: the API server itself, Istio's parts, certificates
//! - `manifest`: an object as it is kept outside the cluster; `yaml` writes it, `snapshot` reads them from the cluster, `restore` puts them back
//! - `share`: where the traffic is now; `announce`: Events; `variables`: what the steps' texts can hold
//!
//! Nothing here decides whether to act.

mod access;
mod announce;
mod change;
mod cluster;
mod command;
mod config_map;
mod deployment_env;
mod document;
mod drift;
mod dynamic;
pub mod election;
mod error;
mod gitops;
mod manifest;
mod object;
mod restore;
pub mod rollout;
mod routes;
mod share;
mod snapshot;
mod step;
mod surroundings;
mod variables;
mod virtual_service;
mod yaml;

use std::sync::Arc;

pub use access::{Access, Purpose};
pub use announce::{Announcement, AnnouncementType};
pub use change::{ChangePlan, Outcome};
pub use cluster::{CALL_TIMEOUT, Cluster, ConnectError};
pub use document::StoredDocument;
pub use election::{Election, ElectionEvent, Leadership, LeaseSettings, LossReason};
pub use error::{CallError, Cause};
pub use manifest::Manifest;
pub use object::{Kind, ObjectRef};
pub use restore::{Live, PutBack};
pub use snapshot::Backup;
pub use surroundings::{Certificate, Readiness, TlsCertificate};
pub use variables::variables;

/// The name under which the API server records Ripcord's writes (`metadata.managedFields`) and Events.
pub const FIELD_MANAGER: &str = "ripcord";

/// Says whether writing is permitted right now. Where a leader is elected: whether this process surely leads.
pub type Permit = Arc<dyn Fn() -> bool + Send + Sync>;
