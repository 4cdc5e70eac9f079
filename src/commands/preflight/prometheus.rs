//! Whether Prometheus can be asked, and what it says to every query of every trigger.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{Guard, Settings};
use crate::engine::{Evidence, Name, Reading, TriggerAction, TriggerSettings, Unknown, Verdict, duration_in_words};
use crate::prometheus::{Client, Plan};

use super::baselines::Kept;
use super::check::{Area, Check, Result};

use super::clock::{self, Asked};

/// A window must hold this many scrapes: a rate needs two samples.
const LEAST_SCRAPES: f64 = 2.0;

/// By guard and trigger.
type Readings = BTreeMap<Name, BTreeMap<Name, Reading>>;

/// What Prometheus said.
pub(super) enum Measured {
    /// No client can be made of the settings.
    NoClient(String),
    /// It did not answer.
    Silent(Unknown),
    /// It answers.
    Answers {
        date: Option<String>,
        asked: Asked,
        readings: Readings,
        /// How many samples the shortest window of each trigger holds.
        scrapes: Readings,
    },
}

/// Asks everything that the daemon asks, once, and how often the series are scraped.
pub(super) async fn measure(settings: &Settings) -> Measured {
    let client = match Client::new(&settings.prometheus) {
        Ok(client) => client,
        Err(e) => return Measured::NoClient(e.to_string()),
    };
    let sent = Timestamp::now();
    let date = match client.greet().await {
        Ok(date) => date,
        Err(unknown) => return Measured::Silent(unknown),
    };
    let asked = Asked { sent, answered: Timestamp::now() };
    let now = Timestamp::now();
    let at = now.checked_sub(settings.evaluation.offset).unwrap_or(now);
    let (plan, scrapes) = (Plan::new(&settings.guards), Plan::of_scrapes(&settings.guards));
    // One after the other: together they would be twice what a tick asks for.
    let (answers, _) = client.ask(&plan, at).await;
    let (counts, _) = client.ask(&scrapes, at).await;
    Measured::Answers { date, asked, readings: plan.readings(&answers), scrapes: scrapes.readings(&counts) }
}

/// What that means, with the guards' shares as far as they are known.
pub(super) fn judge(
    measured: &Measured,
    settings: &Settings,
    shares: &BTreeMap<String, u8>,
    kept: &Kept,
) -> Vec<Check> {
    let url = &settings.prometheus.url;
    let (date, asked, readings, scrapes) = match measured {
        Measured::NoClient(error) => {
            return vec![Area::Prometheus.fail("answers", error, "correct the settings under prometheus")];
        }
        Measured::Silent(unknown) => {
            return vec![Area::Prometheus.fail(
                "answers",
                unknown.to_string(),
                "check prometheus.url, what stands between (network policies, proxies), and the credentials; no trigger was measured",
            )];
        }
        Measured::Answers { date, asked, readings, scrapes } => (date, asked, readings, scrapes),
    };
    let mut checks =
        vec![Area::Prometheus.ok("answers", url), clock::check(Area::Prometheus, date.as_deref(), *asked, true)];
    for guard in &settings.guards {
        let share = shares.get(&guard.name).copied();
        for settings in &guard.engine.triggers {
            let reading = readings.get(guard.name.as_str()).and_then(|of_guard| of_guard.get(settings.name.as_str()));
            let document = kept.as_ref().ok().and_then(Option::as_ref);
            let kept = document.map_or(&[][..], |d| d.engine.baselines(&guard.name, &settings.name));
            // That nothing is recorded is said beside the state.
            let reading = reading.and_then(|reading| settings.complete(reading, kept).ok());
            checks.extend(reading.map(|reading| trigger(guard, settings, &reading, share)));
        }
        let (scrapes, readings) = (scrapes.get(guard.name.as_str()), readings.get(guard.name.as_str()));
        checks.extend(scrapes.zip(readings).and_then(|(scrapes, readings)| windows(guard, scrapes, readings)));
    }
    checks
}

/// What one trigger says right now.
fn trigger(guard: &Guard, settings: &TriggerSettings, reading: &Reading, share: Option<u8>) -> Check {
    let what = format!("{}: {}", guard.name, settings.name);
    let seen = settings.assess(reading, share);
    let unknown = match &seen.verdict {
        Verdict::Clear | Verdict::Band => return Area::Prometheus.ok(what, seen.text(settings)),
        Verdict::Breach => {
            let hint = "it is bad already: a trigger that rolls back would do so soon after Ripcord starts";
            return Area::Prometheus.warn(what, format!("{}: {}", seen.text(settings), seen.reason(settings)), hint);
        }
        Verdict::Unknown(unknown) => unknown.clone(),
    };
    let result = if settings.action == TriggerAction::Page || is_no_fault(&unknown, share) {
        Result::Warn
    } else {
        Result::Fail
    };
    Area::Prometheus.amiss(result, what, seen.reason(settings), hint(&unknown, share))
}

/// Whether the sensor may be as it should be.
fn is_no_fault(unknown: &Unknown, share: Option<u8>) -> bool {
    unknown.is_quiet() || (share == Some(0) && unknown.is_expected_at_zero())
}

fn hint(unknown: &Unknown, share: Option<u8>) -> &'static str {
    match unknown {
        Unknown::NoSeries if share == Some(0) => {
            "the share is 0 %, so there may be no series yet; look again as soon as there is traffic"
        }
        Unknown::NoSeries => {
            "compare match and caller_match of the guard with the labels that the series have in Prometheus, and see that the pods are scraped"
        }
        Unknown::NoTraffic | Unknown::TooFewRequests { .. } => {
            "nothing is wrong with the query: until there are more requests it can tell nothing, and does nothing"
        }
        Unknown::SeveralSeries(_) => "put max(), min() or sum() around the query, so that it gives one number",
        Unknown::NotANumber => "try the query in Prometheus: a division by zero, or a histogram without observations",
        Unknown::TimedOut(_) => {
            "see why Prometheus is slow, or make the query cheaper (a recording rule); prometheus.timeout is the limit for all of a tick"
        }
        Unknown::Baseline(_) => "see that the baseline's series exist, or give the trigger a fixed one",
        _ => "try the query in Prometheus itself",
    }
}

/// Whether every window of a guard holds enough scrapes. Series that are not there at all are the triggers' to tell.
fn windows(guard: &Guard, scrapes: &BTreeMap<Name, Reading>, readings: &BTreeMap<Name, Reading>) -> Option<Check> {
    let counts = scrapes.iter().filter_map(|(trigger, reading)| match &reading.window {
        Ok(Evidence::Value(count)) => Some((trigger, *count)),
        // The longer window has seen it: in the short one there is just no scrape.
        Err(Unknown::NoSeries) if readings.get(trigger).is_some_and(|r| r.window.is_ok()) => Some((trigger, 0.0)),
        _ => None,
    });
    let (trigger, fewest) = counts.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let what = format!("{}: scrapes in a window", guard.name);
    let signal = guard.signals.get(&**trigger)?;
    let (name, window) = match signal.confirm_window {
        Some(window) => ("confirm_window", window),
        None => ("window", signal.window),
    };
    let detail = format!("{fewest:.0} in the {name} of {trigger} ({})", duration_in_words(window));
    Some(if fewest < LEAST_SCRAPES {
        let hint = format!("a rate needs two: widen the {name}, or scrape more often");
        Area::Prometheus.fail(what, detail, hint)
    } else {
        Area::Prometheus.ok(what, detail)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, LoadOptions};

    fn settings() -> Settings {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.yaml");
        config::load(&[file], Vec::new(), LoadOptions { syntax_only: true }).expect("a valid configuration")
    }

    fn reading(window: std::result::Result<Evidence, Unknown>) -> Reading {
        Reading { confirm: Some(window.clone()), window, baseline: None, burn: Vec::new() }
    }

    fn judged(window: std::result::Result<Evidence, Unknown>, action: TriggerAction, share: Option<u8>) -> Result {
        let mut settings = settings();
        settings.guards[0].engine.triggers[0].action = action;
        let guard = &settings.guards[0];
        trigger(guard, &guard.engine.triggers[0], &reading(window), share).result
    }

    #[test]
    fn what_cannot_be_measured_fails_where_a_rollback_rests_on_it() {
        use TriggerAction::{Page, Rollback};
        let counts = |failed, total| Ok(Evidence::Counts { failed, total });
        let few = || Err(Unknown::Baseline(Box::new(Unknown::TooFewRequests { requests: 3.0, needed: 10.0 })));
        let cases = [
            (counts(0.0, 1e5), Rollback, Some(25), Result::Ok),
            (counts(5e3, 1e5), Rollback, Some(25), Result::Warn),
            (counts(0.0, 0.0), Rollback, Some(25), Result::Warn),
            (few(), Rollback, Some(25), Result::Warn),
            (Err(Unknown::NoSeries), Rollback, Some(25), Result::Fail),
            (Err(Unknown::NoSeries), Rollback, None, Result::Fail),
            (Err(Unknown::NoSeries), Rollback, Some(0), Result::Warn),
            (Err(Unknown::NoSeries), Page, Some(25), Result::Warn),
            (Err(Unknown::SeveralSeries(3)), Rollback, Some(0), Result::Fail),
            (Err(Unknown::QueryFailed("parse error".into())), Rollback, Some(0), Result::Fail),
            (Err(Unknown::QueryFailed("parse error".into())), Page, Some(0), Result::Warn),
        ];
        for (window, action, share, wanted) in cases {
            assert_eq!(judged(window.clone(), action, share), wanted, "{window:?} {action:?} {share:?}");
        }
    }

    #[test]
    fn the_window_with_the_fewest_scrapes_counts() {
        let settings = settings();
        let guard = &settings.guards[0];
        let scrapes = |counts: &[f64]| {
            let name = |n: usize| ["error_rate", "other1"][n];
            let all = counts.iter().enumerate().map(|(n, count)| (name(n), reading(Ok(Evidence::Value(*count)))));
            windows(guard, &all.collect(), &BTreeMap::new())
        };
        assert_eq!(scrapes(&[]), None);
        let found = scrapes(&[1.0, 60.0]).expect("a check");
        assert_eq!(
            (found.result, found.detail.as_str()),
            (Result::Fail, "1 in the confirm_window of error_rate (1m0s)")
        );
        assert!(found.hint.is_some_and(|hint| hint.contains("widen the confirm_window")));
        assert_eq!(scrapes(&[2.0, 60.0]).map(|check| check.result), Some(Result::Ok));
        let of = |window| BTreeMap::from([("error_rate", reading(window))]);
        let (nothing, seen) = (of(Err(Unknown::NoSeries)), of(Ok(Evidence::Counts { failed: 0.0, total: 9.0 })));
        assert_eq!(windows(guard, &nothing, &nothing), None, "the trigger says it");
        let found = windows(guard, &nothing, &seen).expect("a check");
        assert_eq!(
            (found.result, found.detail.as_str()),
            (Result::Fail, "0 in the confirm_window of error_rate (1m0s)")
        );
    }
}
