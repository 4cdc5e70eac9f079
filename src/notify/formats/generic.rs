//! The webhook format `generic`: Ripcord's own.

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::{Language, Notification};
use crate::notify::addresses::{Addresses, NotificationLinks};

/// The version of the format. Fields may be added to it; one that changes or goes makes a new version.
const VERSION: &str = "1";

#[derive(Serialize)]
struct Body<'a> {
    version: &'static str,
    #[serde(flatten)]
    notification: &'a Notification,
    links: NotificationLinks,
}

/// The body as it is sent: the notification's own fields, `version` and `links`. Its time is cut to whole seconds. The texts for people are
/// in the receiver's language; everything that a program goes by is the same in all.
pub(in crate::notify) fn body(notification: &Notification, addresses: &Addresses, language: Language) -> Vec<u8> {
    with_body(notification, addresses, language, |body| serde_json::to_vec(body))
}

/// The same as a value, to be put into another format.
pub(in crate::notify) fn value(
    notification: &Notification,
    addresses: &Addresses,
    language: Language,
) -> serde_json::Value {
    with_body(notification, addresses, language, |body| serde_json::to_value(body))
}

fn with_body<T>(
    notification: &Notification,
    addresses: &Addresses,
    language: Language,
    write: impl FnOnce(&Body<'_>) -> serde_json::Result<T>,
) -> T {
    let links = addresses.of(notification);
    let time = whole_seconds(notification.time);
    let notification = Notification { time, ..notification.with_texts_in(language) };
    write(&Body { version: VERSION, notification: &notification, links })
        .expect("a notification is text, numbers and maps with text as keys")
}

/// The time without its fraction of a second.
pub(in crate::notify) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{body, value};
    use crate::engine::{Chinese, Language, Opening, Severity, TriggerWords};
    use crate::notify::testing::{addresses, notification};

    #[test]
    fn has_the_documented_shape() {
        let mut n = notification("n1");
        n.time = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let expected = json!({
            "version": "1",
            "id": "n1",
            "event": "rollback.started",
            "severity": "critical",
            "time": "2026-01-02T03:04:05Z",
            "guard": "terminal",
            "incident": "terminal-20260102T030405Z",
            "summary": "terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %",
            "advice": "Watch the error rate; nothing else to do yet.",
            "trigger": {
                "name": "error_rate", "value": 0.031, "threshold": 0.01, "threshold_text": "1 %", "held_seconds": 300.0, "baseline": 0.002,
                "text": "3.1 %"
            },
            "rollback": {
                "from_percentage": 25,
                "to_percentage": 0,
                "steps": [{"step": "deployment_env sealos-system/terminal-controller", "result": "changed", "detail": "2 variables"}],
                "error": "one replica is slow"
            },
            "links": {"status": "https://ripcord.example/", "runbook": "https://runbooks.example/terminal", "dashboard": "https://grafana.example/d/ripcord?var-guard=terminal"},
        });
        let english = Language::English;
        assert_eq!(value(&n, &addresses(), english), expected);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body(&n, &addresses(), english)).unwrap(), expected);
    }

    #[test]
    fn only_what_people_read_is_in_the_receivers_language() {
        let mut n = notification("n1");
        let opening = "terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %";
        n.opening = Some(Opening { severity: Severity::Critical, summary: opening.to_owned() });
        n.trigger.as_mut().unwrap().baseline_source = Some("a day ago".to_owned());
        let english = value(&n, &addresses(), Language::English);
        assert_eq!(value(&n, &addresses(), Language::Chinese), english, "it was made before somebody wanted Chinese");

        let words = TriggerWords {
            label: "错误率".to_owned(),
            text: "3.1 %（31/1000 个请求失败）".to_owned(),
            threshold_text: "1 %".to_owned(),
            baseline_source: Some("一天前".to_owned()),
        };
        n.chinese = Some(Box::new(Chinese {
            summary: "terminal：已回滚 25 % -> 0 %".to_owned(),
            advice: "等待验证结果。".to_owned(),
            opening: Some("terminal：错误率 3.1 %（阈值 1 %）".to_owned()),
            trigger: Some(words),
        }));
        assert_eq!(value(&n, &addresses(), Language::English), english, "another receiver wants English");
        let mut expected = english;
        expected["summary"] = "terminal：已回滚 25 % -> 0 %".into();
        expected["advice"] = "等待验证结果。".into();
        expected["opening"]["summary"] = "terminal：错误率 3.1 %（阈值 1 %）".into();
        expected["trigger"]["text"] = "3.1 %（31/1000 个请求失败）".into();
        expected["trigger"]["baseline_source"] = "一天前".into();
        assert_eq!(value(&n, &addresses(), Language::Chinese), expected);
    }

    #[test]
    fn what_is_absent_is_null() {
        let mut n = notification("n1");
        n.guard = None;
        n.incident = None;
        n.trigger = None;
        n.rollback = None;
        n.guards = vec!["a".to_owned(), "b".to_owned()];
        let body = value(&n, &addresses(), Language::English);
        for key in ["guard", "incident", "trigger", "rollback"] {
            assert!(body[key].is_null() && body.as_object().unwrap().contains_key(key), "{key}");
        }
        assert_eq!(body["guards"], json!(["a", "b"]));
        assert_eq!(body["links"]["runbook"], "https://runbooks.example/");
    }
}
