//! What of a change is not there any more.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A change that is not there any more, as a step's object shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The step, as `deployment_env sealos-system/terminal-controller`.
    pub step: String,
    /// What is there instead: `ISTIO_PERCENTAGE is 25, not 0`.
    pub what: Differences,
    /// Who set it, as the cluster records its writers (field managers); absent when it does not say.
    pub who: Option<String>,
}

/// What is there instead of a change. It is kept and shown by the API as one text in English; a page says it in its reader's language.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Differences(pub Vec<Difference>);

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A field does not hold what it should.
    Is {
        /// The field, as people know it: `ISTIO_PERCENTAGE`, `primary istio`.
        field: String,
        /// What it holds.
        is: Held,
        /// What it should hold.
        not: String,
    },
    /// A field is there that should not be.
    Still {
        /// The field.
        field: String,
        /// What it holds.
        is: Held,
    },
    /// The object is gone: `Deployment sealos-system/terminal-controller`.
    Deleted(String),
    /// Something else, in words: the object cannot be compared, or this was read from where it was kept.
    Other(String),
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is not there.
    Unset,
    /// It is there and empty.
    Empty,
    /// This, or where it comes from.
    Text(String),
}

impl Held {
    /// What is held where `value` was found.
    pub fn of(value: Option<&str>) -> Self {
        match value {
            None => Self::Unset,
            Some("") => Self::Empty,
            Some(value) => Self::Text(value.to_owned()),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("(not set)"),
            Self::Empty => f.write_str("(empty)"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is { field, is, not } => write!(f, "{field} is {is}, not {not}"),
            Self::Still { field, is } => write!(f, "{field} is still {is}"),
            Self::Deleted(object) => write!(f, "{object} was deleted"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// What was kept is a text: the same differences say the same.
impl PartialEq for Differences {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Differences {}

impl From<Differences> for String {
    fn from(differences: Differences) -> Self {
        differences.to_string()
    }
}

impl From<String> for Differences {
    fn from(text: String) -> Self {
        Self(vec![Difference::Other(text)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_as_the_text_that_it_was_always_kept_as() {
        let is =
            |value: Option<&str>| Difference::Is { field: "X".to_owned(), is: Held::of(value), not: "0".to_owned() };
        let still = Difference::Still { field: "Y".to_owned(), is: Held::of(Some("true")) };
        let gone = Difference::Deleted("Deployment ns/web".to_owned());
        let what = Differences(vec![is(Some("25")), is(Some("")), is(None), still, gone]);
        let text = "X is 25, not 0, X is (empty), not 0, X is (not set), not 0, Y is still true, Deployment ns/web was deleted";
        let drift = Drift { step: "s".to_owned(), what, who: None };
        let written = serde_json::to_value(&drift).unwrap();
        assert_eq!(written, serde_json::json!({"step": "s", "what": text, "who": null}));
        assert_eq!(serde_json::from_value::<Drift>(written).unwrap(), drift);
    }
}
