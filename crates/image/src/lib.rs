//! Container image archives: reading, checking and writing them.

mod archive;
mod compression;
mod contents;
mod grammar;
mod image;
mod manifest;
mod platform;
mod reference;
mod scan;
mod source;
mod strangers;
mod test_container;
mod written;

pub use archive::{Archive, Layout, choose};
pub use compression::Compression;
pub use image::{Image, Layer};
pub use platform::is_for;
pub use reference::{Reference, same_name, whole_name};
pub use scan::names;
pub use source::Source;
pub use test_container::{TestContainer, own_platform};
pub use written::{Names, Written, pieces};

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// An image's id without `sha256:` and what stands before it, for comparing what different places write differently.
pub fn bare_id(id: &str) -> &str {
    const ALGORITHM: &str = "sha256:";
    let marked = id.as_bytes().windows(ALGORITHM.len()).rposition(|it| it.eq_ignore_ascii_case(ALGORITHM.as_bytes()));
    match (marked, id.rsplit_once("://")) {
        (Some(at), _) => id.get(at + ALGORITHM.len()..).unwrap_or(id),
        (None, Some((_, bare))) => bare,
        (None, None) => id,
    }
}

/// Whether two ids name the same image; listings may shorten them to twelve digits or more.
pub fn same_id(one: &str, other: &str) -> bool {
    let (one, other) = (bare_id(one).as_bytes(), bare_id(other).as_bytes());
    let shared = one.len().min(other.len());
    shared >= 12 && one[..shared].eq_ignore_ascii_case(&other[..shared])
}

#[cfg(test)]
mod tests {
    use super::same_id;

    #[test]
    fn ids_compare_across_their_spellings() {
        let id = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert!(same_id(id, "0123456789ab"));
        assert!(!same_id(id, "0123456789ac"));
        assert!(!same_id(id, "01234"));
        for before in ["app@", "docker://", "docker-pullable://lab:5000/app@", "docker.io/library/", "app:1@"] {
            assert!(same_id(id, &format!("{before}{id}")), "{before}");
        }
        assert!(same_id(id, &id.to_uppercase()) && same_id(id, &id.replace("sha256:", "docker://")));
        assert!(!same_id("", ""));
        assert!(!same_id("0123456789a\u{fffd}", "0123456789abc"), "a device may send anything");
    }
}
