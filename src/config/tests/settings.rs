//! The settings that a small configuration gives.

use super::{BASE, LoadOptions, load_texts, settings};
use crate::config::defaults;

#[test]
fn what_is_not_written_has_its_default() {
    let settings = load_texts(&[BASE], &[], LoadOptions::default()).expect("valid");
    assert_eq!(settings.evaluation.interval, defaults::INTERVAL);
    assert_eq!(settings.evaluation.offset, defaults::OFFSET);
    assert_eq!(settings.evaluation.blind_after, defaults::BLIND_AFTER);
    assert_eq!(settings.prometheus.timeout, defaults::PROMETHEUS_TIMEOUT);
    assert_eq!(settings.http.listen, defaults::LISTEN);
    assert_eq!(settings.http.token_file, None);
    assert_eq!(settings.guards[0].rollout_timeout, defaults::ROLLOUT_TIMEOUT);
    assert_eq!((settings.heartbeat, settings.state, settings.leader_election), (None, None, None));
}

#[test]
fn guards_and_receivers_come_in_the_order_of_their_names() {
    let over = "
guards:
  a: {match: {x: y}, triggers: {z: {signal: error_rate, above: 1%}, b: {promql: x, above: 1}}, traffic: [{config_map: {namespace: n, name: a, data: {s: '${percentage}'}}}]}
receivers: {also: {webhook: {url: 'http://x'}}}
";
    let settings = settings(over);
    assert_eq!(settings.guards.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["a", "shop"]);
    assert_eq!(settings.receivers.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["also", "people"]);
    let triggers = &settings.guards[0].engine.triggers;
    assert_eq!(triggers.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["b", "z"]);
    for guard in &settings.guards {
        assert_eq!(guard.name, guard.engine.name);
        assert_eq!(guard.signals.len(), guard.engine.triggers.len());
        assert_eq!(guard.steps.iter().map(crate::config::Step::name).collect::<Vec<_>>(), guard.engine.rollback.steps);
    }
}

/// Every key that there is, once.
#[test]
fn the_whole_shape_is_known() {
    let text = r#"
prometheus:
  url: http://prometheus.monitoring.svc:9090
  timeout: 5s
  bearer_token_file: token
  tls: {ca_file: ca.pem}
  headers: {X-Scope-OrgID: "1"}
evaluation: {interval: 10s, offset: 0s, blind_after: 2m}
defaults:
  metrics: istio
  match: {destination_workload: "${deployment}"}
  caller_match: {source_workload: gateway, destination_service_name: "${deployment}"}
  vars: {deployment: "${guard}-controller"}
  triggers:
    error_rate: {signal: error_rate, above: 1%, clear_below: 0.5%, window: 5m, confirm_window: 1m, for: 5m, action: rollback}
    latency: {signal: latency, quantile: 0.95, degraded_by: 50%, clear_below: 25%, window: 5m, confirm_window: 1m, for: 5m,
              baseline: {control: {metrics: ingress_nginx, match: {ingress: "${deployment}"}}}, action: rollback}
    availability: {signal: availability, below: 99%, clear_above: 99.5%, window: 5m, confirm_window: 1m, for: 5m,
                   clear_for: 1m, severity: critical, low_traffic: literal, enabled: true, action: rollback}
    proxy_memory: {promql: 'max(container_memory_working_set_bytes{pod=~"${deployment}-.*"})', above: 128Mi, for: 5m, action: page}
  stages:
    - {up_to: 5%, triggers: {error_rate: {above: 0.5%}, latency: {degraded_by: 25%}}}
  traffic:
    - deployment_env: {namespace: sealos-system, name: "${deployment}", container: controller,
                       env: {NETWORKING_MODE: "${mode}", ISTIO_PERCENTAGE: "${percentage}"},
                       rollback_env: {EMERGENCY_ROLLBACK: "true", ROLLBACK_TIMESTAMP: "${time}"}}
    - config_map: {namespace: sealos-system, name: "${deployment}-config", optional: true,
                   data: {networking_mode: "${mode}", istio_percentage: "${percentage}"}}
  rollback: {percentages: [10, 0], rollout_timeout: 180s, verify: {within: 10m}, drift_watch: 10m}
guards:
  terminal: {runbook: "https://wiki.example/terminal", dashboard: "https://grafana.example/d/terminal"}
  db-adminer: {}
receivers:
  oncall:
    webhook: {url_file: /etc/ripcord/oncall-url, format: pagerduty, secret_file: key, bearer_token_file: t, ca_file: c,
              timeout: 10s}
    events: {min_severity: critical, only: [rollback.started, rollback.verified, page.resolved, guard.rearmed], guards: [terminal]}
    language: zh
  sre:
    email: {smtp: {host: smtp.example, port: 587, tls: starttls, username: ripcord, password_file: p, ca_file: c, timeout: 30s},
            from: ripcord@example, to: [sre-team@sealos.io]}
language: en
links: {status: "https://ripcord.example/", runbook: "https://wiki.example/", dashboard: "https://grafana.example/?g=${guard}"}
heartbeat: {url_file: h, interval: 1m, timeout: 10s}
state: {config_map: {namespace: sealos-system, name: ripcord-state}}
leader_election: {lease: {namespace: sealos-system, name: ripcord}, lease_duration: 15s}
http: {listen: "0.0.0.0:8080", token_file: t}
"#;
    let settings = load_texts(&[text], &[], LoadOptions { syntax_only: true });
    let settings = settings.unwrap_or_else(|findings| panic!("{}", super::lines(&findings)));
    assert_eq!(settings.guards.len(), 2);
    assert_eq!(settings.warnings, []);
}
