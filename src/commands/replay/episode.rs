//! One breach, from its first tick until its clock is back at nothing: did it fire, and if not, why not?

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Side, TriggerSettings, TriggerView, Unknown, Verdict, Withheld, duration_in_words};

use super::report::NearMiss;
use super::words;

/// The part of its `for` that a breach must have been held to be called a near miss.
const NEAR: f64 = 0.5;

/// One breach of one trigger.
#[derive(Debug)]
pub struct Episode {
    /// Its first tick.
    pub began: Timestamp,
    /// Whether something was done about it, or about the incident that it belongs to.
    pub fired: bool,
    held: Duration,
    held_at: Timestamp,
    worst: Option<f64>,
    /// Seconds that were unknown, and what was said of them first, by reason.
    unknown: BTreeMap<&'static str, (f64, String)>,
    /// The first tick of the clear time that is going on, and what was said of it.
    clear: Option<(Timestamp, String)>,
    withheld: Vec<String>,
}

impl Episode {
    /// It begins.
    pub fn begin(at: Timestamp) -> Self {
        Self {
            began: at,
            fired: false,
            held: Duration::ZERO,
            held_at: at,
            worst: None,
            unknown: BTreeMap::new(),
            clear: None,
            withheld: Vec::new(),
        }
    }

    /// One tick of it; `reason` is what the engine said when the verdict last changed.
    pub fn tick(&mut self, view: &TriggerView<'_>, at: Timestamp, step: f64, reason: &str) {
        match view.verdict {
            Some(Verdict::Unknown(unknown)) => self.unknown(unknown, step),
            Some(Verdict::Clear) => {
                self.clear.get_or_insert_with(|| (at, reason.to_owned()));
            }
            Some(Verdict::Breach | Verdict::Band) => self.clear = None,
            None => {}
        }
        // Clear does not advance it as far as a reader is concerned: it was held until the last tick that was not.
        if self.clear.is_none() && view.held.is_some_and(|held| held > self.held) {
            self.held = view.held.unwrap_or_default();
            self.held_at = at;
        }
        self.worst = worse(view.settings, self.worst, view.value);
    }

    fn unknown(&mut self, unknown: &Unknown, step: f64) {
        self.unknown.entry(unknown.kind()).or_insert_with(|| (0.0, unknown.to_string())).0 += step;
    }

    /// Its clock is back at nothing: since when it was clear, and why.
    pub fn cleared(&mut self, at: Timestamp, reason: &str) -> Timestamp {
        self.clear.get_or_insert_with(|| (at, reason.to_owned())).0
    }

    /// It held for long enough, and nothing was done about it at this tick. Whether that was for what is seen, and not for what was done
    /// already.
    pub fn withhold(&mut self, why: &Withheld, at: Timestamp) {
        match why {
            Withheld::NotBreaching | Withheld::Unknown(_) => {
                self.withheld.push(format!("it held for long enough at {}, and then: {why}", words::time(at)));
            }
            // The guard was on it already.
            _ => self.fired = true,
        }
    }

    /// How much of its `for` it was held.
    pub fn closeness(&self, settings: &TriggerSettings) -> f64 {
        let hold_for = settings.hold_for.as_secs_f64();
        if hold_for > 0.0 { self.held.as_secs_f64() / hold_for } else { 0.0 }
    }

    /// What it was, where it held for long and did not fire.
    pub fn near_miss(&self, settings: &TriggerSettings, over: bool) -> Option<NearMiss> {
        if self.fired || self.closeness(settings) < NEAR {
            return None;
        }
        let unknown: f64 = self.unknown.values().map(|(seconds, _)| seconds).sum();
        let mut why_not = self.withheld.clone();
        if let Some((at, reason)) = &self.clear {
            why_not.push(format!("at {} it was clear: {reason}", words::time(*at)));
        }
        let mut reasons: Vec<_> = self.unknown.values().collect();
        reasons.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (seconds, example) in reasons {
            why_not.push(format!("for {} the clock stood still: {example}", words::seconds(*seconds)));
        }
        if !over {
            let missing = settings.hold_for.saturating_sub(self.held);
            why_not.push(if missing.is_zero() {
                "the history ends before a tick in breach".to_owned()
            } else {
                format!("the history ends {} before it", duration_in_words(missing))
            });
        }
        Some(NearMiss {
            from: self.began,
            to: if over { self.clear.as_ref().map(|(at, _)| *at) } else { None },
            held_seconds: self.held.as_secs_f64(),
            held_at: self.held_at,
            for_seconds: settings.hold_for.as_secs_f64(),
            worst_text: self.worst.map_or_else(|| "not known".to_owned(), |worst| settings.in_words(worst)),
            unknown_seconds: unknown,
            why_not,
        })
    }
}

/// The worse of two values of a trigger.
pub fn worse(settings: &TriggerSettings, a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match settings.side {
            Side::Above => a.max(b),
            Side::Below => a.min(b),
        }),
        (one, other) => one.or(other),
    }
}
