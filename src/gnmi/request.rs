//! What is asked of a device by gNMI, as the messages that carry it.

use prost::Message;

use super::path::Path;
use super::value::Value;
use crate::error::{Error, Result};
pub use crate::wire::extension::Extension;
pub use crate::wire::gnmi::get_request::DataType;
use crate::wire::gnmi::subscription_list::Mode;
use crate::wire::gnmi::{
    self, Encoding, GetRequest, QosMarking, SetRequest, SubscribeRequest, SubscriptionList, SubscriptionMode,
    TypedValue, Update, subscribe_request, typed_value,
};

/// One that was encoded elsewhere.
pub fn extension(encoded: &[u8]) -> Result<Extension> {
    let wrong = |error| Error::invalid(format!("these bytes are no gnmi_ext.Extension: {error}"));
    Extension::decode(encoded).map_err(wrong)
}

/// What a request carries beside its paths and values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Envelope {
    /// What all paths lie below. Its origin is that of all of them, which then have none themselves.
    pub prefix: Path,
    /// Which device is meant, of several that answer at one address; empty for none.
    pub target: String,
    /// None for one that the device takes.
    pub encoding: Option<Encoding>,
    /// Sent as they are.
    pub extensions: Vec<Extension>,
}

impl Envelope {
    fn to_gnmi(&self) -> Option<gnmi::Path> {
        let prefix = gnmi::Path { target: self.target.clone(), ..self.prefix.to_gnmi() };
        (prefix != gnmi::Path::default()).then_some(prefix)
    }

    fn unusual(&self) -> impl Iterator<Item = String> {
        let prefix = (!self.prefix.elements.is_empty()).then(|| format!("prefix {}", self.prefix));
        let target = (!self.target.is_empty()).then(|| format!("target {}", self.target));
        let encoding = self.encoding.map(|encoding| format!("encoding {}", encoding.as_str_name()));
        let extensions = (!self.extensions.is_empty()).then(|| "extensions".to_owned());
        [prefix, target, encoding, extensions].into_iter().flatten()
    }
}

/// A Get.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Get {
    /// What is read.
    pub paths: Vec<Path>,
    /// Which kind of data of it.
    pub kind: DataType,
    /// What else is asked.
    pub envelope: Envelope,
}

impl Get {
    /// Of everything at some paths.
    pub fn all(paths: &[Path]) -> Self {
        Self { paths: paths.to_vec(), ..Self::default() }
    }

    pub(super) fn message(&self, encoding: Encoding) -> GetRequest {
        GetRequest {
            prefix: self.envelope.to_gnmi(),
            path: self.paths.iter().map(Path::to_gnmi).collect(),
            r#type: self.kind as i32,
            encoding: encoding as i32,
            extension: self.envelope.extensions.clone(),
            ..GetRequest::default()
        }
    }

    /// What of it a device may not take, in words.
    pub(super) fn unusual(&self) -> Vec<String> {
        let kind = (self.kind != DataType::All).then(|| format!("type {}", self.kind.as_str_name()));
        kind.into_iter().chain(self.envelope.unusual()).collect()
    }
}

/// A Set: all of it is done, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    /// What goes.
    pub delete: Vec<Path>,
    /// What takes the place of the whole configuration, all of it together.
    pub union_replace: Vec<(Path, Value)>,
    /// What takes the place of what is at a path.
    pub replace: Vec<(Path, Value)>,
    /// What is merged with what is at a path.
    pub update: Vec<(Path, Value)>,
    /// What else is asked; the encoding is JSON_IETF where none is given.
    pub envelope: Envelope,
}

impl Set {
    pub(super) fn message(&self) -> Result<SetRequest> {
        let encoding = self.envelope.encoding.unwrap_or(Encoding::JsonIetf);
        let prefix = &self.envelope.prefix;
        let updates = |given: &[(Path, Value)]| {
            given.iter().map(|(path, value)| to_update(prefix, path, value, encoding)).collect::<Result<Vec<_>>>()
        };
        Ok(SetRequest {
            prefix: self.envelope.to_gnmi(),
            delete: self.delete.iter().map(Path::to_gnmi).collect(),
            replace: updates(&self.replace)?,
            update: updates(&self.update)?,
            extension: self.envelope.extensions.clone(),
            union_replace: updates(&self.union_replace)?,
        })
    }

    /// What of it a device may not take, in words.
    pub(super) fn unusual(&self) -> Vec<String> {
        let union_replace = (!self.union_replace.is_empty()).then(|| "union_replace".to_owned());
        union_replace.into_iter().chain(self.envelope.unusual()).collect()
    }

    /// Where it may change something that can be read again; what lies below another of them is left out.
    pub(super) fn touched(&self) -> Vec<Path> {
        if !self.union_replace.is_empty() {
            return vec![Path { origin: "openconfig".to_owned(), ..Path::default() }];
        }
        let given = self.replace.iter().chain(&self.update).map(|(path, _)| path);
        let mut all: Vec<&Path> =
            self.delete.iter().chain(given).filter(|path| !is_cli(&self.envelope.prefix, path)).collect();
        all.sort_by_key(|path| path.elements.len());
        let mut touched: Vec<Path> = Vec::new();
        for path in all {
            if !touched.iter().any(|above| above.origin == path.origin && above.covers(path)) {
                touched.push(path.clone());
            }
        }
        touched
    }
}

/// Whether what is set there is a vendor's command line, as text: `cli`, `xros_cli` and the like.
fn is_cli(prefix: &Path, path: &Path) -> bool {
    let origin = if path.origin.is_empty() { &prefix.origin } else { &path.origin };
    origin == "cli" || origin.ends_with("_cli")
}

fn to_update(prefix: &Path, path: &Path, value: &Value, encoding: Encoding) -> Result<Update> {
    let val = match value {
        Value::Json(serde_json::Value::String(text)) if is_cli(prefix, path) => ascii(text),
        _ => typed(path, value, encoding)?,
    };
    Ok(Update { path: Some(path.to_gnmi()), val: Some(val), ..Update::default() })
}

fn ascii(text: &str) -> TypedValue {
    TypedValue { value: Some(typed_value::Value::AsciiVal(text.to_owned())) }
}

/// A value as it is given, in an encoding that can say it.
fn typed(path: &Path, value: &Value, encoding: Encoding) -> Result<TypedValue> {
    let cannot = |what: &str, hint: &str| {
        let name = encoding.as_str_name();
        Err(Error::invalid(format!("{path}: {what}, which encoding {name} cannot say")).hint(hint))
    };
    match (encoding, value) {
        (Encoding::Json | Encoding::JsonIetf, Value::Bytes(_)) => {
            cannot("its value is bytes", "give encoding BYTES or PROTO")
        }
        (Encoding::Bytes | Encoding::Proto, Value::Bytes(bytes)) => {
            Ok(TypedValue { value: Some(typed_value::Value::BytesVal(bytes.clone())) })
        }
        (Encoding::Bytes, _) => cannot("its value is not bytes", "give JSON_IETF, or bytes"),
        (Encoding::Ascii, Value::Json(serde_json::Value::String(text))) => Ok(ascii(text)),
        (Encoding::Ascii, _) => cannot("its value is no text", "give JSON_IETF, or a text"),
        (Encoding::Proto, Value::Json(json)) => match scalar(json) {
            Some(leaf) => Ok(leaf.to_wire(encoding)),
            None => cannot("its value is a tree", "give JSON_IETF, or each leaf by its own path"),
        },
        _ => Ok(value.to_wire(encoding)),
    }
}

/// A leaf, or a list of leaves.
fn scalar(json: &serde_json::Value) -> Option<Value> {
    match json {
        serde_json::Value::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>().map(Value::List),
        serde_json::Value::Object(_) | serde_json::Value::Null => None,
        other => Some(Value::from_json(other.clone())),
    }
}

/// How a STREAM subscription is to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamMode {
    /// By each change.
    OnChange,
    /// As the device thinks best.
    TargetDefined,
    /// Every so many nanoseconds; 0 for as often as the device can.
    Sample(u64),
}

/// One path of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribedPath {
    /// What is told.
    pub path: Path,
    /// When it is told, on a STREAM.
    pub mode: StreamMode,
    /// After so many nanoseconds it is told again, changed or not; 0 for never.
    pub heartbeat_interval: u64,
    /// Whether a sample that equals the one before it is left out.
    pub suppress_redundant: bool,
}

impl SubscribedPath {
    /// Told by `mode`, and nothing else.
    pub fn new(path: Path, mode: StreamMode) -> Self {
        Self { path, mode, heartbeat_interval: 0, suppress_redundant: false }
    }

    fn message(&self) -> gnmi::Subscription {
        let (mode, sample_interval) = match self.mode {
            StreamMode::OnChange => (SubscriptionMode::OnChange, 0),
            StreamMode::TargetDefined => (SubscriptionMode::TargetDefined, 0),
            StreamMode::Sample(interval) => (SubscriptionMode::Sample, interval),
        };
        gnmi::Subscription {
            path: Some(self.path.to_gnmi()),
            mode: mode as i32,
            sample_interval,
            suppress_redundant: self.suppress_redundant,
            heartbeat_interval: self.heartbeat_interval,
        }
    }
}

/// A Subscribe.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscribe {
    /// What is told, each in its own way.
    pub paths: Vec<SubscribedPath>,
    /// Whether what is there at the beginning is left out.
    pub updates_only: bool,
    /// Whether the device may put what belongs together into one value.
    pub allow_aggregation: bool,
    /// The DSCP of its packets.
    pub qos: Option<u32>,
    /// What else is asked.
    pub envelope: Envelope,
}

impl Subscribe {
    /// To some paths, all in one way.
    pub fn to(paths: &[Path], mode: StreamMode) -> Self {
        let paths = paths.iter().map(|path| SubscribedPath::new(path.clone(), mode)).collect();
        Self { paths, ..Self::default() }
    }

    pub(super) fn message(&self, kind: Mode, encoding: Encoding) -> SubscribeRequest {
        let list = SubscriptionList {
            prefix: self.envelope.to_gnmi(),
            subscription: self.paths.iter().map(SubscribedPath::message).collect(),
            qos: self.qos.map(|marking| QosMarking { marking }),
            mode: kind as i32,
            allow_aggregation: self.allow_aggregation,
            encoding: encoding as i32,
            updates_only: self.updates_only,
            ..SubscriptionList::default()
        };
        SubscribeRequest {
            request: Some(subscribe_request::Request::Subscribe(list)),
            extension: self.envelope.extensions.clone(),
        }
    }

    /// What of it a device may not take, in words.
    pub(super) fn unusual(&self) -> Vec<String> {
        let any = |of: fn(&SubscribedPath) -> bool| self.paths.iter().any(of);
        let own = [
            (any(|path| path.mode == StreamMode::OnChange), "mode ON_CHANGE"),
            (any(|path| matches!(path.mode, StreamMode::Sample(_))), "mode SAMPLE with that sample_interval"),
            (any(|path| path.heartbeat_interval != 0), "heartbeat_interval"),
            (any(|path| path.suppress_redundant), "suppress_redundant"),
            (self.updates_only, "updates_only"),
            (self.allow_aggregation, "allow_aggregation"),
            (self.qos.is_some(), "qos"),
        ];
        let own = own.into_iter().filter(|(given, _)| *given).map(|(_, name)| name.to_owned());
        own.chain(self.envelope.unusual()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().expect(text)
    }

    fn json(value: serde_json::Value) -> Value {
        Value::Json(value)
    }

    fn sent(value: Value, encoding: Encoding) -> Result<typed_value::Value> {
        let envelope = Envelope { encoding: Some(encoding), ..Envelope::default() };
        let set = Set { update: vec![(path("/a/b"), value)], envelope, ..Set::default() };
        let update = set.message()?.update.remove(0);
        Ok(update.val.and_then(|val| val.value).expect("a value"))
    }

    #[test]
    fn json_is_sent_as_it_was_given_and_numbers_stay_numbers() {
        let number = sent(json(9000.into()), Encoding::JsonIetf).expect("it can be said");
        assert_eq!(number, typed_value::Value::JsonIetfVal(b"9000".to_vec()));
        let text = sent(json("9000".into()), Encoding::Json).expect("it can be said");
        assert_eq!(text, typed_value::Value::JsonVal(b"\"9000\"".to_vec()));
    }

    #[test]
    fn each_encoding_says_what_it_can_and_no_more() {
        let tree = || json(serde_json::json!({"c": 1}));
        let list = sent(json(serde_json::json!(["x", 2])), Encoding::Proto).expect("a leaf-list");
        assert!(matches!(list, typed_value::Value::LeaflistVal(list) if list.element.len() == 2));
        assert_eq!(sent(json(7.into()), Encoding::Proto).expect("a leaf"), typed_value::Value::UintVal(7));
        let bytes = sent(Value::Bytes(vec![0, 255]), Encoding::Bytes).expect("bytes");
        assert_eq!(bytes, typed_value::Value::BytesVal(vec![0, 255]));
        for (value, encoding) in [
            (tree(), Encoding::Proto),
            (tree(), Encoding::Ascii),
            (tree(), Encoding::Bytes),
            (Value::Bytes(vec![1]), Encoding::JsonIetf),
            (json(serde_json::Value::Null), Encoding::Proto),
        ] {
            let error = sent(value, encoding).expect_err("it cannot be said");
            assert!(error.message.contains("/a/b") && error.message.contains(encoding.as_str_name()), "{error}");
        }
    }

    #[test]
    fn a_command_line_is_text_whatever_the_encoding_is() {
        for origin in ["cli", "xros_cli"] {
            let at = Path { origin: origin.to_owned(), ..Path::default() };
            let set = Set { update: vec![(at, json("write memory".into()))], ..Set::default() };
            let update = set.message().expect("a message").update.remove(0);
            assert_eq!(update.val, Some(ascii("write memory")));
            assert!(set.touched().is_empty());
        }
    }

    #[test]
    fn a_set_touches_what_no_other_of_its_paths_covers() {
        let set = Set {
            delete: vec![path("/a/b/c"), path("/x")],
            replace: vec![(path("/a"), json(1.into()))],
            update: vec![(path("/x/y"), json(1.into())), (path("/z"), json(1.into()))],
            ..Set::default()
        };
        assert_eq!(set.touched(), [path("/x"), path("/a"), path("/z")]);
        let union = Set { union_replace: set.update.clone(), ..set };
        assert_eq!(union.touched(), [Path { origin: "openconfig".to_owned(), ..Path::default() }]);
    }

    #[test]
    fn a_request_that_says_nothing_of_a_prefix_carries_none() {
        assert_eq!(Get::all(&[path("/a")]).message(Encoding::Proto).prefix, None);
        let envelope = Envelope { target: "dut".to_owned(), ..Envelope::default() };
        let prefix = Get { envelope, ..Get::default() }.message(Encoding::Proto).prefix.expect("a prefix");
        assert_eq!((prefix.target.as_str(), prefix.elem.len()), ("dut", 0));
    }
}
