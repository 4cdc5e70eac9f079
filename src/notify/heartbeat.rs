//! Tells an outside address that Ripcord is alive, so that somebody learns when it is not: such a service pages when it hears nothing.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CACHE_CONTROL, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};

use crate::config::{self, Webhook, WebhookFormat};

use super::courier::Failure;
use super::{material, webhook};

/// Tells one address.
#[derive(Debug)]
pub struct Heartbeat {
    /// A heartbeat opens its address just as a webhook does: rotated files, proxies and redaction are the same.
    settings: Webhook,
}

impl Heartbeat {
    /// One that tells the address of these settings.
    pub fn new(settings: &config::Heartbeat) -> Self {
        Self {
            settings: Webhook {
                url: settings.url.clone(),
                format: WebhookFormat::Generic,
                secret_file: None,
                bearer_token_file: None,
                ca_file: None,
                timeout: settings.timeout,
                mention: Vec::new(),
                template: None,
            },
        }
    }

    /// Tells it once: a GET, which every such service takes. It ends by itself, within twice the time-out: once for the file with the
    /// address, once for the request. The error says what went wrong, and of the address at most its host.
    ///
    /// A redirect is a failure: the services answer directly, and what it leads to could be a page of a proxy that says 200 for nothing.
    pub async fn beat(&self) -> Result<(), String> {
        let settings = self.settings.clone();
        let opened =
            material::read(settings.timeout, move || webhook::open(&settings)).await.map_err(Failure::into_text)?;
        let target = format!("GET of {}", webhook::host(&opened.url));
        // A cache in between must not answer for the service.
        let request = opened.client.get(opened.url.clone()).header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match request.header(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT)).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("{target}: answered {}", refusal(response.status(), &opened.url))),
            Err(e) if e.is_timeout() && !e.is_connect() => {
                Err(format!("{target}: no answer within {:?}", self.settings.timeout))
            }
            Err(e) => Err(format!("{target}: {}", opened.redact(&webhook::causes(&e.without_url())))),
        }
    }
}

/// The status, and what to do about it.
fn refusal(status: StatusCode, url: &Url) -> String {
    let advice = match status {
        s if s.is_redirection() && url.scheme() == "http" => "; redirects are not followed: try https://",
        s if s.is_redirection() => "; redirects are not followed: configure the final address",
        s if s.is_client_error() && s != StatusCode::TOO_MANY_REQUESTS => "; check the heartbeat's address",
        _ => "",
    };
    format!("{}{advice}", status.as_u16())
}

/// When to tell it: asked at each tick that went well, so that a daemon whose ticks fail falls silent too.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// The tick that sent the last one, unless that failed.
    last: Option<Timestamp>,
}

impl Pace {
    /// One that has sent nothing yet: the first tick is due.
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    /// Whether this tick sends one. `tick` is when the tick was due: these times are evenly spaced, while those at which ticks are
    /// handled are not, so that one would often be a tick late.
    pub fn due(&mut self, tick: Timestamp) -> bool {
        let due = self.last.is_none_or(|last| has_passed(self.interval, last, tick));
        if due {
            self.last = Some(tick);
        }
        due
    }

    /// The last one did not work: the next tick sends one again.
    pub fn failed(&mut self) {
        self.last = None;
    }
}

/// A wall clock that was set back counts as passed: the service would miss the ones until then.
fn has_passed(interval: Duration, last: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(last)).map_or(true, |since| since >= interval)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::config::{SecretFile, WebhookUrl};
    use crate::notify::testing::http::{Answer, Server};
    use crate::notify::testing::{install_crypto, secret};

    /// An address whose path is a secret, as that of every such service is.
    const PATH: &str = "/ping/T0K3N-1234?token=s3cr3t-key";

    fn plain(address: &str) -> WebhookUrl {
        WebhookUrl::Plain(address.to_owned())
    }

    fn to(server: &Server) -> WebhookUrl {
        plain(&format!("http://127.0.0.1:{}{PATH}", server.port))
    }

    fn heartbeat(url: WebhookUrl, timeout: Duration) -> Heartbeat {
        install_crypto();
        Heartbeat::new(&config::Heartbeat { url, interval: Duration::from_secs(60), timeout })
    }

    /// What a failed one says. It never holds a part of the address.
    async fn failed(url: WebhookUrl) -> String {
        let error = heartbeat(url, Duration::from_secs(1)).beat().await.expect_err("it cannot have worked");
        for part in ["T0K3N", "s3cr3t", "/ping"] {
            assert!(!error.contains(part), "{part} is told: {error}");
        }
        error
    }

    #[tokio::test]
    async fn it_gets_the_whole_address_in_its_own_name() {
        let server = Server::start(vec![Answer::status(204)]).await;
        heartbeat(to(&server), Duration::from_secs(10)).beat().await.unwrap();
        let requests = server.requests();
        let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
        assert_eq!((request.method.as_str(), request.uri.to_string().as_str()), ("GET", PATH));
        assert_eq!(request.header("user-agent"), format!("ripcord/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(request.header("cache-control"), "no-store");
        assert!(request.body.is_empty());
    }

    #[tokio::test]
    async fn anything_but_success_is_a_failure_that_says_what_to_do() {
        for (status, said) in [
            (302, "answered 302; redirects are not followed: try https://"),
            (401, "answered 401; check the heartbeat's address"),
            (404, "answered 404; check the heartbeat's address"),
            (429, "answered 429"),
            (503, "answered 503"),
        ] {
            let elsewhere = ("location", "/".to_owned());
            let server = Server::start(vec![Answer::Say(status, vec![elsewhere], format!("no {PATH}"))]).await;
            assert_eq!(failed(to(&server)).await, format!("GET of 127.0.0.1:{}: {said}", server.port));
            assert_eq!(server.requests().len(), 1, "{status}: it was not followed, and not tried again");
        }
    }

    #[tokio::test]
    async fn a_service_that_hangs_is_left_after_the_timeout() {
        let server = Server::start(vec![Answer::Hang]).await;
        let begun = Instant::now();
        assert_eq!(failed(to(&server)).await, format!("GET of 127.0.0.1:{}: no answer within 1s", server.port));
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_said_without_its_path() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = failed(plain(&format!("http://127.0.0.1:{port}{PATH}"))).await;
        assert!(error.starts_with(&format!("GET of 127.0.0.1:{port}: ")), "{error}");
        assert!(failed(plain("ftp://example.com/ping/T0K3N-1234")).await.contains("must begin with https://"));
    }

    #[tokio::test]
    async fn a_rotated_address_is_used_at_once() {
        let (old, new) = (Server::start(vec![]).await, Server::start(vec![]).await);
        let folder = tempfile::tempdir().unwrap();
        let address = |server: &Server| format!("http://127.0.0.1:{}{PATH}\n", server.port);
        let file = secret(&folder, "heartbeat-url", &address(&old));
        let heartbeat = heartbeat(WebhookUrl::File(file), Duration::from_secs(10));
        heartbeat.beat().await.unwrap();
        secret(&folder, "heartbeat-url", &address(&new));
        heartbeat.beat().await.unwrap();
        assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
        secret(&folder, "heartbeat-url", "T0K3N-1234\n");
        let error = heartbeat.beat().await.unwrap_err();
        assert!(error.ends_with("heartbeat-url: this is no URL: write https://host/path"), "{error}");
        let missing = SecretFile(Path::new("/nowhere/heartbeat-url").to_owned());
        assert_eq!(failed(WebhookUrl::File(missing)).await, "the secret file /nowhere/heartbeat-url does not exist");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_323_040 + second).unwrap()
    }

    /// The seconds of these ticks that send one.
    fn sent(pace: &mut Pace, ticks: impl IntoIterator<Item = i64>) -> Vec<i64> {
        ticks.into_iter().filter(|tick| pace.due(at(*tick))).collect()
    }

    #[test]
    fn there_is_one_in_an_interval_and_at_most_one_a_tick() {
        for (interval, expected) in [
            (60, vec![0, 60, 120]),
            // Between two ticks none can be sent: it is the next one that does.
            (15, vec![0, 20, 40, 60, 80, 100, 120]),
            (10, (0..=120).step_by(10).collect()),
            (1, (0..=120).step_by(10).collect()),
        ] {
            let mut pace = Pace::new(Duration::from_secs(interval));
            assert_eq!(sent(&mut pace, (0..=120).step_by(10)), expected, "{interval} s, a tick every 10 s");
        }
    }

    #[test]
    fn a_failed_one_is_sent_again_at_the_next_tick() {
        let mut pace = Pace::new(Duration::from_secs(60));
        assert!(pace.due(at(0)));
        pace.failed();
        assert_eq!(sent(&mut pace, [10, 20, 60, 70]), [10, 70]);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_none() {
        let mut pace = Pace::new(Duration::from_secs(60));
        assert_eq!(sent(&mut pace, [7200, 7210, 0, 10, 60]), [7200, 0, 60]);
    }
}
