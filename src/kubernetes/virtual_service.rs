//! The step `virtual_service`: weights of a VirtualService's http routes, and nothing else of it.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation};
use kube::api::{DynamicObject, Patch};
use serde_json::{Value, json};

use crate::config::VirtualService;
use crate::config::template::Template;
use crate::engine::{Difference, StepResult};

use super::change::How;
use super::cluster::Cluster;
use super::drift::Undone;
use super::error::{CallError, Cause};
use super::object::{Kind, ObjectRef};
use super::routes::{self, Route, Weights};
use super::step::{self, Done, StepError};

/// Where `managedFields` has the weights. A list of a custom resource has one owner as a whole.
const OWNED: [&str; 2] = ["f:spec", "f:http"];

/// One carrying-out of the step.
pub(super) struct Change<'a> {
    step: &'a VirtualService,
    vars: &'a BTreeMap<String, String>,
    object: ObjectRef,
    how: How<'a>,
}

impl<'a> Change<'a> {
    pub(super) fn new(step: &'a VirtualService, vars: &'a BTreeMap<String, String>, how: How<'a>) -> Self {
        Self { step, vars, object: object_of(step), how }
    }

    pub(super) async fn carry_out(&self, cluster: &Cluster) -> Result<Done, StepError> {
        step::begun_anew_on_conflict(|| self.attempt(cluster)).await
    }

    async fn attempt(&self, cluster: &Cluster) -> Result<Done, StepError> {
        let done = |result, detail| Ok(Done { result, detail, rollout: None });
        let before = cluster.get_dynamic(&self.object).await?;
        step::refuse_fleeting(&self.object, &before.metadata).map_err(StepError::Failed)?;
        let weights = weights(self.step, self.vars).map_err(StepError::Failed)?;
        let routes = routes::meant(self.step, &self.object, &before).map_err(|e| StepError::Failed(e.as_refusal()))?;
        let open: Vec<&Route<'_>> = routes.iter().filter(|route| !self.is_done(route, &weights)).collect();
        let there = open.is_empty();
        let below = routes.iter().find_map(|route| self.below(route, &weights)).filter(|_| there);
        if there && !self.how.rehearsal {
            return done(StepResult::AlreadyThere, below);
        }
        let differences: Vec<String> = open.iter().flat_map(|route| route.changes(&weights)).collect();
        let detail = below.or_else(|| Some(if there { step::already_there() } else { differences.join(", ") }));

        let sent = if self.how.rehearsal { routes.iter().collect() } else { open };
        let patch = Patch::Json::<()>(patch(&before, &sent, &weights));
        let after = match cluster.patch_dynamic(&self.object, &patch, self.how).await {
            Err(error) if matches!(error.cause, Cause::Invalid(_)) => {
                return Err(self.was_it_a_conflict(cluster, &before, error).await);
            }
            other => other?,
        };
        self.check(&after, &weights).map_err(StepError::Failed)?;
        if self.how.dry_run {
            return done(StepResult::WouldChange, detail);
        }

        match cluster.get_dynamic(&self.object).await {
            Ok(now) => {
                self.check(&now, &weights).map_err(StepError::Failed)?;
                done(StepResult::Changed, detail)
            }
            Err(e) if e.is_not_found() => Err(e.into()),
            // The answer to the patch said that it is stored; a failed second look must not keep the steps after it
            // from being tried.
            Err(e) => done(StepResult::Changed, detail.map(|d| format!("{d} (accepted; not read back: {e})"))),
        }
    }

    /// A rollback leaves a route alone whose share is below the target.
    fn is_done(&self, route: &Route<'_>, weights: &Weights<'_>) -> bool {
        route.is_at(weights) || self.below(route, weights).is_some()
    }

    fn below(&self, route: &Route<'_>, weights: &Weights<'_>) -> Option<String> {
        below(self.step, route, weights).filter(|_| self.how.rollback)
    }

    /// A `test` that failed is answered like a patch that makes no sense, and the answer does not say which it was. The object does: a
    /// test failed if it is not any more what was read.
    async fn was_it_a_conflict(&self, cluster: &Cluster, read: &DynamicObject, error: CallError) -> StepError {
        let state = |object: &DynamicObject| (object.metadata.uid.clone(), object.metadata.resource_version.clone());
        match (cluster.get_dynamic(&self.object).await, error) {
            (Ok(now), CallError { doing, cause: Cause::Invalid(words) }) if state(&now) != state(read) => {
                CallError { doing, cause: Cause::Conflict(words) }.into()
            }
            (_, error) => error.into(),
        }
    }

    /// Whether an answer of the server holds the change.
    fn check(&self, after: &DynamicObject, weights: &Weights<'_>) -> Result<(), String> {
        let differences = match routes::meant(self.step, &self.object, after) {
            Ok(routes) => differences(&routes, weights, |route| self.is_done(route, weights)),
            Err(misfit) => vec![Difference::Other(misfit.what)],
        };
        if differences.is_empty() {
            return Ok(());
        }
        Err(step::undone(&self.object, &after.metadata, &owned(), differences))
    }
}

fn object_of(step: &VirtualService) -> ObjectRef {
    ObjectRef { kind: Kind::VirtualService, namespace: step.namespace.clone(), name: step.name.clone() }
}

fn owned() -> [String; 2] {
    OWNED.map(str::to_owned)
}

/// What each destination is to get.
fn weights<'s>(step: &'s VirtualService, vars: &BTreeMap<String, String>) -> Result<Weights<'s>, String> {
    let weight = |(key, template): (&'s String, &Template)| {
        let text = template.render(vars);
        let number = text.parse().ok().filter(|weight| (0..=routes::WHOLE).contains(weight));
        let number = number.ok_or_else(|| {
            format!("the weight of {key} is {text:?}, not a whole number from 0 to 100; nothing was changed. Correct the step")
        })?;
        Ok((key.as_str(), number))
    };
    step.weights.iter().map(weight).collect()
}

/// Where a rollback would raise the share of a route.
fn below(step: &VirtualService, route: &Route<'_>, weights: &Weights<'_>) -> Option<String> {
    let key = share_key(step)?;
    let (present, target) = (route.share(key)?, *weights.get(key)?);
    (present < target).then(|| format!("{} {key} is {present} already, below {target}", route.label))
}

/// The destination whose weight is the share.
fn share_key(step: &VirtualService) -> Option<&str> {
    step.weights.iter().find(|(_, template)| template.is_percentage()).map(|(key, _)| key.as_str())
}

/// What the routes hold in place of the weights, but for those that are done.
fn differences(routes: &[Route<'_>], weights: &Weights<'_>, is_done: impl Fn(&Route<'_>) -> bool) -> Vec<Difference> {
    routes.iter().filter(|route| !is_done(route)).flat_map(|route| route.differences(weights)).collect()
}

/// The patch of the weights alone. The server refuses it when the object, or the place of a destination, is not what was read.
fn patch(read: &DynamicObject, routes: &[&Route<'_>], weights: &Weights<'_>) -> JsonPatch {
    let test = |path: &[&str], value: Value| {
        PatchOperation::Test(TestOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
    };
    let state = [("uid", &read.metadata.uid), ("resourceVersion", &read.metadata.resource_version)];
    let state = state.into_iter().filter_map(|(field, value)| Some(test(&["metadata", field], json!(value.as_ref()?))));
    let mut operations: Vec<PatchOperation> = state.collect();
    for route in routes {
        for (key, weight) in weights {
            let Some((place, destination)) = route.destination(key) else { continue };
            let (index, place) = (route.index.to_string(), place.to_string());
            let entry = ["spec", "http", &index, "route", &place];
            operations.push(test(&[&entry[..], &["destination"]].concat(), destination.clone()));
            // It replaces a weight that is there.
            let path = PointerBuf::from_tokens(entry.into_iter().chain(["weight"]));
            operations.push(PatchOperation::Add(AddOperation { path, value: json!(weight) }));
        }
    }
    JsonPatch(operations)
}

/// The share of the traffic that a VirtualService sends to the destination that is `${percentage}`: the highest of its routes. None when
/// the step has no such destination.
pub(super) fn share(step: &VirtualService, object: &ObjectRef, found: &DynamicObject) -> Result<Option<u8>, String> {
    let Some(key) = share_key(step) else { return Ok(None) };
    let routes = routes::meant(step, object, found).map_err(|misfit| misfit.what)?;
    let shares = routes.iter().map(|route| {
        let share = route.share(key).and_then(|share| u8::try_from(share).ok());
        share.ok_or_else(|| {
            format!("the weights of {} of {object} are {}, which is no percentage", route.label, route.in_words())
        })
    });
    shares.collect::<Result<Vec<u8>, String>>().map(|all| all.into_iter().max())
}

/// What became of a change that was made.
pub(super) async fn drift(
    cluster: &Cluster,
    step: &VirtualService,
    vars: &BTreeMap<String, String>,
) -> Result<Option<Undone>, CallError> {
    let object = object_of(step);
    let now = match cluster.get_dynamic(&object).await {
        Err(e) if e.is_not_found() => return Ok(Some(Undone::deleted(&object))),
        other => other?,
    };
    let weights = match weights(step, vars) {
        Ok(weights) => weights,
        // No change was made with such a weight.
        Err(_) => return Ok(None),
    };
    let differences = match routes::meant(step, &object, &now) {
        Ok(routes) => {
            differences(&routes, &weights, |route| route.is_at(&weights) || below(step, route, &weights).is_some())
        }
        Err(misfit) => vec![Difference::Other(misfit.what)],
    };
    Ok((!differences.is_empty()).then(|| Undone::new(&now.metadata, &owned(), differences)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(version: &str, http: Value) -> DynamicObject {
        let value = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "ns", "uid": "u/1~2", "resourceVersion": version},
            "spec": {"hosts": ["shop"], "http": http},
        });
        serde_json::from_value(value).expect("an object")
    }

    fn step() -> VirtualService {
        let weights = [("new", "${percentage}"), ("old", "${rest}")];
        let template = |(key, text): (&str, &str)| (key.to_owned(), Template::parse(text).expect("a template"));
        VirtualService {
            namespace: "ns".to_owned(),
            name: "shop".to_owned(),
            weights: weights.map(template).into(),
            routes: Vec::new(),
        }
    }

    fn to(subset: &str) -> Value {
        json!({"destination": {"host": "shop", "subset": subset}})
    }

    #[test]
    fn a_patch_fits_only_what_was_read() {
        let mut first = to("old");
        first["weight"] = json!(100);
        let http = json!([{"redirect": {"uri": "/"}}, {"route": [first, to("new")], "timeout": "5s"}]);
        let read = shop("7", http.clone());
        let step = step();
        let object = object_of(&step);
        let routes = routes::meant(&step, &object, &read).unwrap_or_else(|e| panic!("{}", e.what));
        let weights = Weights::from([("new", 10), ("old", 90)]);
        let patch = patch(&read, &routes.iter().collect::<Vec<_>>(), &weights);

        let apply = |object: &DynamicObject| {
            let mut value = serde_json::to_value(object).expect("JSON");
            json_patch::patch(&mut value, &patch).map(|()| value)
        };
        let mut wanted = serde_json::to_value(&read).expect("JSON");
        wanted["spec"]["http"][1]["route"][0]["weight"] = json!(90);
        wanted["spec"]["http"][1]["route"][1]["weight"] = json!(10);
        assert_eq!(apply(&read).expect("it fits"), wanted);

        assert!(apply(&shop("8", http.clone())).is_err(), "another resourceVersion");
        let mut another = read.clone();
        another.metadata.uid = Some("other".to_owned());
        assert!(apply(&another).is_err(), "another object");
        let mut turned = http;
        turned[1]["route"].as_array_mut().expect("a list").reverse();
        assert!(apply(&shop("7", turned)).is_err(), "another order of the destinations");
    }
}
