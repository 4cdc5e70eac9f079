use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::config::{BasicAuth, Email, SmtpTls};
use crate::notify::testing::smtp::{Mailbox, Recipient, USER, take_and_never_say_goodbye};
use crate::notify::testing::tls::Pki;
use crate::notify::testing::{addresses, email, email_receiver, install_crypto, next, notification, secret};
use crate::notify::{DeliveryEvent, Outbox};

fn start(email: Email) -> (Outbox, UnboundedReceiver<DeliveryEvent>) {
    install_crypto();
    let (report, events) = unbounded_channel();
    let receivers = [email_receiver("sre", email)];
    let outbox = Outbox::start(&receivers, addresses(), report, Arc::new(|| true)).unwrap();
    (outbox, events)
}

fn login(pki: &Pki, password: &str) -> BasicAuth {
    BasicAuth { username: USER.0.to_owned(), password_file: secret(&pki.folder, "password", password) }
}

fn error(event: &DeliveryEvent) -> &str {
    match event {
        DeliveryEvent::Retrying { error, .. } => error,
        DeliveryEvent::Dead { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// The next event that is not a failed try.
async fn next_outcome(events: &mut UnboundedReceiver<DeliveryEvent>) -> DeliveryEvent {
    loop {
        match next(events).await {
            DeliveryEvent::Retrying { .. } => {}
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn each_recipient_gets_a_mail_of_its_own() {
    let server = Mailbox::new(&[]);
    let (outbox, mut events) =
        start(email(server.serve(None), SmtpTls::None, &["a@example.org", "b@example.org", "a@example.org"]));
    let mut n = notification("n1");
    n.summary = "terminal: x\r\nBcc: all@example.org\r\n\r\n.\r\n<script>".to_owned();
    outbox.put(&n, 0);
    let mut ids = vec![];
    for _ in 0..2 {
        match next(&mut events).await {
            DeliveryEvent::Accepted { id, attempts: 1, .. } => ids.push(id),
            other => panic!("{other:?}"),
        }
    }
    ids.sort();
    assert_eq!(ids, ["n1/sre/a@example.org", "n1/sre/b@example.org"]);
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert_eq!(mail.from, "ripcord@example.com");
        assert_eq!(mail.to.len(), 1);
        assert_eq!(mail.header("To"), mail.to[0]);
        let subject = mail.header("Subject");
        assert_eq!(subject, "[CRITICAL] terminal: x Bcc: all@example.org . <script>");
        assert_eq!(mail.header("Bcc"), "");
        assert!(mail.data.contains("&lt;script&gt;"), "{}", mail.data);
    }
}

#[tokio::test]
async fn one_refused_recipient_does_not_cost_the_others_their_mail() {
    let server = Mailbox::new(&[("gone@example.org", Recipient::Unknown)]);
    let (outbox, mut events) = start(email(server.serve(None), SmtpTls::None, &["gone@example.org", "b@example.org"]));
    outbox.put(&notification("n1"), 0);
    let mut events = [next(&mut events).await, next(&mut events).await];
    events.sort_by_key(|e| matches!(e, DeliveryEvent::Dead { .. }));
    let [DeliveryEvent::Accepted { id, .. }, dead @ DeliveryEvent::Dead { .. }] = &events else { panic!("{events:?}") };
    assert_eq!(id, "n1/sre/b@example.org");
    assert!(error(dead).contains("RCPT TO gone@example.org failed: permanent error (550)"), "{dead:?}");
    assert!(outbox.depths()[0].length == 0);
}

#[tokio::test]
async fn one_busy_recipient_holds_up_only_itself_and_gets_the_same_mail_again() {
    let server = Mailbox::new(&[("busy@example.org", Recipient::Busy(2))]);
    let (outbox, mut events) = start(email(server.serve(None), SmtpTls::None, &["busy@example.org", "b@example.org"]));
    outbox.put(&notification("n1"), 0);
    outbox.put(&notification("n2"), 0);
    let mut accepted = vec![];
    for _ in 0..4 {
        match next_outcome(&mut events).await {
            DeliveryEvent::Accepted { id, attempts, .. } => accepted.push((id, attempts)),
            other => panic!("{other:?}"),
        }
    }
    let of = |who: &str| accepted.iter().filter(|(id, _)| id.contains(who)).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!(accepted[0].0, "n1/sre/b@example.org");
    assert_eq!(accepted[1].0, "n2/sre/b@example.org", "it did not wait for the other recipient");
    assert_eq!(of("busy@"), [3, 1], "in order, the first at its third try");
    let mails: Vec<_> = server.mails().into_iter().filter(|m| m.to == ["busy@example.org"]).collect();
    assert_eq!(mails.len(), 4);
    for again in &mails[1..3] {
        assert_eq!(again.data, mails[0].data, "the same bytes, the Message-ID among them");
    }
    assert_eq!(mails[0].header("Message-ID"), "<n1/sre/busy=40example.org@example.com>");
    assert_eq!(mails[3].header("Message-ID"), "<n2/sre/busy=40example.org@example.com>");
    assert_eq!(mails[0].header("References"), mails[3].header("References"), "one thread");
}

#[tokio::test]
async fn starttls_and_a_login() {
    let pki = Pki::new();
    let server = Mailbox::new(&[]);
    let mut settings = email(server.serve(Some(&pki)), SmtpTls::Starttls, &["a@example.org"]);
    settings.smtp.login = Some(login(&pki, "wrong-passw0rd\n"));
    settings.smtp.ca_file = Some(pki.path("trusted.pem"));
    std::fs::copy(Pki::new().path("ca.pem"), pki.path("trusted.pem")).unwrap();
    let (outbox, mut events) = start(settings);
    outbox.put(&notification("n1"), 0);
    let first = next(&mut events).await;
    assert!(error(&first).contains("STARTTLS failed") && error(&first).contains("certificate"), "{first:?}");
    std::fs::copy(pki.path("ca.pem"), pki.path("trusted.pem")).unwrap();
    let second = next(&mut events).await;
    assert!(error(&second).contains("the login failed: permanent error (535)"), "{second:?}");
    assert!(!error(&second).contains("wrong-passw0rd"));
    login(&pki, USER.1);
    let third = next(&mut events).await;
    assert!(matches!(third, DeliveryEvent::Accepted { attempts: 3, .. }), "{third:?}");
    assert_eq!(server.mails()[0].user.as_deref(), Some(USER.0));
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let server = Mailbox::new(&[]);
    let (outbox, mut events) = start(email(server.serve(None), SmtpTls::Starttls, &["a@example.org"]));
    outbox.put(&notification("n1"), 0);
    let first = next(&mut events).await;
    assert!(error(&first).contains("STARTTLS is not supported"), "{first:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn implicit_tls_and_a_server_that_never_says_goodbye() {
    let pki = Pki::new();
    let (sender, taken) = mpsc::channel();
    let port = pki.serve(move |stream| take_and_never_say_goodbye(stream, &sender));
    let mut settings = email(port, SmtpTls::Implicit, &["a@example.org"]);
    settings.smtp.ca_file = Some(pki.path("ca.pem"));
    let (outbox, mut events) = start(settings);
    outbox.put(&notification("n1"), 0);
    outbox.put(&notification("n2"), 0);
    for id in ["n1", "n2"] {
        let event = next(&mut events).await;
        assert!(matches!(&event, DeliveryEvent::Accepted { attempts: 1, .. }), "{event:?}");
        assert!(taken.recv().unwrap().contains(&format!("Message-ID: <{id}/")), "each is sent once");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_after_the_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = email(listener.local_addr().unwrap().port(), SmtpTls::None, &["a@example.org"]);
    settings.smtp.host = "127.0.0.1".to_owned();
    settings.smtp.timeout = Duration::from_secs(1);
    let (outbox, mut events) = start(settings);
    outbox.put(&notification("n1"), 0);
    let first = next(&mut events).await;
    assert!(error(&first).contains("the connection: no answer within 1s"), "{first:?}");
}

#[tokio::test]
async fn what_cannot_work_is_said_at_the_start() {
    let pki = Pki::new();
    let mut settings = email(25, SmtpTls::None, &["a@example.org", "nobody"]);
    settings.smtp.host = "mail.example.org".to_owned();
    settings.smtp.login = Some(login(&pki, "p"));
    settings.from = "\r\n".to_owned();
    let (report, _events) = unbounded_channel();
    let findings = Outbox::start(&[email_receiver("sre", settings)], addresses(), report, Arc::new(|| true));
    let paths: Vec<String> = findings.err().unwrap().into_iter().map(|f| f.path).collect();
    assert_eq!(paths, ["receivers.sre.email.from", "receivers.sre.email.to[1]", "receivers.sre.email.smtp.tls"]);
}
