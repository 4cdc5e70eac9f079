//! Burn rates of an error budget, rises of a ratio over its baseline, and what is said of little traffic. All numbers can be checked by
//! hand.

use super::super::super::trigger::Verdict;
use super::super::super::*;
use super::super::scenario::{error_rate, seconds};

type Seen = Result<Evidence, Unknown>;

fn counts(failed: f64, total: f64) -> Seen {
    Ok(Evidence::Counts { failed, total })
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown(unknown) => unknown.kind(),
        known => known.word(),
    }
}

/// 99.9 %: a budget of one in a thousand; 14.4x of it over 1h and 5m, or 6x over 6h and 30m.
fn budget() -> TriggerSettings {
    let hours = |n: u64| seconds(3600 * n);
    TriggerSettings {
        name: "budget".to_owned(),
        action: TriggerAction::Page,
        measure: Measure::BurnRate { budget: 0.001 },
        levels: Levels { threshold: 6.0, clear: 6.0 },
        burn_rates: vec![
            BurnRate { above: 14.4, window: hours(1), confirm_window: seconds(300) },
            BurnRate { above: 6.0, window: hours(6), confirm_window: seconds(1800) },
        ],
        window: hours(6),
        confirm_window: None,
        unit: Unit::None,
        ..error_rate()
    }
}

fn burning(burn: Vec<Burn>) -> Reading {
    Reading { window: Err(Unknown::NotObserved), confirm: None, baseline: None, burn }
}

#[test]
fn one_burn_rate_is_enough_and_both_its_windows_must_see_it() {
    let (calm, none) = (counts(0.0, 1e6), Err(Unknown::NoSeries));
    for (fast, slow, expected) in [
        // 1.5 % is 15x the budget.
        ((counts(15e3, 1e6), counts(1500.0, 1e5)), (calm.clone(), calm.clone()), "breach"),
        // 1.4 % is 14x: there is no other clear level than the threshold itself.
        ((counts(14e3, 1e6), counts(1500.0, 1e5)), (calm.clone(), calm.clone()), "clear"),
        // It is over by now.
        ((counts(15e3, 1e6), counts(0.0, 1e5)), (calm.clone(), calm.clone()), "clear"),
        // Slowly, 0.7 % is 7x.
        ((counts(7e3, 1e6), counts(700.0, 1e5)), (counts(7e3, 1e6), counts(7e3, 1e6)), "breach"),
        ((calm.clone(), calm.clone()), (counts(7e3, 1e6), counts(0.0, 1e6)), "clear"),
        ((calm.clone(), calm.clone()), (calm.clone(), calm.clone()), "clear"),
        // What is not seen could be the one that is bad; it does not hide one that is.
        ((none.clone(), calm.clone()), (calm.clone(), calm.clone()), "no_series"),
        ((none.clone(), none.clone()), (counts(7e3, 1e6), counts(7e3, 1e6)), "breach"),
        // 20 of 1000 is 20x, yet 1.44 % of 1000 requests is 14.4 failures: enough. Of 100 requests it is not.
        ((counts(20.0, 1e3), counts(2.0, 1e2)), (calm.clone(), calm.clone()), "breach"),
        ((counts(2.0, 1e2), counts(2.0, 1e2)), (calm.clone(), calm.clone()), "clear"),
    ] {
        let reading = burning(vec![fast.clone(), slow.clone()]);
        let seen = budget().assess(&reading, Some(25));
        assert_eq!(word(&seen.verdict), expected, "fast {fast:?}, slow {slow:?}");
    }
    // What was not measured, and evidence of another kind.
    assert_eq!(word(&budget().assess(&burning(Vec::new()), None).verdict), "not_observed");
    let odd = burning(vec![(Ok(Evidence::Value(1.0)), calm.clone()), (calm.clone(), calm)]);
    assert_eq!(word(&budget().assess(&odd, None).verdict), "not_observed");
}

#[test]
fn a_burn_rate_says_its_multiple_and_its_window() {
    let calm = counts(0.0, 1e6);
    let reading = burning(vec![(counts(240.0, 12e3), counts(20.0, 1e3)), (calm.clone(), calm)]);
    let trigger = budget();
    let seen = trigger.assess(&reading, Some(25));
    assert_eq!((seen.value, seen.threshold), (Some(20.0), 14.4));
    assert_eq!(seen.text(&trigger), "20x over 1h (2 %, 240 of 12000 requests failed)");
    assert_eq!(
        seen.reason(&trigger),
        "beyond the threshold over the window, and still (20x over 5m (2 %, 20 of 1000 requests failed))"
    );
    assert_eq!(seen.facts(&trigger, None).threshold_text, "14.4x");
}

/// Five points above the baseline is bad, less than two is good.
fn refused() -> TriggerSettings {
    TriggerSettings {
        name: "refused".to_owned(),
        action: TriggerAction::Page,
        measure: Measure::FailureRise,
        levels: Levels { threshold: 0.05, clear: 0.02 },
        ..error_rate()
    }
}

#[test]
fn a_rise_is_counted_in_points_above_the_baseline() {
    let unknown = Unknown::TooFewRequests { requests: 3.0, needed: 200.0 };
    for (window, confirm, baseline, expected) in [
        // Baseline 2 %: bad above 7 %, good below 4 %.
        (counts(710.0, 1e4), counts(142.0, 2e3), Ok(0.02), "breach"),
        (counts(690.0, 1e4), counts(142.0, 2e3), Ok(0.02), "band"),
        (counts(390.0, 1e4), counts(142.0, 2e3), Ok(0.02), "clear"),
        (counts(710.0, 1e4), counts(70.0, 2e3), Ok(0.02), "clear"),
        // Nothing at all before: a route that breaks now is still seen.
        (counts(600.0, 1e4), counts(120.0, 2e3), Ok(0.0), "breach"),
        // Twice as many of hardly any is nothing.
        (counts(2.0, 1e4), counts(1.0, 2e3), Ok(0.0001), "clear"),
        (counts(710.0, 1e4), counts(142.0, 2e3), Err(unknown), "baseline"),
        (counts(710.0, 1e4), counts(142.0, 2e3), Ok(f64::NAN), "baseline"),
    ] {
        let baseline = Some(baseline);
        let reading = Reading { window: window.clone(), confirm: Some(confirm.clone()), baseline, burn: Vec::new() };
        let seen = refused().assess(&reading, Some(25));
        assert_eq!(word(&seen.verdict), expected, "window {window:?}, confirm {confirm:?}, {:?}", reading.baseline);
    }
    let reading = Reading {
        window: counts(142.0, 1e3),
        confirm: Some(counts(142.0, 1e3)),
        baseline: Some(Ok(0.02)),
        burn: Vec::new(),
    };
    let seen = refused().assess(&reading, None);
    assert_eq!(seen.text(&refused()), "+12.2 points (14.2 % of 1000 requests, baseline 2 %)");
    assert_eq!(seen.facts(&refused(), None).threshold_text, "+5 points");
    assert!(seen.value.is_some_and(|rise| (rise - 0.122).abs() < 1e-12));
}

#[test]
fn what_few_requests_can_tell_is_said() {
    let availability = TriggerSettings {
        measure: Measure::Availability,
        side: Side::Below,
        levels: Levels { threshold: 0.99, clear: 0.99 },
        ..error_rate()
    };
    for (trigger, failed, total, expected) in [
        (error_rate(), 0.0, 9.0, "9 requests in 5m: too few to tell 1 % from 0"),
        (error_rate(), 2.0, 9.0, "9 requests in 5m: too few to tell 1 % from 0, and 2 of at least 5 failed"),
        (
            error_rate(),
            5.0,
            900.0,
            "900 requests in 5m: too few to tell 1 % from 0; at least 0.186 % of all fail, by the Wilson interval",
        ),
        // 5 of 100: at least 1.68 %, as in the table of the formula.
        (
            error_rate(),
            5.0,
            100.0,
            "100 requests in 5m: few to tell 1 % from 0, yet at least 1.68 % of all fail, by the Wilson interval",
        ),
        (availability, 0.0, 9.0, "9 requests in 5m: too few to tell 99 % from 100 %"),
        (error_rate(), 0.0, 1000.0, "inside the clear level over the window"),
    ] {
        let seen = counts(failed, total);
        let reading = Reading { window: seen.clone(), confirm: Some(seen), baseline: None, burn: Vec::new() };
        assert_eq!(trigger.assess(&reading, Some(25)).reason(&trigger), expected);
    }
}
