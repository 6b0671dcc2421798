//! The sandbox's Accoil through a real listener: every route and answer, faults, bounded memory.

mod faults;

use std::time::Duration;

use accoil_relay::sandbox::{Options, Sandbox};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, send, try_send};

const TRACK: &str = r#"{"userId":"u1","event":"Report_Created","timestamp":"2026-01-02T03:04:05Z"}"#;
/// The base64 of `api_key:`, the example in `docs/accoil-api.md#keys-and-hosts`.
const ENCODED: &str = "Basic YXBpX2tleTo=";

/// A running sandbox; it stops when this is dropped.
pub(crate) struct RunningSandbox {
    pub(crate) sandbox: Sandbox,
    pub(crate) url: String,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<std::io::Result<()>>,
}

impl RunningSandbox {
    pub(crate) async fn start(options: Options) -> Self {
        Self::serve(Sandbox::new(options)).await
    }

    async fn serve(sandbox: Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(sandbox.clone().serve(listener, stop.clone()));
        Self { sandbox, url, stop, tasks }
    }

    /// Finishes the requests that have begun, then serves at a new address. A relay that was killed may have left a request that
    /// the sandbox has not read yet: that request never arrives, so it does not count as a call of the next run.
    pub(crate) async fn change_address(&mut self) {
        self.stop.cancel();
        while let Some(served) = self.tasks.join_next().await {
            served.unwrap().unwrap();
        }
        *self = Self::serve(self.sandbox.clone()).await;
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send(method, &format!("{}{path}", self.url), headers, body.to_owned()).await
    }

    async fn post(&self, path: &str, authorization: &str, body: &str) -> Answer {
        self.call(Method::POST, path, &[("authorization", authorization)], body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, &[], "").await.json()
    }

    async fn track(&self, user: &str) -> StatusCode {
        self.post("/v2/track", "Basic key", &json!({"userId": user, "event": "E"}).to_string()).await.status
    }
}

async fn served() -> RunningSandbox {
    RunningSandbox::start(Options::default()).await
}

/// Status and body of every write path, for a key that is right, wrong, malformed and missing.
#[tokio::test]
async fn answers_as_documented() {
    let sandbox = served().await;
    let cases = [
        ("/v2/track", Some("Basic key"), TRACK, 202, ""),
        ("/v2/identify", Some("Basic no such key"), r#"{"userId":"u1"}"#, 202, ""),
        ("/v2/group", Some("Basic key"), r#"{"groupId":"g1"}"#, 202, ""),
        ("/v2/track", Some("Basic key"), "no JSON at all", 202, ""),
        ("/v2/track", Some("Basic key"), "", 202, ""),
        ("/v2/track", Some("Basic"), TRACK, 400, "message"),
        ("/v2/track", Some("Bearer key"), TRACK, 400, "message"),
        ("/v2/track", None, TRACK, 400, "message"),
        ("/segment", Some(ENCODED), "{}", 202, "{}"),
        ("/segment", Some("Basic not base64"), "{}", 202, "{}"),
        ("/segment", Some("key"), "{}", 400, "message"),
        ("/segment", None, "{}", 400, "message"),
        ("/v1/users", None, r#"{"api_key":"k","user_id":"u1","timestamp":1500000000000}"#, 202, ""),
        ("/v1/groups", None, r#"{"api_key":"k","group_id":"g1","timestamp":1500000000000}"#, 202, ""),
        ("/v1/events", None, r#"{"user_id":"u1"}"#, 202, ""),
    ];
    for (path, authorization, body, status, answer) in cases {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let found = sandbox.call(Method::POST, path, &headers, body).await;
        let case = format!("{path} {authorization:?} {body}: {found:?}");
        assert_eq!(found.status, status, "{case}");
        if answer == "message" {
            let message = found.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains("Basic") && message.contains("space"), "{case}");
        } else {
            assert_eq!(found.text(), answer, "{case}");
        }
    }
    assert_eq!(sandbox.sandbox.total(), 10);
    assert_eq!(sandbox.sandbox.refused().len(), 5);
}

#[tokio::test]
async fn unknown_routes_and_the_index() {
    let sandbox = served().await;
    for path in ["/v2/page", "/v1/track", "/v2/track/"] {
        let answer = sandbox.post(path, "Basic key", "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (404, "text/plain; charset=utf-8")
        );
    }
    let index = sandbox.get("/").await;
    assert!(index["accoil"].as_array().unwrap().contains(&json!("POST /v2/track")), "{index}");
    assert_eq!(sandbox.sandbox.total(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_gets_413_and_is_not_kept() {
    let sandbox = RunningSandbox::start(Options { body_limit: 100, ..Options::default() }).await;
    assert_eq!(sandbox.post("/v2/track", "Basic key", &" ".repeat(100)).await.status, 202);
    let answer = sandbox.post("/v2/track", "Basic key", &" ".repeat(101)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (413, ""));
    let refused = sandbox.sandbox.refused();
    assert_eq!((refused[0].status, refused[0].body.is_null()), (Some(413), true));
}

/// One request in each dialect as `/received` shows it, with the key decoded.
#[tokio::test]
async fn received_shows_each_dialect() {
    let sandbox = served().await;
    sandbox.post("/v2/track", "Basic raw-key", TRACK).await;
    sandbox
        .post("/segment", ENCODED, r#"{"type":"page","name":"Home","timestamp":"2026-01-02T03:04:05Z"}"#)
        .await;
    let v1 = r#"{"api_key":"body-key","timestamp":1500000000000,"user_id":"u1","event":"E"}"#;
    sandbox.call(Method::POST, "/v1/events", &[], v1).await;

    let mut listing = sandbox.get("/received").await;
    for request in listing["received"].as_array_mut().unwrap() {
        assert!(request["at"].take().as_str().unwrap().ends_with('Z'));
    }
    insta::assert_json_snapshot!(listing, @r#"
    {
      "received": [
        {
          "api_key": "raw-key",
          "at": null,
          "authorization": "Basic raw-key",
          "body": {
            "event": "Report_Created",
            "timestamp": "2026-01-02T03:04:05Z",
            "userId": "u1"
          },
          "dialect": "v2",
          "method": "POST",
          "path": "/v2/track",
          "problems": [],
          "sequence": 1,
          "status": 202
        },
        {
          "api_key": "api_key",
          "at": null,
          "authorization": "Basic YXBpX2tleTo=",
          "body": {
            "name": "Home",
            "timestamp": "2026-01-02T03:04:05Z",
            "type": "page"
          },
          "dialect": "segment",
          "method": "POST",
          "path": "/segment",
          "problems": [],
          "sequence": 2,
          "status": 202
        },
        {
          "api_key": "body-key",
          "at": null,
          "authorization": null,
          "body": {
            "api_key": "body-key",
            "event": "E",
            "timestamp": 1500000000000,
            "user_id": "u1"
          },
          "dialect": "v1",
          "method": "POST",
          "path": "/v1/events",
          "problems": [],
          "sequence": 3,
          "status": 202
        }
      ],
      "refused": [],
      "total": 3
    }
    "#);
}

/// Everything is accepted, and each difference from the documented tables is flagged.
#[tokio::test]
async fn problems_are_flagged_and_never_refused() {
    let sandbox = served().await;
    let cases = [
        ("/v2/track", "Basic k", TRACK, &[][..]),
        ("/segment", ENCODED, "{}", &[]),
        (
            "/v2/track",
            ENCODED,
            TRACK,
            &["Authorization: base64 of the key, where the key itself is documented"],
        ),
        (
            "/v2/track",
            "Basic k",
            r#"{"userId":7,"timestamp":1500000000000,"properties":{}}"#,
            &[
                "userId: documented as a string, found number",
                "event missing",
                "timestamp: documented as an ISO 8601 time, found number",
                "properties: not documented here",
            ],
        ),
        (
            "/v2/identify",
            "Basic k",
            r#"{"traits":[]}"#,
            &["userId missing", "traits: documented as an object, found array"],
        ),
        (
            "/v2/group",
            "Basic k",
            r#"{"groupId":""}"#,
            &["groupId: documented as a string, found empty string"],
        ),
        ("/v2/group", "Basic k", "[]", &["the body is documented as an object, found array"]),
        (
            "/v2/track",
            "Basic k",
            "{",
            &["the body is not JSON: EOF while parsing an object at line 1, column 1"],
        ),
        (
            "/v1/events",
            "",
            r#"{"api_key":"k","timestamp":1.5,"user_id":"u"}"#,
            &["timestamp: documented as a whole number of milliseconds, found number", "event missing"],
        ),
        (
            "/segment",
            "Basic k",
            r#"{"type":"alias"}"#,
            &[
                "Authorization: not base64 of the key and a colon",
                "type: identify, group, track, page or screen is expected",
            ],
        ),
        (
            "/segment",
            ENCODED,
            r#"{"type":"identify","messageId":"m"}"#,
            &["timestamp missing", "userId missing"],
        ),
    ];
    for (path, authorization, body, problems) in cases {
        assert_eq!(sandbox.post(path, authorization, body).await.status, 202, "{path} {body}");
        assert_eq!(sandbox.sandbox.received().last().unwrap().problems, problems, "{path} {body}");
    }
    let text = sandbox.sandbox.received().into_iter().find(|request| request.body.as_str() == Some("{"));
    assert!(text.is_some(), "a body that is not JSON is kept as text");
}

#[tokio::test]
async fn received_is_filtered_and_forgotten() {
    let sandbox = served().await;
    for user in ["a", "b c", "a"] {
        sandbox.track(user).await;
    }
    sandbox.post("/v2/identify", "Basic key", r#"{"userId":"a"}"#).await;
    let cases: [(&str, &[u64]); 6] = [
        ("", &[1, 2, 3, 4]),
        ("?user=a", &[1, 3, 4]),
        ("?user=b%20c", &[2]),
        ("?user=a&path=/v2/track", &[1, 3]),
        ("?after=2&path=%2Fv2%2Ftrack", &[3]),
        ("?user=nobody", &[]),
    ];
    for (query, sequences) in cases {
        let listing = sandbox.get(&format!("/received{query}")).await;
        let found: Vec<_> = listing["received"]
            .as_array()
            .unwrap()
            .iter()
            .map(|request| request["sequence"].clone())
            .collect();
        assert_eq!((json!(found), &listing["total"]), (json!(sequences), &json!(4)), "{query}");
    }
    for query in ["?after=x", "?users=a"] {
        let answer = sandbox.call(Method::GET, &format!("/received{query}"), &[], "").await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["message"].as_str().unwrap().contains("use"), "{query}");
    }

    sandbox.call(Method::DELETE, "/received", &[], "").await;
    assert_eq!(sandbox.get("/received").await, json!({"received": [], "refused": [], "total": 0}));
    sandbox.track("a").await;
    assert_eq!(sandbox.sandbox.received()[0].sequence, 5, "sequence numbers continue");
}

#[tokio::test]
async fn the_number_of_kept_requests_is_bounded_and_the_count_is_not() {
    let few = RunningSandbox::start(Options { keep: 2, ..Options::default() }).await;
    let none = RunningSandbox::start(Options { keep: 0, ..Options::default() }).await;
    for user in ["a", "b", "c"] {
        few.track(user).await;
        none.track(user).await;
    }
    let kept: Vec<_> = few.sandbox.received().iter().map(|request| request.sequence).collect();
    assert_eq!((kept, few.sandbox.total()), (vec![2, 3], 3));
    assert_eq!((none.sandbox.received().len(), none.sandbox.total()), (0, 3));
}

/// The limit on bytes holds for large requests too: 200 requests of 400,000 bytes are more than it allows.
#[tokio::test]
async fn the_bytes_of_kept_requests_are_bounded() {
    let sandbox = served().await;
    let large = format!("\"{}\"", "x".repeat(400_000));
    for _ in 0..200 {
        assert_eq!(sandbox.post("/v2/track", "Basic key", &large).await.status, 202);
    }
    let kept = sandbox.sandbox.received();
    assert_eq!((kept.len(), kept.last().unwrap().sequence), (64 * 1024 * 1024 / 400_020, 200));
}

#[tokio::test]
async fn waits_for_a_count() {
    let sandbox = served().await;
    let long = Duration::from_secs(30);
    let (reached, ()) = tokio::join!(sandbox.sandbox.wait_for(2, long), async {
        sandbox.track("a").await;
        sandbox.track("a").await;
    });
    assert!(reached);
    assert!(
        sandbox.sandbox.wait_for(1, Duration::ZERO).await,
        "a count that has been reached returns immediately"
    );
    assert!(!sandbox.sandbox.wait_for(3, Duration::ZERO).await);
}

/// An idle connection that never sent a request does not delay the stop.
#[tokio::test]
async fn stops_when_asked() {
    let mut sandbox = served().await;
    let address = sandbox.url.trim_start_matches("http://").to_owned();
    let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
    sandbox.track("a").await;
    sandbox.stop.cancel();
    sandbox.tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(try_send(Method::GET, &sandbox.url, &[], "").await.is_err());
}
