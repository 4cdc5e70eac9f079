//! Whether a rollback would work, as it is tried every few minutes. A rollback that would fail tonight pages this afternoon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::action::{Action, Event, Next, Notification, Record, Severity};
use super::super::beginning::Beginning;
use super::super::incident;
use super::super::input::{Problem, ReadinessReport};
use super::super::language::Language;
use super::super::telling::{self, Said, Words};
use super::super::words;
use super::{Guard, GuardState, Rules};

/// What is known of whether a rollback would work.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Readiness {
    /// When it was last tried; never, where absent.
    pub checked_at: Option<Timestamp>,
    /// Why it would not; empty when it would.
    pub problems: Vec<Problem>,
    /// What is worth a look all the same.
    pub warnings: Vec<String>,
    /// The story of not being ready, once it was told.
    pub told: Option<Unready>,
}

/// A story of not being ready that people were told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unready {
    id: String,
    pages: u32,
    #[serde(default, skip_serializing_if = "Beginning::is_unknown")]
    beginning: Beginning,
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
        let problems_before = std::mem::take(&mut self.readiness.problems);
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
                detail: if ready {
                    self.readiness.warnings.join("; ")
                } else {
                    telling::problems(&self.readiness.problems)
                },
            }));
        }
        if ready {
            if let Some(mut story) = self.readiness.told.take() {
                actions.push(Action::Journal);
                let page = story.page(self.name(), Event::WatchdogReady, &Said::Ready, now, rules);
                actions.push(Action::Notify(page));
            }
            return actions;
        }
        // A problem is believed when two tries in a row have met it: an API server that is being restarted fails once.
        let believed = |problem: &&Problem| problems_before.iter().any(|before| before.step == problem.step);
        let known = self.readiness.told.as_ref().map(|story| story.steps.as_slice()).unwrap_or_default();
        let news = self.readiness.problems.iter().filter(believed).any(|problem| !known.contains(&problem.step));
        if !news || self.state == GuardState::Paused {
            return actions;
        }
        let mut story = self.readiness.told.take().unwrap_or_else(|| Unready {
            id: incident::id(&format!("watchdog-not-ready-{}", self.name()), now),
            pages: 0,
            beginning: Beginning::default(),
            steps: Vec::new(),
        });
        story.steps = self.readiness.problems.iter().filter(believed).map(|problem| problem.step.clone()).collect();
        let said = Said::NotReady { problems: self.readiness.problems.clone() };
        let page = story.page(self.name(), Event::WatchdogNotReady, &said, now, rules);
        self.readiness.told = Some(story);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions
    }
}

impl Unready {
    fn page(&mut self, guard: &str, event: Event, said: &Said, now: Timestamp, rules: Rules) -> Notification {
        self.pages += 1;
        let Words { summary, advice } = said.words(guard, Language::English);
        let mut page = Notification {
            id: format!("{}.{}", self.id, self.pages),
            event,
            severity: Severity::Critical,
            time: now,
            guard: Some(guard.to_owned()),
            guards: Vec::new(),
            incident: Some(self.id.clone()),
            summary,
            advice,
            trigger: None,
            rollback: None,
            next: (event == Event::WatchdogNotReady).then_some(Next::Tell),
            opening: None,
            settles: Vec::new(),
            dry_run: rules.dry_run,
            chinese: said.in_chinese(guard, None),
        };
        self.beginning.of_story(&mut page);
        page
    }

    /// The guard is no longer configured: what was told of it ends.
    pub fn end(mut self, guard: &str, now: Timestamp, rules: Rules) -> Action {
        Action::Notify(self.page(guard, Event::WatchdogReady, &Said::NotTried, now, rules))
    }
}
