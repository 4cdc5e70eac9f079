//! Reading the document beside a Ripcord that runs: no lock, no Lease, nothing is written.
//!
//! `None`: nothing was ever written there. The error says what was tried, on what, and what to do.

use std::path::Path;

use crate::config::ObjectName;
use crate::kubernetes::Cluster;

use super::config_map::ConfigMapPlace;
use super::document::Document;
use super::file;
use super::place::Place as _;

/// The document in a file.
pub async fn look_at_file(path: &Path) -> Result<Option<Document>, String> {
    document(file::read_at(path.to_owned()).await?, &format!("the state file {}", path.display()))
}

/// The document in a ConfigMap.
pub async fn look_at_config_map(cluster: &Cluster, name: &ObjectName) -> Result<Option<Document>, String> {
    let mut place = ConfigMapPlace::new(cluster.clone(), name);
    document(place.read().await?, &place.name())
}

fn document(text: Option<String>, place: &str) -> Result<Option<Document>, String> {
    let read = text.map(|text| Document::read(&text)).transpose();
    read.map_err(|e| format!("{place} cannot be used: {e}"))
}
