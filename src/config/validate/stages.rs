//! `stages`: other levels while the share is small.

use crate::config::field::{At, Field, List, Named};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::suggest;
use crate::engine::{Levels, Stage, TriggerSettings};

use super::levels::{Read, Threshold, Written};

/// Checks what concerns no trigger alone: the shares rise, and the triggers exist.
pub(super) fn check(stages: &Field<List<raw::Stage>>, triggers: Option<&Named<raw::Trigger>>, problems: &mut Problems) {
    let Some(list) = stages.value() else { return };
    let mut last: Option<u8> = None;
    for stage in list.given() {
        if let Some(up_to) = stage.value.up_to.required(&stage.path, "needs up_to, a share like 5%", problems) {
            let share = up_to.value.0;
            if let Some(before) = last.filter(|before| *before >= share) {
                problems.error(
                    &up_to.path,
                    format!("{share}% does not come after {before}%; write the stages by rising up_to, each once"),
                );
            }
            last = Some(share);
        }
        let missing = "needs triggers, like triggers: {error_rate: {above: 0.5%}}";
        let Some(levels) = stage.value.triggers.required(&stage.path, missing, problems) else {
            continue;
        };
        for (name, at) in levels.value.given() {
            let known: Vec<&str> = triggers.map(|t| t.0.keys().map(String::as_str).collect()).unwrap_or_default();
            if !known.contains(&name.as_str()) {
                let hint = suggest::hint(name, &known, "the triggers are");
                problems.error(&at.path, format!("there is no trigger {name:?}{hint}"));
            }
        }
    }
}

/// The stages of one trigger.
pub(super) fn of_trigger(
    stages: &Field<List<raw::Stage>>,
    trigger: &TriggerSettings,
    read: &Read,
    problems: &mut Problems,
) -> Option<Vec<Stage>> {
    let Some(list) = stages.value() else {
        return Some(Vec::new());
    };
    let mut out = Vec::new();
    let mut ok = true;
    for stage in list.given() {
        let entry = stage.value.triggers.value().and_then(|named| named.0.get(&trigger.name));
        let (Some(entry), Some(up_to)) = (entry, stage.value.up_to.value()) else {
            continue;
        };
        match entry.get().and_then(|at| levels(at, trigger.levels, read, problems)) {
            Some(levels) => out.push(Stage { up_to: up_to.0, levels }),
            None => ok = false,
        }
    }
    ok.then_some(out)
}

/// A trigger without levels has no stages, and none may name it.
pub(super) fn none(stages: &Field<List<raw::Stage>>, trigger: &str, problems: &mut Problems) -> Option<Vec<Stage>> {
    let list = stages.value().map(List::given).into_iter().flatten();
    let named: Vec<_> = list.filter_map(|stage| stage.value.triggers.value()?.0.get(trigger)?.get()).collect();
    for at in &named {
        problems.error(&at.path, "is a trigger with slo, which has no level for a stage; leave it out");
    }
    named.is_empty().then(Vec::new)
}

/// The levels of one trigger in one stage: what it does not say is as without the stage, except that a clear level that
/// would lie on the bad side of the stage's threshold becomes that threshold.
fn levels(at: &At<raw::StageLevels>, base: Levels, read: &Read, problems: &mut Problems) -> Option<Levels> {
    let written = Written::from(&at.value);
    let rule = read.rule;
    let (threshold, said) = match written.threshold(&at.path, problems) {
        Threshold::Several => return None,
        Threshold::None if at.value.has_unknown_keys => return None,
        Threshold::None if written.clear_below.is_missing() && written.clear_above.is_missing() => {
            problems.error(&at.path, format!("says nothing; write {} or a clear level", rule.key.name()));
            return None;
        }
        Threshold::None => ((base.threshold, read.unit), "as without the stage".to_owned()),
        Threshold::One(key, field) => {
            let field = field.get()?;
            if key != rule.key {
                let wanted = rule.key.name();
                problems.error(&field.path, format!("the trigger is written with {wanted}; write {wanted} here too"));
                return None;
            }
            let threshold = rule.parse(field, problems)?;
            if threshold.1 != read.unit {
                problems.error(
                    &field.path,
                    format!("{} is in another unit than the trigger's {}", field.value, key.name()),
                );
                return None;
            }
            (threshold, field.value.to_string())
        }
    };
    let clear = match rule.clear(&written, threshold, &said, problems)? {
        Some(clear) => clear,
        None if rule.may_clear(base.clear, threshold.0) => base.clear,
        None => threshold.0,
    };
    Some(Levels { threshold: threshold.0, clear })
}
