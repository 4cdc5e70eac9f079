//! The API server or a receiver fails.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::ConfigMap;

use super::stage::{COMPONENT, LONG, Stage, each_once, until_state};
use crate::stories;
use crate::support::controller::Rollout;
use crate::support::hook::{Behaviour, Hook};
use crate::support::mailbox::{self, Mailbox, Security};
use crate::support::mesh::Traffic;
use crate::support::proxy::Fault;
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        forbidden_pages_and_keeps_trying,
        conflicts_page_and_keep_trying,
        server_errors_page_and_keep_trying,
        a_hanging_api_server_pages_and_keeps_trying,
        a_vanished_api_server_pages_and_keeps_trying,
        a_lost_answer_is_no_second_change,
        a_rollout_that_sticks_pages,
        an_optional_config_map_may_be_absent,
        a_hanging_receiver_delays_nothing,
        a_receiver_that_is_down_gets_everything_later,
        retry_after_is_honoured,
        one_refused_recipient_does_not_fail_the_other,
        mail_by_every_kind_of_connection,
    ]
}

/// The API server refuses every change with `fault`; it is paged, and tried until it is accepted.
async fn refused_then_accepted(world: &World, fault: Fault, expected: &[&str]) -> anyhow::Result<()> {
    let stage = Stage::set(world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.api.rule(|r| r.method == "PATCH" && !r.is_dry_run(), fault);
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let failed = stage.told("rollback.failed").await?;
    let error = failed.body["rollback"]["error"].as_str().context("error")?.to_owned();
    ensure!(failed.body["severity"] == "critical");
    ensure!(error.contains(COMPONENT), "the error does not say on what: {error}");
    ensure!(
        expected.iter().any(|word| error.contains(word)),
        "the error is not the expected one {expected:?}: {error}"
    );
    let before = stage.patches();
    eventually(LONG, "it tries again", async || stage.patches() > before).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"));
    stage.api.clear();
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    ensure!(
        stage.story() == ["rollback.started", "rollback.failed", "rollback.succeeded", "rollback.verified"],
        "{:?}",
        stage.story()
    );
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    ensure!(stage.accepted_patches() == 2, "{} patches were accepted", stage.accepted_patches());
    Ok(())
}

async fn forbidden_pages_and_keeps_trying(world: World) -> anyhow::Result<()> {
    refused_then_accepted(&world, Fault::kubernetes(403), &["patch"]).await
}

async fn conflicts_page_and_keep_trying(world: World) -> anyhow::Result<()> {
    refused_then_accepted(&world, Fault::kubernetes(409), &["changed", "conflict", "Conflict"]).await
}

async fn server_errors_page_and_keep_trying(world: World) -> anyhow::Result<()> {
    refused_then_accepted(&world, Fault::kubernetes(500), &["500"]).await
}

async fn a_hanging_api_server_pages_and_keeps_trying(world: World) -> anyhow::Result<()> {
    refused_then_accepted(&world, Fault::Hang, &["5s", "5 s", "in time", "did not answer"]).await
}

async fn a_vanished_api_server_pages_and_keeps_trying(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.api.gone();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let failed = stage.told("rollback.failed").await?;
    ensure!(
        failed.body["rollback"]["error"].as_str().is_some_and(|e| e.contains("no connection to the API server")),
        "{}",
        failed.body
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.api.back().await?;
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    Ok(())
}

/// The change arrives and its answer is lost: the next attempt finds it done.
async fn a_lost_answer_is_no_second_change(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _ripcord = stage.watch(&stage.config()).await?;
    stage.api.rule_times(1, |r| r.is("PATCH", "/deployments/") && !r.is_dry_run(), Fault::LoseAnswer);
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    let generation = stage.deployment().await?.metadata.generation;
    ensure!(generation == Some(2), "the Deployment was changed more than once: generation {generation:?}");
    Ok(())
}

async fn a_rollout_that_sticks_pages(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.controller.set(Rollout::Stuck(Duration::from_millis(500)));
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let failed = stage.told("rollback.failed").await?;
    let error = failed.body["rollback"]["error"].as_str().unwrap_or_default();
    ensure!(error.contains("ProgressDeadlineExceeded") || error.contains("progress"), "{error}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"), "the change itself is accepted");
    stage.controller.set(Rollout::Finish(Duration::from_millis(100)));
    stage.told("rollback.succeeded").await?;
    until_state(&ripcord, "rolled_back").await?;
    Ok(())
}

async fn an_optional_config_map_may_be_absent(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    world.api::<ConfigMap>().delete(&format!("{COMPONENT}-config"), &kube::api::DeleteParams::default()).await?;
    let _ripcord = stage.watch(&stage.config().set("defaults.traffic.1.config_map.optional", true)).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let page = stage.told("rollback.succeeded").await?;
    ensure!(page.body["rollback"]["steps"][1]["result"] == "absent", "{}", page.body);
    Ok(())
}

/// One receiver takes every call and never answers. The traffic moves within the second all the same, and the other one hears everything.
async fn a_hanging_receiver_delays_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let deaf = Hook::start(&world).await?;
    deaf.set(Behaviour::Hang);
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    mailbox.set(mailbox::Behaviour::Hang);
    let config = stage
        .config()
        .webhook("deaf", &deaf)
        .email(&world, "mail", &mailbox, Security::Plain, false, &["sre@sealos.test"])?
        .set("receivers.deaf.webhook.timeout", "20s")
        .set("receivers.mail.email.smtp.timeout", "20s");
    let _ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    let patch = stage.api.requests().into_iter().find(|r| r.method == "PATCH" && !r.is_dry_run()).context("a patch")?;
    let started = stage.hook.accepted().into_iter().find(|c| c.event() == "rollback.started").context("the page")?;
    let (_, accepted) = patch.answered.context("answered")?;
    let apart = accepted.duration_since(started.at).or_else(|_| started.at.duration_since(accepted))?;
    ensure!(
        apart < Duration::from_secs(5),
        "a change should not wait for a receiver's 20 s; it came {apart:?} apart from the page"
    );
    ensure!(deaf.accepted().is_empty() && !deaf.calls().is_empty(), "the deaf one was not even tried");
    ensure!(stage.story() == ["rollback.started", "rollback.succeeded", "rollback.verified"], "{:?}", stage.story());
    Ok(())
}

async fn a_receiver_that_is_down_gets_everything_later(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.hook.gone();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_state(&ripcord, "rolled_back").await?;
    let waiting = ripcord.metric("ripcord_notification_queue", &[("receiver", "oncall")]).await?;
    ensure!(waiting.is_some_and(|n| n >= 3.0), "{waiting:?} wait");
    stage.hook.back().await?;
    stage.told("rollback.verified").await?;
    ensure!(stage.story() == ["rollback.started", "rollback.succeeded", "rollback.verified"], "{:?}", stage.story());
    each_once(&stage.hook.accepted())?;
    eventually(LONG, "the queue is empty", async || {
        ripcord.metric("ripcord_notification_queue", &[("receiver", "oncall")]).await.is_ok_and(|n| n == Some(0.0))
    })
    .await
}

async fn retry_after_is_honoured(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _ripcord = stage.watch(&stage.config()).await?;
    stage.hook.set_next(&[Behaviour::Status(429, Some(4))]);
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let started = stage
        .hook
        .wait_for(
            |calls| {
                let tries: Vec<_> = calls.iter().filter(|c| c.event() == "rollback.started").collect();
                (tries.len() == 2).then(|| (tries[0].clone(), tries[1].clone()))
            },
            LONG,
        )
        .await?;
    let waited = started.1.at.duration_since(started.0.at).unwrap_or_default();
    ensure!(waited >= Duration::from_secs(4), "it came again after {waited:?}, and was told to wait for 4 s");
    ensure!(started.0.header("idempotency-key") == started.1.header("idempotency-key"));
    ensure!(started.0.raw == started.1.raw, "the body changed between two tries");
    Ok(())
}

async fn one_refused_recipient_does_not_fail_the_other(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    mailbox.set(mailbox::Behaviour::Refuse(vec!["gone@sealos.test".to_owned()]));
    let to = ["gone@sealos.test", "sre@sealos.test"];
    let config = stage.config().email(&world, "mail", &mailbox, Security::Plain, false, &to)?;
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    mailbox
        .wait_for(
            |m| (m.iter().filter(|m| m.header("subject").contains("terminal: ")).count() >= 3).then_some(()),
            LONG,
        )
        .await?;
    ensure!(mailbox.messages().iter().all(|m| m.to == ["sre@sealos.test"]));
    eventually(LONG, "the refusals are counted as lost", async || {
        let labels = [("receiver", "mail"), ("result", "lost")];
        ripcord.metric("ripcord_notifications_total", &labels).await.is_ok_and(|n| n.is_some_and(|n| n >= 3.0))
    })
    .await
}

async fn mail_by_every_kind_of_connection(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let boxes = [
        ("plain", Mailbox::start(&world, Security::Plain, false).await?, Security::Plain, false),
        ("starttls", Mailbox::start(&world, Security::StartTls, false).await?, Security::StartTls, false),
        ("implicit", Mailbox::start(&world, Security::Implicit, true).await?, Security::Implicit, true),
    ];
    let mut config = stage.config();
    for (name, mailbox, security, login) in &boxes {
        config = config.email(&world, name, mailbox, *security, *login, &["sre@sealos.test"])?;
    }
    let begun = SystemTime::now();
    let mut ripcord = stage.start(&config)?;
    for (name, mailbox, security, login) in &boxes {
        let mail = mailbox.wait_for(|m| m.first().cloned(), LONG).await.context(*name)?;
        ensure!(mail.tls == (*security != Security::Plain), "{name}: TLS {}", mail.tls);
        ensure!(mail.user.is_some() == *login, "{name}: login {:?}", mail.user);
        ensure!(mail.header("subject").contains("watches"), "{name}: {}", mail.header("subject"));
        ensure!(
            mail.header("message-id").contains('@') && mail.header("content-type").contains("multipart/alternative")
        );
        ensure!(mail.at >= begun);
    }
    ripcord.signal(rustix::process::Signal::TERM)?;
    ripcord.wait_exit(LONG).await?;
    for (name, mailbox, ..) in &boxes {
        ensure!(
            mailbox.messages().len() == 2,
            "{name}: {} mails and not started and stopping",
            mailbox.messages().len()
        );
    }
    never(Duration::from_secs(1), "another mail", async || boxes.iter().any(|(_, m, ..)| m.messages().len() > 2))
        .await?;
    Ok(())
}
