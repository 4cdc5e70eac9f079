//! What the tests of this folder share: a notification to tell, receivers, and real servers to tell it to.

pub(super) mod http;
pub(super) mod services;
pub(super) mod smtp;
pub(super) mod tls;

use std::collections::BTreeMap;
use std::sync::Once;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::config::{
    Channel, Email, Filter, Links, Receiver, SecretFile, Smtp, SmtpTls, Webhook, WebhookFormat, WebhookUrl,
};
use crate::engine::{Event, Language, Notification, RollbackFacts, Severity, StepReport, StepResult, TriggerFacts};

use super::{Addresses, DeliveryEvent};

/// How long a test waits for what must happen. Only a failing test ever waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A critical `rollback.started` of the guard `terminal`, with everything in it.
pub(super) fn notification(id: &str) -> Notification {
    Notification {
        id: id.to_owned(),
        event: Event::RollbackStarted,
        severity: Severity::Critical,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        guard: Some("terminal".to_owned()),
        guards: vec![],
        incident: Some("terminal-20260102T030405Z".to_owned()),
        summary: "terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %".to_owned(),
        advice: "Watch the error rate; nothing else to do yet.".to_owned(),
        trigger: Some(TriggerFacts {
            name: "error_rate".to_owned(),
            value: Some(0.031),
            threshold: 0.01,
            threshold_text: "1 %".to_owned(),
            held_seconds: 300.0,
            baseline: Some(0.002),
            baseline_source: None,
            text: "3.1 %".to_owned(),
        }),
        rollback: Some(RollbackFacts {
            from_percentage: Some(25),
            to_percentage: 0,
            undone: false,
            steps: vec![StepReport {
                step: "deployment_env sealos-system/terminal-controller".to_owned(),
                result: StepResult::Changed,
                detail: Some("2 variables".to_owned()),
            }],
            error: Some("one replica is slow".to_owned()),
        }),
        next: None,
        opening: None,
        settles: Vec::new(),
        dry_run: false,
        chinese: None,
    }
}

pub(super) fn links() -> Links {
    Links {
        status: Some("https://ripcord.example/".to_owned()),
        runbook: Some("https://runbooks.example/".to_owned()),
        dashboard: Some("https://grafana.example/d/ripcord?var-guard=${guard}".to_owned()),
    }
}

pub(super) fn addresses() -> Addresses {
    let runbooks = BTreeMap::from([("terminal".to_owned(), "https://runbooks.example/terminal".to_owned())]);
    Addresses { links: links(), runbooks, dashboards: BTreeMap::new() }
}

fn receiver(name: &str, channel: Channel) -> Receiver {
    let filter = Filter { min_severity: Severity::Info, events: vec![], guards: vec![] };
    Receiver { name: name.to_owned(), channel, filter, quiet: None, escalate_after: None, language: Language::English }
}

pub(super) fn webhook(url: &str) -> Webhook {
    Webhook {
        url: WebhookUrl::Plain(url.to_owned()),
        format: WebhookFormat::Generic,
        secret_file: None,
        bearer_token_file: None,
        ca_file: None,
        timeout: Duration::from_secs(10),
        mention: vec![],
        template: None,
    }
}

pub(super) fn webhook_receiver(name: &str, url: &str) -> Receiver {
    receiver(name, Channel::Webhook(webhook(url)))
}

pub(super) fn email(port: u16, tls: SmtpTls, to: &[&str]) -> Email {
    let smtp =
        Smtp { host: "localhost".to_owned(), port, tls, ca_file: None, login: None, timeout: Duration::from_secs(10) };
    Email { smtp, from: "ripcord@example.com".to_owned(), to: to.iter().map(|t| (*t).to_owned()).collect() }
}

pub(super) fn email_receiver(name: &str, email: Email) -> Receiver {
    receiver(name, Channel::Email(email))
}

/// A file with a secret. It is gone with the folder.
pub(super) fn secret(folder: &tempfile::TempDir, name: &str, content: &str) -> SecretFile {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    SecretFile(path)
}

/// What the daemon does at its start.
pub(super) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Another test's code may have done the same already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The next event.
pub(super) async fn next(events: &mut UnboundedReceiver<DeliveryEvent>) -> DeliveryEvent {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("nothing was reported").expect("the outbox is gone")
}
