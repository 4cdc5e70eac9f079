//! How one entry is handed over.

use std::time::Duration;

use futures::future::BoxFuture;

use super::entry::Entry;

/// Why a try did not work. No text in it holds a secret or a webhook's address.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// It will never work: the same try would be refused again.
    Refused(String),
    /// It may work later.
    Retry {
        /// What went wrong.
        error: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
}

impl Failure {
    /// A failure that may be gone at the next try.
    pub(super) fn retry(error: impl Into<String>) -> Self {
        Self::Retry { error: error.into(), after: None }
    }

    /// What went wrong.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Refused(error) | Self::Retry { error, .. } => error,
        }
    }
}

/// What is handed over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Made {
    /// Its bytes.
    pub(super) body: Vec<u8>,
    /// Why it is a plainer one than the configuration wants.
    pub(super) shortfall: Option<String>,
}

impl From<Vec<u8>> for Made {
    fn from(body: Vec<u8>) -> Self {
        Self { body, shortfall: None }
    }
}

/// Hands entries over to one receiver.
pub(super) trait Courier: Send + Sync + 'static {
    /// What is handed over. Made once per entry, so that each try sends the same bytes.
    fn prepare(&self, entry: &Entry) -> Result<Made, Failure>;

    /// One try. It ends by itself: every exchange in it has a time-out.
    fn deliver<'a>(&'a self, entry: &'a Entry, body: &'a [u8]) -> BoxFuture<'a, Result<(), Failure>>;

    /// Goes as far towards the receiver as nobody notices: no page comes of it. It ends by itself, like a try.
    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>>;
}
