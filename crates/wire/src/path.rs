//! gNMI paths as text, as messages, and as patterns.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{gnmi, gnoi};

/// One step of a path: a name and the keys of a list entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// Without a module prefix.
    pub name: String,
    /// `*` as a value stands for any.
    pub keys: BTreeMap<String, String>,
}

/// A path such as `/components/component[name=Supervisor1]/state/redundant-role`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// `openconfig`, `cli`, or empty.
    pub origin: String,
    /// From the root down.
    pub elements: Vec<Element>,
}

impl Path {
    /// Of a component, with the full path and the origin that most devices want.
    pub fn component(name: &str) -> Self {
        let keys = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        let elements = vec![
            Element { name: "components".into(), keys: BTreeMap::new() },
            Element { name: "component".into(), keys },
        ];
        Self { origin: "openconfig".into(), elements }
    }

    /// Of a component, by its name alone, as some devices want it.
    pub fn bare(name: &str) -> Self {
        let elements = vec![Element { name: name.to_owned(), ..Element::default() }];
        Self { origin: String::new(), elements }
    }

    /// Of a component, by the element that names it alone.
    pub fn keyed(name: &str) -> Self {
        let Self { elements, .. } = Self::component(name);
        Self { origin: String::new(), elements: elements.into_iter().skip(1).collect() }
    }

    /// This path with `rest` below it.
    #[must_use]
    pub fn join(&self, rest: &Path) -> Self {
        let mut joined = self.clone();
        if joined.origin.is_empty() {
            joined.origin.clone_from(&rest.origin);
        }
        joined.elements.extend(rest.elements.iter().cloned());
        joined
    }

    /// This path with one more element.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut child = self.clone();
        child.elements.push(Element { name: name.into(), keys: BTreeMap::new() });
        child
    }

    /// This path without its last element.
    #[must_use]
    pub fn parent(&self) -> Self {
        let above = self.elements.len().saturating_sub(1);
        Self { origin: self.origin.clone(), elements: self.elements[..above].to_vec() }
    }

    /// About how many bytes of memory it takes.
    pub fn size(&self) -> usize {
        let key = |(key, value): (&String, &String)| 2 * size_of::<String>() + key.len() + value.len();
        let element =
            |each: &Element| size_of::<Element>() + each.name.len() + each.keys.iter().map(key).sum::<usize>();
        size_of::<Self>() + self.origin.len() + self.elements.iter().map(element).sum::<usize>()
    }

    /// The last element's name.
    pub fn leaf(&self) -> &str {
        self.elements.last().map_or("", |element| element.name.as_str())
    }

    /// The value of a key anywhere on the path.
    pub fn key(&self, element: &str, key: &str) -> Option<&str> {
        self.elements.iter().find(|step| step.name == element)?.keys.get(key).map(String::as_str)
    }

    /// Whether `other` is this path or lies below it; `*` stands for any name or key, `...` for any depth.
    pub fn covers(&self, other: &Path) -> bool {
        let mut parts = self.elements.split(|element| element.name == "...");
        let mut rest = other.elements.as_slice();
        let first = parts.next().unwrap_or_default();
        if !begins_with(rest, first) {
            return false;
        }
        rest = &rest[first.len()..];
        // The first place that fits leaves the most to what follows.
        parts.all(|part| match (0..=rest.len()).find(|at| begins_with(&rest[*at..], part)) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }

    /// As gNMI carries it.
    pub fn to_gnmi(&self) -> gnmi::Path {
        let elem = self.elements.iter().map(|element| gnmi::PathElem {
            name: element.name.clone(),
            key: element.keys.clone().into_iter().collect(),
        });
        gnmi::Path { origin: self.origin.clone(), elem: elem.collect(), ..gnmi::Path::default() }
    }

    /// From gNMI, the older `element` form too.
    pub fn from_gnmi(path: &gnmi::Path) -> Self {
        let elements = if path.elem.is_empty() {
            #[allow(deprecated)]
            let old = path.element.iter();
            old.filter_map(|text| parse_element(text).ok()).collect()
        } else {
            path.elem
                .iter()
                .map(|element| Element { name: bare(&element.name), keys: bare_keys(&element.key) })
                .collect()
        };
        Self { origin: path.origin.clone(), elements }
    }

    /// As gNOI carries it.
    pub fn to_gnoi(&self) -> gnoi::types::Path {
        let elem = self.elements.iter().map(|element| gnoi::types::PathElem {
            name: element.name.clone(),
            key: element.keys.clone().into_iter().collect(),
        });
        gnoi::types::Path { origin: self.origin.clone(), elem: elem.collect() }
    }

    /// The component's name in a gNOI path, in either of its forms.
    pub fn component_of(path: &gnoi::types::Path) -> Option<&str> {
        match path.elem.as_slice() {
            [only] if only.key.is_empty() => Some(&only.name),
            elements => {
                elements.iter().find(|element| element.name == "component")?.key.get("name").map(String::as_str)
            }
        }
    }
}

/// Whether a path begins with what these elements stand for.
fn begins_with(path: &[Element], pattern: &[Element]) -> bool {
    let fits = |(want, have): (&Element, &Element)| {
        let has = |(key, value): (&String, &String)| value == "*" || have.keys.get(key) == Some(value);
        (want.name == "*" || want.name == have.name) && want.keys.iter().all(has)
    };
    path.len() >= pattern.len() && pattern.iter().zip(path).all(fits)
}

fn bare(name: &str) -> String {
    name.rsplit_once(':').map_or(name, |(_, bare)| bare).to_owned()
}

fn bare_keys(keys: &std::collections::HashMap<String, String>) -> BTreeMap<String, String> {
    keys.iter().map(|(key, value)| (bare(key), value.clone())).collect()
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() && self.origin != "openconfig" {
            write!(f, "{}:", self.origin)?;
        }
        if self.elements.is_empty() {
            return f.write_str("/");
        }
        for element in &self.elements {
            write!(f, "/{}", element.name)?;
            for (key, value) in &element.keys {
                write!(f, "[{key}={}]", value.replace('\\', "\\\\").replace(']', "\\]"))?;
            }
        }
        Ok(())
    }
}

/// A path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path element {element:?}: {why}")]
pub struct PathError {
    /// The element, as it was written.
    pub element: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for Path {
    type Err = PathError;

    /// Reads `[ORIGIN:]/a/b[key=value]/c`; `\` takes the next character of a key as it is.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let (origin, path) = match text.split_once(":/") {
            Some((origin, _)) if !origin.contains(['/', '[']) => (origin, &text[origin.len() + 1..]),
            _ => ("", text),
        };
        let elements = split_elements(path).iter().map(|part| parse_element(part)).collect::<Result<_, _>>()?;
        Ok(Self { origin: origin.to_owned(), elements })
    }
}

fn split_elements(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut bracket, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            '/' if !bracket && !escaped => parts.push(std::mem::take(&mut part)),
            other => {
                if !escaped {
                    bracket = other == '[' || (bracket && other != ']');
                }
                part.push(other);
            }
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

fn parse_element(text: &str) -> Result<Element, PathError> {
    let bad = |why| PathError { element: text.to_owned(), why };
    let (name, mut rest) = text.find('[').map_or((text, ""), |at| text.split_at(at));
    let mut keys = BTreeMap::new();
    while !rest.is_empty() {
        let inside = rest.strip_prefix('[').ok_or_else(|| bad("something follows a key"))?;
        let (key, after) = inside.split_once('=').ok_or_else(|| bad("a key has no value"))?;
        let (mut value, mut end, mut escaped) = (String::new(), None, false);
        for (at, character) in after.char_indices() {
            match character {
                '\\' if !escaped => escaped = true,
                ']' if !escaped => {
                    end = Some(at + 1);
                    break;
                }
                other => {
                    value.push(other);
                    escaped = false;
                }
            }
        }
        rest = &after[end.ok_or_else(|| bad("a bracket is never closed"))?..];
        keys.insert(bare(key), value);
    }
    if name.is_empty() {
        return Err(bad("it has no name"));
    }
    Ok(Element { name: bare(name), keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().expect(text)
    }

    #[test]
    fn paths_read_back_as_they_print() {
        for text in [
            "/components/component[name=0/RP0/CPU0]/state/redundant-role",
            "/a[k=x\\]y]/b",
            "cli:/show",
            "/interfaces/interface[name=Ethernet1/1]/subinterfaces/subinterface[index=0]",
            "/",
        ] {
            assert_eq!(path(text).to_string(), text);
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        for text in ["/a[b", "/a[b=c", "/[b=c]", "/a[b=c]d"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_of_a_device_is_matched_at_once() {
        let deep = "/a".repeat(60).parse::<Path>().expect("a path");
        let any = |last: &str| format!("{}/{last}", "/...".repeat(60)).parse::<Path>().expect("a path");
        assert!(!any("b").covers(&deep));
        assert!(any("a").covers(&deep));
    }

    #[test]
    fn a_pattern_covers_what_lies_below_it() {
        let leaf = path("/components/component[name=RE0]/state/type");
        for pattern in
            ["/components/component[name=*]/state", "/components", "/", "/components/*/state/type", "/.../type"]
        {
            assert!(path(pattern).covers(&leaf), "{pattern}");
        }
        for pattern in ["/components/component[name=RE1]", "/system", "/components/component/state/type/x"] {
            assert!(!path(pattern).covers(&leaf), "{pattern}");
        }
    }

    #[test]
    fn a_path_knows_what_it_lies_in() {
        assert_eq!(path("/a[k=x]/b").parent(), path("/a[k=x]"));
        assert_eq!(path("/").parent(), path("/"));
    }

    #[test]
    fn module_prefixes_are_dropped() {
        let sent = path("/openconfig-platform:components/component[name=A]");
        assert_eq!(sent.to_string(), "/components/component[name=A]");
    }

    #[test]
    fn a_component_is_known_in_both_forms() {
        let full = Path::component("RE1").to_gnoi();
        assert_eq!(Path::component_of(&full), Some("RE1"));
        let short = gnoi::types::Path {
            elem: vec![gnoi::types::PathElem { name: "Supervisor2".into(), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(Path::component_of(&short), Some("Supervisor2"));
        let keyed = Path::keyed("RE1");
        assert_eq!((keyed.to_string().as_str(), keyed.origin.as_str()), ("/component[name=RE1]", ""));
        assert_eq!(Path::component_of(&keyed.to_gnoi()), Some("RE1"));
    }
}
