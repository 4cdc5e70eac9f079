//! Alertmanager pulls the cord: its webhook (`version` 4) is understood where a rollback is asked for.
//!
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use std::collections::BTreeMap;

use serde::Deserialize;

/// Alerts that the reason names; the rest is counted.
const NAMED: usize = 3;

/// What is used of the body.
#[derive(Debug, Deserialize)]
pub struct Webhook {
    status: String,
    #[serde(rename = "groupKey")]
    _group_key: String,
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Webhook {
    /// The body, if it is one of Alertmanager.
    pub fn parse(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }

    /// Why a rollback is asked for; `None` when the alerts are over, which is no reason to move anything.
    pub fn reason(&self) -> Option<String> {
        let firing: Vec<String> = self.alerts.iter().filter(|a| a.status == "firing").map(Alert::in_words).collect();
        if self.status != "firing" || firing.is_empty() {
            return None;
        }
        let mut text = format!("Alertmanager: {}", firing.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; "));
        if firing.len() > NAMED {
            text.push_str(&format!("; and {} more", firing.len() - NAMED));
        }
        Some(text)
    }
}

impl Alert {
    fn in_words(&self) -> String {
        let name = self.labels.get("alertname").map_or("an alert without a name", String::as_str);
        match ["summary", "description", "message"].iter().find_map(|key| self.annotations.get(*key)) {
            Some(text) => format!("{name}: {text}"),
            None => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(status: &str, alerts: &[(&str, &str)]) -> String {
        let alerts: Vec<_> = alerts
            .iter()
            .map(|(name, status)| {
                json!({
                    "status": status, "labels": {"alertname": name, "severity": "critical"},
                    "annotations": {"summary": format!("{name} is bad")}, "startsAt": "2026-01-02T03:04:05Z",
                    "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph", "fingerprint": "c0ffee",
                })
            })
            .collect();
        json!({
            "version": "4", "groupKey": "{}:{alertname=\"x\"}", "truncatedAlerts": 0, "status": status, "receiver": "ripcord",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager", "alerts": alerts,
        })
        .to_string()
    }

    #[test]
    fn firing_alerts_are_the_reason() {
        let parsed = Webhook::parse(&body("firing", &[("Complaints", "firing"), ("Old", "resolved")])).unwrap();
        assert_eq!(parsed.reason().as_deref(), Some("Alertmanager: Complaints: Complaints is bad"));
        let many = [("A", "firing"), ("B", "firing"), ("C", "firing"), ("D", "firing"), ("E", "firing")];
        let reason = Webhook::parse(&body("firing", &many)).unwrap().reason().unwrap();
        assert!(reason.ends_with("C: C is bad; and 2 more"), "{reason}");
    }

    #[test]
    fn what_is_over_moves_nothing_and_other_bodies_are_not_alertmanagers() {
        assert_eq!(Webhook::parse(&body("resolved", &[("Complaints", "resolved")])).unwrap().reason(), None);
        assert_eq!(Webhook::parse(&body("firing", &[])).unwrap().reason(), None);
        for other in ["", "{}", r#"{"reason": "users complain"}"#, r#"{"status": "firing", "alerts": []}"#] {
            assert!(Webhook::parse(other).is_none(), "{other}");
        }
    }
}
