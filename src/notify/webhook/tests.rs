use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::config::{Channel, Receiver, Webhook, WebhookFormat, WebhookUrl};
use crate::engine::{Alert, Event};
use crate::notify::signature::hex;
use crate::notify::testing::http::{Answer, Server};
use crate::notify::testing::services::{Service, hmac_by_definition};
use crate::notify::testing::tls::Pki;
use crate::notify::testing::{addresses, install_crypto, next, notification, secret, webhook, webhook_receiver};
use crate::notify::{DeliveryEvent, Outbox};

/// A path that is a secret, as those of most chat services are.
const PATH: &str = "/hooks/T0K3N-1234?key=s3cr3t-key";

fn receiver(webhook: Webhook) -> Receiver {
    let mut receiver = webhook_receiver("oncall", "http://unused.example/");
    receiver.channel = Channel::Webhook(webhook);
    receiver
}

fn start(receivers: &[Receiver]) -> (Outbox, UnboundedReceiver<DeliveryEvent>) {
    install_crypto();
    let (report, events) = unbounded_channel();
    let outbox = Outbox::start(receivers, addresses(), report, Arc::new(|| true)).unwrap();
    (outbox, events)
}

/// Sends one notification to a server that answers like this, and gives back the events up to the outcome.
async fn tell(server: &Server, change: impl FnOnce(&mut Webhook)) -> Vec<DeliveryEvent> {
    let mut settings = webhook(&format!("http://127.0.0.1:{}{PATH}", server.port));
    change(&mut settings);
    let (outbox, mut events) = start(&[receiver(settings)]);
    outbox.put(&notification("n1"), 0);
    let mut seen = vec![];
    loop {
        let event = next(&mut events).await;
        let text = format!("{event:?}");
        for part in ["T0K3N", "s3cr3t", "/hooks"] {
            assert!(!text.contains(part), "{part} is told: {text}");
        }
        seen.push(event);
        if !matches!(seen.last(), Some(DeliveryEvent::Retrying { .. })) {
            return seen;
        }
    }
}

fn error(event: &DeliveryEvent) -> &str {
    match event {
        DeliveryEvent::Retrying { error, .. } => error,
        DeliveryEvent::Dead { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_accepted_one_is_all_that_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![]).await;
    let events = tell(&server, |w| {
        w.secret_file = Some(secret(&folder, "key", "the key\n"));
        w.bearer_token_file = Some(secret(&folder, "token", "the-token\n"));
    })
    .await;
    let [DeliveryEvent::Accepted { receiver, id, attempts: 1, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((receiver.as_str(), id.as_str()), ("oncall", "n1/oncall"));
    let requests = server.requests();
    let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert_eq!(request.uri.to_string(), PATH);
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("user-agent"), format!("ripcord/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("idempotency-key"), "n1/oncall");
    assert_eq!(request.header("authorization"), "Bearer the-token");
    let signature = format!("sha256={}", hex(&hmac_by_definition(b"the key", &request.body)));
    assert_eq!(request.header("x-ripcord-signature"), signature);
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["id"], "n1");
    assert_eq!(body["links"]["runbook"], "https://runbooks.example/terminal");
}

#[tokio::test]
async fn a_busy_receiver_is_asked_again_when_it_says_with_the_same_bytes() {
    let soon = (Timestamp::now() + Duration::from_secs(1)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let server = Server::start(vec![
        Answer::Say(503, vec![("retry-after", "1".to_owned())], "busy".to_owned()),
        Answer::Say(429, vec![("retry-after", soon)], String::new()),
    ])
    .await;
    let events = tell(&server, |_| {}).await;
    let [
        DeliveryEvent::Retrying { attempt: 1, delay, error, .. },
        DeliveryEvent::Retrying { attempt: 2, .. },
        accepted,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*delay, Duration::from_secs(1));
    assert_eq!(*error, format!("POST to 127.0.0.1:{}: answered 503 (busy)", server.port));
    assert!(matches!(accepted, DeliveryEvent::Accepted { attempts: 3, .. }), "{accepted:?}");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for again in &requests[1..] {
        assert_eq!(again.body, requests[0].body);
        assert_eq!(again.header("idempotency-key"), requests[0].header("idempotency-key"));
    }
}

#[tokio::test]
async fn refusals_are_final() {
    for (status, hint) in [
        (400, "check the receiver's address and format"),
        (401, "check the receiver's secret or token"),
        (404, "check the receiver's address"),
        (302, "redirects are not followed"),
    ] {
        let said = format!("Cannot POST {PATH}\r\n<b>{}</b>", "x".repeat(100_000));
        let elsewhere = ("location", "http://127.0.0.1:1/".to_owned());
        let server = Server::start(vec![Answer::Say(status, vec![elsewhere], said)]).await;
        let events = tell(&server, |_| {}).await;
        let [dead @ DeliveryEvent::Dead { .. }] = &events[..] else { panic!("{events:?}") };
        assert!(error(dead).contains(&format!("answered {status} (Cannot POST [redacted] <b>xxx")), "{dead:?}");
        assert!(error(dead).ends_with(hint) || error(dead).contains(hint), "{dead:?}");
        assert!(error(dead).len() < 500, "{}", error(dead).len());
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn other_failures_are_tried_again() {
    for status in [408, 500, 502] {
        let server = Server::start(vec![Answer::status(status)]).await;
        let events = tell(&server, |_| {}).await;
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(error(&events[0]).ends_with(&format!("answered {status}")), "{events:?}");
    }
}

#[tokio::test]
async fn a_hanging_receiver_is_left_after_the_timeout() {
    let server = Server::start(vec![Answer::Hang]).await;
    let events = tell(&server, |w| w.timeout = Duration::from_secs(1)).await;
    assert!(error(&events[0]).contains("no answer within 1s"), "{events:?}");
    assert!(matches!(events.last(), Some(DeliveryEvent::Accepted { .. })));
}

#[tokio::test]
async fn a_closed_connection_is_tried_again() {
    let server = Server::start_after(vec![], 1).await;
    let events = tell(&server, |_| {}).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(error(&events[0]).starts_with(&format!("POST to 127.0.0.1:{}: ", server.port)), "{events:?}");
}

#[tokio::test]
async fn secrets_are_read_at_each_try() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![]).await;
    let mut settings = webhook("unused");
    settings.url = WebhookUrl::File(secret(&folder, "url", "no url, but s3cr3t"));
    settings.secret_file = Some(crate::config::SecretFile(folder.path().join("key")));
    let (outbox, mut events) = start(&[receiver(settings)]);
    outbox.put(&notification("n1"), 0);
    let first = next(&mut events).await;
    assert!(error(&first).contains("url: this is no URL") && !error(&first).contains("s3cr3t"), "{first:?}");
    secret(&folder, "url", &format!("http://127.0.0.1:{}{PATH}\n", server.port));
    let second = next(&mut events).await;
    assert!(error(&second).contains(folder.path().join("key").to_str().unwrap()), "{second:?}");
    secret(&folder, "key", "k");
    let third = next(&mut events).await;
    assert!(matches!(third, DeliveryEvent::Accepted { attempts: 3, .. }), "{third:?}");
    assert_eq!(server.requests()[0].uri.to_string(), PATH);
}

#[tokio::test]
async fn a_hanging_receiver_does_not_delay_another() {
    let slow = Server::start(vec![Answer::Hang]).await;
    let quick = Server::start(vec![]).await;
    let url = |server: &Server| format!("http://127.0.0.1:{}/", server.port);
    let (outbox, mut events) = start(&[webhook_receiver("slow", &url(&slow)), webhook_receiver("quick", &url(&quick))]);
    for id in ["1", "2", "3"] {
        outbox.put(&notification(id), 0);
        let event = next(&mut events).await;
        assert!(matches!(&event, DeliveryEvent::Accepted { receiver, .. } if receiver == "quick"), "{event:?}");
    }
    assert_eq!(outbox.depths()[0].length, 3);
}

#[tokio::test]
async fn what_ends_several_alerts_is_repeated_until_all_of_them_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Answer::status(202), Answer::status(503)]).await;
    let mut settings = webhook(&format!("http://127.0.0.1:{}/v2/enqueue", server.port));
    settings.format = WebhookFormat::Pagerduty;
    settings.secret_file = Some(secret(&folder, "key", "R0UT1NG"));
    let (outbox, mut events) = start(&[receiver(settings)]);
    let mut rearmed = notification("n1");
    rearmed.event = Event::GuardRearmed;
    rearmed.settles = vec![Alert::Failed, Alert::Reverted];
    outbox.put(&rearmed, 0);
    assert!(matches!(next(&mut events).await, DeliveryEvent::Retrying { .. }));
    assert!(matches!(next(&mut events).await, DeliveryEvent::Accepted { attempts: 2, .. }));
    let sent: Vec<serde_json::Value> =
        server.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    let resolved = |end: &str| {
        let key = format!("terminal-20260102T030405Z{end}");
        serde_json::json!({"routing_key": "R0UT1NG", "event_action": "resolve", "dedup_key": key})
    };
    let expected: Vec<serde_json::Value> = ["", "/failed", "", "/failed", "/reverted"].map(resolved).into();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn pagerduty_gets_its_routing_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Answer::status(202)]).await;
    let events = tell(&server, |w| {
        w.format = WebhookFormat::Pagerduty;
        w.secret_file = Some(secret(&folder, "key", "r0ut1ng\n"));
    })
    .await;
    assert!(matches!(events[..], [DeliveryEvent::Accepted { .. }]), "{events:?}");
    let request = &server.requests()[0];
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["routing_key"], "r0ut1ng");
    assert_eq!(body["event_action"], "trigger");
    assert_eq!(request.header("x-ripcord-signature"), "", "the key signs nothing");
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted() {
    let pki = Pki::new();
    let port = pki.serve(|stream| {
        let mut request = vec![];
        let mut part = [0; 4096];
        while !request.ends_with(b"}") {
            let n = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..n]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let mut settings = webhook(&format!("https://localhost:{port}{PATH}"));
    settings.ca_file = Some(pki.path("missing.pem"));
    let (outbox, mut events) = start(&[receiver(settings)]);
    outbox.put(&notification("n1"), 0);
    let first = next(&mut events).await;
    assert!(error(&first).contains("missing.pem"), "{first:?}");
    std::fs::copy(Pki::new().path("ca.pem"), pki.path("missing.pem")).unwrap();
    let second = next(&mut events).await;
    assert!(error(&second).contains("certificate") && !error(&second).contains("T0K3N"), "{second:?}");
    std::fs::copy(pki.path("ca.pem"), pki.path("missing.pem")).unwrap();
    let third = next(&mut events).await;
    assert!(matches!(third, DeliveryEvent::Accepted { .. }), "{third:?}");
}

#[tokio::test]
async fn a_name_that_no_header_can_carry_is_encoded() {
    assert_eq!(super::idempotency_key("n1/oncall").to_str().unwrap(), "n1/oncall");
    assert_eq!(super::idempotency_key("n%/值班\r\n").to_str().unwrap(), "n%25/%E5%80%BC%E7%8F%AD%0D%0A");
}

/// Where there is no secret file, the address may hold the key; without either nothing is sent.
#[tokio::test]
async fn the_routing_key_may_be_in_the_address() {
    let server = Server::start(vec![Answer::status(202)]).await;
    let events = tell(&server, |w| {
        w.format = WebhookFormat::Pagerduty;
        w.url = WebhookUrl::Plain(format!("http://127.0.0.1:{}/v2/enqueue?routing_key=s3cr3t-key", server.port));
    })
    .await;
    assert!(matches!(events.last(), Some(DeliveryEvent::Accepted { .. })), "{events:?}");
    let body: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    assert_eq!(body["routing_key"], "s3cr3t-key");
}

#[tokio::test]
async fn what_cannot_work_is_said_at_the_start() {
    install_crypto();
    let mut pagerduty = webhook("ftp://example.com/s3cr3t");
    pagerduty.format = WebhookFormat::Pagerduty;
    let (report, _events) = unbounded_channel();
    let findings = Outbox::start(&[receiver(pagerduty)], addresses(), report, Arc::new(|| true)).err().unwrap();
    let said: Vec<(&str, &str)> = findings.iter().map(|f| (f.path.as_str(), f.message.as_str())).collect();
    assert_eq!(said, [("receivers.oncall.webhook.url", "the URL must begin with https:// or http://"),]);
}

/// The formats of chats whose services are played here.
const CHATS: [WebhookFormat; 4] =
    [WebhookFormat::Slack, WebhookFormat::Feishu, WebhookFormat::Dingtalk, WebhookFormat::Wecom];

/// Sends one notification to a service, and gives back the first event. Nothing secret may be told.
async fn tell_service(
    url: &str,
    format: WebhookFormat,
    secret_file: Option<crate::config::SecretFile>,
) -> DeliveryEvent {
    let settings = Webhook { format, secret_file, ..webhook(url) };
    let (outbox, mut events) = start(&[receiver(settings)]);
    outbox.put(&notification("n1"), 0);
    let event = next(&mut events).await;
    let text = format!("{event:?}");
    for part in ["T0K3N", "s3cr3t", "timestamp=", "sign="] {
        assert!(!text.contains(part), "{part} is told: {text}");
    }
    event
}

#[tokio::test]
async fn chats_take_what_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let key = || Some(secret(&folder, "key", "SEC-s3cr3t\n"));
    for format in CHATS {
        let signs = matches!(format, WebhookFormat::Feishu | WebhookFormat::Dingtalk);
        let service = Service::start(format, signs.then_some("SEC-s3cr3t"), 0).await;
        let event = tell_service(&service.url(), format, if signs { key() } else { None }).await;
        assert!(matches!(event, DeliveryEvent::Accepted { attempts: 1, .. }), "{format:?}: {event:?}");
        assert_eq!(service.taken().len(), 1, "{format:?}");
    }
}

#[tokio::test]
async fn what_a_chat_refuses_is_lost_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = || Some(secret(&folder, "wrong", "another-s3cr3t"));
    let right = || Some(secret(&folder, "right", "SEC-s3cr3t"));
    for (format, key, ahead, says) in [
        (WebhookFormat::Feishu, wrong(), 0, "answered code 19021 (sign match fail"),
        (WebhookFormat::Feishu, right(), 4000, "check the receiver's secret_file and this machine's clock"),
        (WebhookFormat::Feishu, None, 0, "answered code 19021"),
        (WebhookFormat::Dingtalk, wrong(), 0, "answered code 310000 (sign not match, sign [redacted] of [redacted]"),
        (WebhookFormat::Dingtalk, right(), -4000, "check the receiver's secret_file and this machine's clock"),
    ] {
        let service = Service::start(format, Some("SEC-s3cr3t"), ahead).await;
        let event = tell_service(&service.url(), format, key).await;
        assert!(matches!(event, DeliveryEvent::Dead { .. }), "{format:?}: {event:?}");
        assert!(error(&event).contains(says), "{format:?}: {event:?}");
        assert!(service.taken().is_empty());
    }
    for (format, says) in [
        (WebhookFormat::Slack, "answered 404 (no_service); check the receiver's address"),
        (WebhookFormat::Feishu, "answered code 19001"),
        (WebhookFormat::Dingtalk, "answered code 300001 (token is not exist); check the receiver's address"),
        (WebhookFormat::Wecom, "answered code 93000"),
    ] {
        let service = Service::start(format, None, 0).await;
        let event = tell_service(&service.url().replace("T0K3N", "T0K3N-gone"), format, None).await;
        assert!(matches!(event, DeliveryEvent::Dead { .. }), "{format:?}: {event:?}");
        assert!(error(&event).contains(says), "{format:?}: {event:?}");
    }
}

#[tokio::test]
async fn a_chat_that_has_too_many_is_left_alone_for_a_while() {
    for format in CHATS {
        let service = Service::start(format, None, 0).await;
        service.is_full();
        let event = tell_service(&service.url(), format, None).await;
        let DeliveryEvent::Retrying { delay, .. } = event else { panic!("{format:?}: {event:?}") };
        let expected = if format == WebhookFormat::Slack { 30 } else { 60 };
        assert_eq!(delay, Duration::from_secs(expected), "{format:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_code_is_no_yes() {
    for (format, said) in [
        (WebhookFormat::Feishu, "<html>please log in</html>"),
        (WebhookFormat::Dingtalk, "{}"),
        (WebhookFormat::Wecom, "{\"errcode\":\"0\"}"),
    ] {
        let server = Server::start(vec![Answer::Say(200, vec![], said.to_owned())]).await;
        let event = tell_service(&format!("http://127.0.0.1:{}/", server.port), format, None).await;
        assert!(matches!(event, DeliveryEvent::Retrying { .. }), "{format:?}: {event:?}");
        assert!(error(&event).contains("does not say whether it took the message"), "{event:?}");
    }
    let server =
        Server::start(vec![Answer::Say(200, vec![], "{\"StatusCode\":0,\"StatusMessage\":\"success\"}".to_owned())])
            .await;
    let event = tell_service(&format!("http://127.0.0.1:{}/", server.port), WebhookFormat::Feishu, None).await;
    assert!(matches!(event, DeliveryEvent::Accepted { .. }), "{event:?}");
}

#[tokio::test]
async fn a_template_is_sent_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![]).await;
    let headers = [("X-Priority".to_owned(), "high".to_owned())].into();
    let events = tell(&server, |w| {
        w.format = WebhookFormat::Template;
        w.secret_file = Some(secret(&folder, "key", "the key"));
        w.template = Some(crate::config::TemplateSettings {
            text: "{{ severity }}: {{ summary }}".to_owned(),
            content_type: "text/plain; charset=utf-8".to_owned(),
            headers,
        });
    })
    .await;
    assert!(matches!(events[0], DeliveryEvent::Accepted { .. }), "{events:?}");
    let request = &server.requests()[0];
    assert_eq!(request.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!((request.header("x-priority"), request.header("idempotency-key")), ("high", "n1/oncall"));
    assert_eq!(request.body, format!("critical: {}", notification("n1").summary).as_bytes());
    let signature = format!("sha256={}", hex(&hmac_by_definition(b"the key", &request.body)));
    assert_eq!(request.header("x-ripcord-signature"), signature);
}
