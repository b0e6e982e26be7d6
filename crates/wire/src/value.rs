//! gNMI values: every encoding read into one type, JSON trees cut into their leaves.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use crate::gnmi::{self, Encoding, typed_value::Value as Wire};
use crate::path::{Element, Path};

/// A leaf's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, an enumeration or an identity.
    String(String),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// True or false.
    Bool(bool),
    /// A number with a fraction.
    Double(f64),
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// A leaf-list.
    List(Vec<Value>),
    /// JSON that is no single leaf.
    Json(Json),
}

impl Value {
    /// From a message; nothing for an empty one.
    pub fn from_wire(value: &gnmi::TypedValue) -> Option<Self> {
        #[allow(deprecated)]
        Some(match value.value.as_ref()? {
            Wire::StringVal(text) | Wire::AsciiVal(text) => Self::String(text.clone()),
            Wire::IntVal(number) => Self::Int(*number),
            Wire::UintVal(number) => Self::Uint(*number),
            Wire::BoolVal(truth) => Self::Bool(*truth),
            Wire::BytesVal(bytes) | Wire::ProtoBytes(bytes) => Self::Bytes(bytes.clone()),
            Wire::FloatVal(number) => Self::Double(f64::from(*number)),
            Wire::DoubleVal(number) => Self::Double(*number),
            Wire::DecimalVal(decimal) => {
                #[allow(clippy::cast_precision_loss)]
                let digits = decimal.digits as f64;
                Self::Double(digits / 10f64.powi(i32::try_from(decimal.precision).unwrap_or(i32::MAX)))
            }
            Wire::LeaflistVal(list) => Self::List(list.element.iter().filter_map(Self::from_wire).collect()),
            Wire::AnyVal(any) => Self::Bytes(any.value.clone()),
            Wire::JsonVal(bytes) | Wire::JsonIetfVal(bytes) => Self::from_json_bytes(bytes),
        })
    }

    /// From an update, whose value may come in the older form.
    pub fn from_update(update: &gnmi::Update) -> Option<Self> {
        if let Some(value) = &update.val {
            return Self::from_wire(value);
        }
        #[allow(deprecated)]
        let old = update.value.as_ref()?;
        Some(match Encoding::try_from(old.r#type) {
            Ok(Encoding::Json | Encoding::JsonIetf) => Self::from_json_bytes(&old.value),
            Ok(Encoding::Ascii) => Self::String(String::from_utf8_lossy(&old.value).into_owned()),
            _ => Self::Bytes(old.value.clone()),
        })
    }

    fn from_json_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes)
            .map_or_else(|_| Self::String(String::from_utf8_lossy(bytes).into_owned()), Self::from_json)
    }

    /// A scalar becomes a leaf; an object or an array stays JSON.
    pub fn from_json(json: Json) -> Self {
        match json {
            Json::String(text) => Self::String(text),
            Json::Bool(truth) => Self::Bool(truth),
            Json::Number(number) => number
                .as_u64()
                .map(Self::Uint)
                .or_else(|| number.as_i64().map(Self::Int))
                .unwrap_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN))),
            other => Self::Json(other),
        }
    }

    /// As JSON; `ietf` writes 64-bit numbers as strings.
    pub fn to_json(&self, ietf: bool) -> Json {
        match self {
            Self::String(text) => Json::from(text.clone()),
            Self::Int(number) if ietf => Json::from(number.to_string()),
            Self::Uint(number) if ietf => Json::from(number.to_string()),
            Self::Int(number) => Json::from(*number),
            Self::Uint(number) => Json::from(*number),
            Self::Bool(truth) => Json::from(*truth),
            Self::Double(number) => Json::from(*number),
            Self::Bytes(bytes) => bytes.iter().copied().map(Json::from).collect(),
            Self::List(list) => Json::from(list.iter().map(|value| value.to_json(ietf)).collect::<Vec<_>>()),
            Self::Json(json) => json.clone(),
        }
    }

    /// As a message in `encoding`.
    pub fn to_wire(&self, encoding: Encoding) -> gnmi::TypedValue {
        let json = |ietf| serde_json::to_vec(&self.to_json(ietf)).unwrap_or_default();
        let value = match encoding {
            Encoding::Json => Wire::JsonVal(json(false)),
            Encoding::JsonIetf => Wire::JsonIetfVal(json(true)),
            _ => match self {
                Self::String(text) => Wire::StringVal(text.clone()),
                Self::Int(number) => Wire::IntVal(*number),
                Self::Uint(number) => Wire::UintVal(*number),
                Self::Bool(truth) => Wire::BoolVal(*truth),
                Self::Double(number) => Wire::DoubleVal(*number),
                Self::Bytes(bytes) => Wire::BytesVal(bytes.clone()),
                Self::List(list) => {
                    Wire::LeaflistVal(gnmi::ScalarArray { element: list.iter().map(|v| v.to_wire(encoding)).collect() })
                }
                Self::Json(_) => Wire::JsonVal(json(false)),
            },
        };
        gnmi::TypedValue { value: Some(value) }
    }

    /// Text, as bytes too.
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.trim()),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::trim),
            _ => None,
        }
    }

    /// Text, or an enumeration or identity without its module prefix.
    pub fn as_name(&self) -> Option<&str> {
        self.as_text().map(|text| text.rsplit_once(':').map_or(text, |(_, name)| name))
    }

    /// A whole number, in text too (as JSON_IETF writes it), and with a fraction of 0 (as Go writes large ones).
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Uint(number) => Some(*number),
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Double(number) => whole(*number),
            other => {
                let text = other.as_text()?;
                text.parse().ok().or_else(|| whole(text.parse().ok()?))
            }
        }
    }

    /// A truth, in text of any letters too, and as 0 or 1.
    pub fn as_bool(&self) -> Option<bool> {
        match (self, self.as_text()) {
            (Self::Bool(truth), _) => Some(*truth),
            (_, Some(text)) if text.eq_ignore_ascii_case("true") => Some(true),
            (_, Some(text)) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => match self.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and within bounds")]
fn whole(number: f64) -> Option<u64> {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0; // 2 to the 64th
    (number.fract() == 0.0 && (0.0..BEYOND).contains(&number)).then_some(number as u64)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            other => write!(f, "{}", other.to_json(false)),
        }
    }
}

/// The leaves below `path`: a JSON tree is walked, anything else is one leaf.
pub fn leaves(path: Path, value: Value) -> Vec<(Path, Value)> {
    leaves_within(path, value, &mut { usize::MAX }).unwrap_or_default()
}

/// As [`leaves`], while `room` lasts, of which each path takes its [`Path::size`]; None where it does not. A tree says
/// once what the path of each of its leaves repeats.
pub fn leaves_within(path: Path, value: Value, room: &mut usize) -> Option<Vec<(Path, Value)>> {
    let mut found = Vec::new();
    walk(path, value, &mut found, room)?;
    Some(found)
}

fn walk(path: Path, value: Value, found: &mut Vec<(Path, Value)>, room: &mut usize) -> Option<()> {
    *room = room.checked_sub(path.size())?;
    match value {
        Value::Json(Json::Object(members)) => {
            for (name, member) in members {
                let below = path.child(name.rsplit_once(':').map_or(name.as_str(), |(_, bare)| bare));
                walk(below, Value::from_json(member), found, room)?;
            }
        }
        Value::Json(Json::Array(items)) if items.iter().any(Json::is_object) => {
            for item in items {
                walk(entry(&path, &item), Value::from_json(item), found, room)?;
            }
        }
        Value::Json(Json::Array(items)) => {
            found.push((path, Value::List(items.into_iter().map(Value::from_json).collect())));
        }
        leaf => found.push((path, leaf)),
    }
    Some(())
}

/// The path of a list's entry: its key is the leaf that OpenConfig's lists are keyed by.
fn entry(list: &Path, item: &Json) -> Path {
    let mut path = list.clone();
    let key = ["name", "index", "id"].iter().find_map(|key| {
        let member = item.as_object()?.iter().find(|(name, _)| name.rsplit(':').next() == Some(*key))?;
        Some(((*key).to_owned(), Value::from_json(member.1.clone()).to_string()))
    });
    if let Some(Element { keys, .. }) = path.elements.last_mut() {
        *keys = BTreeMap::from_iter(key);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_ietf_numbers_and_identities_read_as_what_they_mean() {
        let value = Value::from_wire(&gnmi::TypedValue {
            value: Some(Wire::JsonIetfVal(br#""1700000000000000000""#.to_vec())),
        })
        .expect("a value");
        assert_eq!(value.as_u64(), Some(1_700_000_000_000_000_000));
        assert_eq!(Value::String("openconfig-platform-types:PRIMARY".into()).as_name(), Some("PRIMARY"));
    }

    #[test]
    fn numbers_and_truths_read_however_they_are_told() {
        let text = |text: &str| Value::String(text.to_owned());
        for value in [
            Value::Uint(1_700_000_000_000_000_000),
            Value::Double(1.7e18),
            text("1700000000000000000"),
            text(" 1.7E18\n"),
            Value::Bytes(b"1700000000000000000".to_vec()),
        ] {
            assert_eq!(value.as_u64(), Some(1_700_000_000_000_000_000), "{value:?}");
        }
        for value in [Value::Double(1.5), Value::Double(-1.0), Value::Double(1e300), Value::Int(-1), text("soon")] {
            assert_eq!(value.as_u64(), None, "{value:?}");
        }
        assert_eq!(Value::Double(f64::NAN).as_u64(), None);
        for (value, truth) in [
            (Value::Bool(true), Some(true)),
            (text("TRUE"), Some(true)),
            (text("False"), Some(false)),
            (Value::Uint(1), Some(true)),
            (Value::Int(0), Some(false)),
            (text("yes"), None),
            (Value::Uint(2), None),
        ] {
            assert_eq!(value.as_bool(), truth, "{value:?}");
        }
        assert_eq!(Value::Bytes(b"openconfig-platform-types:PRIMARY".to_vec()).as_name(), Some("PRIMARY"));
        assert_eq!(Value::Bytes(vec![0xff]).as_name(), None);
    }

    #[test]
    fn values_survive_each_encoding() {
        for encoding in [Encoding::Json, Encoding::JsonIetf, Encoding::Proto] {
            for value in [Value::Uint(7), Value::Bool(true), Value::String("x".into())] {
                let back = Value::from_wire(&value.to_wire(encoding)).expect("a value");
                assert_eq!(back.to_string(), value.to_string());
            }
        }
    }

    #[test]
    fn a_tree_that_comes_to_more_than_its_bytes_is_walked_while_there_is_room() {
        let mut tree: Json =
            (0..100).map(|number| (number.to_string(), Json::from(1))).collect::<serde_json::Map<_, _>>().into();
        for _ in 0..100 {
            tree = serde_json::json!({ "a": tree });
        }
        let cut = |room: usize| leaves_within(Path::default(), Value::Json(tree.clone()), &mut { room });
        assert_eq!(cut(2 << 20).map(|leaves| leaves.len()), Some(100));
        assert_eq!(cut(1 << 18), None);
    }

    #[test]
    fn a_tree_is_cut_into_its_leaves() {
        let json = serde_json::json!({"openconfig-platform:component": [
            {"name": "RE0", "state": {"redundant-role": "PRIMARY", "switchover-ready": true}}]});
        let root: Path = "/components".parse().expect("a path");
        let found: Vec<String> =
            leaves(root, Value::Json(json)).iter().map(|(path, v)| format!("{path} {v}")).collect();
        assert_eq!(
            found,
            [
                "/components/component[name=RE0]/name RE0",
                "/components/component[name=RE0]/state/redundant-role PRIMARY",
                "/components/component[name=RE0]/state/switchover-ready true",
            ]
        );
    }
}
