//! "Did you mean": finds the known word that is most similar to a mistyped one.
//!
//! Used for unknown names in configurations, mappings and directives; never for events.

/// Longer words are not compared, because the cost is quadratic.
const MAX_LENGTH: usize = 64;

/// The candidate with the fewest single-character edits from `word`; the first if several are equal. Swapping two neighbours
/// is one edit, and case is ignored. `None` if every candidate needs more edits than a third of the word's length.
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
    fn finds_similar_words_only() {
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
