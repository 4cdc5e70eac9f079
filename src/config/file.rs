//! Reads a configuration file's text, and looks at the files that a configuration names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::defaults::{MAX_CA_BYTES, MAX_CONFIG_BYTES};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("does not exist")]
    Missing,
    #[error("is a directory, not a file")]
    Directory,
    #[error("is no regular file")]
    NotRegular,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    #[error("is empty")]
    Empty,
    #[error("is not UTF-8 text")]
    NotText,
}

/// Reads a text file of at most `limit` bytes. What it is and how large it is are looked at first, so that neither a
/// pipe nor a huge file holds anything up.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => FileError::Missing,
        _ => FileError::Unreadable(e),
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(FileError::Directory);
    }
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    if metadata.len() > limit {
        return Err(FileError::TooLarge(limit));
    }
    // The capacity is what the file needs, so that no copy of a secret stays behind in memory when the buffer grows.
    let capacity = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
    let mut bytes = Vec::with_capacity(capacity);
    File::open(path).map_err(unreadable)?.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge(limit));
    }
    if bytes.is_empty() {
        return Err(FileError::Empty);
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText)
}

/// Reads a configuration file.
pub(super) fn read_config(path: &Path) -> Result<String, FileError> {
    let text = read_text(path, MAX_CONFIG_BYTES)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Looks whether a file can hold certificates: readable, and at least one PEM block in it.
pub(super) fn check_certificates(path: &Path) -> Result<(), String> {
    let text = read_text(path, MAX_CA_BYTES).map_err(|e| e.to_string())?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(())
    } else {
        Err("holds no certificate; it must be PEM, beginning with -----BEGIN CERTIFICATE-----".to_owned())
    }
}
