//! `X-Signature` on webhook posts of a source with a shared secret (`docs/segment.md#webhook-signatures`).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::{SEGMENT, TRACK, encoding::gzip, exchange, shown};
use crate::relay::TestRelay;

const SIGNED: &str = r#"
[[sources]]
name = "web"
kind = "segment"
write_key = "web-key"
shared_secret = "abc123"

[[destinations]]
name = "accoil"
api_key = "k"
base_url = "${SANDBOX}"
"#;

fn sign(secret: &str, text: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text).finalize();
    mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn each_scheme_is_taken() {
    let relay = TestRelay::start(SIGNED).await;
    let other = r#"{ "type":"page","name":"Home", "userId":"u1","timestamp":"2026-01-02T03:04:05Z"}"#;
    let batch = format!("[ {TRACK} ,\n{other}]");
    let wrapped = format!(r#"[{{"json": {TRACK} }},{{"json":{other}}}]"#);
    let cases = [
        ("the raw body", TRACK.to_owned(), sign("abc123", TRACK), 1),
        ("the first element's raw bytes", batch.clone(), sign("abc123", TRACK), 2),
        ("the whole array", batch.clone(), sign("abc123", &batch), 2),
        ("the event inside the wrapping", wrapped, sign("abc123", TRACK), 2),
        ("upper case", TRACK.to_owned(), sign("abc123", TRACK).to_uppercase(), 1),
        ("the connection test", "{}".to_owned(), sign("abc123", "{}"), 0),
    ];
    for (case, body, signature, count) in cases {
        let headers = [SEGMENT, ("x-signature", signature.as_str())];
        let answered = exchange(&relay, "/segment", &headers, body, count).await;
        assert!(answered.starts_with("200 "), "{case}: {answered}");
    }
    // Of the bytes before compression: senders sign what they write.
    let signature = sign("abc123", TRACK);
    let headers = [SEGMENT, ("x-signature", signature.as_str()), ("content-encoding", "gzip")];
    assert_eq!(relay.post("/segment", &headers, gzip(TRACK.as_bytes())).await.status, 200);
    relay.stop().await;
}

#[tokio::test]
async fn anything_else_is_refused_and_nothing_kept() {
    let relay = TestRelay::start(SIGNED).await;
    let missing = shown(&relay.post("/segment", &[SEGMENT], TRACK).await);
    insta::assert_snapshot!(missing, @r#"401 {"code":"door.signature","error":"the X-Signature header is missing or is not the HMAC-SHA1 of this body; check that the webhook's shared secret is the source's shared_secret","success":false}"#);
    let second = format!("[{{}},{TRACK}]");
    for (body, signature) in [
        (TRACK, sign("abc124", TRACK)),
        (TRACK, sign("abc123", "{}")),
        (TRACK, sign("abc123", TRACK)[1..].to_owned()),
        (TRACK, "zz".repeat(20)),
        (TRACK, String::new()),
        (second.as_str(), sign("abc123", TRACK)),
    ] {
        let answer = relay.post("/segment", &[SEGMENT, ("x-signature", &signature)], body.to_owned()).await;
        assert_eq!(shown(&answer), missing, "{signature}");
    }
    assert!(relay.rejects().await.is_empty());
    assert_eq!(relay.sandbox.total(), 0);
    relay.stop().await;
}

/// Members beside a signed event in its wrapper, a second event and the outer event were not signed, so they are not accepted.
#[tokio::test]
async fn only_what_was_signed_is_an_event() {
    let relay = TestRelay::start(SIGNED).await;
    let signature = sign("abc123", TRACK);
    let other = TRACK.replace("u1", "forged");
    for body in [
        format!(r#"{{"json":{TRACK},{}"#, &other[1..]),
        format!(r#"{{"json":{TRACK},"json":{other}}}"#),
        format!(r#"{{"json":{TRACK},"j\u0073on":{other}}}"#),
        format!(r#"[{{"json":{TRACK},{}]"#, &other[1..]),
        format!(r#"[{{"json":{TRACK},"json":{other}}}]"#),
        format!("[{other},{TRACK}]"),
    ] {
        let answer = relay.post("/segment", &[SEGMENT, ("x-signature", &signature)], body.clone()).await;
        assert_eq!(answer.status, 401, "{body}");
    }
    assert_eq!(relay.sandbox.total(), 0);
    relay.stop().await;
}

/// The write key alone is enough on no route unless the source allows it; a wrong signature is never accepted.
#[tokio::test]
async fn every_route_of_a_source_with_a_secret_needs_the_signature() {
    let batch = format!(r#"{{"batch":[{TRACK}]}}"#);
    let allow = SIGNED.replace("shared_secret", "unsigned = \"allow\"\nshared_secret");
    for (config, unsigned) in [(SIGNED, 401), (allow.as_str(), 200)] {
        let relay = TestRelay::start(config).await;
        for (path, body) in [("/segment", TRACK), ("/v1/track", TRACK), ("/v1/batch", &batch)] {
            let (right, wrong) = (sign("abc123", body), sign("abc124", body));
            assert_eq!(relay.post(path, &[SEGMENT], body.to_owned()).await.status, unsigned, "{path}");
            for (signature, status) in [(&right, 200), (&wrong, 401)] {
                let headers = [SEGMENT, ("x-signature", signature.as_str())];
                assert_eq!(relay.post(path, &headers, body.to_owned()).await.status, status, "{path}");
            }
        }
        relay.stop().await;
    }
}
