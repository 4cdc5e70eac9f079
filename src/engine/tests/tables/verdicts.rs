//! From one reading to one verdict. All numbers can be checked by hand.

use super::super::super::trigger::Verdict;
use super::super::super::*;
use super::super::scenario::error_rate;

type Seen = Result<Evidence, Unknown>;

fn counts(failed: f64, total: f64) -> Seen {
    Ok(Evidence::Counts { failed, total })
}

fn quantile(milliseconds: f64, requests: f64) -> Seen {
    Ok(Evidence::Quantile { value: milliseconds / 1000.0, requests })
}

fn value(value: f64) -> Seen {
    Ok(Evidence::Value(value))
}

/// The verdict and, where it is unknown, its reason, as one word each.
fn word(trigger: &TriggerSettings, reading: &Reading, share: Option<u8>) -> &'static str {
    match trigger.assess(reading, share).verdict {
        Verdict::Unknown(unknown) => unknown.kind(),
        known => known.word(),
    }
}

#[track_caller]
fn check(trigger: &TriggerSettings, table: &[(Seen, Seen, &str)]) {
    for (window, confirm, expected) in table {
        let reading =
            Reading { window: window.clone(), confirm: Some(confirm.clone()), baseline: None, burn: Vec::new() };
        assert_eq!(word(trigger, &reading, Some(25)), *expected, "window {window:?}, confirm {confirm:?}");
    }
}

#[track_caller]
fn check_single(trigger: &TriggerSettings, table: &[(Seen, Option<Seen>, &str)]) {
    for (window, baseline, expected) in table {
        let baseline = baseline.clone().map(|b| {
            b.map(|b| match b {
                Evidence::Value(v) | Evidence::Quantile { value: v, .. } => v,
                Evidence::Counts { .. } => panic!("a baseline is one number"),
            })
        });
        let reading = Reading { window: window.clone(), confirm: None, baseline, burn: Vec::new() };
        assert_eq!(word(trigger, &reading, Some(25)), *expected, "window {window:?}, baseline {:?}", reading.baseline);
    }
}

#[test]
fn a_ratio_needs_both_windows_to_breach_and_one_to_clear() {
    check(
        &error_rate(),
        &[
            // over 5m of 10000,     over 1m of 2000
            (counts(200.0, 1e4), counts(40.0, 2e3), "breach"),
            (counts(101.0, 1e4), counts(21.0, 2e3), "breach"),
            // Exactly at the threshold is not beyond it.
            (counts(100.0, 1e4), counts(40.0, 2e3), "band"),
            (counts(200.0, 1e4), counts(20.0, 2e3), "band"),
            // The window is bad; by now it is between the levels.
            (counts(200.0, 1e4), counts(15.0, 2e3), "band"),
            // The window is still bad; by now it is over.
            (counts(200.0, 1e4), counts(9.0, 2e3), "clear"),
            // Exactly at the clear level is not inside it.
            (counts(200.0, 1e4), counts(10.0, 2e3), "band"),
            (counts(50.0, 1e4), counts(15.0, 2e3), "band"),
            // A short burst: the confirm window alone says nothing.
            (counts(49.0, 1e4), counts(49.0, 2e3), "clear"),
            (counts(80.0, 1e4), counts(80.0, 2e3), "band"),
        ],
    );
}

#[test]
fn a_confirm_window_with_too_few_requests_does_not_clear() {
    check(
        &error_rate(),
        &[
            // 999 requests x 1 % is less than 10.
            (counts(200.0, 1e4), counts(0.0, 999.0), "band"),
            (counts(200.0, 1e4), counts(0.0, 1000.0), "clear"),
            // It can still say that it is still so.
            (counts(200.0, 1e4), counts(1.0, 20.0), "breach"),
        ],
    );
}

#[test]
fn no_traffic_is_unknown_and_no_failures_are_zero() {
    check(
        &error_rate(),
        &[
            (counts(0.0, 0.0), counts(0.0, 0.0), "no_traffic"),
            (counts(0.0, 1e4), counts(0.0, 2e3), "clear"),
            (counts(0.0, 1e4), counts(0.0, 0.0), "clear"),
            // The window is bad and nobody asks any more: time nobody saw.
            (counts(200.0, 1e4), counts(0.0, 0.0), "no_traffic"),
        ],
    );
}

#[test]
fn what_is_not_known_is_unknown_with_its_reason() {
    let failed = Unknown::QueryFailed("503".to_owned());
    check(
        &error_rate(),
        &[
            (Err(failed.clone()), counts(40.0, 2e3), "query_failed"),
            (counts(200.0, 1e4), Err(failed), "query_failed"),
            (Err(Unknown::Stale(super::super::scenario::seconds(90))), counts(40.0, 2e3), "stale"),
            (Err(Unknown::Warning("partial".to_owned())), counts(40.0, 2e3), "warning"),
            (counts(f64::NAN, 1e4), counts(40.0, 2e3), "not_a_number"),
            (counts(200.0, f64::INFINITY), counts(40.0, 2e3), "not_a_number"),
            (counts(200.0, 1e4), counts(f64::NAN, 2e3), "not_a_number"),
            // Evidence of another kind than was asked for.
            (value(3.0), counts(40.0, 2e3), "not_observed"),
        ],
    );
}

#[test]
fn a_confirm_window_that_was_not_measured_is_not_taken_as_said() {
    let reading = Reading { window: counts(200.0, 1e4), confirm: None, baseline: None, burn: Vec::new() };
    assert_eq!(word(&error_rate(), &reading, None), "not_observed");
}

#[test]
fn little_traffic_is_judged_by_wilsons_lower_bound_with_five_failures() {
    // The lower bounds are of the formula, to three places.
    check(
        &error_rate(),
        &[
            // 4 of 20: bound 5.7 %, but fewer than 5 failures.
            (counts(4.0, 20.0), counts(4.0, 20.0), "band"),
            // 5 of 20: bound 8.3 %.
            (counts(5.0, 20.0), counts(5.0, 20.0), "breach"),
            // 5 of 100: bound 1.68 %.
            (counts(5.0, 100.0), counts(5.0, 20.0), "breach"),
            // 5 of 300: 1.67 %, but its bound is 0.549 %.
            (counts(5.0, 300.0), counts(5.0, 60.0), "band"),
            // 15 of 999: 1.5 %, its bound is 0.789 %; with 1000 requests the ratio counts itself.
            (counts(15.0, 999.0), counts(15.0, 999.0), "band"),
            (counts(15.0, 1000.0), counts(15.0, 999.0), "breach"),
            // The window is bad; the failures are over, with too few requests to call it clear.
            (counts(5.0, 100.0), counts(0.0, 20.0), "band"),
        ],
    );
}

#[test]
fn the_literal_reading_takes_ratios_as_they_are() {
    let literal = TriggerSettings { literal: true, ..error_rate() };
    check(
        &literal,
        &[
            (counts(1.0, 20.0), counts(1.0, 4.0), "breach"),
            (counts(1.0, 20.0), counts(0.0, 4.0), "clear"),
            (counts(0.0, 20.0), counts(0.0, 4.0), "clear"),
            (counts(0.0, 0.0), counts(0.0, 0.0), "no_traffic"),
        ],
    );
}

fn availability() -> TriggerSettings {
    TriggerSettings {
        name: "availability".to_owned(),
        measure: Measure::Availability,
        side: Side::Below,
        levels: Levels { threshold: 0.99, clear: 0.995 },
        ..error_rate()
    }
}

#[test]
fn availability_is_bad_below_its_threshold() {
    check(
        &availability(),
        &[
            (counts(110.0, 1e4), counts(22.0, 2e3), "breach"),
            (counts(90.0, 1e4), counts(22.0, 2e3), "band"),
            (counts(110.0, 1e4), counts(18.0, 2e3), "band"),
            (counts(40.0, 1e4), counts(22.0, 2e3), "clear"),
            (counts(110.0, 1e4), counts(8.0, 2e3), "clear"),
            (counts(4.0, 20.0), counts(4.0, 20.0), "band"),
            (counts(5.0, 20.0), counts(5.0, 20.0), "breach"),
        ],
    );
}

#[test]
fn availability_is_shown_as_such() {
    let reading =
        Reading { window: counts(200.0, 1e4), confirm: Some(counts(40.0, 2e3)), baseline: None, burn: Vec::new() };
    let seen = availability().assess(&reading, Some(25));
    assert_eq!((seen.value, seen.threshold), (Some(0.98), 0.99));
    assert_eq!(seen.text(&availability()), "98 % (200 of 10000 requests failed)");
}

fn latency(measure: Measure, threshold: f64, clear: f64) -> TriggerSettings {
    TriggerSettings { measure, levels: Levels { threshold, clear }, unit: Unit::Seconds, ..error_rate() }
}

#[test]
fn a_quantile_needs_ten_requests_beyond_it() {
    // P95: 200 requests.
    check(
        &latency(Measure::Quantile { q: 0.95 }, 0.5, 0.3),
        &[
            (quantile(600.0, 200.0), quantile(600.0, 200.0), "breach"),
            (quantile(600.0, 199.0), quantile(600.0, 200.0), "too_few_requests"),
            (quantile(400.0, 200.0), quantile(600.0, 200.0), "band"),
            (quantile(200.0, 200.0), quantile(600.0, 200.0), "clear"),
            (quantile(600.0, 1000.0), quantile(200.0, 200.0), "clear"),
            // The confirm window holds too few to clear.
            (quantile(600.0, 1000.0), quantile(200.0, 199.0), "band"),
            (quantile(600.0, 1000.0), quantile(f64::NAN, 0.0), "no_traffic"),
            (quantile(f64::NAN, 1000.0), quantile(200.0, 200.0), "not_a_number"),
        ],
    );
}

#[test]
fn degradation_compares_with_the_baseline() {
    let trigger =
        TriggerSettings { confirm_window: None, ..latency(Measure::QuantileDegradation { q: 0.95 }, 0.5, 0.25) };
    check_single(
        &trigger,
        &[
            // 120 ms x 1.5 = 180 ms, 120 ms x 1.25 = 150 ms.
            (quantile(181.0, 1e3), Some(value(0.12)), "breach"),
            (quantile(179.0, 1e3), Some(value(0.12)), "band"),
            (quantile(149.0, 1e3), Some(value(0.12)), "clear"),
            (quantile(181.0, 1e3), None, "baseline"),
            (quantile(181.0, 1e3), Some(value(0.0)), "baseline"),
            (quantile(181.0, 1e3), Some(value(f64::NAN)), "baseline"),
            (quantile(181.0, 1e3), Some(Err(Unknown::NoSeries)), "baseline"),
            (quantile(181.0, 100.0), Some(value(0.12)), "too_few_requests"),
        ],
    );
}

#[test]
fn a_value_and_its_growth_and_its_drop() {
    let single = |measure, threshold, clear| TriggerSettings {
        confirm_window: None,
        unit: Unit::None,
        ..latency(measure, threshold, clear)
    };
    check_single(
        &single(Measure::Value, 128.0, 100.0),
        &[
            (value(129.0), None, "breach"),
            (value(128.0), None, "band"),
            (value(99.0), None, "clear"),
            (value(f64::INFINITY), None, "not_a_number"),
            (Err(Unknown::SeveralSeries(2)), None, "several_series"),
        ],
    );
    check_single(
        &TriggerSettings { side: Side::Below, ..single(Measure::Value, 2.0, 3.0) },
        &[(value(1.9), None, "breach"), (value(2.0), None, "band"), (value(3.1), None, "clear")],
    );
    check_single(
        &single(Measure::ValueDegradation, 0.5, 0.25),
        &[(value(151.0), Some(value(100.0)), "breach"), (value(124.0), Some(value(100.0)), "clear")],
    );
    // Throughput: a drop by more than 40 % is bad, by less than 20 % is good, and growth is no drop.
    check_single(
        &single(Measure::ValueDrop, 0.4, 0.2),
        &[
            (value(59.0), Some(value(100.0)), "breach"),
            (value(61.0), Some(value(100.0)), "band"),
            (value(81.0), Some(value(100.0)), "clear"),
            (value(300.0), Some(value(100.0)), "clear"),
            (value(0.0), Some(value(100.0)), "breach"),
        ],
    );
}

#[test]
fn stages_hold_up_to_their_share_and_not_knowing_is_no_reason_to_be_stricter() {
    let stage = |up_to, threshold| Stage { up_to, levels: Levels { threshold, clear: threshold / 2.0 } };
    let trigger = TriggerSettings { stages: vec![stage(5, 0.005), stage(20, 0.008)], ..error_rate() };
    // 0.6 % of 100000 requests.
    let reading =
        Reading { window: counts(600.0, 1e5), confirm: Some(counts(120.0, 2e4)), baseline: None, burn: Vec::new() };
    for (share, expected) in [
        (Some(0), "breach"),
        (Some(5), "breach"),
        (Some(6), "band"),
        (Some(20), "band"),
        (Some(21), "band"),
        (None, "band"),
    ] {
        assert_eq!(word(&trigger, &reading, share), expected, "share {share:?}");
    }
    // 0.9 % of 100000 requests tells the second stage from the plain levels.
    let reading =
        Reading { window: counts(900.0, 1e5), confirm: Some(counts(180.0, 2e4)), baseline: None, burn: Vec::new() };
    for (share, expected) in [(Some(20), "breach"), (Some(21), "band"), (None, "band")] {
        assert_eq!(word(&trigger, &reading, share), expected, "share {share:?}");
    }
}
