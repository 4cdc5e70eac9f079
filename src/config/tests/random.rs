//! No text makes the loader panic, and what is refused is refused with a reason.

use proptest::prelude::*;

use super::{BASE, LoadOptions, load_texts};

fn loads_or_says_why(texts: &[&str], env: &[(&str, &str)]) {
    if let Err(findings) = load_texts(texts, env, LoadOptions { syntax_only: true }) {
        assert!(!findings.is_empty());
        for finding in findings {
            assert!(!finding.to_string().is_empty());
        }
    }
}

/// Words that lead deep into the configuration.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "prometheus",
            "url",
            "guards",
            "defaults",
            "triggers",
            "error_rate",
            "signal",
            "above",
            "clear_below",
            "latency",
            "degraded_by",
            "baseline",
            "fixed",
            "control",
            "match",
            "stages",
            "up_to",
            "traffic",
            "deployment_env",
            "env",
            "virtual_service",
            "weights",
            "routes",
            "command",
            "argv",
            "timeout",
            "'${rest}'",
            "rollback",
            "percentages",
            "verify",
            "within",
            "receivers",
            "webhook",
            "email",
            "smtp",
            "to",
            "events",
            "only",
            "http",
            "listen",
            "state",
            "file",
            "leader_election",
            "lease",
            "lease_duration",
            "heartbeat",
            "interval",
            "1%",
            "5m",
            "0",
            "1.5",
            "true",
            "~",
            "${percentage}",
            "'${'",
            "'${guard}'",
            "-1",
            "1e400",
            ".nan",
            "0x10",
            "promql",
            "shop",
            "quantile",
            "for",
            "window",
            "confirm_window",
            "name",
            "namespace",
            "vars",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,6}",
    ]
}

/// A tree in YAML's flow style.
fn tree() -> impl Strategy<Value = String> {
    word().prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(word(), inner, 0..5).prop_map(|map| {
                let entries: Vec<String> = map.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        loads_or_says_why(&[&text], &[]);
    }

    #[test]
    fn any_yaml_signs(text in "[a-c0 \\n\\t:?,&*!|>'\"%@`#{}\\[\\]~.<=-]{0,60}") {
        loads_or_says_why(&[&text], &[]);
        loads_or_says_why(&[BASE, &text], &[]);
    }

    #[test]
    fn any_bytes_of_the_good_one_replaced(at in 0..BASE.len(), sign in "[ -~\\n]") {
        let mut text = BASE.to_owned();
        text.replace_range(at..=at, &sign);
        loads_or_says_why(&[&text], &[]);
    }

    #[test]
    fn any_tree(keys in prop::collection::btree_map(word(), tree(), 0..5)) {
        let text: String = keys.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
        loads_or_says_why(&[&text], &[]);
        loads_or_says_why(&[BASE, &text], &[]);
    }

    #[test]
    fn any_guard_and_receiver(guard in tree(), trigger in tree(), receiver in tree()) {
        loads_or_says_why(&[BASE, &format!("guards: {{shop: {guard}, other: {guard}}}\ndefaults: {guard}")], &[]);
        loads_or_says_why(&[BASE, &format!("guards: {{shop: {{triggers: {{a: {trigger}, latency: {trigger}}}}}}}")], &[]);
        loads_or_says_why(&[BASE, &format!("receivers: {{a: {receiver}, b: {{email: {receiver}, webhook: {receiver}}}}}")], &[]);
    }

    #[test]
    fn any_variable(name in "[A-Z_a-z.\\[\\]0-9-]{0,20}", value in "\\PC{0,20}") {
        loads_or_says_why(&[BASE], &[(&format!("RIPCORD__{name}"), &value)]);
    }
}
