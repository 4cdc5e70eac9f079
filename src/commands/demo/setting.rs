//! What the demo is made of: the configuration, the components, their objects.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::cluster::deployment_path;
use super::receiver;

/// How much faster than the wall the clock runs. A tick every half second: a slow machine with two cores still keeps up.
pub const SPEED: f64 = 20.0;

/// The namespace of the components.
pub const NAMESPACE: &str = "sealos-system";

/// The guard whose traffic gets bad, and its Deployment.
pub const BAD: &str = "terminal";

/// The guard that stays well.
pub const GOOD: &str = "db-adminer";

/// The share that both go to, in percent.
pub const SHARE: u8 = 25;

/// Where the configuration's servers are.
pub struct Addresses {
    /// The simulated Prometheus.
    pub prometheus: SocketAddr,
    /// The simulated receiver.
    pub receiver: SocketAddr,
    /// Where the daemon is to listen.
    pub listen: SocketAddr,
}

/// The configuration, as a user would write it.
pub fn configuration(addresses: &Addresses) -> String {
    let Addresses { prometheus, receiver, listen } = addresses;
    let path = receiver::PATH;
    format!(
        r#"prometheus: {{url: "http://{prometheus}"}}
evaluation: {{interval: 10s}}
http: {{listen: "{listen}"}}
links: {{runbook: "https://runbooks.example/traffic-migration"}}
defaults:
  metrics: istio
  triggers:
    error_rate: {{signal: error_rate, above: 1%, clear_below: 0.5%, window: 5m, confirm_window: 1m, for: 5m, action: rollback}}
    latency: {{signal: latency, quantile: 0.95, degraded_by: 50%, clear_below: 25%, window: 5m, confirm_window: 1m, for: 5m,
              baseline: {{fixed: 120ms}}, action: rollback}}
  traffic:
    - deployment_env:
        namespace: {NAMESPACE}
        name: "${{deployment}}"
        container: controller
        env: {{NETWORKING_MODE: "${{mode}}", ISTIO_PERCENTAGE: "${{percentage}}"}}
        rollback_env: {{EMERGENCY_ROLLBACK: "true", ROLLBACK_TIMESTAMP: "${{time}}"}}
    - config_map:
        namespace: {NAMESPACE}
        name: "${{deployment}}-config"
        optional: true
        data: {{networking_mode: "${{mode}}", istio_percentage: "${{percentage}}"}}
  rollback: {{percentage: 0, rollout_timeout: 180s, verify: {{within: 10m}}}}
guards:
  {BAD}: {{match: {{destination_workload: {BAD}-controller}}, vars: {{deployment: {BAD}-controller}}}}
  {GOOD}: {{match: {{destination_workload: {GOOD}-controller}}, vars: {{deployment: {GOOD}-controller}}}}
receivers:
  oncall: {{webhook: {{url: "http://{receiver}{path}", format: generic}}, events: {{min_severity: critical}}}}
"#
    )
}

/// A guard's Deployment.
pub fn deployment(guard: &str) -> String {
    format!("{guard}-controller")
}

/// The traffic of a workload; `None` where there is no such workload.
pub fn requests_per_second(workload: &str) -> Option<f64> {
    [(BAD, 40.0), (GOOD, 25.0)].into_iter().find(|(guard, _)| deployment(guard) == workload).map(|(_, rate)| rate)
}

/// The objects of the cluster, each with the path of its address.
pub fn objects() -> Vec<(String, Value)> {
    let config = format!("{}-config", deployment(BAD));
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": NAMESPACE, "name": config},
        "data": {"networking_mode": "ingress", "istio_percentage": "0", "enable_istio_monitoring": "true"},
    });
    vec![
        (deployment_path(&deployment(BAD)), deployment_object(BAD)),
        (deployment_path(&deployment(GOOD)), deployment_object(GOOD)),
        (format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{config}"), config_map),
    ]
}

fn deployment_object(guard: &str) -> Value {
    let name = deployment(guard);
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [
                    {"name": "controller", "image": format!("registry.example/sealos/{name}:v5.1.0"), "env": [
                        {"name": "LOG_LEVEL", "value": "info"},
                        {"name": "NETWORKING_MODE", "value": "ingress"},
                        {"name": "ISTIO_PERCENTAGE", "value": "0"},
                    ]},
                    {"name": "istio-proxy", "image": "registry.example/istio/proxyv2:1.27.1"},
                ]},
            },
        },
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::Settings;

    /// The demo's configuration, loaded.
    pub fn settings() -> Settings {
        let address: SocketAddr = "127.0.0.1:1234".parse().unwrap();
        let addresses = Addresses { prometheus: address, receiver: address, listen: address };
        crate::commands::demo::load(&configuration(&addresses)).unwrap()
    }

    #[test]
    fn the_configuration_is_valid_and_without_a_warning_but_that_it_forgets() {
        let settings = settings();
        let warned: Vec<&str> = settings.warnings.iter().map(|w| w.path.as_str()).collect();
        assert_eq!(warned, ["state"]);
        let names: Vec<&str> = settings.guards.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, [GOOD, BAD]);
    }
}
