//! The folders of `src` depend on each other along the flow, never in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each module directly below the crate, the modules that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_modules_depend_on_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    let mut uses = Uses::new();
    for file in files {
        let place = file.strip_prefix(&source).unwrap();
        let module = place.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if !["lib", "main"].contains(&module.as_str()) {
            uses.entry(module).or_default().extend(used(&std::fs::read_to_string(file).unwrap()));
        }
    }
    assert!(uses["run"].contains("receive") && uses["receive"].contains("decode"), "not read: {uses:?}");
    let modules: BTreeSet<&String> = uses.keys().collect();
    let circles: Vec<String> = modules
        .iter()
        .flat_map(|module| uses[*module].iter().map(move |used| (*module, used)))
        .filter(|(module, used)| module != used && reaches(&uses, used, module))
        .map(|(module, used)| format!("{module} uses {used}, which leads back to {module}"))
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// Collects every Rust file except tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Returns the modules that a file names as `crate::module` or `crate::{module, …}`, outside comments and tests.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let name = |text: &str| -> String {
        text.chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect()
    };
    let mut modules = BTreeSet::new();
    for path in code.join("\n").split("crate::").skip(1) {
        match path.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => modules.extend(list.split(',').map(|one| name(one.trim()))),
            None => drop(modules.insert(name(path))),
        }
    }
    modules.retain(|module| !module.is_empty());
    modules
}

fn reaches(uses: &Uses, from: &str, to: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            left.extend(uses.get(module).into_iter().flatten().map(String::as_str));
        }
    }
    false
}
