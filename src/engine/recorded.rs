//! Baselines that were taken from the past: what is kept of them, which one is in use, and what is too little for one.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::fnv1a;
use super::input::{Reading, Unknown};
use super::low_traffic;
use super::settings::{BaselineSource, Measure, TriggerSettings};
use super::trigger::since;
use super::words;

/// Versions that are kept of one trigger's baseline, the one in use included: enough to go back over a bad recording or two, and a few
/// hundred bytes each.
pub const KEPT_BASELINES: usize = 5;

/// A baseline rests on this many times the requests that a window needs. What scatters in a number falls with the square root of the
/// requests, so that with ten times as many a comparison scatters hardly more than the window does by itself.
const TIMES_A_WINDOW: f64 = 10.0;

/// The least samples of a mean. The usual rule of thumb for a mean that one more sample does not move.
const LEAST_SAMPLES: f64 = 30.0;

/// The least part of its period that a baseline must have seen. With less, it is the baseline of another period than it says.
const LEAST_COVERED: f64 = 0.5;

/// How far in the future a period may end: the clocks of two machines are never the same.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// A baseline as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Counts the recordings of its trigger, from 1.
    pub version: u32,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measurement,
}

/// What a period of the past says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Seconds for a latency, requests per second for a throughput, a part of one for a ratio, or the query's own unit.
    pub value: f64,
    /// How many requests or samples it rests on.
    pub count: f64,
    /// Of what these are.
    pub counted: Counted,
    /// The part of the period in which there was something to measure, from 0 to 1.
    pub covered: f64,
    /// The beginning of the period.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Of which series and how, as [`BaselineSource::digest`] has it.
    pub of: String,
}

/// What a baseline rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Requests, of a quantile or a ratio.
    Requests,
    /// Samples, of a mean.
    Samples,
}

impl Counted {
    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Samples => "samples",
        }
    }
}

/// What is recorded for one trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedBaselines {
    /// The version in use; absent where none was recorded of what is measured now.
    pub in_use: Option<u32>,
    /// From which age on, in seconds, it is too old.
    pub max_age_seconds: f64,
    /// Every version that is kept, the latest first.
    pub versions: Vec<Recorded>,
}

impl RecordedBaselines {
    /// The one in use.
    pub fn current(&self) -> Option<&Recorded> {
        self.versions.iter().find(|recorded| Some(recorded.version) == self.in_use)
    }

    /// Whether the one in use is too old.
    pub fn is_too_old(&self, now: Timestamp) -> bool {
        self.current().is_some_and(|recorded| recorded.age(now).as_secs_f64() > self.max_age_seconds)
    }
}

impl Recorded {
    /// How long ago it was recorded.
    pub fn age(&self, now: Timestamp) -> Duration {
        since(self.recorded_at, now)
    }

    /// `recorded 2026-01-02, 7d, 120345 requests, version 3`.
    pub(super) fn source(&self) -> String {
        let Measurement { from, to, count, counted, .. } = &self.measured;
        let (day, period) = (words::day(self.recorded_at), words::period(since(*from, *to)));
        format!("recorded {day}, {period}, {count:.0} {}, version {}", counted.as_str(), self.version)
    }
}

impl BaselineSource {
    /// What a recorded baseline is measured of, in sixteen digits: one of anything else is not used. `None` for any other baseline.
    pub fn digest(&self) -> Option<String> {
        match self {
            Self::Recorded { of, .. } => Some(format!("{:016x}", fnv1a(of.bytes()))),
            Self::Fixed | Self::Offset(_) | Self::Control(_) => None,
        }
    }
}

impl TriggerSettings {
    /// The recorded baseline that is in use: the last that was measured as the trigger measures now.
    pub(super) fn in_use<'a>(&self, kept: &'a [Recorded]) -> Option<&'a Recorded> {
        let digest = self.baseline.as_ref()?.digest()?;
        kept.iter().rfind(|recorded| recorded.measured.of == digest)
    }

    /// The reading with the recorded baseline in it; as it is for a trigger that takes none. `kept` are the recordings, the last the
    /// latest.
    ///
    /// Without a baseline nothing is known, however little there is to compare: that one must be recorded is told on a quiet night too.
    pub fn complete<'a>(&self, reading: &'a Reading, kept: &[Recorded]) -> Result<Cow<'a, Reading>, Unknown> {
        if !matches!(self.baseline, Some(BaselineSource::Recorded { .. })) {
            return Ok(Cow::Borrowed(reading));
        }
        let missing = if kept.is_empty() { Unknown::NotRecorded } else { Unknown::RecordedOfOther };
        let recorded = self.in_use(kept).ok_or_else(|| Unknown::Baseline(Box::new(missing)))?;
        Ok(Cow::Owned(Reading { baseline: Some(Ok(recorded.measured.value)), ..reading.clone() }))
    }

    /// Where the baseline comes from, in words; `None` without one.
    pub(super) fn baseline_source(&self, kept: &[Recorded]) -> Option<String> {
        Some(match self.baseline.as_ref()? {
            BaselineSource::Fixed => "fixed".to_owned(),
            BaselineSource::Offset(offset) => words::ago(*offset),
            BaselineSource::Control(series) => format!("{series} at the same time"),
            BaselineSource::Recorded { .. } => match self.in_use(kept) {
                Some(recorded) => recorded.source(),
                None => "recorded: none yet".to_owned(),
            },
        })
    }

    /// What is recorded for it; `None` for a trigger that takes no recorded baseline.
    pub fn recorded(&self, kept: &[Recorded]) -> Option<RecordedBaselines> {
        let Some(BaselineSource::Recorded { max_age, .. }) = &self.baseline else { return None };
        Some(RecordedBaselines {
            in_use: self.in_use(kept).map(|recorded| recorded.version),
            max_age_seconds: max_age.as_secs_f64(),
            versions: kept.iter().rev().cloned().collect(),
        })
    }

    /// How many requests or samples a recorded baseline must rest on.
    pub fn needed_for_baseline(&self) -> f64 {
        match self.measure {
            Measure::QuantileDegradation { q } => TIMES_A_WINDOW * low_traffic::needed_for_quantile(q),
            Measure::FailureRise => {
                let levels = self.stages.iter().map(|stage| stage.levels).chain([self.levels]);
                let least = levels.map(|levels| levels.threshold).fold(f64::INFINITY, f64::min);
                TIMES_A_WINDOW * low_traffic::needed_for_ratio(least)
            }
            _ => LEAST_SAMPLES,
        }
    }

    /// Why a measurement cannot be this trigger's baseline, with what to do; nothing where it can.
    pub fn refuses(&self, measured: &Measurement, now: Timestamp) -> Vec<String> {
        let Some(digest) = self.baseline.as_ref().and_then(BaselineSource::digest) else {
            return vec!["its baseline is not a recorded one: write baseline: {recorded: {}} for it".to_owned()];
        };
        let mut reasons = Vec::new();
        if measured.of != digest {
            reasons.push(
                "it was measured of other series, or of another quantile, than the trigger's: measure by the configuration that is in use"
                    .to_owned(),
            );
        }
        let ratio = self.measure == Measure::FailureRise;
        let fits = match ratio {
            true => (0.0..1.0).contains(&measured.value),
            false => measured.value.is_finite() && measured.value > 0.0,
        };
        if !fits {
            let must = if ratio { "a ratio from 0 to 1" } else { "above 0, to be divided by" };
            reasons.push(format!("{} is no baseline: it must be {must}", measured.value));
        }
        let needed = self.needed_for_baseline();
        let what = measured.counted.as_str();
        // What is no number is too little, and the state, as JSON, has no other.
        let enough = measured.count.is_finite() && measured.count >= needed;
        if !enough {
            reasons.push(format!(
                "{:.0} {what} are too few, it takes {needed:.0}: record over a longer period (--over), or when there is more traffic",
                measured.count
            ));
        }
        if !(LEAST_COVERED..=1.0).contains(&measured.covered) {
            reasons.push(format!(
                "there was something to measure in {} of the period only, and it takes {}: record over a shorter period (--over), \
                 which Prometheus still holds and in which the service was there",
                words::percent(measured.covered),
                words::percent(LEAST_COVERED)
            ));
        }
        if measured.from >= measured.to || measured.to > now + CLOCKS_APART {
            reasons.push(format!("{} to {} is no period of the past", measured.from, measured.to));
        }
        reasons
    }
}

/// Keeps one more, and forgets the oldest where there are too many. Returns its version.
pub(super) fn keep(kept: &mut Vec<Recorded>, measured: Measurement, now: Timestamp) -> u32 {
    let version = kept.iter().map(|recorded| recorded.version).max().unwrap_or(0).saturating_add(1);
    kept.push(Recorded { version, recorded_at: now, measured });
    if kept.len() > KEPT_BASELINES {
        kept.remove(0);
    }
    version
}
