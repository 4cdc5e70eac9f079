//! `slo`: burn rates of an error budget, in place of a threshold.
//!
//! Source of the rates and windows: The Site Reliability Workbook (Google, 2018), chapter 5, "Alerting on SLOs", table 5-8.

use std::time::Duration;

use crate::config::field::{At, Field};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::units::{self, Scalar, say};
use crate::config::{defaults, raw};
use crate::engine::BurnRate;

use super::levels::Kind;
use super::triggers::Context;

/// An objective and how fast its error budget may be used up.
#[derive(Debug, Clone)]
pub(super) struct Slo {
    /// The part of all requests that may fail.
    pub(super) budget: f64,
    /// By falling rate.
    pub(super) burn_rates: Vec<BurnRate>,
}

impl Slo {
    /// The longest window.
    pub(super) fn window(&self) -> Duration {
        self.burn_rates.iter().map(|rate| rate.window).max().unwrap_or_default()
    }
}

/// The trigger's `slo`: `Some(None)` where none is written.
pub(super) fn slo(
    kind: Kind,
    at: &At<raw::Trigger>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Option<Slo>> {
    let written = match &at.value.slo {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(slo) => slo,
    };
    let mut ok = true;
    if !matches!(kind, Kind::ErrorRate | Kind::Availability) {
        problems.error(&written.path, format!("is for error_rate and availability, not for {}", kind.name()));
        ok = false;
    }
    for (path, key) in excluded(&at.value) {
        problems.error(path, format!("{key} does not go with slo, whose burn rates say what is bad; leave it out"));
        ok = false;
    }
    let objective = written.value.objective.required(&written.path, "needs objective, like objective: 99.9%", problems);
    let budget = objective.and_then(|o| problems.take(&o.path, units::share(&o.value)).map(|share| 1.0 - share));
    let burn_rates = match &written.value.burn_rates {
        Field::Missing => Some(defaults::BURN_RATES.to_vec()),
        Field::Wrong => None,
        Field::Given(list) if list.value.0.is_empty() => {
            problems.error(&list.path, "is empty; leave it out for the usual ones, or write at least one");
            None
        }
        Field::Given(list) => {
            let all: Vec<_> = list.value.0.iter().map(|field| burn_rate(field.get()?, context, problems)).collect();
            all.into_iter().collect::<Option<Vec<_>>>()
        }
    };
    let (budget, mut burn_rates) = (budget?, burn_rates?);
    for rate in &burn_rates {
        if rate.above * budget >= 1.0 {
            let (most, rate) = (1.0 / budget, rate.above);
            problems.error(
                &written.path,
                format!("a burn rate of {rate} cannot be: with every request failing it is {most:.4}"),
            );
            ok = false;
        }
    }
    burn_rates.sort_by(|a, b| b.above.total_cmp(&a.above));
    ok.then_some(Some(Slo { budget, burn_rates }))
}

/// What is written besides and has no meaning with burn rates.
fn excluded(t: &raw::Trigger) -> Vec<(&Path, &'static str)> {
    let scalars = [
        (&t.above, "above"),
        (&t.below, "below"),
        (&t.degraded_by, "degraded_by"),
        (&t.rises_by, "rises_by"),
        (&t.clear_below, "clear_below"),
        (&t.clear_above, "clear_above"),
    ];
    let durations = [(&t.window, "window"), (&t.confirm_window, "confirm_window")];
    let scalars = scalars.into_iter().filter_map(|(field, key)| Some((&field.get()?.path, key)));
    scalars.chain(durations.into_iter().filter_map(|(field, key)| Some((&field.get()?.path, key)))).collect()
}

fn burn_rate(at: &At<raw::BurnRate>, context: &Context<'_>, problems: &mut Problems) -> Option<BurnRate> {
    let b = &at.value;
    let above = b.above.required(&at.path, "needs above, a multiple of the error budget like above: 14.4", problems);
    let above = above.and_then(|above| match above.value {
        Scalar::Number(rate) if rate.is_finite() && rate > 0.0 => Some(rate),
        _ => {
            let message = format!("{} is no burn rate; write a multiple of the error budget, like 14.4", above.value);
            problems.error(&above.path, message);
            None
        }
    });
    let window = b.window.required(&at.path, "needs window, like window: 1h", problems);
    let confirm = b.confirm_window.required(&at.path, "needs confirm_window, like confirm_window: 5m", problems);
    let (window, confirm) = (window?, confirm?);
    for duration in [window, confirm] {
        if duration.value < context.interval {
            let (short, interval) = (say(duration.value), say(context.interval));
            problems.error(&duration.path, format!("{short} is shorter than evaluation.interval ({interval})"));
            return None;
        }
    }
    if confirm.value >= window.value {
        let (short, long) = (say(confirm.value), say(window.value));
        problems.error(
            &confirm.path,
            format!("{short} is not shorter than window ({long}); it must be, to say whether it is still so"),
        );
        return None;
    }
    Some(BurnRate { above: above?, window: window.value, confirm_window: confirm.value })
}
