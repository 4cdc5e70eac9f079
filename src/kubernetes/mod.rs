//! The cluster: reading the traffic share, carrying out steps, waiting for rollouts, leaving Events on the objects.
//!
//! - `cluster`: the connection; every call goes through it and has a time-out
//! - `dynamic`: objects of any kind, as they are
//! - `object`, `error`: what a call is about, and what a failed one means in words that say what to do
//! - `change`: a whole change, in order; `deployment_env` and `config_map` are its steps, `rollout` the wait after them
//! - `document`: what must outlive the process, in a ConfigMap
//! - `election`: who leads where there are several replicas, by a Lease
//! - `manifest`: an object as it is kept outside the cluster; `yaml` writes it, `snapshot` reads them from the cluster, `restore` puts them back
//! - `share`: where the traffic is now; `announce`: Events; `variables`: what the steps' texts can hold
//!
//! Nothing here decides whether to act.

mod announce;
mod change;
mod cluster;
mod config_map;
mod deployment_env;
mod document;
mod dynamic;
pub mod election;
mod error;
mod manifest;
mod object;
mod restore;
pub mod rollout;
mod share;
mod snapshot;
mod step;
mod variables;
mod yaml;

use std::sync::Arc;

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
pub use variables::variables;

/// The name under which the API server records Ripcord's writes (`metadata.managedFields`) and Events.
pub const FIELD_MANAGER: &str = "ripcord";

/// Says whether writing is permitted right now. Where a leader is elected: whether this process surely leads.
pub type Permit = Arc<dyn Fn() -> bool + Send + Sync>;
