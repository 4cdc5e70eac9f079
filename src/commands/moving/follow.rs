//! What comes of a move, as the daemon tells it: line by line while it goes on, and how it ended.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Daemon;
use crate::commands::Failure;
use crate::commands::control::{NOT_KNOWN, call};
use crate::commands::say;

use super::{Component, Order};

/// The time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Failed attempts after which nobody waits any more: what fails for a passing reason has worked by then.
const ATTEMPTS_TO_FOLLOW: u64 = 3;

/// Looks in a row that may fail: a daemon that is restarted, or hands over, is back by then.
const FAILED_LOOKS: u32 = 40;

/// One component's story.
pub struct Story {
    /// The component.
    pub component: String,
    /// How far it has come.
    pub ending: Ending,
    /// The incident, as the daemon shows it.
    incident: Value,
    /// The lines that were shown.
    shown: HashSet<String>,
    /// The attempt that it was first seen at.
    first_attempt: Option<u64>,
    /// Looks in a row that did not find it.
    missed: u32,
}

/// How a story ended, or will.
pub enum Ending {
    /// It goes on; the incident's id.
    Open(String),
    /// Everything is changed and rolled out.
    Done,
    /// There was nothing to do.
    There(String),
    /// The daemon does not know of it any more.
    Lost,
    /// It was not begun, for this reason.
    Refused(String),
    /// It fails and is tried again.
    Failing(String),
    /// It failed, and that is the end of it.
    Failed(String),
}

/// Asks for the move of each component, one right after the other: they are carried out side by side.
pub async fn ask(daemon: &Daemon, order: &Order, components: &[Component]) -> Vec<Story> {
    let mut body = json!({"reason": order.reason});
    if let Some(percentage) = order.percentage {
        body["percentage"] = json!(percentage);
    }
    if order.force {
        body["force"] = json!(true);
    }
    let mut stories = Vec::new();
    for component in components {
        let path = ["api", "v1", "guards", component.name.as_str(), order.command];
        if order.command == "shift" && !order.force && component.share.as_ref().ok() == component.target.as_ref() {
            let there = Ending::There(format!("at {} % already", order.percentage.unwrap_or_default()));
            stories.push(Story::new(&component.name, there));
            continue;
        }
        let ending = match call(daemon, &path, Some(body.clone())).await {
            Ok(answer) => match answer["incident"].as_str() {
                Some(id) => Ending::Open(id.to_owned()),
                None => Ending::Refused("the daemon did not say what came of it: see ripcord status".to_owned()),
            },
            Err(Failure::BadInput(why)) => Ending::Refused(why),
            Err(Failure::Failed(error)) if error.to_string().starts_with(NOT_KNOWN) => Ending::Lost,
            Err(Failure::Failed(error)) => {
                Ending::Refused(format!("{error:#}").trim_start_matches("Ripcord refused: ").to_owned())
            }
        };
        // Why stands in the report, which comes when the others are done.
        if matches!(ending, Ending::Refused(_)) && components.len() > 1 {
            say(&format!("{}: refused", component.name));
        }
        stories.push(Story::new(&component.name, ending));
    }
    stories
}

/// Shows what happens until each story has ended, or fails for good or for long.
pub async fn follow(daemon: &Daemon, mut stories: Vec<Story>) -> Vec<Story> {
    let mut failed_looks = 0;
    while stories.iter().any(|story| matches!(story.ending, Ending::Open(_))) {
        match call(daemon, &["api", "v1", "incidents"], None).await {
            Ok(incidents) => {
                failed_looks = 0;
                for story in &mut stories {
                    story.look(&incidents);
                }
            }
            Err(error) => {
                failed_looks += 1;
                if failed_looks > FAILED_LOOKS {
                    match error {
                        Failure::BadInput(why) => say(&why),
                        Failure::Failed(error) => say(&format!("{error:#}")),
                    }
                    break;
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    stories
}

impl Story {
    fn new(component: &str, ending: Ending) -> Self {
        let (incident, shown) = (Value::Null, HashSet::new());
        Self { component: component.to_owned(), ending, incident, shown, first_attempt: None, missed: 0 }
    }

    fn look(&mut self, incidents: &Value) {
        let Ending::Open(id) = &self.ending else { return };
        let Some(incident) = incidents.as_array().into_iter().flatten().find(|i| i["id"] == id.as_str()) else {
            self.missed += 1;
            if self.missed > FAILED_LOOKS {
                self.ending = Ending::Lost;
            }
            return;
        };
        self.missed = 0;
        for line in incident["timeline"].as_array().into_iter().flatten() {
            let text = line["text"].as_str().unwrap_or_default();
            if self.shown.insert(format!("{} {text}", line["time"])) {
                let named = format!("{}: ", self.component);
                say(&format!("{named}{}", text.strip_prefix(&named).unwrap_or(text)));
            }
        }
        self.incident = incident.clone();
        let error = incident["error"].as_str().map(str::to_owned);
        let closed = !incident["closed_at"].is_null();
        let attempt = incident["attempt"].as_u64().unwrap_or(0);
        if !incident["completed_at"].is_null() {
            self.ending = Ending::Done;
        } else if closed {
            self.ending = Ending::Failed(error.unwrap_or_else(|| "it was given up".to_owned()));
        } else if let Some(error) =
            error.filter(|_| attempt >= *self.first_attempt.get_or_insert(attempt) + ATTEMPTS_TO_FOLLOW)
        {
            self.ending = Ending::Failing(error);
        }
    }

    /// Whether everything is changed and rolled out.
    pub fn is_done(&self) -> bool {
        matches!(self.ending, Ending::Done | Ending::There(_))
    }

    /// One line for a person.
    pub fn in_words(&self, command: &str) -> String {
        let name = &self.component;
        let done = if command == "rollback" { "rolled back" } else { "shifted" };
        match &self.ending {
            Ending::Done => {
                let from = self.incident["from_percentage"].as_u64().map_or("?".to_owned(), |share| share.to_string());
                let changed = |s: &Value| s["result"] == "changed";
                if self.incident["steps"].as_array().into_iter().flatten().any(changed) {
                    format!("{name}: {done} {from} % -> {} %", self.incident["to_percentage"])
                } else {
                    format!(
                        "{name}: every step is at {} %, and there was nothing left to change",
                        self.incident["to_percentage"]
                    )
                }
            }
            Ending::There(text) => format!("{name}: {text}"),
            Ending::Open(_) | Ending::Lost => {
                format!("{name}: NOT KNOWN: it was not followed to its end; see ripcord status")
            }
            Ending::Refused(why) => format!("{name}: REFUSED: {why}"),
            Ending::Failing(error) | Ending::Failed(error) => format!("{name}: FAILED: {error}"),
        }
    }

    /// The same for a script.
    pub fn json(&self) -> Value {
        let (result, error) = match &self.ending {
            Ending::Done | Ending::There(_) => ("done", None),
            Ending::Open(_) | Ending::Lost => ("unknown", None),
            Ending::Refused(why) => ("refused", Some(why)),
            Ending::Failing(error) => ("failing", Some(error)),
            Ending::Failed(error) => ("failed", Some(error)),
        };
        let incident = &self.incident;
        json!({
            "component": self.component, "result": result, "error": error, "incident": incident["id"],
            "from_percentage": incident["from_percentage"], "to_percentage": incident["to_percentage"], "steps": incident["steps"],
            "started_at": incident["opened_at"], "completed_at": incident["completed_at"],
        })
    }
}
