//! Compares the triggers with Segment's published evaluator (`tests/reference`), for hand-written and for random
//! cases.
//!
//! `ACCOIL_RELAY_SEED` repeats a run, `ACCOIL_RELAY_CASES` sets its length. A trigger that Segment's editor can write
//! must give the same answer. Any other text must too, unless `differences` warns about it.

mod generate;

use accoil_relay::json::Value;
use accoil_relay::mapping::trigger::Trigger;

use crate::reference::ask;
use generate::Generator;

#[test]
fn hand_written_cases_give_their_result() {
    let fixture = Value::parse(include_str!("../../fixtures/triggers.json")).unwrap();
    let cases: Vec<Value<'_>> = fixture
        .get("cases")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let event =
                fixture.get("events").unwrap().get(case.get("event").unwrap().as_str().unwrap()).unwrap();
            let mut case = case.as_object().unwrap().clone();
            case.insert("event", event.clone());
            Value::Object(case)
        })
        .collect();
    let faults: Vec<String> = cases
        .iter()
        .zip(ask("triggers.mjs", cases.iter()))
        .filter_map(|(case, answer)| {
            let ours = ours(case);
            let theirs = theirs(&answer);
            // Segment's result is written down only if it differs.
            let (matches, segment) = (case.get("matches"), case.get("segment").or(case.get("matches")));
            let as_expected = ours.as_ref().ok().copied() == bool(matches) && theirs == bool(segment);
            let warned = bool(matches) == bool(segment) || bool(matches).is_none() || differs(case);
            (!as_expected || !warned).then(|| report(case, &ours, &answer))
        })
        .collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn random_triggers_of_segments_editor_match_as_segment_matches() {
    compare(20_000, Generator::editor_case, |case, ours, theirs| {
        ours.is_ok() && ours.as_ref().ok().copied() == theirs && !warned_beyond_names(case)
    });
}

#[test]
fn random_texts_match_as_segment_matches_unless_a_difference_is_reported() {
    compare(20_000, Generator::any_case, |case, ours, theirs| {
        ours.is_err() || ours.as_ref().ok().copied() == theirs || differs(case)
    });
}

/// Compares random cases with the reference; `agree` judges a case, the relay's answer and Segment's.
fn compare(
    count: u64,
    make: fn(&mut Generator) -> Value<'static>,
    agree: fn(&Value<'_>, &Result<bool, String>, Option<bool>) -> bool,
) {
    let seed = number("ACCOIL_RELAY_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_secs() ^ u64::from(now.subsec_nanos())
    });
    let count = number("ACCOIL_RELAY_CASES").unwrap_or(count);
    println!("ACCOIL_RELAY_SEED={seed}");
    let mut generator = Generator::new(seed);
    let cases: Vec<Value<'_>> = (0..count).map(|_| make(&mut generator)).collect();
    let (mut faults, mut matched, mut read) = (Vec::new(), 0, 0);
    for (case, answer) in cases.iter().zip(ask("triggers.mjs", cases.iter())) {
        let (ours, theirs) = (ours(case), theirs(&answer));
        matched += u64::from(ours == Ok(true));
        read += u64::from(ours.is_ok());
        if !agree(case, &ours, theirs) {
            faults.push(report(case, &ours, &answer));
        }
    }
    faults.sort_by_key(String::len);
    faults.truncate(8);
    assert!(
        faults.is_empty(),
        "ACCOIL_RELAY_SEED={seed}: answers differ, the shortest:\n{}",
        faults.join("\n")
    );
    println!("{count} triggers: {read} readable, {matched} matched");
    assert!(
        matched > count / 10 && matched < read,
        "seed {seed}: {matched} of {count} matched, too few for a result"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn ours(case: &Value<'_>) -> Result<bool, String> {
    let trigger =
        Trigger::parse(case.get("trigger").unwrap().as_str().unwrap()).map_err(|error| error.to_string())?;
    Ok(trigger.matches(case.get("event").unwrap()))
}

fn theirs(answer: &str) -> Option<bool> {
    bool(Value::parse(answer).unwrap().get("matches"))
}

fn bool(value: Option<&Value<'_>>) -> Option<bool> {
    if let Some(Value::Bool(bool)) = value { Some(*bool) } else { None }
}

fn differences(case: &Value<'_>) -> Vec<String> {
    Trigger::parse(case.get("trigger").unwrap().as_str().unwrap()).unwrap().differences()
}

fn differs(case: &Value<'_>) -> bool {
    !differences(case).is_empty()
}

/// A name that Segment never finds is warned about too, although both agree on it.
fn warned_beyond_names(case: &Value<'_>) -> bool {
    differences(case).iter().any(|difference| !difference.contains("never matches in Segment"))
}

fn report(case: &Value<'_>, ours: &Result<bool, String>, theirs: &str) -> String {
    let differences =
        Trigger::parse(case.get("trigger").unwrap().as_str().unwrap()).map(|trigger| trigger.differences());
    format!(
        "  trigger {}\n  event   {}\n  ours    {ours:?}, differences {differences:?}\n  Segment {theirs}\n",
        case.get("trigger").unwrap().as_str().unwrap(),
        case.get("event").unwrap()
    )
}
