//! Images as devices write them in lists: short or in full, with or without tag, digest and transport, several in one.

use std::collections::HashSet;

use crate::reference::{Reference, whole_name};
use crate::{bare_id, same_id};

/// How runtimes write a name or a tag that is not there.
const NONE: &str = "<none>";
/// A whole SHA-256 in hexadecimal.
const WHOLE: usize = 64;

/// What a device wrote in the place of an image. What it did not write is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// As in a `Reference`.
    pub name: String,
    /// Without `latest` where none is written.
    pub tag: String,
    /// Such as `sha256:…`.
    pub digest: String,
}

impl Written {
    /// Reads `[TRANSPORT://]NAME[:TAG][@DIGEST]`, or a digest in the place of the name: Podman puts a registry before one.
    ///
    /// ```
    /// use holdfast_image::Written;
    /// let written = Written::read("docker.io/library/app:1@sha256:0123456789ab");
    /// assert_eq!((written.name.as_str(), written.tag.as_str()), ("docker.io/library/app", "1"));
    /// assert_eq!(written.digest, "sha256:0123456789ab");
    /// ```
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        let text = text.rsplit_once("://").map_or(text, |(_, path)| path);
        let (path, digest) = text.split_once('@').unwrap_or((text, ""));
        let last = path.rsplit('/').next().unwrap_or(path);
        if digest.is_empty() && is_digest(last) {
            return Self { digest: last.to_owned(), ..Self::default() };
        }
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (path, ""),
        };
        let there = |text: &str| if text == NONE { String::new() } else { text.to_owned() };
        Self { name: there(name), tag: there(tag), digest: digest.to_owned() }
    }

    /// With the tag that is meant where neither a tag nor a digest is written; None where no name and tag are meant.
    pub fn reference(&self) -> Option<Reference> {
        let tag = if self.tag.is_empty() && self.digest.is_empty() { "latest" } else { &self.tag };
        (!self.name.is_empty() && !tag.is_empty()).then(|| Reference { name: self.name.clone(), tag: tag.to_owned() })
    }

    /// Whether both surely mean one image, however it is written. Of a digest and a name nobody knows.
    pub fn is_same(&self, other: &Self) -> bool {
        if !self.digest.is_empty() && !other.digest.is_empty() {
            return same_id(&self.digest, &other.digest);
        }
        self.reference().zip(other.reference()).is_some_and(|(one, other)| one.is_same(&other))
    }
}

/// Whether it is a digest by its form: marked as one, maybe shortened, or a whole one.
fn is_digest(text: &str) -> bool {
    let bare = bare_id(text);
    let long_enough = if bare.len() == text.len() { bare.len() == WHOLE } else { (12..=WHOLE).contains(&bare.len()) };
    long_enough && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The pieces of a list in one text: by commas or spaces, bare or in brackets and quotes.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner
        .split(|c: char| c == ',' || c.is_whitespace())
        .map(|piece| piece.trim_matches('"'))
        .filter(|it| !it.is_empty())
}

/// The names of an image in a row of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that are surely meant, each once.
    pub sure: Vec<Reference>,
    /// One name and the tags of all: which tag is whose is not written.
    pub joined: Option<(String, Vec<String>)>,
    /// The name of an image that has no tag.
    pub untagged: Option<String>,
    /// Digests that are written behind names, or in their place.
    pub digests: Vec<String>,
}

impl Names {
    /// Of the two columns of `ListImage`. The tag, or several, may stand in either, with its name or alone.
    pub fn read(name_column: &str, tag_column: &str) -> Self {
        let named: Vec<_> = pieces(name_column).map(Written::read).collect();
        let (whole, tags): (Vec<_>, Vec<_>) = pieces(tag_column).partition(|tag| tag.contains([':', '/', '@']));
        let whole: Vec<_> = whole.into_iter().map(Written::read).collect();
        let said_none = tags.contains(&NONE);
        let tags: Vec<_> = tags.into_iter().filter(|tag| *tag != NONE).collect();
        let first = named.iter().map(|written| &written.name).find(|name| !name.is_empty()).cloned();
        let bare = |written: &&Written| written.tag.is_empty() && !written.name.is_empty();

        let joined = match (tags.as_slice(), &first) {
            ([], _) | ([_], Some(_)) => None,
            (tags, first) => {
                Some((first.clone().unwrap_or_default(), tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()))
            }
        };
        let mut sure: Vec<Reference> = Vec::new();
        match (tags.as_slice(), &first) {
            ([], _) if whole.is_empty() && !said_none => {
                sure.extend(named.iter().filter(bare).filter_map(Written::reference));
            }
            ([tag], Some(_)) => {
                let all_tagged = !named.iter().any(|written| bare(&written));
                let theirs = named.iter().filter(|written| !written.name.is_empty() && (bare(written) || all_tagged));
                sure.extend(theirs.map(|written| Reference { name: written.name.clone(), tag: (*tag).to_owned() }));
            }
            _ => {}
        }
        sure.extend(named.iter().filter(|written| !written.tag.is_empty()).filter_map(Written::reference));
        sure.extend(whole.iter().filter_map(Written::reference));

        // By their whole names: one after the other, a list of a hostile device would take hours.
        let key = |name: &str, tag: &str| (whole_name(name), tag.to_owned());
        let mut seen: HashSet<_> =
            joined.iter().flat_map(|(name, tags)| tags.iter().map(|tag| key(name, tag))).collect();
        sure.retain(|reference| seen.insert(key(&reference.name, &reference.tag)));

        let untagged = (sure.is_empty() && joined.is_none()).then(|| first.unwrap_or_default());
        let digests =
            named.into_iter().chain(whole).map(|written| written.digest).filter(|it| !it.is_empty()).collect();
        Self { sure, joined, untagged, digests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn an_image_is_read_however_it_is_written() {
        let bare = DIGEST.strip_prefix("sha256:").unwrap_or_default();
        for (text, name, tag, digest) in [
            ("app", "app", "", ""),
            ("app:1", "app", "1", ""),
            ("lab:5000/app", "lab:5000/app", "", ""),
            ("docker://app:1", "app", "1", ""),
            (&format!("app:1@{DIGEST}"), "app", "1", DIGEST),
            (&format!("docker-pullable://lab:5000/app@{DIGEST}"), "lab:5000/app", "", DIGEST),
            (DIGEST, "", "", DIGEST),
            (&format!("localhost/{DIGEST}"), "", "", DIGEST),
            (&format!("docker.io/library/{DIGEST}"), "", "", DIGEST),
            (&format!("docker.io/library/{bare}"), "", "", bare),
            ("sha256:0123456789ab", "", "", "sha256:0123456789ab"),
            ("sha256:1", "sha256", "1", ""),
            ("deadbeefcafe", "deadbeefcafe", "", ""),
            ("<none>", "", "", ""),
            ("<none>:<none>", "", "", ""),
            ("app:<none>", "app", "", ""),
            ("", "", "", ""),
        ] {
            let expected = Written { name: name.into(), tag: tag.into(), digest: digest.into() };
            assert_eq!(Written::read(text), expected, "{text}");
        }
    }

    #[test]
    fn of_two_spellings_the_digest_tells_and_then_the_name() {
        let same = |one: &str, other: &str| Written::read(one).is_same(&Written::read(other));
        let other = DIGEST.replace("sha256:0", "sha256:1");
        assert!(same("app", "docker.io/library/app:latest"));
        assert!(same("app:1", &format!("app:1@{DIGEST}")));
        assert!(same(&format!("localhost/{DIGEST}"), &format!("app:1@{DIGEST}")));
        assert!(!same(&format!("app:1@{other}"), &format!("app:1@{DIGEST}")));
        assert!(!same("app:1", "app:2") && !same("app", DIGEST) && !same("", "") && !same("<none>", "<none>"));
    }

    /// The sure ones, then what is joined or untagged.
    fn row(name: &str, tag: &str) -> String {
        let names = Names::read(name, tag);
        let sure = names.sure.iter().map(ToString::to_string);
        let joined = names.joined.iter().map(|(name, tags)| format!("{name}?{}", tags.join(",")));
        let untagged = names.untagged.iter().map(|name| format!("{name}!"));
        sure.chain(joined).chain(untagged).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_and_tags_may_stand_in_either_column() {
        for (name, tag, read) in [
            ("app", "1", "app:1"),
            ("app", "", "app:latest"),
            ("app:1", "", "app:1"),
            ("app:1", "1", "app:1"),
            ("app:1", "2", "app:2 app:1"),
            ("app", "app:1", "app:1"),
            ("docker.io/library/app", "app:1,docker.io/library/app:1", "app:1"),
            ("", "localhost/app:1,docker.io/library/b:1", "localhost/app:1 docker.io/library/b:1"),
            ("", "[app:1 b:1]", "app:1 b:1"),
            ("app", "[1]", "app:1"),
            ("[\"app:1\",\"b:2\"]", "", "app:1 b:2"),
            ("app:latest,b:1", "", "app:latest b:1"),
            ("app,b", "1", "app:1 b:1"),
            ("app,b:1", "2", "app:2 b:1"),
            ("app", "1,2", "app?1,2"),
            ("app:1", "1,2", "app?1,2"),
            ("app", "1,2,b:3", "b:3 app?1,2"),
            ("", "1", "?1"),
            ("<none>", "<none>", "!"),
            ("", "", "!"),
            ("app", "<none>", "app!"),
            (&format!("app@{DIGEST}"), "1", "app:1"),
            (&format!("app:1@{DIGEST}"), "", "app:1"),
            (&format!("app@{DIGEST}"), "<none>", "app!"),
            (&format!("app@{DIGEST}"), "", "app!"),
            (DIGEST, "", "!"),
        ] {
            assert_eq!(row(name, tag), read, "{name:?}, {tag:?}");
        }
        assert_eq!(Names::read(&format!("app@{DIGEST}"), "1").digests, [DIGEST]);
    }
}
