//! Every link between the repository's documents, and every comment that cites one, must lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The pages for readers, and the folders whose files cite them by path and heading.
const PAGES: [&str; 4] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"];
const CITING: [&str; 6] = ["src", "tests/it", "mappings", "benches", "fuzz/checks", "fuzz/fuzz_targets"];

#[test]
fn every_link_between_pages_leads_somewhere() {
    let pages = pages();
    let mut checked = 0;
    let mut broken = Vec::new();
    for (path, page) in &pages {
        for target in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            if !leads_somewhere(&pages, path, target) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(checked > 20, "only {checked} links were found");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn every_page_that_a_comment_cites_exists() {
    let pages = pages();
    let mut broken = Vec::new();
    for file in CITING.iter().flat_map(|folder| files(Path::new(folder))) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for rest in text.split("docs/").skip(1) {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.#/".contains(c));
            let target = rest[..length.unwrap_or(rest.len())].trim_end_matches('.');
            let page = target.split('#').next().unwrap_or_default();
            let is_page = Path::new(page).extension().is_some_and(|extension| extension == "md");
            if is_page && !leads_somewhere(&pages, Path::new("docs/x"), target) {
                broken.push(format!("{}: docs/{target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "citations of nothing: {broken:#?}");
}

struct Page {
    text: String,
    anchors: BTreeSet<String>,
}

fn pages() -> BTreeMap<PathBuf, Page> {
    let documents = PAGES.iter().flat_map(|page| files(Path::new(page)));
    documents
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let anchors = anchors(&text);
            // Examples may contain brackets that are not links.
            let text = text.split("```").step_by(2).collect();
            (path, Page { text, anchors })
        })
        .collect()
}

/// Returns the file itself, or all files below the folder.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with("node_modules")).flat_map(|path| files(&path)).collect()
}

fn leads_somewhere(pages: &BTreeMap<PathBuf, Page>, from: &Path, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let mut path = if file.is_empty() { from.to_owned() } else { from.parent().unwrap().to_owned() };
    for part in Path::new(file) {
        if part == ".." {
            path.pop();
        } else if part != "." {
            path.push(part);
        }
    }
    if anchor.is_empty() {
        path.exists()
    } else {
        pages.get(&path).is_some_and(|page| page.anchors.contains(anchor))
    }
}

/// Returns the anchors that GitHub gives to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_example = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_example ^= line.trim_start().starts_with("```");
        if is_example || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        assert!(anchors.insert(anchor), "two headings of one page have the same anchor: {line}");
    }
    anchors
}
