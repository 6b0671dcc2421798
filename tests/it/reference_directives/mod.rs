//! Compares the directives with Segment's published engine (`tests/reference`), for hand-written and for random
//! cases.
//!
//! `ACCOIL_RELAY_SEED` repeats a run, `ACCOIL_RELAY_CASES` sets its length. Intended differences are listed in
//! docs/mappings-reference.md and are not generated.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test")]

mod generate;
mod liquid;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use accoil_relay::json::{Object, Value};
use accoil_relay::mapping::directive::{Directive, transform};

use generate::Generator;

/// The result of an engine for a mapping and an event: the output, or why there is none.
type Outcome<'a> = Result<Value<'a>, String>;

#[test]
fn hand_written_cases_give_their_result_and_segments() {
    let file = include_str!("../../fixtures/directives.json");
    let cases = Value::parse(file).unwrap();
    let cases = cases.as_array().unwrap();
    let answers = reference(cases);
    let mut faults = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        let ours = ours(case);
        if !agree(&ours, &theirs(answer)) {
            faults.push(report(case, &ours, answer));
        }
        let expected = case.get("output").cloned().ok_or_else(|| "an error".to_owned());
        if !agree(&ours, &expected) {
            faults.push(format!("not as the fixture says: {}", report(case, &ours, answer)));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn random_mappings_give_what_segment_gives() {
    // The seed is fixed unless one is given, because a test that fails only on some days does not help.
    let seed = number("ACCOIL_RELAY_SEED").unwrap_or(20_261_121);
    let count = number("ACCOIL_RELAY_CASES").unwrap_or(20_000);
    println!("ACCOIL_RELAY_SEED={seed}");
    let mut generator = Generator::new(seed);
    let cases: Vec<Value<'_>> = (0..count).map(|_| generator.case()).collect();
    let answers = reference(&cases);
    let (mut faults, mut outputs) = (Vec::new(), 0);
    for (case, answer) in cases.iter().zip(&answers) {
        let (ours, theirs) = (ours(case), theirs(answer));
        outputs += u64::from(theirs.as_ref().is_ok_and(|output| *output != Value::Object(Object::default())));
        if !agree(&ours, &theirs) {
            faults.push(report(case, &ours, answer));
        }
    }
    faults.sort_by_key(String::len);
    let shown: Vec<String> = faults.iter().take(8).cloned().collect();
    assert!(
        faults.is_empty(),
        "ACCOIL_RELAY_SEED={seed}: {} of {count} differ, the shortest:\n{}",
        faults.len(),
        shown.join("\n")
    );
    assert!(outputs > count / 3, "seed {seed}: only {outputs} of {count} cases gave anything to compare");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn ours<'c>(case: &'c Value<'c>) -> Outcome<'c> {
    let directive =
        Directive::compile_mapping(case.get("mapping").unwrap()).map_err(|error| error.to_string())?;
    let output = transform(&directive, case.get("event").unwrap()).map_err(|error| error.to_string())?;
    Ok(output.into_owned())
}

fn theirs(answer: &str) -> Outcome<'_> {
    let answer = Value::parse(answer).unwrap();
    match answer.get("error") {
        Some(error) => Err(error.to_string()),
        // An output that is undefined as a whole is not printed.
        None => Ok(answer.get("output").cloned().unwrap_or_default()),
    }
}

fn agree(one: &Outcome<'_>, other: &Outcome<'_>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => same(one, other),
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// Compares deeply: numbers by their value in JavaScript, members in any order.
fn same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn report(case: &Value<'_>, ours: &Outcome<'_>, theirs: &str) -> String {
    let ours = match ours {
        Ok(output) => format!("{{\"output\":{output}}}"),
        Err(error) => format!("{{\"error\":{error:?}}}"),
    };
    format!(
        "  mapping {}\n  event   {}\n  ours    {ours}\n  Segment {theirs}\n",
        case.get("mapping").unwrap(),
        case.get("event").unwrap()
    )
}

/// Asks Segment's engine, in one Node process.
fn reference(cases: &[Value<'_>]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    assert!(
        folder.join("node_modules").is_dir(),
        "Segment's engine is not installed: run `npm ci` in tests/reference, then test again"
    );
    let mut node = Command::new("node")
        .arg("directives.mjs")
        .current_dir(&folder)
        // Liquid templates print dates in the server's zone.
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node, which the reference needs, must be installed");
    let mut input = node.stdin.take().unwrap();
    let lines = cases.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let mut output = String::new();
    node.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(node.wait().unwrap().success(), "the reference failed");
    let answers: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len(), "the reference left lines unanswered");
    answers
}
