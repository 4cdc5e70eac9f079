//! What `pages.txt` of the daemon cannot show: what is kept of an old notification, what is cut, what is hostile.

use super::compose;
use crate::engine::{Chinese, Event, Language, Next, StepReport, StepResult, TriggerWords};
use crate::notify::testing::{addresses, notification};

#[test]
fn reads_well() {
    let mut n = notification("n1");
    n.next = Some(Next::Verify { within_seconds: 600.0 });
    let message = compose(&n, &addresses(), Language::English);
    assert_eq!(message.subject, "[CRITICAL] terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %");
    let expected = "\
terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %

What to do now:
Watch the error rate; nothing else to do yet.

What is wrong:
error_rate: 3.1 %, limit 1 %
Breach observed for 5m0s, since 02:59:05 UTC or earlier

What Ripcord did:
It is moving the traffic from 25 % to 0 %.

What Ripcord does next:
Once every pod has restarted it checks for at most 10m0s whether the service is well, and tells you.

What went wrong:
one replica is slow

Steps:
- deployment_env sealos-system/terminal-controller: changed (2 variables)

Runbook: https://runbooks.example/terminal
Dashboard: https://grafana.example/d/ripcord?var-guard=terminal
Status: https://ripcord.example/

Event: rollback.started
Time: 2026-01-02 03:04:05 UTC
Guard: terminal
Incident: terminal-20260102T030405Z
Notification: n1
";
    assert_eq!(message.text, expected);
}

/// What was made before somebody wanted Chinese, or by a Ripcord that did not know it.
#[test]
fn what_is_not_there_in_chinese_is_told_in_english_as_a_whole() {
    let n = notification("n1");
    assert_eq!(compose(&n, &addresses(), Language::Chinese), compose(&n, &addresses(), Language::English));
    let old = serde_json::to_string(&n).unwrap();
    assert!(!old.contains("chinese") && !old.contains("next"), "{old}");
    assert_eq!(serde_json::from_str::<crate::engine::Notification>(&old).unwrap(), n);
}

#[test]
fn it_is_told_in_chinese_where_it_is_there() {
    let mut n = notification("n1");
    let trigger = TriggerWords {
        label: "错误率".to_owned(),
        text: "3.1 %（31/1000 个请求失败）".to_owned(),
        threshold_text: "1 %".to_owned(),
        baseline_source: Some("一天前".to_owned()),
    };
    let (summary, advice) = ("terminal：错误率高".to_owned(), "请查看。".to_owned());
    n.chinese = Some(Box::new(Chinese { summary, advice, opening: None, trigger: Some(trigger) }));
    let message = compose(&n, &addresses(), Language::Chinese);
    assert_eq!(message.subject, "[严重] terminal：错误率高");
    assert!(message.html.starts_with("<!DOCTYPE html>\n<html lang=\"zh-CN\">"), "{}", message.html);
    for line in
        ["错误率：3.1 %（31/1000 个请求失败），阈值 1 %", "基线：一天前", "处理手册：https://runbooks.example/terminal"]
    {
        assert!(message.text.lines().any(|l| l == line), "{line} is not in {}", message.text);
    }
    assert_eq!(n, serde_json::from_str(&serde_json::to_string(&n).unwrap()).unwrap());
}

#[test]
fn says_whether_it_helped() {
    let says = |event, words: &str| {
        let mut n = notification("n1");
        n.event = event;
        let message = compose(&n, &addresses(), Language::English);
        assert!(message.text.contains(words), "{}", message.text);
        assert!(message.html.contains(words), "{}", message.html);
    };
    says(Event::RollbackVerified, "Yes. Since the change: error_rate: 3.1 %, limit 1 %");
    says(Event::RollbackNotRecovered, "No. Since the change: error_rate: 3.1 %, limit 1 %");
    says(Event::RollbackReverted, "Somebody undid that");
    says(Event::PageFiring, "Nothing: ");
    let mut n = notification("n1");
    n.event = Event::RollbackNotRecovered;
    n.trigger.as_mut().unwrap().value = None;
    n.trigger.as_mut().unwrap().text = "no requests".to_owned();
    let message = compose(&n, &addresses(), Language::English);
    assert!(message.text.contains("It cannot be seen. error_rate: no requests"), "{}", message.text);
}

#[test]
fn good_news_does_not_read_like_the_page_that_it_ends() {
    let mut n = notification("n1");
    n.event = Event::RollbackVerified;
    let message = compose(&n, &addresses(), Language::English);
    assert!(message.subject.starts_with("[OK] ") && !message.urgent, "{}", message.subject);
    n.event = Event::RollbackFailed;
    assert!(compose(&n, &addresses(), Language::English).urgent);
}

#[test]
fn says_where_a_baseline_comes_from() {
    let mut n = notification("n1");
    let source = "recorded 2026-01-02, 7d, 120345 requests, version 3";
    n.trigger.as_mut().unwrap().baseline_source = Some(source.to_owned());
    let message = compose(&n, &addresses(), Language::English);
    assert!(message.text.contains(&format!("\nBaseline: {source}\n")), "{}", message.text);
}

#[test]
fn a_dry_run_cannot_be_taken_for_the_real_thing() {
    let mut n = notification("n1");
    n.dry_run = true;
    let message = compose(&n, &addresses(), Language::English);
    assert!(message.subject.starts_with("[CRITICAL] [dry run] terminal"));
    assert!(message.text.contains("Nothing: this is a dry run. It would have moved the traffic from 25 % to 0 %."));
    assert!(!message.text.contains("Did it help"));
    // The engine says so already.
    n.summary.insert_str(0, "[dry run] ");
    assert_eq!(compose(&n, &addresses(), Language::English).subject, message.subject);
}

#[test]
fn hostile_texts_come_out_harmless() {
    let hostile = "x\r\nBcc: all@example.com\n\n<script>alert('1')</script>\u{202e}";
    let mut n = notification("n1");
    n.summary = hostile.to_owned();
    n.advice = hostile.to_owned();
    n.guard = Some(hostile.to_owned());
    n.incident = Some(hostile.to_owned());
    n.trigger.as_mut().unwrap().text = hostile.to_owned();
    n.rollback.as_mut().unwrap().steps =
        vec![StepReport { step: hostile.to_owned(), result: StepResult::Failed, detail: Some(hostile.to_owned()) }];
    n.rollback.as_mut().unwrap().error = Some(hostile.to_owned());
    let chinese = Chinese { summary: hostile.to_owned(), advice: hostile.to_owned(), opening: None, trigger: None };
    n.chinese = Some(Box::new(chinese));
    let mut addresses = addresses();
    addresses.links.runbook = Some("javascript:alert(1)".to_owned());
    for language in Language::ALL {
        let message = compose(&n, &addresses, language);
        assert!(!message.subject.contains(['\r', '\n', '\u{202e}']));
        assert!(!message.text.contains(['\r', '\u{202e}']));
        assert!(!message.html.contains("<script"), "{}", message.html);
        assert!(!message.html.contains("href=\"javascript"), "{}", message.html);
        assert!(message.html.contains("&lt;script&gt;alert(&#39;1&#39;)"));
    }
}

#[test]
fn long_texts_are_cut() {
    let mut n = notification("n1");
    n.summary = "很".repeat(5000);
    let message = compose(&n, &addresses(), Language::English);
    assert_eq!(message.subject.chars().count(), 200);
    assert_eq!(message.text.lines().next().unwrap().chars().count(), 1000);
}
