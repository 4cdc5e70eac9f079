//! Variables of templates.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::field::{Field, Named};
use crate::config::problems::Problems;
use crate::config::suggest;
use crate::config::template::{BUILT_IN, Template};

use super::names;

/// The one built-in variable whose value never differs for one guard.
const GUARD: &str = "guard";

/// A guard's variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Vars {
    /// Its own.
    pub(super) own: BTreeMap<String, String>,
    /// Its own and `guard`: those that are the same at every change.
    fixed: BTreeMap<String, String>,
    /// Those that are written wrongly; that has been said.
    wrong: BTreeSet<String>,
}

/// Reads a guard's variables. A value may hold `${guard}`.
pub(super) fn vars(guard: &str, field: &Field<Named<String>>, problems: &mut Problems) -> Vars {
    let mut vars = Vars::default();
    vars.fixed.insert(GUARD.to_owned(), guard.to_owned());
    let Some(named) = field.value() else { return vars };
    let alone = vars.clone();
    for (name, entry) in &named.0 {
        let Field::Given(at) = entry else {
            vars.wrong.insert(name.clone());
            continue;
        };
        if BUILT_IN.contains(&name.as_str()) {
            problems.error(&at.path, format!("${{{name}}} is built in; give this variable another name"));
            continue;
        }
        problems.take(&at.path, names::variable(name));
        match problems.take(&at.path, alone.parse_fixed(&at.value)).flatten() {
            Some(value) => {
                vars.fixed.insert(name.clone(), value.clone());
                vars.own.insert(name.clone(), value);
            }
            None => {
                vars.wrong.insert(name.clone());
            }
        }
    }
    vars
}

impl Vars {
    /// Puts the variables into a text that must be the same at every change: a name, a label's value, a query.
    pub(super) fn render(&self, at: &crate::config::path::Path, text: &str, problems: &mut Problems) -> Option<String> {
        problems.take(at, self.parse_fixed(text)).flatten()
    }

    /// `Ok(None)` when a variable in it is known to be wrong.
    fn parse_fixed(&self, text: &str) -> Result<Option<String>, String> {
        let template = Template::parse(text)?;
        for name in template.variables() {
            if self.wrong.contains(name) {
                return Ok(None);
            }
            if !self.fixed.contains_key(name) {
                if BUILT_IN.contains(&name) {
                    return Err(format!(
                        "${{{name}}} cannot stand in {text:?}: its value differs from one change to the next, and \
                            this must not; known here: {}",
                        list(self.fixed.keys().map(String::as_str))
                    ));
                }
                return Err(unknown(name, self.fixed.keys().map(String::as_str)));
            }
        }
        Ok(Some(template.render(&self.fixed)))
    }

    /// The variables as a change to this percentage puts them in, of those that can stand in a number.
    pub(super) fn at(&self, percentage: u8) -> BTreeMap<String, String> {
        let mut all = self.fixed.clone();
        all.insert("percentage".to_owned(), percentage.to_string());
        all.insert("rest".to_owned(), 100u8.saturating_sub(percentage).to_string());
        all
    }

    /// Whether a template has a variable that is known to be wrong, so that nothing can be said of its values.
    pub(super) fn has_wrong(&self, template: &Template) -> bool {
        template.variables().any(|name| self.wrong.contains(name))
    }

    /// Parses a text whose variables are put in at each change.
    pub(super) fn parse(&self, text: &str) -> Result<Template, String> {
        let template = Template::parse(text)?;
        let known = || BUILT_IN.into_iter().chain(self.own.keys().map(String::as_str));
        for name in template.variables() {
            if !known().any(|k| k == name) && !self.wrong.contains(name) {
                return Err(unknown(name, known()));
            }
        }
        Ok(template)
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = suggest::nearest(name, known.clone()).map(|n| format!("did you mean ${{{n}}}? ")).unwrap_or_default();
    format!("unknown variable ${{{name}}}; {near}known here: {}", list(known))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|n| format!("${{{n}}}")).collect::<Vec<_>>().join(" ")
}
