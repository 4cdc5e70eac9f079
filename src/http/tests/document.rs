//! The OpenAPI document against the server.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::ALLOW;
use serde_json::{Value, json};

use super::{Bench, TOKEN};
use crate::http::api;
use crate::http::limits::Limits;

/// What a path of the document may have besides methods.
const NO_METHODS: [&str; 1] = ["parameters"];

async fn document(bench: &Bench) -> Value {
    bench.get("/api/v1/openapi.json").send().await.unwrap().json().await.unwrap()
}

/// The schema at a place of the document, which brings the whole document for its references.
fn validator(document: &Value, pointer: &str) -> jsonschema::Validator {
    assert!(document.pointer(pointer).is_some(), "{pointer}");
    let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
    let schema =
        json!({"$ref": format!("#{fragment}"), "components": document["components"], "paths": document["paths"]});
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

#[tokio::test]
async fn it_has_every_route_of_the_server_and_no_other() {
    let bench = Bench::start(Limits::default()).await;
    let mut written = BTreeSet::new();
    for (path, item) in document(&bench).await["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| !NO_METHODS.contains(&key.as_str())) {
            written.insert((path.clone(), method.to_uppercase()));
        }
    }
    let mut served = BTreeSet::new();
    for (path, _) in api::routes() {
        // No route takes this, so the server says what it takes.
        let answer = bench.ask(Method::TRACE, path).send().await.unwrap();
        let allowed = answer.headers()[ALLOW].to_str().unwrap().to_owned();
        served.extend(allowed.split(',').filter(|m| *m != "HEAD").map(|method| (path.to_owned(), method.to_owned())));
    }
    assert_eq!(written, served);
}

#[tokio::test]
async fn every_schema_is_one_and_every_example_is_what_it_says() {
    let bench = Bench::start(Limits::default()).await;
    let document = document(&bench).await;
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!(crate::VERSION)));
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        validator(&document, &format!("/components/schemas/{name}"));
    }
    let mut examples = 0;
    let mut check = |place: String, media: &Value| {
        let validator = validator(&document, &format!("{place}/schema"));
        let named = media["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in named.chain(media.get("example")) {
            examples += 1;
            let wrong: Vec<String> = validator.iter_errors(example).map(|e| e.to_string()).collect();
            assert!(wrong.is_empty(), "{place}: {wrong:?}");
        }
    };
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        for (kind, media) in response["content"].as_object().unwrap() {
            check(format!("/components/responses/{name}/content/{}", escaped(kind)), media);
            // A problem's example has the status that its answer has.
            for (_, path) in document["paths"].as_object().unwrap() {
                for (_, operation) in path.as_object().unwrap() {
                    for (status, used) in operation["responses"].as_object().into_iter().flatten() {
                        if used["$ref"] == format!("#/components/responses/{name}") && status != "200" {
                            assert_eq!(media["example"]["status"].to_string(), *status, "{name}");
                        }
                    }
                }
            }
        }
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (kind, media) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let at = format!("/paths/{}/{method}/requestBody/content/{}", escaped(path), escaped(kind));
                check(at, media);
            }
        }
    }
    assert!(examples > 15, "only {examples} examples were found");
}

#[tokio::test]
async fn people_can_read_of_each_problem_and_each_path() {
    let bench = Bench::start(Limits::default()).await;
    let document = document(&bench).await;
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let page = std::fs::read_to_string(page).expect("docs/api.md");
    for kind in document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap() {
        assert!(page.contains(&format!("`{}`", kind.as_str().unwrap())), "docs/api.md says nothing of {kind}");
    }
    for (path, _) in api::routes() {
        let last = path.rsplit('/').next().unwrap().replace("{guard}", "GUARD").replace("{id}", "ID");
        assert!(page.contains(&format!("/{last}`")), "docs/api.md says nothing of {path}");
    }
}

/// The requests that the document gives as examples are carried out.
#[tokio::test]
async fn every_example_of_a_request_is_taken() {
    let bench = Bench::start(Limits::default()).await;
    let document = document(&bench).await;
    let answered = validator(&document, "/components/schemas/Answer");
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let media = &item["post"]["requestBody"]["content"]["application/json"];
        let named = media["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in named.chain(media.get("example")) {
            let answer = bench.post(&path.replace("{guard}", "terminal"), example).send().await.unwrap();
            let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
            assert_eq!(status, 200, "{path} {example}: {body}");
            assert!(answered.is_valid(&body) && body["done"] == true, "{path}: {body}");
            sent += 1;
        }
    }
    assert!(sent > 8, "only {sent} were sent");
}

#[tokio::test]
async fn what_the_server_answers_is_what_it_says() {
    let bench = Bench::start(Limits::default()).await;
    let mut document = document(&bench).await;
    close(&mut document["components"]["schemas"]);
    let path = |text: &str| text.replace("{guard}", "resources");
    let mut checked = 0;
    for (pattern, item) in document["paths"].as_object().unwrap().clone() {
        let Some(get) = item.get("get").filter(|_| !pattern.contains("{id}")) else { continue };
        assert!(get["responses"]["429"].is_object(), "{pattern}: everything may be asked too often");
        let answer: Value = bench.get(&path(&pattern)).send().await.unwrap().json().await.unwrap();
        let place = format!("/paths/{}/get/responses/200/content/application~1json/schema", escaped(&pattern));
        let wrong: Vec<String> =
            validator(&document, &place).iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{pattern}: {wrong:?}");
        checked += 1;
    }
    assert_eq!(checked, 4);
    let problem = validator(&document, "/components/schemas/Problem");
    for (method, path) in [(Method::GET, "/api/v1/incidents?x=y"), (Method::POST, "/api/v1/guards/nobody/ack")] {
        let answer: Value = bench.ask(method, path).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
        assert!(problem.is_valid(&answer), "{path}: {answer}");
    }
}

/// Clients must take fields that come later; a test must not: then one that is not written down would not be seen.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(|p| p.is_object()) && map.get("type").is_some_and(|t| t == "object") {
                map.entry("additionalProperties").or_insert(json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
