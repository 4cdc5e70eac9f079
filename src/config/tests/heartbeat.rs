//! Who is told that Ripcord is alive.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{LoadOptions, check_errors, check_warnings, errors, lines, load_texts, settings};
use crate::config::{Heartbeat, SecretFile, WebhookUrl, defaults};

fn heartbeat(keys: &str) -> String {
    format!("heartbeat: {{{keys}}}")
}

#[test]
fn an_address_and_how_often() {
    let told = settings(&heartbeat("url: 'https://hc.example/ping/x'")).heartbeat;
    let url = WebhookUrl::Plain("https://hc.example/ping/x".to_owned());
    let (interval, timeout) = (defaults::HEARTBEAT_INTERVAL, defaults::HEARTBEAT_TIMEOUT);
    assert_eq!(told, Some(Heartbeat { url: url.clone(), interval, timeout }));
    let told = settings(&heartbeat("url: 'https://hc.example/ping/x', interval: 5m, timeout: 500ms")).heartbeat;
    let (interval, timeout) = (Duration::from_secs(300), Duration::from_millis(500));
    assert_eq!(told, Some(Heartbeat { url, interval, timeout }));
    check_errors(&[
        (&heartbeat("interval: 1m"), "1.yaml:1: heartbeat: needs url, or url_file where the address is a secret"),
        (&heartbeat("url: 'http://x', url_file: /x"), "heartbeat: has both url and url_file; keep one"),
        (&heartbeat("url: x"), "heartbeat.url: is no address"),
        (&heartbeat("url: 'ftp://x'"), "heartbeat.url: begins with ftp:, which cannot be used"),
        (&heartbeat("url: 'http://x', interval: 999ms"), "heartbeat.interval: 999ms is too short; the least is 1s"),
        (&heartbeat("url: 'http://x', timeout: 0s"), "heartbeat.timeout: 0s is too short; write a time like 10s"),
        (&heartbeat("url: 'http://x', method: GET"), "heartbeat.method: unknown key \"method\""),
    ]);
    let found = errors(&heartbeat("url: 'http://user:hunter2@x'"));
    assert!(found[0].contains("heartbeat.url: has a user name or a password in it; put the whole address into a file"));
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn one_tick_sends_one_at_most() {
    check_warnings(&[(
        &heartbeat("url: 'http://x', interval: 5s"),
        "heartbeat.interval: 5s is shorter than evaluation.interval (10s): a tick sends one at most",
    )]);
    let fast = settings(&format!("{}\nevaluation: {{interval: 5s}}", heartbeat("url: 'http://x', interval: 5s")));
    assert!(!lines(&fast.warnings).contains("heartbeat"), "{}", lines(&fast.warnings));
}

#[test]
fn its_file_is_looked_at_unless_only_the_syntax_is_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("url");
    let over = heartbeat(&format!("url_file: {}", file.display()));
    let told = |text: &str| {
        fs::write(&file, text).expect("a file");
        errors(&over).join("\n")
    };
    assert!(told("https://hc.example/ping/x\n").is_empty());
    let found = told("hunter2");
    assert!(found.contains("heartbeat.url_file: the file ") && found.contains("holds no http:// or https:// address"));
    assert!(!found.contains("hunter2"), "{found}");
    let text = [super::BASE, "heartbeat: {url_file: /nowhere/url}"];
    let told = load_texts(&text, &[], LoadOptions { syntax_only: true }).expect("valid syntax").heartbeat;
    assert_eq!(told.map(|h| h.url), Some(WebhookUrl::File(SecretFile(PathBuf::from("/nowhere/url")))));
    check_errors(&[(text[1], "heartbeat.url_file: the secret file /nowhere/url does not exist")]);
}
