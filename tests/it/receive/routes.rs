//! Every public route: its answer, and the calls that arrive.

use std::fmt::Write as _;

use http::Method;

use super::{AMPLITUDE, ROUTES, SEGMENT, exchange, shown};
use crate::http::send;
use crate::relay::TestRelay;

/// Also with a trailing slash: the calls of that post are the same, so only its answer is compared.
#[tokio::test]
async fn every_route_answers_its_sender_and_makes_its_calls() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (path, key, body) in ROUTES {
        let content_type =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let headers = [key, ("content-type", content_type)];
        let count = u64::from(path != "/v1/alias");
        let answered = exchange(&relay, path, &headers, body, count).await;
        writeln!(text, "{path}: {answered}").unwrap();
        let slashed = relay.post(&format!("{path}/"), &headers, body).await;
        assert_eq!(answered.lines().next().unwrap(), shown(&slashed), "{path}/");
    }
    insta::assert_snapshot!(text, @r#"
    /segment: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}
    /v1/identify: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/identify {"userId":"u1","traits":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /v1/track: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05.000Z"}
    /v1/page: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"Viewed Home Page","timestamp":"2026-01-02T03:04:05.000Z"}
    /v1/screen: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"Viewed Home Screen","timestamp":"2026-01-02T03:04:05.000Z"}
    /v1/group: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/group {"groupId":"g1","userId":"u1","traits":{"name":"Acme"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /v1/alias: 200 {"accepted":0,"duplicates":0,"rejected":0,"skipped":1,"skips":[{"code":"skip.alias","index":0,"reason":"Accoil has no alias call"}],"success":true}
    /v1/batch: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05.000Z"}
    /amplitude: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":67,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05.000Z"}
    /2/httpapi: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":80,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05.000Z"}
    /batch: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":80,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05.000Z"}
    /identify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":129,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/identify {"userId":"u1","traits":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /groupidentify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":170,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/group {"groupId":"g2","traits":{"name":"Acme","group_type":"Account"},"timestamp":"2026-01-02T03:04:05.000Z"}
    "#);
    relay.stop().await;
}

#[tokio::test]
async fn the_browser_s_letters_and_import_are_the_same_calls() {
    let relay = TestRelay::usual().await;
    let body = r#"{"userId":"u1","groupId":"g","event":"e","name":"n","timestamp":"2026-01-02T03:04:05Z"}"#;
    let batch = format!(r#"{{"batch":[{{"type":"track",{}]}}"#, &body[1..]);
    let mut paths = Vec::new();
    for (letter, body, count) in [
        ("i", body, 1),
        ("t", body, 1),
        ("p", body, 1),
        ("s", body, 1),
        ("g", body, 1),
        ("a", body, 0),
        ("b", &batch, 1),
        ("import", &batch, 1),
    ] {
        let answered = exchange(&relay, &format!("/v1/{letter}"), &[SEGMENT], body.to_owned(), count).await;
        paths.push(answered.replace('\n', ""));
    }
    insta::assert_snapshot!(paths.join("\n"), @r#"
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/identify {"userId":"u1","traits":{},"timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/track {"userId":"u1","event":"e","timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/track {"userId":"u1","event":"Viewed n Page","timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/track {"userId":"u1","event":"Viewed n Screen","timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/group {"groupId":"g","userId":"u1","traits":{},"timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":0,"duplicates":0,"rejected":0,"skipped":1,"skips":[{"code":"skip.alias","index":0,"reason":"Accoil has no alias call"}],"success":true}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/track {"userId":"u1","event":"e","timestamp":"2026-01-02T03:04:05.000Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}  -> /v2/track {"userId":"u1","event":"e","timestamp":"2026-01-02T03:04:05.000Z"}
    "#);
    relay.stop().await;
}

/// The kinds of webhook bodies: one event, an array, wrapped events, and an empty object.
#[tokio::test]
async fn webhooks_post_one_event_or_many() {
    let relay = TestRelay::usual().await;
    let track = |user: &str| {
        format!(r#"{{"type":"track","userId":"{user}","event":"E","timestamp":"2026-01-02T03:04:05Z"}}"#)
    };
    let mut text = String::new();
    for (body, count) in [
        ("{}".to_owned(), 0),
        (" [ ] ".to_owned(), 0),
        (format!("[{},{}]", track("a"), track("a")), 2),
        (format!(r#"{{"json":{}}}"#, track("b")), 1),
        (format!(r#"[{{"json":{}}},{}]"#, track("c"), track("c")), 2),
    ] {
        writeln!(text, "{}", exchange(&relay, "/segment", &[SEGMENT], body, count).await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    200 {"accepted":0,"duplicates":0,"rejected":0,"skipped":0,"success":true}
    200 {"accepted":0,"duplicates":0,"rejected":0,"skipped":0,"success":true}
    200 {"accepted":2,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"a","event":"E","timestamp":"2026-01-02T03:04:05Z"}
      -> /v2/track {"userId":"a","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"b","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":2,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"c","event":"E","timestamp":"2026-01-02T03:04:05Z"}
      -> /v2/track {"userId":"c","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    "#);
    relay.stop().await;
}

/// A webhook whose events can never be delivered gets the reasons. If one event can be delivered, the answer is 200.
#[tokio::test]
async fn a_webhook_gets_the_reasons_if_nothing_can_be_delivered() {
    let relay = TestRelay::usual().await;
    let nameless = r#"{"type":"track","userId":"u1","timestamp":"2026-01-02T03:04:05Z"}"#;
    let good = r#"{"type":"track","userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05Z"}"#;
    let mut text = String::new();
    for (body, count) in [
        (nameless.to_owned(), 0),
        (r#"{"type":"identify","anonymousId":"a"}"#.to_owned(), 0),
        (format!("[{nameless},{good}]"), 1),
    ] {
        writeln!(text, "{}", exchange(&relay, "/segment", &[SEGMENT], body, count).await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    400 {"accepted":0,"code":"rejected","duplicates":0,"error":"Track Calls: event is required and must be a string, but `$.event` is missing, null, empty or blank in this event","reasons":[{"code":"reject.missing","field":"event","index":0,"mapping":"Track Calls","reason":"is required and must be a string, but `$.event` is missing, null, empty or blank in this event"}],"rejected":1,"skipped":0,"success":false}
    400 {"accepted":0,"code":"rejected","duplicates":0,"error":"Identify Calls: userId is required and must be a string, but `$.userId` is missing, null, empty or blank in this event","reasons":[{"code":"reject.missing","field":"userId","index":0,"mapping":"Identify Calls","reason":"is required and must be a string, but `$.userId` is missing, null, empty or blank in this event"}],"rejected":1,"skipped":0,"success":false}
    200 {"accepted":1,"duplicates":0,"reasons":[{"code":"reject.missing","field":"event","index":0,"mapping":"Track Calls","reason":"is required and must be a string, but `$.event` is missing, null, empty or blank in this event"}],"rejected":1,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    "#);
    let rejects = relay.rejects().await;
    let kept: Vec<_> = rejects.iter().map(|reject| String::from_utf8_lossy(&reject.original)).collect();
    assert_eq!(kept, [nameless, r#"{"type":"identify","anonymousId":"a"}"#, nameless]);
    relay.stop().await;
}

/// `/identify` and `/groupidentify` as a form, as a query and as JSON, text or object.
#[tokio::test]
async fn identifications_come_in_every_form() {
    let relay = TestRelay::usual().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let json = ("content-type", "application/json");
    let query = "?api_key=product-key&identification=%7B%22user_id%22%3A%22u2%22%2C%22time%22%3A1767323045000%2C%22user_properties%22%3A%7B%22%24set%22%3A%7B%22role%22%3A%22admin%22%7D%7D%7D";
    let group = "api_key=product-key&identification=%5B%7B%22group_type%22%3A%22Account%22%2C%22group_value%22%3A%22g%2B1%22%2C%22time%22%3A1767323045000%2C%22group_properties%22%3A%7B%22name%22%3A%22A+%26+B%22%7D%7D%5D";
    let mut text = String::new();
    for (path, headers, body, count) in [
        (format!("/identify{query}"), &[form][..], "", 1),
        ("/groupidentify".to_owned(), &[form], group, 1),
        (
            "/identify".to_owned(),
            &[json],
            r#"{"api_key":"product-key","identification":{"user_id":"u3","time":1767323045000,"user_properties":{"name":"Ada"}}}"#,
            1,
        ),
        (
            "/identify".to_owned(),
            &[],
            r#"{"api_key":"product-key","identification":"[{\"user_id\":\"u4\",\"time\":1767323045000,\"user_properties\":{\"name\":\"Ada\"}}]"}"#,
            1,
        ),
        ("/identify".to_owned(), &[form, AMPLITUDE], "", 0),
        ("/identify".to_owned(), &[form, AMPLITUDE], "identification=%7B", 0),
        ("/identify".to_owned(), &[form], "identification=%7B%7D", 0),
    ] {
        let (name, _) = path.split_once('?').unwrap_or((&path, ""));
        let answered = exchange(&relay, &path, headers, body, count).await;
        writeln!(text, "{name}: {answered}").unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    /identify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":0,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/identify {"userId":"u2","traits":{"role":"admin"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /groupidentify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":202,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/group {"groupId":"g+1","traits":{"name":"A & B","group_type":"Account"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /identify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":113,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/identify {"userId":"u3","traits":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /identify: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":129,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/identify {"userId":"u4","traits":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05.000Z"}
    /identify: 400 {"code":400,"error":"field identification is missing; send it as a form field, URL-encoded","reason":"door.field"}
    /identify: 400 {"code":400,"error":"the body is not valid JSON: EOF while parsing an object at line 1, column 1; send one complete JSON document","reason":"unreadable"}
    /identify: 400 {"code":400,"error":"Invalid API key: no source of this kind has this write key; check the key, and that it is sent as Basic user name, Bearer token, x-api-key header or in the body","reason":"door.key"}
    "#);
    relay.stop().await;
}

#[tokio::test]
async fn health_unknown_routes_and_wrong_methods() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::POST, "/healthz"),
        (Method::GET, "/segment"),
        (Method::PUT, "/v1/track"),
        (Method::DELETE, "/2/httpapi"),
        (Method::POST, "/"),
        (Method::GET, "/v2/track"),
        (Method::POST, "/v1/trak"),
        (Method::POST, "/v1/"),
        (Method::POST, "/segment//"),
    ] {
        let answer = send(method.clone(), &relay.url(path), &[SEGMENT], "{}").await;
        writeln!(text, "{method} {path}: {}", shown(&answer)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    GET /healthz: 200 {"status":"ok"}
    GET /readyz: 200 {"status":"ready"}
    POST /healthz: 405 allow: GET,HEAD {"code":405,"error":"this route needs another method; send events by POST","reason":"door.method","success":false}
    GET /segment: 405 allow: POST {"code":405,"error":"this route needs another method; send events by POST","reason":"door.method","success":false}
    PUT /v1/track: 405 allow: POST {"code":405,"error":"this route needs another method; send events by POST","reason":"door.method","success":false}
    DELETE /2/httpapi: 405 allow: POST {"code":405,"error":"this route needs another method; send events by POST","reason":"door.method","success":false}
    POST /: 400 {"code":400,"error":"Invalid API key: web-key","reason":"door.key"}
    GET /v2/track: 404 {"code":404,"error":"there is no such route; events are accepted at POST /segment, /v1/{identify,track,page,screen,group,alias,batch,import}, /amplitude, /2/httpapi, /batch, /identify and /groupidentify","reason":"door.route","success":false}
    POST /v1/trak: 404 {"code":404,"error":"there is no such route; events are accepted at POST /segment, /v1/{identify,track,page,screen,group,alias,batch,import}, /amplitude, /2/httpapi, /batch, /identify and /groupidentify","reason":"door.route","success":false}
    POST /v1/: 404 {"code":404,"error":"there is no such route; events are accepted at POST /segment, /v1/{identify,track,page,screen,group,alias,batch,import}, /amplitude, /2/httpapi, /batch, /identify and /groupidentify","reason":"door.route","success":false}
    POST /segment//: 200 {"accepted":0,"duplicates":0,"rejected":0,"skipped":0,"success":true}
    "#);
    let json = ("content-type", "application/json");
    let answer = relay.post("/", &[SEGMENT, json], "{}").await;
    assert_eq!(answer.status, 404, "only forms are taken at the root: {answer:?}");
    relay.stop().await;
}
