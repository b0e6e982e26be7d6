//! The name that was probably meant.

/// Of `known`, the one that is the fewest edits away from `asked`.
pub fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| distance(name, asked))
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slip_of_the_pen_is_seen_through() {
        assert_eq!(super::nearest("UNAVAILBLE", ["UNKNOWN", "UNAVAILABLE"].into_iter()), Some("UNAVAILABLE"));
    }
}
