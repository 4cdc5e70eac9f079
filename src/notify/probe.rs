//! Whether the receivers can be reached: without paging anybody, or by a notification that says that it is a test.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::timeout;

use crate::config::{Finding, Receiver};
use crate::engine::{Event, Language, Notification, Sentence, Severity};

use super::addresses::Addresses;
use super::courier::{Courier, Failure, Made};
use super::entry::Entry;
use super::outbox::{make_courier, recipients};

/// How long one receiver may take. Its own time-outs are for each exchange, of which a login by SMTP has several; a person waits for the
/// sum.
const PATIENCE: Duration = Duration::from_secs(20);

/// Goes to every receiver as far as nobody is paged: secrets and addresses are read, then a webhook's address is asked what it takes, and a
/// mail server is greeted and logged in to. Errors say what was tried and what to do, and never a secret or the path of an address.
pub async fn probe(receivers: &[Receiver]) -> Vec<(String, Result<(), String>)> {
    let addresses = Arc::default();
    let probe = |_, courier: Arc<dyn Courier>| async move { courier.probe().await.map_err(Failure::into_text) }.boxed();
    of_all(receivers, &addresses, probe).await
}

/// Sends every receiver one notification, whatever it filters, that says that it is a test. It is tried once.
pub async fn send_test(receivers: &[Receiver], addresses: Addresses) -> Vec<(String, Result<(), String>)> {
    let addresses = Arc::new(addresses);
    let notification = Arc::new(test(Timestamp::now()));
    let send = |receiver: Receiver, courier: Arc<dyn Courier>| {
        let notification = Arc::clone(&notification);
        async move {
            let mut failed = Vec::new();
            for recipient in recipients(&receiver.channel) {
                let entry =
                    Entry::new(&receiver.name, recipient.as_deref(), notification.time, Arc::clone(&notification));
                let sent = match courier.prepare(&entry) {
                    Ok(Made { body, shortfall: None }) => courier.deliver(&entry, &body).await,
                    Ok(Made { shortfall: Some(why), .. }) => Err(Failure::Refused(why)),
                    Err(failure) => Err(failure),
                };
                failed.extend(sent.err().map(Failure::into_text));
            }
            if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
        }
        .boxed()
    };
    of_all(receivers, &addresses, send).await
}

/// Does the same with each receiver, all at once, and names each with what came of it.
async fn of_all(
    receivers: &[Receiver],
    addresses: &Arc<Addresses>,
    what: impl Fn(Receiver, Arc<dyn Courier>) -> BoxFuture<'static, Result<(), String>>,
) -> Vec<(String, Result<(), String>)> {
    let mut under_way = FuturesOrdered::new();
    for receiver in receivers {
        let begun = make_courier(receiver, addresses).map(|courier| what(receiver.clone(), courier));
        under_way.push_back(async move {
            let done = match begun {
                Ok(begun) => timeout(PATIENCE, begun).await.unwrap_or_else(|_| {
                    Err(format!("it was not done within {PATIENCE:?}; see what its server waits for"))
                }),
                Err(findings) => Err(in_one_line(&findings)),
            };
            (receiver.name.clone(), done)
        });
    }
    under_way.collect().await
}

fn in_one_line(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The notification. An event of its own would be one that receivers and their filters do not know; this is the one that everybody has to
/// take, with a story of its own, which a service that opens an alert for it keeps apart from all others.
fn test(now: Timestamp) -> Notification {
    let id = format!("test-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let mut test = Notification {
        id: id.clone(),
        event: Event::PageFiring,
        severity: Severity::Info,
        time: now,
        guard: None,
        guards: vec![],
        incident: Some(id),
        summary: String::new(),
        advice: String::new(),
        trigger: None,
        rollback: None,
        next: None,
        opening: None,
        settles: Vec::new(),
        dry_run: false,
        chinese: None,
    };
    let summary = Sentence::of(|language| match language {
        Language::English => "TEST of Ripcord's notifications: nothing is wrong, nothing was changed".to_owned(),
        Language::Chinese => "TEST（测试）：Ripcord 的通知测试，没有故障，未做任何改动".to_owned(),
    });
    let advice = Sentence::of(|language| {
        match language {
        Language::English => {
            "Nothing. Somebody ran `ripcord preflight --send-test`, and this is how a page arrives here. A service that has opened an \
             alert for it will not hear more of it: close it."
                .to_owned()
        }
        Language::Chinese => {
            "无需处理。有人执行了 `ripcord preflight --send-test`，通知送到这里就是这个样子。如果有系统因此开了告警，请手动关闭：不会再有后续通知。"
                .to_owned()
        }
    }
    });
    test.say(summary, advice);
    test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BasicAuth, Channel, SecretFile, SmtpTls, WebhookFormat, WebhookUrl};
    use crate::notify::testing::http::{Answer, Server};
    use crate::notify::testing::{email, email_receiver, install_crypto, secret, webhook_receiver};

    const SECRET_PATH: &str = "/services/T0K3N?routing_key=R0UT1NG";

    fn hook(server: &Server) -> Receiver {
        webhook_receiver("hook", &format!("http://us3r:p4ss@127.0.0.1:{}{SECRET_PATH}", server.port))
    }

    async fn one(receiver: Receiver) -> Result<(), String> {
        install_crypto();
        let mut all = probe(&[receiver]).await;
        let (_, result) = all.remove(0);
        if let Err(error) = &result {
            for part in ["T0K3N", "R0UT1NG", "us3r", "p4ss", "hunter2"] {
                assert!(!error.contains(part), "{part} is told: {error}");
            }
        }
        result
    }

    #[tokio::test]
    async fn a_webhook_is_asked_without_body_and_credentials() {
        let server = Server::start(vec![Answer::status(405)]).await;
        let folder = tempfile::tempdir().unwrap();
        let mut receiver = hook(&server);
        let Channel::Webhook(webhook) = &mut receiver.channel else { unreachable!() };
        webhook.bearer_token_file = Some(secret(&folder, "token", "hunter2"));
        assert_eq!(one(receiver).await, Ok(()));
        let requests = server.requests();
        let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
        assert_eq!((request.method.as_str(), request.uri.to_string().as_str()), ("OPTIONS", "/services/T0K3N"));
        assert!(request.body.is_empty());
        assert_eq!(request.header("authorization"), "");
        assert_eq!(request.header("idempotency-key"), "");
    }

    #[tokio::test]
    async fn only_5xx_and_silence_are_failures() {
        for (status, reached) in [(200, true), (302, true), (401, true), (404, true), (500, false), (503, false)] {
            let server = Server::start(vec![Answer::status(status)]).await;
            let result = one(hook(&server)).await;
            assert_eq!(result.is_ok(), reached, "{status}: {result:?}");
            if let Err(error) = result {
                assert!(error.contains(&format!("answered {status}; see whether")), "{error}");
            }
        }
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = gone.local_addr().unwrap().port();
        drop(gone);
        let error = one(webhook_receiver("hook", &format!("http://127.0.0.1:{port}{SECRET_PATH}"))).await.unwrap_err();
        assert!(error.starts_with(&format!("OPTIONS to 127.0.0.1:{port}: ")), "{error}");
    }

    #[tokio::test]
    async fn what_would_be_missing_at_night_is_missed_now() {
        let server = Server::start(vec![]).await;
        let with = |edit: fn(&mut crate::config::Webhook)| {
            let mut receiver = webhook_receiver("hook", &format!("http://127.0.0.1:{}/", server.port));
            let Channel::Webhook(webhook) = &mut receiver.channel else { unreachable!() };
            edit(webhook);
            receiver
        };
        let error = one(with(|w| w.secret_file = Some(SecretFile("/nowhere/key".into())))).await.unwrap_err();
        assert_eq!(error, "the secret file /nowhere/key does not exist");
        let error = one(with(|w| w.url = WebhookUrl::File(SecretFile("/nowhere/url".into())))).await.unwrap_err();
        assert_eq!(error, "the secret file /nowhere/url does not exist");
        let error = one(with(|w| w.format = WebhookFormat::Pagerduty)).await.unwrap_err();
        assert!(error.contains("there is no routing key for PagerDuty"), "{error}");
        assert!(server.requests().is_empty(), "none of them was sent");
    }

    #[tokio::test]
    async fn a_mail_server_that_is_not_there_is_said() {
        let mut email = email(9, SmtpTls::None, &["a@example.org"]);
        email.smtp.host = "127.0.0.1".to_owned();
        let folder = tempfile::tempdir().unwrap();
        let password_file = secret(&folder, "password", "hunter2");
        email.smtp.login = Some(BasicAuth { username: "ripcord".to_owned(), password_file });
        let error = one(email_receiver("sre", email)).await.unwrap_err();
        assert!(error.starts_with("SMTP 127.0.0.1:9: the connection failed"), "{error}");
    }

    #[tokio::test]
    async fn a_test_says_so_and_goes_to_everybody_once() {
        install_crypto();
        let (well, ill) = (Server::start(vec![]).await, Server::start(vec![Answer::status(503)]).await);
        let receivers = [hook(&well), webhook_receiver("ill", &format!("http://127.0.0.1:{}/", ill.port))];
        let results = send_test(&receivers, Addresses::default()).await;
        assert_eq!(results[0], ("hook".to_owned(), Ok(())));
        assert!(results[1].1.as_ref().is_err_and(|e| e.contains("answered 503")), "{results:?}");
        assert_eq!((well.requests().len(), ill.requests().len()), (1, 1), "once, no retries");
        let body: serde_json::Value = serde_json::from_slice(&well.requests()[0].body).unwrap();
        assert_eq!((body["severity"].as_str(), body["event"].as_str()), (Some("info"), Some("page.firing")));
        assert!(body["summary"].as_str().is_some_and(|s| s.starts_with("TEST ")), "{body}");
    }
}
