//! What the first page of a story said, kept for the later ones: a mail that says how it goes on answers the first.

use serde::{Deserialize, Serialize};

use super::action::{Notification, Opening};

/// What the first page of a story said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beginning {
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<Opening>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_chinese: Option<String>,
}

impl Beginning {
    /// Whether nothing of it is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Keeps what this page says, where it is the story's first; names what the first said, where it is a later one.
    pub fn of_story(&mut self, page: &mut Notification) {
        if let Some(opening) = &self.opening {
            page.opening = Some(opening.clone());
            page.chinese.iter_mut().for_each(|chinese| chinese.opening.clone_from(&self.in_chinese));
            return;
        }
        self.opening = Some(Opening { severity: page.severity, summary: page.summary.clone() });
        self.in_chinese = page.chinese.as_ref().map(|chinese| chinese.summary.clone());
    }
}
