//! Files over files, the environment over all of them.

use std::time::Duration;

use super::{BASE, LoadOptions, lines, load_texts, settings};
use crate::config::{Finding, Override, Settings, Step, load_with};

#[test]
fn later_files_win_and_maps_merge() {
    let first = settings("evaluation: {interval: 20s, blind_after: 3m}\nprometheus: {timeout: 7s}");
    assert_eq!(first.evaluation.interval, Duration::from_secs(20));
    assert_eq!(first.evaluation.blind_after, Duration::from_secs(180));
    assert_eq!(first.prometheus.timeout, Duration::from_secs(7));
    assert_eq!(first.prometheus.url, "http://prometheus:9090");
    let texts = [BASE, "evaluation: {interval: 20s, blind_after: 3m}", "evaluation: {interval: 30s}"];
    let third = load_texts(&texts, &[], LoadOptions::default()).expect("valid");
    assert_eq!(third.evaluation.interval, Duration::from_secs(30));
    assert_eq!(third.evaluation.blind_after, Duration::from_secs(180));
}

#[test]
fn a_list_replaces_a_list() {
    let over = "guards: {shop: {traffic: [{config_map: {namespace: a, name: b, data: {share: \"${percentage}\"}}}]}}";
    let settings = settings(over);
    assert_eq!(settings.guards[0].engine.rollback.steps, ["config_map a/b"]);
}

#[test]
fn the_environment_wins() {
    let env = [
        ("RIPCORD__PROMETHEUS__URL", "http://elsewhere:9090/prometheus/"),
        ("RIPCORD__EVALUATION__INTERVAL", "15s"),
        ("RIPCORD__GUARDS__SHOP__ROLLBACK__PERCENTAGE", "10"),
        ("RIPCORD__GUARDS__SHOP__TRIGGERS__MEMORY__ENABLED", "false"),
        ("RIPCORD__HTTP__LISTEN", "127.0.0.1:9"),
        ("RIPCORD_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let settings = load_texts(&[BASE], &env, LoadOptions::default()).expect("valid");
    assert_eq!(settings.prometheus.url, "http://elsewhere:9090/prometheus");
    assert_eq!(settings.evaluation.interval, Duration::from_secs(15));
    assert_eq!(settings.guards[0].engine.rollback.percentages, [10]);
    assert!(!settings.guards[0].signals.contains_key("memory"));
    assert_eq!(settings.http.listen.port(), 9);
}

#[test]
fn what_is_wrong_with_a_variable_is_said_under_its_name() {
    for (name, value, expected) in [
        (
            "RIPCORD__PROMETHEUS__ULR",
            "http://x",
            "RIPCORD__PROMETHEUS__ULR: unknown key \"ulr\"; did you mean \"url\"?",
        ),
        ("RIPCORD__NONSENSE", "1", "RIPCORD__NONSENSE: unknown key \"nonsense\"; allowed here: prometheus, "),
        ("RIPCORD__NONSENSE__DEEP", "1", "RIPCORD__NONSENSE__DEEP: unknown key \"nonsense\""),
        ("RIPCORD__EVALUATION__INTERVAL", "10", "RIPCORD__EVALUATION__INTERVAL: 10 is no duration"),
        ("RIPCORD__PROMETHEUS", "x", "RIPCORD__PROMETHEUS: must be a map, not a text"),
        ("RIPCORD__PROMETHEUS__URL__X", "x", "RIPCORD__PROMETHEUS__URL__X: must be text, not a map"),
        ("RIPCORD__PROMETHEUS__", "x", "RIPCORD__PROMETHEUS__: is no name of a setting"),
        ("RIPCORD__GUARDS[9999999999]", "x", "RIPCORD__GUARDS[9999999999]: is no name of a setting"),
        ("RIPCORD__PROMETHEUS.URL", "x", "RIPCORD__PROMETHEUS.URL: is no name of a setting"),
    ] {
        let findings = load_texts(&[BASE], &[(name, value)], LoadOptions::default()).expect_err(name);
        let found = lines(&findings);
        assert!(found.contains(expected), "expected: {expected}\nfound: {found}");
    }
    let both = [("RIPCORD__PROMETHEUS__URL", "http://x"), ("RIPCORD__PROMETHEUS", "y")];
    let found = lines(&load_texts(&[BASE], &both, LoadOptions::default()).expect_err("both"));
    assert!(found.starts_with("RIPCORD__PROMETHEUS__URL: sets the same as RIPCORD__PROMETHEUS; set one of the two"));
}

#[test]
fn the_names_of_env_keep_their_case_and_a_quoted_zero_stays_text() {
    let over = r#"
guards:
  shop:
    traffic:
      - deployment_env:
          namespace: shop
          name: shop
          container: web
          env: {MixedCase: "0", mixedcase: "007", SHARE: "${percentage}", EMPTY: "", ON: "true"}
"#;
    let settings = settings(over);
    let Step::DeploymentEnv(step) = &settings.guards[0].steps[0] else { panic!("another step") };
    let env: Vec<(&str, String)> = step.env.iter().map(|(k, v)| (k.as_str(), v.to_string())).collect();
    let expected =
        [("EMPTY", ""), ("MixedCase", "0"), ("ON", "true"), ("SHARE", "${percentage}"), ("mixedcase", "007")];
    assert_eq!(env, expected.map(|(k, v)| (k, v.to_owned())));
}

#[test]
fn a_key_with_a_dot_is_no_path() {
    let over = "guards.shop: {enabled: false}";
    let found = lines(&load_texts(&[BASE, over], &[], LoadOptions::default()).expect_err("a path"));
    assert!(found.starts_with("1.yaml:1: \"guards.shop\": unknown key \"guards.shop\""), "{found}");
}

fn load_typed(env: &[(&str, &str)], typed: &[&str]) -> Result<Settings, Vec<Finding>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("base.yaml");
    std::fs::write(&path, BASE).expect("a file in it");
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let typed: Vec<_> = typed.iter().map(|text| Override { option: "--set", text: (*text).to_owned() }).collect();
    load_with(&[path], env, &typed, LoadOptions::default())
}

#[test]
fn what_is_typed_wins_over_all() {
    let env = [("RIPCORD__EVALUATION__INTERVAL", "15s"), ("RIPCORD__EVALUATION__BLIND_AFTER", "3m")];
    let typed = [
        "evaluation.interval=20s",
        "evaluation.interval=30s",
        "guards.shop.triggers.error_rate.for=2m",
        "guards.shop.rollback.percentage=10",
        "guards.shop.vars.Zone=A=b",
    ];
    let settings = load_typed(&env, &typed).expect("valid");
    assert_eq!(settings.evaluation.interval, Duration::from_secs(30), "the later one");
    assert_eq!(settings.evaluation.blind_after, Duration::from_secs(180));
    let guard = &settings.guards[0];
    assert_eq!(
        guard.engine.triggers.iter().find(|t| t.name == "error_rate").unwrap().hold_for,
        Duration::from_secs(120)
    );
    assert_eq!(guard.engine.rollback.percentages, [10]);
    assert_eq!(guard.vars["Zone"], "A=b", "the case is kept, and only the first = parts");
}

#[test]
fn all_that_is_typed_wrong_is_said_at_once_under_its_option() {
    let found = lines(
        &load_typed(
            &[],
            &[
                "guards.shop.triggers.error_rate.for=2",
                "guards.shp.triggers.error_rate.for=2m",
                "guards.shop.triggers.eror_rate.for=2m",
                "evaluation.intervall=10s",
                "evaluation=10s",
                "nonsense",
                "guards..x=1",
                "defaults.traffic[0].config_map.name=x",
            ],
        )
        .expect_err("wrong"),
    );
    for expected in [
        "--set guards.shop.triggers.error_rate.for: 2 is no duration",
        "--set guards.shp.triggers.error_rate.for: there is no guard \"shp\"; did you mean \"shop\"?",
        "--set guards.shop.triggers.eror_rate.for: ",
        "--set evaluation.intervall: unknown key \"intervall\"; did you mean \"interval\"?",
        "--set evaluation: sets the same as --set evaluation.intervall",
        "--set nonsense: is no PATH=VALUE",
        "--set guards..x: is no path of a setting",
        "--set defaults.traffic[0].config_map.name: is no path of a setting",
    ] {
        assert!(found.contains(expected), "expected: {expected}\nfound:\n{found}");
    }
}
