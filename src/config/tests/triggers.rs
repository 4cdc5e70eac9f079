//! Triggers, their levels, windows, baselines and stages.

use std::time::Duration;

use super::{check_errors, errors, settings, trigger};
use crate::config::{Baseline, MetricNames, Recording, SignalKind};
use crate::engine::{
    BaselineSource, BurnRate, Levels, Measure, Severity, Side, Stage, TriggerAction, TriggerSettings, Unit,
};

fn one(over: &str, name: &str) -> TriggerSettings {
    let settings = settings(over);
    let found = settings.guards[0].engine.triggers.iter().find(|t| t.name == name).cloned();
    found.unwrap_or_else(|| panic!("no trigger {name}"))
}

#[test]
fn a_trigger_as_it_is_meant() {
    let t = one("{}", "error_rate");
    assert!(t.source.contains("ErrorRate"), "{}", t.source);
    assert_eq!(
        t,
        TriggerSettings {
            name: "error_rate".to_owned(),
            action: TriggerAction::Rollback,
            severity: Severity::Critical,
            source: t.source.clone(),
            measure: Measure::FailureRatio,
            side: Side::Above,
            levels: Levels { threshold: 0.01, clear: 0.005 },
            stages: Vec::new(),
            burn_rates: Vec::new(),
            window: Duration::from_secs(300),
            confirm_window: Some(Duration::from_secs(60)),
            hold_for: Duration::from_secs(300),
            clear_for: Duration::from_secs(60),
            literal: false,
            unit: Unit::Ratio,
            baseline: None,
        }
    );
}

#[test]
fn each_signal_has_its_measure_side_and_unit() {
    for (keys, measure, side, unit, threshold) in [
        ("signal: error_rate, above: 0.02", Measure::FailureRatio, Side::Above, Unit::Ratio, 0.02),
        ("signal: availability, below: 99%", Measure::Availability, Side::Below, Unit::Ratio, 0.99),
        ("signal: latency, above: 150ms", Measure::Quantile { q: 0.95 }, Side::Above, Unit::Seconds, 0.15),
        ("signal: latency, above: 1s, quantile: 99%", Measure::Quantile { q: 0.99 }, Side::Above, Unit::Seconds, 1.0),
        (
            "signal: latency, degraded_by: 0.5, baseline: {offset: 1d}",
            Measure::QuantileDegradation { q: 0.95 },
            Side::Above,
            Unit::Seconds,
            0.5,
        ),
        ("signal: throughput, below: 20/s", Measure::Value, Side::Below, Unit::PerSecond, 20.0),
        ("signal: throughput, above: 500", Measure::Value, Side::Above, Unit::PerSecond, 500.0),
        (
            "signal: throughput, degraded_by: 5%, baseline: {fixed: 20/s}",
            Measure::ValueDrop,
            Side::Above,
            Unit::PerSecond,
            0.05,
        ),
        ("promql: up, below: 1", Measure::Value, Side::Below, Unit::None, 1.0),
        ("promql: cores, above: 200m", Measure::Value, Side::Above, Unit::None, 0.2),
        (
            "promql: memory, degraded_by: 120%, baseline: {fixed: 100Mi}",
            Measure::ValueDegradation,
            Side::Above,
            Unit::Bytes,
            1.2,
        ),
    ] {
        let t = one(&trigger("new", keys), "new");
        assert_eq!((t.measure, t.side, t.unit), (measure, side, unit), "{keys}");
        assert_eq!(t.levels, Levels { threshold, clear: threshold }, "{keys}");
    }
}

#[test]
fn defaults_of_a_query() {
    let t = one("{}", "memory");
    assert_eq!((t.action, t.window, t.confirm_window), (TriggerAction::Page, Duration::ZERO, None));
    assert_eq!((t.hold_for, t.clear_for), (Duration::from_secs(300), Duration::from_secs(60)));
    let settings = settings("{}");
    let query = &settings.guards[0].signals["memory"].kind;
    assert_eq!(*query, SignalKind::Promql("max(memory{pod=~\"shop-web-.*\"})".to_owned()));
}

#[test]
fn levels_that_cannot_be() {
    check_errors(&[
        (
            &trigger("error_rate", "clear_below: 2%"),
            "guards.shop.triggers.error_rate.clear_below: 2% lies above the threshold (above: 1%), so that it would call clear what is bad; write at most 1%",
        ),
        (&trigger("availability", "clear_above: 98%"), "98% lies below the threshold (below: 99%)"),
        (
            &trigger("error_rate", "above: 0%"),
            "error_rate.above: 0% is out of range; it must be above 0% and below 100%",
        ),
        (&trigger("error_rate", "above: 1"), "error_rate.above: 1 is out of range"),
        (&trigger("error_rate", "above: high"), "error_rate.above: high is no ratio; write it like 1% or 0.01"),
        (
            &trigger("error_rate", "above: [1]"),
            "error_rate.above: must be a number, with its unit where it has one, not a list",
        ),
        (&trigger("error_rate", "above: 1%, below: 2%"), "error_rate: has above and below; keep one of them"),
        (
            &trigger("error_rate", "clear_above: 2%"),
            "error_rate.clear_above: does not go with above; write clear_below",
        ),
        (
            &trigger("new", "signal: error_rate, below: 1%"),
            "new.below: an error rate is bad when it is high; write above",
        ),
        (
            &trigger("new", "signal: availability, above: 1%"),
            "new.above: an availability is bad when it is low; write below",
        ),
        (&trigger("new", "signal: latency, below: 1s"), "new.below: a latency is bad when it is high"),
        (
            &trigger("new", "signal: latency, above: 150"),
            "new.above: 150 is no latency; write it with a unit, like 120ms or 1.2s",
        ),
        (&trigger("new", "signal: error_rate"), "new: needs a threshold, like above: 1%"),
        (&trigger("memory", "clear_below: 100"), "memory.clear_below: 100 is in another unit than above: 128Mi"),
        (&trigger("memory", "above: 128MB"), "memory.above: 128MB is no quantity"),
    ]);
}

#[test]
fn signals_that_cannot_be() {
    check_errors(&[
        (
            &trigger("error_rat", "above: 1%"),
            "error_rat: needs what to measure: signal, like signal: error_rate, or promql",
        ),
        (
            &trigger("new", "signal: errorrate, above: 1%"),
            "new.signal: \"errorrate\" is not known here; did you mean \"error_rate\"?",
        ),
        (&trigger("new", "signal: error_rate, promql: up, above: 1%"), "new: has both signal and promql; keep one"),
        (&trigger("memory", "window: 5m"), "memory.window: does not go with promql"),
        (&trigger("memory", "confirm_window: 1m"), "memory.confirm_window: does not go with promql"),
        (&trigger("memory", "low_traffic: literal"), "memory.low_traffic: is for ratios and quantiles, not for promql"),
        (&trigger("memory", "quantile: 0.9"), "memory.quantile: is for signal: latency, not for promql"),
        (&trigger("load", "confirm_window: 1m"), "load.confirm_window: does not go with throughput"),
        (
            &trigger("latency", "quantile: 95"),
            "latency.quantile: 95 is no quantile; write one between 0 and 1, like 0.95 or 95%",
        ),
        (&trigger("memory", "promql: 'max(x'"), "memory.promql: is no PromQL: ( is never closed"),
        (
            &trigger("memory", "promql: 'x{a=\"b}'"),
            "memory.promql: is no PromQL: a text that begins with \" never ends",
        ),
        (&trigger("memory", "promql: '(x]'"), "memory.promql: is no PromQL: ( is closed by ]"),
        (&trigger("memory", "promql: '  # x'"), "memory.promql: is a query of comments only"),
        (&trigger("memory", "promql: ''"), "memory.promql: is an empty text"),
        (
            &trigger("memory", "promql: 'x{a=\"${deploymnt}\"}'"),
            "memory.promql: unknown variable ${deploymnt}; did you mean ${deployment}?",
        ),
        (&trigger("memory", "promql: 'x > ${percentage}'"), "memory.promql: ${percentage} cannot stand in"),
        (
            &trigger("error_rate", "action: rollbak"),
            "error_rate.action: \"rollbak\" is not known here; did you mean \"rollback\"?",
        ),
        (
            &trigger("error_rate", "severity: page"),
            "error_rate.severity: \"page\" is not known here; write one of these: info, warning, critical",
        ),
        (
            &trigger("error_rate", "enabled: no"),
            "error_rate.enabled: must be true or false, without quotes, not \"no\" (text)",
        ),
        (
            &trigger("error_rate", "tresholds: 1"),
            "error_rate.tresholds: unknown key \"tresholds\"; allowed here: signal, promql, ",
        ),
        (&trigger("error_rate", "abov: 1%"), "error_rate.abov: unknown key \"abov\"; did you mean \"above\"?"),
        (&trigger("Error Rate", "signal: error_rate, above: 1%"), "\"Error Rate\" is no name of a trigger"),
    ]);
}

#[test]
fn times_that_cannot_be() {
    check_errors(&[
        (
            &trigger("error_rate", "for: 1.5"),
            "1.yaml:1: guards.shop.triggers.error_rate.for: 1.5 is no duration; write it with a unit, like 90s or 5m",
        ),
        (&trigger("error_rate", "for: 5s"), "error_rate.for: 5s is shorter than evaluation.interval (10s)"),
        (&trigger("error_rate", "for: 0s"), "error_rate.for: 0s is shorter than evaluation.interval (10s)"),
        (&trigger("error_rate", "for: 400d"), "error_rate.for: 400d is longer than a year"),
        (&trigger("error_rate", "for: true"), "error_rate.for: must be a duration, like 90s or 5m, not true"),
        (&trigger("error_rate", "for: "), "error_rate.for: is empty; give it a value, or leave the key out"),
        (
            &trigger("error_rate", "window: 0s, confirm_window: 30s"),
            "error_rate.window: 0s is shorter than evaluation.interval",
        ),
        (
            &trigger("error_rate", "confirm_window: 5s"),
            "error_rate.confirm_window: 5s is shorter than evaluation.interval",
        ),
        (&trigger("error_rate", "confirm_window: 6m"), "error_rate.confirm_window: 6m is not shorter than window (5m)"),
        (&trigger("error_rate", "confirm_window: 5m"), "error_rate.confirm_window: 5m is not shorter than window (5m)"),
        (
            &trigger("error_rate", "window: 30s"),
            "error_rate: confirm_window is 1m unless written, which is not shorter than window (30s); write a shorter one",
        ),
        (&trigger("error_rate", "clear_for: 0s"), "error_rate.clear_for: 0s is too short"),
        ("evaluation: {interval: 100ms}", "evaluation.interval: 100ms is too short; the least is 1s"),
        ("evaluation: {offset: 1h}", "evaluation.offset: 1h is too long; the most is 10m"),
        ("evaluation: {blind_after: 5s}", "evaluation.blind_after: 5s is shorter than evaluation.interval (10s)"),
    ]);
}

#[test]
fn baselines() {
    let latency = |baseline: &str| trigger("new", &format!("signal: latency, degraded_by: 50%, baseline: {baseline}"));
    let of = |over: &str| settings(over).guards[0].signals["new"].baseline.clone();
    assert_eq!(of(&latency("{fixed: 120ms}")), Some(Baseline::Fixed(0.12)));
    assert_eq!(of(&latency("{offset: 1d}")), Some(Baseline::Offset(Duration::from_secs(86_400))));
    let Some(Baseline::Control(control)) =
        of(&latency("{control: {metrics: ingress_nginx, match: {ingress: '${deployment}'}}}"))
    else {
        panic!("another baseline");
    };
    assert_eq!(control.names, MetricNames::IngressNginx);
    assert_eq!(control.labels["ingress"], "shop-web");
    let day = Duration::from_secs(86_400);
    for (written, over, max_age) in
        [("{recorded: {}}", 7, 30), ("{recorded: {over: 2d}}", 2, 30), ("{recorded: {over: 1d, max_age: 60d}}", 1, 60)]
    {
        let recording = Recording { over: day * over, max_age: day * max_age };
        assert_eq!(of(&latency(written)), Some(Baseline::Recorded(recording)), "{written}");
    }
    check_errors(&[
        (&latency("{recorded: {from: -7d}}"), "new.baseline.recorded.from: unknown key"),
        (
            &latency("{recorded: {over: 1m}}"),
            "new.baseline.recorded.over: 1m is shorter than what a tick measures (5m)",
        ),
        (&latency("{recorded: {over: 7}}"), "new.baseline.recorded.over: 7 is no duration"),
        (&latency("{recorded: {max_age: 0s}}"), "new.baseline.recorded.max_age: 0s is too short"),
        (&latency("{recorded: {max_age: 400d}}"), "new.baseline.recorded.max_age: 400d is longer than a year"),
        (&latency("{recorded: 7d}"), "new.baseline.recorded: must be a map"),
        (
            &latency("{fixed: 120ms, recorded: {}}"),
            "new.baseline: has several of fixed, recorded, offset and control; keep one",
        ),
        (
            &trigger("new", "promql: x, degraded_by: 50%, baseline: {recorded: {over: 5s}}"),
            "new.baseline.recorded.over: 5s is shorter than what a tick measures (10s)",
        ),
        (
            &trigger("new", "signal: error_rate, above: 5%, baseline: {recorded: {}}"),
            "new.baseline: is for degraded_by and rises_by",
        ),
        (&latency("{fixed: 120}"), "new.baseline.fixed: 120 is no latency"),
        (
            &latency("{fixed: 120ms, offset: 1d}"),
            "new.baseline: has several of fixed, recorded, offset and control; keep one",
        ),
        (&latency("{}"), "new.baseline: needs one of fixed, recorded, offset and control"),
        (&latency("{offset: 1m}"), "new.baseline.offset: 1m is shorter than window (5m)"),
        (
            &latency("{control: {match: {destination_workload: shop-web}}}"),
            "new.baseline.control: selects the guard's own series",
        ),
        (&latency("{control: {metrics: ingress_nginx}}"), "new.baseline.control: needs match"),
        (&latency("120ms"), "new.baseline: must be a map, not a text"),
        (
            &trigger("new", "signal: latency, degraded_by: 50%"),
            "new: needs a baseline for degraded_by, like baseline: {fixed: 120ms}",
        ),
        (&trigger("new", "signal: latency, above: 1s, baseline: {fixed: 120ms}"), "new.baseline: is for degraded_by"),
        (
            &trigger("new", "promql: x, degraded_by: 50%, baseline: {offset: 1d}"),
            "new.baseline.offset: does not go with promql",
        ),
        (&trigger("new", "promql: x, degraded_by: 50%, baseline: {fixed: 0}"), "new.baseline.fixed: 0 is out of range"),
    ]);
}

#[test]
fn burn_rates_of_an_objective() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let t = one(&trigger("budget", "signal: availability, slo: {objective: 99.9%}"), "budget");
    let rate = |above, window, confirm_window| BurnRate { above, window, confirm_window };
    assert_eq!(t.burn_rates, [rate(14.4, minutes(60), minutes(5)), rate(6.0, minutes(360), minutes(30))]);
    assert!(matches!(t.measure, Measure::BurnRate { budget } if (budget - 0.001).abs() < 1e-12), "{:?}", t.measure);
    assert_eq!((t.action, t.hold_for, t.clear_for), (TriggerAction::Page, minutes(1), Duration::from_secs(12)));
    assert_eq!((t.window, t.confirm_window), (minutes(360), None));
    // The most urgent one first, however they are written.
    let written = "{objective: 0.99, burn_rates: [{above: 2, window: 2h, confirm_window: 10m}, {above: 10, window: 30m, confirm_window: 2m}]}";
    let t = one(&trigger("budget", &format!("signal: error_rate, for: 5m, slo: {written}")), "budget");
    assert_eq!(t.burn_rates, [rate(10.0, minutes(30), minutes(2)), rate(2.0, minutes(120), minutes(10))]);
    assert_eq!(t.hold_for, minutes(5));
    // In place of a default's threshold, whose windows and clear level go with it.
    let t = one(
        "defaults: {triggers: {more: {signal: availability, below: 99%, clear_above: 99.5%, window: 10m}}}\nguards: {shop: {triggers: {more: {slo: {objective: 99%}}}}}",
        "more",
    );
    assert_eq!((t.burn_rates.len(), t.window), (2, minutes(360)));

    let slo = |slo: &str| trigger("new", &format!("signal: availability, slo: {slo}"));
    let rates = |rates: &str| slo(&format!("{{objective: 99.9%, burn_rates: [{rates}]}}"));
    check_errors(&[
        (&slo("{}"), "new.slo: needs objective, like objective: 99.9%"),
        (&slo("{objective: 100%}"), "new.slo.objective: 100% is out of range"),
        (&slo("99.9%"), "new.slo: must be a map, not a text"),
        (&slo("{objective: 99.9%, burn_rates: []}"), "new.slo.burn_rates: is empty"),
        (&slo("{objective: 99.9%, burn_rate: []}"), "new.slo.burn_rate: unknown key"),
        (&rates("{window: 1h, confirm_window: 5m}"), "burn_rates[0]: needs above, a multiple of the error budget"),
        (&rates("{above: 2x, window: 1h, confirm_window: 5m}"), "burn_rates[0].above: 2x is no burn rate"),
        (&rates("{above: -1, window: 1h, confirm_window: 5m}"), "burn_rates[0].above: -1 is no burn rate"),
        (&rates("{above: 2, confirm_window: 5m}"), "burn_rates[0]: needs window, like window: 1h"),
        (&rates("{above: 2, window: 1h}"), "burn_rates[0]: needs confirm_window"),
        (&rates("{above: 2, window: 1h, confirm_window: 1h}"), "confirm_window: 1h is not shorter than window (1h)"),
        (
            &rates("{above: 2, window: 1h, confirm_window: 5s}"),
            "confirm_window: 5s is shorter than evaluation.interval",
        ),
        (
            &slo("{objective: 90%, burn_rates: [{above: 14.4, window: 1h, confirm_window: 5m}]}"),
            "new.slo: a burn rate of 14.4 cannot be: with every request failing it is 10",
        ),
        (
            &trigger("new", "signal: availability, below: 99%, slo: {objective: 99.9%}"),
            "new.below: below does not go with slo",
        ),
        (
            &trigger("new", "signal: availability, window: 5m, slo: {objective: 99.9%}"),
            "new.window: window does not go with slo",
        ),
        (
            &trigger("new", "signal: availability, action: rollback, slo: {objective: 99.9%}"),
            "new.action: burn rates look back for hours; they page and roll nothing back; write page",
        ),
        (&trigger("new", "signal: latency, slo: {objective: 99.9%}"), "new.slo: is for error_rate and availability"),
        (
            "guards: {shop: {triggers: {new: {signal: availability, slo: {objective: 99.9%}}}, stages: [{up_to: 5%, triggers: {new: {below: 98%}}}]}}",
            "stages[0].triggers.new: is a trigger with slo, which has no level for a stage",
        ),
    ]);
}

#[test]
fn client_errors_page_and_compare_in_points() {
    let t =
        one(&trigger("new", "signal: client_error_rate, rises_by: 5%, clear_below: 2%, baseline: {offset: 1d}"), "new");
    assert_eq!((t.measure, t.action), (Measure::FailureRise, TriggerAction::Page));
    assert_eq!(t.levels, Levels { threshold: 0.05, clear: 0.02 });
    assert!(t.source.contains("ClientErrorRate") && t.source.contains("caller: true"), "{}", t.source);
    let t = one(&trigger("new", "signal: client_error_rate, above: 20%"), "new");
    assert_eq!((t.measure, t.action), (Measure::FailureRatio, TriggerAction::Page));
    check_errors(&[
        (
            &trigger("new", "signal: client_error_rate, rises_by: 5%"),
            "new: needs a baseline for rises_by, like baseline: {offset: 1d}",
        ),
        (
            &trigger("new", "signal: client_error_rate, above: 5%, action: rollback"),
            "new.action: client errors may be the clients'; they page and roll nothing back; write page",
        ),
        (
            &trigger("new", "signal: client_error_rate, below: 5%"),
            "new.below: a rate of client errors is bad when it is high",
        ),
        (
            &trigger("new", "signal: throughput, rises_by: 5%, baseline: {offset: 1d}"),
            "new.rises_by: is for client_error_rate; write degraded_by",
        ),
        (
            &trigger("new", "signal: client_error_rate, above: 5%, baseline: {offset: 1d}"),
            "new.baseline: is for degraded_by and rises_by",
        ),
    ]);
}

#[test]
fn stages_change_levels() {
    let stages = |stages: &str| format!("guards: {{shop: {{stages: [{stages}]}}}}");
    let t = one(
        &stages(
            "{up_to: 5%, triggers: {error_rate: {above: 0.4%}}}, {up_to: 25, triggers: {error_rate: {above: 0.8%, clear_below: 0.1%}, latency: {degraded_by: 25%}}}",
        ),
        "error_rate",
    );
    assert_eq!(
        t.stages,
        [
            // The clear level of 0.5 % would lie above the threshold: it becomes the threshold.
            Stage { up_to: 5, levels: Levels { threshold: 0.004, clear: 0.004 } },
            Stage { up_to: 25, levels: Levels { threshold: 0.008, clear: 0.001 } },
        ]
    );
    check_errors(&[
        (
            &stages("{up_to: 5%, triggers: {eror_rate: {above: 1%}}}"),
            "stages[0].triggers.eror_rate: there is no trigger \"eror_rate\"; did you mean \"error_rate\"?",
        ),
        (&stages("{triggers: {error_rate: {above: 0.5%}}}"), "stages[0]: needs up_to, a share like 5%"),
        (&stages("{up_to: 5%}"), "stages[0]: needs triggers"),
        (&stages("{up_to: 101, triggers: {error_rate: {above: 0.5%}}}"), "stages[0].up_to: 101 is no percentage"),
        (
            &stages("{up_to: 5%, triggers: {error_rate: {for: 1m}}}"),
            "stages[0].triggers.error_rate.for: unknown key \"for\"; allowed here: above, ",
        ),
        (
            &stages("{up_to: 5%, triggers: {error_rate: {}}}"),
            "stages[0].triggers.error_rate: says nothing; write above or a clear level",
        ),
        (
            &stages("{up_to: 5%, triggers: {latency: {above: 1s}}}"),
            "stages[0].triggers.latency.above: the trigger is written with degraded_by; write degraded_by here too",
        ),
        (
            &stages("{up_to: 5%, triggers: {error_rate: {above: 0.5%, clear_below: 0.6%}}}"),
            "stages[0].triggers.error_rate.clear_below: 0.6% lies above the threshold (above: 0.5%)",
        ),
        (
            &stages(
                "{up_to: 5%, triggers: {error_rate: {above: 0.5%}}}, {up_to: 5%, triggers: {error_rate: {above: 0.6%}}}",
            ),
            "stages[1].up_to: 5% does not come after 5%; write the stages by rising up_to, each once",
        ),
    ]);
}

#[test]
fn a_guard_writes_over_the_defaults() {
    let defaults = "
defaults:
  triggers:
    error_rate: {above: 3%, clear_below: 2%, for: 7m}
    latency: {signal: latency, degraded_by: 40%, clear_below: 10%, baseline: {fixed: 90ms}}
    saturation: {promql: x, above: 1, for: 2m}
    gone: {signal: error_rate, above: 5%}
  stages: [{up_to: 5%, triggers: {gone: {above: 1%}}}]
guards:
  shop:
    triggers:
      gone: {enabled: false}
      saturation: {signal: throughput, below: 3/s}
      latency: {above: 150ms}
";
    // The good configuration's own latency is a degradation; this one is another, so that the two need to be apart.
    let found = errors(defaults);
    assert_eq!(found, ["1.yaml:14: guards.shop.triggers.latency: has above and degraded_by; keep one of them"]);
    let base = super::BASE.replace(
        "      latency: {signal: latency, degraded_by: 50%, clear_below: 25%, baseline: {fixed: 120ms}}\n",
        "",
    );
    let settings = super::load_texts(&[&base, defaults], &[], super::LoadOptions::default());
    let settings = settings.unwrap_or_else(|findings| panic!("{}", super::lines(&findings)));
    let triggers = &settings.guards[0].engine.triggers;
    let by = |name: &str| triggers.iter().find(|t| t.name == name);
    let error_rate = by("error_rate").expect("a trigger");
    assert_eq!(error_rate.levels, Levels { threshold: 0.01, clear: 0.005 });
    assert_eq!(error_rate.hold_for, Duration::from_secs(420));
    // Another kind of threshold takes away what was written for the default's.
    let latency = by("latency").expect("a trigger");
    assert_eq!(latency.measure, Measure::Quantile { q: 0.95 });
    assert_eq!(latency.levels, Levels { threshold: 0.15, clear: 0.15 });
    assert_eq!(settings.guards[0].signals["latency"].baseline, None);
    // What measures something else starts anew.
    assert_eq!(by("saturation").expect("a trigger").hold_for, Duration::from_secs(300));
    assert_eq!(by("gone"), None);
}

/// The engine is told what is measured, and not when it is recorded anew: a clock goes on over that.
#[test]
fn a_recorded_baseline_is_told_apart_by_what_is_measured() {
    let latency = |more: &str, recorded: &str| {
        let keys = format!("signal: latency, degraded_by: 50%, baseline: {{recorded: {{{recorded}}}}}{more}");
        one(&trigger("new", &keys), "new")
    };
    let base = latency("", "");
    let other_times = latency("", "over: 1d, max_age: 1h");
    assert_eq!(base.source, other_times.source);
    let digest =
        |t: &TriggerSettings| t.baseline.as_ref().and_then(BaselineSource::digest).expect("a recorded baseline");
    assert_eq!(digest(&base), digest(&other_times));
    assert_eq!(digest(&base), digest(&latency(", window: 10m, for: 1m", "")), "the period is not the window");
    assert_ne!(digest(&base), digest(&latency(", quantile: 0.99", "")));
    let fixed = one(&trigger("new", "signal: latency, degraded_by: 50%, baseline: {fixed: 120ms}"), "new");
    assert_ne!(base.source, fixed.source);
    assert_eq!(fixed.baseline, Some(BaselineSource::Fixed));
    let Some(BaselineSource::Recorded { of, max_age }) = &base.baseline else { panic!("{:?}", base.baseline) };
    // Written into the state: it must not change by itself.
    assert_eq!(of, r#"latency 0.95 istio {destination_workload="shop-web"}"#);
    assert_eq!(*max_age, Duration::from_secs(30 * 86_400));
    let control =
        "signal: latency, degraded_by: 50%, baseline: {control: {metrics: ingress_nginx, match: {ingress: web}}}";
    let control = one(&trigger("new", control), "new").baseline;
    assert_eq!(control, Some(BaselineSource::Control(r#"ingress_nginx {ingress="web"}"#.to_owned())));
}
