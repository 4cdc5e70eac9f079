//! `rollback`: where to, and how long each part may take.

use std::time::Duration;

use crate::config::defaults;
use crate::config::field::{At, Field, List, Percentage};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::say;
use crate::engine::{RollbackSettings, TriggerAction, TriggerSettings};

/// What a guard's `rollback` says.
pub(super) struct Rollback {
    /// What the engine knows of it; its steps are put in by the caller.
    pub(super) engine: RollbackSettings,
    /// How long a rollout may take.
    pub(super) rollout_timeout: Duration,
}

/// Validates a guard's rollback.
pub(super) fn rollback(field: &Field<raw::Rollback>, guard: &Path, problems: &mut Problems) -> Option<Rollback> {
    let path = field.get().map_or_else(|| guard.key("rollback"), |at| at.path.clone());
    let written = match field {
        Field::Wrong => return None,
        Field::Missing => raw::Rollback::default(),
        Field::Given(at) => at.value.clone(),
    };
    let percentages = percentages(&written, &path, problems);
    let rollout_timeout = written.rollout_timeout.or_default(defaults::ROLLOUT_TIMEOUT);
    if let Some(at) = written.rollout_timeout.get().filter(|at| at.value.is_zero()) {
        problems.error(&at.path, "0s is too short; write how long a rollout may take, like 180s");
    }
    let within = match &written.verify {
        Field::Missing => Some(defaults::VERIFY_WITHIN),
        Field::Wrong => None,
        Field::Given(at) => at.value.within.or_default(defaults::VERIFY_WITHIN),
    };
    let drift_watch = written.drift_watch.or_default(defaults::DRIFT_WATCH);
    Some(Rollback {
        engine: RollbackSettings {
            percentages: percentages?,
            verify_within: within?,
            drift_watch: drift_watch?,
            steps: Vec::new(),
        },
        rollout_timeout: rollout_timeout?,
    })
}

fn percentages(written: &raw::Rollback, path: &Path, problems: &mut Problems) -> Option<Vec<u8>> {
    match (&written.percentage, &written.percentages) {
        (Field::Missing, Field::Missing) => Some(vec![defaults::ROLLBACK_PERCENTAGE]),
        (Field::Given(one), Field::Missing) => Some(vec![one.value.0]),
        (Field::Missing, Field::Given(ladder)) => rungs(ladder, problems),
        (Field::Wrong, Field::Missing) | (Field::Missing, Field::Wrong) => None,
        _ => {
            problems.error(path, "has both percentage and percentages; keep one");
            None
        }
    }
}

fn rungs(ladder: &At<List<Percentage>>, problems: &mut Problems) -> Option<Vec<u8>> {
    let rungs: Vec<u8> = ladder.value.given().map(|at| at.value.0).collect();
    if ladder.value.0.is_empty() {
        problems.error(&ladder.path, "is an empty ladder; write falling percentages, like [10, 0]");
        return None;
    }
    if rungs.len() < ladder.value.0.len() {
        return None;
    }
    if !rungs.is_sorted_by(|a, b| a > b) {
        let said: Vec<String> = rungs.iter().map(u8::to_string).collect();
        problems.error(
            &ladder.path,
            format!("[{}] does not fall; write each rung below the one before, like [10, 0]", said.join(", ")),
        );
        return None;
    }
    Some(rungs)
}

/// Checks that a rollback can be verified in its time.
pub(super) fn check_verify(
    field: &Field<raw::Rollback>,
    guard: &Path,
    within: Duration,
    triggers: &[TriggerSettings],
    problems: &mut Problems,
) {
    let written = field.value().and_then(|r| r.verify.value()).and_then(|v| v.within.get());
    let place = written.map_or(guard, |at| &at.path);
    let said = match written {
        Some(_) => say(within),
        None => format!("rollback.verify.within ({} unless written)", say(within)),
    };
    let measured = || triggers.iter().filter(|t| t.action == TriggerAction::Rollback && !t.window.is_zero());
    let shortest = measured().min_by_key(|t| t.confirm_window.unwrap_or(t.window));
    if let Some(t) = shortest.filter(|t| t.confirm_window.unwrap_or(t.window) > within) {
        let window = t.confirm_window.unwrap_or(t.window);
        problems.error(
            place,
            format!(
                "{said} is shorter than the shortest window there is to see by ({} of trigger {}), so that no \
                    rollback could ever be verified; write at least that",
                say(window),
                t.name
            ),
        );
        return;
    }
    if let Some(t) = measured().max_by_key(|t| t.window).filter(|t| t.window > within) {
        problems.warn(
            place,
            format!(
                "{said} is shorter than the window of trigger {} ({}): only data younger than the change counts, so \
                    it may be verified by its confirm window alone or not at all",
                t.name,
                say(t.window)
            ),
        );
    }
}
