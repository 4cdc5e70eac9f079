//! Secrets and certificates, read anew for every try so that rotated ones are used without a restart.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::timeout;

use crate::config::SecretFile;

use super::courier::Failure;

/// Reads a secret.
pub(super) fn secret(file: &SecretFile) -> Result<SecretString, Failure> {
    file.read().map_err(|e| Failure::retry(e.to_string()))
}

/// Reads a file of certificates in PEM and checks that there is one in it; the TLS libraries take a file without any for an empty list.
pub(super) fn certificates(file: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |why: String| Failure::retry(format!("cannot use the certificates in {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|e| cannot(e.to_string()))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(begin.len()).any(|part| part == begin) {
        return Err(cannot("there is no certificate in PEM in it".to_owned()));
    }
    Ok(pem)
}

/// Does what reads files on a thread that may block, for at most `limit`: a file system that hangs must not hold up anything else.
pub(super) async fn read<T: Send + 'static>(
    limit: Duration,
    reading: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match timeout(limit, tokio::task::spawn_blocking(reading)).await {
        Ok(Ok(result)) => result,
        Ok(Err(e)) => Err(Failure::retry(format!("reading its secrets and certificates broke off: {e}"))),
        Err(_) => Err(Failure::retry(format!("reading its secrets and certificates took longer than {limit:?}"))),
    }
}
