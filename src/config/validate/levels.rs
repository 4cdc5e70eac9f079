//! Thresholds and clear levels: which go with which signal, in which unit, and on which side of one another they may
//! lie.

use crate::config::field::{At, Field};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::{self, Scalar};
use crate::engine::{Levels, Measure, Side, Unit};

/// The kind of a trigger's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ErrorRate,
    Availability,
    ClientErrorRate,
    Latency,
    Throughput,
    Promql,
}

impl Kind {
    /// The built-in signals, by the words they are written with.
    pub(super) const SIGNALS: [(&'static str, Self); 5] = [
        ("error_rate", Self::ErrorRate),
        ("availability", Self::Availability),
        ("client_error_rate", Self::ClientErrorRate),
        ("latency", Self::Latency),
        ("throughput", Self::Throughput),
    ];

    /// The kind as one says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Promql => "promql",
            signal => Self::SIGNALS.iter().find(|(_, kind)| *kind == signal).map_or("", |(word, _)| word),
        }
    }
}

/// The key that a threshold is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Above,
    Below,
    DegradedBy,
    RisesBy,
}

impl Key {
    /// The key as it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::DegradedBy => "degraded_by",
            Self::RisesBy => "rises_by",
        }
    }
}

/// The keys of levels, of a trigger or of a stage.
pub(super) struct Written<'a> {
    pub(super) above: &'a Field<Scalar>,
    pub(super) below: &'a Field<Scalar>,
    pub(super) degraded_by: &'a Field<Scalar>,
    pub(super) rises_by: &'a Field<Scalar>,
    pub(super) clear_below: &'a Field<Scalar>,
    pub(super) clear_above: &'a Field<Scalar>,
}

impl<'a> From<&'a raw::Trigger> for Written<'a> {
    fn from(t: &'a raw::Trigger) -> Self {
        Self {
            above: &t.above,
            below: &t.below,
            degraded_by: &t.degraded_by,
            rises_by: &t.rises_by,
            clear_below: &t.clear_below,
            clear_above: &t.clear_above,
        }
    }
}

impl<'a> From<&'a raw::StageLevels> for Written<'a> {
    fn from(t: &'a raw::StageLevels) -> Self {
        Self {
            above: &t.above,
            below: &t.below,
            degraded_by: &t.degraded_by,
            rises_by: &t.rises_by,
            clear_below: &t.clear_below,
            clear_above: &t.clear_above,
        }
    }
}

/// Which threshold is written.
pub(super) enum Threshold<'a> {
    /// None.
    None,
    /// This one.
    One(Key, &'a Field<Scalar>),
    /// Several; that has been said.
    Several,
}

impl<'a> Written<'a> {
    /// The one threshold that is written, rightly or wrongly.
    pub(super) fn threshold(&self, path: &Path, problems: &mut Problems) -> Threshold<'a> {
        let keys = [
            (Key::Above, self.above),
            (Key::Below, self.below),
            (Key::DegradedBy, self.degraded_by),
            (Key::RisesBy, self.rises_by),
        ];
        let written: Vec<_> = keys.into_iter().filter(|(_, field)| field.is_written()).collect();
        match written[..] {
            [] => Threshold::None,
            [(key, field)] => Threshold::One(key, field),
            _ => {
                let names: Vec<_> = written.iter().map(|(key, _)| key.name()).collect();
                problems.error(path, format!("has {}; keep one of them", names.join(" and ")));
                Threshold::Several
            }
        }
    }
}

/// How the levels of a trigger are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The key of its threshold.
    pub(super) key: Key,
    /// How the number is made.
    pub(super) measure: Measure,
    /// Which side is bad.
    pub(super) side: Side,
    scale: Scale,
}

/// In which unit levels are written, and between which bounds.
#[derive(Debug, Clone, Copy)]
enum Scale {
    Share,
    Growth,
    Seconds,
    Rate,
    Any,
}

impl Rule {
    /// The rule for a kind of signal and a threshold's key. The error says which keys go with the signal.
    pub(super) fn new(kind: Kind, key: Key, q: f64) -> Result<Self, String> {
        let (measure, side, scale) = match (kind, key) {
            (Kind::ErrorRate, Key::Above) => (Measure::FailureRatio, Side::Above, Scale::Share),
            (Kind::Availability, Key::Below) => (Measure::Availability, Side::Below, Scale::Share),
            (Kind::ClientErrorRate, Key::Above) => (Measure::FailureRatio, Side::Above, Scale::Share),
            (Kind::ClientErrorRate, Key::RisesBy) => (Measure::FailureRise, Side::Above, Scale::Share),
            (Kind::Latency, Key::Above) => (Measure::Quantile { q }, Side::Above, Scale::Seconds),
            (Kind::Latency, Key::DegradedBy) => (Measure::QuantileDegradation { q }, Side::Above, Scale::Growth),
            (Kind::Throughput | Kind::Promql, Key::Above | Key::Below) => {
                let side = if key == Key::Above { Side::Above } else { Side::Below };
                (Measure::Value, side, if kind == Kind::Promql { Scale::Any } else { Scale::Rate })
            }
            (Kind::Throughput, Key::DegradedBy) => (Measure::ValueDrop, Side::Above, Scale::Share),
            (Kind::Promql, Key::DegradedBy) => (Measure::ValueDegradation, Side::Above, Scale::Growth),
            (Kind::ErrorRate, _) => return Err("an error rate is bad when it is high; write above".to_owned()),
            (Kind::Availability, _) => return Err("an availability is bad when it is low; write below".to_owned()),
            (Kind::ClientErrorRate, _) => {
                return Err(
                    "a rate of client errors is bad when it is high; write above or rises_by (like 5%)".to_owned()
                );
            }
            (Kind::Throughput | Kind::Promql, Key::RisesBy) => {
                return Err("is for client_error_rate; write degraded_by".to_owned());
            }
            (Kind::Latency, Key::Below | Key::RisesBy) => {
                return Err(
                    "a latency is bad when it is high; write above (like 150ms) or degraded_by (like 50%)".to_owned()
                );
            }
        };
        Ok(Self { key, measure, side, scale })
    }

    /// Reads a level.
    pub(super) fn parse(&self, at: &At<Scalar>, problems: &mut Problems) -> Option<(f64, Unit)> {
        let parsed = match self.scale {
            Scale::Share => units::share(&at.value).map(|v| (v, Unit::Ratio)),
            Scale::Growth => units::growth(&at.value).map(|v| (v, Unit::Ratio)),
            Scale::Seconds => units::latency(&at.value).map(|v| (v, Unit::Seconds)),
            Scale::Rate => units::rate(&at.value).map(|v| (v, Unit::PerSecond)),
            Scale::Any => units::quantity(&at.value),
        };
        problems.take(&at.path, parsed)
    }

    /// Reads the clear level that goes with a threshold: `Some(None)` when none is written.
    pub(super) fn clear(
        &self,
        written: &Written<'_>,
        threshold: (f64, Unit),
        said: &dyn std::fmt::Display,
        problems: &mut Problems,
    ) -> Option<Option<f64>> {
        let (key, right, wrong) = match self.side {
            Side::Above => ("clear_below", written.clear_below, written.clear_above),
            Side::Below => ("clear_above", written.clear_above, written.clear_below),
        };
        if let Some(at) = wrong.get() {
            problems.error(&at.path, format!("does not go with {}; write {key}", self.key.name()));
            return None;
        }
        let at = match right {
            Field::Missing => return Some(None),
            Field::Wrong => return None,
            Field::Given(at) => at,
        };
        let (clear, unit) = self.parse(at, problems)?;
        if unit != threshold.1 {
            problems.error(
                &at.path,
                format!("{} is in another unit than {}: {said}; write both in the same one", at.value, self.key.name()),
            );
            return None;
        }
        if !self.may_clear(clear, threshold.0) {
            let (lies, bound) = match self.side {
                Side::Above => ("above", "at most"),
                Side::Below => ("below", "at least"),
            };
            problems.error(
                &at.path,
                format!(
                    "{} lies {lies} the threshold ({}: {said}), so that it would call clear what is bad; write \
                        {bound} {said}",
                    at.value,
                    self.key.name()
                ),
            );
            return None;
        }
        Some(Some(clear))
    }

    /// Whether a level may be the clear level of a threshold.
    pub(super) fn may_clear(&self, clear: f64, threshold: f64) -> bool {
        match self.side {
            Side::Above => clear <= threshold,
            Side::Below => clear >= threshold,
        }
    }
}

/// The levels of a trigger, and what they were read by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// The rule.
    pub(super) rule: Rule,
    /// The levels.
    pub(super) levels: Levels,
    /// Their unit.
    pub(super) unit: Unit,
}

/// Reads the levels of a trigger.
pub(super) fn levels(kind: Kind, q: f64, at: &At<raw::Trigger>, problems: &mut Problems) -> Option<Read> {
    let written = Written::from(&at.value);
    let (key, field) = match written.threshold(&at.path, problems) {
        Threshold::Several => return None,
        Threshold::One(key, field) => (key, field),
        Threshold::None if at.value.has_unknown_keys => return None,
        Threshold::None => {
            let example = match kind {
                Kind::ErrorRate => "above: 1%",
                Kind::Availability => "below: 99%",
                Kind::ClientErrorRate => "rises_by: 5% with a baseline, or above: 20%",
                Kind::Latency => "above: 150ms or degraded_by: 50%",
                Kind::Throughput => "below: 20/s or degraded_by: 5%",
                Kind::Promql => "above: 128Mi or below: 1",
            };
            problems.error(&at.path, format!("needs a threshold, like {example}"));
            return None;
        }
    };
    let place = field.get().map_or(&at.path, |at| &at.path);
    let rule = problems.take(place, Rule::new(kind, key, q))?;
    let threshold_at = field.get()?;
    let threshold = rule.parse(threshold_at, problems)?;
    let clear = rule.clear(&written, threshold, &threshold_at.value, problems)?;
    let levels = Levels { threshold: threshold.0, clear: clear.unwrap_or(threshold.0) };
    Some(Read { rule, levels, unit: threshold.1 })
}
