//! The http routes of a VirtualService that a step is about.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

use crate::config::VirtualService;
use crate::engine::{Difference, Held};

use super::object::ObjectRef;

/// What all weights of a route come to.
pub(super) const WHOLE: i64 = 100;

/// A weight for each keyed destination.
pub(super) type Weights<'s> = BTreeMap<&'s str, i64>;

/// An http route in which every keyed destination stands once, and nothing else that gets traffic.
pub(super) struct Route<'o> {
    /// Its place among the http routes.
    pub(super) index: usize,
    /// Its name, or its place, for a person.
    pub(super) label: String,
    entries: &'o [Value],
    /// The place of each keyed destination.
    places: BTreeMap<&'o str, usize>,
}

/// Why a VirtualService does not fit a step.
pub(super) struct Misfit {
    /// What is there.
    pub(super) what: String,
    /// What to do.
    advice: &'static str,
}

impl Misfit {
    fn new(what: String, advice: &'static str) -> Self {
        Self { what, advice }
    }

    /// The error of a step that is not carried out.
    pub(super) fn as_refusal(&self) -> String {
        format!("{}; nothing was changed. {}", self.what, self.advice)
    }
}

/// The routes that the step is about; at least one.
pub(super) fn meant<'o>(
    step: &'o VirtualService,
    object: &ObjectRef,
    found: &'o DynamicObject,
) -> Result<Vec<Route<'o>>, Misfit> {
    let http = list(&found.data["spec"]["http"]);
    if http.is_empty() {
        let advice = "Weights are set on http routes: correct the name in the step, or give the VirtualService one";
        return Err(Misfit::new(format!("{object} has no http routes"), advice));
    }
    let name = |route: &'o Value| route["name"].as_str();
    if let Some(missing) = step.routes.iter().find(|wanted| !http.iter().any(|r| name(r) == Some(wanted.as_str()))) {
        let what = format!("{object} has no http route named {missing} ({})", overview(http));
        return Err(Misfit::new(what, "Correct routes in the step"));
    }
    let mut routes = Vec::new();
    for (index, route) in http.iter().enumerate() {
        let named = name(route).is_some_and(|name| step.routes.iter().any(|wanted| wanted == name));
        if named || step.routes.is_empty() {
            routes.extend(fit(step, object, index, route, named)?);
        }
    }
    if routes.is_empty() {
        let keys: Vec<&str> = step.weights.keys().map(String::as_str).collect();
        let what =
            format!("{object} has no http route with all of the destinations {} ({})", keys.join(", "), overview(http));
        let advice = "Write the keys of weights as the VirtualService has its subsets or hosts";
        return Err(Misfit::new(what, advice));
    }
    Ok(routes)
}

/// A route, if it fits the step. One that is not named and has not all destinations is another's.
fn fit<'o>(
    step: &'o VirtualService,
    object: &ObjectRef,
    index: usize,
    route: &'o Value,
    named: bool,
) -> Result<Option<Route<'o>>, Misfit> {
    let label = label(index, route);
    let entries = list(&route["route"]);
    let place = |key: &str| entries.iter().position(|entry| means(key, entry));
    if let Some(missing) = step.weights.keys().find(|key| place(key).is_none()) {
        if !named {
            return Ok(None);
        }
        let what =
            format!("the http route {label} of {object} has no destination {missing} (it has {})", in_words(entries));
        return Err(Misfit::new(what, "Write the keys of weights as the VirtualService has its subsets or hosts"));
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for key in step.weights.keys() {
        let meant: Vec<usize> = (0..entries.len()).filter(|place| means(key, &entries[*place])).collect();
        if meant.len() > 1 {
            let what = format!(
                "{key} means {} destinations of the http route {label} of {object} (it has {})",
                meant.len(),
                in_words(entries)
            );
            return Err(Misfit::new(what, "Name each destination by what only it has, its subset or its host"));
        }
        if let Some((other, _)) = places.iter().find(|(_, place)| meant.contains(*place)) {
            let what = format!(
                "{other} and {key} mean the same destination of the http route {label} of {object} (it has {})",
                in_words(entries)
            );
            return Err(Misfit::new(what, "Name each destination once, by its subset or its host"));
        }
        places.extend(meant.first().map(|place| (key.as_str(), *place)));
    }
    let others = (0..entries.len()).filter(|place| !places.values().any(|keyed| keyed == place));
    if let Some(other) = others.into_iter().find(|place| weight(entries, *place) != Some(0)) {
        let what = format!(
            "the http route {label} of {object} sends traffic to {} too, so that the weights would not add up to {WHOLE}",
            destination(entries, other)
        );
        return Err(Misfit::new(what, "Give that destination the weight 0, or a key of weights"));
    }
    Ok(Some(Route { index, label, entries, places }))
}

impl Route<'_> {
    /// The place of a keyed destination, and the destination.
    pub(super) fn destination(&self, key: &str) -> Option<(usize, &Value)> {
        let place = *self.places.get(key)?;
        Some((place, &self.entries[place]["destination"]))
    }

    /// Whether it has these weights.
    pub(super) fn is_at(&self, weights: &Weights<'_>) -> bool {
        self.others_than(weights).next().is_none()
    }

    /// The part of its traffic that a keyed destination gets. Istio takes weights that add up to something else too: then it is none.
    pub(super) fn share(&self, key: &str) -> Option<i64> {
        let all: Option<i64> = (0..self.entries.len()).map(|place| weight(self.entries, place)).sum();
        all.filter(|sum| *sum == WHOLE)?;
        weight(self.entries, *self.places.get(key)?)
    }

    /// What a change to these weights does, for a person.
    pub(super) fn changes(&self, weights: &Weights<'_>) -> Vec<String> {
        let change = |(key, place, weight)| format!("{} {key}: {} -> {weight}", self.label, shown(self.entries, place));
        self.others_than(weights).map(change).collect()
    }

    /// What it has in place of these weights, for a person.
    pub(super) fn differences(&self, weights: &Weights<'_>) -> Vec<Difference> {
        let differs = |(key, place, weight): (&str, usize, i64)| Difference::Is {
            field: format!("{} {key}", self.label),
            is: Held::Text(shown(self.entries, place)),
            not: weight.to_string(),
        };
        self.others_than(weights).map(differs).collect()
    }

    /// Its destinations with their weights, for a person.
    pub(super) fn in_words(&self) -> String {
        in_words(self.entries)
    }

    /// The keys whose weights are others, with their places and the weights wanted.
    fn others_than<'w>(&self, weights: &Weights<'w>) -> impl Iterator<Item = (&'w str, usize, i64)> {
        let wanted = weights.iter().filter_map(|(key, weight)| Some((*key, *self.places.get(key)?, *weight)));
        wanted.filter(|(_, place, wanted)| weight(self.entries, *place) != Some(*wanted))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn label(index: usize, route: &Value) -> String {
    route["name"].as_str().map_or_else(|| format!("http[{index}]"), str::to_owned)
}

/// Whether a key means a destination: it is its subset or its host, to the letter.
fn means(key: &str, entry: &Value) -> bool {
    let destination = &entry["destination"];
    ["subset", "host"].into_iter().any(|field| destination[field].as_str() == Some(key))
}

/// The weight of a destination. One that is not written is everything for a destination alone, and nothing among several; that is
/// Istio's rule. None for what is no whole number.
fn weight(entries: &[Value], place: usize) -> Option<i64> {
    match &entries[place]["weight"] {
        Value::Null => Some(if entries.len() == 1 { WHOLE } else { 0 }),
        written => written.as_i64(),
    }
}

fn shown(entries: &[Value], place: usize) -> String {
    weight(entries, place).map_or_else(|| entries[place]["weight"].to_string(), |weight| weight.to_string())
}

/// A destination with its weight: `reviews/v1 = 25`.
fn destination(entries: &[Value], place: usize) -> String {
    let destination = &entries[place]["destination"];
    let host = destination["host"].as_str().unwrap_or("(no host)");
    let subset = destination["subset"].as_str().map(|subset| format!("/{subset}")).unwrap_or_default();
    format!("{host}{subset} = {}", shown(entries, place))
}

fn in_words(entries: &[Value]) -> String {
    if entries.is_empty() {
        return "no destination".to_owned();
    }
    (0..entries.len()).map(|place| destination(entries, place)).collect::<Vec<_>>().join(", ")
}

/// All http routes with their destinations, for a person.
fn overview(http: &[Value]) -> String {
    let routes = http
        .iter()
        .enumerate()
        .map(|(index, route)| format!("{} with {}", label(index, route), in_words(list(&route["route"]))));
    format!("its routes: {}", routes.collect::<Vec<_>>().join("; "))
}
