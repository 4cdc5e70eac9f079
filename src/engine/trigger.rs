//! One trigger: from a reading to a verdict, and from verdicts to the held clock.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::assessment::{Assessment, Basis, Why};
use super::input::{Evidence, Reading, Unknown};
use super::settings::{Levels, Measure, Side, TriggerSettings};
use super::{baseline, low_traffic};

/// At one known tick the clock gains at most this many intervals: what lies further back was not observed.
const MAX_GAIN_INTERVALS: u32 = 2;

/// What a trigger says at one tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Bad over the window, and still bad over the confirm window.
    Breach,
    /// Neither bad enough nor good enough.
    Band,
    /// Good.
    Clear,
    /// Not known, and why.
    Unknown(Unknown),
}

impl Verdict {
    /// The verdict as one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Band => "band",
            Self::Clear => "clear",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// One window's evidence against the levels.
#[derive(Clone, Copy)]
struct Seen {
    /// In the unit of the trigger's levels.
    value: f64,
    standing: Standing,
    /// Whether the window holds enough requests to tell.
    resolves: bool,
    /// Whether anything at all went wrong in it.
    any_failure: bool,
    basis: Basis,
    /// The lower bound that was judged in place of the ratio, with the failures and the ratio that it was compared with.
    few: Option<Few>,
}

#[derive(Clone, Copy)]
struct Few {
    failed: f64,
    total: f64,
    bound: f64,
    threshold: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Beyond,
    Between,
    Inside,
}

/// What is looked at: a window of some length, where little traffic needs stronger evidence, or a confirm window, which only has to say
/// whether it is still so.
#[derive(Clone, Copy)]
struct View {
    length: Duration,
    confirms: bool,
}

impl Levels {
    fn standing(self, value: f64, side: Side) -> Standing {
        let (beyond, inside) = match side {
            Side::Above => (value > self.threshold, value < self.clear),
            Side::Below => (value < self.threshold, value > self.clear),
        };
        match (beyond, inside) {
            (true, _) => Standing::Beyond,
            (false, true) => Standing::Inside,
            (false, false) => Standing::Between,
        }
    }
}

/// The verdict of two windows, and why.
fn judge(window: &Result<Seen, Unknown>, confirm: Option<&Result<Seen, Unknown>>, length: Duration) -> (Verdict, Why) {
    let w = match window {
        Err(unknown) => return (Verdict::Unknown(unknown.clone()), Why::Unknown),
        Ok(w) => w,
    };
    let few = |breach| {
        let Few { failed, total, bound, threshold } = w.few?;
        Some(Why::Few { requests: total, failed, bound, threshold, window: length, breach })
    };
    let Some(confirm) = confirm else {
        return match w.standing {
            Standing::Beyond => (Verdict::Breach, Why::Beyond),
            Standing::Inside => (Verdict::Clear, Why::Inside),
            Standing::Between => (Verdict::Band, Why::Between),
        };
    };
    if w.standing == Standing::Inside {
        return (Verdict::Clear, few(false).unwrap_or(Why::InsideWindow));
    }
    match confirm {
        Err(unknown) => (Verdict::Unknown(unknown.clone()), Why::UnknownConfirm),
        Ok(c) if w.standing == Standing::Beyond && c.standing == Standing::Beyond && c.any_failure => {
            (Verdict::Breach, few(true).unwrap_or(Why::Still(c.basis)))
        }
        Ok(c) if c.standing == Standing::Inside && c.resolves => (Verdict::Clear, Why::OverByNow(c.basis)),
        Ok(c) if w.standing == Standing::Beyond => (Verdict::Band, Why::NotStill(c.basis)),
        Ok(_) => (Verdict::Band, few(false).unwrap_or(Why::Between)),
    }
}

impl TriggerSettings {
    /// The levels that hold at a share. A share that is not known takes the plain ones: not knowing is no reason to be stricter.
    pub fn levels_at(&self, share: Option<u8>) -> Levels {
        share
            .and_then(|share| self.stages.iter().find(|stage| share <= stage.up_to))
            .map_or(self.levels, |stage| stage.levels)
    }

    /// The verdict on a reading.
    pub fn assess(&self, reading: &Reading, share: Option<u8>) -> Assessment {
        if let Measure::BurnRate { budget } = self.measure {
            return self.assess_burn(reading, budget);
        }
        let levels = self.levels_at(share);
        let window = self.see(&reading.window, reading, levels, View { length: self.window, confirms: false });
        let confirm = self.confirm_window.map(|length| match &reading.confirm {
            Some(confirm) => self.see(confirm, reading, levels, View { length, confirms: true }),
            None => Err(Unknown::NotObserved),
        });
        let (verdict, why) = judge(&window, confirm.as_ref(), self.window);
        let window = window.ok();
        Assessment {
            verdict,
            value: window.map(|w| w.value),
            // Only a number may get into a page and the journal: JSON has no other.
            baseline: reading.baseline.as_ref().and_then(|b| b.as_ref().ok()).copied().filter(|b| b.is_finite()),
            recorded_at: None,
            threshold: levels.threshold,
            basis: window.map(|w| w.basis),
            why,
        }
    }

    /// The verdict on several burn rates: bad where one of them is, good where all of them are. Otherwise one that is not known makes it
    /// unknown, because it could be the one that is bad.
    fn assess_burn(&self, reading: &Reading, budget: f64) -> Assessment {
        let mut worst: Option<(u8, Assessment)> = None;
        for (index, rate) in self.burn_rates.iter().enumerate() {
            let levels = Levels { threshold: rate.above, clear: rate.above };
            let missing = Err(Unknown::NotObserved);
            let (window, confirm) = reading.burn.get(index).map_or((&missing, &missing), |(w, c)| (w, c));
            let see = |evidence, length, confirms| {
                let view = View { length, confirms };
                match evidence {
                    &Ok(Evidence::Counts { failed, total }) => self.see_burn(failed, total, budget, levels, view),
                    Err(unknown) => Err(Unknown::clone(unknown)),
                    // Evidence of another kind than the trigger measures: the daemon asked for something else.
                    Ok(_) => Err(Unknown::NotObserved),
                }
            };
            let window = see(window, rate.window, false);
            let confirm = see(confirm, rate.confirm_window, true);
            let (verdict, why) = judge(&window, Some(&confirm), rate.window);
            // The first of equals: they are written by falling urgency.
            let rank = match verdict {
                Verdict::Breach => 3,
                Verdict::Unknown(_) => 2,
                Verdict::Band => 1,
                Verdict::Clear => 0,
            };
            if worst.as_ref().is_none_or(|(most, _)| rank > *most) {
                let window = window.ok();
                let (value, basis) = (window.map(|w| w.value), window.map(|w| w.basis));
                let threshold = rate.above;
                let (baseline, recorded_at) = (None, None);
                worst = Some((rank, Assessment { verdict, value, baseline, recorded_at, threshold, basis, why }));
            }
        }
        worst.map_or_else(|| Assessment::nothing(self.levels.threshold), |(_, assessment)| assessment)
    }

    /// What a reading of `at` says by data younger than `since` alone.
    pub fn assess_since(&self, reading: &Reading, share: Option<u8>, at: Timestamp, since: Timestamp) -> Assessment {
        let reaches = |window: Duration| back(at, window) >= since;
        if reaches(self.window) {
            return self.assess(reading, share);
        }
        let levels = self.levels_at(share);
        let confirm = match (self.confirm_window, &reading.confirm) {
            (Some(window), Some(confirm)) if reaches(window) => {
                self.see(confirm, reading, levels, View { length: window, confirms: true })
            }
            _ => Err(Unknown::TooEarly),
        };
        let confirm = match confirm {
            Ok(confirm) => confirm,
            Err(unknown) => return Assessment::unknown(unknown, levels.threshold),
        };
        let (verdict, why) = match confirm.standing {
            Standing::Beyond if confirm.any_failure => (Verdict::Breach, Why::Beyond),
            Standing::Inside if confirm.resolves => (Verdict::Clear, Why::Inside),
            _ => (Verdict::Band, Why::Between),
        };
        Assessment {
            verdict,
            value: Some(confirm.value),
            baseline: reading.baseline.as_ref().and_then(|b| b.as_ref().ok()).copied().filter(|b| b.is_finite()),
            recorded_at: None,
            threshold: levels.threshold,
            basis: Some(confirm.basis),
            why,
        }
    }

    /// Judges one window.
    fn see(
        &self,
        evidence: &Result<Evidence, Unknown>,
        reading: &Reading,
        levels: Levels,
        view: View,
    ) -> Result<Seen, Unknown> {
        let evidence = (*evidence).clone()?;
        match (self.measure, evidence) {
            (Measure::FailureRatio, Evidence::Counts { failed, total }) => {
                self.see_failures(failed, total, levels, view)
            }
            (Measure::Availability, Evidence::Counts { failed, total }) => {
                let levels = Levels { threshold: 1.0 - levels.threshold, clear: 1.0 - levels.clear };
                let seen = self.see_failures(failed, total, levels, view)?;
                Ok(Seen { value: 1.0 - seen.value, ..seen })
            }
            (Measure::FailureRise, Evidence::Counts { failed, total }) => {
                let base = base(reading)?;
                let levels = Levels { threshold: base + levels.threshold, clear: base + levels.clear };
                let seen = self.see_failures(failed, total, levels, view)?;
                let (ratio, rise) = (seen.value, seen.value - base);
                Ok(Seen { value: rise, basis: Basis::Rise { rise, ratio, total, base, window: view.length }, ..seen })
            }
            (Measure::Quantile { q }, Evidence::Quantile { value, requests }) => {
                let resolves = self.see_quantile(q, value, requests, view)?;
                Ok(Seen { resolves, ..self.see_value(value, levels, Basis::Plain { value }) })
            }
            (Measure::QuantileDegradation { q }, Evidence::Quantile { value, requests }) => {
                let resolves = self.see_quantile(q, value, requests, view)?;
                let (worse, base) = compare(reading, |base| baseline::degradation(value, base))?;
                Ok(Seen { resolves, ..self.see_value(worse, levels, Basis::Degraded { worse, now: value, base }) })
            }
            (Measure::Value, Evidence::Value(value)) => {
                let value = number(value)?;
                Ok(self.see_value(value, levels, Basis::Plain { value }))
            }
            (Measure::ValueDegradation | Measure::ValueDrop, Evidence::Value(value)) => {
                let value = number(value)?;
                let drop = self.measure == Measure::ValueDrop;
                let (worse, base) = compare(reading, |base| {
                    if drop { baseline::drop_below(value, base) } else { baseline::degradation(value, base) }
                })?;
                Ok(self.see_value(worse, levels, Basis::Degraded { worse, now: value, base }))
            }
            // Evidence of another kind than the trigger measures: the daemon asked for something else.
            _ => Err(Unknown::NotObserved),
        }
    }

    fn see_value(&self, value: f64, levels: Levels, basis: Basis) -> Seen {
        let standing = levels.standing(value, self.side);
        Seen { value, standing, resolves: true, any_failure: true, basis, few: None }
    }

    fn see_failures(&self, failed: f64, total: f64, levels: Levels, view: View) -> Result<Seen, Unknown> {
        let failed = number(failed)?;
        let total = number(total)?;
        if total <= 0.0 {
            return Err(Unknown::NoTraffic);
        }
        let ratio = (failed / total).clamp(0.0, 1.0);
        let resolves = self.literal || low_traffic::resolves_ratio(total, levels.threshold);
        let few = (!view.confirms && !resolves).then(|| {
            let bound = low_traffic::wilson_lower_bound(failed, total);
            Few { failed, total, bound, threshold: levels.threshold }
        });
        let judged = few.map_or(ratio, |few| few.bound);
        let standing = match levels.standing(judged, Side::Above) {
            Standing::Beyond if few.is_some() && failed < low_traffic::MIN_FAILURES => Standing::Between,
            standing => standing,
        };
        let basis = Basis::Counted { ratio, failed, total, window: view.length };
        Ok(Seen { value: ratio, standing, resolves, any_failure: failed > 0.0, basis, few })
    }

    /// Failures as a multiple of the error budget.
    fn see_burn(&self, failed: f64, total: f64, budget: f64, levels: Levels, view: View) -> Result<Seen, Unknown> {
        let levels = Levels { threshold: levels.threshold * budget, clear: levels.clear * budget };
        let seen = self.see_failures(failed, total, levels, view)?;
        let (ratio, rate) = (seen.value, seen.value / budget);
        Ok(Seen { value: rate, basis: Basis::Burn { rate, ratio, failed, total, window: view.length }, ..seen })
    }

    /// Whether a quantile rests on enough requests to tell; unknown where the window cannot do without.
    fn see_quantile(&self, q: f64, value: f64, requests: f64, view: View) -> Result<bool, Unknown> {
        let requests = number(requests)?;
        if requests <= 0.0 {
            return Err(Unknown::NoTraffic);
        }
        let needed = low_traffic::needed_for_quantile(q);
        let resolves = self.literal || requests >= needed;
        if !view.confirms && !resolves {
            return Err(Unknown::TooFewRequests { requests, needed });
        }
        number(value)?;
        Ok(resolves)
    }
}

fn number(value: f64) -> Result<f64, Unknown> {
    if value.is_finite() { Ok(value) } else { Err(Unknown::NotANumber) }
}

/// What the reading is compared with.
fn base(reading: &Reading) -> Result<f64, Unknown> {
    match &reading.baseline {
        None => Err(Unknown::Baseline(Box::new(Unknown::NotObserved))),
        Some(Err(unknown)) => Err(Unknown::Baseline(Box::new(unknown.clone()))),
        Some(Ok(base)) if base.is_finite() => Ok(*base),
        Some(Ok(_)) => Err(Unknown::Baseline(Box::new(Unknown::NotANumber))),
    }
}

fn compare(reading: &Reading, how: impl Fn(f64) -> Option<f64>) -> Result<(f64, f64), Unknown> {
    let base = base(reading)?;
    let worse = how(base).ok_or_else(|| Unknown::Baseline(Box::new(Unknown::NotANumber)))?;
    Ok((number(worse)?, base))
}

/// `at` less `by`, or the beginning of time.
fn back(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// The time from `from` to `to`; nothing when it runs backwards.
pub(super) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A trigger's clocks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// For how long the breach has been observed; `None` while there is none.
    pub held: Option<Duration>,
    /// For how long clear has been observed without a break; `None` while it is not clear.
    pub clear: Option<Duration>,
    /// The last tick whose verdict was known.
    pub last_known: Option<Timestamp>,
}

impl Clocks {
    /// Advances the clocks by one tick's verdict. Ticks must come in the order of their time.
    pub fn advance(&mut self, verdict: &Verdict, at: Timestamp, clear_for: Duration, interval: Duration) {
        if matches!(verdict, Verdict::Unknown(_)) {
            return;
        }
        let gain = self.last_known.map_or(Duration::ZERO, |last| since(last, at).min(interval * MAX_GAIN_INTERVALS));
        self.last_known = Some(at);
        if *verdict == Verdict::Clear {
            let clear = self.clear.map_or(Duration::ZERO, |clear| clear + gain);
            self.clear = Some(clear);
            if clear >= clear_for {
                self.held = None;
            }
            return;
        }
        self.clear = None;
        match &mut self.held {
            Some(held) => *held += gain,
            None if *verdict == Verdict::Breach => self.held = Some(Duration::ZERO),
            None => {}
        }
    }
}
