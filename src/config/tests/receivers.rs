//! Receivers, Prometheus and secrets.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{BASE, LoadOptions, check_errors, check_warnings, errors, lines, load_texts, settings};
use crate::config::{Channel, SecretFile, SmtpTls, WebhookFormat, WebhookUrl};
use crate::engine::{Event, Language, Severity};

fn receiver(keys: &str) -> String {
    format!("receivers: {{new: {{{keys}}}}}")
}

fn email(smtp: &str) -> String {
    receiver(&format!("email: {{smtp: {{{smtp}}}, from: a@example.org, to: b@example.org}}"))
}

fn channel(over: &str) -> Channel {
    settings(over).receivers[0].channel.clone()
}

#[test]
fn a_webhook() {
    let Channel::Webhook(webhook) = channel(&receiver("webhook: {url: 'https://example.org/x?y=z'}")) else {
        panic!("another channel");
    };
    assert_eq!(webhook.url, WebhookUrl::Plain("https://example.org/x?y=z".to_owned()));
    assert_eq!((webhook.format, webhook.timeout), (WebhookFormat::Generic, Duration::from_secs(10)));
    let webhook = |keys: &str| receiver(&format!("webhook: {{{keys}}}"));
    let Channel::Webhook(pagerduty) = channel(&webhook("url: 'https://x/?routing_key=k', format: pagerduty")) else {
        panic!("another channel");
    };
    assert_eq!((pagerduty.format, pagerduty.secret_file), (WebhookFormat::Pagerduty, None));
    check_errors(&[
        (&webhook(""), "receivers.new.webhook: needs url, or url_file where the address is a secret"),
        (&webhook("url: 'http://x', url_file: /x"), "receivers.new.webhook: has both url and url_file; keep one"),
        (&webhook("url: x"), "receivers.new.webhook.url: is no address ("),
        (
            &webhook("url: 'http://user:hunter2@x'"),
            "receivers.new.webhook.url: has a user name or a password in it; use bearer_token_file",
        ),
        (
            &webhook("url: 'http://x', format: slack, secret_file: Cargo.toml"),
            "receivers.new.webhook.secret_file: is of no use: slack signs nothing; leave it out",
        ),
        (
            &webhook("url: 'http://x', format: pagrduty"),
            "receivers.new.webhook.format: \"pagrduty\" is not known here; did you mean \"pagerduty\"?",
        ),
        (&webhook("url: 'http://x', timeout: 0s"), "receivers.new.webhook.timeout: 0s is too short"),
        (&webhook("url: 'http://x', token: x"), "unknown key \"token\"; allowed here: url, url_file"),
        (&receiver(""), "receivers.new: needs webhook: {…} or email: {…}"),
        (&receiver("webhook: {url: 'http://x'}, email: {}"), "receivers.new: has both webhook and email"),
    ]);
    assert!(!errors(&webhook("url: 'http://user:hunter2@x'"))[0].contains("hunter2"));
    check_warnings(&[(
        &webhook("url: 'https://hooks.slack.com/services/T0'"),
        "sends generic to hooks.slack.com, which takes only its own: use format: slack",
    )]);
    let secret =
        "receivers.new.webhook.url: is a secret, for who knows it can send there: put the whole address into a file";
    let warned = |keys: &str| lines(&settings(&webhook(keys)).warnings).contains(secret);
    for (url, format, warns) in [
        ("https://hooks.slack.com/services/T0/B0/x", "slack", true),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/x", "feishu", true),
        ("https://oapi.dingtalk.com/robot/send?access_token=x", "dingtalk", true),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", "wecom", true),
        ("https://example.org/hook?Token=x", "generic", true),
        ("https://events.pagerduty.com/v2/enqueue?routing_key=x", "pagerduty", true),
        ("https://events.pagerduty.com/v2/enqueue", "pagerduty", false),
        ("https://example.org/hook?team=x", "generic", false),
        ("http://alertmanager:9093/api/v2/alerts", "alertmanager_api", false),
    ] {
        assert_eq!(warned(&format!("url: '{url}', format: {format}")), warns, "{url}");
    }
}

#[test]
fn the_language_is_the_receivers_own_or_the_general_one() {
    let languages = |over: &str| settings(over).receivers.iter().map(|r| r.language).collect::<Vec<_>>();
    let (en, zh) = (Language::English, Language::Chinese);
    let two = "receivers: {a: {webhook: {url: 'http://x'}}, b: {webhook: {url: 'http://x'}, language: zh}}";
    // The third is that of the small configuration all of this is put over.
    assert_eq!(languages(two), [en, zh, en]);
    assert_eq!(languages(&format!("language: zh\n{two}")), [zh, zh, zh]);
    assert_eq!(languages(&format!("language: zh\n{}", two.replace("zh", "en"))), [zh, en, zh]);
    assert!(settings(two).wants(zh) && !settings("language: en").wants(zh));
    let hint = "is not known here; write one of these: en, zh";
    check_errors(&[
        ("language: de", &format!("language: \"de\" {hint}")),
        (&receiver("webhook: {url: 'http://x'}, language: chinese"), "receivers.new.language: \"chinese\""),
    ]);
}

#[test]
fn whom_a_chat_calls() {
    let with = |format: &str, mention: &str| {
        receiver(&format!("webhook: {{url: 'http://x', format: {format}, mention: {mention}}}"))
    };
    for (format, mention) in [
        ("slack", "[here, U012AB3CD, S012AB3CD]"),
        ("feishu", "[all, ou_1a2b3c]"),
        ("dingtalk", "['13800000000', '+86-13800000000', user01, all]"),
        ("wecom", "zhangsan"),
    ] {
        let Channel::Webhook(webhook) = channel(&with(format, mention)) else { panic!("another channel") };
        assert!(!webhook.mention.is_empty(), "{format}");
    }
    check_errors(&[
        (
            &with("slack", "[somebody]"),
            "webhook.mention[0]: \"somebody\" is nobody that can be called; write a member's id like U012AB3CD",
        ),
        (&with("feishu", "['x></at>']"), "is nobody that can be called; write an open_id"),
        (&with("wecom", "[all]"), "\"all\" is nobody that can be called; write a user's id"),
        (&with("dingtalk", "[]"), "is an empty list; leave the key out to call nobody"),
        (&with("generic", "[all]"), "is of no use with generic: only chats can call people"),
    ]);
}

#[test]
fn quiet_and_escalation() {
    let with = |keys: &str| receiver(&format!("webhook: {{url: 'http://x'}}, {keys}"));
    let settings = settings(&with("quiet: {from: '22:00', to: '7:00', time_zone: Asia/Shanghai}, escalate_after: 15m"));
    let new = settings.receivers.iter().find(|r| r.name == "new").unwrap();
    assert_eq!(new.escalate_after, Some(Duration::from_secs(900)));
    let quiet = new.quiet.as_ref().unwrap();
    assert_eq!((quiet.from.to_string(), quiet.to.to_string()), ("22:00:00".to_owned(), "07:00:00".to_owned()));
    check_errors(&[
        (
            &with("quiet: {from: '22:00', to: '07:00'}"),
            "receivers.new.quiet: needs time_zone, like Asia/Shanghai or UTC",
        ),
        (&with("quiet: {to: '07:00', time_zone: UTC}"), "receivers.new.quiet: needs from, when it begins"),
        (
            &with("quiet: {from: '25:00', to: '07:00', time_zone: UTC}"),
            "receivers.new.quiet.from: \"25:00\" is no time of a day",
        ),
        (
            &with("quiet: {from: '22:00', to: '07:00', time_zone: Asia/Shanghi}"),
            "receivers.new.quiet.time_zone: there is no time zone \"Asia/Shanghi\"; did you mean \"Asia/Shanghai\"?",
        ),
        (&with("quiet: {from: '22:00', to: '22:00', time_zone: UTC}"), "receivers.new.quiet: begins when it is over"),
        (&with("escalate_after: 500ms"), "receivers.new.escalate_after: 500ms is too short"),
        (&with("escalate_after: 13h"), "receivers.new.escalate_after: 13h is too long; the most is 12h"),
    ]);
    check_warnings(&[(
        "receivers: {people: {escalate_after: 15m}}",
        "receivers: have escalate_after, all of them: nobody is told first",
    )]);
}

#[test]
fn a_template() {
    let with = |keys: &str| receiver(&format!("webhook: {{url: 'http://x', {keys}}}"));
    let Channel::Webhook(webhook) =
        channel(&with("format: template, template: '{{ summary }}', content_type: text/plain, headers: {X-A: b}"))
    else {
        panic!("another channel")
    };
    let template = webhook.template.unwrap();
    assert_eq!((template.text.as_str(), template.content_type.as_str()), ("{{ summary }}", "text/plain"));
    assert_eq!(template.headers["X-A"], "b");
    check_errors(&[
        (&with("format: template"), "receivers.new.webhook: needs template, the body, or template_file"),
        (&with("format: template, template: x, template_file: /x"), "has both template and template_file; keep one"),
        (&with("format: template, template_file: /nowhere"), "webhook.template_file: the file /nowhere does not exist"),
        (&with("template: x"), "webhook.template: is of no use without format: template"),
        (&with("headers: {X-A: b}"), "webhook.headers: is of no use without format: template"),
        (
            &with("format: template, template: x, headers: {Authorization: x}"),
            "would put a secret into the configuration; use bearer_token_file",
        ),
        (&with("format: template, template: x, headers: {Content-Type: x}"), "Content-Type is set by Ripcord itself"),
    ]);
    let secret = "is a secret by its name, and the configuration is read by many; if it is one, use bearer_token_file";
    for name in ["X-Api-Key", "X-Token", "Api_Key", "X-Client-Secret", "Proxy-Authorization", "Cookie"] {
        let warnings =
            lines(&settings(&with(&format!("format: template, template: x, headers: {{{name}: x}}"))).warnings);
        assert!(warnings.contains(&format!("webhook.headers.{name}: {secret}")), "{name}: {warnings}");
    }
    let warnings = lines(&settings(&with("format: template, template: x, headers: {X-Scope: x}")).warnings);
    assert!(!warnings.contains("secret by its name"), "{warnings}");
}

#[test]
fn what_opens_alerts_has_to_close_them() {
    let with = |format: &str, only: &str| {
        let webhook = format!("webhook: {{url: 'http://x/api/v2/alerts', format: {format}}}");
        lines(&settings(&receiver(&format!("{webhook}, events: {{only: {only}}}"))).warnings)
    };
    let warned = |format: &str, only: &str| with(format, only).contains("open alerts that nothing closes there");
    for format in ["pagerduty", "alertmanager", "alertmanager_api"] {
        assert!(warned(format, "[rollback.started, rollback.failed]"), "{format}");
        assert!(!warned(format, "[rollback.started, rollback.verified, page.resolved, guard.rearmed]"), "{format}");
        assert!(!warned(format, "[watchdog.started]"), "{format}");
    }
    assert!(!warned("generic", "rollback.started"));
    let said =
        "receivers.new.events.only: lets pagerduty open alerts that nothing closes there; choose also watchdog.sees";
    let warnings = with("pagerduty", "watchdog.blind");
    assert!(warnings.contains(said), "{warnings}");
}

#[test]
fn an_email() {
    for (keys, port, tls) in [
        ("host: h", 587, SmtpTls::Starttls),
        ("host: h, tls: implicit", 465, SmtpTls::Implicit),
        ("host: h, tls: none", 25, SmtpTls::None),
        ("host: 10.0.0.1, tls: none, port: 2525", 2525, SmtpTls::None),
    ] {
        let Channel::Email(email) = channel(&email(keys)) else { panic!("another channel") };
        assert_eq!((email.smtp.port, email.smtp.tls), (port, tls), "{keys}");
        assert_eq!(email.smtp.timeout, Duration::from_secs(30));
        assert_eq!(email.to, ["b@example.org"]);
    }
    check_errors(&[
        (&email(""), "receivers.new.email.smtp: needs host, the server's name"),
        (&email("host: 'h:25'"), "email.smtp.host: \"h:25\" is no name of a server"),
        (
            &email("host: h, port: 0"),
            "email.smtp.port: must be a port, a whole number from 1 to 65535, not 0 (a number)",
        ),
        (
            &email("host: h, port: '25'"),
            "email.smtp.port: must be a port, a whole number from 1 to 65535, not \"25\" (text)",
        ),
        (
            &email("host: h, tls: ssl"),
            "email.smtp.tls: \"ssl\" is not known here; write one of these: starttls, implicit, none",
        ),
        (&email("host: h, username: u"), "email.smtp: has username and no password_file"),
        (
            &email("host: h, password: p"),
            "email.smtp.password: unknown key \"password\"; did you mean \"password_file\"?",
        ),
    ]);
    let address = |keys: &str| receiver(&format!("email: {{smtp: {{host: h}}, {keys}}}"));
    check_errors(&[
        (&address("to: a@example.org"), "receivers.new.email: needs from, the sender's address"),
        (&address("from: a@example.org"), "receivers.new.email: needs to, the recipients' addresses"),
        (&address("from: a@example.org, to: []"), "receivers.new.email.to: is an empty list"),
        (
            &address("from: a@example.org, to: [b@example.org, sre]"),
            "receivers.new.email.to[1]: \"sre\" is no e-mail address",
        ),
        (
            &address("from: a@example.org, to: [b@example.org, b@example.org]"),
            "receivers.new.email.to[1]: b@example.org is there twice",
        ),
        (&address("from: a@example.org, to: 5"), "receivers.new.email.to: must be a list of texts, not a number"),
    ]);
}

#[test]
fn a_filter() {
    let over = receiver(
        "webhook: {url: 'http://x'}, events: {min_severity: critical, only: [page.firing, rollback.started], guards: shop}",
    );
    let filter = settings(&over).receivers[0].filter.clone();
    assert_eq!(filter.min_severity, Severity::Critical);
    assert_eq!(filter.events, [Event::RollbackStarted, Event::PageFiring]);
    assert_eq!(filter.guards, ["shop"]);
    let all = settings(&receiver("webhook: {url: 'http://x'}")).receivers[0].filter.clone();
    assert_eq!((all.min_severity, all.events.len(), all.guards.len()), (Severity::Info, 0, 0));
    let events = |keys: &str| receiver(&format!("webhook: {{url: 'http://x'}}, events: {{{keys}}}"));
    check_errors(&[
        (
            &events("only: [nothing]"),
            "events.only[0]: there is no event \"nothing\"; the events are: rollback.started, ",
        ),
        (&events("only: []"), "events.only: is an empty list"),
        (&events("guards: [shp]"), "events.guards[0]: there is no guard \"shp\"; did you mean \"shop\"?"),
        (&events("min_severity: high"), "events.min_severity: \"high\" is not known here"),
    ]);
}

/// Every event can be chosen. A new one breaks the match, and then the list beside the filter needs it too.
#[test]
fn every_event_can_be_chosen() {
    let known = |event: Event| match event {
        Event::RollbackStarted
        | Event::RollbackSucceeded
        | Event::RollbackFailed
        | Event::RollbackVerified
        | Event::RollbackNotRecovered
        | Event::RollbackReverted
        | Event::PageFiring
        | Event::PageResolved
        | Event::WatchdogBlind
        | Event::WatchdogSees
        | Event::WatchdogNotReady
        | Event::WatchdogReady
        | Event::WatchdogStarted
        | Event::WatchdogStopping
        | Event::GuardPaused
        | Event::GuardRearmed
        | Event::GuardAcknowledged
        | Event::NotificationLost => event.as_str(),
    };
    let all = "rollback.started, rollback.succeeded, rollback.failed, rollback.verified, rollback.not_recovered, rollback.reverted, page.firing, page.resolved, watchdog.blind, watchdog.sees, watchdog.not_ready, watchdog.ready, watchdog.started, watchdog.stopping, guard.paused, guard.rearmed, guard.acknowledged, notification.lost";
    let filter = settings(&receiver(&format!("webhook: {{url: 'http://x'}}, events: {{only: [{all}]}}")));
    let events = &filter.receivers[0].filter.events;
    assert_eq!(events.iter().copied().map(known).collect::<Vec<_>>().join(", "), all);
}

#[test]
fn prometheus() {
    let prometheus = |keys: &str| format!("prometheus: {{{keys}}}");
    check_errors(&[
        (
            &prometheus("url: 'prometheus:9090'"),
            "prometheus.url: begins with prometheus:, which cannot be used; write http:// or https://",
        ),
        (&prometheus("url: 'http://'"), "prometheus.url: is no address"),
        (&prometheus("url: 'http://u:p@x'"), "prometheus.url: has a user name or a password in it; use basic_auth"),
        (&prometheus("url: 'http://x/?a=b'"), "prometheus.url: has a ? or a # in it"),
        (&prometheus("url: 5"), "prometheus.url: 5 is a number where text is needed"),
        (&prometheus("timeout: 0s"), "prometheus.timeout: 0s is too short"),
        (&prometheus("basic_auth: {username: u}"), "prometheus.basic_auth: needs password_file"),
        (&prometheus("headers: {'a b': x}"), "\"a b\" is no name of an HTTP header"),
        (
            &prometheus("headers: {Authorization: x}"),
            "headers.Authorization: would put a secret into the configuration",
        ),
        (
            &prometheus("headers: {X-Scope-OrgID: 5}"),
            "headers.X-Scope-OrgID: 5 is a number where text is needed; put quotes around it, just as you wrote it",
        ),
        (&prometheus("headers: {X-A: a, x-a: b}"), "headers.x-a: x-a is there twice"),
        (&prometheus("tls: {insecure: true}"), "prometheus.tls.insecure: unknown key"),
        ("http: {listen: 8080}", "http.listen: 8080 is a number where text is needed"),
        ("http: {listen: ':8080'}", "http.listen: :8080 is no address to listen on"),
        ("links: {status: 'nowhere'}", "links.status: is no address"),
        ("receivers: 5", "receivers: must be a map, not a number"),
    ]);
    check_warnings(&[(
        &prometheus("timeout: 15s"),
        "prometheus.timeout: 15s is longer than evaluation.interval (10s)",
    )]);
    let settings = settings(&prometheus("headers: {X-Scope-OrgID: '5'}"));
    assert_eq!(settings.prometheus.headers["X-Scope-OrgID"], "5");
}

#[test]
fn nobody_to_tell_is_warned_of() {
    let text = BASE.split("receivers:").next().unwrap_or_default();
    let settings = load_texts(&[text], &[], LoadOptions::default()).expect("valid");
    assert_eq!(settings.warnings[0].to_string(), "0.yaml: receivers: there is none: nobody is told of anything");
}

#[test]
fn secrets_are_read_and_never_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    };
    let good = SecretFile(write("good", b"  s3cret \r\n\n"));
    assert_eq!(good.read().expect("a secret").expose_secret(), "  s3cret ");
    for (path, expected) in [
        (folder.path().join("missing"), "does not exist"),
        (folder.path().to_owned(), "is a directory, not a file"),
        (write("empty", b""), "is empty"),
        (write("blank", b"\n\n"), "is empty"),
        (write("binary", b"s3cret\xff"), "is not UTF-8 text"),
        (write("large", &vec![b'x'; 64 * 1024 + 1]), "is larger than 65536 bytes"),
    ] {
        let error = SecretFile(path.clone()).read().expect_err(expected).to_string();
        assert_eq!(error, format!("the secret file {} {expected}", path.display()));
    }
}

#[test]
fn secret_files_are_looked_for_unless_only_the_syntax_is_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blank = folder.path().join("blank");
    fs::write(&blank, "\n").expect("a file");
    let blank = blank.display();
    let over = format!(
        "
prometheus: {{bearer_token_file: /nowhere/token, tls: {{ca_file: {blank}}}}}
receivers:
  new: {{webhook: {{url_file: {blank}, secret_file: /nowhere}}}}
  mail: {{email: {{smtp: {{host: h, username: u, password_file: /nowhere/p}}, from: a@example.org, to: b@example.org}}}}
http: {{token_file: /nowhere/http}}
"
    );
    let found = errors(&over);
    for expected in [
        "1.yaml:2: prometheus.bearer_token_file: the secret file /nowhere/token does not exist".to_owned(),
        format!("prometheus.tls.ca_file: the file {blank} holds no certificate"),
        format!("receivers.new.webhook.url_file: the secret file {blank} is empty"),
        "receivers.new.webhook.secret_file: the secret file /nowhere does not exist".to_owned(),
        "receivers.mail.email.smtp.password_file: the secret file /nowhere/p does not exist".to_owned(),
        "http.token_file: the secret file /nowhere/http does not exist".to_owned(),
    ] {
        assert!(found.iter().any(|e| e.contains(&expected)), "{expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");
    let options = LoadOptions { syntax_only: true };
    let settings = load_texts(&[BASE, &over], &[], options).expect("valid syntax");
    assert_eq!(settings.http.token_file, Some(SecretFile(PathBuf::from("/nowhere/http"))));
    // Of a file with an address, what it holds is not shown.
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "hunter2").expect("a file");
    let found = errors(&receiver(&format!("webhook: {{url_file: {}}}", wrong.display())));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("holds no http:// or https:// address") && !found[0].contains("hunter2"), "{found:?}");
}
