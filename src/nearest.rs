//! "Did you mean": the known word nearest to one that was mistyped.
//!
//! Used wherever a configuration, mapping or directive names something that does not exist; never on events.

/// Longer words are not compared: nobody mistypes so long a word, and the cost is quadratic.
const MAX_LENGTH: usize = 64;

/// The candidate with the fewest single-character edits from `word` (a swap of neighbours counts as one, case
/// does not count), the first of equals. `None` when none is near: over a third of the word's length away.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().take(MAX_LENGTH + 1).count();
    if length > MAX_LENGTH {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(edits, candidate)| *edits <= length.max(candidate.len()).div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let known = ["@path", "@template", "@literal", "@arrayPath", "@if"];
        for (word, expected) in [
            ("@pat", Some("@path")),
            ("@ptah", Some("@path")),
            ("@arraypath", Some("@arrayPath")),
            ("@tempalte", Some("@template")),
            ("@fi", Some("@if")),
            ("@somethingElse", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
        assert_eq!(nearest(&"@path".repeat(50_000), known.into_iter()), None);
    }
}
