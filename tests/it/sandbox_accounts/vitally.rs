//! The sandbox's Vitally accounts: each documented route, parameter, attribute and header.

use std::time::Duration;

use accoil_relay::sandbox::Options;
use http::Method;
use serde_json::{Value, json};

use super::{TECHCORP, served};
use crate::http::send;
use crate::sandbox::RunningSandbox;

/// The list: `status` with its default, `limit`, `sortBy`, and the values that are refused.
#[tokio::test]
async fn vitally_lists_by_status() {
    let sandbox = served().await;
    for (query, count) in [
        ("", 10),
        ("?status=active", 10),
        ("?status=churned", 2),
        ("?status=activeOrChurned", 12),
        ("?status=activeOrChurned&limit=100&sortBy=createdAt", 12),
        ("?limit=3", 3),
    ] {
        let page = sandbox.list(query).await;
        let results = page["results"].as_array().unwrap();
        assert_eq!((results.len(), page["next"].is_null()), (count, count != 3), "{query}");
    }
    assert!(sandbox.list("?status=churned").await["results"][0]["churnedAt"].is_string());
    for query in
        ["?limit=0", "?limit=101", "?limit=x", "?status=all", "?sortBy=name", "?from=a", "?from=bm8="]
    {
        let answer = sandbox.vitally(Method::GET, &format!("/accounts{query}"), &Value::Null).await;
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{query}: {answer:?}");
    }
}

/// `limit` and `from`: each account appears once, in descending order of either time, by default of `updatedAt`.
#[tokio::test]
async fn vitally_pages_list_every_account_once() {
    let sandbox = RunningSandbox::start(Options { accounts: 250, ..Options::default() }).await;
    for (sort, attribute) in
        [("", "updatedAt"), ("&sortBy=updatedAt", "updatedAt"), ("&sortBy=createdAt", "createdAt")]
    {
        let (mut times, mut ids, mut from) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = sandbox.list(&format!("?status=activeOrChurned&limit=37{sort}{from}")).await;
            for account in page["results"].as_array().unwrap() {
                times.push(account[attribute].as_str().unwrap().to_owned());
                ids.push(account["id"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else { break };
            let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
            from = format!("&from={next}");
        }
        assert!(times.is_sorted_by(|left, right| left > right), "{sort}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), times.len()), (250, 250), "{sort}");
    }
}

/// `GET /resources/organizations/:organizationId/accounts`, with paging.
#[tokio::test]
async fn vitally_lists_an_organization() {
    let sandbox = served().await;
    let organization = sandbox.account("ext-12345").await["organizationId"].as_str().unwrap().to_owned();
    let path = format!("/organizations/{organization}/accounts");
    let page = sandbox.vitally(Method::GET, &path, &Value::Null).await.json();
    let names: Vec<_> = page["results"].as_array().unwrap().iter().map(|account| &account["name"]).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let first = sandbox.vitally(Method::GET, &format!("{path}?limit=1"), &Value::Null).await.json();
    assert_eq!((&first["results"][0]["name"], first["next"].is_string()), (names[0], true));
    let none = sandbox.vitally(Method::GET, "/organizations/none/accounts", &Value::Null).await;
    assert_eq!(none.text(), r#"{"results":[],"next":null}"#);
}

/// One account by Vitally's id and by `externalId`, percent-encoded, with every documented attribute in order.
#[tokio::test]
async fn vitally_gets_one_account_by_either_id() {
    let sandbox = served().await;
    let answer = sandbox.vitally(Method::GET, "/accounts/ext-12345", &Value::Null).await;
    let attributes = [
        "id",
        "createdAt",
        "updatedAt",
        "externalId",
        "name",
        "traits",
        "organizationId",
        "accountOwnerId",
        "mrr",
        "nextRenewalDate",
        "churnedAt",
        "firstSeenTimestamp",
        "lastSeenTimestamp",
        "lastInboundMessageTimestamp",
        "lastOutboundMessageTimestamp",
        "trialEndDate",
        "usersCount",
        "npsDetractorCount",
        "npsPassiveCount",
        "npsPromoterCount",
        "npsScore",
        "healthScore",
        "csmId",
        "accountExecutiveId",
        "keyRoles",
        "segments",
    ];
    let mut rest = answer.text();
    for name in attributes {
        (_, rest) = rest.split_once(&format!("\"{name}\":")).expect(name);
    }
    assert_eq!(answer.json().as_object().unwrap().len(), attributes.len());
    assert_eq!(sandbox.account(TECHCORP).await, answer.json());

    let odd = json!({"id": "odd", "externalId": "a/b %🙂", "name": "Odd", "mrr": "12"});
    assert!(sandbox.sandbox.vitally().set(odd.clone()));
    assert_eq!(sandbox.account("a%2Fb%20%25%F0%9F%99%82").await, odd);
    let unknown = sandbox.vitally(Method::GET, "/accounts/nobody", &Value::Null).await;
    assert!(unknown.status == 404 && unknown.json()["error"].is_string());
}

#[tokio::test]
async fn vitally_gives_a_health_score() {
    let sandbox = served().await;
    for id in ["ext-12345", TECHCORP] {
        let answer =
            sandbox.vitally(Method::GET, &format!("/accounts/{id}/healthScores"), &Value::Null).await;
        assert_eq!(answer.json(), json!({"healthScore": 7.55}));
    }
    assert_eq!(sandbox.vitally(Method::GET, "/accounts/nobody/healthScores", &Value::Null).await.status, 404);
}

/// POST with `externalId`, `name`, `organizationId` and `traits`; missing values and values of the wrong type.
#[tokio::test]
async fn vitally_creates() {
    let sandbox = served().await;
    let body = json!({
        "externalId": "account-101", "name": "Big Corp", "organizationId": "org-software",
        "traits": {"paymentMethod": "subscription", "mrr": 90, "gone": null},
    });
    let answer = sandbox.vitally(Method::POST, "/accounts", &body).await;
    assert_eq!(answer.status, 200);
    let account = sandbox.account("account-101").await;
    assert_eq!(answer.json(), account);
    assert_eq!((&account["name"], &account["mrr"]), (&json!("Big Corp"), &json!(90)));
    assert_eq!(account["traits"], json!({"paymentMethod": "subscription", "mrr": 90}));
    assert_eq!(account["organizationId"], "2b9e6c14-5a0d-4f7c-b1de-000000000002");
    for body in [
        json!({"name": "No id"}),
        json!({"externalId": "account-102"}),
        json!({"externalId": "", "name": "Empty"}),
        json!({"externalId": "account-102", "name": ""}),
        json!({"externalId": 102, "name": "A number"}),
        json!({"externalId": "account-102", "name": "N", "traits": []}),
        json!({"externalId": "account-102", "name": "N", "organizationId": 1}),
        json!({"externalId": "account-101", "name": "It exists"}),
        json!([]),
    ] {
        let answer = sandbox.vitally(Method::POST, "/accounts", &body).await;
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{body}: {answer:?}");
    }
    assert_eq!(sandbox.sandbox.vitally().writes().len(), 1);
}

/// PUT merges traits, null removes one, `name` and `organizationId` change; attributes that are not editable stay.
#[tokio::test]
async fn vitally_updates() {
    let sandbox = served().await;
    let before = sandbox.account("ext-12345").await;
    let put = async |body: Value| {
        let answer = sandbox.vitally(Method::PUT, "/accounts/ext-12345", &body).await;
        assert_eq!(answer.status, 200, "{body}");
        let account = sandbox.account(TECHCORP).await;
        assert_eq!(answer.json(), account);
        account
    };
    let after =
        put(json!({"traits": {"plan": null, "newTrait": 100, "hspot.city": "Paris", "a": {"b": null}}}))
            .await;
    let traits = json!({"hspot.city": "Paris", "industry": "Software", "mrr": 4200, "newTrait": 100, "a": {"b": null}});
    assert_eq!(after["traits"], traits);
    assert!(after["updatedAt"].as_str() > before["updatedAt"].as_str());
    assert_eq!((&after["name"], &after["mrr"]), (&before["name"], &before["mrr"]));

    let dates =
        json!({"mrr": 7, "churnedAt": "2026-01-01", "nextRenewalDate": null, "trialEndDate": "2026-02-01"});
    let after = put(json!({"traits": dates})).await;
    for (name, value) in dates.as_object().unwrap() {
        assert_eq!(&after[name], value, "{name} is editable via traits");
    }
    let after = put(json!({"name": "New Name", "organizationId": "org-software"})).await;
    assert_eq!(after["name"], "New Name");
    assert_eq!(after["organizationId"], "2b9e6c14-5a0d-4f7c-b1de-000000000002");
    let fixed =
        json!({"id": "x", "externalId": "x", "healthScore": 1, "npsScore": 1, "mrr": 1, "usersCount": 1});
    let after =
        put(json!({"organizationId": null, "healthScore": 1, "id": "x", "externalId": "x", "mrr": 1})).await;
    assert_eq!(after["organizationId"], Value::Null);
    assert!(fixed.as_object().unwrap().iter().all(|(name, value)| after[name] != *value), "{after}");

    for (path, body, status) in [
        ("/accounts/ext-12345", json!({"traits": null}), 400),
        ("/accounts/ext-12345", json!({"name": null}), 400),
        ("/accounts/ext-12345", json!("text"), 400),
        ("/accounts/nobody", json!({"traits": {}}), 404),
    ] {
        assert_eq!(sandbox.vitally(Method::PUT, path, &body).await.status, status, "{path} {body}");
    }
    assert_eq!(sandbox.sandbox.vitally().writes().len(), 4);
}

/// DELETE by either id. Tests and other programs see every write, without the limit's headers.
#[tokio::test]
async fn vitally_deletes_and_writes_are_shown() {
    let sandbox = served().await;
    let trait_change = json!({"traits": {"plan": "x"}});
    sandbox.vitally(Method::PUT, "/accounts/ext-12345", &trait_change).await;
    for id in ["ext-12345", "7c1f0a52-93d4-4e0b-8a57-000000000002"] {
        let answer = sandbox.vitally(Method::DELETE, &format!("/accounts/{id}"), &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    }
    assert_eq!(sandbox.vitally(Method::DELETE, "/accounts/ext-12345", &Value::Null).await.status, 404);
    assert_eq!(sandbox.list("?status=activeOrChurned").await["results"].as_array().unwrap().len(), 10);

    let answer = send(Method::GET, &format!("{}/vitally/writes", sandbox.url), &[], "").await;
    assert_eq!(answer.header("ratelimit-limit"), "");
    let mut shown = answer.json();
    for write in shown.as_array_mut().unwrap() {
        assert!(write["at"].take().is_string());
    }
    let second = "7c1f0a52-93d4-4e0b-8a57-000000000002";
    let expected = json!([
        {"method": "PUT", "id": TECHCORP, "body": trait_change, "at": null},
        {"method": "DELETE", "id": TECHCORP, "body": null, "at": null},
        {"method": "DELETE", "id": second, "body": null, "at": null},
    ]);
    assert_eq!(shown, expected);
}

/// 401 with Vitally's own body if the header is missing, and with other bodies if the value is not a secret token.
#[tokio::test]
async fn vitally_checks_the_authorization() {
    let sandbox = served().await;
    for (authorization, status) in [
        (Some("Basic c2tfbGl2ZV94Og=="), 200),
        (None, 401),
        (Some("Bearer secret_key"), 401),
        (Some("Basic secret_key"), 401),
        // `secret_key` without its colon, `:` alone, `accoil_token:`.
        (Some("Basic c2VjcmV0X2tleQ=="), 401),
        (Some("Basic Og=="), 401),
        (Some("Basic YWNjb2lsX3Rva2VuOg=="), 401),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let answer = send(Method::GET, &format!("{}/resources/accounts", sandbox.url), &headers, "").await;
        assert_eq!(answer.status, status, "{authorization:?}");
        assert!(!answer.header("ratelimit-remaining").is_empty(), "{authorization:?}");
        if authorization.is_none() {
            assert_eq!(answer.text(), r#"{"error":"Authorization header not present."}"#);
        } else if status == 401 {
            assert!(answer.json()["error"].is_string());
        }
    }
}

/// `RateLimit-Limit`, `-Remaining` and `-Reset` on every answer, 429 over the limit, and writes at their own cost.
#[tokio::test]
async fn vitally_limits_the_rate() {
    let usual = served().await.vitally(Method::GET, "/accounts?limit=1", &Value::Null).await;
    let limit = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| usual.header(name));
    assert_eq!(limit, ["1000, 1000;window=60", "999", "60"]);

    let hour = Duration::from_secs(3600);
    let sandbox = RunningSandbox::start(Options {
        vitally_limit: (10, hour),
        vitally_write_cost: 4,
        ..Options::default()
    })
    .await;
    let change = json!({"traits": {"n": 1}});
    for (method, path, status, remaining) in [
        (Method::GET, "/accounts", 200, "9"),
        (Method::PUT, "/accounts/ext-12345", 200, "5"),
        (Method::PUT, "/accounts/nobody", 404, "1"),
        (Method::DELETE, "/accounts/ext-12345", 429, "1"),
        (Method::GET, "/organizations/x/accounts", 200, "0"),
        (Method::GET, "/accounts/ext-12345/healthScores", 429, "0"),
    ] {
        let answer = sandbox.vitally(method, path, &change).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("ratelimit-remaining")),
            (status, remaining),
            "{path}"
        );
        assert_eq!(answer.header("ratelimit-limit"), "10, 10;window=3600");
        assert!((3500..=3600).contains(&answer.header("ratelimit-reset").parse().unwrap()));
        assert!(status != 429 || answer.json()["error"].is_string());
    }
    let vitally = sandbox.sandbox.vitally();
    assert_eq!((vitally.max_units_in_window(), vitally.refused(), vitally.writes().len()), (10, 2, 1));
}
