//! schemathesis asks every route of `/openapi.json` with made-up parameters and bodies: no answer is a 5xx, and each answer is
//! as the document says. `tests/install.sh` installs it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::json;

use super::url;
use crate::http::send;
use crate::relay::{TEST_TIMEOUT, TestRelay, USUAL};

/// A safety limit: it takes about a minute.
const LIMIT: Duration = Duration::from_secs(600);
/// Requests that it makes up for each route, in each of its phases.
const EXAMPLES: &str = "12";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,unsupported_method,ignored_auth";
const TOKEN: &str = "Authorization: Bearer admin-token";
/// `/api/live` never ends; the others are pages of the dashboard, not of the API.
const LEFT_OUT: [&str; 3] = ["/api/live", "/login", "/logout"];

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis/installed");
    let program = installed.join("bin/schemathesis");
    assert!(program.exists(), "there is no schemathesis: run tests/install.sh");
    let relay = relay().await;
    let folder = tempfile::tempdir().unwrap();
    let mut run = Command::new("python3");
    run.env("PYTHONPATH", &installed).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder.path());
    run.arg(program).args(["run", &url(&relay, "/openapi.json"), "--no-color", "--checks", CHECKS]);
    run.args(["--header", TOKEN]);
    run.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES]);
    run.args(["--generation-deterministic", "--no-shrink", "--continue-on-failure"]);
    run.args(["--suppress-health-check", "all", "--request-timeout", "30"]);
    for path in LEFT_OUT {
        run.args(["--exclude-path", path]);
    }
    let (output, is_whole) = tokio::task::spawn_blocking(move || run_within(run, LIMIT)).await.unwrap();
    println!("{output}");
    assert!(is_whole, "{output}");
    assert!(output.contains(" generated, "), "it asked nothing: {output}");
    relay.stop().await;
}

/// A relay that knows an event of each kind, so that answers are not empty.
async fn relay() -> TestRelay {
    let relay = TestRelay::start(&format!("[admin]\ntoken = \"admin-token\"\n{USUAL}")).await;
    for (user, status) in [("dead", 422), ("waiting", 503)] {
        let fault =
            Fault { status: Some(status), user: Some(user.to_owned()), times: 1_000_000, ..Fault::default() };
        relay.sandbox.faults().add(fault).unwrap();
    }
    for (user, status) in
        [(None, "rejected"), (Some("ada"), "delivered"), (Some("dead"), "dead"), (Some("waiting"), "waiting")]
    {
        let event =
            json!({"type": "track", "event": "Report Created", "userId": user, "writeKey": "web-key"});
        let answer = relay.post("/v1/track", &[], event.to_string()).await;
        let path = url(&relay, &format!("/api/events/{}", answer.header("relay-event")));
        let deadline = Instant::now() + TEST_TIMEOUT;
        while send(Method::GET, &path, &[("authorization", "Bearer admin-token")], "").await.json()["status"]
            != status
        {
            assert!(Instant::now() < deadline, "{status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    relay
}

/// Returns what the program printed, and whether it succeeded. Kills it at the limit.
fn run_within(mut run: Command, limit: Duration) -> (String, bool) {
    let mut output = tempfile::tempfile().unwrap();
    run.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    let mut child = run.spawn().unwrap();
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut text = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    std::io::Read::read_to_string(&mut output, &mut text).unwrap();
    (text, status.success())
}
