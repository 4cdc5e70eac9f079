//! A verdict with what it rests on. The words are made when somebody asks for them: a tick judges thousands of triggers, and says
//! little.

use std::time::Duration;

use jiff::Timestamp;

use super::action::TriggerFacts;
use super::input::Unknown;
use super::settings::{Measure, TriggerSettings};
use super::trigger::Verdict;
use super::{low_traffic, words};

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// The measured value over the window, in the unit of the trigger's levels.
    pub value: Option<f64>,
    /// What it was compared with, in the signal's own unit.
    pub baseline: Option<f64>,
    /// When that was recorded, where it was.
    pub recorded_at: Option<Timestamp>,
    /// The threshold that held.
    pub threshold: f64,
    /// What the value is made of; absent where it is not known.
    pub(super) basis: Option<Basis>,
    /// Why this verdict.
    pub(super) why: Why,
}

/// What a value is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Basis {
    /// A ratio with its counts, of failed requests or of good ones.
    Counted { ratio: f64, failed: f64, total: f64, window: Duration },
    /// A ratio of failed requests as a multiple of the error budget.
    Burn { rate: f64, ratio: f64, failed: f64, total: f64, window: Duration },
    /// A ratio that is compared with another one.
    Rise { rise: f64, ratio: f64, total: f64, base: f64, window: Duration },
    /// A number as it is.
    Plain { value: f64 },
    /// A number that is compared with another one.
    Degraded { worse: f64, now: f64, base: f64 },
}

/// Why a verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Why {
    /// The window is not known, or nothing was measured.
    Unknown,
    /// The window is known, the confirm window is not.
    UnknownConfirm,
    /// Without a confirm window: beyond the threshold.
    Beyond,
    /// Without a confirm window: inside the clear level.
    Inside,
    /// Between the levels.
    Between,
    /// The window is inside the clear level.
    InsideWindow,
    /// Beyond in both windows; this is the confirm window.
    Still(Basis),
    /// The confirm window is inside the clear level.
    OverByNow(Basis),
    /// The window is beyond, the confirm window is not.
    NotStill(Basis),
    /// Too few requests for the ratio itself: its lower bound was judged.
    Few { requests: f64, failed: f64, bound: f64, threshold: f64, window: Duration, breach: bool },
}

impl Basis {
    /// In words, as the trigger's measure says it.
    fn text(self, settings: &TriggerSettings, recorded_at: Option<Timestamp>) -> String {
        match self {
            Self::Counted { ratio, failed, total, .. } => {
                let ratio = if settings.measure == Measure::Availability { 1.0 - ratio } else { ratio };
                words::counted(words::percent(ratio), failed, total)
            }
            Self::Burn { rate, ratio, failed, total, window } => words::burn(rate, ratio, failed, total, window),
            Self::Rise { rise, ratio, total, base, .. } => {
                let base = words::baseline(words::percent(base), settings, recorded_at);
                words::rise(rise, ratio, total, &base)
            }
            Self::Plain { value } => words::quantity(value, settings.unit),
            Self::Degraded { worse, now, base } => {
                let shown = if settings.measure == Measure::ValueDrop { -worse } else { worse };
                let base = words::baseline(words::quantity(base, settings.unit), settings, recorded_at);
                words::degradation(shown, now, &base, settings.unit)
            }
        }
    }
}

impl Assessment {
    /// What is known where nothing was measured.
    pub(super) fn nothing(threshold: f64) -> Self {
        Self::unknown(Unknown::NotObserved, threshold)
    }

    pub(super) fn unknown(why: Unknown, threshold: f64) -> Self {
        let verdict = Verdict::Unknown(why);
        Self { verdict, value: None, baseline: None, recorded_at: None, threshold, basis: None, why: Why::Unknown }
    }

    /// The value in words: `3.1 % (31 of 1000 requests failed)`.
    pub fn text(&self, settings: &TriggerSettings) -> String {
        match (&self.verdict, self.basis) {
            (_, Some(basis)) => basis.text(settings, self.recorded_at),
            (Verdict::Unknown(unknown), None) => unknown.to_string(),
            (_, None) => String::new(),
        }
    }

    /// Why this verdict, in words.
    pub fn reason(&self, settings: &TriggerSettings) -> String {
        let reason = match (self.why, &self.verdict) {
            (Why::Unknown, Verdict::Unknown(unknown)) => return unknown.to_string(),
            (Why::UnknownConfirm, Verdict::Unknown(unknown)) => return format!("over the confirm window: {unknown}"),
            (Why::Beyond, _) => "beyond the threshold",
            (Why::Inside, _) => "inside the clear level",
            (Why::InsideWindow, _) => "inside the clear level over the window",
            (Why::Between | Why::Unknown | Why::UnknownConfirm, _) => "between the threshold and the clear level",
            (Why::Still(confirm), _) => {
                return format!(
                    "beyond the threshold over the window, and still ({})",
                    confirm.text(settings, self.recorded_at)
                );
            }
            (Why::OverByNow(confirm), _) => {
                let confirm = confirm.text(settings, self.recorded_at);
                return format!("over by now: {confirm} in the confirm window");
            }
            (Why::NotStill(confirm), _) => {
                let confirm = confirm.text(settings, self.recorded_at);
                return format!("beyond the threshold over the window, {confirm} in the confirm window");
            }
            (Why::Few { requests, failed, bound, threshold, window, breach }, _) => {
                return few(settings, requests, failed, bound, threshold, window, breach);
            }
        };
        reason.to_owned()
    }

    /// The facts that a page carries.
    pub fn facts(&self, settings: &TriggerSettings, held: Option<Duration>) -> TriggerFacts {
        TriggerFacts {
            name: settings.name.clone(),
            value: self.value,
            threshold: self.threshold,
            threshold_text: words::threshold(settings, self.threshold),
            held_seconds: held.unwrap_or_default().as_secs_f64(),
            baseline: self.baseline,
            baseline_source: None,
            text: self.text(settings),
        }
    }
}

/// `9 requests in 5m: too few to tell 1 % from 0`, and what was judged in place of the ratio.
fn few(
    settings: &TriggerSettings,
    requests: f64,
    failed: f64,
    bound: f64,
    threshold: f64,
    window: Duration,
    breach: bool,
) -> String {
    let from = if settings.measure == Measure::Availability {
        format!("{} from 100 %", words::percent(1.0 - threshold))
    } else {
        format!("{} from 0", words::percent(threshold))
    };
    let short = words::span(window);
    let requests = format!("{requests:.0} requests in {short}");
    let least = low_traffic::MIN_FAILURES;
    let bound = format!("at least {} of all fail, by the Wilson interval", words::percent(bound));
    if breach {
        format!("{requests}: few to tell {from}, yet {bound}")
    } else if failed > 0.0 && failed < least {
        format!("{requests}: too few to tell {from}, and {failed:.0} of at least {least:.0} failed")
    } else if failed > 0.0 {
        format!("{requests}: too few to tell {from}; {bound}")
    } else {
        format!("{requests}: too few to tell {from}")
    }
}
