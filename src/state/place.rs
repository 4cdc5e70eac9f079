//! What a place for the document must do.

use futures::future::BoxFuture;

use crate::config::StatePlace;
use crate::engine::{Language, Sentence};
use crate::kubernetes::{Kind, ObjectRef};

/// The place as pages name it.
pub fn name(place: &StatePlace) -> Sentence {
    Sentence::of(|language| match (language, place) {
        (Language::English, StatePlace::File(path)) => format!("the state file {}", path.display()),
        (Language::Chinese, StatePlace::File(path)) => format!("状态文件 {}", path.display()),
        (_, StatePlace::ConfigMap(name)) => {
            let (namespace, name) = (name.namespace.clone(), name.name.clone());
            let object = ObjectRef { kind: Kind::ConfigMap, namespace, name };
            match language {
                Language::English => format!("the state in {object}"),
                Language::Chinese => format!("保存在 {object} 里的状态"),
            }
        }
    })
}

/// A place that keeps one document.
pub trait Place: Send + Sync + 'static {
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
