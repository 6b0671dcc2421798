//! Asks Segment's published packages (`tests/reference`) for their results for a list of cases.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use accoil_relay::json::Value;

/// Runs one Node process: each case is a line in, each answer a line out, in the same order.
pub(crate) fn ask<'c>(script: &str, cases: impl Iterator<Item = &'c Value<'c>>) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    assert!(
        folder.join("node_modules").is_dir(),
        "Segment's engine is not installed: run `npm ci` in tests/reference, then test again"
    );
    let mut node = Command::new("node")
        .arg(script)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node, which the reference needs, must be installed");
    let mut input = node.stdin.take().unwrap();
    let lines: Vec<String> = cases.map(|case| format!("{case}\n")).collect();
    let count = lines.len();
    let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()));
    let mut output = String::new();
    node.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(node.wait().unwrap().success(), "the reference failed");
    let answers: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), count, "the reference left lines unanswered");
    answers
}
