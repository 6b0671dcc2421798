//! The client against the sandbox's Vitally: writes are stored, after a lost answer the client looks for the account, and the
//! rate limit is never exceeded.

use std::sync::Arc;
use std::time::Duration;

use accoil_relay::accounts::vitally::{
    Changes, Client, Listing, NewAccount, Pages, Sort, Status, VitallyError,
};
use accoil_relay::proxies::Proxies;
use accoil_relay::sandbox::{Fault, Options};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::sandbox::RunningSandbox;

async fn served(options: Options) -> (RunningSandbox, Client) {
    let served = RunningSandbox::start(options).await;
    let client = Client::new(&served.url, &"sk_live_1".into(), &Proxies::default()).unwrap();
    (served, client)
}

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn new(id: &str) -> NewAccount {
    NewAccount { external_id: id.to_owned(), name: "Big Corp".into(), ..NewAccount::default() }
}

async fn sweep(client: &Client, listing: Listing) -> Vec<String> {
    let (mut pages, mut ids) = (Pages::new(client, listing), Vec::new());
    while let Some(page) = pages.next().await.unwrap() {
        assert_eq!(page.unreadable, 0);
        ids.extend(page.accounts.into_iter().filter_map(|listed| listed.account.id));
    }
    ids
}

#[tokio::test]
async fn every_account_is_listed_once_whatever_the_page_and_the_order() {
    let (served, client) = served(Options { accounts: 250, ..Options::default() }).await;
    let all = served.sandbox.vitally().accounts();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let expected = sorted(all.iter().map(|account| account["id"].as_str().unwrap().to_owned()).collect());
    for (sort, limit) in [(Sort::CreatedAt, 100), (Sort::UpdatedAt, 7)] {
        let listing = Listing { sort, limit, ..Listing::sweep() };
        assert_eq!(sorted(sweep(&client, listing).await), expected);
    }
    let parts = async |status| sweep(&client, Listing { status, ..Listing::sweep() }).await;
    let (active, churned) = (parts(Status::Active).await, parts(Status::Churned).await);
    assert!(!active.is_empty() && !churned.is_empty());
    assert_eq!(sorted([active, churned].concat()), expected);

    let organization = all.iter().find_map(|account| account["organizationId"].as_str()).unwrap();
    let of_it = all.iter().filter(|account| account["organizationId"] == organization).count();
    let listing = Listing { organization: Some(organization.to_owned()), limit: 2, ..Listing::sweep() };
    assert_eq!(sweep(&client, listing).await.len(), of_it);
}

#[tokio::test]
async fn every_attribute_has_a_field_of_its_own() {
    let (_served, client) = served(Options::default()).await;
    let account = client.get("ext-12345").await.unwrap().account;
    assert_eq!(account.name.as_deref(), Some("TechCorp Solutions"));
    assert!(account.other.is_empty(), "{:?}", account.other);
}

#[tokio::test]
async fn an_account_with_an_odd_id_is_created_read_changed_and_deleted() {
    let (served, client) = served(Options::default()).await;
    for id in ["plain", "a/b", "100%", "%2F", "🏢 é", "a?b#c", "..."] {
        let traits = map(json!({"a.b": 1, "gone": "soon"}));
        let made = client.create(&NewAccount { traits, ..new(id) }).await.unwrap().account;
        assert_eq!((made.external_id.as_deref(), made.name.as_deref()), (Some(id), Some("Big Corp")));
        assert!(matches!(client.create(&new(id)).await, Err(VitallyError::Conflict)), "{id}");
        let own = made.id.unwrap();
        assert_eq!(client.get(&own).await.unwrap(), client.get(id).await.unwrap());
        assert_eq!(client.health(id).await.unwrap(), r#"{"healthScore":null}"#);

        let traits = map(json!({"gone": null, "new": [true]}));
        let changes = Changes { name: Some("Small".into()), traits, ..Changes::default() };
        let changed = client.update(id, &changes).await.unwrap().account;
        assert_eq!(changed.traits, map(json!({"a.b": 1, "new": [true]})), "merged, flat, null removes");
        assert_eq!(changed.name.as_deref(), Some("Small"));

        client.delete(id).await.unwrap();
        assert!(client.get(&own).await.unwrap_err().is_not_found(), "{id}");
    }
    let methods: Vec<_> = served.sandbox.vitally().writes().into_iter().map(|write| write.method).collect();
    assert_eq!(methods, ["POST", "PUT", "DELETE"].repeat(7));
}

#[tokio::test]
async fn an_organization_is_joined_and_left() {
    let (served, client) = served(Options::default()).await;
    let all = served.sandbox.vitally().accounts();
    let organization = all.iter().find_map(|account| account["organizationId"].as_str()).unwrap();
    let made =
        client.create(&NewAccount { organization_id: Some(organization.into()), ..new("e1") }).await.unwrap();
    assert_eq!(made.account.organization_id.as_deref(), Some(organization));
    let change = async |organization: Option<&str>| {
        let organization = Some(organization.map(str::to_owned));
        client.update("e1", &Changes { organization, ..Changes::default() }).await.unwrap().account
    };
    assert_eq!(change(None).await.organization_id, None);
    assert_eq!(change(Some(organization)).await.organization_id.as_deref(), Some(organization));
}

#[tokio::test]
async fn an_owner_is_removed() {
    let (served, client) = served(Options::default()).await;
    served
        .sandbox
        .vitally()
        .set(json!({"id": "v1", "externalId": "e1", "accountOwnerId": "u1", "traits": {}}));
    let owner = |body: &str| serde_json::from_str::<Value>(body).unwrap()["accountOwnerId"].clone();
    let renamed = Changes { name: Some("Small".into()), ..Changes::default() };
    assert_eq!(owner(&client.update("e1", &renamed).await.unwrap().body), "u1");
    let removed = Changes { no_owner: Some(()), ..Changes::default() };
    assert_eq!(owner(&client.update("e1", &removed).await.unwrap().body), Value::Null);
}

/// If the write was carried out and only the answer was lost, the account is found and not created twice. If it was
/// not carried out, it is created.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_made_once() {
    let (served, client) = served(Options::default()).await;
    let lose = |path: &str, status| {
        let path = Some(path.to_owned());
        served.sandbox.faults().add(Fault { path, status, close: true, ..Fault::default() }).unwrap();
    };
    for (id, status) in [("carried-out", Some(200)), ("not-carried-out", None)] {
        lose("/resources/accounts", status);
        assert_eq!(client.create(&new(id)).await.unwrap().account.external_id.as_deref(), Some(id));
        lose(&format!("/resources/accounts/{id}"), status);
        let traits = map(json!({"n": 1}));
        let changed = client.update(id, &Changes { traits, ..Changes::default() }).await.unwrap();
        assert_eq!(changed.account.traits.len(), 1);
        lose(&format!("/resources/accounts/{id}"), status);
        client.delete(id).await.unwrap();
    }
    assert!(served.sandbox.faults().list().is_empty());
    let writes = served.sandbox.vitally().writes();
    let count = |method: &str| writes.iter().filter(|write| write.method == method).count();
    assert_eq!((count("POST"), count("DELETE")), (2, 2));
}

#[tokio::test]
async fn a_token_of_accoils_is_refused() {
    let (served, _) = served(Options::default()).await;
    let client = Client::new(&served.url, &"accoil_1".into(), &Proxies::default()).unwrap();
    assert!(client.list(&Listing::sweep()).await.unwrap_err().is_refused_secret());
}

/// Sixty writes at three units each, with sixty units a second: some are refused, and in the end each is made once.
#[tokio::test]
async fn writes_that_cost_more_than_a_call_are_all_made() {
    let limit = (60, Duration::from_secs(1));
    let options = Options { vitally_limit: limit, vitally_write_cost: 3, ..Options::default() };
    let (served, client) = served(options).await;
    served.sandbox.vitally().set(json!({"id": "v1", "externalId": "e1", "traits": {}}));
    let (client, mut tasks) = (Arc::new(client), JoinSet::new());
    for n in 0..60 {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            let traits = map(json!({ format!("t{n}"): n }));
            client.update("e1", &Changes { traits, ..Changes::default() }).await.unwrap();
        });
    }
    tasks.join_all().await;
    let vitally = served.sandbox.vitally();
    assert_eq!(vitally.writes().len(), 60);
    assert_eq!(client.get("e1").await.unwrap().account.traits.len(), 60);
}
