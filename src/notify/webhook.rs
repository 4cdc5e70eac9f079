//! Hands entries over by HTTP.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Certificate, Client, Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{self, Finding, Receiver, Webhook, WebhookFormat, WebhookUrl};
use crate::engine::{Language, Notification};

use super::addresses::Addresses;
use super::courier::{Courier, Failure, Made};
use super::entry::Entry;
use super::formats::template::BodyTemplate;
use super::formats::{self, alertmanager, answer, dingtalk, feishu, pagerduty};
use super::text::{clip, redact, single_line};
use super::{material, signature};

/// A host that does not answer a SYN for this long is not there; the rest of the time-out is for the answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of a refusal is read: enough for its reason, too little to fill the memory.
const MAX_ANSWER: usize = 64 * 1024;

/// How much of a refusal is told, in characters.
const MAX_EXCERPT: usize = 300;

/// Hands entries over by HTTP.
pub(super) struct WebhookCourier {
    receiver: String,
    settings: Webhook,
    language: Language,
    template: Option<BodyTemplate>,
    addresses: Arc<Addresses>,
}

/// What one try needs.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) url: Url,
    secret: Option<SecretString>,
    bearer: Option<SecretString>,
    /// A signature that was made for this try.
    signature: Option<String>,
}

impl WebhookCourier {
    /// A courier, unless the settings cannot be right.
    pub(super) fn new(
        receiver: &Receiver,
        settings: &Webhook,
        addresses: Arc<Addresses>,
    ) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut wrong = |key: &str, message: String| {
            findings.push(Finding::at(format!("receivers.{}.webhook.{key}", receiver.name), message));
        };
        if let WebhookUrl::Plain(url) = &settings.url
            && let Err(reason) = parse_url(url)
        {
            wrong("url", reason.to_owned());
        }
        let template = settings.template.as_ref().and_then(|template| {
            let read = BodyTemplate::new(template);
            read.map_err(|reason| wrong("template", reason)).ok()
        });
        if !findings.is_empty() {
            return Err(findings);
        }
        let (receiver, language) = (receiver.name.clone(), receiver.language);
        Ok(Self { receiver, settings: settings.clone(), language, template, addresses })
    }

    fn to(&self) -> formats::To<'_> {
        formats::To { receiver: &self.receiver, settings: &self.settings, language: self.language }
    }

    /// The entry's own body, and what it acknowledges or ends besides, in this order. A try that gets through with some of it is repeated
    /// from the first: who acknowledges or ends an alert twice has done it once.
    async fn exchange_all(&self, entry: &Entry, body: &[u8]) -> Result<(), Failure> {
        self.exchange(entry, body).await?;
        for other in formats::others(&self.to(), &entry.notification) {
            self.exchange(entry, &other).await?;
        }
        Ok(())
    }

    async fn exchange(&self, entry: &Entry, body: &[u8]) -> Result<(), Failure> {
        let settings = self.settings.clone();
        let mut opened = material::read(settings.timeout, move || open(&settings)).await?;
        let mut headers = self.headers(entry, &opened)?;
        let target = format!("POST to {}", host(&opened.url));
        let body = match self.settings.format {
            WebhookFormat::Alertmanager => alertmanager::timed(body, &entry.notification, Timestamp::now()),
            WebhookFormat::AlertmanagerApi => {
                let body = alertmanager::timed(body, &entry.notification, Timestamp::now());
                match open_alerts(&opened, &entry.notification, &headers).await {
                    Some(open) => alertmanager::narrowed(&body, &entry.notification, &open),
                    None => body,
                }
            }
            format => opened.complete(format, body, &mut headers, Timestamp::now())?,
        };
        let request = opened.client.post(opened.url.clone()).headers(headers).body(body);
        match request.send().await {
            Ok(response) => judge(response, self.settings.format, &target, &opened).await,
            Err(e) => Err(self.unanswered(e, &target, &opened)),
        }
    }

    fn headers(&self, entry: &Entry, opened: &Opened) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        let mut content_type = HeaderValue::from_static("application/json");
        if let Some(template) = &self.settings.template {
            let unfit = |what: &str| Failure::Refused(format!("{what:?} cannot be sent as a header"));
            content_type = HeaderValue::try_from(&template.content_type).map_err(|_| unfit(&template.content_type))?;
            for (name, value) in &template.headers {
                let name = HeaderName::try_from(name).map_err(|_| unfit(name))?;
                headers.insert(name, HeaderValue::try_from(value).map_err(|_| unfit(value))?);
            }
        }
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
        headers.insert("idempotency-key", idempotency_key(&entry.id));
        if let Some(token) = &opened.bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                .map_err(|_| Failure::retry("the bearer token has characters that no HTTP header can carry"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Asks the address what it takes (`OPTIONS`), which no service makes a page of: without a body, and without any credential but the
    /// path, which is part of the way. Services answer it as they like, many with 404 or 405: whatever comes back shows that name, way and
    /// certificate are right. Only 5xx says that behind them somebody is missing.
    async fn ask(&self) -> Result<(), Failure> {
        let settings = self.settings.clone();
        let opened = material::read(settings.timeout, move || open(&settings)).await?;
        if self.settings.format == WebhookFormat::Pagerduty {
            opened.routing_key()?;
        }
        let mut url = opened.url.clone();
        url.set_query(None);
        // An address with a host takes both.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let target = format!("OPTIONS to {}", host(&url));
        let request = opened.client.request(Method::OPTIONS, url);
        match request.header(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT)).send().await {
            Ok(response) if response.status().is_server_error() => {
                let status = response.status().as_u16();
                Err(Failure::retry(format!("{target}: answered {status}; see whether the service behind it runs")))
            }
            Ok(_) => Ok(()),
            Err(e) => Err(self.unanswered(e, &target, &opened)),
        }
    }

    fn unanswered(&self, error: reqwest::Error, target: &str, opened: &Opened) -> Failure {
        if error.is_timeout() && !error.is_connect() {
            return Failure::retry(format!("{target}: no answer within {:?}", self.settings.timeout));
        }
        Failure::retry(format!("{target}: {}", opened.redact(&causes(&error.without_url()))))
    }
}

impl Courier for WebhookCourier {
    fn prepare(&self, entry: &Entry) -> Result<Made, Failure> {
        formats::body(&self.to(), self.template.as_ref(), &entry.notification, &self.addresses)
    }

    fn deliver<'a>(&'a self, entry: &'a Entry, body: &'a [u8]) -> BoxFuture<'a, Result<(), Failure>> {
        self.exchange_all(entry, body).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.ask().boxed()
    }
}

impl Opened {
    /// The body as it is sent, with what is added at this moment: a key or a signature, in the body, the headers or the address.
    fn complete(
        &mut self,
        format: WebhookFormat,
        body: &[u8],
        headers: &mut HeaderMap,
        now: Timestamp,
    ) -> Result<Vec<u8>, Failure> {
        let secret = self.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        Ok(match (format, secret) {
            (WebhookFormat::Pagerduty, _) => pagerduty::with_routing_key(body, &self.routing_key()?),
            (WebhookFormat::Generic | WebhookFormat::Template, Some(key)) => {
                let signature = HeaderValue::try_from(signature::sign(key.as_bytes(), body));
                headers.insert("x-ripcord-signature", signature.expect("a signature is hexadecimal"));
                body.to_vec()
            }
            (WebhookFormat::Feishu, Some(key)) => {
                let sign = feishu::sign(&key, now.as_second());
                let body = feishu::signed(body, now.as_second(), &sign);
                self.signature = Some(sign);
                body
            }
            (WebhookFormat::Dingtalk, Some(key)) => {
                let sign = dingtalk::sign(&key, now.as_millisecond());
                self.url = dingtalk::signed(&self.url, now.as_millisecond(), &sign);
                self.signature = Some(sign);
                body.to_vec()
            }
            _ => body.to_vec(),
        })
    }

    /// PagerDuty's key of the integration: the secret, or the address' parameter.
    fn routing_key(&self) -> Result<String, Failure> {
        if let Some(secret) = &self.secret {
            return Ok(secret.expose_secret().to_owned());
        }
        let mut parameters = self.url.query_pairs();
        parameters.find(|(name, _)| name == "routing_key").map(|(_, key)| key.into_owned()).ok_or_else(|| {
            Failure::retry(
                "there is no routing key for PagerDuty: name a secret_file that holds it, or end the address with ?routing_key=…",
            )
        })
    }

    /// The text without any part of the address, the secret or the token.
    pub(super) fn redact(&self, text: &str) -> String {
        let query = self.url.query().unwrap_or_default();
        let path_and_query = format!("{}?{query}", self.url.path());
        let mut secrets = vec![self.url.as_str(), &path_and_query, self.url.path(), query, self.url.username()];
        secrets.extend(self.url.password());
        secrets.extend(self.url.path_segments().into_iter().flatten());
        secrets.extend(query.split(['&', '=']));
        secrets.extend(self.secret.as_ref().map(ExposeSecret::expose_secret));
        secrets.extend(self.bearer.as_ref().map(ExposeSecret::expose_secret));
        secrets.extend(self.signature.as_deref());
        redact(text, &secrets)
    }
}

/// Reads the files and makes a client. Nothing is kept between tries: pages are rare, and a connection that died in between would only
/// cost one of them a try.
pub(super) fn open(settings: &Webhook) -> Result<Opened, Failure> {
    let url = match &settings.url {
        WebhookUrl::Plain(url) => parse_url(url).map_err(Failure::retry)?,
        WebhookUrl::File(file) => parse_url(material::secret(file)?.expose_secret())
            .map_err(|reason| Failure::retry(format!("{}: {reason}", file.0.display())))?,
    };
    let mut client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
        .timeout(settings.timeout);
    if config::is_loopback(&url) {
        client = client.no_proxy();
    }
    if url.scheme() == "http" {
        // The system's certificates are not needed, and an image without any must not fail for it.
        client = client.tls_certs_only([]);
    } else if let Some(file) = &settings.ca_file {
        let pem = material::certificates(file)?;
        let extra = Certificate::from_pem_bundle(&pem).map_err(|e| {
            Failure::retry(format!("cannot use the certificates in {}: {}", file.display(), causes(&e.without_url())))
        })?;
        client = client.tls_certs_merge(extra);
    }
    let client = client
        .build()
        .map_err(|e| Failure::retry(format!("cannot prepare TLS for {}: {}", host(&url), causes(&e.without_url()))))?;
    Ok(Opened {
        client,
        url,
        secret: settings.secret_file.as_ref().map(material::secret).transpose()?,
        bearer: settings.bearer_token_file.as_ref().map(material::secret).transpose()?,
        signature: None,
    })
}

/// An address. The reason why it is none does not repeat it.
fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "this is no URL: write https://host/path")?;
    match url.scheme() {
        "https" | "http" if url.has_host() => Ok(url),
        _ => Err("the URL must begin with https:// or http://"),
    }
}

/// The host, and the port where it is not the usual one: all of the address that may be told.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The id as a header. Ids are printable ASCII unless somebody named a receiver otherwise.
fn idempotency_key(id: &str) -> HeaderValue {
    let plain: String = if id.bytes().all(|b| b.is_ascii_graphic()) {
        id.to_owned()
    } else {
        id.bytes()
            .map(|b| if b.is_ascii_graphic() && b != b'%' { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    HeaderValue::try_from(plain).expect("printable ASCII is a header value")
}

/// An error with all its causes.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

async fn judge(response: Response, format: WebhookFormat, target: &str, opened: &Opened) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() && !answer::has_codes(format) {
        return Ok(());
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let after = after.and_then(|header| super::backoff::retry_after(header, Timestamp::now()));
    let said = answer(response).await;
    let told = |text: &str| clip(&opened.redact(&single_line(text)), MAX_EXCERPT);
    if let Some(verdict) = answer::verdict(format, &said, status.is_success(), target, after, told) {
        return verdict;
    }
    let said = told(&said);
    let said = if said.is_empty() { said } else { format!(" ({said})") };
    let text = format!("{target}: answered {}{said}", status.as_u16());
    if status.is_success() {
        let why = "which does not say whether it took the message; check the receiver's address and format";
        return Err(Failure::retry(format!("{text}, {why}")));
    }
    if status.is_redirection() {
        return Err(Failure::Refused(format!("{text}; redirects are not followed: configure the final address")));
    }
    if status.is_client_error() && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
        let check = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check the receiver's secret or token",
            StatusCode::NOT_FOUND | StatusCode::GONE => "check the receiver's address",
            _ => "check the receiver's address and format",
        };
        return Err(Failure::Refused(format!("{text}; {check}")));
    }
    // A service that counts by the minute and does not say so is left alone for one.
    let after = after.or((status == StatusCode::TOO_MANY_REQUESTS).then_some(answer::PAUSE));
    Err(Failure::Retry { error: text, after })
}

/// The alerts of the notification's story that an Alertmanager says are open, where it ends some. Without an answer that can be read all
/// that may be open are ended.
async fn open_alerts(opened: &Opened, notification: &Notification, headers: &HeaderMap) -> Option<serde_json::Value> {
    let mut url = opened.url.clone();
    url.query_pairs_mut().append_pair("filter", &alertmanager::matcher(notification)?);
    let response = opened.client.get(url).headers(headers.clone()).send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    serde_json::from_str(&answer(response).await).ok()
}

/// The beginning of the answer's body. What cannot be read is left out: the status alone decides.
async fn answer(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests;
