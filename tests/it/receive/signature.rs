//! `X-Signature` on webhook posts of a source with a shared secret (`facts/segment.md` 1.2).

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
    // Of the bytes that were sent, but after decompression: senders sign what they write.
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

/// SDKs cannot sign: the tracking API of the same source takes their posts.
#[tokio::test]
async fn the_tracking_api_needs_no_signature() {
    let relay = TestRelay::start(SIGNED).await;
    assert_eq!(relay.post("/v1/track", &[SEGMENT], TRACK).await.status, 200);
    relay.calls(1).await;
    relay.stop().await;
}
