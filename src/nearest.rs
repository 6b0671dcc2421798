//! "Did you mean": the known word nearest to one that was mistyped.
//!
//! Used wherever a configuration, mapping or directive names something that does not exist; never on events.

/// Words longer than this are not compared: nobody mistypes so long a word, and the cost is quadratic.
const LONGEST: usize = 64;

/// The candidate with the fewest single-character edits from `word` (a swap of neighbours counts as one, case
/// does not count), the first of equals; `None` when none is near: over a third of the word's length away.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .map(|candidate| (edits(&word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= word.len().max(candidate.len()).div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, three rows of the table at a time.
fn edits(word: &[char], candidate: &str) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    let mut previous = None;
    for (row, letter) in candidate.chars().flat_map(char::to_lowercase).enumerate() {
        let mut current = vec![row + 1];
        for (column, here) in word.iter().enumerate() {
            let replaced = last.get(column).map_or(0, |edits| edits + usize::from(*here != letter));
            let inserted = current.last().map_or(0, |edits| edits + 1);
            let removed = last.get(column + 1).map_or(0, |edits| edits + 1);
            let mut fewest = replaced.min(inserted).min(removed);
            let crossed = column > 0 && word.get(column - 1) == Some(&letter) && previous == Some(*here);
            if let Some(swapped) = before_last.get(column.wrapping_sub(1)).filter(|_| crossed) {
                fewest = fewest.min(swapped + 1);
            }
            current.push(fewest);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
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
