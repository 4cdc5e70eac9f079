//! The webhook format `template`: a body that the configuration writes, for whatever has no format here. Templates are Jinja's, as minijinja
//! reads them.

use std::io::{self, Write};

use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::Value;

use crate::config::TemplateSettings;
use crate::engine::{
    Event, Language, Next, Notification, Opening, RollbackFacts, Severity, StepReport, StepResult, TriggerFacts,
};
use crate::notify::addresses::Addresses;
use crate::notify::courier::Made;
use crate::notify::message::{self, Message};
use crate::notify::text::clip;

use super::generic;

/// The largest body. No service that is told of pages takes more.
const MAX_BODY: usize = 512 * 1024;

/// The most instructions of one rendering: thousands of times what a body needs, and done in a moment.
const FUEL: u64 = 1_000_000;

/// How much of why it failed is told, in characters.
const MAX_REASON: usize = 300;

/// The name that errors of the library use.
const NAME: &str = "template";

/// A template that was read.
#[derive(Debug)]
pub(in crate::notify) struct BodyTemplate {
    environment: Environment<'static>,
    is_json: bool,
}

impl BodyTemplate {
    /// Reads the template, and makes examples of every event with it: what would fail at night fails now. The error says the line.
    pub(in crate::notify) fn new(settings: &TemplateSettings) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // What a body has to be is known to its writer alone; JSON is made by `tojson`, and checked.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", tojson);
        environment.add_template_owned(NAME, settings.text.clone()).map_err(|e| explain(&e))?;
        let template = Self { environment, is_json: settings.is_json() };
        for notification in examples() {
            template
                .render(&notification, &Addresses::default(), Language::English)
                .map_err(|e| format!("{e} (with an example of {})", notification.event.as_str()))?;
        }
        Ok(template)
    }

    /// The body of a notification. Where the template fails at one that none of the examples was like, it makes the body of what it knows to
    /// make one of: the same message without its numbers. Where it fails at that too the body is Ripcord's own. Either says why.
    pub(in crate::notify) fn body(
        &self,
        notification: &Notification,
        addresses: &Addresses,
        language: Language,
    ) -> Made {
        let error = match self.render(notification, addresses, language) {
            Ok(body) => return body.into_bytes().into(),
            Err(error) => error,
        };
        let told = with_shortfall(notification, &error);
        let plain = Notification { trigger: None, rollback: None, next: None, opening: None, ..told.clone() };
        let guards = plain.guard.iter().chain(&plain.guards).cloned().collect();
        let bare = Notification { guard: None, incident: None, guards, ..plain.clone() };
        let body = [plain, bare].iter().find_map(|plainer| {
            let context = context(plainer, message::compose(&told, addresses, language), addresses, language);
            self.fill(context).ok()
        });
        let body = body.unwrap_or_else(|| {
            let words = message::compose(&told, addresses, language);
            if self.is_json { context(&told, words, addresses, language).to_string() } else { words.text }
        });
        Made { body: body.into_bytes(), shortfall: Some(format!("the template failed: {error}")) }
    }

    /// What the template makes of a notification.
    pub(in crate::notify) fn render(
        &self,
        notification: &Notification,
        addresses: &Addresses,
        language: Language,
    ) -> Result<String, String> {
        self.fill(context(notification, message::compose(notification, addresses, language), addresses, language))
    }

    fn fill(&self, context: Value) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|e| explain(&e))?;
        let mut body = Bounded(Vec::new());
        let context = minijinja::Value::from(minijinja::value::Serde(context));
        template.render_captured_to(context, &mut body).map_err(|e| {
            if body_is_full(&e) { format!("the body is larger than {MAX_BODY} bytes") } else { explain(&e) }
        })?;
        let body = String::from_utf8(body.0).map_err(|_| "the body is no UTF-8".to_owned())?;
        if self.is_json {
            serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|e| {
                format!(
                    "the body is no JSON: {e}; put texts in with {{{{ summary | tojson }}}}, without quotes around it"
                )
            })?;
        }
        Ok(body)
    }
}

/// What a template knows: all that `generic` sends, and the message in words.
fn context(notification: &Notification, words: Message, addresses: &Addresses, language: Language) -> Value {
    let mut context = generic::value(notification, addresses, language);
    context["subject"] = words.subject.into();
    context["text"] = words.text.into();
    // Absent where it says nothing in `generic`; a template asks for it by name.
    for (key, absent) in [("guards", Value::Array(vec![])), ("dry_run", false.into())] {
        if context.get(key).is_none() {
            context[key] = absent;
        }
    }
    context
}

/// The notification, with a line that says why it does not look as it should.
fn with_shortfall(notification: &Notification, error: &str) -> Notification {
    let error = clip(error, MAX_REASON);
    let mut told = notification.clone();
    told.advice = format!("{}\n(This receiver's template failed, so this is a plainer message: {error})", told.advice);
    if let Some(chinese) = &mut told.chinese {
        chinese.advice = format!("{}\n（此接收方的模板出错，因此消息较为简单：{error}）", chinese.advice);
    }
    told
}

/// A value as JSON. The library's own filter makes `null` of what is not there.
fn tojson(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    use minijinja::ErrorKind::{BadSerialization, UndefinedError};
    if value.is_undefined() {
        return Err(UndefinedError.into());
    }
    serde_json::to_string(value).map_err(|e| minijinja::Error::new(BadSerialization, e.to_string()))
}

/// Takes no more than a body may be.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BODY {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of the library in one line, with the line of the template.
fn explain(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    format!("{line}{what}")
}

fn body_is_full(error: &minijinja::Error) -> bool {
    error.kind() == minijinja::ErrorKind::WriteFailure
}

/// Examples of each event: as it usually is; with all that there can be, once with each thing that can be next; with nothing measured,
/// which is when numbers are null; with as little as there can be. The texts hold what JSON has to escape.
fn examples() -> Vec<Notification> {
    let mut examples = Vec::new();
    for event in Event::ALL {
        let usual = usual(event);
        let bare = Notification {
            guard: None,
            guards: vec!["a".to_owned(), "b".to_owned()],
            incident: None,
            trigger: None,
            rollback: None,
            ..usual.clone()
        };
        let mut unmeasured = usual.clone();
        if let (Some(trigger), Some(rollback)) = (&mut unmeasured.trigger, &mut unmeasured.rollback) {
            (trigger.value, rollback.from_percentage, rollback.steps) = (None, None, vec![]);
        }
        examples.extend(NEXT.map(|next| everything(usual.clone(), next)));
        examples.extend([usual, unmeasured, bare]);
    }
    examples
}

/// A text that has all that JSON escapes.
const TEXT: &str = "an example: \"quoted\", a \\ and a line\nthat ends";

/// Whatever can be next.
const NEXT: [Next; 6] = [
    Next::Verify { within_seconds: 600.0 },
    Next::Retry { in_seconds: 5.0 },
    Next::Rung { percentage: 0 },
    Next::Rearm,
    Next::Resume { until: Timestamp::UNIX_EPOCH },
    Next::Tell,
];

fn usual(event: Event) -> Notification {
    Notification {
        id: "example".to_owned(),
        event,
        severity: Severity::Critical,
        time: Timestamp::UNIX_EPOCH,
        guard: Some("terminal".to_owned()),
        guards: vec![],
        incident: Some("terminal-19700101T000000Z".to_owned()),
        summary: TEXT.to_owned(),
        advice: TEXT.to_owned(),
        trigger: Some(TriggerFacts {
            name: "error_rate".to_owned(),
            value: Some(0.031),
            threshold: 0.01,
            threshold_text: "1 %".to_owned(),
            held_seconds: 300.0,
            baseline: None,
            baseline_source: None,
            text: "3.1 %".to_owned(),
        }),
        rollback: Some(RollbackFacts {
            from_percentage: Some(25),
            to_percentage: 0,
            undone: false,
            steps: vec![StepReport {
                step: "deployment_env shop/web".to_owned(),
                result: StepResult::Changed,
                detail: None,
            }],
            error: None,
        }),
        dry_run: false,
        next: None,
        opening: None,
        settles: Vec::new(),
        chinese: None,
    }
}

/// The example with what is not always there.
fn everything(mut example: Notification, next: Next) -> Notification {
    if let (Some(trigger), Some(rollback)) = (&mut example.trigger, &mut example.rollback) {
        (trigger.baseline, trigger.baseline_source) = (Some(0.002), Some(TEXT.to_owned()));
        (rollback.error, rollback.undone) = (Some(TEXT.to_owned()), true);
        rollback.steps.iter_mut().for_each(|step| step.detail = Some(TEXT.to_owned()));
    }
    example.next = Some(next);
    example.opening = Some(Opening { severity: Severity::Critical, summary: TEXT.to_owned() });
    example.dry_run = true;
    example
}
