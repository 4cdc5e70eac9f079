//! The SMTP server and the HTTP receiver.

use std::time::Duration;

use anyhow::{Context, ensure};
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;

use crate::stories;
use crate::support::hook::{Behaviour as Answer, Hook};
use crate::support::mailbox::{Behaviour, Mailbox, PASSWORD, Security, USER};
use crate::support::{Story, World, eventually};

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Story> {
    stories![
        mail_comes_in_the_clear,
        mail_comes_by_starttls_with_a_login,
        mail_comes_by_implicit_tls_with_a_login,
        mail_is_refused,
        mail_hangs,
        mailbox_goes_and_comes_back,
        hook_takes_calls,
        hook_misbehaves,
    ]
}

type Transport = AsyncSmtpTransport<Tokio1Executor>;

fn transport(mailbox: &Mailbox, security: Security, login: Option<(&str, Mechanism)>) -> anyhow::Result<Transport> {
    let ca = Certificate::from_pem(&std::fs::read(mailbox.ca_file())?)?;
    let parameters = TlsParameters::builder("localhost".to_owned()).add_root_certificate(ca).build_rustls()?;
    let tls = match security {
        Security::Plain => Tls::None,
        Security::StartTls => Tls::Required(parameters),
        Security::Implicit => Tls::Wrapper(parameters),
    };
    let mut builder =
        Transport::builder_dangerous("localhost").port(mailbox.address().port()).tls(tls).timeout(Some(SOON));
    if let Some((password, mechanism)) = login {
        let credentials = Credentials::new(USER.to_owned(), password.to_owned());
        builder = builder.credentials(credentials).authentication(vec![mechanism]);
    }
    Ok(builder.build())
}

fn message(to: &[&str]) -> anyhow::Result<Message> {
    let mut builder = Message::builder().from("Ripcord <ripcord@sealos.test>".parse()?).subject("Rolling back");
    for recipient in to {
        builder = builder.to(recipient.parse()?);
    }
    Ok(builder
        .message_id(Some("<incident-1@ripcord>".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body("terminal: 25 % -> 0 %\n.a line with a dot\n".to_owned())?)
}

async fn mail_comes_in_the_clear(world: World) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    let to = ["sre@sealos.test", "dev@sealos.test"];
    transport(&mailbox, Security::Plain, None)?.send(message(&to)?).await?;
    let mail = mailbox.wait_for(|m| m.first().cloned(), SOON).await?;
    ensure!(mail.from == "ripcord@sealos.test" && mail.to == to, "{mail:?}");
    ensure!(
        mail.header("subject") == "Rolling back" && mail.header("Message-ID") == "<incident-1@ripcord>",
        "{mail:?}"
    );
    ensure!(mail.body.contains("terminal: 25 % -> 0 %\r\n.a line with a dot"), "{:?}", mail.body);
    ensure!(!mail.tls && mail.user.is_none());
    Ok(())
}

async fn logs_in(world: &World, security: Security) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(world, security, true).await?;
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        transport(&mailbox, security, Some((PASSWORD, mechanism)))?.send(message(&["sre@sealos.test"])?).await?;
    }
    ensure!(mailbox.messages().len() == 2);
    ensure!(mailbox.messages().iter().all(|m| m.tls && m.user.as_deref() == Some(USER)), "{:?}", mailbox.messages());
    let wrong =
        transport(&mailbox, security, Some(("wrong", Mechanism::Plain)))?.send(message(&["sre@sealos.test"])?).await;
    ensure!(wrong.as_ref().is_err_and(|e| e.is_permanent()), "{wrong:?}");
    let none = transport(&mailbox, security, None)?.send(message(&["sre@sealos.test"])?).await;
    ensure!(none.is_err(), "{none:?}");
    ensure!(mailbox.messages().len() == 2);
    Ok(())
}

async fn mail_comes_by_starttls_with_a_login(world: World) -> anyhow::Result<()> {
    logs_in(&world, Security::StartTls).await
}

async fn mail_comes_by_implicit_tls_with_a_login(world: World) -> anyhow::Result<()> {
    logs_in(&world, Security::Implicit).await
}

async fn mail_is_refused(world: World) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    let transport = transport(&mailbox, Security::Plain, None)?;
    mailbox.set(Behaviour::Refuse(vec!["gone@sealos.test".to_owned()]));
    let refused = transport.send(message(&["gone@sealos.test"])?).await;
    ensure!(refused.as_ref().is_err_and(|e| e.is_permanent()), "{refused:?}");
    transport.send(message(&["sre@sealos.test"])?).await?;
    mailbox.set(Behaviour::Temporary);
    let refused = transport.send(message(&["sre@sealos.test"])?).await;
    ensure!(refused.as_ref().is_err_and(|e| e.is_transient()), "{refused:?}");
    ensure!(mailbox.messages().len() == 1);
    Ok(())
}

async fn mail_hangs(world: World) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    let send = async || {
        let transport = transport(&mailbox, Security::Plain, None)?;
        let sending = transport.send(message(&["sre@sealos.test"])?);
        Ok::<_, anyhow::Error>(tokio::time::timeout(Duration::from_millis(500), sending).await)
    };
    mailbox.set(Behaviour::Hang);
    ensure!(send().await?.is_err());
    ensure!(mailbox.messages().is_empty());
    mailbox.set(Behaviour::HangAfterMessage);
    ensure!(send().await?.is_err());
    ensure!(mailbox.messages().len() == 1, "taken, though nothing was said");
    mailbox.set(Behaviour::Accept);
    send().await???;
    ensure!(mailbox.messages().len() == 2);
    Ok(())
}

async fn mailbox_goes_and_comes_back(world: World) -> anyhow::Result<()> {
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    mailbox.gone();
    eventually(SOON, "it is gone", async || tokio::net::TcpStream::connect(mailbox.address()).await.is_err()).await?;
    mailbox.back().await?;
    transport(&mailbox, Security::Plain, None)?.send(message(&["sre@sealos.test"])?).await?;
    Ok(())
}

async fn hook_takes_calls(world: World) -> anyhow::Result<()> {
    let hook = Hook::start(&world).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body = json!({"event": "page.firing", "guard": "terminal"});
    http.post(hook.url("/oncall")).header("Idempotency-Key", "k1").json(&body).send().await?.error_for_status()?;
    let call = hook.wait_event("page.firing", SOON).await?;
    ensure!(call.method == "POST" && call.path == "/oncall" && call.header("idempotency-key") == "k1");
    ensure!(call.body == body && serde_json::from_slice::<serde_json::Value>(&call.raw)? == body);
    let missing = hook.wait_for(|calls| calls.get(1).cloned(), Duration::from_millis(200)).await;
    let error = missing.err().context("there is one call only")?.to_string();
    ensure!(error.contains("page.firing"), "{error}");
    Ok(())
}

async fn hook_misbehaves(world: World) -> anyhow::Result<()> {
    let hook = Hook::start(&world).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let post = async || http.post(hook.url("/")).body("{}").send().await;
    hook.set_next(&[Answer::Status(429, Some(3)), Answer::Status(500, None), Answer::Close]);
    let answer = post().await?;
    ensure!(answer.status() == 429 && answer.headers()["retry-after"] == "3");
    ensure!(post().await?.status() == 500);
    ensure!(post().await.is_err());
    ensure!(post().await?.status() == 200, "after the next ones it is as it was");
    hook.set(Answer::Hang);
    ensure!(tokio::time::timeout(Duration::from_millis(300), post()).await.is_err());
    hook.set(Answer::Accept);
    hook.gone();
    eventually(SOON, "it is gone", async || post().await.is_err()).await?;
    hook.back().await?;
    ensure!(post().await?.status() == 200);
    let statuses: Vec<_> = hook.calls().iter().map(|c| c.status).collect();
    ensure!(statuses[..5] == [Some(429), Some(500), None, Some(200), None], "{statuses:?}");
    ensure!(hook.accepted().len() == 2, "{statuses:?}");
    Ok(())
}
