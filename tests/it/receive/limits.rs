//! The limits on each kind of route: a body at the limit is accepted, one byte more is refused, and memory is bounded.

use std::fmt::Write as _;
use std::io::Write as _;

use accoil_relay::sandbox::Options;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::encoding::gzip;
use super::{AMPLITUDE, ROUTES, SEGMENT, TRACK, raw, shown};
use crate::relay::{Process, TestRelay, USUAL};
use crate::sandbox::RunningSandbox;

/// Returns the text with spaces added at its end, which count as a part of the body.
fn padded(text: &str, bytes: usize) -> String {
    format!("{text}{}", " ".repeat(bytes - text.len()))
}

/// The default limit of a body in bytes, by route.
const CAPS: [(&str, (&str, &str), &str, usize); 6] = [
    ("/segment", SEGMENT, TRACK, 4 * 1024 * 1024),
    ("/v1/track", SEGMENT, TRACK, 32 * 1024),
    ("/v1/batch", SEGMENT, r#"{"batch":[]}"#, 1_048_576),
    ("/amplitude", AMPLITUDE, "[]", 4 * 1024 * 1024),
    ("/2/httpapi", AMPLITUDE, r#"{"events":[]}"#, 1024 * 1024),
    ("/batch", AMPLITUDE, r#"{"events":[]}"#, 20 * 1024 * 1024),
];

/// The size may be announced by Content-Length, or found while reading or decompressing. The answer is the same, and it reaches
/// a sender that writes its whole body first.
#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (path, key, body, cap) in CAPS {
        let whole = relay.post(path, &[key], padded(body, cap)).await;
        assert_eq!(whole.status, 200, "{path}: {whole:?}");
        let refused = relay.post(path, &[key], padded(body, cap + 1)).await;
        let (over, refusal) = (shown(&refused), refused.text());
        let compressed = gzip(padded(body, cap + 1).as_bytes());
        let answer = relay.post(path, &[key, ("content-encoding", "gzip")], compressed).await;
        assert_eq!(shown(&answer), over, "{path}");
        let (name, value) = key;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{name}: {value}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let chunked =
            raw(&relay, format!("{head}{:x}\r\n{}\r\n0\r\n\r\n", cap + 1, padded(body, cap + 1))).await;
        let head = head.replace("Transfer-Encoding: chunked", &format!("Content-Length: {}", 2 * cap));
        let announced = raw(&relay, format!("{head}{}", padded(body, 2 * cap))).await;
        assert!(chunked.ends_with(refusal), "{path}: {chunked}");
        assert!(announced.ends_with(refusal), "{path}: {announced}");
        writeln!(text, "{path}: {over}").unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    /segment: 413 {"code":"door.large","error":"the body is larger than 4194304 bytes (after decompression); send it in smaller parts","success":false}
    /v1/track: 400 {"code":"door.large","error":"the body is larger than 32768 bytes (after decompression); send it in smaller parts","success":false}
    /v1/batch: 400 {"code":"door.large","error":"the body is larger than 1048576 bytes (after decompression); send it in smaller parts","success":false}
    /amplitude: 413 {"code":413,"error":"Payload too large: the body is larger than 4194304 bytes (after decompression); send it in smaller parts","reason":"door.large"}
    /2/httpapi: 413 {"code":413,"error":"Payload too large: the body is larger than 1048576 bytes (after decompression); send it in smaller parts","reason":"door.large"}
    /batch: 413 {"code":413,"error":"Payload too large: the body is larger than 20971520 bytes (after decompression); send it in smaller parts","reason":"door.large"}
    "#);
    relay.stop().await;
}

/// Only the event that is too large is refused; its neighbours in the batch are delivered.
#[tokio::test]
async fn an_event_over_its_limit_is_a_reject() {
    let relay = TestRelay::usual().await;
    let large = TRACK.replace("Report Created", &"x".repeat(33_000));
    let batch = format!(r#"{{"batch":[{TRACK},{large},{TRACK}]}}"#);
    insta::assert_snapshot!(shown(&relay.post("/v1/batch", &[SEGMENT], batch).await), @r#"200 {"accepted":2,"duplicates":0,"reasons":[{"code":"reject.large","field":"","index":1,"mapping":"","reason":"the event has 33076 bytes, more than the 32768 allowed; send less in it"}],"rejected":1,"skipped":0,"success":true}"#);
    relay.calls(2).await;
    assert_eq!(relay.rejects().await[0].original, large.into_bytes());
    relay.stop().await;
}

#[tokio::test]
async fn too_many_events_are_refused() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (path, key, before, most, after) in [
        ("/segment", SEGMENT, "[", 4_000, "]"),
        ("/v1/batch", SEGMENT, r#"{"batch":["#, 2_500, "]}"),
        ("/amplitude", AMPLITUDE, "[", 4_000, "]"),
        ("/2/httpapi", AMPLITUDE, r#"{"events":["#, 2_000, "]}"),
    ] {
        let body = |count: usize| format!("{before}{}{after}", vec!["7"; count].join(","));
        let whole = relay.post(path, &[key], body(most)).await.json();
        assert_eq!(whole["rejected"], most, "{path}: each is looked at");
        writeln!(text, "{path}: {}", shown(&relay.post(path, &[key], body(most + 1)).await)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    /segment: 413 {"code":"door.many","error":"the body has more than 4000 events, seen at line 1, column 8003; send fewer at a time","success":false}
    /v1/batch: 400 {"code":"door.many","error":"the body has more than 2500 events, seen at line 1, column 5012; send fewer at a time","success":false}
    /amplitude: 413 {"code":413,"error":"the body has more than 4000 events, seen at line 1, column 8003; send fewer at a time","reason":"door.many"}
    /2/httpapi: 413 {"code":413,"error":"the body has more than 2000 events, seen at line 1, column 4013; send fewer at a time","reason":"door.many"}
    "#);
    relay.stop().await;
}

/// All bodies together have a limit. Beyond it every sender gets 503 with `Retry-After`.
#[tokio::test]
async fn no_room_for_a_body_is_a_503_with_retry_after() {
    let relay = TestRelay::start(&format!(
        "[limits]\ntracking_event_bytes = 2048\ntracking_batch_bytes = 2048\nwebhook_bytes = 2048\n\
         amplitude_bytes = 2048\namplitude_batch_bytes = 2048\nbuffered_bytes = 2048\n{USUAL}"
    ))
    .await;
    let mut slow = TcpStream::connect(relay.relay.address).await.unwrap();
    let head = "POST /segment HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nContent-Length: 2000\r\n\r\n";
    slow.write_all(format!("{head}{}", " ".repeat(1999)).as_bytes()).await.unwrap();
    // Until the part that has arrived was read.
    while relay.post("/v1/track", &[SEGMENT], TRACK).await.status == 200 {}

    insta::assert_snapshot!(shown(&relay.post("/v1/track", &[SEGMENT], TRACK).await), @r#"503 retry-after: 5 {"code":"door.busy","error":"too many large requests at once; try again in a moment","success":false}"#);
    insta::assert_snapshot!(shown(&relay.post("/amplitude", &[AMPLITUDE], "{}").await), @r#"503 retry-after: 5 {"code":503,"error":"too many large requests at once; try again in a moment","reason":"door.busy"}"#);
    slow.write_all(b" ").await.unwrap();
    let mut asked = [0; 12];
    slow.read_exact(&mut asked).await.unwrap();
    assert_eq!(relay.post("/v1/track", &[SEGMENT], TRACK).await.status, 200, "there is room again");
    relay.stop().await;
}

/// 300 MB of spaces in 300 KB, posted to every route: refused at the limit, and the process never holds even one of them.
#[tokio::test]
async fn a_gzip_bomb_costs_its_limit_and_no_more() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let spaces = vec![b' '; 1_000_000];
    for _ in 0..300 {
        encoder.write_all(&spaces).unwrap();
    }
    let bomb = encoder.finish().unwrap();

    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let relay = Process::start(directory.path(), USUAL, &sandbox.url).await;
    for (path, key, _) in ROUTES {
        let answer = relay.post(path, &[key, ("content-encoding", "gzip")], bomb.clone()).await;
        let shown = shown(&answer);
        assert!(shown.contains("larger than") && answer.status.is_client_error(), "{path}: {shown}");
    }
    let most = relay.most_memory();
    assert!(most < 256 << 20, "{most} bytes, less than a single bomb has");
    relay.kill();
}
