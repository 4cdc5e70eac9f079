//! One query over HTTP. Every way in which it can fail is told apart.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use prometheus_http_query::response::Data;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret as _;

use crate::config;
use crate::engine::Unknown;

use super::body;
use super::plan::{Answer, Plan, Query};
use super::range::{Instants, Range};

/// Queries of one tick that are under way at once. Prometheus evaluates 20 at a time by default (`--query.max-concurrency`), and it has
/// other users.
const CONCURRENT_QUERIES: usize = 12;

/// The largest answer that is read. A thousand series are some 200 kB; much more is the wrong query.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// How old the newest sample of a plain value may be: two scrapes at the usual longest interval of one minute. Prometheus itself would
/// hand out samples five minutes old.
pub(super) const MAX_SAMPLE_AGE: Duration = Duration::from_secs(120);

/// Where one instant is asked for.
const INSTANT: &str = "api/v1/query";

/// Where several are.
const RANGE: &str = "api/v1/query_range";

/// A query that any server with PromQL answers, however little it has stored.
const GREETING: &str = "vector(1)";

/// The result of a query that gave its rows.
const OK: &str = "ok";

/// A Prometheus, or anything with its HTTP API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: reqwest::Url,
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

impl QueryOutcome {
    /// Whether the query was answered, be it with nothing.
    pub fn is_ok(&self) -> bool {
        self.result == OK
    }
}

/// What a server answered, as it came.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

impl Reply {
    fn data(&self) -> Result<Data, Unknown> {
        body::data(&self.status.to_string(), &self.body)
    }
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
        let base = reqwest::Url::parse(&settings.url).map_err(|e| wrong(e.to_string()))?;
        if config::is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| wrong(e.to_string()))?;
        Ok(Self { http, base, settings: settings.clone() })
    }

    /// Asks all queries of a plan for the instant `at`. One time-out holds for all of them together.
    pub async fn ask(&self, plan: &Plan, at: Timestamp) -> (Vec<Answer>, Vec<QueryOutcome>) {
        let when = [("time", seconds(at))];
        self.ask_all(plan, INSTANT, &when, body::rows).await
    }

    /// Asks all queries of a plan for each of several instants, one request per query. One time-out holds for all of them together, so that
    /// whoever wants many instants asks for one `Instants::first_chunk` after the other.
    pub async fn ask_range(&self, plan: &Plan, instants: Instants) -> (Range, Vec<QueryOutcome>) {
        let when = [
            ("start", seconds(instants.first())),
            ("end", seconds(instants.last())),
            // Not as a number of seconds: 0.3 of them are 299 ms after the way through a float.
            ("step", format!("{}ms", instants.step_ms())),
        ];
        let understand = |query: &Query, data: Data| body::series(query, data, instants);
        let (queries, outcomes) = self.ask_all(plan, RANGE, &when, understand).await;
        (Range::new(instants, queries), outcomes)
    }

    /// Sends every query of a plan to an endpoint with these parameters and makes of each answer what `understand` does.
    async fn ask_all<T>(
        &self,
        plan: &Plan,
        endpoint: &str,
        when: &[(&str, String)],
        understand: impl Fn(&Query, Data) -> Result<T, Unknown>,
    ) -> (Vec<Result<T, Unknown>>, Vec<QueryOutcome>) {
        let authorization = self.authorization();
        let deadline = tokio::time::Instant::now() + self.settings.timeout;
        let understand = &understand;
        let mut queries = Vec::new();
        for (index, query) in plan.queries().iter().enumerate() {
            let authorization = authorization.clone();
            queries.push(async move {
                let begun = Instant::now();
                let answer = match authorization {
                    Err(unknown) => Err(unknown),
                    Ok(authorization) => {
                        tokio::time::timeout_at(deadline, self.query(&query.promql, endpoint, when, authorization))
                            .await
                            .unwrap_or(Err(Unknown::TimedOut(self.settings.timeout)))
                            .and_then(|reply| {
                                reply.data().and_then(|data| understand(query, data)).map_err(|e| self.named(e))
                            })
                    }
                };
                let result = answer.as_ref().map_or_else(Unknown::kind, |_| OK);
                (index, answer, QueryOutcome { result, took: begun.elapsed() })
            });
        }
        // Not in their order: one that hangs must not keep those behind it from being sent.
        let mut results: Vec<(usize, Result<T, Unknown>, QueryOutcome)> =
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

    /// Asks for a number that needs no series, as all queries are asked. Says what the answer's `Date` header says: the server's own time, to
    /// the second.
    pub async fn greet(&self) -> Result<Option<String>, Unknown> {
        let when = [("time", seconds(Timestamp::now()))];
        let exchange = async {
            let response = self.send(GREETING, INSTANT, &when, self.authorization()?).await?;
            let date = response.headers().get(DATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
            self.read(response).await?.data().map_err(|unknown| self.named(unknown))?;
            Ok(date)
        };
        let limit = self.settings.timeout;
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Unknown::TimedOut(limit)))
    }

    /// The answer to one query.
    async fn query(
        &self,
        promql: &str,
        endpoint: &str,
        when: &[(&str, String)],
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, Unknown> {
        self.read(self.send(promql, endpoint, when, authorization).await?).await
    }

    async fn send(
        &self,
        promql: &str,
        endpoint: &str,
        when: &[(&str, String)],
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Unknown> {
        let mut parameters = vec![
            ("query", promql.to_owned()),
            ("lookback_delta", format!("{}s", MAX_SAMPLE_AGE.as_secs())),
            // VictoriaMetrics would answer for 30 s ago, or for rounded instants, otherwise; Prometheus does not know it.
            ("nocache", "1".to_owned()),
            ("timeout", format!("{}ms", self.settings.timeout.as_millis())),
        ];
        parameters.extend_from_slice(when);
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{endpoint}", self.base.path().trim_end_matches('/')));
        // As a form: a query for many guards is longer than many servers allow an address to be.
        let mut request = self.http.post(url).form(&parameters);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|e| self.unreachable(e))
    }

    async fn read(&self, response: Response) -> Result<Reply, Unknown> {
        let status = response.status();
        let body = read(response).await.map_err(|e| self.failed(&e))?;
        Ok(Reply { status, body })
    }

    /// What an answer's body says, with the server that says it.
    fn named(&self, unknown: Unknown) -> Unknown {
        match unknown {
            Unknown::QueryFailed(what) => self.failed(&what),
            other => other,
        }
    }

    fn failed(&self, what: &str) -> Unknown {
        Unknown::QueryFailed(format!("Prometheus at {} {what}", self.settings.url))
    }

    fn unreachable(&self, error: reqwest::Error) -> Unknown {
        if error.is_timeout() {
            return Unknown::TimedOut(self.settings.timeout);
        }
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(e) = cause {
            text = e.to_string();
            cause = e.source();
        }
        self.failed(&format!("cannot be reached: {text}"))
    }
}

/// An instant as the HTTP API reads it.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_second(), at.subsec_millisecond())
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
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
