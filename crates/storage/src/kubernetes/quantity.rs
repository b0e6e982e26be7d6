//! A Kubernetes quantity as bytes.

/// Suffixes, and what they stand for.
const SUFFIXES: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// So many; none, where it is no whole number of them.
pub fn bytes(quantity: &str) -> Option<u64> {
    let found = SUFFIXES.iter().find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)));
    let (number, factor) = found.unwrap_or((quantity, 1));
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_so_many_bytes() {
        for (said, expected) in [
            ("8388608", Some(8_388_608)),
            ("8Mi", Some(8 << 20)),
            ("1G", Some(1_000_000_000)),
            ("1.5Gi", None),
            ("99999999999E", None),
            ("", None),
        ] {
            assert_eq!(bytes(said), expected, "{said}");
        }
    }
}
