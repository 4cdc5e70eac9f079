//! What there is too much of: requests, wrong tokens, connections, bytes, seconds.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::page::{Reader, after};
use super::{Bench, TOKEN, read_to_end, send};
use crate::http::limits::Limits;
use crate::http::problem;
use crate::http::rate::Rate;

/// Far more than a test needs.
const PLENTY: Rate = Rate { burst: 10_000, per_second: 10_000.0 };

/// So few that the next one comes after the test.
const THREE: Rate = Rate { burst: 3, per_second: 0.001 };

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const ROLLBACK: &str = "/api/v1/guards/terminal/rollback";
const ME: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ANOTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THIRD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// One request over a connection of its own from an address; the status of its answer.
async fn status_from(bench: &Bench, from: Ipv4Addr, request: &str, token: &str) -> u16 {
    let mut stream = bench.connect(from).await;
    let (method, path) = request.split_once(' ').unwrap();
    let body = r#"{"reason": "x"}"#;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(&mut stream, &head).await;
    let answer = read_to_end(&mut stream).await;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test]
async fn who_reads_too_often_is_told_when_to_come_again() {
    let bench = Bench::start(Limits { reads: [THREE, PLENTY], ..Limits::default() }).await;
    for _ in 0..3 {
        assert_eq!(bench.get("/api/v1/status").send().await.unwrap().status(), 200);
    }
    let answer = bench.get("/api/v1/status").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let after: u64 = answer.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/too-many-requests");
    assert!(after > 900 && problem["retry_after_seconds"] == after, "{after}: {problem}");
    // Nobody else has to wait, and nobody ever for these.
    assert_eq!(status_from(&bench, ANOTHER, "GET /api/v1/status", "").await, 200);
    for path in ["/metrics", "/healthz", "/readyz"] {
        for _ in 0..20 {
            assert_eq!(bench.get(path).send().await.unwrap().status(), 200, "{path}");
        }
    }
    // Writing has a limit of its own.
    assert_eq!(bench.post(ROLLBACK, &json!({"reason": "x"})).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn who_writes_too_often_waits() {
    let bench = Bench::start(Limits { writes: [THREE, PLENTY], ..Limits::default() }).await;
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status_from(&bench, ME, &format!("POST {ROLLBACK}"), TOKEN).await, wanted);
    }
    assert_eq!(status_from(&bench, ANOTHER, &format!("POST {ROLLBACK}"), TOKEN).await, 200);
    assert_eq!(bench.get("/api/v1/status").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn those_without_the_token_use_up_nothing_of_those_with_it() {
    let failures = [Rate { burst: 10, ..THREE }, THREE];
    let bench = Bench::start(Limits { writes: [PLENTY, THREE], failures, ..Limits::default() }).await;
    for wanted in [401, 401, 401, 429] {
        assert_eq!(status_from(&bench, ME, &format!("POST {ROLLBACK}"), "wrong").await, wanted);
    }
    // Nor what has no token at all, whatever is wrong with it.
    for (asked, wanted) in [("POST /nope", 404), ("POST /", 405)] {
        for _ in 0..3 {
            assert_eq!(status_from(&bench, THIRD, asked, "").await, wanted, "{asked}");
        }
    }
    // An attack is on, from one address. Oncall comes from another.
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status_from(&bench, ANOTHER, &format!("POST {ROLLBACK}"), TOKEN).await, wanted);
    }
}

#[tokio::test]
async fn a_token_cannot_be_guessed() {
    let bench = Bench::start(Limits { failures: [THREE, PLENTY], ..Limits::default() }).await;
    for wanted in [401, 401, 401, 429] {
        assert_eq!(status_from(&bench, ME, &format!("POST {ROLLBACK}"), "wrong").await, wanted);
    }
    assert_eq!(status_from(&bench, ME, &format!("POST {ROLLBACK}"), TOKEN).await, 429, "the right one neither");
    assert_eq!(status_from(&bench, ANOTHER, &format!("POST {ROLLBACK}"), TOKEN).await, 200);
}

/// All who come through one port-forward or one proxy have one address, and a script among them may have an old token.
#[tokio::test]
async fn an_old_token_keeps_nobody_out_who_is_known_to_have_the_right_one() {
    let bench = Bench::start(Limits { failures: [THREE, PLENTY], ..Limits::default() }).await;
    bench.snapshot.send_modify(|snapshot| snapshot.guards = after("1m 0 %"));
    let post = format!("POST {ROLLBACK}");
    for wanted in [401, 401, 401, 429] {
        assert_eq!(status_from(&bench, ME, &post, "old").await, wanted);
    }
    // Signing in is counted by itself. A short token could be guessed, also by the sign of a session that is made of it.
    let reader = Reader::of(&bench).await;
    let form = reader.form("rollback").await;
    assert_eq!(reader.confirm("rollback", &form).await.0, 429);
    assert_eq!(status_from(&bench, ME, &post, TOKEN).await, 429);
    let long = "0123456789abcdef0123456789abcdef";
    std::fs::write(&bench.token, format!("{long}\n")).unwrap();
    assert_eq!(status_from(&bench, ME, &post, long).await, 200);
    for other in ["old", TOKEN, &long.replace('f', "e")] {
        assert_eq!(status_from(&bench, ME, &post, other).await, 429, "{other}");
    }
    let known = Reader::with(&bench, long).await;
    assert_eq!(known.confirm("rollback", &known.form("rollback").await).await.0, 303);
    // This session was of the token before.
    let (status, page) = reader.confirm("rollback", &form).await;
    assert!(status == 429 && page.contains("too many wrong tokens"), "{status}: {page}");
}

#[tokio::test]
async fn wrong_tokens_that_are_typed_hold_up_signing_in_and_nothing_else() {
    let once = Rate { burst: 1, ..THREE };
    let bench = Bench::start(Limits { failures: [once, PLENTY], ..Limits::default() }).await;
    let sign_in = |token| bench.ask(Method::POST, "/sign-in").form(&[("token", token)]).send();
    assert_eq!(sign_in("wrong").await.unwrap().status(), 401);
    let refused = sign_in(TOKEN).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()[CONTENT_TYPE]), (429, &HTML));
    assert_eq!(status_from(&bench, ME, &format!("POST {ROLLBACK}"), TOKEN).await, 200);
}

/// Oncall who presses a button gets a page, with all that protects one.
#[tokio::test]
async fn what_is_refused_of_the_page_is_a_page() {
    let limits = Limits { reads: [THREE, PLENTY], writes: [THREE, PLENTY], ..Limits::default() };
    let bench = Bench::start(Limits { request_within: Duration::from_millis(200), ..limits }).await;
    for (method, path) in [(Method::GET, "/"), (Method::POST, "/guards/terminal/pause")] {
        for _ in 0..3 {
            assert_ne!(bench.ask(method.clone(), path).send().await.unwrap().status(), 429);
        }
        let answer = bench.ask(method, path).send().await.unwrap();
        assert_eq!(answer.status(), 429, "{path}");
        let headers = answer.headers().clone();
        assert_eq!((&headers[CONTENT_TYPE], &headers[CACHE_CONTROL]), (&HTML, &"no-store".parse().unwrap()));
        assert!(headers.contains_key("content-security-policy") && headers.contains_key("x-content-type-options"));
        assert!(headers[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() > 900);
        let page = answer.text().await.unwrap();
        assert!(page.contains("this address asks too often. Try again in"), "{page}");
    }
    // The API's are problems as before.
    let problem = bench.get("/api/v1/status").send().await.unwrap();
    assert_eq!(
        (problem.status().as_u16(), &problem.headers()[CONTENT_TYPE]),
        (429, &problem::MEDIA_TYPE.parse().unwrap())
    );

    let mut slow = bench.connect(ANOTHER).await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    send(&mut slow, &format!("POST /guards/terminal/ack HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: 9\r\n\r\nf"))
        .await;
    let answer = tokio::time::timeout(Duration::from_secs(30), read_to_end(&mut slow)).await.expect("it is closed");
    for part in ["HTTP/1.1 408", "text/html", "content-security-policy", "connection: close", "Look at the status"] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

#[tokio::test]
async fn who_sends_his_head_byte_by_byte_is_hung_up_on() {
    let head_within = Duration::from_millis(200);
    let bench = Bench::start(Limits { head_within, ..Limits::default() }).await;
    let mut slow = bench.connect(ME).await;
    let mut idle = bench.connect(ME).await;
    send(&mut slow, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    send(&mut idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Each byte comes in time, and all of them never do.
    let dripping = async {
        loop {
            send(&mut slow, "x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut byte = [0];
            if matches!(slow.try_read(&mut byte), Ok(0)) || slow.try_write(b"x").is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), dripping).await.expect("it is closed");
    let kept = tokio::time::timeout(Duration::from_secs(30), read_to_end(&mut idle)).await.expect("it is closed too");
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let request_within = Duration::from_millis(200);
    let bench = Bench::start(Limits { request_within, ..Limits::default() }).await;
    let mut stream = bench.connect(ME).await;
    let head =
        format!("POST {ROLLBACK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{");
    send(&mut stream, &head).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), read_to_end(&mut stream)).await.expect("it is closed");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_head_has_room_for_so_much() {
    let bench = Bench::start(Limits::default()).await;
    let (fits, too_large) = ("x".repeat(30_000), "x".repeat(100_000));
    assert_eq!(bench.get("/healthz").header("X-Much", fits).send().await.unwrap().status(), 200);
    assert_eq!(bench.get("/healthz").header("X-Much", too_large).send().await.unwrap().status(), 431);
}

/// Who has most loses the oldest; everybody else keeps what they have, and a new one is always let in.
#[tokio::test]
async fn nobody_can_take_all_connections() {
    let bench = Bench::start(Limits { connections: 10, ..Limits::default() }).await;
    let mut probe = bench.connect(ANOTHER).await;
    let ask = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    send(&mut probe, ask).await;
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut probe, &mut answer).await.unwrap();
    let mut greedy = Vec::new();
    for _ in 0..40 {
        let mut stream = bench.connect(ME).await;
        send(&mut stream, "GET /healthz HTTP/1.1\r\nX-Slow: ").await;
        greedy.push(stream);
    }
    // A new one gets in, and the old one of the other client is still there.
    assert_eq!(status_from(&bench, Ipv4Addr::new(127, 0, 0, 3), "GET /metrics", "").await, 200);
    send(&mut probe, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(read_to_end(&mut probe).await.contains("HTTP/1.1 200"));
    let first = tokio::time::timeout(Duration::from_secs(30), read_to_end(&mut greedy[0])).await;
    assert_eq!(first.as_deref(), Ok(""), "the oldest of the greedy one is closed");
}

#[tokio::test]
async fn no_connection_lasts_for_ever() {
    let connection_ends_after = Duration::from_millis(200);
    let bench = Bench::start(Limits { connection_ends_after, ..Limits::default() }).await;
    let mut stream = bench.connect(ME).await;
    send(&mut stream, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = tokio::time::timeout(Duration::from_secs(30), read_to_end(&mut stream)).await.expect("it is closed");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bench.ask(Method::GET, "/healthz").send().await.unwrap().status(), 200, "another one is welcome");
}
