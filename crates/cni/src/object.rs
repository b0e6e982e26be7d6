//! JSON objects whose members keep their order and their spelling, and text as Go's JSON package writes it.

use std::fmt::{self, Write};

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members as they stand, duplicates too.
#[derive(Debug, Default)]
pub struct Object {
    pub members: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// Reads one object and nothing after it; `null` is one without members, as for Go. An error says where, and
    /// nothing of what is written there.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = deserializer.deserialize_option(Members).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "it is no JSON object".to_owned(), // the error itself holds the value
            _ => error.to_string(),
        })?;
        deserializer.end().map_err(|error| error.to_string())?;
        Ok(object)
    }

    fn raw(&self, name: &str) -> Option<&RawValue> {
        let found = self.members.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).filter(|value| value.get() != "null")
    }

    /// The member `name`, if it is there and of that type.
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The text in `name`; an error where it is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = |value: &RawValue| serde_json::from_str(value.get()).map_err(|_| format!("{name} is no string"));
        self.raw(name).map(text).transpose()
    }

    /// The object in `name`; an error where it is something else.
    pub fn object(&self, name: &str) -> Result<Option<Self>, String> {
        let object = |value: &RawValue| Self::read(value.get().as_bytes()).map_err(|_| format!("{name} is no object"));
        self.raw(name).map(object).transpose()
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_none<E>(self) -> Result<Object, E> {
        Ok(Object::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object { members })
    }
}

/// A string with its quotes, escaped as Go's JSON package does it.
pub fn quoted(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{8}' => written.push_str("\\b"),
            '\u{c}' => written.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(written, "\\u{:04x}", u32::from(character)); // a String takes all
            }
            other => written.push(other),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_the_last_duplicate_counts() {
        let object = Object::read(br#" {"b": 1.50, "a": "x", "a": "y", "n": null} "#).expect("an object");
        assert_eq!(object.members[0].1.get(), "1.50");
        assert_eq!(object.text("a"), Ok(Some("y".to_owned())));
        assert_eq!(object.text("n"), Ok(None));
        assert!(object.text("b").is_err());
        assert!(Object::read(b"null").expect("nothing").members.is_empty());
        assert!(Object::read(b"{} x").is_err());
        for secret in ["31337", "\"31337\"", "[31337]", "31337:x", "{\"31337\"}", "{\"a\":31337 31337}"] {
            let error = Object::read(secret.as_bytes()).expect_err(secret);
            assert!(!error.contains("31337"), "{error}");
        }
        assert!(Object::read(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn text_is_written_as_go_writes_it() {
        assert_eq!(quoted("a->b & \"c\" \\ <é> \u{1}\n"), r#""a-\u003eb \u0026 \"c\" \\ \u003cé\u003e \u0001\n""#);
    }
}
