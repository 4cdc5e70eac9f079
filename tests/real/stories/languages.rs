//! One is told in Chinese, and another one beside them in English.

use anyhow::{Context, ensure};
use mailparse::MailHeaderMap;

use super::stage::{LONG, Stage, until_state};
use crate::stories;
use crate::support::mailbox::{Mailbox, Message, Security};
use crate::support::mesh::Traffic;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![a_rollback_is_told_in_two_languages]
}

/// A mail as its reader sees it.
struct Read {
    event: String,
    subject: String,
    text: String,
    html: String,
}

impl Read {
    fn of(mail: &Message) -> anyhow::Result<Self> {
        let headers: String = mail.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let raw = format!("{headers}\r\n{}", mail.body);
        let parsed = mailparse::parse_mail(raw.as_bytes())?;
        let [text, html] = &parsed.subparts[..] else { anyhow::bail!("{} parts", parsed.subparts.len()) };
        ensure!(text.ctype.mimetype == "text/plain" && html.ctype.mimetype == "text/html", "{headers}");
        Ok(Self {
            event: mail.header("x-ripcord-event").to_owned(),
            subject: parsed.headers.get_first_value("subject").context("a subject")?,
            text: text.get_body()?,
            html: html.get_body()?,
        })
    }
}

fn all(mailbox: &Mailbox, to: &str) -> anyhow::Result<Vec<Read>> {
    let mine = |mail: &&Message| mail.to == [to] && mail.header("x-ripcord-event").starts_with("rollback.");
    mailbox.messages().iter().filter(mine).map(Read::of).collect()
}

async fn a_rollback_is_told_in_two_languages(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let mailbox = Mailbox::start(&world, Security::StartTls, false).await?;
    let (chinese, english) = ("zhiban@sealos.test", "oncall@sealos.test");
    let config = stage
        .config()
        .email(&world, "chinese", &mailbox, Security::StartTls, false, &[chinese])?
        .email(&world, "english", &mailbox, Security::StartTls, false, &[english])?
        .set("language", "zh")
        .set("receivers.english.language", "en")
        .set("links.dashboard", "https://grafana.sealos.test/d/ripcord?var-guard=${guard}");
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.05));
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    let arrived = |m: &[Message]| m.iter().filter(|m| m.header("x-ripcord-event") == "rollback.verified").count() == 2;
    mailbox.wait_for(|m| arrived(m).then_some(()), LONG).await?;

    let (zh, en) = (all(&mailbox, chinese)?, all(&mailbox, english)?);
    let events = |mails: &[Read]| mails.iter().map(|mail| mail.event.clone()).collect::<Vec<_>>();
    let story = ["rollback.started", "rollback.succeeded", "rollback.verified"];
    ensure!(events(&zh) == story && events(&en) == story, "{:?} and {:?}", events(&zh), events(&en));

    // The same story, in the words of each, and each one thread.
    let (first_zh, first_en) = (&zh[0].subject, &en[0].subject);
    ensure!(
        first_zh.starts_with("[严重] terminal：错误率 ") && first_zh.ends_with("正在回滚 25 % -> 0 %"),
        "{first_zh}"
    );
    ensure!(
        first_en.starts_with("[CRITICAL] terminal: error rate ") && first_en.ends_with("25 % -> 0 %"),
        "{first_en}"
    );
    for (mails, first) in [(&zh, first_zh), (&en, first_en)] {
        let answers = mails.iter().skip(1).all(|mail| mail.subject == format!("Re: {first}"));
        ensure!(answers, "{:?}", mails.iter().map(|mail| &mail.subject).collect::<Vec<_>>());
    }
    let has = |mail: &Read, texts: &[&str]| texts.iter().all(|t| mail.text.contains(t) && mail.html.contains(t));
    ensure!(has(&zh[2], &["回滚见效", "变更之后：", "ripcord rearm terminal", "监控面板"]), "{}", zh[2].text);
    ensure!(has(&en[2], &["the rollback helped", "Since the change: ", "Dashboard"]), "{}", en[2].text);
    ensure!(zh.iter().all(|mail| mail.html.contains("lang=\"zh-CN\"")), "{}", zh[0].html);
    ensure!(en.iter().all(|mail| mail.html.contains("lang=\"en\"")), "{}", en[0].html);
    ensure!(zh[0].text.contains("https://grafana.sealos.test/d/ripcord?var-guard=terminal"), "{}", zh[0].text);

    // What a program goes by is the same in every language; the texts beside it are for people.
    let told = stage.told("rollback.started").await?;
    ensure!(told.body.get("chinese").is_none(), "{}", told.body);
    ensure!(told.body["event"] == "rollback.started" && told.body["trigger"]["name"] == "error_rate", "{}", told.body);
    for (text, words) in [("summary", "错误率 "), ("advice", "Ripcord 正在把流量切回")] {
        ensure!(told.body[text].as_str().is_some_and(|said| said.contains(words)), "{}", told.body);
    }
    // The API is in English whatever people are told in.
    let incidents = ripcord.incidents().await?.to_string();
    let chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    ensure!(!incidents.contains(chinese), "{incidents}");
    Ok(())
}
