//! The name that was probably meant.

/// Of `known`, the one that is the fewest edits away from `asked`.
pub fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| strsim::levenshtein(name, asked))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slip_of_the_pen_is_seen_through() {
        assert_eq!(super::nearest("UNAVAILBLE", ["UNKNOWN", "UNAVAILABLE"].into_iter()), Some("UNAVAILABLE"));
    }
}
