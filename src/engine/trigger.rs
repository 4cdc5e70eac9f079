//! One trigger: from a reading to a verdict, and from verdicts to the held clock.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::TriggerFacts;
use super::input::{Evidence, Reading, Unknown};
use super::settings::{Levels, Measure, Side, TriggerSettings};
use super::{baseline, low_traffic, words};

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

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// The measured value over the window, in the unit of the trigger's levels.
    pub value: Option<f64>,
    /// What it was compared with, in the signal's own unit.
    pub baseline: Option<f64>,
    /// The threshold that held.
    pub threshold: f64,
    /// The value in words.
    pub text: String,
    /// Why this verdict, in words.
    pub reason: String,
}

/// One window's evidence against the levels.
struct Seen {
    value: f64,
    standing: Standing,
    /// Whether the window holds enough requests to tell.
    resolves: bool,
    /// Whether anything at all went wrong in it.
    any_failure: bool,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Beyond,
    Between,
    Inside,
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

impl TriggerSettings {
    /// The levels that hold at a share. A share that is not known takes the plain ones: not knowing is no reason to be stricter.
    pub fn levels_at(&self, share: Option<u8>) -> Levels {
        share
            .and_then(|share| self.stages.iter().find(|stage| share <= stage.up_to))
            .map_or(self.levels, |stage| stage.levels)
    }

    /// The verdict on a reading.
    pub fn assess(&self, reading: &Reading, share: Option<u8>) -> Assessment {
        let levels = self.levels_at(share);
        let window = self.see(&reading.window, reading, levels, true);
        let confirm = self.confirm_window.map(|_| match &reading.confirm {
            Some(confirm) => self.see(confirm, reading, levels, false),
            None => Err(Unknown::NotObserved),
        });
        let (verdict, reason) = match (&window, &confirm) {
            (Err(unknown), _) => (Verdict::Unknown(unknown.clone()), unknown.to_string()),
            (Ok(w), None) => match w.standing {
                Standing::Beyond => (Verdict::Breach, "beyond the threshold".to_owned()),
                Standing::Inside => (Verdict::Clear, "inside the clear level".to_owned()),
                Standing::Between => (Verdict::Band, "between the threshold and the clear level".to_owned()),
            },
            (Ok(w), Some(_)) if w.standing == Standing::Inside => {
                (Verdict::Clear, "inside the clear level over the window".to_owned())
            }
            (Ok(_), Some(Err(unknown))) => {
                (Verdict::Unknown(unknown.clone()), format!("over the confirm window: {unknown}"))
            }
            (Ok(w), Some(Ok(c))) => {
                if w.standing == Standing::Beyond && c.standing == Standing::Beyond && c.any_failure {
                    (Verdict::Breach, format!("beyond the threshold over the window, and still ({})", c.text))
                } else if c.standing == Standing::Inside && c.resolves {
                    (Verdict::Clear, format!("over by now: {} in the confirm window", c.text))
                } else if w.standing == Standing::Beyond {
                    (Verdict::Band, format!("beyond the threshold over the window, {} in the confirm window", c.text))
                } else {
                    (Verdict::Band, "between the threshold and the clear level".to_owned())
                }
            }
        };
        Assessment {
            verdict,
            value: window.as_ref().ok().map(|w| w.value),
            // Only a number may get into a page and the journal: JSON has no other.
            baseline: reading.baseline.as_ref().and_then(|b| b.as_ref().ok()).copied().filter(|b| b.is_finite()),
            threshold: levels.threshold,
            text: window.map_or_else(|unknown| unknown.to_string(), |w| w.text),
            reason,
        }
    }

    /// The verdict on a reading of `at` by data younger than `since` alone.
    pub fn assess_since(&self, reading: &Reading, share: Option<u8>, at: Timestamp, since: Timestamp) -> Verdict {
        let reaches = |window: Duration| back(at, window) >= since;
        if reaches(self.window) {
            return self.assess(reading, share).verdict;
        }
        match (self.confirm_window, &reading.confirm) {
            (Some(window), Some(confirm)) if reaches(window) => {
                match self.see(confirm, reading, self.levels_at(share), false) {
                    Err(unknown) => Verdict::Unknown(unknown),
                    Ok(c) if c.standing == Standing::Beyond && c.any_failure => Verdict::Breach,
                    Ok(c) if c.standing == Standing::Inside && c.resolves => Verdict::Clear,
                    Ok(_) => Verdict::Band,
                }
            }
            _ => Verdict::Unknown(Unknown::TooEarly),
        }
    }

    /// Judges one window. `main` is the window itself, where little traffic needs stronger evidence; the confirm window only has to say
    /// whether it is still so.
    fn see(
        &self,
        evidence: &Result<Evidence, Unknown>,
        reading: &Reading,
        levels: Levels,
        main: bool,
    ) -> Result<Seen, Unknown> {
        let evidence = (*evidence).clone()?;
        match (self.measure, evidence) {
            (Measure::FailureRatio, Evidence::Counts { failed, total }) => {
                let seen = self.see_failures(failed, total, levels.threshold, levels.clear, main)?;
                let text = words::counted(words::percent(seen.value), failed, total);
                Ok(Seen { text, ..seen })
            }
            (Measure::Availability, Evidence::Counts { failed, total }) => {
                let seen = self.see_failures(failed, total, 1.0 - levels.threshold, 1.0 - levels.clear, main)?;
                let value = 1.0 - seen.value;
                let text = words::counted(words::percent(value), failed, total);
                Ok(Seen { value, text, ..seen })
            }
            (Measure::Quantile { q }, Evidence::Quantile { value, requests }) => {
                let resolves = self.see_quantile(q, value, requests, main)?;
                Ok(Seen {
                    value,
                    standing: levels.standing(value, self.side),
                    resolves,
                    any_failure: true,
                    text: words::quantity(value, self.unit),
                })
            }
            (Measure::QuantileDegradation { q }, Evidence::Quantile { value, requests }) => {
                let resolves = self.see_quantile(q, value, requests, main)?;
                let (worse, base) = compare(reading, |base| baseline::degradation(value, base))?;
                Ok(Seen {
                    value: worse,
                    standing: levels.standing(worse, self.side),
                    resolves,
                    any_failure: true,
                    text: words::degradation(worse, value, base, self.unit),
                })
            }
            (Measure::Value, Evidence::Value(value)) => {
                let value = number(value)?;
                Ok(Seen {
                    value,
                    standing: levels.standing(value, self.side),
                    resolves: true,
                    any_failure: true,
                    text: words::quantity(value, self.unit),
                })
            }
            (Measure::ValueDegradation | Measure::ValueDrop, Evidence::Value(value)) => {
                let value = number(value)?;
                let drop = self.measure == Measure::ValueDrop;
                let (worse, base) = compare(reading, |base| {
                    if drop { baseline::drop_below(value, base) } else { baseline::degradation(value, base) }
                })?;
                Ok(Seen {
                    value: worse,
                    standing: levels.standing(worse, self.side),
                    resolves: true,
                    any_failure: true,
                    text: words::degradation(if drop { -worse } else { worse }, value, base, self.unit),
                })
            }
            // Evidence of another kind than the trigger measures: the daemon asked for something else.
            _ => Err(Unknown::NotObserved),
        }
    }

    fn see_failures(&self, failed: f64, total: f64, threshold: f64, clear: f64, main: bool) -> Result<Seen, Unknown> {
        let failed = number(failed)?;
        let total = number(total)?;
        if total <= 0.0 {
            return Err(Unknown::NoTraffic);
        }
        let ratio = (failed / total).clamp(0.0, 1.0);
        let resolves = self.literal || low_traffic::resolves_ratio(total, threshold);
        let few = main && !resolves;
        let judged = if few { low_traffic::wilson_lower_bound(failed, total) } else { ratio };
        let levels = Levels { threshold, clear };
        let standing = match levels.standing(judged, Side::Above) {
            Standing::Beyond if few && failed < low_traffic::MIN_FAILURES => Standing::Between,
            standing => standing,
        };
        Ok(Seen { value: ratio, standing, resolves, any_failure: failed > 0.0, text: String::new() })
    }

    /// Whether a quantile rests on enough requests to tell; unknown where the window cannot do without.
    fn see_quantile(&self, q: f64, value: f64, requests: f64, main: bool) -> Result<bool, Unknown> {
        let requests = number(requests)?;
        if requests <= 0.0 {
            return Err(Unknown::NoTraffic);
        }
        let needed = low_traffic::needed_for_quantile(q);
        let resolves = self.literal || requests >= needed;
        if main && !resolves {
            return Err(Unknown::TooFewRequests { requests, needed });
        }
        number(value)?;
        Ok(resolves)
    }
}

fn number(value: f64) -> Result<f64, Unknown> {
    if value.is_finite() { Ok(value) } else { Err(Unknown::NotANumber) }
}

fn compare(reading: &Reading, how: impl Fn(f64) -> Option<f64>) -> Result<(f64, f64), Unknown> {
    let base = match &reading.baseline {
        None => return Err(Unknown::Baseline(Box::new(Unknown::NotObserved))),
        Some(Err(unknown)) => return Err(Unknown::Baseline(Box::new(unknown.clone()))),
        Some(Ok(base)) => *base,
    };
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

impl Assessment {
    /// The facts that a page carries.
    pub fn facts(&self, settings: &TriggerSettings, held: Option<Duration>) -> TriggerFacts {
        TriggerFacts {
            name: settings.name.clone(),
            value: self.value,
            threshold: self.threshold,
            threshold_text: words::threshold(settings, self.threshold),
            held_seconds: held.unwrap_or_default().as_secs_f64(),
            baseline: self.baseline,
            text: self.text.clone(),
        }
    }
}
