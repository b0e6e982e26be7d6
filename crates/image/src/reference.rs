//! `name:tag`, where the name may hold a registry's port.

use std::fmt;
use std::str::FromStr;

use holdfast_net::error::Error;

use crate::grammar;

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
        match grammar::wrong_with_name(name).or_else(|| grammar::wrong_with_tag(tag)) {
            Some(why) => Err(bad(why)),
            None => Ok(Self { name: name.to_owned(), tag: tag.to_owned() }),
        }
    }
}

/// Whether two names of images mean the same one, without their tags: runtimes write a name short or in full.
///
/// ```
/// use holdfast_image::same_name;
/// assert!(same_name("app", "docker.io/library/app"));
/// assert!(same_name("localhost/app", "app"), "Podman's way to write a name without a registry");
/// assert!(!same_name("registry:5000/app", "app"));
/// ```
pub fn same_name(one: &str, other: &str) -> bool {
    one == other
        || whole_name(one) == whole_name(other)
        || one.strip_prefix(LOCAL).is_some_and(|short| short == other && !has_registry(other))
        || other.strip_prefix(LOCAL).is_some_and(|short| short == one && !has_registry(one))
}

/// Podman's registry for what was named without one.
const LOCAL: &str = "localhost/";

/// With the registry and the folder that Docker puts before a name that has none.
pub fn whole_name(name: &str) -> String {
    let path = match name.split_once('/') {
        Some(("docker.io" | "index.docker.io" | "registry-1.docker.io", path)) => path,
        Some(_) if has_registry(name) => return name.to_owned(),
        _ => name,
    };
    let folder = if path.contains('/') { "" } else { "library/" };
    format!("docker.io/{folder}{path}")
}

fn has_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| grammar::is_registry(first))
}

impl Reference {
    /// Whether both mean one name and tag, however they write it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.tag == other.tag && same_name(&self.name, &other.name)
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
    fn names_compare_however_a_runtime_writes_them() {
        for (one, other) in [
            ("app", "docker.io/library/app"),
            ("team/app", "docker.io/team/app"),
            ("docker.io/app", "index.docker.io/library/app"),
            ("localhost/app", "app"),
            ("localhost/team/app", "team/app"),
            ("lab:5000/app", "lab:5000/app"),
        ] {
            assert!(same_name(one, other) && same_name(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("app", "library/other"),
            ("app", "team/app"),
            ("app", "quay.io/library/app"),
            ("quay.io/app", "quay.io/library/app"),
            ("localhost/app", "docker.io/library/app"),
            ("localhost:5000/app", "app"),
        ] {
            assert!(!same_name(one, other) && !same_name(other, one), "{one} {other}");
        }
    }

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
