//! `/openapi.json` names every route, docs/http-api.md too, and each route answers as the document says.

use std::collections::BTreeSet;
use std::fs;

use http::Method;
use serde_json::Value;

use super::{get, post, url};
use crate::http::send;
use crate::relay::TestRelay;

/// `GET /api/mappings` of every operation of the document.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, item): (&String, &Value)| {
        let methods: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

#[tokio::test]
async fn the_page_has_every_route_of_the_document_and_no_other() {
    let relay = TestRelay::usual().await;
    let document = get(&relay, "/openapi.json").await.json();
    let page = fs::read_to_string("docs/http-api.md").unwrap();
    let (_, rows) = page.split_once("| operators' route | does |").unwrap();
    let mut described = BTreeSet::new();
    for row in rows.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let mut method = "GET".to_owned();
        for route in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let mut path = route;
            if let Some((name, rest)) = route.split_once(' ') {
                (method, path) = (name.to_owned(), rest);
            }
            described.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(described, operations(&document));
    relay.stop().await;
}

#[tokio::test]
async fn the_document_is_whole() {
    let relay = TestRelay::usual().await;
    let document = get(&relay, "/openapi.json").await.json();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{what} has no summary");
            assert!(ids.insert(operation["operationId"].to_string()), "{what}: its id is another's");
            let is_open = ["/healthz", "/readyz", "/login", "/logout"].contains(&path.as_str());
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().all(|status| status.parse::<u16>().is_ok()), "{what}: {answers:?}");
            let everywhere: &[&str] = if is_open { &["400", "500"] } else { &["400", "401", "403", "500"] };
            assert!(everywhere.iter().all(|status| answers.contains_key(*status)), "{what}: {answers:?}");
            for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
                assert_ne!(answer["description"], "", "{what} {status}");
                assert!(is_open || answer["content"]["application/json"].is_object(), "{what} {status}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let place = if path.contains(&format!("{{{name}}}")) { "path" } else { "query" };
                assert_eq!(parameter["in"], place, "{what}: {name}");
            }
        }
    }
    // Every schema that is named is there.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn every_route_refuses_an_unknown_parameter_and_names_the_nearest() {
    let relay = TestRelay::usual().await;
    let document = get(&relay, "/openapi.json").await.json();
    for operation in operations(&document) {
        let (method, path) = operation.split_once(' ').unwrap();
        if ["/healthz", "/readyz", "/login", "/logout"].contains(&path) {
            continue;
        }
        let path = path.replace("{direction}", "vitally-to-accoil").replace("{name}", "accoil");
        let path = path.replace("{id}", "0000000000000").replace("{key}", "x");
        let url = format!("{}?colour=red", url(&relay, &path));
        let answer = send(method.parse().unwrap(), &url, &[], "{}").await;
        assert_eq!(answer.status, 400, "{operation}: {answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("no parameter \"colour\""), "{operation}: {error}");
    }
    let answer = get(&relay, "/api/waiting?usr=ada").await;
    assert!(answer.text().contains("did you mean user?"), "{}", answer.text());
    let answer = get(&relay, "/api/waitin").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("did you mean /api/waiting?"), "{}", answer.text());
    let answer = send(Method::DELETE, &url(&relay, "/api/waiting"), &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (405, Some("wrong_method")));
    relay.stop().await;
}

#[tokio::test]
async fn a_dry_reload_changes_nothing() {
    let relay = TestRelay::usual().await;
    let answer = post(&relay, "/api/reload?dry_run=true", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["mappings"].as_u64() > Some(5), "{answer:?}");
    let answer = post(&relay, "/api/reload?dry_run=maybe", "").await;
    assert!(answer.text().contains("the value of dry_run cannot be used"), "{answer:?}");
    relay.stop().await;
}
