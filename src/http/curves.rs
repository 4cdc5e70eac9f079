//! The last hour of every trigger, for the charts of the page. The event loop writes after each tick; who draws copies what it draws.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Measure, Side, TriggerView, Unit, Verdict};

/// The time that one point stands for. A chart of an hour is some 300 pixels wide: more points than this would not be seen.
const SLOT: Duration = Duration::from_secs(30);

/// Points that are kept: an hour. Twelve bytes each, so that four thousand triggers take 6 MB.
const SLOTS: usize = 120;

/// How far beyond the threshold a chart reaches: a spike to 100 % must not press a threshold of 1 % flat.
const REACH: f64 = 5.0;

/// What a trigger said, from the best to the worst: of several that share a place in a chart the worst is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Clear, or nothing at all.
    Clear,
    /// Between the levels.
    Between,
    /// Unknown.
    Unknown,
    /// In breach.
    Breach,
}

impl Band {
    /// What a verdict is.
    pub fn of(verdict: Option<&Verdict>) -> Self {
        match verdict {
            Some(Verdict::Clear) => Self::Clear,
            Some(Verdict::Band) => Self::Between,
            Some(Verdict::Breach) => Self::Breach,
            Some(Verdict::Unknown(_)) | None => Self::Unknown,
        }
    }
}

/// From which value to which a chart of these values and levels is drawn.
pub fn reach(
    side: Side,
    measure: Measure,
    values: impl Iterator<Item = f64>,
    levels: impl Iterator<Item = f64> + Clone,
) -> (f64, f64) {
    let all = values.chain(levels.clone());
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let farthest = levels.clone().map(f64::abs).fold(0.0, f64::max);
    // Beside a limit of nothing there is nothing to go by but the values.
    let farthest = if farthest > 0.0 { farthest } else { f64::INFINITY };
    let (low, high) = match (side, measure) {
        (Side::Above, _) => (low.clamp(-farthest, 0.0), high.min(REACH * farthest)),
        (Side::Below, Measure::Availability) => {
            let lacking = levels.map(|level| 1.0 - level).fold(0.0, f64::max);
            let lacking = if lacking > 0.0 { lacking } else { f64::INFINITY };
            (low.max(1.0 - REACH * lacking), 1.0)
        }
        (Side::Below, _) => (low.min(0.0), high.min(REACH * farthest)),
    };
    // A little room, so that a line at the edge is seen.
    let room = (high - low).max(1e-9) * 0.05;
    (if low == 0.0 { low } else { low - room }, high + room)
}

/// A trigger over the last hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The seconds that a point stands for.
    pub slot_seconds: i64,
    /// Its points, in order. Where nothing was measured there is none.
    pub points: Vec<CurvePoint>,
}

/// The worst of half a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// When its time begins, in seconds of Unix time.
    pub at: i64,
    /// The worst value, where one was known.
    pub value: Option<f64>,
    /// The threshold, as it was last.
    pub threshold: f64,
    /// The worst that was said.
    pub band: Band,
}

/// The last hour of every trigger. Copies of it are the same one.
#[derive(Debug, Clone, Default)]
pub struct Curves(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    slot_seconds: i64,
    /// The number of the latest slot since the beginning of Unix time.
    latest: i64,
    /// In the order of the engine's triggers.
    triggers: Vec<Kind>,
}

/// One trigger, and what would make its values mean something else.
#[derive(Debug)]
struct Kind {
    guard: String,
    trigger: String,
    measure: Measure,
    unit: Unit,
    /// A ring: each slot has its place.
    points: Box<[Point; SLOTS]>,
}

/// Numbers of half the width: a chart has a few hundred pixels.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// Not a number where it was not known.
    value: f32,
    threshold: f32,
    /// None where nothing was said.
    band: Option<Band>,
}

const NOTHING: Point = Point { value: f32::NAN, threshold: f32::NAN, band: None };

impl Curves {
    /// Notes what every trigger said at the tick that was due at `at`. What is older than the latest is not used: ticks come in order.
    pub fn note<'a>(&self, at: Timestamp, interval: Duration, triggers: impl Iterator<Item = TriggerView<'a>>) {
        let mut kept = self.kept();
        // With fewer ticks than slots there would be gaps where none was.
        let slot_seconds = i64::try_from(SLOT.max(interval).as_secs()).unwrap_or(i64::MAX).max(1);
        if kept.slot_seconds != slot_seconds {
            *kept = Kept { slot_seconds, latest: 0, triggers: Vec::new() };
        }
        let slot = at.as_second().div_euclid(slot_seconds);
        if slot < kept.latest {
            return;
        }
        kept.go_on_to(slot);
        let place = place(slot);
        let mut next = 0;
        for view in triggers {
            kept.find(next, &view);
            kept.triggers[next].points[place].note(&view);
            next += 1;
        }
        kept.triggers.truncate(next);
    }

    /// The triggers of one guard by their names.
    pub fn of(&self, guard: &str) -> Vec<(String, Curve)> {
        let kept = self.kept();
        let of_guard = kept.triggers.iter().filter(|kind| kind.guard == guard);
        of_guard.map(|kind| (kind.trigger.clone(), kept.curve(kind))).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked with it left points that are drawn wrong at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a slot is in a ring.
fn place(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(SLOTS as i64)).unwrap_or_default()
}

impl Kept {
    /// Forgets what was in the places of the slots that begin now.
    fn go_on_to(&mut self, slot: i64) {
        let first = (self.latest + 1).max(slot - (SLOTS as i64 - 1));
        for begun in first..=slot {
            for kind in &mut self.triggers {
                kind.points[place(begun)] = NOTHING;
            }
        }
        self.latest = slot;
    }

    /// Sees to it that the next place is this trigger's. After a reload some are gone and others come between.
    fn find(&mut self, next: usize, view: &TriggerView<'_>) {
        if self.triggers.get(next).is_some_and(|kind| kind.is_of(view)) {
            return;
        }
        match self.triggers.iter().skip(next).position(|kind| kind.is_of(view)) {
            Some(further) => drop(self.triggers.drain(next..next + further)),
            None => self.triggers.insert(
                next,
                Kind {
                    guard: view.guard.to_owned(),
                    trigger: view.settings.name.clone(),
                    measure: view.settings.measure,
                    unit: view.settings.unit,
                    points: Box::new([NOTHING; SLOTS]),
                },
            ),
        }
    }

    fn curve(&self, kind: &Kind) -> Curve {
        let first = self.latest - (SLOTS as i64 - 1);
        let points = (first..=self.latest).filter_map(|slot| {
            let point = kind.points[place(slot)];
            Some(CurvePoint {
                at: slot * self.slot_seconds,
                value: Some(f64::from(point.value)).filter(|value| value.is_finite()),
                threshold: f64::from(point.threshold),
                band: point.band?,
            })
        });
        Curve { slot_seconds: self.slot_seconds, points: points.collect() }
    }
}

impl Kind {
    fn is_of(&self, view: &TriggerView<'_>) -> bool {
        self.trigger == view.settings.name
            && self.guard == view.guard
            && self.measure == view.settings.measure
            && self.unit == view.settings.unit
    }
}

impl Point {
    #[allow(clippy::cast_possible_truncation)]
    fn note(&mut self, view: &TriggerView<'_>) {
        if let Some(value) = view.value {
            let value = value as f32;
            // Where nothing is known yet, the other one is taken.
            self.value = match view.settings.side {
                Side::Above => self.value.max(value),
                Side::Below => self.value.min(value),
            };
        }
        self.threshold = view.levels.threshold as f32;
        self.band = self.band.max(Some(Band::of(view.verdict)));
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::tests::scenario::error_rate;
    use crate::engine::{TriggerSettings, Unknown};

    use super::*;

    fn settings(name: &str) -> TriggerSettings {
        TriggerSettings { name: name.to_owned(), ..error_rate() }
    }

    fn view<'a>(settings: &'a TriggerSettings, verdict: &'a Verdict, value: Option<f64>) -> TriggerView<'a> {
        TriggerView { guard: "shop", settings, verdict: Some(verdict), value, levels: settings.levels, held: None }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn half_a_minute_keeps_its_worst() {
        let (curves, settings) = (Curves::default(), settings("error_rate"));
        let unknown = Verdict::Unknown(Unknown::NoSeries);
        for (second, verdict, value) in [
            (0, &Verdict::Clear, Some(0.001)),
            (10, &Verdict::Breach, Some(0.5)),
            (20, &Verdict::Clear, Some(0.002)),
            (30, &unknown, None),
            (40, &Verdict::Clear, Some(0.25)),
            (60, &unknown, None),
        ] {
            curves.note(at(second), TEN, std::iter::once(view(&settings, verdict, value)));
        }
        let (name, curve) = curves.of("shop").remove(0);
        let said: Vec<_> = curve.points.iter().map(|p| (p.at - 1_800_000_000, p.value, p.band)).collect();
        assert_eq!(name, "error_rate");
        assert_eq!(said, [(0, Some(0.5), Band::Breach), (30, Some(0.25), Band::Unknown), (60, None, Band::Unknown)]);
        assert!(curves.of("other").is_empty());
    }

    #[test]
    fn an_hour_is_kept_and_what_nobody_measured_is_a_gap() {
        let (curves, settings) = (Curves::default(), settings("error_rate"));
        let note = |second| curves.note(at(second), TEN, std::iter::once(view(&settings, &Verdict::Clear, Some(0.0))));
        (0..1000).for_each(|n| note(10 * n));
        let hour = curves.of("shop").remove(0).1;
        assert_eq!(hour.points.len(), SLOTS);
        assert_eq!(hour.points[SLOTS - 1].at - hour.points[0].at, 3600 - 30);
        note(9990 + 600);
        let after = curves.of("shop").remove(0).1;
        assert_eq!(after.points.len(), SLOTS - 19, "ten minutes without a tick");
        note(9000);
        assert_eq!(curves.of("shop").remove(0).1, after, "an older tick changes nothing");
        note(1_000_000);
        assert_eq!(curves.of("shop").remove(0).1.points.len(), 1);
    }

    #[test]
    fn a_reload_keeps_the_curves_of_what_is_still_the_same() {
        let curves = Curves::default();
        let names = |names: &[&str], measure: Measure, second| {
            let all: Vec<_> = names.iter().map(|n| TriggerSettings { measure, ..settings(n) }).collect();
            curves.note(at(second), TEN, all.iter().map(|s| view(s, &Verdict::Clear, Some(0.1))));
            let lengths = curves.of("shop").into_iter().map(|(name, curve)| (name, curve.points.len()));
            lengths.collect::<Vec<_>>()
        };
        let of = |pairs: &[(&str, usize)]| pairs.iter().map(|(n, l)| ((*n).to_owned(), *l)).collect::<Vec<_>>();
        let measure = Measure::FailureRatio;
        assert_eq!(names(&["a", "c", "d"], measure, 0), of(&[("a", 1), ("c", 1), ("d", 1)]));
        assert_eq!(names(&["b", "c", "e"], measure, 30), of(&[("b", 1), ("c", 2), ("e", 1)]));
        assert_eq!(names(&["c"], measure, 60), of(&[("c", 3)]));
        assert_eq!(names(&["c"], Measure::Value, 90), of(&[("c", 1)]), "its values mean something else");
    }

    /// `above: 0`, and `below: 100%` of an availability: the values are told apart all the same.
    #[test]
    fn beside_a_limit_of_nothing_the_values_are_told_apart() {
        for (side, measure, limit) in [
            (Side::Above, Measure::Value, 0.0),
            (Side::Above, Measure::FailureRatio, 0.0),
            (Side::Below, Measure::Value, 0.0),
            (Side::Below, Measure::Availability, 1.0),
        ] {
            let (low, high) = reach(side, measure, [0.25, 0.75].into_iter(), std::iter::once(limit));
            assert!(low <= 0.25 && high >= 0.75 && high.is_finite(), "{side:?} {measure:?}: {low} to {high}");
            assert!((low..=high).contains(&limit), "{side:?} {measure:?}: {low} to {high}");
        }
        let (low, _) = reach(Side::Above, Measure::Value, [-3.0].into_iter(), std::iter::once(0.0));
        assert!(low <= -3.0, "{low}");
    }

    #[test]
    fn a_spike_does_not_press_the_threshold_flat() {
        let above =
            |values: &[f64]| reach(Side::Above, Measure::FailureRatio, values.iter().copied(), std::iter::once(0.01));
        assert!(above(&[0.0, 1.0]).1 < 0.06);
        assert_eq!(above(&[0.001]).0, 0.0);
        let (low, high) = reach(Side::Below, Measure::Availability, [0.2].into_iter(), std::iter::once(0.99));
        assert!(low > 0.94 && high > 1.0, "{low} {high}");
    }
}
