//! The exact requests to Vitally (`docs/vitally.md#accounts`).

use accoil_relay::accounts::vitally::{
    Changes, Client, Listing, NewAccount, Pages, Sort, Status, VitallyError,
};
use accoil_relay::proxies::Proxies;
use serde_json::{Map, Value, json};

use super::canned::{CannedServer, TOKEN, reply};

const ACCOUNT: &str =
    r#"{"id":"v1","externalId":"e1","name":"Big Corp","zz":1.5,"traits":{"hspot.city":"Bern"}}"#;
const LAST: &str = r#"{"results":[],"next":null}"#;

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn list_accounts_by_status_limit_from_and_sort_by() {
    let vitally = CannedServer::start((0..4).map(|_| reply(200, LAST))).await;
    let client = vitally.client();
    for (status, sort, limit, from) in [
        (Status::Active, Sort::UpdatedAt, 10, Some("c29tZWJhc2U2NA==")),
        (Status::Churned, Sort::CreatedAt, 1, None),
        (Status::ActiveOrChurned, Sort::UpdatedAt, 100, Some("a+b/c &status=x")),
    ] {
        let from = from.map(str::to_owned);
        client.list(&Listing { status, sort, limit, from, organization: None }).await.unwrap();
    }
    client.list(&Listing::sweep()).await.unwrap();
    assert_eq!(
        vitally.asked(),
        [
            "GET /resources/accounts?status=active&sortBy=updatedAt&limit=10&from=c29tZWJhc2U2NA%3D%3D",
            "GET /resources/accounts?status=churned&sortBy=createdAt&limit=1",
            "GET /resources/accounts?status=activeOrChurned&sortBy=updatedAt&limit=100&from=a%2Bb%2Fc+%26status%3Dx",
            "GET /resources/accounts?status=activeOrChurned&sortBy=createdAt&limit=100",
        ]
    );
}

#[tokio::test]
async fn list_accounts_of_an_organization() {
    let vitally = CannedServer::start([reply(200, LAST)]).await;
    let listing = Listing {
        organization: Some("org/1".to_owned()),
        limit: 10,
        from: Some("cursor".to_owned()),
        ..Listing::sweep()
    };
    vitally.client().list(&listing).await.unwrap();
    let path = "GET /resources/organizations/org%2F1/accounts?sortBy=createdAt&limit=10&from=cursor";
    assert_eq!(vitally.asked(), [path]);
}

#[tokio::test]
async fn all_pages_follow_next_with_the_same_parameters() {
    let page =
        |id: u32, next: &str| reply(200, format!(r#"{{"results":[{{"id":"{id}"}},7],"next":{next}}}"#));
    let vitally = CannedServer::start([page(1, r#""a=""#), page(2, r#""b""#), page(3, "null")]).await;
    let client = vitally.client();
    let mut pages = Pages::new(&client, Listing { status: Status::Churned, ..Listing::sweep() });
    let (mut ids, mut unreadable) = (Vec::new(), 0);
    while let Some(page) = pages.next().await.unwrap() {
        ids.extend(page.accounts.into_iter().filter_map(|listed| listed.account.id));
        unreadable += page.unreadable;
    }
    assert_eq!((ids.join(","), unreadable), ("1,2,3".to_owned(), 3));
    assert!(pages.next().await.unwrap().is_none());
    let query = "GET /resources/accounts?status=churned&sortBy=createdAt&limit=100";
    assert_eq!(vitally.asked(), [query, &format!("{query}&from=a%3D"), &format!("{query}&from=b")]);
}

#[tokio::test]
async fn get_an_account_by_either_id_and_its_health_scores() {
    let scores = "{\n \"overall\": 7.5, \"b\": [ ], \"a\": null }";
    let vitally = CannedServer::start([reply(200, ACCOUNT), reply(200, ACCOUNT), reply(200, scores)]).await;
    let client = vitally.client();
    let found = client.get("b7e1f3a0-1111-4222-8333-444455556666").await.unwrap();
    assert_eq!(found.body, ACCOUNT, "as it was sent, with unknown fields and in order");
    assert_eq!(found.account.traits.get("hspot.city"), Some(&json!("Bern")), "keys are flat text");
    client.get("ext/1 🏢").await.unwrap();
    assert_eq!(client.health("100%").await.unwrap(), r#"{"overall":7.5,"b":[],"a":null}"#);
    assert_eq!(
        vitally.asked(),
        [
            "GET /resources/accounts/b7e1f3a0-1111-4222-8333-444455556666",
            "GET /resources/accounts/ext%2F1%20%F0%9F%8F%A2",
            "GET /resources/accounts/100%25/healthScores",
        ]
    );
}

#[tokio::test]
async fn create_an_account_with_every_member_of_the_body() {
    let none = || reply(404, r#"{"error":"no"}"#);
    let vitally = CannedServer::start([none(), reply(200, ACCOUNT), none(), reply(201, ACCOUNT)]).await;
    let client = vitally.client();
    let least =
        NewAccount { external_id: "account-101".into(), name: "Big Corp".into(), ..NewAccount::default() };
    assert_eq!(client.create(&least).await.unwrap().account.id.as_deref(), Some("v1"));
    assert_eq!(vitally.body(), json!({"externalId": "account-101", "name": "Big Corp"}));
    let traits = map(json!({"paymentMethod": "subscription", "hspot.city": "Bern"}));
    let all = NewAccount { organization_id: Some("o1".into()), traits, ..least };
    client.create(&all).await.unwrap();
    let body = json!({"externalId": "account-101", "name": "Big Corp", "organizationId": "o1",
        "traits": {"paymentMethod": "subscription", "hspot.city": "Bern"}});
    assert_eq!(vitally.body(), body);
    let (look, post) = ("GET /resources/accounts/account-101", "POST /resources/accounts");
    assert_eq!(vitally.asked(), [look, post, look, post]);
}

#[tokio::test]
async fn update_sends_only_what_changes_and_null_where_something_goes() {
    let vitally = CannedServer::start((0..5).map(|_| reply(200, ACCOUNT))).await;
    let client = vitally.client();
    let traits = map(json!({"existingTrait": "new value", "newTrait": 100, "gone": null, "a.b": true}));
    for (changes, body) in [
        (Changes { name: Some("New Name".into()), ..Changes::default() }, json!({"name": "New Name"})),
        (Changes { traits: traits.clone(), ..Changes::default() }, json!({"traits": traits})),
        (
            Changes { organization: Some(Some("o1".into())), ..Changes::default() },
            json!({"organizationId": "o1"}),
        ),
        (Changes { organization: Some(None), ..Changes::default() }, json!({"organizationId": null})),
        (Changes { no_owner: Some(()), ..Changes::default() }, json!({"accountOwnerId": null})),
    ] {
        client.update("e/1", &changes).await.unwrap();
        assert_eq!(vitally.body(), body);
    }
    assert_eq!(vitally.asked(), ["PUT /resources/accounts/e%2F1"; 5]);
}

/// The answer to a write is not documented: if it is not an account, the client reads the account.
#[tokio::test]
async fn a_write_that_answers_without_the_account_is_followed_by_a_read() {
    for silent in [reply(204, ""), reply(200, r#"{"success":true}"#)] {
        let vitally = CannedServer::start([silent, reply(200, ACCOUNT)]).await;
        let changes = Changes { name: Some("n".into()), ..Changes::default() };
        assert_eq!(vitally.client().update("e1", &changes).await.unwrap().body, ACCOUNT);
        assert_eq!(vitally.asked(), ["PUT /resources/accounts/e1", "GET /resources/accounts/e1"]);
    }
}

#[tokio::test]
async fn delete_an_account_with_any_2xx() {
    let vitally = CannedServer::start([reply(200, r#"{"id":"v1"}"#), reply(204, ""), reply(404, "{}")]).await;
    let client = vitally.client();
    client.delete("e1").await.unwrap();
    client.delete("e 2").await.unwrap();
    assert!(client.delete("e3").await.unwrap_err().is_not_found());
    let delete = |id: &str| format!("DELETE /resources/accounts/{id}");
    assert_eq!(vitally.asked(), [delete("e1"), delete("e%202"), delete("e3")]);
}

#[tokio::test]
async fn both_forms_of_the_secret_are_sent_as_one() {
    let vitally = CannedServer::start([reply(200, ACCOUNT), reply(200, ACCOUNT)]).await;
    // The base64 of `sk_live_hush:`.
    let header = "Basic c2tfbGl2ZV9odXNoOg==";
    for secret in [TOKEN, header] {
        Client::new(&vitally.url, &secret.into(), &Proxies::default()).unwrap().get("e1").await.unwrap();
    }
    assert_eq!(vitally.authorizations(), [header; 2]);
}

#[tokio::test]
async fn an_id_that_no_path_can_contain_is_refused_before_any_call() {
    let vitally = CannedServer::start([]).await;
    let client = vitally.client();
    for id in ["", ".", "..", &"x".repeat(70_000)] {
        assert!(matches!(client.get(id).await, Err(VitallyError::BadId(_))), "{id}");
        assert!(matches!(client.delete(id).await, Err(VitallyError::BadId(_))), "{id}");
        assert!(matches!(client.update(id, &Changes::default()).await, Err(VitallyError::BadId(_))), "{id}");
        let new = NewAccount { external_id: id.to_owned(), name: "n".into(), ..NewAccount::default() };
        assert!(matches!(client.create(&new).await, Err(VitallyError::BadId(_))), "{id}");
    }
    let listing = Listing { from: Some("x".repeat(70_000)), ..Listing::sweep() };
    assert!(matches!(client.list(&listing).await, Err(VitallyError::Http(_))));
    assert_eq!(vitally.asked(), [""; 0]);
}
