//! What a page says, in English.

use std::collections::BTreeMap;

use super::super::assessment::Assessment;
use super::super::drift::Drift;
use super::super::input::Problem;
use super::super::settings::Measure;
use super::super::words;
use super::{Cause, Gone, Measured, Movement, NAMED, NAMED_PROBLEMS, Said, TooOld, Unseen, some};

/// One line that says all that matters.
pub(super) fn summary(said: &Said, guard: &str) -> String {
    match said {
        Said::RollbackStarted { cause: why, way } => {
            format!("{guard}: {}, rolling back {}", cause(why), movement(*way))
        }
        Said::WouldHaveRolledBack { way } => {
            format!("{guard}: would have been rolled back {}; nothing was changed", movement(*way))
        }
        Said::RolledBack { way, took } => {
            format!("{guard}: rolled back {} in {}; checking whether it helped", movement(*way), words::duration(*took))
        }
        Said::FoundThere { to } => format!(
            "{guard}: every step was found at {to} % already, changed by an earlier attempt or by somebody else; checking whether it helped"
        ),
        Said::WasThere { to } => format!("{guard}: every step was at {to} % already; nothing was changed"),
        Said::RollbackFails { way, accepted, error } => {
            // Where every change is accepted the traffic moves as pods become ready, and only the rollout fails.
            let what = if *accepted { "is accepted, but its rollout FAILS" } else { "FAILS" };
            format!("{guard}: the rollback {} {what}: {error}; trying again", movement(*way))
        }
        Said::RollbackAbandoned { way } => format!(
            "{guard}: the guard is no longer configured: its rollback {} is abandoned where it was",
            movement(*way)
        ),
        Said::Helped { at } => {
            format!("{guard}: the rollback helped: the triggers are clear again at {at} %")
        }
        Said::ClearThoughUndone { at, share } => {
            let share = share.map_or_else(String::new, |share| format!(", and the share is {share} %"));
            format!(
                "{guard}: the triggers are clear again, but whether the rollback helped cannot be told: it was undone{share} (it went to {at} %)"
            )
        }
        Said::CannotSee { at, within, unseen } => format!(
            "{guard}: rolled back to {at} %, but after {} it cannot be told whether it helped: {}",
            words::duration(*within),
            not_seen(unseen)
        ),
        Said::DidNotHelp { at, within, bad, next } => {
            let outlook = match next {
                Some(next) => format!("going on to {next} %"),
                None => "Ripcord can do no more".to_owned(),
            };
            let (within, bad) = (words::duration(*within), all(bad, against_limit));
            format!("{guard}: the rollback to {at} % did not help within {within}: {bad}; {outlook}")
        }
        Said::Undone { to, share, drift } => {
            let risen = share.map(|share| format!("the share is {share} % again and not {to} %"));
            let what: Vec<String> = risen.into_iter().chain(drift.iter().map(undone)).collect();
            words::bounded(&format!("{guard}: somebody undid the rollback: {}", what.join("; ")))
        }
        Said::Firing(measured) => format!("{guard}: {}", held(measured)),
        Said::FiringWhileLatched(firing) => format!(
            "{guard}: {}, but nothing is rolled back: the guard has been latched since its last rollback",
            all(firing, held)
        ),
        Said::FiringAtTarget { firing, share } => {
            let at = share.map_or_else(|| "its target".to_owned(), |share| format!("{share} %"));
            format!(
                "{guard}: {}, but the traffic is at {at} already: nothing to roll back, nothing changed",
                all(firing, held)
            )
        }
        Said::Clear(measured) => {
            let text = measured.assessment.as_ref().map_or_else(String::new, |a| a.text(&measured.settings));
            format!("{guard}: {} is clear again: {text}", words::label(&measured.settings))
        }
        Said::ClearWhileLatched => format!("{guard}: clear again; the guard is still latched"),
        Said::ClearUnchanged => format!("{guard}: clear again; nothing was changed"),
        Said::Superseded { by } => format!("{guard}: this incident ends here: {by} goes on in its place"),
        Said::DryRunOver => format!("{guard}: the dry run is over and nothing was changed; watching for real"),
        Said::TriggerGone(gone) => {
            let what = match gone {
                Gone::Changed(settings) => format!("{} was changed and starts from nothing", words::label(settings)),
                Gone::Removed(name) => format!("{} is no longer watched", name.replace('_', " ")),
            };
            format!("{guard}: {what}: whether it is clear again is not known")
        }
        Said::GuardGone { verifying } => {
            let rest = if *verifying {
                "whether its rollback helped is not checked any more"
            } else {
                "its incident ends here"
            };
            format!("{guard}: the guard is no longer configured: {rest}")
        }
        Said::Blind { quiet, after, unseen } => {
            let after = words::duration(*after);
            let what = if *quiet {
                format!("too little traffic to tell for {after}")
            } else {
                format!("Ripcord has been blind for {after}")
            };
            format!("{what}: {}", by_reason(unseen))
        }
        Said::Sees => "Ripcord sees again: every trigger that was unknown is known again".to_owned(),
        Said::NotReady { problems } => {
            format!("{guard}: a rollback would FAIL now: {}", self::problems(problems))
        }
        Said::Ready => format!("{guard}: a rollback would work again"),
        Said::NotTried => {
            format!("{guard}: the guard is no longer configured: whether a rollback would work is not tried any more")
        }
        Said::BaselinesTooOld(old) => some(old.iter().map(too_old), NAMED, "; ", more),
        Said::BaselinesFresh => "no recorded baseline is too old any more".to_owned(),
        Said::Rearmed => format!("{guard}: watching again"),
        Said::Paused { until, halts } => {
            let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
            let rest =
                if *halts { "its rollback is halted in the middle" } else { "nothing is rolled back until then" };
            format!("{guard}: paused until {until}; {rest}")
        }
        Said::Acknowledged { gives_up: true } => {
            format!("{guard}: acknowledged; the failed rollback is not tried again")
        }
        Said::Acknowledged { gives_up: false } => format!("{guard}: acknowledged"),
    }
}

/// What the reader should do now.
pub(super) fn advice(said: &Said, guard: &str) -> String {
    match said {
        Said::RollbackStarted { .. } => {
            "Nothing yet: Ripcord moves the traffic back and reports. Be ready to look if it fails or does not help.".to_owned()
        }
        Said::WouldHaveRolledBack { .. } => "Nothing: this is a dry run, and nothing is changed.".to_owned(),
        Said::RolledBack { .. } | Said::FoundThere { .. } | Said::WasThere { .. } => {
            "Wait for the verification: it says whether the service is well again.".to_owned()
        }
        Said::RollbackFails { accepted: true, .. } => format!(
            "Look at the pods now: the change is made, and they do not become ready. Ripcord keeps looking until they do or you \
             acknowledge (ripcord ack {guard})."
        ),
        Said::RollbackFails { accepted: false, .. } => format!(
            "Act now: the traffic is not fully moved back. Fix what the error says, or change the objects yourself (kubectl). Ripcord keeps \
             trying until it works or you acknowledge (ripcord ack {guard})."
        ),
        Said::RollbackAbandoned { .. } => format!(
            "Act now: look at the share and move the traffic by hand, or configure the guard again and roll it back (ripcord rollback \
             --component {guard} --reason \"why\")."
        ),
        Said::Helped { .. } => format!(
            "Nothing urgent: the traffic is moved back and the service is well. Find the cause, then re-arm the guard (ripcord rearm {guard}) \
             before traffic is moved up again: until then it is not rolled back."
        ),
        Said::ClearThoughUndone { .. } => format!(
            "Nothing is rolled back now: the guard is latched. Find out who moved the traffic. If the share is meant, re-arm the guard (ripcord              rearm {guard}); if not: ripcord rollback --component {guard} --reason \"why\""
        ),
        Said::CannotSee { .. } => {
            format!("Check by other means that users are served, then re-arm the guard (ripcord rearm {guard}).")
        }
        Said::DidNotHelp { next: Some(_), .. } => {
            "Start looking: this rung did not help, and Ripcord takes the next one.".to_owned()
        }
        Said::DidNotHelp { next: None, .. } => format!(
            "Act now: the traffic is moved back and the service is still bad. The cause lies elsewhere. Once it is found, re-arm the guard \
             (ripcord rearm {guard})."
        ),
        Said::Undone { .. } => format!(
            "Act now: find out what sets it back (GitOps, an operator, a person) and stop it there. Ripcord does not fight, and the guard is latched. \
             To roll back once more: ripcord rollback --component {guard} --reason \"why\""
        ),
        Said::Firing(_) => "Look at the service: this trigger only pages, Ripcord changes nothing.".to_owned(),
        Said::FiringWhileLatched(_) => format!(
            "Act now: move the traffic by hand if that helps (ripcord rollback --component {guard} --reason \"why\"). Re-arm the guard (ripcord \
             rearm {guard}) so that it acts by itself again."
        ),
        Said::FiringAtTarget { .. } => {
            "Look at the service itself: the traffic that is being moved is not what makes it fail.".to_owned()
        }
        Said::ClearWhileLatched => {
            format!("Re-arm the guard (ripcord rearm {guard}) before traffic is moved again.")
        }
        Said::Superseded { .. } => {
            "Nothing about this one: what Ripcord does now is told of the new incident.".to_owned()
        }
        Said::TriggerGone(_) => {
            "Check whether what was paged is over: this page ends only because the configuration changed.".to_owned()
        }
        Said::GuardGone { .. } => {
            "Nothing, if the guard was meant to go: it is neither watched nor rolled back any more.".to_owned()
        }
        Said::Blind { quiet: true, .. } => {
            "Nothing: there is too little traffic to decide by. Ripcord decides again as soon as there is more.".to_owned()
        }
        Said::Blind { quiet: false, .. } => {
            "Check Prometheus and what it scrapes: until that works, nothing that is named here is rolled back.".to_owned()
        }
        Said::NotReady { .. } => {
            "Fix what the error says before a rollback is needed: until then this guard is not protected. ripcord preflight tries it again at once."
                .to_owned()
        }
        Said::BaselinesTooOld(_) => {
            "Record it anew while the service is well: ripcord baseline record. Until then the old one is used.".to_owned()
        }
        Said::Paused { halts: false, .. } => format!("Nothing. To end the pause sooner: ripcord resume {guard}"),
        Said::Paused { halts: true, .. } => format!(
            "Check the share: what was changed stays changed, the rest is not done. To go on with the rollback sooner: ripcord resume {guard}"
        ),
        Said::Acknowledged { gives_up: true } => format!(
            "Move the traffic yourself: Ripcord does not try again. To have it try: ripcord rollback --component {guard} --reason \"why\". When \
             all is well, ripcord rearm {guard}."
        ),
        Said::Acknowledged { gives_up: false }
        | Said::Clear(_)
        | Said::ClearUnchanged
        | Said::DryRunOver
        | Said::Sees
        | Said::Ready
        | Said::NotTried
        | Said::BaselinesFresh
        | Said::Rearmed => "Nothing.".to_owned(),
    }
}

/// Why traffic is moved back, as the objects' own records have it too.
pub(in super::super) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Triggers(firing) => all(firing, held),
        Cause::ByHand(reason) => format!("by hand: {reason}"),
    }
}

/// The move: `25 % -> 0 %`.
pub(in super::super) fn movement(way: Movement) -> String {
    let Movement { from, to } = way;
    match from {
        Some(from) => format!("{from} % -> {to} %"),
        None => format!("to {to} % (the present share is not known)"),
    }
}

/// `error rate 3.1 % (limit 1 %)`.
pub(in super::super) fn against_limit(measured: &Measured) -> String {
    let Measured { settings, assessment, .. } = measured;
    let label = words::label(settings);
    let Some(a) = assessment else { return format!("{label} not measured") };
    let limit = words::threshold(settings, a.threshold);
    match (a.value, settings.measure) {
        // How many requests it rests on is said elsewhere: one line has room for one pair of brackets.
        (Some(value), Measure::FailureRatio | Measure::Availability) => {
            format!("{label} {} (limit {limit})", words::percent(value))
        }
        _ => with_limit(&label, a, measured, &limit),
    }
}

fn with_limit(label: &str, assessment: &Assessment, measured: &Measured, limit: &str) -> String {
    let text = assessment.text(&measured.settings);
    match text.strip_suffix(')') {
        Some(open) => format!("{label} {open}, limit {limit})"),
        None => format!("{label} {text} (limit {limit})"),
    }
}

/// The same with how long: `error rate 3.1 % (limit 1 %) for 5m0s`.
fn held(measured: &Measured) -> String {
    format!("{} for {}", against_limit(measured), words::duration(measured.held))
}

fn all(of: &[Measured], say: fn(&Measured) -> String) -> String {
    of.iter().map(say).collect::<Vec<_>>().join("; ")
}

fn not_seen(unseen: &[Unseen]) -> String {
    if unseen.is_empty() {
        return "no trigger could be read".to_owned();
    }
    let texts = unseen.iter().map(|u| format!("{}: {}", words::label(&u.settings), u.unknown));
    texts.collect::<Vec<_>>().join("; ")
}

/// What fails for one reason is said once: with Prometheus gone, everything does.
fn by_reason(unseen: &[Unseen]) -> String {
    let mut reasons: BTreeMap<String, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for Unseen { guard, settings, unknown } in unseen {
        reasons.entry(unknown.to_string()).or_default().entry(guard).or_default().push(words::label(settings));
    }
    let named = reasons.iter().map(|(reason, guards)| {
        let guards = guards.iter().map(|(guard, triggers)| format!("{guard} ({})", triggers.join(", ")));
        format!("{}: {reason}", some(guards, NAMED, ", ", more))
    });
    some(named, NAMED, "; ", more)
}

/// The first few problems, and how many more there are.
pub(in super::super) fn problems(problems: &[Problem]) -> String {
    let texts = problems.iter().map(|problem| format!("{}: {}", problem.step, problem.error));
    some(texts, NAMED_PROBLEMS, "; ", more)
}

fn more(left: usize) -> String {
    format!("and {left} more")
}

/// `terminal: the baseline of latency P95 is 41d old (at most 30d)`.
fn too_old(old: &TooOld) -> String {
    let (label, age, most) = (words::label(&old.settings), words::period(old.age), words::period(old.max_age));
    format!("{}: the baseline of {label} is {age} old (at most {most})", old.guard)
}

/// `deployment_env sealos-system/terminal-controller: ISTIO_PERCENTAGE is 25, not 0 (set by kubectl)`.
fn undone(drift: &Drift) -> String {
    match &drift.who {
        Some(who) => format!("{}: {} (set by {who})", drift.step, drift.what),
        None => format!("{}: {}", drift.step, drift.what),
    }
}
