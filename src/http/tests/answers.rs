//! What is answered, and how problems look.

use reqwest::Method;
use reqwest::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{Bench, TOKEN};
use crate::engine::Command;
use crate::http::Refusal;
use crate::http::limits::Limits;

const ROLLBACK: &str = "/api/v1/guards/terminal/rollback";

/// Sends a request, and gives the problem that it is answered with.
async fn problem(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json", "{status}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    (status, problem)
}

#[tokio::test]
async fn every_way_to_be_wrong_is_a_problem_of_its_own() {
    let bench = Bench::start_with(Limits::default(), |command| match command {
        Command::Rearm => Err(Refusal::Ignored("watching already".to_owned())),
        Command::Resume => Err(Refusal::NotLeading { leader: Some("ripcord-1_c0ffee".to_owned()) }),
        Command::Acknowledge => Err(Refusal::NotLeading { leader: None }),
        _ => Ok(None),
    })
    .await;
    let raw = |kind: &str, body: &'static str| {
        bench.ask(Method::POST, ROLLBACK).bearer_auth(TOKEN).header(CONTENT_TYPE, kind).body(body)
    };
    let too_large = bench.ask(Method::POST, ROLLBACK).bearer_auth(TOKEN).body(vec![b' '; 1024 * 1024 + 1]);
    let post = |path: &str, body: Value| bench.post(path, &body);
    let table = [
        (bench.get("/api/v2"), 404, "about:blank", "/api/v1/openapi.json lists all"),
        (bench.get("/api/v1/incidents/nothing"), 404, "/problems/no-such-incident", "\"nothing\""),
        (bench.get("/api/v1/guards/nobody"), 404, "/problems/no-such-guard", "\"nobody\""),
        (bench.get("/api/v1/incidents?guard=nobody"), 404, "/problems/no-such-guard", "\"nobody\""),
        (bench.get("/api/v1/guards/%ff"), 400, "/problems/bad-request", "UTF-8"),
        (bench.get("/api/v1/incidents?state=ajar"), 400, "/problems/bad-request", "ajar"),
        (bench.get("/api/v1/incidents?limit=0"), 400, "/problems/bad-request", "limit goes from 1 to 1000"),
        (bench.get("/api/v1/incidents?limit=1001"), 400, "/problems/bad-request", "limit goes from 1 to 1000"),
        (bench.get("/api/v1/incidents?limit=-1"), 400, "/problems/bad-request", "limit"),
        (bench.get("/api/v1/incidents?color=red"), 400, "/problems/bad-request", "color"),
        (bench.ask(Method::DELETE, "/api/v1/status"), 405, "about:blank", "Allow"),
        (bench.get(ROLLBACK), 405, "about:blank", "Allow"),
        (bench.ask(Method::POST, ROLLBACK), 401, "/problems/unauthorized", "token"),
        (bench.ask(Method::POST, ROLLBACK).bearer_auth("open"), 401, "/problems/unauthorized", "token"),
        (bench.ask(Method::POST, ROLLBACK).header(AUTHORIZATION, "Basic x"), 401, "/problems/unauthorized", "token"),
        (post("/api/v1/guards/terminal/explode", json!({})), 404, "about:blank", "there is nothing of this name"),
        (post("/api/v1/guards/nobody/rearm", json!({})), 404, "/problems/no-such-guard", "\"nobody\""),
        (post(ROLLBACK, json!({})), 400, "/problems/bad-request", "needs a reason"),
        (post(ROLLBACK, json!({"reason": "x", "force": true})), 400, "/problems/bad-request", "force"),
        (post(ROLLBACK, json!({"reason": "x", "percentage": 10.5})), 400, "/problems/bad-request", "whole number"),
        (post(ROLLBACK, json!({"reason": "x", "percentage": -1})), 400, "/problems/bad-request", "whole number"),
        (raw("application/json", "{"), 400, "/problems/bad-request", "the body is no request"),
        (raw("text/xml", "<a/>"), 415, "about:blank", "text/xml"),
        (too_large, 413, "about:blank", "length limit"),
        (post("/api/v1/guards/terminal/rearm", json!({})), 409, "/problems/not-possible-now", "watching already"),
        (post("/api/v1/guards/terminal/resume", json!({})), 503, "/problems/not-leading", "ripcord-1_c0ffee leads"),
        (post("/api/v1/guards/terminal/ack", json!({})), 503, "/problems/not-leading", "knows of none"),
    ];
    for (n, (request, status, kind, says)) in table.into_iter().enumerate() {
        let (found, problem) = problem(request).await;
        assert_eq!((found, &problem["type"]), (status, &json!(kind)), "row {n}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(says)), "row {n}: {problem}");
        assert!(problem["title"].as_str().is_some_and(|t| !t.is_empty()), "row {n}: {problem}");
    }
}

#[tokio::test]
async fn problems_come_with_what_a_client_goes_by() {
    let bench = Bench::start_with(Limits::default(), |command| match command {
        Command::Rearm => Err(Refusal::Ignored("a rollback is under way".to_owned())),
        _ => Err(Refusal::NotLeading { leader: Some("ripcord-1_c0ffee".to_owned()) }),
    })
    .await;
    let sent = async |request: reqwest::RequestBuilder| request.send().await.unwrap();
    assert_eq!(sent(bench.ask(Method::PUT, "/api/v1/incidents")).await.headers()[ALLOW], "GET,HEAD");
    assert_eq!(sent(bench.ask(Method::POST, ROLLBACK)).await.headers()[WWW_AUTHENTICATE], "Bearer");
    let standby = sent(bench.post("/api/v1/guards/terminal/resume", &json!({}))).await;
    assert_eq!(standby.headers()[CONNECTION], "close");
    assert_eq!(standby.json::<Value>().await.unwrap()["leader"], "ripcord-1_c0ffee");
    // The incident that the guard is at says why.
    let (_, refused) = problem(bench.post("/api/v1/guards/resources/rearm", &json!({}))).await;
    let instance = refused["instance"].as_str().expect("an incident");
    assert_eq!(sent(bench.get(instance)).await.json::<Value>().await.unwrap()["guard"], "resources");
    // What is not of the API is told as before.
    assert_eq!(sent(bench.get("/nowhere")).await.text().await.unwrap(), "");

    bench.snapshot.send_modify(|snapshot| snapshot.token_file = None);
    let (status, read_only) = problem(bench.post(ROLLBACK, &json!({"reason": "x"}))).await;
    assert_eq!((status, &read_only["type"]), (403, &json!("/problems/read-only")));
}

#[tokio::test]
async fn the_token_is_read_for_each_request_and_its_scheme_in_any_case() {
    let bench = Bench::start(Limits::default()).await;
    let status = async |authorization: &str| {
        let request = bench.ask(Method::POST, ROLLBACK).header(AUTHORIZATION, authorization);
        request.body(r#"{"reason": "x"}"#).send().await.unwrap().status().as_u16()
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(status(&format!("{scheme} {TOKEN}")).await, 200);
    }
    for wrong in ["Bearer", "Bearer ", "Bearer open-sesam", "Bearer open-sesamee", "Token open-sesame", TOKEN] {
        assert_eq!(status(wrong).await, 401, "{wrong:?}");
    }
    std::fs::write(&bench.token, "another\n").unwrap();
    assert_eq!((status("Bearer another").await, status("Bearer open-sesame").await), (200, 401));
    std::fs::remove_file(&bench.token).unwrap();
    let (unreadable, said) = problem(bench.post(ROLLBACK, &json!({"reason": "x"}))).await;
    assert_eq!((unreadable, &said["type"]), (503, &json!("/problems/cannot-check-token")));
}

/// In JSON a number has no type: 10.0 is 10.
#[tokio::test]
async fn a_whole_number_is_one_however_it_is_written() {
    let bench = Bench::start_with(Limits::default(), |command| match command {
        Command::Rollback { percentage: Some(10), .. } | Command::UseBaseline { version: 2, .. } => Ok(None),
        other => panic!("{other:?}"),
    })
    .await;
    for (command, body) in [
        ("rollback", r#"{"reason": "x", "percentage": 10}"#),
        ("rollback", r#"{"reason": "x", "percentage": 10.0}"#),
        ("rollback", r#"{"reason": "x", "percentage": 1e1}"#),
        ("baselines", r#"{"trigger": "latency", "version": 2.0}"#),
    ] {
        let path = format!("/api/v1/guards/terminal/{command}");
        let answer = bench.ask(Method::POST, &path).bearer_auth(TOKEN).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{body}");
    }
}

#[tokio::test]
async fn incidents_and_guards_can_be_chosen() {
    let bench = Bench::start(Limits::default()).await;
    let ids = async |query: &str| -> Vec<String> {
        let all: Value = bench.get(&format!("/api/v1/incidents{query}")).send().await.unwrap().json().await.unwrap();
        all.as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids("").await;
    assert_eq!(all.len(), 2);
    assert_eq!(ids("?guard=resources").await.len(), 1);
    assert_eq!(ids("?guard=terminal").await.len(), 0);
    assert_eq!((ids("?state=open").await, ids("?state=closed").await.len()), (all.clone(), 0));
    assert_eq!((ids("?limit=1").await, ids("?limit=9").await), (all[..1].to_vec(), all.clone()));
    assert_eq!(ids("?guard=resources&state=open&limit=1").await.len(), 1);
    let one: Value = bench.get(&format!("/api/v1/incidents/{}", all[1])).send().await.unwrap().json().await.unwrap();
    assert_eq!(one["id"], all[1]);
    let guard: Value = bench.get("/api/v1/guards/resources").send().await.unwrap().json().await.unwrap();
    assert_eq!((&guard["guard"], &guard["state"]), (&json!("resources"), &json!("rolling_back")));
}
