//! What the formats say: every event, the longest texts, hostile texts, within the limits that their services document. `the_messages` holds
//! one of each as people read it.

use serde_json::{Value, json};

use super::template::BodyTemplate;
use super::{To, body, markdown};
use crate::config::{TemplateSettings, Webhook, WebhookFormat};
use crate::engine::{Event, Language, Notification, Severity, StepReport, StepResult};
use crate::notify::Addresses;
use crate::notify::testing::{addresses, notification, services, webhook};

/// The formats whose messages are for people.
const CHATS: [WebhookFormat; 4] =
    [WebhookFormat::Slack, WebhookFormat::Feishu, WebhookFormat::Dingtalk, WebhookFormat::Wecom];

fn settings(format: WebhookFormat) -> Webhook {
    Webhook { format, ..webhook("https://unused.example/") }
}

fn to(settings: &Webhook) -> To<'_> {
    To { receiver: "oncall", settings, language: Language::English }
}

fn made(settings: &Webhook, notification: &Notification) -> Value {
    let body = body(&to(settings), None, notification, &addresses()).unwrap().body;
    serde_json::from_slice(&body).unwrap()
}

fn sent(format: WebhookFormat, notification: &Notification) -> Value {
    made(&settings(format), notification)
}

/// All texts in a message that people or programs read, one after the other.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => vec![],
    }
}

/// A notification of this event with what it usually has.
fn of(event: Event) -> Notification {
    let mut n = notification("n1");
    n.event = event;
    n
}

/// Notifications that are hard on a format: every event; without anything; with the longest texts, Latin and Chinese; dry.
fn hard() -> Vec<Notification> {
    let mut all: Vec<Notification> = Event::ALL.into_iter().map(of).collect();
    let mut bare = of(Event::WatchdogStarted);
    (bare.guard, bare.incident, bare.trigger, bare.rollback) = (None, None, None, None);
    (bare.advice, bare.severity) = (String::new(), Severity::Info);
    all.push(bare);
    for text in ["long ", "很长的文字", "<&>", "****", "\u{1f525}"] {
        let text = text.repeat(1200);
        let mut n = of(Event::RollbackFailed);
        (n.summary, n.advice) = (text.clone(), format!("{text}\n{text}\n{text}"));
        n.guards = vec![text.clone(); 40];
        n.incident = Some(text.clone());
        let trigger = n.trigger.as_mut().unwrap();
        (trigger.text, trigger.threshold_text) = (text.clone(), text.clone());
        let step = StepReport { step: text.clone(), result: StepResult::Failed, detail: Some(text.clone()) };
        let rollback = n.rollback.as_mut().unwrap();
        (rollback.steps, rollback.error) = (vec![step; 40], Some(text));
        all.push(n);
    }
    let mut dry = of(Event::RollbackStarted);
    (dry.dry_run, dry.severity) = (true, Severity::Warning);
    all.push(dry);
    all
}

#[test]
fn every_service_takes_every_message() {
    for format in CHATS {
        for n in hard() {
            let mut settings = settings(format);
            settings.mention = vec![if format == WebhookFormat::Slack { "U012AB3CD" } else { "zhangsan" }.to_owned()];
            let body = body(&to(&settings), None, &n, &addresses()).unwrap().body;
            if let Err(refusal) = services::check(format, &body) {
                let beginning = String::from_utf8_lossy(&body).chars().take(600).collect::<String>();
                panic!("{format:?} of {} is refused: {refusal}\n{beginning}", n.event.as_str());
            }
        }
    }
}

#[test]
fn all_that_matters_is_in_every_message() {
    for format in CHATS {
        let n = notification("n1");
        let message = texts(&sent(format, &n)).join("\n");
        for part in
            ["CRITICAL", "error rate 3.1 %", "25 % -> 0 %", "runbooks.example/terminal", "ripcord.example", &n.advice]
        {
            let escaped = part.replace('>', "&gt;");
            assert!(message.contains(part) || message.contains(&escaped), "{format:?}: no {part} in {message}");
        }
        let mut dry = n.clone();
        dry.dry_run = true;
        let message = texts(&sent(format, &dry)).join("\n").replace('［', "[").replace('］', "]");
        assert!(message.contains("[dry run] terminal"), "{format:?}: {message}");
        assert!(message.contains("Nothing: this is a dry run."), "{format:?}: {message}");
    }
}

#[test]
fn people_are_called_by_what_is_critical_and_bad_only() {
    for (format, name, called) in [
        (WebhookFormat::Slack, "here", "<!here>"),
        (WebhookFormat::Slack, "S012AB3CD", "<!subteam^S012AB3CD>"),
        (WebhookFormat::Slack, "U012AB3CD", "<@U012AB3CD>"),
        (WebhookFormat::Feishu, "ou_1a2b", "<at id=ou_1a2b></at>"),
        (WebhookFormat::Feishu, "all", "<at id=all></at>"),
        (WebhookFormat::Dingtalk, "13800000000", "@13800000000"),
        (WebhookFormat::Wecom, "zhangsan", "<@zhangsan>"),
    ] {
        let settings = Webhook { mention: vec![name.to_owned()], ..settings(format) };
        let calls = |n: &Notification| texts(&made(&settings, n)).iter().any(|text| text.contains(called));
        let mut n = notification("n1");
        assert!(calls(&n), "{format:?} {name}");
        n.severity = Severity::Warning;
        assert!(!calls(&n), "{format:?} {name}");
        for event in [Event::RollbackVerified, Event::GuardAcknowledged, Event::GuardRearmed] {
            assert!(!calls(&of(event)), "{format:?} {name}: nobody is called out of bed for good news");
        }
    }
    let at = |names: &[&str]| {
        let mention = names.iter().map(|n| (*n).to_owned()).collect();
        made(&Webhook { mention, ..settings(WebhookFormat::Dingtalk) }, &notification("n1"))["at"].clone()
    };
    // Digits alone are a mobile number or the id of a user whose company numbers them.
    let expected = json!({
        "atMobiles": ["13800000000", "+86-13900000000"], "atUserIds": ["13800000000", "user01"], "isAtAll": false
    });
    assert_eq!(at(&["13800000000", "+86-13900000000", "user01"]), expected);
    assert_eq!(at(&["all"]), json!({"atMobiles": [], "atUserIds": [], "isAtAll": true}));
}

/// Whoever can name a pod or write an error text must neither call people nor put a link under a text.
#[test]
fn hostile_texts_are_shown_as_texts() {
    let hostile = [
        "<!channel>",
        "<!here|x>",
        "<@U012AB3CD>",
        "<at id=all></at>",
        "<at user_id=\"all\">x</at>",
        "@all",
        "<@all>",
        "](http://evil.example)",
        "[x](http://evil.example)",
        "![x](http://evil.example)",
        "<http://evil.example|x>",
        "<font color=\"info\">x</font>",
        "<script>x</script>",
        "**x** `x` ~~x~~ _x_",
        "&lt;!channel&gt;",
    ];
    for text in hostile {
        let mut n = notification("n1");
        (n.summary, n.advice) = (text.to_owned(), format!("first\n{text}"));
        (n.guard, n.incident) = (Some(text.to_owned()), Some(text.to_owned()));
        n.guards = vec![text.to_owned()];
        n.trigger.as_mut().unwrap().text = text.to_owned();
        n.rollback.as_mut().unwrap().error = Some(text.to_owned());
        for format in CHATS {
            let message = sent(format, &n);
            services::check(format, message.to_string().as_bytes()).unwrap();
            let shown = services::shown(format, &message);
            assert!(shown.called.is_empty(), "{format:?} calls {:?} for {text:?}\n{message:#}", shown.called);
            let own = ["https://runbooks.example/", "https://ripcord.example/", "https://grafana.example/"];
            for link in &shown.links {
                assert!(
                    own.iter().any(|own| link.starts_with(own)),
                    "{format:?} links {link} for {text:?}\n{message:#}"
                );
            }
        }
    }
    assert_eq!(markdown::plain("](http://evil)"), "］(http://evil)");
}

/// Each event as it usually reads: its severity, its line, its advice.
const USUAL: [(Event, Severity, &str, &str); 18] = [
    (
        Event::RollbackStarted,
        Severity::Critical,
        "terminal: error rate 3.1 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %",
        "Nothing yet. You are told whether it helped.",
    ),
    (
        Event::RollbackSucceeded,
        Severity::Critical,
        "terminal: rolled back 25 % -> 0 %",
        "Nothing yet. You are told whether it helped.",
    ),
    (
        Event::RollbackFailed,
        Severity::Critical,
        "terminal: the rollback failed: deployment_env sealos-system/terminal-controller: admission webhook denied the request",
        "Move the traffic by hand, or mend what the error says: it is tried again.",
    ),
    (
        Event::RollbackVerified,
        Severity::Critical,
        "terminal: the rollback helped: every trigger is clear",
        "Find the cause, then re-arm the guard: ripcord rearm terminal",
    ),
    (
        Event::RollbackNotRecovered,
        Severity::Critical,
        "terminal: the rollback did not help within 10m0s: error rate 3.0 % (limit 1 %)",
        "Look for another cause: the traffic is at 0 % already.",
    ),
    (
        Event::RollbackReverted,
        Severity::Critical,
        "terminal: somebody undid the rollback: the share is 25 % again",
        "Find out who: Argo CD or Flux may have written it.",
    ),
    (Event::PageFiring, Severity::Warning, "terminal: memory 180Mi (limit 128Mi) for 5m0s", "Look at the sidecars."),
    (Event::PageResolved, Severity::Warning, "terminal: memory is clear again: 90Mi", "Nothing."),
    (
        Event::WatchdogBlind,
        Severity::Critical,
        "Ripcord cannot see 2 triggers of terminal: the query failed: 503",
        "See whether Prometheus runs.",
    ),
    (
        Event::WatchdogSees,
        Severity::Critical,
        "Ripcord sees again: every trigger that was unknown is known",
        "Nothing.",
    ),
    (
        Event::WatchdogNotReady,
        Severity::Critical,
        "terminal: a rollback would fail: deployments.apps is forbidden",
        "Give Ripcord the permission: ripcord render rbac",
    ),
    (Event::WatchdogReady, Severity::Critical, "terminal: a rollback would work again", "Nothing."),
    (Event::WatchdogStarted, Severity::Info, "Ripcord started", ""),
    (Event::WatchdogStopping, Severity::Info, "Ripcord stops on request", ""),
    (
        Event::GuardPaused,
        Severity::Info,
        "terminal: paused until 2026-01-02T04:00:00Z; nothing is rolled back until then",
        "",
    ),
    (Event::GuardRearmed, Severity::Info, "terminal: watching again", ""),
    (Event::GuardAcknowledged, Severity::Info, "terminal: acknowledged", ""),
    (
        Event::NotificationLost,
        Severity::Critical,
        "oncall did not get \"terminal: rolled back 25 % -> 0 %\": POST to host answered 401",
        "Tell whoever oncall would have told: it is not sent there again.",
    ),
];

fn usual() -> impl Iterator<Item = Notification> {
    USUAL.into_iter().map(|(event, severity, summary, advice)| {
        let mut n = of(event);
        (n.severity, n.summary, n.advice) = (severity, summary.to_owned(), advice.to_owned());
        let name = event.as_str();
        if !name.starts_with("rollback.") || event == Event::RollbackFailed {
            n.trigger = n.trigger.filter(|_| name == "page.firing");
        }
        let rollback = n.rollback.as_mut().unwrap();
        rollback.error = (event == Event::RollbackFailed).then(|| "admission webhook denied the request".to_owned());
        n.rollback = n.rollback.filter(|_| name.starts_with("rollback."));
        if name.starts_with("watchdog.st") {
            (n.guard, n.incident) = (None, None);
        }
        n
    })
}

/// As a person reads them: `messages/FORMAT.txt` has one of each event. After a change of the words write them anew with
/// `RIPCORD_WRITE_MESSAGES=1 cargo test --lib the_messages`, and read them.
#[test]
fn the_messages() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notify/formats/messages");
    for format in CHATS {
        let messages: Vec<String> = usual()
            .map(|n| format!("======== {}\n{}\n", n.event.as_str(), services::as_read(format, &sent(format, &n))))
            .collect();
        let (messages, file) = (messages.join("\n"), folder.join(format!("{}.txt", format.as_str())));
        if std::env::var_os("RIPCORD_WRITE_MESSAGES").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &messages).unwrap();
        }
        let known = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(messages, known, "{} is another now", file.display());
    }
}

fn template(text: &str, content_type: &str) -> Result<BodyTemplate, String> {
    let (text, content_type) = (text.to_owned(), content_type.to_owned());
    BodyTemplate::new(&TemplateSettings { text, content_type, headers: Default::default() })
}

#[test]
fn a_template_makes_the_body() {
    let text = "{\"text\": {{ summary | tojson }}, \"to\": {{ rollback.to_percentage if rollback else -1 }}, \
                \"see\": {{ links.runbook | tojson }}, \"all\": {{ text | tojson }}, \"dry\": {{ dry_run | tojson }}}";
    let made = template(text, "application/json").unwrap();
    let n = notification("n1");
    let body: Value = serde_json::from_str(&made.render(&n, &addresses(), Language::English).unwrap()).unwrap();
    assert_eq!((&body["text"], &body["to"], &body["dry"]), (&json!(n.summary), &json!(0), &json!(false)));
    assert_eq!(body["see"], "https://runbooks.example/terminal");
    assert!(body["all"].as_str().unwrap().contains("What to do now:"));

    let plain = template("{{ severity | upper }} {{ event }}: {{ summary }}\n", "text/plain").unwrap();
    let body = plain.render(&n, &Addresses::default(), Language::English).unwrap();
    assert_eq!(body.trim_end(), format!("CRITICAL rollback.started: {}", n.summary));
}

#[test]
fn what_would_fail_at_night_fails_when_it_is_read() {
    for (text, said) in [
        ("{\"a\": 1,\n\"b\": {{ summary }", "line 2: syntax error"),
        ("{\"a\": {{ sumary | tojson }}}", "line 1: undefined value"),
        ("{\n\n\"a\": {{ trigger.text | tojson }}}", "line 3: undefined value"),
        ("{\"a\": {{ trigger.value * 100 if trigger else 0 }}}", "line 1: invalid operation"),
        (
            "{\"a\": {{ rollback.from_percentage - rollback.to_percentage if rollback else 0 }}}",
            "line 1: invalid operation",
        ),
        ("{\"a\": {{ rollback.steps[0].step | tojson if rollback else 0 }}}", "line 1: undefined value"),
        ("{\"a\": {% if opening %}{{ opening.text | tojson }}{% else %}0{% endif %}}", "line 1: undefined value"),
        ("{\"a\": {% if next %}{{ next.within_seconds }}{% else %}0{% endif %}}", "line 1: undefined value"),
        ("{\"a\": \"{% if rollback and rollback.error %}{{ rollback.error }}{% endif %}\"}", "the body is no JSON"),
        ("{\"a\": \"{{ summary }}\"}", "the body is no JSON"),
        ("{\"a\": {{ summary | tojsn }}}", "line 1: unknown filter"),
        ("{% for x in range(9000000) %}{{ x }}{% endfor %}", "line 1: "),
        ("{% for x in range(9000) %}{% for y in range(9000) %}{% endfor %}{% endfor %}", "out of fuel"),
        (
            "{\"a\": \"{% for x in range(9000) %}0123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}\"}",
            "larger than",
        ),
    ] {
        let error = template(text, "application/json").unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    let error = template("{{ trigger.text }}", "text/plain").unwrap_err();
    assert!(error.contains("(with an example of rollback.started)"), "{error}");
    assert!(template("{% if trigger %}{{ trigger.text }}{% endif %}", "text/plain").is_ok());
}

/// What none of the examples is like: only a share of 7 % makes this template fail.
#[test]
fn a_template_that_fails_sends_what_it_can() {
    let mut n = notification("n1");
    n.rollback.as_mut().unwrap().from_percentage = Some(7);
    let sent = |text: &str, content_type: &str| {
        template(text, content_type).unwrap().body(&n, &addresses(), Language::English)
    };
    let fails = "{% if rollback and rollback.from_percentage == 7 %}{{ nothing }}{% endif %}";

    // Its own shape, without the numbers.
    let made = sent(
        &format!("{{\"title\": {{{{ subject | tojson }}}}, \"body\": {{{{ text | tojson }}}}, {fails} \"x\": 1}}"),
        "application/json",
    );
    let body: Value = serde_json::from_slice(&made.body).unwrap();
    assert!(body["title"].as_str().unwrap().contains(&n.summary) && body["x"] == 1, "{body}");
    assert!(body["body"].as_str().unwrap().contains("What is wrong:"), "the words are those of the whole: {body}");
    assert!(
        body["body"]
            .as_str()
            .unwrap()
            .contains("template failed, so this is a plainer message: line 1: undefined value"),
        "{body}"
    );
    assert_eq!(made.shortfall.as_deref(), Some("the template failed: line 1: undefined value"));

    // It always fails for this guard: Ripcord's own.
    let fails = "{% if summary.startswith('terminal') %}{{ nothing }}{% endif %}"
        .replace("summary.startswith('terminal')", "'terminal' in summary");
    let body: Value = serde_json::from_slice(&sent(&format!("{fails}{{}}"), "application/json").body).unwrap();
    assert_eq!(
        (&body["summary"], &body["event"], &body["rollback"]["from_percentage"]),
        (&json!(n.summary), &json!("rollback.started"), &json!(7))
    );
    assert!(body["text"].as_str().unwrap().contains(&n.summary), "{body}");
    let body = String::from_utf8(sent(&fails, "text/plain").body).unwrap();
    assert!(body.contains(&n.summary) && body.contains("plainer message"), "{body}");

    let whole = template("{}", "application/json").unwrap().body(&n, &addresses(), Language::English);
    assert_eq!((whole.body.as_slice(), whole.shortfall), (b"{}".as_slice(), None));
}
