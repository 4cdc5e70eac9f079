//! One trigger: what is measured, what it is compared with, and when it fires.

use std::time::Duration;

use crate::config::field::{At, Field, List};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::suggest;
use crate::config::units::{self, Scalar, say};
use crate::config::{MetricNames, Selector, Signal, SignalKind, defaults, promql};
use crate::engine::{Levels, Measure, Severity, Side, TriggerAction, TriggerSettings, Unit};

use super::levels::{self, Key, Kind};
use super::vars::Vars;
use super::{baselines, choose, slo, stages};

/// What a trigger must know of its guard.
pub(super) struct Context<'a> {
    /// Where the guard is written.
    pub(super) path: &'a Path,
    /// Whose names its signals use.
    pub(super) metrics: MetricNames,
    /// Its `match`: `None` when it is wrong, which has been said.
    pub(super) own: Option<Option<Selector>>,
    /// Its `caller_match`, likewise.
    pub(super) caller: Option<Option<Selector>>,
    /// Its variables.
    pub(super) vars: &'a Vars,
    /// Its stages.
    pub(super) stages: &'a Field<List<raw::Stage>>,
    /// The time between two ticks.
    pub(super) interval: Duration,
}

/// Validates one trigger.
pub(super) fn trigger(
    name: &str,
    at: &At<raw::Trigger>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<(TriggerSettings, Signal)> {
    let t = &at.value;
    let kind = kind(name, at, problems)?;
    // Each of these is looked at whatever the others say, so that all that is wrong is said.
    let quantile = quantile(kind, &t.quantile, problems);
    let slo = slo::slo(kind, at, context, problems);
    let burns = t.slo.is_written();
    let read = if burns { None } else { levels::levels(kind, quantile.unwrap_or(defaults::QUANTILE), at, problems) };
    let windows = match &slo {
        None => None,
        Some(Some(slo)) => Some(Windows { window: slo.window(), confirm: None }),
        Some(None) => windows(kind, at, context, problems),
    };
    let hold = if burns { defaults::SLO_HOLD_FOR } else { defaults::HOLD_FOR };
    let holds = holds(at, hold, windows.and_then(|w| w.confirm), context, problems);
    let action = action(kind, at, problems);
    let severity = choose(&t.severity, &SEVERITIES, problems);
    let literal = low_traffic(kind, &t.low_traffic, problems);
    let signal = signal(kind, quantile, t, context, problems);
    let window = windows.map_or(defaults::WINDOW, |w| w.window);
    let baseline = baselines::baseline(kind, at, window, signal.as_ref(), context, problems);

    let slo = slo?;
    let (measure, side, levels, unit) = match (&slo, &read) {
        (Some(slo), _) => {
            let least = slo.burn_rates.iter().map(|rate| rate.above).fold(f64::INFINITY, f64::min);
            let levels = Levels { threshold: least, clear: least };
            (Measure::BurnRate { budget: slo.budget }, Side::Above, levels, Unit::None)
        }
        (None, Some(read)) => (read.rule.measure, read.rule.side, read.levels, unit(kind, t, read)),
        (None, None) => return None,
    };
    let burn_rates = slo.map(|slo| slo.burn_rates).unwrap_or_default();
    let mut settings = TriggerSettings {
        name: name.to_owned(),
        action: action?,
        severity: severity?.unwrap_or(Severity::Critical),
        source: String::new(),
        measure,
        side,
        levels,
        stages: Vec::new(),
        burn_rates: burn_rates.clone(),
        window: windows?.window,
        confirm_window: windows?.confirm,
        hold_for: holds?.0,
        clear_for: holds?.1,
        literal: literal?,
        unit,
        baseline: None,
    };
    settings.stages = match &read {
        Some(read) => stages::of_trigger(context.stages, &settings, read, problems)?,
        None => stages::none(context.stages, name, problems)?,
    };
    let signal = Signal {
        kind: signal?,
        window: settings.window,
        confirm_window: settings.confirm_window,
        baseline: baseline?,
        burn_rates,
    };
    settings.source = baselines::clock_source(&signal);
    settings.baseline = baselines::source(&signal);
    Some((settings, signal))
}

/// What it does when it fires.
fn action(kind: Kind, at: &At<raw::Trigger>, problems: &mut Problems) -> Option<TriggerAction> {
    let actions = [("rollback", TriggerAction::Rollback), ("page", TriggerAction::Page)];
    let written = choose(&at.value.action, &actions, problems)?;
    let only_pages = match kind {
        Kind::ClientErrorRate => Some("client errors may be the clients'; they page and roll nothing back"),
        _ if at.value.slo.is_written() => Some("burn rates look back for hours; they page and roll nothing back"),
        _ => None,
    };
    match (only_pages, written, at.value.action.get()) {
        (Some(why), Some(TriggerAction::Rollback), Some(action)) => {
            problems.error(&action.path, format!("{why}; write page"));
            None
        }
        (Some(_), ..) => Some(TriggerAction::Page),
        (None, Some(action), _) => Some(action),
        (None, None, _) if kind == Kind::Promql => Some(TriggerAction::Page),
        (None, None, _) => Some(TriggerAction::Rollback),
    }
}

/// The severities, by the words they are written with.
pub(super) const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

fn kind(name: &str, at: &At<raw::Trigger>, problems: &mut Problems) -> Option<Kind> {
    match (&at.value.signal, &at.value.promql) {
        (Field::Missing, Field::Missing) if at.value.has_unknown_keys => None,
        (Field::Missing, Field::Missing) => {
            let near = suggest::nearest(name, Kind::SIGNALS.map(|(word, _)| word));
            let example = near.unwrap_or("error_rate");
            problems.error(&at.path, format!("needs what to measure: signal, like signal: {example}, or promql"));
            None
        }
        (Field::Missing, _) => Some(Kind::Promql),
        (signal, Field::Missing) => choose(signal, &Kind::SIGNALS, problems).flatten(),
        _ => {
            problems.error(&at.path, "has both signal and promql; keep one");
            None
        }
    }
}

/// The unit of the signal itself, also where a degradation is compared: its words say both (`+62 % (195 ms, …)`).
fn unit(kind: Kind, t: &raw::Trigger, read: &levels::Read) -> Unit {
    let fixed = t.baseline.value().and_then(|b| b.fixed.value());
    match kind {
        Kind::Latency => Unit::Seconds,
        Kind::Throughput => Unit::PerSecond,
        Kind::Promql if read.rule.key == Key::DegradedBy => {
            fixed.and_then(|f| units::quantity(f).ok()).map_or(Unit::None, |(_, unit)| unit)
        }
        Kind::ErrorRate | Kind::Availability | Kind::ClientErrorRate | Kind::Promql => read.unit,
    }
}

fn quantile(kind: Kind, field: &Field<Scalar>, problems: &mut Problems) -> Option<f64> {
    match field {
        Field::Missing => Some(defaults::QUANTILE),
        Field::Wrong => None,
        Field::Given(at) if kind != Kind::Latency => {
            problems.error(&at.path, format!("is for signal: latency, not for {}; leave it out", kind.name()));
            None
        }
        Field::Given(at) => {
            let parsed = units::share(&at.value)
                .map_err(|_| format!("{} is no quantile; write one between 0 and 1, like 0.95 or 95%", at.value));
            problems.take(&at.path, parsed)
        }
    }
}

/// The windows of a trigger.
#[derive(Debug, Clone, Copy)]
struct Windows {
    window: Duration,
    confirm: Option<Duration>,
}

fn windows(kind: Kind, at: &At<raw::Trigger>, context: &Context<'_>, problems: &mut Problems) -> Option<Windows> {
    let t = &at.value;
    let refuse = |field: &Field<Duration>, why: &str, problems: &mut Problems| match field {
        Field::Missing => Some(()),
        Field::Wrong => None,
        Field::Given(at) => {
            problems.error(&at.path, why);
            None
        }
    };
    if kind == Kind::Promql {
        let window =
            refuse(&t.window, "does not go with promql, whose query has its own ranges; leave it out", problems);
        let confirm = refuse(&t.confirm_window, "does not go with promql; leave it out", problems);
        return window.and(confirm).map(|()| Windows { window: Duration::ZERO, confirm: None });
    }
    let window = t.window.or_default(defaults::WINDOW);
    let window = window.filter(|window| long_enough(*window, &t.window, &at.path.key("window"), context, problems));
    if kind == Kind::Throughput {
        let why = "does not go with throughput, which is no ratio and no quantile; leave it out";
        refuse(&t.confirm_window, why, problems)?;
        return Some(Windows { window: window?, confirm: None });
    }
    let confirm = t.confirm_window.or_default(defaults::CONFIRM_WINDOW)?;
    let place = t.confirm_window.get().map_or(&at.path, |at| &at.path);
    let ok = long_enough(confirm, &t.confirm_window, place, context, problems);
    let window = window?;
    if confirm >= window {
        let message = match t.confirm_window {
            Field::Missing => format!(
                "confirm_window is {} unless written, which is not shorter than window ({}); write a shorter one",
                say(confirm),
                say(window)
            ),
            _ => format!(
                "{} is not shorter than window ({}); it must be, to say whether it is still so",
                say(confirm),
                say(window)
            ),
        };
        problems.error(place, message);
        return None;
    }
    ok.then_some(Windows { window, confirm: Some(confirm) })
}

/// Whether a duration is at least an interval long.
fn long_enough(
    duration: Duration,
    field: &Field<Duration>,
    default_place: &Path,
    context: &Context<'_>,
    problems: &mut Problems,
) -> bool {
    if duration >= context.interval {
        return true;
    }
    let place = field.get().map_or(default_place, |at| &at.path);
    let interval = say(context.interval);
    problems.error(
        place,
        format!("{} is shorter than evaluation.interval ({interval}); write a longer one", say(duration)),
    );
    false
}

/// `for` and `clear_for`.
fn holds(
    at: &At<raw::Trigger>,
    default: Duration,
    confirm: Option<Duration>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<(Duration, Duration)> {
    let t = &at.value;
    let hold = t.r#for.or_default(default);
    let hold = hold.filter(|hold| long_enough(*hold, &t.r#for, &at.path.key("for"), context, problems));
    let clear = match t.clear_for.get() {
        Some(at) if at.value.is_zero() => {
            problems.error(&at.path, "0s is too short; write how long clear must last to reset the clock, like 1m");
            None
        }
        Some(at) => Some(Some(at.value)),
        None if t.clear_for.is_missing() => Some(None),
        None => None,
    };
    let hold = hold?;
    Some((hold, clear?.or(confirm).unwrap_or(hold / defaults::CLEAR_FOR_PART)))
}

/// Whether ratios are taken as they are.
fn low_traffic(kind: Kind, field: &Field<String>, problems: &mut Problems) -> Option<bool> {
    let literal = choose(field, &[("statistical", false), ("literal", true)], problems)?;
    if let (Kind::Throughput | Kind::Promql, Some(at)) = (kind, field.get()) {
        problems.error(&at.path, format!("is for ratios and quantiles, not for {}; leave it out", kind.name()));
        return None;
    }
    Some(literal.unwrap_or(false))
}

fn signal(
    kind: Kind,
    quantile: Option<f64>,
    t: &raw::Trigger,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<SignalKind> {
    if kind == Kind::Promql {
        let at = t.promql.get()?;
        let query = context.vars.render(&at.path, &at.value, problems)?;
        problems.take(&at.path, promql::check(&query))?;
        return Some(SignalKind::Promql(query));
    }
    let selector = selector(kind, context, problems)?;
    Some(match kind {
        Kind::ErrorRate => SignalKind::ErrorRate(selector),
        Kind::Availability => SignalKind::Availability(selector),
        Kind::ClientErrorRate => SignalKind::ClientErrorRate(selector),
        Kind::Latency => SignalKind::Latency { selector, quantile: quantile? },
        Kind::Throughput | Kind::Promql => SignalKind::Throughput(selector),
    })
}

fn selector(kind: Kind, context: &Context<'_>, problems: &mut Problems) -> Option<Selector> {
    // What reached no pod is seen by the caller alone: so is a request without a route.
    let caller = matches!(kind, Kind::Availability | Kind::ClientErrorRate);
    if caller && let Some(selector) = context.caller.as_ref()? {
        return Some(selector.clone());
    }
    let Some(own) = context.own.as_ref()? else {
        problems.error(
            context.path,
            "needs match, which says by their labels which series are its own, like match: {destination_workload: \
                terminal-controller}",
        );
        return None;
    };
    if caller && context.metrics == MetricNames::Istio {
        problems.warn(
            context.path,
            format!(
                "its {} is measured with match, because it has no caller_match: requests that reached no pod are then \
                not counted; write like caller_match: {{source_workload: istio-ingressgateway, \
                destination_service_name: …}}",
                kind.name()
            ),
        );
    }
    Some(Selector { caller, ..own.clone() })
}
