//! What a place for the document must do.

use futures::future::BoxFuture;

/// A place that keeps one document.
pub trait Place: Send + Sync + 'static {
    /// The place as errors and the log name it.
    fn name(&self) -> String;

    /// The most bytes that it takes.
    fn limit(&self) -> usize;

    /// What it holds; `None` where nothing was ever written. The error says what was tried, on what, and what to do.
    fn read(&mut self) -> BoxFuture<'_, Result<Option<String>, String>>;

    /// Writes over what this place read or wrote last.
    fn write(&mut self, text: String) -> BoxFuture<'_, Result<(), WriteError>>;

    /// Keeps what it holds now under another name, where a person can look at it. Says where.
    fn set_aside(&mut self, suffix: String) -> BoxFuture<'_, Result<String, String>>;
}

/// Why a document was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else has written since: another leads.
    #[error("{0}")]
    Conflict(String),
    /// Anything else. It may have been written all the same.
    #[error("{0}")]
    Failed(String),
}
