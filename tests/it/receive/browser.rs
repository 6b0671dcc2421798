//! What browsers need before they post: preflight, exposed headers, the settings document.

use http::Method;

use super::{SEGMENT, TRACK};
use crate::http::{Answer, send};
use crate::relay::TestRelay;

/// The status and every header about origins.
fn cors(answer: &Answer) -> String {
    let mut lines = vec![answer.status.as_u16().to_string()];
    for (name, value) in &answer.headers {
        if name.as_str().starts_with("access-control-") || name == "vary" {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
    }
    lines[1..].sort();
    lines.join("\n")
}

#[tokio::test]
async fn a_preflight_allows_the_authorization_header() {
    let relay = TestRelay::usual().await;
    let headers = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let answer = send(Method::OPTIONS, &relay.url("/v1/t"), &headers, "").await;
    insta::assert_snapshot!(cors(&answer), @r#"
    200
    access-control-allow-headers: authorization,content-type
    access-control-allow-methods: GET,POST,OPTIONS
    access-control-allow-origin: *
    access-control-max-age: 86400
    vary: access-control-request-headers
    "#);
    assert!(answer.body.is_empty());
    for path in
        ["/v1/batch/", "/2/httpapi", "/batch", "/identify", "/segment", "/v1/projects/web-key/settings"]
    {
        assert_eq!(
            cors(&send(Method::OPTIONS, &relay.url(path), &headers, "").await),
            cors(&answer),
            "{path}"
        );
    }
    relay.stop().await;
}

/// This includes refusals: a script that may not read them would retry without end.
#[tokio::test]
async fn answers_may_be_read_by_scripts_retry_after_included() {
    let relay = TestRelay::usual().await;
    let origin = ("origin", "https://app.example.com");
    let taken = relay.post("/v1/t", &[SEGMENT, origin], TRACK).await;
    insta::assert_snapshot!(cors(&taken), @"
    200
    access-control-allow-origin: *
    access-control-expose-headers: retry-after,relay-event
    vary: access-control-request-headers
    ");
    let refused = relay.post("/v1/t", &[origin], TRACK).await;
    insta::assert_snapshot!(cors(&refused), @"
    401
    access-control-allow-origin: *
    access-control-expose-headers: retry-after,relay-event
    vary: access-control-request-headers
    ");
    let unknown = relay.post("/nowhere", &[origin], TRACK).await;
    insta::assert_snapshot!(cors(&unknown), @"
    404
    access-control-allow-origin: *
    access-control-expose-headers: retry-after,relay-event
    vary: access-control-request-headers
    ");
    relay.stop().await;
}

#[tokio::test]
async fn the_settings_document_points_the_sdk_at_the_relay() {
    let relay = TestRelay::usual().await;
    let settings = async |key: &str, headers: &[(&str, &str)]| {
        let answer =
            send(Method::GET, &relay.url(&format!("/v1/projects/{key}/settings")), headers, "").await;
        format!("{} {}", answer.status.as_u16(), answer.json())
    };
    insta::assert_snapshot!(settings("web-key", &[("host", "relay.example.com")]).await, @r#"200 {"integrations":{"Segment.io":{"apiHost":"relay.example.com/v1","apiKey":"web-key","protocol":"http"}},"metrics":{"sampleRate":0}}"#);
    let proxied =
        [("host", "10.0.0.1"), ("x-forwarded-host", "relay.example.com"), ("x-forwarded-proto", "https")];
    insta::assert_snapshot!(settings("web-key", &proxied).await, @r#"200 {"integrations":{"Segment.io":{"apiHost":"relay.example.com/v1","apiKey":"web-key","protocol":"https"}},"metrics":{"sampleRate":0}}"#);
    insta::assert_snapshot!(settings("product-key", &[]).await, @r#"404 {"code":"door.key","error":"no Segment source has this write key; check the key given to the SDK","message":"no Segment source has this write key; check the key given to the SDK","success":false}"#);
    relay.stop().await;
}
