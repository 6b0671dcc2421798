//! Checks the catalogue, its document and what each entry promises.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");

fn document() -> String {
    let mut text = "# Reasons\n\n\
        Whenever the relay refuses, skips, changes, rejects or delays something, or stops trying, it gives a reason by its code: in \
        the answer to the sender, in its log (`reason.code`), in the label `reason` of its metrics, and in its lists. The codes are \
        stable.\n"
        .to_owned();
    for (kind, heading) in [
        (Kind::Door, "Requests that are refused"),
        (Kind::Skip, "Events that are skipped"),
        (Kind::Warning, "Events that are delivered with a warning"),
        (Kind::Reject, "Events that are rejected"),
        (Kind::Wait, "Calls that wait"),
        (Kind::Dead, "Calls that become dead letters"),
    ] {
        write!(text, "\n## {heading}\n| code | title | what happened | what to do |\n|---|---|---|---|\n")
            .unwrap();
        for reason in Reason::ALL.iter().filter(|reason| reason.kind() == kind) {
            let (code, title, happened, to_do) =
                (reason.code(), reason.title(), reason.happened(), reason.to_do());
            writeln!(text, "| `{code}` | {title} | {happened} | {to_do} |").unwrap();
        }
    }
    text
}

/// Compares the enum and its codes with `docs/reasons.md`.
#[test]
fn the_document_lists_every_reason() {
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(DOCUMENT), &expected).unwrap();
    }
    let found = std::fs::read_to_string(DOCUMENT).unwrap();
    assert!(found == expected, "run UPDATE_DOCS=1 cargo test --lib reasons");
}

#[test]
fn every_reason_can_be_looked_up_and_says_what_to_do() {
    let mut codes = HashSet::new();
    for reason in Reason::ALL {
        let code = reason.code();
        assert!(codes.insert(code), "{code} occurs twice");
        assert_eq!(Reason::of_code(code), Some(*reason));
        assert!(
            code.bytes().all(|byte| byte.is_ascii_lowercase() || b"._0123456789".contains(&byte)),
            "{code}"
        );
        for text in [reason.title(), reason.happened(), reason.to_do()] {
            assert!(!text.is_empty() && !text.contains('|') && !text.contains('\n'), "{code}: {text}");
        }
        assert!(reason.happened().ends_with('.') && reason.to_do().ends_with('.'), "{code}");
    }
    assert_eq!(Reason::of_code("no such code"), None);
}

#[test]
fn counts_are_kept_apart() {
    let counts = Counts::default();
    counts.add(Reason::DoorKey, 2);
    counts.add(Reason::DoorKey, 1);
    counts.add(Reason::DeadExhausted, 5);
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(Reason::DoorKey, 3), (Reason::DeadExhausted, 5)]);
}
