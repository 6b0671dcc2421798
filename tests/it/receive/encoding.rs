//! Bodies on the wire: compressed, in chunks, with any content type.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::{EVENT, ROUTES, SEGMENT, TRACK, raw, shown};
use crate::relay::TestRelay;

pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_the_same_on_every_route() {
    let relay = TestRelay::usual().await;
    for (path, key, body) in ROUTES {
        let plain = shown(&relay.post(path, &[key], body).await);
        for (name, encoded) in [
            ("gzip", gzip(body.as_bytes())),
            ("GZIP", gzip(body.as_bytes())),
            ("x-gzip", gzip(body.as_bytes())),
            ("deflate", deflate(body.as_bytes())),
            ("identity", body.as_bytes().to_vec()),
        ] {
            let answer = relay.post(path, &[key, ("content-encoding", name)], encoded).await;
            assert_eq!(shown(&answer), plain, "{path} {name}");
        }
    }
    relay.stop().await;
}

/// Segment's SDKs post JSON as text so that browsers skip the preflight; others omit the header or add a charset.
#[tokio::test]
async fn json_is_json_under_any_content_type() {
    let relay = TestRelay::usual().await;
    for content_type in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/json; charset=utf-8",
        "x",
        "application/x-www-form-urlencoded",
    ] {
        for (path, key, body) in [ROUTES[2], ROUTES[9]] {
            let answer = relay.post(path, &[key, ("content-type", content_type)], body).await;
            assert_eq!(answer.status, 200, "{content_type}: {answer:?}");
        }
    }
    relay.calls(10).await;
    relay.stop().await;
}

/// In pieces as small as one byte, without a Content-Length.
#[tokio::test]
async fn a_body_in_chunks_needs_no_length() {
    let relay = TestRelay::usual().await;
    for (path, key, body) in [("/v1/track", "web-key", TRACK), ("/amplitude", "product-key", EVENT)] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nX-Api-Key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let chunks: Vec<_> = body.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
        let chunks = chunks.concat();
        let answer = raw(&relay, format!("{head}{chunks}0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    relay.calls(2).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_decompressed_is_refused() {
    let relay = TestRelay::usual().await;
    let whole = gzip(TRACK.as_bytes());
    let mut flipped = whole.clone();
    flipped[whole.len() - 6] ^= 1;
    let mut text = String::new();
    for (name, body) in [
        ("br", TRACK.as_bytes()),
        ("gzip, gzip", &whole),
        ("gzip", TRACK.as_bytes()),
        ("gzip", &whole[..whole.len() / 2]),
        ("gzip", &flipped),
        ("deflate", &whole),
        ("gzip", &[]),
    ] {
        let answer = relay.post("/segment", &[SEGMENT, ("content-encoding", name)], body.to_vec()).await;
        text += &(shown(&answer) + "\n");
    }
    insta::assert_snapshot!(text, @r#"
    415 {"code":"door.encoding","error":"Content-Encoding \"br\" is not supported; send the body plain or with gzip","success":false}
    415 {"code":"door.encoding","error":"Content-Encoding \"gzip, gzip\" is not supported; send the body plain or with gzip","success":false}
    400 {"code":"door.compressed","error":"the body says it is compressed, but it cannot be decompressed; send it whole, or plain","success":false}
    400 {"code":"door.compressed","error":"the body says it is compressed, but it cannot be decompressed; send it whole, or plain","success":false}
    400 {"code":"door.compressed","error":"the body says it is compressed, but it cannot be decompressed; send it whole, or plain","success":false}
    400 {"code":"door.compressed","error":"the body says it is compressed, but it cannot be decompressed; send it whole, or plain","success":false}
    400 {"code":"door.compressed","error":"the body says it is compressed, but it cannot be decompressed; send it whole, or plain","success":false}
    "#);
    relay.stop().await;
}
