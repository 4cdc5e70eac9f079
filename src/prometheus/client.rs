//! One query over HTTP. Every way in which it can fail is told apart.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use prometheus_http_query::response::{Data, PromqlResult};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::config;
use crate::engine::Unknown;

use super::plan::{Answer, Plan};

/// Queries of one tick that are under way at once. Prometheus evaluates 20 at a time by default (`--query.max-concurrency`), and it has
/// other users.
const CONCURRENT_QUERIES: usize = 12;

/// The largest answer that is read. A thousand series are some 200 kB; much more is the wrong query.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// How old the newest sample of a plain value may be: two scrapes at the usual longest interval of one minute. Prometheus itself would
/// hand out samples five minutes old.
const MAX_SAMPLE_AGE: Duration = Duration::from_secs(120);

/// What is kept of an answer that is not understood.
const MAX_ERROR_TEXT: usize = 200;

/// A Prometheus, or anything with its HTTP API.
#[derive(Clone)]
pub struct Client {
    inner: prometheus_http_query::Client,
    settings: config::Prometheus,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS settings, the address or a header.
    #[error("cannot make a client for Prometheus at {url}: {reason}")]
    Settings {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// How one query went, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryOutcome {
    /// `ok`, or the kind of the unknown.
    pub result: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// The envelope of the HTTP API. The library's own leaves out the warnings.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<PromqlResult>,
    error: Option<String>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// VictoriaMetrics' way to say that a storage node did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

impl Client {
    /// A client. Nothing is sent yet.
    pub fn new(settings: &config::Prometheus) -> Result<Self, ClientError> {
        let wrong = |reason: String| ClientError::Settings { url: settings.url.clone(), reason };
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name).map_err(|e| wrong(format!("header {name:?}: {e}")))?;
            let value = HeaderValue::try_from(value).map_err(|e| wrong(format!("header {name}: {e}")))?;
            headers.insert(name, value);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(crate::USER_AGENT)
            .default_headers(headers)
            // A redirected POST would come without its query, and with the headers that are meant for another host.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.timeout)
            .timeout(settings.timeout);
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(|e| wrong(format!("cannot read {}: {e}", path.display())))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|e| wrong(format!("{} holds no PEM certificates: {e}", path.display())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if reqwest::Url::parse(&settings.url).is_ok_and(|url| config::is_loopback(&url)) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| wrong(e.to_string()))?;
        let inner = prometheus_http_query::Client::from(http, &settings.url).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { inner, settings: settings.clone() })
    }

    /// Asks all queries of a plan for the instant `at`. One time-out holds for all of them together.
    pub async fn ask(&self, plan: &Plan, at: Timestamp) -> (Vec<Answer>, Vec<QueryOutcome>) {
        let authorization = self.authorization();
        let deadline = tokio::time::Instant::now() + self.settings.timeout;
        let mut queries = Vec::new();
        for (index, query) in plan.queries().iter().enumerate() {
            let authorization = authorization.clone();
            queries.push(async move {
                let begun = Instant::now();
                let answer = match authorization {
                    Err(unknown) => Err(unknown),
                    Ok(authorization) => {
                        tokio::time::timeout_at(deadline, self.query(&query.promql, at, authorization))
                            .await
                            .unwrap_or(Err(Unknown::TimedOut(self.settings.timeout)))
                    }
                };
                let result = answer.as_ref().map_or_else(Unknown::kind, |_| "ok");
                (index, answer, QueryOutcome { result, took: begun.elapsed() })
            });
        }
        // Not in their order: one that hangs must not keep those behind it from being sent.
        let mut results: Vec<(usize, Answer, QueryOutcome)> =
            futures::stream::iter(queries).buffer_unordered(CONCURRENT_QUERIES).collect().await;
        results.sort_by_key(|(index, ..)| *index);
        results.into_iter().map(|(_, answer, outcome)| (answer, outcome)).unzip()
    }

    /// The header that says who asks. Read anew at each tick, so that a rotated secret is used.
    fn authorization(&self) -> Result<Option<HeaderValue>, Unknown> {
        let failed = |e: String| Unknown::QueryFailed(e);
        let text = if let Some(file) = &self.settings.bearer_token_file {
            let token = file.read().map_err(|e| failed(e.to_string()))?;
            format!("Bearer {}", token.expose_secret())
        } else if let Some(auth) = &self.settings.basic_auth {
            let password = auth.password_file.read().map_err(|e| failed(e.to_string()))?;
            basic(&auth.username, password.expose_secret())
        } else {
            return Ok(None);
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            failed("the token or password for Prometheus holds characters that no header can".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn query(&self, promql: &str, at: Timestamp, authorization: Option<HeaderValue>) -> Answer {
        let mut request = self
            .inner
            .query(promql)
            .query("time", format!("{}.{:03}", at.as_second(), at.subsec_millisecond()))
            .query("lookback_delta", format!("{}s", MAX_SAMPLE_AGE.as_secs()))
            // VictoriaMetrics would answer for 30 s ago otherwise; Prometheus does not know it.
            .query("nocache", "1")
            .timeout(i64::try_from(self.settings.timeout.as_millis()).unwrap_or(i64::MAX));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.post_raw().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let body = read(response).await.map_err(|e| self.failed(&e))?;
        let envelope: Envelope = match serde_json::from_slice(&body) {
            Ok(envelope) => envelope,
            Err(e) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(MAX_ERROR_TEXT).collect();
                return Err(
                    self.failed(&format!("answered {status} with what is no Prometheus answer ({e}): {text:?}"))
                );
            }
        };
        if envelope.status != "success" {
            let kind = envelope.error_type.unwrap_or_else(|| "error".to_owned());
            let error = envelope.error.unwrap_or_else(|| format!("status {status}, no reason given"));
            return Err(self.failed(&format!("answered {status}: {kind}: {error}")));
        }
        if let Some(first) = envelope.warnings.into_iter().next() {
            return Err(Unknown::Warning(first));
        }
        if envelope.is_partial {
            return Err(Unknown::Warning("the answer is partial: some storage did not answer".to_owned()));
        }
        let data = envelope.data.ok_or_else(|| self.failed("answered success without data"))?;
        match data.into_inner().0 {
            Data::Vector(rows) => Ok(rows
                .into_iter()
                .map(|row| {
                    let (labels, sample) = row.into_inner();
                    (labels, sample.value())
                })
                .collect()),
            Data::Scalar(sample) => Ok(vec![(HashMap::new(), sample.value())]),
            Data::Matrix(_) => Err(self.failed("answered with a range of samples where a number is wanted")),
        }
    }

    fn failed(&self, what: &str) -> Unknown {
        Unknown::QueryFailed(format!("Prometheus at {} {what}", self.settings.url))
    }

    fn unreachable(&self, error: &prometheus_http_query::Error) -> Unknown {
        if let prometheus_http_query::Error::Client(client) = error
            && let Some(source) = client.inner()
            && source.is_timeout()
        {
            return Unknown::TimedOut(self.settings.timeout);
        }
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(e) = cause {
            text = e.to_string();
            cause = e.source();
        }
        self.failed(&format!("cannot be reached: {text}"))
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| format!("broke off its answer: {}", e.without_url()))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("answered with more than {MAX_ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn basic(username: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")))
}
