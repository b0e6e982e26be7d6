//! `name:tag`, where the name may hold a registry's port.

use std::fmt;
use std::str::FromStr;

use holdfast_net::error::Error;

/// An image's name and tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Such as `cntrsrv_image` or `registry:5000/team/app`.
    pub name: String,
    /// Such as `latest`.
    pub tag: String,
}

impl Reference {
    /// Checks both parts.
    pub fn new(name: &str, tag: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::invalid(format!("image {name:?}, tag {tag:?}: {why}")).hint("write NAME:TAG");
        let fits = |text: &str, extra: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        if !fits(name, "._-/:") || name.starts_with(['/', '-', '.', ':']) || name.ends_with(['/', ':']) {
            return Err(bad("the name is missing or has characters no image name has"));
        }
        if !fits(tag, "._-") || tag.len() > 128 {
            return Err(bad("the tag is missing or has characters no tag has"));
        }
        Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads `NAME[:TAG]`; the tag is `latest` if none is given.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => Self::new(name, tag),
            _ => Self::new(text, "latest"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_port_is_no_tag() {
        for (text, name, tag) in [
            ("busybox", "busybox", "latest"),
            ("busybox:1.36", "busybox", "1.36"),
            ("lab:5000/app", "lab:5000/app", "latest"),
            ("lab:5000/app:2", "lab:5000/app", "2"),
        ] {
            assert_eq!(text.parse::<Reference>().expect(text), Reference { name: name.into(), tag: tag.into() });
        }
        for text in ["", ":1", "a b:1", "a:", "../a:1"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
