//! Where senders put their write key, and what the answer to a wrong one is.

use std::fmt::Write as _;

use super::{AMPLITUDE, EVENT, ROUTES, SEGMENT, TRACK, shown};
use crate::http::Answer;
use crate::relay::TestRelay;

const BASIC: (&str, &str) = ("authorization", "Basic d2ViLWtleTo=");
const AMPLITUDE_BASIC: (&str, &str) = ("authorization", "Basic cHJvZHVjdC1rZXk6");

type Headers<'a> = &'a [(&'a str, &'a str)];

fn with_member(body: &str, name: &str, value: &str) -> String {
    format!("{{\"{name}\":\"{value}\",{}", &body[1..])
}

#[tokio::test]
async fn a_key_is_found_wherever_its_sender_puts_it() {
    let relay = TestRelay::usual().await;
    let in_body = |name: &str| with_member(TRACK, name, "web-key");
    let upload = format!(r#"{{"events":[{EVENT}],"api_key":"product-key"}}"#);
    let cases: [(&str, Headers<'_>, String); 16] = [
        ("/segment", &[BASIC], TRACK.to_owned()),
        ("/segment", &[("authorization", "basic d2ViLWtleQ==")], TRACK.to_owned()),
        ("/segment", &[("authorization", "Basic d2ViLWtleTpwYXNzd29yZA==")], TRACK.to_owned()),
        ("/segment", &[("authorization", "Bearer web-key")], TRACK.to_owned()),
        ("/segment", &[("X-API-Key", "web-key")], TRACK.to_owned()),
        ("/v1/track", &[], in_body("writeKey")),
        ("/v1/track", &[], in_body("api_key")),
        ("/v1/t", &[("authorization", "Bearer oauth-token")], in_body("writeKey")),
        ("/v1/batch", &[], format!(r#"{{"batch":[{TRACK}],"writeKey":"web-key"}}"#)),
        ("/amplitude", &[AMPLITUDE_BASIC], EVENT.to_owned()),
        ("/amplitude", &[("authorization", "Bearer product-key")], EVENT.to_owned()),
        ("/amplitude", &[AMPLITUDE], EVENT.to_owned()),
        ("/amplitude", &[], with_member(EVENT, "api_key", "product-key")),
        ("/2/httpapi", &[], upload.clone()),
        ("/batch", &[], upload.clone()),
        ("/batch", &[AMPLITUDE_BASIC], upload.replace("product-key", "another")),
    ];
    let count = cases.len() as u64;
    for (path, headers, body) in cases {
        let answer = relay.post(path, headers, body).await;
        assert_eq!((answer.status.as_u16(), accepted(&answer)), (200, 1), "{path} {headers:?}: {answer:?}");
    }
    for call in relay.calls(count).await {
        let body = call.body.to_string();
        assert!(!body.contains("-key"), "the sender's key goes no further: {body}");
        assert_eq!(call.authorization.as_deref(), Some("Basic accoil-key"));
    }
    relay.stop().await;
}

fn accepted(answer: &Answer) -> i64 {
    answer.json()["accepted"].as_i64().unwrap()
}

/// No key, an unknown key, and the key of a source of the other kind: the relay accepts and keeps nothing. Amplitude's senders get
/// their own key back, by which their SDKs recognise the refusal.
#[tokio::test]
async fn a_wrong_key_is_refused_on_every_route() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (path, own, body) in ROUTES {
        let other = if own == SEGMENT { AMPLITUDE } else { SEGMENT };
        let refused = shown(&relay.post(path, &[], body).await);
        let keys = [
            (other, other.1),
            (("authorization", "Basic ???"), ""),
            (("authorization", "Bearer web-key2"), "web-key2"),
        ];
        for (header, key) in keys {
            let expected = match refused.split_once("Invalid API key: ") {
                Some((start, _)) if !key.is_empty() => {
                    format!("{start}Invalid API key: {key}\",\"reason\":\"door.key\"}}")
                }
                _ => refused.clone(),
            };
            assert_eq!(shown(&relay.post(path, &[header], body).await), expected, "{path} {header:?}");
        }
        assert!(!refused.contains("web-key") && !refused.contains("product-key"));
        let (status, body) = refused.split_once(' ').unwrap();
        if !text.contains(body) {
            writeln!(text, "{body}").unwrap();
        }
        writeln!(text, "  {status} {path}").unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    {"code":"door.key","error":"no source of this kind has this write key; check the key, and that it is sent as Basic user name, Bearer token, x-api-key header or in the body","success":false}
      401 /segment
      401 /v1/identify
      401 /v1/track
      401 /v1/page
      401 /v1/screen
      401 /v1/group
      401 /v1/alias
      401 /v1/batch
    {"code":401,"error":"Invalid API key: no source of this kind has this write key; check the key, and that it is sent as Basic user name, Bearer token, x-api-key header or in the body","reason":"door.key"}
      401 /amplitude
    {"code":400,"error":"Invalid API key: no source of this kind has this write key; check the key, and that it is sent as Basic user name, Bearer token, x-api-key header or in the body","reason":"door.key"}
      400 /2/httpapi
      400 /batch
      400 /identify
      400 /groupidentify
    "#);
    assert!(relay.rejects().await.is_empty());
    assert_eq!(relay.sandbox.total(), 0);
    relay.stop().await;
}

/// On loopback a source may have no key. Then any key belongs to it, and a request without one too; but a source with that very
/// key comes first.
#[tokio::test]
async fn a_source_without_a_key_takes_any() {
    let open = "[[sources]]\nname = 'open'\nkind = 'segment'\n\
                [[sources]]\nname = 'keyed'\nkind = 'segment'\nwrite_key = 'web-key'\n\
                [[destinations]]\nname = 'accoil'\napi_key = 'k'\nbase_url = '${SANDBOX}'\n";
    let relay = TestRelay::start(open).await;
    let nameless = r#"{"type":"track","userId":"u1"}"#;
    for headers in [&[][..], &[("x-api-key", "whatever")], &[SEGMENT]] {
        assert_eq!(
            relay.post("/v1/batch", headers, format!(r#"{{"batch":[{nameless}]}}"#)).await.status,
            200
        );
    }
    let sources: Vec<_> = relay.rejects().await.into_iter().map(|reject| reject.source).collect();
    assert_eq!(sources, ["keyed", "open", "open"]);
    relay.stop().await;
}
