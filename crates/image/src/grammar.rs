//! What the name and the tag of an image look like: the grammar that registries and container engines share.

/// Tags are no longer than this, in characters.
const LONGEST_TAG: usize = 128;
/// Names are no longer than this, without the registry, in characters.
const LONGEST_NAME: usize = 255;

/// Why it is no name of an image, without its tag.
pub fn wrong_with_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("the name is missing");
    }
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, name),
    };
    if registry.is_some_and(|registry| !is_host(registry)) {
        return Some("what stands before the first slash is no registry, HOST[:PORT]");
    }
    if path.split('/').all(is_component) {
        return (path.len() > LONGEST_NAME).then_some("the name has more than 255 characters");
    }
    if path.to_ascii_lowercase().split('/').all(is_component) {
        return Some("names of images have no capital letters");
    }
    Some("the name is missing or has characters no image name has")
}

/// Why it is no tag.
pub fn wrong_with_tag(tag: &str) -> Option<&'static str> {
    let fits = tag.len() <= LONGEST_TAG
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !tag.is_empty()
        && !tag.starts_with(['.', '-']);
    (!fits).then_some("the tag is missing or has characters no tag has")
}

/// Whether the first part of a name is a host, as container engines read it: no folder is called like that.
pub fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
}

/// `HOST[:PORT]`, an IPv6 address between square brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("", rest.strip_prefix(':')),
        Some(_) => return false,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    (text.starts_with('[') || host.split('.').all(name))
        && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

/// Small letters and digits, with a dot, one or two underscores, or any number of dashes between them.
fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain)
        && part.ends_with(plain)
        && part
            .split(plain)
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_engines_take_are_names() {
        for name in [
            "app",
            "team/app",
            "library/app-1.2_3__4--5",
            "lab:5000/app",
            "LAB:5000/app",
            "Registry/app",
            "localhost/app",
            "registry.example.com/a/b/c/d",
            "[2001:db8::1]:5000/app",
            "[fd00::1]/team/app",
        ] {
            assert_eq!(wrong_with_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_no_engine_takes_are_none() {
        for name in ["", "App", "team/App", "lab:5000/App", "a..b", "a___b", "-a", "a-", "a//b", "/a", "a/", "a b", "ä"]
        {
            assert!(wrong_with_name(name).is_some(), "{name}");
        }
        for name in ["lab:/app", "lab:x/app", "-lab.example/app", "[lab]:5000/app", "[fd00::1/app", "..:1/app"] {
            assert!(wrong_with_name(name).is_some(), "{name}");
        }
        assert_eq!(wrong_with_name("team/App"), Some("names of images have no capital letters"));
        assert!(wrong_with_name(&"a".repeat(256)).is_some());
    }

    #[test]
    fn a_tag_begins_with_a_letter_a_digit_or_an_underscore() {
        for (tag, fits) in [("1", true), ("_v1.2-A", true), ("-1", false), (".1", false), ("", false), ("a b", false)] {
            assert_eq!(wrong_with_tag(tag).is_none(), fits, "{tag}");
        }
        assert!(wrong_with_tag(&"a".repeat(129)).is_some());
    }
}
