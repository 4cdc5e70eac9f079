//! A receiver's `webhook`: where to, in which format, and what goes with which format.

use std::path::Path as FilePath;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::config::field::{At, Field, Texts};
use crate::config::file::read_text;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::{LoadOptions, TemplateSettings, Webhook, WebhookFormat, WebhookUrl, defaults};

use super::{addresses, choose};

/// Its address is the same for everybody; the key is apart from it.
const PAGERDUTY: &str = "events.pagerduty.com";

/// Parameters of addresses that are secrets wherever they are.
const SECRETS: [&str; 8] = ["access_token", "api_key", "apikey", "key", "routing_key", "secret", "sig", "token"];

/// Services that refuse any body but their own, each with the format for it.
const SERVICES: [(&str, Option<WebhookFormat>); 8] = [
    ("hooks.slack.com", Some(WebhookFormat::Slack)),
    ("open.feishu.cn", Some(WebhookFormat::Feishu)),
    ("open.larksuite.com", Some(WebhookFormat::Feishu)),
    ("oapi.dingtalk.com", Some(WebhookFormat::Dingtalk)),
    ("qyapi.weixin.qq.com", Some(WebhookFormat::Wecom)),
    (PAGERDUTY, Some(WebhookFormat::Pagerduty)),
    ("discord.com/api/webhooks", None),
    ("webhook.office.com", None),
];

pub(super) fn webhook(at: &At<raw::Webhook>, options: LoadOptions, problems: &mut Problems) -> Option<Webhook> {
    let w = &at.value;
    let instead = "use bearer_token_file, or put the whole address into a file and name it with url_file";
    let url = addresses::perhaps_secret_url(&at.path, &w.url, &w.url_file, instead, options, problems);
    let formats = WebhookFormat::ALL.map(|format| (format.as_str(), format));
    let format = choose(&w.format, &formats, problems).map(|format| format.unwrap_or(WebhookFormat::Generic));
    if let Some(format) = format {
        what_goes_with(format, at, url.as_ref(), problems);
    }
    let secret_file = addresses::secret(&w.secret_file, options, problems);
    let bearer_token_file = addresses::secret(&w.bearer_token_file, options, problems);
    let ca_file = addresses::ca_file(&w.ca_file, options, problems);
    let timeout = addresses::timeout(&w.timeout, defaults::WEBHOOK_TIMEOUT, problems);
    let mention = mention(&w.mention, format, problems);
    let template = template(at, format, options, problems);
    Some(Webhook {
        url: url?,
        format: format?,
        secret_file: secret_file?,
        bearer_token_file: bearer_token_file?,
        ca_file: ca_file?,
        timeout: timeout?,
        mention: mention?,
        template: template?,
    })
}

/// Keys that mean something for some formats only, and addresses that want another format.
fn what_goes_with(format: WebhookFormat, at: &At<raw::Webhook>, url: Option<&WebhookUrl>, problems: &mut Problems) {
    let w = &at.value;
    if format == WebhookFormat::Pagerduty && w.secret_file.is_missing() {
        problems.warn(
            &at.path,
            "has no secret_file with the routing key of the integration: the address must end with ?routing_key=… then",
        );
    }
    if let Some(file) = w.secret_file.get().filter(|_| !format.takes_a_secret()) {
        problems.error(&file.path, format!("is of no use: {} signs nothing; leave it out", format.as_str()));
    }
    let Some(WebhookUrl::Plain(url)) = url else { return };
    let service = SERVICES.iter().find(|(host, _)| url.contains(host));
    if service.is_some_and(|(host, _)| *host != PAGERDUTY) || has_a_token(url) {
        problems.warn(
            &at.path.key("url"),
            "is a secret, for who knows it can send there: put the whole address into a file and name it with url_file",
        );
    }
    // A template can be for any service.
    if let Some((host, wanted)) = service
        && format != WebhookFormat::Template
        && *wanted != Some(format)
    {
        let instead = wanted.map_or("write a template".to_owned(), |wanted| format!("use format: {}", wanted.as_str()));
        problems.warn(&at.path, format!("sends {} to {host}, which takes only its own: {instead}", format.as_str()));
    }
    if format == WebhookFormat::AlertmanagerApi && !url.trim_end_matches('/').ends_with("/api/v2/alerts") {
        problems.warn(&at.path.key("url"), "does not end with /api/v2/alerts, where an Alertmanager takes alerts");
    }
}

/// Whether the address has a parameter that is a secret by its name.
fn has_a_token(url: &str) -> bool {
    let url = Url::parse(url).ok();
    url.is_some_and(|url| {
        url.query_pairs().any(|(name, _)| SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)))
    })
}

/// Whom to call. What could be anything but a name is refused: it is put into the message as it is.
fn mention(field: &Field<Texts>, format: Option<WebhookFormat>, problems: &mut Problems) -> Option<Vec<String>> {
    let at = match field {
        Field::Missing => return Some(Vec::new()),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let (example, everybody): (&str, &[&str]) = match format {
        None => return None,
        Some(WebhookFormat::Slack) => ("a member's id like U012AB3CD, a group's like S012AB3CD, or here", &[]),
        Some(WebhookFormat::Feishu) => ("an open_id like ou_1a2b3c, a user_id, or all", &["all"]),
        Some(WebhookFormat::Dingtalk) => ("a mobile number like 13800000000, a user's id, or all", &["all"]),
        Some(WebhookFormat::Wecom) => ("a user's id", &[]),
        Some(other) => {
            problems.error(&at.path, format!("is of no use with {}: only chats can call people", other.as_str()));
            return None;
        }
    };
    let list = &at.value.0;
    if list.0.is_empty() {
        problems.error(&at.path, "is an empty list; leave the key out to call nobody");
        return None;
    }
    let mut names = Vec::new();
    for name in list.given() {
        let text = name.value.as_str();
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
        let slack = matches!(text, "here" | "channel" | "everyone")
            || (text.starts_with(['U', 'W', 'S'])
                && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()));
        let known = plain && !text.is_empty() && (format != Some(WebhookFormat::Slack) || slack);
        let too_many = text == "all" && !everybody.contains(&text);
        if known && !too_many {
            names.push(name.value.clone());
        } else {
            problems.error(&name.path, format!("{text:?} is nobody that can be called; write {example}"));
        }
    }
    (names.len() == list.0.len()).then_some(names)
}

/// The body of `template`. Whether it is a good one is seen when it is read; see `notify`.
fn template(
    at: &At<raw::Webhook>,
    format: Option<WebhookFormat>,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Option<TemplateSettings>> {
    let w = &at.value;
    if format? != WebhookFormat::Template {
        let mut unused = true;
        let given = [w.template.get(), w.template_file.get(), w.content_type.get()];
        let others = w.headers.get().map(|at| &at.path);
        for path in given.into_iter().flatten().map(|at| &at.path).chain(others) {
            problems.error(path, "is of no use without format: template");
            unused = false;
        }
        return unused.then_some(None);
    }
    let text = match (&w.template, &w.template_file) {
        (Field::Missing, Field::Missing) => {
            problems.error(&at.path, "needs template, the body, or template_file, a file with it");
            None
        }
        (Field::Given(text), Field::Missing) => Some(text.value.clone()),
        (Field::Missing, Field::Given(file)) if options.syntax_only => {
            // It is elsewhere, perhaps.
            Some(read_text(FilePath::new(&file.value), defaults::MAX_TEMPLATE_BYTES).unwrap_or_default())
        }
        (Field::Missing, Field::Given(file)) => {
            let read = read_text(FilePath::new(&file.value), defaults::MAX_TEMPLATE_BYTES);
            problems.take(&file.path, read.map_err(|e| format!("the file {} {e}", file.value)))
        }
        (Field::Wrong, _) | (_, Field::Wrong) => None,
        _ => {
            problems.error(&at.path, "has both template and template_file; keep one");
            None
        }
    };
    let content_type = match &w.content_type {
        Field::Missing => Some(defaults::TEMPLATE_CONTENT_TYPE.to_owned()),
        Field::Wrong => None,
        Field::Given(at) => Some(at.value.clone()),
    };
    if let Some(written) = w.content_type.get().filter(|at| HeaderValue::try_from(at.value.as_str()).is_err()) {
        problems.error(&written.path, format!("{:?} is no media type; write one like application/json", written.value));
        return None;
    }
    let headers = addresses::headers(&w.headers, "use bearer_token_file", problems);
    let taken = ["content-type", "user-agent", "idempotency-key", "x-ripcord-signature", "host", "content-length"];
    for (name, header) in w.headers.value().into_iter().flat_map(|named| named.given()) {
        if taken.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            problems.error(&header.path, format!("{name} is set by Ripcord itself; leave it out"));
            return None;
        }
    }
    Some(Some(TemplateSettings { text: text?, content_type: content_type?, headers: headers? }))
}
