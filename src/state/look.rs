//! Reading the document beside a Ripcord that runs: no lock, no Lease, nothing is written.
//!
//! `None`: nothing was ever written there. The error says what was tried, on what, and what to do.

use std::path::Path;

use crate::config::{ObjectName, StatePlace};
use crate::engine::Language;
use crate::kubernetes::Cluster;

use super::config_map::ConfigMapPlace;
use super::document::Document;
use super::file;
use super::place::{self, Place as _};

/// The document in a file.
pub async fn look_at_file(path: &Path) -> Result<Option<Document>, String> {
    document(file::read_at(path.to_owned()).await?, &StatePlace::File(path.to_owned()))
}

/// The document in a ConfigMap.
pub async fn look_at_config_map(cluster: &Cluster, name: &ObjectName) -> Result<Option<Document>, String> {
    let mut place = ConfigMapPlace::new(cluster.clone(), name);
    document(place.read().await?, &StatePlace::ConfigMap(name.clone()))
}

fn document(text: Option<String>, place: &StatePlace) -> Result<Option<Document>, String> {
    let read = text.map(|text| Document::read(&text)).transpose();
    read.map_err(|e| format!("{} cannot be used: {e}", place::name(place).in_language(Language::English)))
}
