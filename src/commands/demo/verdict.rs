//! What happened, told from the objects before and after, the daemon's status and the pages that arrived.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::engine::duration_in_words;

use super::cluster::share;
use super::receiver::Page;
use super::setting::{BAD, GOOD};
use super::status::Status;

/// The variables that a rollback may change.
const CHANGEABLE: [&str; 4] = ["NETWORKING_MODE", "ISTIO_PERCENTAGE", "EMERGENCY_ROLLBACK", "ROLLBACK_TIMESTAMP"];

/// The pages that have to arrive.
const PAGES: [&str; 3] = ["rollback.started", "rollback.succeeded", "rollback.verified"];

/// The two Deployments at one moment.
#[derive(Debug, Clone)]
pub struct Deployments {
    /// The one whose traffic gets bad.
    pub bad: Value,
    /// The one that stays well.
    pub good: Value,
}

/// The last line. The error is everything that is not as it should be.
pub fn last_line(before: &Deployments, after: &Deployments, status: &Status, pages: &[Page]) -> anyhow::Result<String> {
    let incident = status.guard(BAD)?.incident.as_ref().with_context(|| format!("{BAD} has no incident"))?;
    let (from, to) = (share(&before.bad), share(&after.bad));
    let percent = |share: Option<u8>| share.map_or("unknown".to_owned(), |share| format!("{share} %"));
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            wrong.push(otherwise);
        }
    };
    must(from > to, format!("the share of {BAD} went from {} to {}", percent(from), percent(to)));
    must(to == Some(incident.to_percentage), format!("the share of {BAD} is {}, not the target", percent(to)));
    must(
        unchangeable(&before.bad) == unchangeable(&after.bad),
        format!("more than the variables of the Deployment of {BAD} was changed"),
    );
    must(before.good == after.good, format!("the Deployment of {GOOD} was changed"));
    let good = status.guard(GOOD)?;
    must(good.incident.is_none() && good.state == "watching", format!("{GOOD} is {}", good.state));
    let verification = incident.verification.as_deref().unwrap_or("not done");
    must(verification == "recovered", format!("the verification is {verification}"));
    for event in PAGES {
        must(pages.iter().any(|page| page.event() == event), format!("the page {event} did not arrive"));
    }
    if !wrong.is_empty() {
        bail!("it did not happen as it should: {}", wrong.join("; "));
    }
    let held = incident.triggers.iter().map(|t| t.held_seconds).fold(0.0, f64::max);
    let held = duration_in_words(Duration::try_from_secs_f64(held).unwrap_or_default());
    let took = incident.completed_at.map(|done| done.duration_since(incident.opened_at));
    let took = duration_in_words(Duration::try_from(took.unwrap_or_default()).unwrap_or_default());
    Ok(format!(
        "Demo finished: {BAD} was rolled back {} -> {} after the errors had been observed for {held}, and its pods were replaced {took} \
         later; image and sidecar untouched; {GOOD} not touched, still at {}; recovery verified.",
        percent(from),
        percent(to),
        percent(share(&after.good)),
    ))
}

/// What of a Deployment no rollback may change: its whole spec but those variables.
fn unchangeable(deployment: &Value) -> Value {
    let mut spec = deployment["spec"].clone();
    for container in spec["template"]["spec"]["containers"].as_array_mut().into_iter().flatten() {
        if let Some(env) = container["env"].as_array_mut() {
            env.retain(|variable| !CHANGEABLE.iter().any(|name| variable["name"] == *name));
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::setting;
    use serde_json::json;

    fn set(deployment: &mut Value, container: usize, key: &str, value: Value) {
        deployment["spec"]["template"]["spec"]["containers"][container][key] = value;
    }

    fn env(share: &str) -> Value {
        json!([{"name": "LOG_LEVEL", "value": "info"}, {"name": "ISTIO_PERCENTAGE", "value": share}])
    }

    fn told(change: impl Fn(&mut Deployments, &mut Value)) -> anyhow::Result<String> {
        let objects = setting::objects();
        let mut before = Deployments { bad: objects[0].1.clone(), good: objects[1].1.clone() };
        set(&mut before.bad, 0, "env", env("25"));
        set(&mut before.good, 0, "env", env("25"));
        let mut after = before.clone();
        set(&mut after.bad, 0, "env", env("0"));
        let mut status = json!({"last_tick": null, "guards": [
            {"guard": GOOD, "state": "watching", "last_tick": null, "triggers": [], "incident": null},
            {"guard": BAD, "state": "rolled_back", "last_tick": null, "triggers": [], "incident": {
                "opened_at": "2026-01-02T03:04:05Z", "completed_at": "2026-01-02T03:04:38Z",
                "to_percentage": 0, "verification": "recovered",
                "triggers": [{"held_seconds": 300.0}], "steps": [], "timeline": [],
            }},
        ]});
        change(&mut after, &mut status);
        let page = |event: &&str| Page { key: String::new(), body: json!({"event": event}).to_string() };
        last_line(
            &before,
            &after,
            &serde_json::from_value(status).unwrap(),
            &PAGES.iter().map(page).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_last_line_says_what_happened() {
        assert_eq!(
            told(|_, _| ()).unwrap(),
            "Demo finished: terminal was rolled back 25 % -> 0 % after the errors had been observed for 5m0s, and its pods were replaced \
             33s later; image and sidecar untouched; db-adminer not touched, still at 25 %; recovery verified."
        );
    }

    #[test]
    fn what_is_not_as_it_should_be_is_said() {
        let wrong = |change: fn(&mut Deployments, &mut Value), words: &str| {
            let error = told(change).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        wrong(|after, _| set(&mut after.bad, 0, "env", env("25")), "from 25 % to 25 %");
        wrong(|after, _| set(&mut after.bad, 0, "image", Value::Null), "more than the variables");
        wrong(|after, _| set(&mut after.bad, 1, "name", json!("other")), "more than the variables");
        wrong(|after, _| set(&mut after.good, 0, "env", env("0")), "the Deployment of db-adminer was changed");
        wrong(|_, status| status["guards"][0]["state"] = json!("paused"), "db-adminer is paused");
        wrong(|_, status| status["guards"][1]["incident"]["verification"] = json!("cannot_see"), "cannot_see");
    }
}
