//! Real, unmodified SDKs against a real listener. Each one flushes without an error, and each of its calls reaches
//! the sandbox once, within a second. `tests/clients` has the script of each SDK.

use std::process::Command;

use crate::relay::TestRelay;

/// One source of each kind with the same key, because `run.mjs` gives every SDK one key.
const CLIENTS: &str = r#"
[[sources]]
name = "segment"
kind = "segment"
write_key = "clients-write-key"

[[sources]]
name = "amplitude"
kind = "amplitude"
write_key = "clients-write-key"

[[destinations]]
name = "accoil"
api_key = "accoil-key"
base_url = "${SANDBOX}"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_delivers_each_of_its_calls_once() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    assert!(
        std::path::Path::new(folder).join("node_modules").exists(),
        "the SDKs are not installed: run tests/run, or tests/install.sh once"
    );
    let test = TestRelay::start(CLIENTS).await;
    let mut run = Command::new("node");
    run.current_dir(folder)
        .arg("run.mjs")
        .args(["--relay", &test.url("")])
        .args(["--sandbox", test.sandbox_url()]);
    let output = crate::child::output(run).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    test.stop().await;
}

/// The README's own sender, as a reader copies it.
#[tokio::test(flavor = "multi_thread")]
async fn the_sender_in_the_readme_delivers_its_event() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let (_, rest) = readme.split_once("<<'END'\n").unwrap();
    let (program, _) = rest.split_once("END\n").unwrap();
    let test = TestRelay::start(CLIENTS).await;
    let program = program
        .replace("@segment/analytics-node", "analytics-node-v3")
        .replace("http://127.0.0.1:8080", &test.url(""))
        .replace("'any'", "'clients-write-key'");
    let mut run = Command::new("node");
    run.current_dir("tests/clients").args(["--input-type=module", "--eval", &program]);
    let output = crate::child::output(run).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(test.calls(1).await[0].path, "/v2/track");
    test.stop().await;
}
