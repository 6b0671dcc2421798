//! The sandbox's accounts: what holds for both APIs, faults, the data set, and the functions that tests call.

mod accoil;
mod vitally;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use accoil_relay::sandbox::{Fault, Options, Sandbox};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Answer, send, try_send};
use crate::relay::command;
use crate::sandbox::RunningSandbox;

const READ_TOKEN: &str = "Bearer accoil_token";
/// The example in Vitally's documents: base64 of `secret_key:` (`docs/vitally.md#the-secret`).
const SECRET: &str = "Basic c2VjcmV0X2tleTo=";
const TECHCORP: &str = "7c1f0a52-93d4-4e0b-8a57-000000000001";

async fn served() -> RunningSandbox {
    RunningSandbox::start(Options::default()).await
}

impl RunningSandbox {
    async fn accoil(&self, query: &str) -> Answer {
        let url = format!("{}/v1/accounts{query}", self.url);
        send(Method::GET, &url, &[("authorization", READ_TOKEN)], "").await
    }

    async fn vitally(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(method, &format!("{}/resources{path}", self.url), &[("authorization", SECRET)], body).await
    }

    async fn list(&self, query: &str) -> Value {
        let answer = self.vitally(Method::GET, &format!("/accounts{query}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }

    async fn account(&self, id: &str) -> Value {
        self.vitally(Method::GET, &format!("/accounts/{id}"), &Value::Null).await.json()
    }
}

/// The rules of `/faults` apply to these routes: status, body, `Retry-After`, count, delay, and the path as sent.
#[tokio::test]
async fn faults_strike_the_account_apis() {
    let sandbox = served().await;
    let add = |fault: Value| {
        let body = fault.to_string();
        let url = format!("{}/faults", sandbox.url);
        async move { assert_eq!(send(Method::POST, &url, &[], body).await.status, 200) }
    };
    add(json!({"path": "/v1/accounts", "status": 429, "retry_after": "7", "body": "{}", "times": 2})).await;
    add(json!({"path": "/resources/accounts/a%2Fb", "status": 503, "body": "<html>"})).await;
    for _ in 0..2 {
        let answer = sandbox.accoil("?workspace_id=13&id=456").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after"), answer.text()), (429, "7", "{}"));
    }
    assert_eq!(sandbox.accoil("?workspace_id=13&id=456").await.status, 200);
    assert_eq!(sandbox.sandbox.accounts().reads(), 1, "a refused request was not processed");
    assert_eq!(sandbox.account("ext-12345").await["externalId"], "ext-12345");
    let change = json!({"traits": {"n": 1}});
    let answer = sandbox.vitally(Method::PUT, "/accounts/a%2Fb", &change).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "<html>"));

    add(json!({"delay_ms": 1, "path": "/resources/accounts/ext-12345"})).await;
    assert_eq!(sandbox.vitally(Method::PUT, "/accounts/ext-12345", &change).await.status, 200);
    assert_eq!(sandbox.sandbox.vitally().writes().len(), 1, "a delay only delays");
    assert!(sandbox.sandbox.faults().list().is_empty());
}

/// A closed connection: without a status nothing changed; with a 2xx status only the answer is lost.
#[tokio::test]
async fn a_lost_answer_is_not_a_lost_write() {
    let sandbox = served().await;
    for (status, writes) in [(None, 0), (Some(500), 0), (Some(200), 1)] {
        let fault = Fault { close: true, status, ..Fault::default() };
        sandbox.sandbox.faults().add(fault).unwrap();
        let url = format!("{}/resources/accounts/ext-12345", sandbox.url);
        let change = json!({"traits": {"n": 1}}).to_string();
        assert!(try_send(Method::PUT, &url, &[("authorization", SECRET)], change).await.is_err());
        assert_eq!(sandbox.sandbox.vitally().writes().len(), writes, "{status:?}");
    }
}

/// The data set: twelve companies by default with the exceptions among them, and more when asked for.
#[test]
fn the_two_sides_have_the_same_companies() {
    for number in [0, 1, 12, 40] {
        let sandbox = || Sandbox::new(Options { accounts: number, ..Options::default() });
        let (accoil, vitally) = (sandbox().accounts().list(), sandbox().vitally().accounts());
        let ids: Vec<&str> = vitally.iter().filter_map(|account| account["externalId"].as_str()).collect();
        let known = accoil.iter().filter(|account| ids.contains(&account["tracking_id"].as_str().unwrap()));
        // Of the first twelve, one has no externalId in Vitally and one is not known to Accoil.
        let exceptions = usize::from(number >= 12);
        let found = (vitally.len(), ids.len(), accoil.len(), known.count());
        assert_eq!(found, (number, number - exceptions, number - exceptions, number - 2 * exceptions));
        assert_eq!(sandbox().vitally().accounts(), vitally, "the same at every start");
    }
}

/// An account that a test stores is sent as it is, and one that it removes is gone.
#[tokio::test]
async fn tests_put_accounts_in_and_take_them_out() {
    let sandbox = served().await;
    let (accoil, vitally) = (sandbox.sandbox.accounts(), sandbox.sandbox.vitally());
    let twin = json!({"id": "twin", "externalId": "ext-12345", "name": 7, "traits": "none"});
    assert!(vitally.set(twin.clone()) && vitally.accounts().contains(&twin));
    assert!(vitally.remove(TECHCORP) && !vitally.remove(TECHCORP));
    assert_eq!(sandbox.account("ext-12345").await, twin);
    sandbox.vitally(Method::PUT, "/accounts/twin", &json!({"traits": {"n": 1}})).await;
    assert_eq!(sandbox.account("twin").await["traits"], json!({"n": 1}));

    let odd = json!({"id": "456", "tracking_id": "new", "metrics": null, "insights": "x".repeat(2_000_000)});
    assert!(accoil.set(odd));
    let answer =
        sandbox.accoil("?workspace_id=1&match_type=tracking_id&match_value=new&expand=insights").await;
    assert_eq!(
        (answer.json()["insights"].as_str().unwrap().len(), &answer.json()["metrics"]),
        (2_000_000, &Value::Null)
    );
    assert_eq!(
        sandbox.accoil("?workspace_id=1&match_type=tracking_id&match_value=ext-12345").await.status,
        404
    );
    assert!(accoil.remove("456") && !accoil.remove("456"));
    assert_eq!(sandbox.accoil("?workspace_id=1&id=456").await.status, 404);
    for nothing in [json!(null), json!({}), json!({"id": 1})] {
        assert!(!accoil.set(nothing.clone()) && !vitally.set(nothing));
    }
}

/// Bodies over the sandbox's limit, unknown methods and paths, and the index.
#[tokio::test]
async fn oversized_bodies_and_unknown_routes_of_the_account_apis() {
    let sandbox = RunningSandbox::start(Options { body_limit: 100, ..Options::default() }).await;
    let large = json!({"traits": {"text": "x".repeat(100)}});
    let answer = sandbox.vitally(Method::PUT, "/accounts/ext-12345", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(sandbox.vitally(Method::PATCH, "/accounts/ext-12345", &Value::Null).await.status, 405);
    assert_eq!(sandbox.vitally(Method::GET, "/users", &Value::Null).await.status, 404);
    let index = send(Method::GET, &format!("{}/", sandbox.url), &[], "").await.json();
    assert!(index["accounts"].to_string().contains("GET /v1/accounts"));
    assert!(index["vitally"].to_string().contains("/resources/accounts"));
    assert_eq!(sandbox.sandbox.total(), 0, "reads do not count as events");
}

/// The flag's number includes the twelve companies that always exist.
#[tokio::test]
async fn the_command_serves_the_number_of_companies_in_its_flag() {
    let mut sandbox = command();
    sandbox.args(["sandbox", "--listen", "127.0.0.1:0", "--accounts", "20"]).stderr(Stdio::piped());
    let mut child = sandbox.spawn().unwrap();
    let mut printed = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let url =
        printed.find_map(|line| Some(line[line.find("http://")?..line.find("/resources/")?].to_owned()));
    let url = format!("{}/resources/accounts?status=activeOrChurned", url.unwrap_or_default());
    let answer = try_send(Method::GET, &url, &[("authorization", SECRET)], "").await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer.unwrap().json()["results"].as_array().unwrap().len(), 20);
}
