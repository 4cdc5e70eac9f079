//! What the steps have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use crate::config::template::Template;
use crate::engine::{Difference, Differences, Held, StepResult};

use super::FIELD_MANAGER;
use super::error::{CallError, Cause};
use super::object::ObjectRef;
use super::rollout::Target;

/// How many times a step that somebody else's write came in the way of is begun anew. Controllers write an object in
/// bursts of two or three; whoever writes more often than this is at odds with the step, and a person should know.
const MAX_CONFLICTS: u32 = 5;

/// A step that was carried out.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) result: StepResult,
    pub(super) detail: Option<String>,
    /// The rollout to wait for.
    pub(super) rollout: Option<Target>,
}

/// A step that was not.
#[derive(Debug)]
pub(super) enum StepError {
    /// Somebody wrote in between; to be begun anew, from reading on.
    Conflict(String),
    /// What was tried, on what, and what to do.
    Failed(String),
    /// The gate was closed before the write: nothing was sent.
    HeldBack,
}

impl From<CallError> for StepError {
    fn from(error: CallError) -> Self {
        match error.cause {
            Cause::Conflict(_) => Self::Conflict(error.to_string()),
            Cause::HeldBack => Self::HeldBack,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Where a rollback would raise the share: the present one, if the field that holds it says less than the target. Somebody moved more of
/// the traffic back meanwhile, and a rollback must never bring any of it forward again.
pub(super) fn below_target<'v>(
    fields: &BTreeMap<String, Template>,
    values: &BTreeMap<String, String>,
    present: impl Fn(&str) -> Option<&'v str>,
) -> Option<String> {
    fields.iter().filter(|(_, template)| template.is_percentage()).find_map(|(field, _)| {
        let target: u8 = values.get(field)?.parse().ok()?;
        let present: u8 = present(field)?.trim().parse().ok()?;
        (present < target).then(|| format!("{field} is {present} already, below {target}"))
    })
}

/// Tries a step, and begins it anew from reading on where somebody else's write came in between.
pub(super) async fn begun_anew_on_conflict<F>(attempt: impl Fn() -> F) -> Result<Done, StepError>
where
    F: Future<Output = Result<Done, StepError>>,
{
    let mut conflicts = Conflicts::default();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => conflicts.permit_another(error)?,
        }
    }
}

/// Counts the conflicts of one step.
#[derive(Debug, Default)]
struct Conflicts(u32);

impl Conflicts {
    /// Whether the step is to be begun anew after `error`, from reading on, so that everything is checked again. If
    /// not, the error in which the step ends.
    fn permit_another(&mut self, error: StepError) -> Result<(), StepError> {
        match error {
            StepError::Failed(_) | StepError::HeldBack => Err(error),
            StepError::Conflict(_) if self.0 < MAX_CONFLICTS => {
                self.0 += 1;
                Ok(())
            }
            StepError::Conflict(error) => {
                let tries = MAX_CONFLICTS + 1;
                Err(StepError::Failed(format!(
                    "{error}; {tries} tries in a row met such a write: find out who keeps writing it"
                )))
            }
        }
    }
}

/// The texts of a step with their variables put in.
pub(super) fn render(
    templates: &BTreeMap<String, Template>,
    vars: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    templates.iter().map(|(key, template)| (key.clone(), template.render(vars))).collect()
}

/// The values that say whether a step is done already: those that are the same at every rollback, or all where there
/// are none of those.
pub(super) fn decisive<'a>(
    templates: &'a BTreeMap<String, Template>,
    values: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all_volatile = templates.values().all(Template::is_volatile);
    values
        .iter()
        .filter(move |(key, _)| all_volatile || templates.get(*key).is_some_and(|t| !t.is_volatile()))
        .map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The part of a patch that makes the server refuse it when the object is not the one that was read, in the state in
/// which it was read.
pub(super) fn preconditions(read: &ObjectMeta) -> Value {
    let mut metadata = Map::new();
    for (key, value) in [("uid", &read.uid), ("resourceVersion", &read.resource_version)] {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), json!(value));
        }
    }
    Value::Object(metadata)
}

/// Refuses an object on which no change would stay: one that is on its way out, or that another one controls.
pub(super) fn refuse_fleeting(object: &ObjectRef, metadata: &ObjectMeta) -> Result<(), String> {
    if metadata.deletion_timestamp.is_some() {
        return Err(format!("{object} is being deleted; nothing was changed. Create it anew, or take the step out"));
    }
    let mut owners = metadata.owner_references.iter().flatten();
    match owners.find(|owner| owner.controller == Some(true)) {
        Some(owner) => Err(format!(
            "{object} is controlled by {} {} ({}), which would undo the change; nothing was changed. Change that one instead",
            owner.kind, owner.name, owner.api_version
        )),
        None => Ok(()),
    }
}

/// Who set a field to the value that it has, as the server records it (`metadata.managedFields`); somebody else before
/// Ripcord.
pub(super) fn owner<'m>(metadata: &'m ObjectMeta, path: &[String]) -> Option<&'m str> {
    let owns = |fields: &Value| path.iter().try_fold(fields, |at, key| at.get(key)).is_some();
    let owners = metadata.managed_fields.iter().flatten().filter(|m| m.fields_v1.as_ref().is_some_and(|f| owns(&f.0)));
    owners.filter_map(|m| m.manager.as_deref()).max_by_key(|manager| *manager != FIELD_MANAGER)
}

/// The error of a change that was accepted and is not there. `path` leads to one of the fields in question, as
/// `managedFields` writes paths.
pub(super) fn undone(
    object: &ObjectRef,
    metadata: &ObjectMeta,
    path: &[String],
    differences: Vec<Difference>,
) -> String {
    let who = match owner(metadata, path) {
        // A webhook's changes count as those of the request that it changed.
        Some(FIELD_MANAGER) => "An admission webhook sets it".to_owned(),
        Some(manager) => format!("{manager} has set it since"),
        None => "An admission webhook, a GitOps tool or an operator sets it".to_owned(),
    };
    format!(
        "the change of {object} was accepted and did not stay: {}. {who}; stop that first",
        Differences(differences)
    )
}

/// What a step says that found its object as it should be, where there is no more to say.
pub(super) fn already_there() -> String {
    StepResult::AlreadyThere.as_str().to_owned()
}

/// A value as texts for people show it.
pub(super) fn shown(value: Option<&str>) -> String {
    Held::of(value).to_string()
}
