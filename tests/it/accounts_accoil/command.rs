//! `accounts get` and `test-connection` from an operator's view.

use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;

use super::{SECTION, answering, by, client, served};
use crate::command_line::{CommandOutput, run};

async fn get(folder: &Path, sandbox: &str, args: &[&str]) -> CommandOutput {
    let args: Vec<&str> = ["accounts", "get"].iter().chain(args).copied().collect();
    run(folder, &[("SANDBOX", sandbox)], &args).await
}

#[tokio::test]
async fn accounts_get_prints_json_or_a_card() {
    let (folder, sandbox) = (tempdir().unwrap(), served().await);
    std::fs::write(folder.path().join("accoil-relay.toml"), SECTION).unwrap();
    let techcorp = ["--match-type", "domain", "--match-value", "techcorp.com"];
    let output = get(folder.path(), &sandbox.url, &techcorp).await;
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    let sent = client(&sandbox.url).get(&by("domain", "techcorp.com")).await.unwrap();
    assert_eq!(output.out, sent.with_age(Duration::ZERO) + "\n");
    let output = get(folder.path(), &sandbox.url, &["--id", "456", "--workspace-id", "99"]).await;
    assert!(output.out.contains("workspace_id=99"), "{}", output.out);

    let pretty = [&techcorp[..], &["--expand", "traits,insights", "--pretty"]].concat();
    let output = get(folder.path(), &sandbox.url, &pretty).await;
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    insta::assert_snapshot!(output.out, @"
    TechCorp Solutions
    Domain                techcorp.com
    Accoil id             456
    Tracking id           ext-12345
    Owner                 Sarah Johnson
    First seen            2023-01-15
    Last seen             2025-09-21

    Scores
      Engagement score      75.5
      Raw score             2,150
      Activation rate       85%
      Active users          12
      People                18
      Active people         12
      Scored events         4,520
        recently            380
        scoring profile     95

    Traits
      employees             198
      industry              Software
      intercom_id           intercom-7001
      salesforce_id         0015g00000AcC01

    Insights
      TechCorp Solutions is highly engaged: most of its people were active in the last weeks. Usage
      grows in the Austin team. Recommendation: ask for a reference, and propose the next plan at
      renewal.
    ");
}

/// Exit code 1 if Accoil reports an error, 2 for wrong arguments, 78 for a wrong configuration; stdout stays empty.
#[tokio::test]
async fn accounts_get_reports_every_error() {
    let (folder, sandbox) = (tempdir().unwrap(), served().await);
    std::fs::write(folder.path().join("accoil-relay.toml"), SECTION).unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&[], 2, "--id <ID>|--match-type <TRAIT>"),
        (&["--match-type", "domain"], 2, "--match-value <VALUE>"),
        (&["--match-value", "techcorp.com"], 2, "--match-type <TRAIT>"),
        (&["--id", "456", "--match-type", "domain", "--match-value", "a"], 2, "cannot be used with"),
        (&["--id", ""], 2, "--id"),
        (&["--id", "456", "--expand", "trait"], 2, "did you mean traits?"),
        (&["--id", "0"], 1, "Accoil has no such account"),
        (&["--id", &"x".repeat(2049)], 1, "id has more than 2048 bytes"),
        (
            &["--id", "456", "--config", "other.toml"],
            78,
            "no [accounts], which this command needs: add it, with token",
        ),
    ];
    std::fs::write(folder.path().join("other.toml"), "[[destinations]]\nname = 'a'\napi_key = 'k'\n")
        .unwrap();
    for (args, code, text) in cases {
        let output = get(folder.path(), &sandbox.url, args).await;
        assert_eq!(output.code, code, "{args:?}: {}", output.err);
        assert!(
            output.err.contains(text) && output.out.is_empty(),
            "{args:?}: {} {}",
            output.err,
            output.out
        );
        assert!(!output.err.contains("7531"), "{args:?}: {}", output.err);
    }
    let output = get(folder.path(), "http://127.0.0.1:1", &["--id", "456"]).await;
    assert!(output.code == 1 && output.err.contains("could not connect"), "{}", output.err);
}

/// Accoil is reached through the proxy that the environment names, here the sandbox itself.
#[tokio::test]
async fn accounts_get_goes_through_a_proxy() {
    let (folder, sandbox) = (tempdir().unwrap(), served().await);
    std::fs::write(folder.path().join("accoil-relay.toml"), SECTION).unwrap();
    let environment = [("SANDBOX", "http://accoil.invalid"), ("http_proxy", sandbox.url.as_str())];
    let output = run(folder.path(), &environment, &["accounts", "get", "--id", "456"]).await;
    assert!(output.code == 0 && output.out.contains("TechCorp"), "{}", output.err);
    assert_eq!(sandbox.sandbox.accounts().reads(), 1);
    let output = run(folder.path(), &environment[..1], &["accounts", "get", "--id", "456"]).await;
    assert!(output.code == 1 && output.err.contains("could not connect"), "{}", output.err);
}

#[tokio::test]
async fn test_connection_checks_the_token() {
    let (folder, sandbox) = (tempdir().unwrap(), served().await);
    std::fs::write(folder.path().join("accoil-relay.toml"), SECTION).unwrap();
    let test = async || run(folder.path(), &[("SANDBOX", &sandbox.url)], &["test-connection"]).await;
    let output = test().await;
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{}", output.out);
    assert!(
        output.out.starts_with("ok  [accounts]  http://") && output.out.contains("the token is accepted"),
        "{}",
        output.out
    );
    let refused =
        r#"{"error":{"message":"Invalid or expired token","status":"unauthorized","code":"unauthorized"}}"#;
    sandbox.sandbox.faults().add(answering(401, refused)).unwrap();
    let output = test().await;
    assert!(
        output.code == 1 && output.out.contains("FAILED") && output.out.contains("refuses the API token"),
        "{}",
        output.out
    );
}
