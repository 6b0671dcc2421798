//! `vitally accounts …` and `test-connection` through the real binary.

use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::canned::{CannedServer, Reply, TOKEN, reply};
use crate::relay::command;

const ACCOUNT: &str = r#"{"id":"v1","zz":[1,2],"externalId":"e1","name":"Big 🏢","traits":{}}"#;

/// Exit code, stdout, stderr.
type Outcome = (i32, String, String);

fn folder(url: &str) -> TempDir {
    let folder = tempdir().unwrap();
    let file = format!("[vitally]\nsecret = '{TOKEN}'\nbase_url = '{url}'\n");
    std::fs::write(folder.path().join("accoil-relay.toml"), file).unwrap();
    folder
}

async fn run(folder: &Path, args: &[&str], input: &str) -> Outcome {
    let lines = folder.join("input");
    std::fs::write(&lines, input).unwrap();
    let mut command = command();
    command.args(args).current_dir(folder).stdin(std::fs::File::open(lines).unwrap());
    let output = crate::child::output(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs `vitally accounts` against a server with these answers. Returns the outcome, and the server with its
/// requests.
async fn accounts(answers: Vec<Reply>, args: &[&str], input: &str) -> (Outcome, CannedServer) {
    let vitally = CannedServer::start(answers).await;
    let args = [&["vitally", "accounts"], args].concat();
    let outcome = run(folder(&vitally.url).path(), &args, input).await;
    assert!(!format!("{outcome:?}").contains("hush"), "{outcome:?}");
    (outcome, vitally)
}

#[tokio::test]
async fn a_list_prints_one_line_per_account() {
    let page = |next: &str| reply(200, format!("{{\"results\": [\n {ACCOUNT} , 7],\n\"next\": {next}}}"));
    let ((code, out, err), vitally) = accounts(vec![page("\"a\""), page("null")], &["list"], "").await;
    assert_eq!((code, out), (0, format!("{ACCOUNT}\n{ACCOUNT}\n")), "{err}");
    assert_eq!(err.matches("because they are not accounts: 1").count(), 2, "{err}");
    let query = "GET /resources/accounts?status=active&sortBy=createdAt&limit=100";
    assert_eq!(vitally.asked(), [query, &format!("{query}&from=a")]);

    let args = ["list", "--status", "activeOrChurned", "--sort", "updatedAt", "--limit", "1", "--from", "z"];
    let ((code, out, err), vitally) = accounts(vec![page("\"-a;$(b)'c\"")], &args, "").await;
    assert_eq!((code, out), (0, format!("{ACCOUNT}\n")), "{err}");
    assert!(err.contains(r"next page: --from='-a;$(b)'\''c'"), "{err}");
    assert_eq!(
        vitally.asked(),
        ["GET /resources/accounts?status=activeOrChurned&sortBy=updatedAt&limit=1&from=z"]
    );

    let args = ["list", "--organization", "o1", "--limit", "100"];
    let (_, vitally) = accounts(vec![page("null")], &args, "").await;
    assert_eq!(vitally.asked(), ["GET /resources/organizations/o1/accounts?sortBy=createdAt&limit=100"]);
}

#[tokio::test]
async fn an_account_is_created_read_changed_and_deleted() {
    let (none, found) = (|| reply(404, "{}"), || reply(200, ACCOUNT));
    let line = format!("{ACCOUNT}\n");
    let ((code, out, _), _) = accounts(vec![found()], &["get", "e/1"], "").await;
    assert_eq!((code, &out), (0, &line));
    let ((code, out, _), _) = accounts(vec![reply(200, "{\"a\" : 1}")], &["health", "e1"], "").await;
    assert_eq!((code, out.as_str()), (0, "{\"a\":1}\n"));

    let args = ["create", "--external-id", "e1", "--name", "n", "--organization", "o", "--traits", "-"];
    let ((code, out, err), vitally) = accounts(vec![none(), found()], &args, r#"{"a.b": 1}"#).await;
    assert_eq!((code, &out), (0, &line), "{err}");
    let body = r#"{"externalId":"e1","name":"n","organizationId":"o","traits":{"a.b":1}}"#;
    assert_eq!(vitally.body(), serde_json::from_str::<serde_json::Value>(body).unwrap());

    let args = ["update", "e1", "--name", "m", "--no-organization", "--traits", r#"{"a.b":null}"#];
    let ((code, out, err), vitally) = accounts(vec![found()], &args, "").await;
    assert_eq!((code, &out), (0, &line), "{err}");
    let body = r#"{"name":"m","organizationId":null,"traits":{"a.b":null}}"#;
    assert_eq!(vitally.body(), serde_json::from_str::<serde_json::Value>(body).unwrap());
    let ((code, out, err), vitally) = accounts(vec![found()], &["update", "e1", "--no-owner"], "").await;
    assert_eq!((code, &out), (0, &line), "{err}");
    assert_eq!(vitally.body(), serde_json::json!({"accountOwnerId": null}));

    let ((code, out, err), vitally) = accounts(vec![reply(204, "")], &["delete", "e1", "--yes"], "").await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "deleted\n"));
    assert_eq!(vitally.asked(), ["DELETE /resources/accounts/e1"]);
}

#[tokio::test]
async fn a_failure_exits_1_and_says_why() {
    for (answers, args, why) in [
        (vec![reply(404, "{}")], &["get", "e1"][..], "with this id"),
        (vec![reply(401, r#"{"error":"no"}"#)], &["list"], "Settings > Integrations > Vitally REST API"),
        (vec![reply(200, "<html>sign in")], &["list"], "not with JSON"),
        (vec![reply(200, ACCOUNT)], &["create", "--external-id", "e1", "--name", "n"], "exists already"),
        (vec![], &["get", ".."], "one or two dots"),
    ] {
        let ((code, out, err), _) = accounts(answers, args, "").await;
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        assert!(err.contains(why), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn an_invalid_command_line_makes_no_call() {
    for (args, input, why) in [
        (&["delete", "e1"][..], "", "cannot be restored"),
        (&["update", "e1"], "", "--traits"),
        (&["update", "e1", "--traits", "{}"], "", "nothing to change"),
        (&["update", "e1", "--traits", "[1]"], "", "must be a JSON object"),
        (&["update", "e1", "--traits", "-"], "{\"a\"", "must be a JSON object"),
        (&["update", "e1", "--organization", "o", "--no-organization"], "", "cannot be used with"),
        (&["update", "e1", "--name", ""], "", "--name"),
        (&["create", "--external-id", "e1"], "", "--name"),
        (&["list", "--limit", "0"], "", "1..=100"),
        (&["list", "--limit", "101"], "", "1..=100"),
        (&["list", "--status", "gone"], "", "activeOrChurned"),
        (&["list", "--organization", "o", "--status", "churned"], "", "cannot be used with"),
    ] {
        let ((code, out, err), vitally) = accounts(vec![], args, input).await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(why), "{args:?}: {err}");
        assert_eq!(vitally.asked(), [""; 0], "{args:?}");
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
    let ((code, _, err), _) = accounts(vec![], &["update", "e1", "--traits", "-"], &long).await;
    assert!(code == 2 && err.contains("4 MiB at most"), "{err}");
}

#[tokio::test]
async fn a_missing_section_is_a_fault_of_the_configuration() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("accoil-relay.toml"), "").unwrap();
    let (code, out, err) = run(folder.path(), &["vitally", "accounts", "list"], "").await;
    assert_eq!((code, out.as_str()), (78, ""), "{err}");
    assert!(err.contains("no [vitally]") && err.contains("subdomain"), "{err}");
}

#[tokio::test]
async fn test_connection_tries_vitallys_secret() {
    let page = r#"{"results":[],"next":null}"#;
    for (answer, code, word) in
        [(reply(200, page), 0, "ok  [vitally]"), (reply(401, "{}"), 1, "FAILED  [vitally]")]
    {
        let vitally = CannedServer::start([answer]).await;
        let (ended, out, err) = run(folder(&vitally.url).path(), &["test-connection"], "").await;
        assert_eq!(ended, code, "{out}{err}");
        assert!(out.contains(word), "{out}");
        let path = "GET /resources/accounts?status=activeOrChurned&sortBy=createdAt&limit=1";
        assert_eq!(vitally.asked(), [path]);
    }
}
