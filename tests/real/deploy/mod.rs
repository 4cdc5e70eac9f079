//! `deploy/` against a real API server: what kustomize and Helm make of it is accepted whole, and a release is installed, upgraded and
//! removed. And the Dockerfile.

mod helm;
mod image;
mod kustomize;
mod manifests;
mod role;

pub use role::{least_identity, least_identity_for, least_rules};

use crate::support::Story;

pub fn trials() -> Vec<Story> {
    [role::trials(), kustomize::trials(), helm::trials(), image::trials()].into_iter().flatten().collect()
}
