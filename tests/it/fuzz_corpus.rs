//! Replays the corpus of every fuzz target (`fuzz/corpus`) in every test run.

use std::path::Path;

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

#[test]
fn the_corpus_of_every_fuzz_target_passes() {
    for (target, check) in checks::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{} has only {} files", folder.display(), files.len());
        for file in files {
            println!("{}", file.display());
            check(&std::fs::read(file).unwrap());
        }
    }
}
