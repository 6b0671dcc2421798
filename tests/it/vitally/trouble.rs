//! Wrong answers from Vitally or from another server at its address: a clear error, and a retry where that is safe.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use accoil_relay::accounts::HttpError;
use accoil_relay::accounts::vitally::{Changes, Listing, NewAccount, Pages, VitallyError};

use super::canned::{CannedServer, Reply, TOKEN, reply};

const ACCOUNT: &str =
    r#"{"id":"v1","externalId":"e1","usersCount":"12","mrr":"100.50","traits":{"a.b":"1"}}"#;
const HTML: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>\u{1b}[31m sk_live_hush</body></html>";

fn new() -> NewAccount {
    NewAccount { external_id: "e1".into(), name: "n".into(), ..NewAccount::default() }
}

async fn get(answers: impl IntoIterator<Item = Reply>) -> Result<(), VitallyError> {
    CannedServer::start(answers).await.client().get("e1").await.map(|_| ())
}

#[tokio::test]
async fn each_error_says_what_to_do_and_never_shows_the_secret() {
    let mut errors = String::new();
    for (status, body, is_system_failure) in [
        (400, r#"{"error":"limit must be a number"}"#, false),
        (401, r#"{"error":"Authorization header not present."}"#, true),
        (403, r#"{"message":"no access with c2tfbGl2ZV9odXNoOg=="}"#, true),
        (401, HTML, true),
        (404, r#"{"error":{"message":"Not found","code":7}}"#, false),
        (404, HTML, true),
        (409, r#"{"message":"exists"}"#, false),
        (413, "", false),
        (302, "", false),
        (200, HTML, true),
        (200, "[]", false),
        (200, r#"{"error":"sorry"}"#, false),
        (200, "", true),
    ] {
        let error = get([reply(status, body)]).await.unwrap_err();
        assert_eq!(error.is_refused_secret(), status == 401, "{error:?}");
        assert_eq!(error.is_system_failure(), is_system_failure, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        writeln!(errors, "{error}").unwrap();
    }
    insta::assert_snapshot!(errors, @"
    Vitally rejected the request (400, limit must be a number): correct it
    Vitally refuses the secret (401, Authorization header not present.): copy the Secret Token or the Basic Auth Header from Vitally under Settings > Integrations > Vitally REST API and set it as vitally.secret; the Analytics API has another token, which does not work here. Check vitally.subdomain or region too
    Vitally refuses the secret (403, no access with (the secret)): copy the Secret Token or the Basic Auth Header from Vitally under Settings > Integrations > Vitally REST API and set it as vitally.secret; the Analytics API has another token, which does not work here. Check vitally.subdomain or region too
    Vitally refuses the secret (401, <!DOCTYPE html> <html><head><title>Sign in</title></head><body> [31m (the secret)</body></html>): copy the Secret Token or the Basic Auth Header from Vitally under Settings > Integrations > Vitally REST API and set it as vitally.secret; the Analytics API has another token, which does not work here. Check vitally.subdomain or region too
    Vitally has no account or organization with this id (404, Not found): give its Vitally id or its externalId
    Vitally's address answered 404, but not with JSON: check the address, and that no proxy answers in its place. The answer begins: <!DOCTYPE html> <html><head><title>Sign in</title></head><body> [31m (the secret)</body></html>
    Vitally rejected the request (409, exists): correct it
    Vitally answered 413, which is not documented: check vitally.subdomain or base_url
    Vitally answered 302, which is not documented: check vitally.subdomain or base_url
    Vitally's address answered 200, but not with JSON: check the address, and that no proxy answers in its place. The answer begins: <!DOCTYPE html> <html><head><title>Sign in</title></head><body> [31m (the secret)</body></html>
    Vitally answered with JSON that is not as documented: it is not an account, an object with an id
    Vitally answered with JSON that is not as documented: it is not an account, an object with an id
    Vitally's address answered 200, but not with JSON: check the address, and that no proxy answers in its place. The answer begins: (empty)
    ");
    assert!(TOKEN.ends_with("hush"));
}

#[tokio::test]
async fn endless_lists_are_stopped() {
    let page =
        |id: u32, next: &str| reply(200, format!(r#"{{"results":[{{"id":"{id}"}}],"next":"{next}"}}"#));
    let empty = || reply(200, r#"{"results":[],"next":"c"}"#);
    for (answers, from, good) in [
        (vec![page(1, "a"), page(2, "a")], None, 1),
        (vec![page(1, "a"), page(2, "b"), page(3, "a")], None, 2),
        (vec![page(1, "f")], Some("f"), 0),
        (vec![page(1, "a"), empty()], None, 1),
        (vec![empty()], None, 0),
    ] {
        let asked = answers.len();
        let vitally = CannedServer::start(answers).await;
        let client = vitally.client();
        let mut pages = Pages::new(&client, Listing { from: from.map(str::to_owned), ..Listing::sweep() });
        for _ in 0..good {
            assert!(pages.next().await.unwrap().is_some());
        }
        let error = pages.next().await.unwrap_err();
        assert!(matches!(error, VitallyError::RepeatedCursor | VitallyError::EmptyPage), "{error:?}");
        assert!(pages.next().await.unwrap().is_none(), "nothing after an error");
        assert_eq!(vitally.asked().len(), asked);
    }
}

#[tokio::test]
async fn numbers_as_text_are_read_and_shown_unchanged() {
    let vitally = CannedServer::start([reply(200, ACCOUNT)]).await;
    let found = vitally.client().get("e1").await.unwrap();
    assert_eq!(found.account.users_count, Some(12.into()));
    assert_eq!(found.account.mrr, Some("100.50".into()));
    assert_eq!(found.body, ACCOUNT);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let large = format!(r#"{{"id":"{}"}}"#, "x".repeat(17 << 20));
    let error = get([reply(200, large)]).await.unwrap_err();
    assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
}

/// A page that is too large is read again from the same place with half as many accounts. One account alone that is
/// too large is an error.
#[tokio::test]
async fn a_page_that_is_too_large_is_read_in_smaller_ones() {
    let large = || reply(200, "x".repeat(17 << 20));
    let page = |next: &str| reply(200, format!(r#"{{"results":[{{"id":"1"}}],"next":{next}}}"#));
    let vitally = CannedServer::start([page(r#""a""#), large(), page(r#""b""#), large(), large()]).await;
    let client = vitally.client();
    let mut pages = Pages::new(&client, Listing { limit: 5, ..Listing::sweep() });
    assert!(pages.next().await.unwrap().is_some());
    assert!(pages.next().await.unwrap().is_some());
    let error = pages.next().await.unwrap_err();
    assert!(matches!(error, VitallyError::Http(HttpError::TooLarge)), "{error:?}");
    let asked = vitally.asked();
    let asked = asked.iter().map(|target| target.split_once("limit=").unwrap().1);
    assert_eq!(asked.collect::<Vec<_>>(), ["5", "5&from=a", "2&from=a", "2&from=b", "1&from=b"]);
}

/// The retry waits as long as Vitally asks: by Retry-After, otherwise by RateLimit-Reset, otherwise briefly.
#[tokio::test]
async fn a_429_is_retried() {
    for (headers, least) in [
        (vec![("retry-after", "1"), ("ratelimit-reset", "50")], 1_000),
        (vec![("ratelimit-reset", "1")], 1_000),
        (vec![], 200),
    ] {
        let vitally = CannedServer::start([(429, headers, String::new()), reply(200, ACCOUNT)]).await;
        let start = Instant::now();
        vitally.client().get("e1").await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(least), "{:?}", start.elapsed());
        assert_eq!(vitally.asked().len(), 2);
    }
}

/// GET, PUT and DELETE may be carried out twice. A POST that was refused with 429 was not carried out.
#[tokio::test]
async fn temporary_failures_are_retried() {
    let busy = || reply(503, "");
    let vitally = CannedServer::start([busy(), reply(200, ACCOUNT), busy(), reply(200, ACCOUNT)]).await;
    let client = vitally.client();
    client.get("e1").await.unwrap();
    client.update("e1", &Changes { name: Some("n".into()), ..Changes::default() }).await.unwrap();
    // If the answer to a DELETE is lost, a later 404 means that it succeeded.
    let vitally = CannedServer::start([busy(), reply(404, "{}")]).await;
    vitally.client().delete("e1").await.unwrap();
    assert_eq!(vitally.asked(), ["DELETE /resources/accounts/e1"; 2]);
    let vitally = CannedServer::start([reply(404, "{}"), reply(429, ""), reply(200, ACCOUNT)]).await;
    vitally.client().create(&new()).await.unwrap();
    assert_eq!(vitally.asked().len(), 3);
}

/// After a create with an unknown outcome, the client looks for the account before it creates it again.
#[tokio::test]
async fn a_create_is_never_repeated_without_a_look() {
    let (none, found) = (|| reply(404, "{}"), || reply(200, ACCOUNT));
    let (look, post) = ("GET /resources/accounts/e1", "POST /resources/accounts");
    for (name, answers, asked, is_created) in [
        ("carried out", vec![none(), reply(500, ""), found()], vec![look, post, look], true),
        (
            "not carried out",
            vec![none(), reply(502, ""), none(), found()],
            vec![look, post, look, post],
            true,
        ),
        (
            "carried out late",
            vec![none(), reply(500, ""), none(), reply(409, "{}"), found()],
            vec![look, post, look, post, look],
            true,
        ),
        ("there before", vec![found()], vec![look], false),
        ("there meanwhile", vec![none(), reply(400, "{}"), found()], vec![look, post, look], false),
        ("a bad request", vec![none(), reply(400, "{}"), none()], vec![look, post, look], false),
        ("refused", vec![none(), reply(401, "{}")], vec![look, post], false),
        ("a page for people", vec![none(), reply(200, HTML)], vec![look, post], false),
    ] {
        let vitally = CannedServer::start(answers).await;
        let created = vitally.client().create(&new()).await;
        assert_eq!(created.is_ok(), is_created, "{name}: {created:?}");
        assert_eq!(vitally.asked(), asked, "{name}");
        let is_conflict = matches!(created, Err(VitallyError::Conflict));
        assert_eq!(is_conflict, name.starts_with("there"), "{name}: {created:?}");
    }
}
