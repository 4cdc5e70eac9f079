//! `virtual_service`: the weights of its destinations.

use std::collections::BTreeMap;

use crate::config::VirtualService;
use crate::config::field::{AnyText, At, Field, Named, Texts};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::template::{BUILT_IN, Template};

use super::names;
use super::steps::name;
use super::vars::Vars;

/// The percentages at which weights are tried out: the ends, their neighbours, and one that no rounding hides.
const TRIED: [u8; 5] = [0, 1, 37, 99, 100];

/// The built-in variables that make a weight.
const IN_A_WEIGHT: [&str; 3] = ["guard", "percentage", "rest"];

/// What all weights of a route come to.
const WHOLE: u32 = 100;

/// Validates a `virtual_service`.
pub(super) fn virtual_service(
    at: &At<raw::VirtualService>,
    vars: &Vars,
    problems: &mut Problems,
) -> Option<VirtualService> {
    let s = &at.value;
    let namespace = name(&s.namespace, "namespace", &at.path, names::label, vars, problems);
    let object = name(&s.name, "name", &at.path, names::subdomain, vars, problems);
    let missing =
        "needs weights, what each destination gets, like weights: {istio: \"${percentage}\", ingress: \"${rest}\"}";
    let weights = s.weights.required(&at.path, missing, problems).and_then(|at| weights(at, vars, problems));
    let routes = routes(&s.routes, vars, problems);
    Some(VirtualService { namespace: namespace?, name: object?, weights: weights?, routes: routes? })
}

fn weights(at: &At<Named<AnyText>>, vars: &Vars, problems: &mut Problems) -> Option<BTreeMap<String, Template>> {
    let named = &at.value.0;
    if named.len() < 2 {
        let message = format!(
            "has {}; write one for each destination, like {{istio: \"${{percentage}}\", ingress: \"${{rest}}\"}}",
            if named.is_empty() { "no entries" } else { "one entry, which would always get everything" }
        );
        problems.error(&at.path, message);
        return None;
    }
    let mut out = BTreeMap::new();
    for (key, entry) in at.value.given() {
        let destination = vars.render(&entry.path, key, problems);
        let destination = destination.filter(|d| problems.take(&entry.path, names::destination(d)).is_some());
        let template = problems.take(&entry.path, weight(&entry.value.0, vars));
        let (Some(destination), Some(template)) = (destination, template) else { continue };
        if out.insert(destination.clone(), template).is_some() {
            problems.error(&entry.path, format!("is {destination} like another entry; keep one"));
        }
    }
    // With one missing, the sum says nothing; with a variable that is wrong, no weight does.
    if out.len() < named.len() {
        return None;
    }
    if !out.values().any(|template| vars.has_wrong(template)) {
        problems.take(&at.path, check_sum(&out, vars))?;
    }
    Some(out)
}

/// One weight: a whole number from 0 to 100 at every percentage.
fn weight(text: &str, vars: &Vars) -> Result<Template, String> {
    let template = vars.parse(text)?;
    let other = template.variables().find(|name| BUILT_IN.contains(name) && !IN_A_WEIGHT.contains(name));
    if let Some(name) = other {
        return Err(format!(
            "${{{name}}} makes no weight; use ${{percentage}}, ${{rest}} and the guard's own variables"
        ));
    }
    if vars.has_wrong(&template) {
        return Ok(template);
    }
    for percentage in TRIED {
        let text = template.render(&vars.at(percentage));
        if number(&text).is_none() {
            return Err(format!(
                "is {text:?} at {percentage} %; a weight is a whole number from 0 to {WHOLE}, like \"${{percentage}}\""
            ));
        }
    }
    Ok(template)
}

fn check_sum(weights: &BTreeMap<String, Template>, vars: &Vars) -> Result<(), String> {
    for percentage in TRIED {
        let values = vars.at(percentage);
        let texts: Vec<String> = weights.values().map(|template| template.render(&values)).collect();
        let sum: u32 = texts.iter().filter_map(|text| number(text)).sum();
        if sum != WHOLE {
            return Err(format!(
                "at {percentage} % the weights are {}, which adds up to {sum} and not to {WHOLE}; write ${{percentage}} for one \
                 destination and ${{rest}} for the other",
                texts.join(" + ")
            ));
        }
    }
    Ok(())
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|n| *n <= WHOLE)
}

/// The names of routes. Istio lets them hold anything.
fn routes(field: &Field<Texts>, vars: &Vars, problems: &mut Problems) -> Option<Vec<String>> {
    let list = match field {
        Field::Missing => return Some(Vec::new()),
        Field::Wrong => return None,
        Field::Given(at) => &at.value.0.0,
    };
    if list.is_empty() {
        problems.error(&field.get()?.path, "is empty; name the http routes that are meant, or leave the key out");
        return None;
    }
    let mut out: Vec<String> = Vec::new();
    for at in list.iter().filter_map(Field::get) {
        let Some(name) = vars.render(&at.path, &at.value, problems) else { continue };
        if out.contains(&name) {
            problems.error(&at.path, format!("{name:?} is there twice; keep one"));
        }
        out.push(name);
    }
    (out.len() == list.len()).then_some(out)
}
