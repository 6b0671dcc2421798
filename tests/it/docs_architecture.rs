//! Every file, function, type and test that docs/architecture.md names must exist, and every test of docs/security.md.
//!
//! In docs/architecture.md a path is in backquotes before the functions of its file, in the same line: `src/tasks.rs` `spawn()`.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/architecture.md";

#[test]
fn everything_that_the_page_names_exists() {
    let (mut functions, mut types) = (0, 0);
    for (index, line) in fs::read_to_string(PAGE).unwrap().lines().enumerate() {
        let place = format!("{PAGE}:{}", index + 1);
        let mut file: Option<PathBuf> = None;
        for name in line.split('`').skip(1).step_by(2) {
            if let Some(function) = name.strip_suffix("()") {
                let Some(file) = &file else { panic!("{place}: no file comes before {name}") };
                let text = fs::read_to_string(file).unwrap();
                let is_there =
                    text.contains(&format!("fn {function}(")) || text.contains(&format!("fn {function}<"));
                assert!(is_there, "{place}: {name} is not in {}", file.display());
                functions += 1;
            } else if name.starts_with("src/") || name.starts_with("tests/") {
                assert!(Path::new(name).exists(), "{place}: there is no {name}");
                file = Some(PathBuf::from(name));
            } else if is_type(name) {
                let declared = ["struct", "enum"].map(|kind| format!("{kind} {name}"));
                assert!(
                    sources(Path::new("src"))
                        .iter()
                        .any(|text| declared.iter().any(|one| text.contains(one))),
                    "{place}: there is no type {name}"
                );
                types += 1;
            }
        }
    }
    assert!(functions > 30 && types > 5, "only {functions} functions and {types} types were found");
}

/// The page names a test as `receive::hostile::name`, or as `…name` after another test of the same file.
#[test]
fn every_test_of_the_security_page_exists() {
    let page = fs::read_to_string("docs/security.md").unwrap();
    let tests = [sources(Path::new("tests/it")), sources(Path::new("src"))].concat();
    let names = page.split('`').skip(1).step_by(2);
    let named: Vec<&str> = names.filter(|name| name.contains("::") || name.starts_with('…')).collect();
    for name in named.iter().filter(|name| !name.contains(' ')) {
        let function = format!("fn {}(", name.rsplit("::").next().unwrap().trim_start_matches('…'));
        assert!(
            tests.iter().any(|text| text.contains(&function)),
            "docs/security.md: there is no test {name}"
        );
    }
    assert!(named.len() > 20, "only {} tests were found", named.len());
}

fn is_type(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase()) && name.chars().all(char::is_alphanumeric)
}

fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![fs::read_to_string(path).unwrap()] })
        .collect()
}
