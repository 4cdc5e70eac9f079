//! Where the state is kept, and which replica acts.

use std::path::PathBuf;
use std::time::Duration;

use super::{check_errors, errors, settings};
use crate::config::{LeaderElection, ObjectName, StatePlace, defaults};

const CONFIG_MAP: &str = "state: {config_map: {namespace: ops, name: ripcord-state}}";

fn object(namespace: &str, name: &str) -> ObjectName {
    ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// A leader election, with a state that replicas share.
fn election(keys: &str) -> String {
    format!("{CONFIG_MAP}\nleader_election: {{{keys}}}")
}

fn lasting(lease_duration: &str) -> String {
    election(&format!("lease: {{namespace: a, name: b}}, lease_duration: {lease_duration}"))
}

#[test]
fn the_state_is_in_a_file_or_a_config_map() {
    for (over, expected, said) in [
        (
            "state: {file: state/ripcord.json}",
            StatePlace::File("state/ripcord.json".into()),
            "the file state/ripcord.json",
        ),
        ("state: {file: /ripcord}", StatePlace::File(PathBuf::from("/ripcord")), "the file /ripcord"),
        (CONFIG_MAP, StatePlace::ConfigMap(object("ops", "ripcord-state")), "the ConfigMap ops/ripcord-state"),
    ] {
        let settings = settings(over);
        assert_eq!(settings.warnings, [], "{over}");
        assert_eq!(settings.state.as_ref(), Some(&expected), "{over}");
        assert_eq!(expected.to_string(), said);
    }
    check_errors(&[
        ("state: {}", "1.yaml:1: state: needs config_map: {namespace: …, name: …} or file: …"),
        ("state: {file: a, config_map: {namespace: a, name: b}}", "state: has both config_map and file; keep one"),
        ("state: {path: a}", "state.path: unknown key \"path\""),
        ("state: here", "state: must be a map"),
        ("state: {file: ''}", "state.file: is an empty text"),
        ("state: {file: state/}", "state.file: state/ names a folder; write the file too, like state/ripcord.json"),
        ("state: {file: /}", "state.file: / names a folder"),
        ("state: {file: ..}", "state.file: .. names a folder"),
        ("state: {config_map: {name: b}}", "state.config_map: needs namespace"),
        ("state: {config_map: {namespace: a}}", "state.config_map: needs name"),
        ("state: {config_map: {namespace: a, name: B}}", "state.config_map.name: \"B\" is no valid name"),
        ("state: {config_map: {namespace: a.b, name: b}}", "state.config_map.namespace: \"a.b\" is no valid name"),
    ]);
}

#[test]
fn a_state_in_memory_is_warned_of() {
    let settings = settings("evaluation: {interval: 10s}");
    assert_eq!(settings.state, None);
    let said: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "state: there is none, so the state is kept in memory: a restart forgets incidents, latches and pages that wait"
        ]
    );
}

#[test]
fn the_state_has_a_config_map_of_its_own() {
    let step = |namespace: &str| {
        format!(
            "guards: {{shop: {{traffic: [{{config_map: {{namespace: {namespace}, name: '${{guard}}-state', data: \
             {{s: '${{percentage}}'}}}}}}]}}}}\nstate: {{config_map: {{namespace: ops, name: shop-state}}}}"
        )
    };
    assert_eq!(settings(&step("elsewhere")).state, Some(StatePlace::ConfigMap(object("ops", "shop-state"))));
    check_errors(&[(
        &step("ops"),
        "1.yaml:2: state.config_map: guard shop changes ConfigMap ops/shop-state; give the state one of its own",
    )]);
    // It is said beside everything else that is wrong.
    let found = errors(&format!("{}\nevaluation: {{interval: 1ms}}", step("ops")));
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_leader_is_elected_by_a_lease() {
    assert_eq!(settings(CONFIG_MAP).leader_election, None);
    let elected = |over: &str| settings(over).leader_election;
    let expected = |lease_duration| Some(LeaderElection { lease: object("a", "b"), lease_duration });
    assert_eq!(elected(&election("lease: {namespace: a, name: b}")), expected(defaults::LEASE_DURATION));
    for (written, seconds) in [("2s", 2), ("1m30s", 90), ("5m", 300), ("4000ms", 4)] {
        assert_eq!(elected(&lasting(written)), expected(Duration::from_secs(seconds)), "{written}");
    }
    check_errors(&[
        (&election(""), "2: leader_election: needs lease: {namespace: …, name: …}"),
        (&election("lease: {name: b}"), "leader_election.lease: needs namespace"),
        (&election("lease: {namespace: A_, name: b}"), "leader_election.lease.namespace: \"A_\" is no valid name"),
        (&election("lease: {namespace: a, name: '-'}"), "leader_election.lease.name: \"-\" is no valid name"),
        (&lasting("1s"), "leader_election.lease_duration: 1s is too short; the least is 2s"),
        (&lasting("301s"), "leader_election.lease_duration: 5m1s is too long; the most is 5m"),
        (
            &lasting("2500ms"),
            "leader_election.lease_duration: 2s500ms is not in whole seconds, and a Lease counts in these",
        ),
        (&lasting("15"), "leader_election.lease_duration: 15 is no duration"),
    ]);
}

#[test]
fn replicas_share_their_state() {
    let needs = "leader_election: needs state: {config_map: {namespace: …, name: …}}: replicas must share their state";
    let lease = "leader_election: {lease: {namespace: a, name: b}}";
    check_errors(&[
        (lease, needs),
        (&format!("state: {{file: a}}\n{lease}"), needs),
        // What is wrong with the state alone is not said twice.
        (&format!("state: {{config_map: 5}}\n{lease}"), "state.config_map: must be a map"),
        (&format!("state: {{configmap: {{}}}}\n{lease}"), "state.configmap: unknown key \"configmap\""),
        (&format!("state: {{}}\n{lease}"), "state: needs config_map"),
    ]);
}
