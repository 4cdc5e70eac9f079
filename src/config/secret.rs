//! Files that hold secrets.

use std::path::PathBuf;

use secrecy::SecretString;

use super::SecretFile;
use super::defaults::MAX_SECRET_BYTES;
use super::file::{FileError, read_text};

/// Why a secret cannot be used. It says the file's name and never any of its content.
#[derive(Debug, thiserror::Error)]
#[error("the secret file {} {reason}", .path.display())]
pub struct SecretError {
    path: PathBuf,
    reason: FileError,
}

impl SecretFile {
    /// Reads the secret: a regular file of UTF-8 text of at most 64 KiB that is not empty. Line ends at its end are not
    /// part of it. A relative path starts at the working directory of the process.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let error = |reason| SecretError { path: self.0.clone(), reason };
        let mut text = read_text(&self.0, MAX_SECRET_BYTES).map_err(error)?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.trim().is_empty() {
            return Err(error(FileError::Empty));
        }
        Ok(SecretString::from(text))
    }
}
