//! Guards: steps, variables, selectors, rollbacks.

use std::time::Duration;

use super::{check_errors, check_warnings, errors, settings, trigger};
use crate::config::{MetricNames, Selector, SignalKind, Step};

/// A guard of its own beside the good one.
fn guard(keys: &str) -> String {
    format!("guards: {{other: {{{keys}}}}}")
}

/// The same with what every guard needs, less its steps.
fn traffic(steps: &str) -> String {
    guard(&format!(
        "match: {{a: b}}, vars: {{name: x}}, triggers: {{e: {{signal: error_rate, above: 1%}}}}, traffic: {steps}"
    ))
}

const ENV: &str = "[{deployment_env: {namespace: n, name: x, container: c, env: {S: \"${percentage}\"}}}]";

#[test]
fn steps_that_cannot_be() {
    let step = |keys: &str| traffic(&format!("[{{deployment_env: {{namespace: n, {keys}}}}}]"));
    let map = |keys: &str| traffic(&format!("[{{config_map: {{namespace: n, name: x, {keys}}}}}]"));
    check_errors(&[
        (
            &guard("match: {a: b}, triggers: {e: {signal: error_rate, above: 1%}}"),
            "1.yaml:1: guards.other: needs traffic, the steps that set its share",
        ),
        (&traffic("[]"), "guards.other.traffic: is empty: nothing could be rolled back"),
        (&traffic("[{}]"), "traffic[0]: says no step"),
        (&traffic("[{deployment_env: {}, config_map: {}}]"), "traffic[0]: says several steps"),
        (&traffic("[{deploymentenv: {}}]"), "unknown key \"deploymentenv\"; did you mean \"deployment_env\"?"),
        (&traffic("{a: b}"), "guards.other.traffic: must be a list, not a map"),
        (&step("name: x, container: c, env: {}"), "deployment_env.env: has no entries"),
        (&step("name: x, container: c"), "deployment_env: needs env, what to set"),
        (&step("name: x, env: {S: \"${percentage}\"}"), "deployment_env: needs container"),
        (&step("name: X, container: c, env: {S: \"${percentage}\"}"), "deployment_env.name: \"X\" is no valid name"),
        (
            &step("name: \"${nam}\", container: c, env: {S: \"${percentage}\"}"),
            "deployment_env.name: unknown variable ${nam}; did you mean ${name}? known here: ${guard} ${name}",
        ),
        (
            &step("name: \"a-${time}\", container: c, env: {S: \"${percentage}\"}"),
            "deployment_env.name: ${time} cannot stand in \"a-${time}\": its value differs from one change to the next",
        ),
        (
            &step("name: x, container: c, env: {S: \"${percentag}\"}"),
            "env.S: unknown variable ${percentag}; did you mean ${percentage}?",
        ),
        (&step("name: x, container: c, env: {S: \"${percentage\"}"), "env.S: a variable is not closed"),
        (
            &step("name: x, container: c, env: {1S: x, S: \"${percentage}\"}"),
            "\"1S\" is no name of an environment variable",
        ),
        (
            &step("name: x, container: c, env: {S: \"${percentage}\", ISTIO_PERCENTAGE: 0}"),
            "env.ISTIO_PERCENTAGE: 0 is a number where text is needed; put quotes around it, just as you wrote it",
        ),
        (
            &step("name: x, container: c, env: {S: \"${percentage}\", ON: true}"),
            "env.ON: true is a boolean where text is needed; put quotes around it, just as you wrote it",
        ),
        (
            &step("name: x, container: c, env: {S: \"${percentage}\"}, rollback_env: {S: x}"),
            "rollback_env.S: is in env too",
        ),
        (
            &step("name: x, container: c, env: {S: \"${percentage} %\"}"),
            "guards.other.traffic: has no field that is exactly ${percentage}",
        ),
        (&map("data: {}"), "config_map.data: has no entries"),
        (&map("data: {'a b': x, s: \"${percentage}\"}"), "\"a b\" is no key of a ConfigMap"),
        (
            &map("optional: yes, data: {s: \"${percentage}\"}"),
            "config_map.optional: must be true or false, without quotes",
        ),
    ]);
    check_warnings(&[(
        &map("optional: true, data: {s: \"${percentage}\"}"),
        "only an optional ConfigMap holds ${percentage}",
    )]);
}

#[test]
fn an_object_belongs_to_one_guard() {
    check_errors(&[
        (
            &traffic(
                "[{deployment_env: {namespace: shop, name: shop-web, container: web, env: {S: \"${percentage}\"}}}]",
            ),
            "guards.shop.traffic[0]: guards other and shop both change Deployment shop/shop-web, container web; each object must belong to one guard",
        ),
        (
            &traffic(
                "[{config_map: {namespace: n, name: x, data: {s: \"${percentage}\"}}}, {config_map: {namespace: n, name: x, data: {t: y}}}]",
            ),
            "guards.other.traffic[1]: guard other changes ConfigMap n/x in two steps; make them one",
        ),
    ]);
    // Two containers of one Deployment are two.
    settings(&traffic(
        "[{deployment_env: {namespace: shop, name: shop-web, container: b, env: {S: \"${percentage}\"}}}]",
    ));
}

#[test]
fn variables_and_selectors() {
    let settings = settings(&format!(
        "defaults: {{vars: {{deployment: '${{guard}}-web'}}, match: {{destination_workload_namespace: n}}}}\nguards: {{other: {{match: {{destination_workload: '${{deployment}}'}}, triggers: {{e: {{signal: error_rate, above: 1%}}}}, traffic: {ENV}}}}}"
    ));
    let SignalKind::ErrorRate(selector) = &settings.guards[0].signals["e"].kind else { panic!("another signal") };
    let labels = [("destination_workload", "other-web"), ("destination_workload_namespace", "n")];
    let labels = labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(*selector, Selector { names: MetricNames::Istio, labels, caller: false });
    assert_eq!(settings.guards[0].vars["deployment"], "other-web");
    let SignalKind::Availability(caller) = &settings.guards[1].signals["availability"].kind else {
        panic!("another signal");
    };
    assert!(caller.caller);
    assert_eq!(caller.labels["source_workload"], "gateway");

    let with =
        |keys: &str| guard(&format!("{keys}, traffic: {ENV}, triggers: {{e: {{signal: error_rate, above: 1%}}}}"));
    check_errors(&[
        (&with("vars: {}"), "guards.other: needs match, which says by their labels which series are its own"),
        (&with("match: {}"), "guards.other.match: names no label"),
        (&with("match: {a-b: c}"), "guards.other.match.a-b: \"a-b\" is no name of a label"),
        (&with("match: {reporter: source}"), "guards.other.match.reporter: reporter is set by the queries themselves"),
        (
            &with("match: {a: 1}"),
            "guards.other.match.a: 1 is a number where text is needed; put quotes around it, just as you wrote it",
        ),
        (&with("match: {a: '${b}'}"), "guards.other.match.a: unknown variable ${b}; known here: ${guard}"),
        (
            &with("match: {a: b}, vars: {time: x}"),
            "guards.other.vars.time: ${time} is built in; give this variable another name",
        ),
        (&with("match: {a: b}, vars: {a-b: x}"), "guards.other.vars.a-b: \"a-b\" is no name of a variable"),
        (&with("match: {a: b}, vars: {c: '${d}'}"), "guards.other.vars.c: unknown variable ${d}"),
        (&with("match: {a: b}, metrics: nginx"), "guards.other.metrics: \"nginx\" is not known here"),
        (&with("match: {a: b}, runbook: ftp://x"), "guards.other.runbook: begins with ftp:, which cannot be used"),
        (&with("match: {a: b}, enabled: false"), "guards.other.enabled: unknown key \"enabled\""),
    ]);
    let available = "triggers: {a: {signal: availability, below: 99%}}";
    check_warnings(&[(
        &guard(&format!("match: {{a: b}}, traffic: {ENV}, {available}")),
        "1.yaml:1: guards.other: its availability is measured with match, because it has no caller_match: requests that reached no pod are then not counted",
    )]);
}

#[test]
fn triggers_of_a_guard() {
    check_errors(&[
        (&guard(&format!("traffic: {ENV}")), "guards.other: needs triggers"),
        (&guard(&format!("traffic: {ENV}, triggers: {{}}")), "guards.other: has no trigger that is switched on"),
        (
            &guard(&format!("traffic: {ENV}, triggers: {{a: {{promql: x, above: 1, enabled: false}}}}")),
            "has no trigger that is switched on",
        ),
    ]);
    assert!(errors("guards: {Other: {}}").iter().any(|e| e.contains("\"Other\" is no name of a guard")));
    check_warnings(&[(
        &guard(&format!("traffic: {ENV}, triggers: {{a: {{promql: x, above: 1}}}}")),
        "guards.other: has no trigger with action: rollback",
    )]);
}

#[test]
fn rollbacks() {
    let rollback = |keys: &str| format!("guards: {{shop: {{rollback: {{{keys}}}}}}}");
    let of = |keys: &str| settings(&rollback(keys)).guards[0].engine.rollback.clone();
    let plain = of("");
    assert_eq!(plain.percentages, [0]);
    assert_eq!(plain.verify_within, Duration::from_secs(600));
    assert_eq!(plain.drift_watch, Duration::from_secs(600));
    assert_eq!(plain.steps, ["deployment_env shop/shop-web"]);
    assert_eq!(of("percentages: [10, 0]").percentages, [10, 0]);
    assert_eq!(of("percentage: 10%").percentages, [10]);
    let layered =
        "defaults: {rollback: {percentages: [20, 10], drift_watch: 1h}}\nguards: {shop: {rollback: {percentage: 5}}}";
    let layered = settings(layered).guards[0].engine.rollback.clone();
    assert_eq!((layered.percentages, layered.drift_watch), (vec![5], Duration::from_secs(3600)));
    check_errors(&[
        (
            &rollback("percentage: 0, percentages: [10, 0]"),
            "guards.shop.rollback: has both percentage and percentages; keep one",
        ),
        (&rollback("percentages: [0, 10]"), "rollback.percentages: [0, 10] does not fall"),
        (&rollback("percentages: [10, 10]"), "rollback.percentages: [10, 10] does not fall"),
        (&rollback("percentages: []"), "rollback.percentages: is an empty ladder"),
        (&rollback("percentages: [10, x]"), "rollback.percentages[1]: x is no percentage"),
        (
            &rollback("percentage: 101"),
            "rollback.percentage: 101 is no percentage; write a whole number from 0 to 100, like 5 or 5%",
        ),
        (&rollback("percentage: 0.5"), "rollback.percentage: 0.5 is no percentage"),
        (&rollback("rollout_timeout: 0s"), "rollback.rollout_timeout: 0s is too short"),
        (
            &rollback("verify: {within: 30s}"),
            "rollback.verify.within: 30s is shorter than the shortest window there is to see by (1m of trigger availability)",
        ),
        (&rollback("verify: 10m"), "rollback.verify: must be a map, not a text"),
    ]);
    check_warnings(&[(
        &rollback("verify: {within: 2m}"),
        "rollback.verify.within: 2m is shorter than the window of trigger",
    )]);
}

#[test]
fn what_is_wrong_in_the_defaults_is_said_once() {
    let both = format!(
        "guards: {{b: {{match: {{a: b}}}}, c: {{match: {{a: c}}, vars: {{name: y}}}}}}\ndefaults: {{triggers: {{e: {{signal: error_rate, above: 1%, for: 1}}}}, traffic: {}}}",
        "[{deployment_env: {namespace: n, name: '${name}-${guard}', container: c, env: {S: '${percentage}'}}}]"
    );
    let found = errors(&both);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("defaults.triggers.e.for: 1 is no duration"), "{found:#?}");
    assert!(
        found[1].ends_with(
            "defaults.traffic[0].deployment_env.name: unknown variable ${name}; known here: ${guard} (for guard b)"
        ),
        "{found:#?}"
    );
}

#[test]
fn all_problems_are_said_at_once() {
    let found = errors(
        "
prometheus: {url: 'ftp://x', timeout: 5}
evaluation: {interval: soon}
guards:
  shop:
    rollback: {percentage: 200}
    triggers:
      error_rate: {clear_below: 2%, confirm_window: 10m, tresholds: 1, low_traffic: maybe}
      availability: {signal: nothing}
receivers:
  people: {events: {only: [rollback.start]}}
nonsense: 1
",
    );
    for expected in [
        "prometheus.url: begins with ftp:",
        "prometheus.timeout: 5 is no duration",
        "evaluation.interval: soon is no duration",
        "guards.shop.rollback.percentage: 200 is no percentage",
        "error_rate.clear_below: 2% lies above",
        "error_rate.confirm_window: 10m is not shorter",
        "error_rate.tresholds: unknown key",
        "error_rate.low_traffic: \"maybe\" is not known here",
        "availability.signal: \"nothing\" is not known here",
        "receivers.people.events.only[0]: there is no event \"rollback.start\"; did you mean \"rollback.started\"?",
        "nonsense: unknown key \"nonsense\"",
    ] {
        assert!(found.iter().any(|e| e.contains(expected)), "{expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn a_step_says_its_name() {
    let settings = settings(&trigger("error_rate", ""));
    assert!(matches!(&settings.guards[0].steps[0], Step::DeploymentEnv(s) if s.name == "shop-web"));
}
