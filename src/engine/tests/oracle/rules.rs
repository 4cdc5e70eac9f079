//! Verdict, clock and firing once more: slow, obvious, and written from the design's text alone.
//!
//! Nothing is remembered but the whole history; every answer is worked out from it anew.

use super::super::super::*;

/// From one tick to the next, in milliseconds.
const INTERVAL_MS: i64 = 10_000;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Says {
    Breach,
    Band,
    Clear,
    Unknown,
}

impl Says {
    pub fn word(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Band => "band",
            Self::Clear => "clear",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a breach that was held for long enough sets nothing off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why {
    /// It is not known whether it goes on.
    Unknown,
    /// It does not go on at this very tick.
    NotBreaching,
    /// Nothing of the past acts.
    History,
    /// The tick was of now, and came too late.
    Late,
    /// It was acted on already.
    Acting,
}

/// What one window says: how bad it is, larger being worse, and whether that is enough to tell.
pub struct Window {
    /// For the threshold and the clear level: little traffic replaces the ratio.
    careful: f64,
    /// As it is.
    plain: f64,
    failures: bool,
    pub enough: bool,
}

/// The threshold and the clear level on the same scale, larger being worse.
pub fn levels(trigger: &TriggerSettings, share: Option<u8>) -> (f64, f64) {
    let mut levels = trigger.levels;
    if let Some(share) = share {
        for stage in trigger.stages.iter().rev() {
            if share <= stage.up_to {
                levels = stage.levels;
            }
        }
    }
    match (trigger.measure, trigger.side) {
        (Measure::Availability, _) => (1.0 - levels.threshold, 1.0 - levels.clear),
        (_, Side::Above) => (levels.threshold, levels.clear),
        (_, Side::Below) => (-levels.threshold, -levels.clear),
    }
}

/// The smaller root of `(p - x)² = z² x (1 - x) / n`: Wilson's interval is where that holds.
fn wilson(p: f64, n: f64) -> f64 {
    let z = 2.575_829_303_548_901_f64;
    let (a, b, c) = (1.0 + z * z / n, -(2.0 * p + z * z / n), p * p);
    (-b - (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a)
}

/// One window, or nothing where it is not known.
pub fn window(
    trigger: &TriggerSettings,
    seen: &Result<Evidence, Unknown>,
    baseline: Option<&Result<f64, Unknown>>,
    threshold: f64,
    is_confirm: bool,
) -> Option<Window> {
    let against = |now: f64| -> Option<f64> {
        let base = *baseline?.as_ref().ok()?;
        (base.is_finite() && base > 0.0).then(|| now / base - 1.0)
    };
    let value = match (trigger.measure, *seen.as_ref().ok()?) {
        (Measure::FailureRatio | Measure::Availability, Evidence::Counts { failed, total }) => {
            if !failed.is_finite() || !total.is_finite() || total <= 0.0 {
                return None;
            }
            // More than all cannot fail, even where Prometheus guessed the two numbers a little apart.
            let ratio = (failed / total).min(1.0);
            let enough = trigger.literal || total * threshold >= 10.0;
            let mut careful = ratio;
            if !enough && !is_confirm {
                careful = wilson(ratio, total);
                // Fewer than five failures are never beyond, and are inside if their bound is.
                if failed < 5.0 {
                    careful = careful.min(threshold);
                }
            }
            return Some(Window { careful, plain: ratio, failures: failed > 0.0, enough });
        }
        (Measure::Quantile { q } | Measure::QuantileDegradation { q }, Evidence::Quantile { value, requests }) => {
            let enough = trigger.literal || requests * (1.0 - q) >= 10.0;
            if !value.is_finite() || !requests.is_finite() || requests <= 0.0 || (!enough && !is_confirm) {
                return None;
            }
            let value = if matches!(trigger.measure, Measure::Quantile { .. }) { value } else { against(value)? };
            return Some(Window { careful: value, plain: value, failures: true, enough });
        }
        (Measure::Value, Evidence::Value(value)) => value,
        (Measure::ValueDegradation, Evidence::Value(value)) => against(value)?,
        (Measure::ValueDrop, Evidence::Value(value)) => -against(value)?,
        _ => return None,
    };
    let value = if trigger.side == Side::Below { -value } else { value };
    value.is_finite().then_some(Window { careful: value, plain: value, failures: true, enough: true })
}

pub fn verdict(trigger: &TriggerSettings, reading: &Reading, share: Option<u8>) -> Says {
    match trigger.measure {
        Measure::BurnRate { budget } => return burns(trigger, reading, budget),
        Measure::FailureRise => return rises(trigger, reading, share),
        _ => {}
    }
    let (threshold, clear) = levels(trigger, share);
    let baseline = reading.baseline.as_ref();
    let Some(over_window) = window(trigger, &reading.window, baseline, threshold, false) else {
        return Says::Unknown;
    };
    if over_window.careful < clear {
        return Says::Clear;
    }
    let beyond = over_window.careful > threshold;
    if trigger.confirm_window.is_none() {
        return if beyond { Says::Breach } else { Says::Band };
    }
    let Some(over_confirm) = reading.confirm.as_ref().and_then(|c| window(trigger, c, baseline, threshold, true))
    else {
        return Says::Unknown;
    };
    if beyond && over_confirm.plain > threshold && over_confirm.failures {
        Says::Breach
    } else if over_confirm.plain < clear && over_confirm.enough {
        Says::Clear
    } else {
        Says::Band
    }
}

/// Several burn rates: each is a ratio whose threshold is so many times the budget. One that is bad is enough; otherwise all must be known,
/// and all good to be good.
fn burns(trigger: &TriggerSettings, reading: &Reading, budget: f64) -> Says {
    let each: Vec<Says> = (trigger.burn_rates.iter().enumerate())
        .map(|(index, rate)| {
            let Some((window, confirm)) = reading.burn.get(index) else { return Says::Unknown };
            let ratio = TriggerSettings {
                measure: Measure::FailureRatio,
                levels: Levels { threshold: rate.above * budget, clear: rate.above * budget },
                stages: Vec::new(),
                confirm_window: Some(rate.confirm_window),
                ..trigger.clone()
            };
            let reading =
                Reading { window: window.clone(), confirm: Some(confirm.clone()), baseline: None, burn: Vec::new() };
            verdict(&ratio, &reading, None)
        })
        .collect();
    match () {
        () if each.contains(&Says::Breach) => Says::Breach,
        () if each.contains(&Says::Unknown) => Says::Unknown,
        () if each.iter().all(|says| *says == Says::Clear) => Says::Clear,
        () => Says::Band,
    }
}

/// A rise is a ratio whose levels lie so far above the baseline's.
fn rises(trigger: &TriggerSettings, reading: &Reading, share: Option<u8>) -> Says {
    let Some(Ok(base)) = reading.baseline else { return Says::Unknown };
    let (threshold, clear) = levels(trigger, share);
    let levels = Levels { threshold: base + threshold, clear: base + clear };
    let ratio = TriggerSettings { measure: Measure::FailureRatio, levels, stages: Vec::new(), ..trigger.clone() };
    verdict(&ratio, reading, None)
}

/// One tick that was news.
#[derive(Clone, Copy)]
pub struct Past {
    /// In milliseconds.
    pub at: i64,
    pub says: Says,
    pub live: bool,
}

/// Whether a tick is news. One of now is when it is younger than every other. One of the past may fill what nobody saw: it is when it is
/// younger than all that was known.
pub fn is_news(history: &[Past], at: i64, live: bool) -> bool {
    history.iter().filter(|tick| live || tick.says != Says::Unknown).all(|tick| tick.at < at)
}

/// The milliseconds that a known tick adds to the clocks: since the known tick before it, at most two intervals.
pub fn seen(known: &[Past], index: usize) -> i64 {
    (known[index].at - known[index - 1].at).min(2 * INTERVAL_MS)
}

/// Whether the run of clear that ends here has lasted for long enough to reset the clock.
fn resets(known: &[Past], index: usize, clear_for: i64) -> bool {
    let begin = known[..=index].iter().rposition(|tick| tick.says != Says::Clear).map_or(0, |before| before + 1);
    begin <= index && (begin + 1..=index).map(|later| seen(known, later)).sum::<i64>() >= clear_for
}

/// How many milliseconds the breach was observed, from the whole history.
pub fn held(history: &[Past], clear_for: i64) -> Option<i64> {
    let known: Vec<Past> = history.iter().copied().filter(|tick| tick.says != Says::Unknown).collect();
    let reset = (0..known.len()).rev().find(|&index| resets(&known, index, clear_for));
    let after_reset = reset.map_or(0, |index| index + 1);
    let first = (after_reset..known.len()).find(|&index| known[index].says == Says::Breach)?;
    Some((first + 1..known.len()).filter(|&index| known[index].says != Says::Clear).map(|i| seen(&known, i)).sum())
}

/// What a tick that is news sets off: `Ok` where it fires, and where it does not although the hold is complete, why.
pub fn fires(last: Past, held: Option<i64>, hold_for: i64, late: bool, fired: bool) -> Option<Result<(), Why>> {
    if held.is_none_or(|held| held < hold_for) {
        return None;
    }
    Some(match last.says {
        Says::Unknown => Err(Why::Unknown),
        Says::Band | Says::Clear => Err(Why::NotBreaching),
        Says::Breach if !last.live => Err(Why::History),
        Says::Breach if late => Err(Why::Late),
        Says::Breach if fired => Err(Why::Acting),
        Says::Breach => Ok(()),
    })
}
