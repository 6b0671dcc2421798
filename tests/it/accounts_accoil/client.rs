//! The client against the sandbox: every lookup, the whole account, and every answer that is not an account.

use std::time::Duration;

use accoil_relay::accounts::HttpError;
use accoil_relay::accounts::accoil::{Client, GetError, Query};
use accoil_relay::proxies::Proxies;
use accoil_relay::sandbox::Fault;
use secrecy::SecretString;
use serde_json::json;

use super::{TOKEN, answered, answering, by, by_id, client, served};

/// `workspace_id`, `id`, `match_type` and `match_value` with every common value and with custom traits.
#[tokio::test]
async fn every_documented_lookup_finds_the_account() {
    let sandbox = served().await;
    let client = client(&sandbox.url);
    for query in [
        by_id("456"),
        by("domain", "techcorp.com"),
        by("name", "TechCorp Solutions"),
        by("intercom_id", "intercom-7001"),
        by("salesforce_id", "0015g00000AcC01"),
        by("tracking_id", "ext-12345"),
        by("employees", "198"),
        Query { workspace_id: Some("99".to_owned()), ..by_id("456") },
    ] {
        let found = client.get(&query).await.unwrap_or_else(|error| panic!("{query:?}: {error}"));
        assert_eq!(found.account.id.as_deref(), Some("456"), "{query:?}");
        let workspace = query.workspace_id.as_deref().unwrap_or("13");
        let link = found.account.links.unwrap()["self"]["href"].to_string();
        assert!(link.contains(&format!("workspace_id={workspace}")), "{query:?}: {link}");
    }
    assert!(matches!(client.get(&Query::default()).await, Err(GetError::MissingLookup)));
    assert_eq!(sandbox.sandbox.accounts().reads(), 8, "without a lookup no call is made");
}

/// The proxies of the configuration's environment are used, whatever the process's own environment names.
#[tokio::test]
async fn a_named_proxy_is_used() {
    let sandbox = served().await;
    // As a proxy the sandbox gets the whole URL, of which it reads the path.
    let proxy = sandbox.url.as_str();
    let proxies = Proxies::read(|name| (name == "HTTP_PROXY").then_some(proxy));
    let client = Client::new("http://accoil.invalid", &SecretString::from(TOKEN), "13", &proxies).unwrap();
    assert_eq!(client.get(&by_id("456")).await.unwrap().account.id.as_deref(), Some("456"));
    let wrong = Proxies::read(|name| (name == "HTTP_PROXY").then_some("ftp://proxy"));
    let wrong = Client::new("http://accoil.invalid", &SecretString::from(TOKEN), "13", &wrong);
    assert!(wrong.is_err_and(|error| error.to_string().contains("HTTP_PROXY")));
}

/// Every documented field with its type. The body is what was sent, on one line.
#[tokio::test]
async fn an_account_is_read_completely_and_its_body_is_unchanged() {
    let sandbox = served().await;
    let found = client(&sandbox.url).get(&by_id("456")).await.unwrap();
    insta::assert_snapshot!(found.body, @r#"{"id":"456","name":"TechCorp Solutions","domain":"techcorp.com","tracking_id":"ext-12345","metrics":{"engagement_score":75.5,"raw_score":2150,"owner_name":"Sarah Johnson","first_seen":"2023-01-15","last_seen":"2025-09-21","active_users":12,"activation_rate":0.85,"overall_scored_events":4520,"recently_scored_events":380,"scoring_profile_events":95,"total_people_count":18,"total_active_people_count":12},"_expansions":{"available":["traits","segments","insights"],"documentation":"Use expand=option1,option2 to include additional data","unknown_parameters":[],"error":null},"_links":{"self":{"href":"/v1/accounts?id=456&workspace_id=13"}}}"#);
    insta::assert_debug_snapshot!(found.account.metrics, @r#"
    Metrics {
        engagement_score: Some(
            Number(75.5),
        ),
        raw_score: Some(
            Number(2150),
        ),
        owner_name: Some(
            "Sarah Johnson",
        ),
        first_seen: Some(
            "2023-01-15",
        ),
        last_seen: Some(
            "2025-09-21",
        ),
        active_users: Some(
            Number(12),
        ),
        activation_rate: Some(
            Number(0.85),
        ),
        overall_scored_events: Some(
            Number(4520),
        ),
        recently_scored_events: Some(
            Number(380),
        ),
        scoring_profile_events: Some(
            Number(95),
        ),
        total_people_count: Some(
            Number(18),
        ),
        total_active_people_count: Some(
            Number(12),
        ),
        other: {},
    }
    "#);
    assert_eq!(found.account.domain.as_deref(), Some("techcorp.com"));
    assert_eq!(found.account.tracking_id.as_deref(), Some("ext-12345"));
    assert!(found.account.other.is_empty(), "{:?}", found.account.other);
    let expansions = found.account.expansions.unwrap();
    assert_eq!(expansions.available, ["traits", "segments", "insights"]);
    assert!(expansions.other.is_empty(), "{expansions:?}");

    let odd = r#"{ "zeta": 1.0, "id": 9007199254740993,
        "id": "7", "metrics": null, "Alpha": [ { "b": 1, "a": null } ] }"#;
    let found = answered(&sandbox, 200, odd).await.unwrap();
    assert_eq!(found.body, r#"{"zeta":1,"id":"7","metrics":null,"Alpha":[{"b":1,"a":null}]}"#);
    assert_eq!(found.account.other["Alpha"], json!([{"a": null, "b": 1}]));
    assert_eq!(
        found.with_age(Duration::from_millis(61_900)),
        r#"{"zeta":1,"id":"7","metrics":null,"Alpha":[{"b":1,"a":null}],"age":61}"#
    );
}

/// `expand` with each block, each pair and all. Blocks that were not asked for are missing.
#[tokio::test]
async fn expand_adds_the_named_blocks() {
    let sandbox = served().await;
    let client = client(&sandbox.url);
    for text in [
        "",
        "insights",
        "traits",
        "segments",
        "insights,traits",
        "segments,insights",
        "insights,traits,segments",
    ] {
        let query = Query { expand: text.parse().unwrap(), ..by_id("456") };
        let account = client.get(&query).await.unwrap().account;
        for (name, block) in
            [("insights", &account.insights), ("traits", &account.traits), ("segments", &account.segments)]
        {
            assert_eq!(block.is_some(), text.contains(name), "{name} in {text:?}");
        }
        assert!(account.expansions.unwrap().unknown_parameters.is_empty(), "{text}");
    }
}

/// The documented error bodies and a 429, each with what to do.
#[tokio::test]
async fn every_documented_error_has_a_type_and_says_what_to_do() {
    let sandbox = served().await;
    let missing = r#"{"error":{"message":"At least one lookup parameter is required","status":"bad_request",
        "code":"missing_lookup_parameter","details":{"available_parameters":["id","match_type/match_value pairs"]}}}"#;
    let bad_request = answered(&sandbox, 400, missing).await.unwrap_err();
    let GetError::BadRequest(refusal) = &bad_request else { panic!("{bad_request:?}") };
    assert_eq!(refusal.code, "missing_lookup_parameter");
    assert_eq!(refusal.message, "At least one lookup parameter is required");
    assert_eq!(refusal.details.as_ref().unwrap()["available_parameters"][0], "id");
    insta::assert_snapshot!(bad_request, @r#"Accoil rejected the request (400, missing_lookup_parameter, At least one lookup parameter is required, {"available_parameters":["id","match_type/match_value pairs"]}): check workspace_id, match_type and expand"#);

    let ingestion_key = SecretString::from("stg_the-key-events-are-sent-with");
    let wrong = Client::new(&sandbox.url, &ingestion_key, "13", &Proxies::default()).unwrap();
    let unauthorized = wrong.get(&by_id("456")).await.unwrap_err();
    assert!(
        matches!(&unauthorized, GetError::Unauthorized { refusal, .. } if refusal.code == "unauthorized")
    );
    insta::assert_snapshot!(unauthorized, @"Accoil refuses the API token, unauthorized, Invalid or expired token: make one in Accoil under Settings > Product Settings > API Token and set it as accounts.token; it begins with accoil_ and is not the key that events are sent with");

    let not_found = client(&sandbox.url).get(&by("domain", "nobody.example")).await.unwrap_err();
    assert!(not_found.is_not_found() && !unauthorized.is_not_found());
    assert!(unauthorized.is_refused_token() && unauthorized.is_system_failure());
    assert!(!not_found.is_system_failure() && !bad_request.is_system_failure());
    insta::assert_snapshot!(not_found, @"Accoil has no such account (404, not_found, Resource not found): check the value, which must be exact, and the workspace_id");

    for (body, after) in
        [("slow down", Some("7")), ("{}", None), (r#"{"error":{"code":"rate_limited"}}"#, Some("0"))]
    {
        let fault = Fault { retry_after: after.map(str::to_owned), ..answering(429, body) };
        sandbox.sandbox.faults().add(fault).unwrap();
        let limited = client(&sandbox.url).get(&by_id("456")).await.unwrap_err();
        let GetError::RateLimited { retry_after, .. } = &limited else { panic!("{limited:?}") };
        assert!(limited.is_system_failure());
        assert_eq!(retry_after.map(|after| after.as_secs().to_string()).as_deref(), after);
    }
    // A client that may wait does so, as long as Accoil asks.
    let fault = Fault { retry_after: Some("0".to_owned()), ..answering(429, "") };
    sandbox.sandbox.faults().add(fault).unwrap();
    let patient = Client::new(&sandbox.url, &SecretString::from(TOKEN), "13", &Proxies::default()).unwrap();
    assert!(patient.get(&by_id("456")).await.is_ok());
}

/// An answer that is not Accoil's never counts as an account or as a missing account.
#[tokio::test]
async fn answers_of_other_servers_are_recognised() {
    let sandbox = served().await;
    let html = "<html>\r\n<h1>\u{1b}[31mBad gateway</h1>";
    for (status, body, expected, is_system_failure) in [
        (200, html, "NotJson", true),
        (404, html, "NotJson", true),
        (502, html, "NotJson", true),
        (200, "", "NotJson", true),
        (200, r#"{"id":"456""#, "NotJson", true),
        (302, "", "NotJson", true),
        (200, "[]", "Unexpected", false),
        (200, "null", "Unexpected", false),
        (200, r#""456""#, "Unexpected", false),
        (200, "{}", "Unexpected", false),
        (200, r#"{"status":"ok"}"#, "Unexpected", false),
        (200, r#"{"id":"456","error":{"code":"late","message":"not yet"}}"#, "Unexpected", false),
        (404, r#"{"message":"no such route"}"#, "Unexpected", false),
        (404, r#"{"error":"Not Found"}"#, "Unexpected", false),
        (500, r#"{"error":{"code":"internal","message":"boom"}}"#, "Unexpected", true),
        (500, r#"{"id":"456"}"#, "Unexpected", true),
        (400, r#"{"message":"no"}"#, "BadRequest", false),
        (403, html, "Unauthorized", true),
        (403, r#"{"error":{"code":"forbidden"}}"#, "Unauthorized", true),
    ] {
        let error = answered(&sandbox, status, body).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{status} {body}: {error:?}");
        assert_eq!(error.is_system_failure(), is_system_failure, "{status} {body}");
        assert!(!error.is_not_found() && !error.is_refused_token(), "{status} {body}");
        assert!(!error.to_string().contains(char::is_control), "{status} {body}: {error}");
    }
    insta::assert_snapshot!(answered(&sandbox, 404, html).await.unwrap_err(), @"Accoil's address answered 404, but not with JSON (expected value at line 1, column 1): check accounts.base_url, and that no proxy answers in its place. The answer began: <html> <h1> [31mBad gateway</h1>");
    insta::assert_snapshot!(answered(&sandbox, 500, r#"{"error":{"code":"internal","message":"boom"}}"#).await.unwrap_err(), @"Accoil answered 500 with an error, internal, boom: check accounts.base_url, or try again later");

    for body in [
        format!("you sent {TOKEN}"),
        json!({"error": {"code": TOKEN, "message": TOKEN, "details": TOKEN}}).to_string(),
    ] {
        let error = answered(&sandbox, 401, &body).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("7531"), "{error:?}");
    }
    assert!(!format!("{:?}", client(&sandbox.url)).contains("7531"));
}

#[tokio::test]
async fn a_large_account_is_read_and_one_too_large_is_not() {
    let sandbox = served().await;
    let insights = |bytes: usize| json!({"id": "1", "metrics": {}, "insights": "a b\n".repeat(bytes / 4)});
    let query = Query { expand: "insights".parse().unwrap(), ..by_id("1") };
    assert!(sandbox.sandbox.accounts().set(insights(2 << 20)));
    let found = client(&sandbox.url).get(&query).await.unwrap();
    assert_eq!(found.account.insights.unwrap().as_str().unwrap().len(), 2 << 20);
    assert!(sandbox.sandbox.accounts().set(insights(17 << 20)));
    let error = client(&sandbox.url).get(&query).await.unwrap_err();
    assert!(matches!(error, GetError::Http(HttpError::TooLarge)), "{error:?}");
    assert!(!error.is_system_failure(), "it is this account");
    let nobody = client("http://127.0.0.1:1").get(&query).await.unwrap_err();
    assert!(
        matches!(nobody, GetError::Http(HttpError::Connect(_))) && nobody.is_system_failure(),
        "{nobody:?}"
    );
}

/// Odd ids arrive unchanged as the id, as the value of a match, and in a trait's name.
#[tokio::test]
async fn odd_ids_arrive_unchanged() {
    let sandbox = served().await;
    let client = client(&sandbox.url);
    for id in [
        "a/b",
        "100%",
        "%2F",
        "two words",
        " led and trailed ",
        "a+b",
        "a&id=456",
        "a=b#c?d",
        "é🏢",
        "..",
        "\"'\\\n",
    ] {
        let traits = json!({"odd &%/ näme": id});
        assert!(sandbox.sandbox.accounts().set(json!({"id": id, "tracking_id": id, "traits": traits})));
        for query in [by_id(id), by("tracking_id", id), by("odd &%/ näme", id)] {
            let found = client.get(&query).await.unwrap_or_else(|error| panic!("{query:?}: {error}"));
            assert_eq!(found.account.tracking_id.as_deref(), Some(id), "{query:?}");
        }
        assert!(sandbox.sandbox.accounts().remove(id));
    }
}
