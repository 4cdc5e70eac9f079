//! Whether a rollback would work, as it is tried every few minutes. A rollback that would fail tonight pages this afternoon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::action::{Action, Event, Notification, Record, Severity};
use super::super::incident;
use super::super::input::{Problem, ReadinessReport};
use super::super::words;
use super::{Guard, GuardState, Rules};

/// A problem is believed when this many tries in a row have met one: an API server that is being restarted fails once.
const TRIES_TO_BELIEVE: u32 = 2;

/// Problems that a page names; the rest is counted.
const NAMED: usize = 4;

/// What is known of whether a rollback would work.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Readiness {
    /// When it was last tried; never, where absent.
    pub checked_at: Option<Timestamp>,
    /// Why it would not; empty when it would.
    pub problems: Vec<Problem>,
    /// What is worth a look all the same.
    pub warnings: Vec<String>,
    /// Tries in a row that met a problem.
    failing: u32,
    /// The story of not being ready, once it was told.
    pub told: Option<Unready>,
}

/// A story of not being ready that people were told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unready {
    id: String,
    pages: u32,
    /// The steps that were named.
    steps: Vec<String>,
}

impl Readiness {
    /// What is known when an engine goes on from a memory: only what was told.
    pub fn recall(told: Option<Unready>) -> Self {
        Self { told, ..Self::default() }
    }

    /// Whether a rollback would work; `None` when that was not tried yet.
    pub fn ready(&self) -> Option<bool> {
        self.checked_at.map(|_| self.problems.is_empty())
    }
}

impl Guard {
    /// What came of trying whether a rollback would work.
    pub fn readiness(&mut self, report: ReadinessReport, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == GuardState::RollingBack || self.shift.is_some() {
            actions.push(self.ignored("whether a rollback would work says nothing while traffic is being moved"));
            return actions;
        }
        let before = (self.readiness.ready(), std::mem::take(&mut self.readiness.warnings));
        self.readiness.checked_at = Some(now);
        self.readiness.problems = report
            .problems
            .into_iter()
            .map(|problem| Problem { error: words::bounded(&problem.error), ..problem })
            .collect();
        self.readiness.warnings = report.warnings.iter().map(|warning| words::bounded(warning)).collect();
        let ready = self.readiness.problems.is_empty();
        if before != (Some(ready), self.readiness.warnings.clone()) {
            actions.push(Action::Record(Record::Readiness {
                guard: self.name().to_owned(),
                ready,
                detail: if ready { self.readiness.warnings.join("; ") } else { named(&self.readiness.problems) },
            }));
        }
        if ready {
            self.readiness.failing = 0;
            if let Some(mut story) = self.readiness.told.take() {
                let summary = format!("{}: a rollback would work again", self.name());
                actions.push(Action::Journal);
                actions.push(Action::Notify(self.about_readiness(
                    &mut story,
                    Event::WatchdogReady,
                    summary,
                    "Nothing.",
                    now,
                    rules,
                )));
            }
            return actions;
        }
        self.readiness.failing = self.readiness.failing.saturating_add(1);
        let known = self.readiness.told.as_ref().map(|story| story.steps.as_slice()).unwrap_or_default();
        let news = self.readiness.problems.iter().any(|problem| !known.contains(&problem.step));
        if !news || self.readiness.failing < TRIES_TO_BELIEVE || self.state == GuardState::Paused {
            return actions;
        }
        let mut story = self.readiness.told.take().unwrap_or_else(|| Unready {
            id: incident::id(&format!("watchdog-not-ready-{}", self.name()), now),
            pages: 0,
            steps: Vec::new(),
        });
        story.steps = self.readiness.problems.iter().map(|problem| problem.step.clone()).collect();
        let summary = format!("{}: a rollback would FAIL now: {}", self.name(), named(&self.readiness.problems));
        let page = self.about_readiness(
            &mut story,
            Event::WatchdogNotReady,
            summary,
            "Mend what the error says before the night: until then this guard is not protected. ripcord preflight tries it again at once.",
            now,
            rules,
        );
        self.readiness.told = Some(story);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions
    }

    fn about_readiness(
        &self,
        story: &mut Unready,
        event: Event,
        summary: String,
        advice: &str,
        now: Timestamp,
        rules: Rules,
    ) -> Notification {
        story.pages += 1;
        Notification {
            id: format!("{}.{}", story.id, story.pages),
            event,
            severity: Severity::Critical,
            time: now,
            guard: Some(self.name().to_owned()),
            guards: Vec::new(),
            incident: Some(story.id.clone()),
            summary,
            advice: advice.to_owned(),
            trigger: None,
            rollback: None,
            dry_run: rules.dry_run,
        }
    }
}

/// The first few problems, and how many more there are.
fn named(problems: &[Problem]) -> String {
    let first = problems.iter().take(NAMED).map(|problem| format!("{}: {}", problem.step, problem.error));
    let mut text = first.collect::<Vec<_>>().join("; ");
    if problems.len() > NAMED {
        text.push_str(&format!("; and {} more", problems.len() - NAMED));
    }
    text
}
