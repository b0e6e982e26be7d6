//! What Python hands in for gNMI: paths, values, kinds of data, extensions.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyInt, PyList, PyMapping, PyTuple};

use super::arguments::Seconds;
use super::errors::{invalid, refused};
use crate::error::Error;
use crate::gnmi::request::{DataType, Envelope, Extension};
use crate::gnmi::{Path, StreamMode, SubscribedPath, Value};
use crate::wire::gnmi::Encoding;

/// One path, or several.
#[derive(Default)]
pub struct Texts(Vec<String>);

impl<'a, 'py> FromPyObject<'a, 'py> for Texts {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<String>() {
            Ok(one) => Ok(Self(vec![one])),
            Err(_) => value.extract().map(Self),
        }
    }
}

/// `holdfast.SubscribedPath`
#[derive(FromPyObject)]
pub struct Described {
    path: String,
    mode: String,
    sample_interval: Option<Seconds>,
    heartbeat_interval: Option<Seconds>,
    suppress_redundant: bool,
}

/// A path of a STREAM, as text or with its own mode.
#[derive(FromPyObject)]
enum StreamPath {
    Text(String),
    Described(Described),
}

/// One of them, or several.
pub struct StreamPaths(Vec<StreamPath>);

impl<'a, 'py> FromPyObject<'a, 'py> for StreamPaths {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(one) = value.extract::<StreamPath>() {
            return Ok(Self(vec![one]));
        }
        let wrong = |_| PyTypeError::new_err("a path is a text, or a holdfast.SubscribedPath; several are a list");
        value.extract().map(Self).map_err(wrong)
    }
}

impl From<Texts> for StreamPaths {
    fn from(texts: Texts) -> Self {
        Self(texts.0.into_iter().map(StreamPath::Text).collect())
    }
}

/// Values by path: a mapping, or pairs, in their order.
pub struct Values<'py>(Vec<(String, Bound<'py, PyAny>)>);

impl<'a, 'py> FromPyObject<'a, 'py> for Values<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.cast::<PyMapping>() {
            Ok(mapping) => mapping.items()?.extract().map(Self),
            Err(_) => value.extract().map(Self),
        }
    }
}

/// `holdfast.Extension`s, or encoded ones.
#[derive(Default)]
pub struct Extensions(pub Vec<Extension>);

impl<'a, 'py> FromPyObject<'a, 'py> for Extensions {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let wrong = || PyTypeError::new_err("extensions are a list of holdfast.Extension, or of encoded ones as bytes");
        let mut found = Vec::new();
        for each in value.try_iter().map_err(|_| wrong())? {
            let each = each?;
            let encoded = match each.cast::<PyBytes>() {
                Ok(bytes) => bytes.as_bytes().to_vec(),
                Err(_) => each.getattr("encoded").and_then(|encoded| encoded.extract()).map_err(|_| wrong())?,
            };
            found.push(crate::gnmi::request::extension(&encoded).map_err(|error| refused(&error))?);
        }
        Ok(Self(found))
    }
}

/// What a request says beside its paths, as Python has it.
pub struct Asked<'a> {
    pub prefix: Option<&'a str>,
    pub target: &'a str,
    pub origin: Option<&'a str>,
    pub encoding: Option<&'a str>,
}

/// The same, read: an envelope, and the origin of paths that have none.
pub struct Read {
    pub envelope: Envelope,
    origin: String,
    has_prefix: bool,
}

impl Asked<'_> {
    pub fn read(self, extensions: Option<Extensions>) -> PyResult<Read> {
        let origin = self.origin.unwrap_or("openconfig").to_owned();
        let has_prefix = self.prefix.is_some_and(|prefix| !prefix.is_empty());
        let mut prefix = path(self.prefix.unwrap_or_default())?;
        if has_prefix && prefix.origin.is_empty() {
            prefix.origin.clone_from(&origin);
        }
        let encoding = self.encoding.map(encoding).transpose()?;
        let extensions = extensions.unwrap_or_default().0;
        let envelope = Envelope { prefix, target: self.target.to_owned(), encoding, extensions };
        Ok(Read { envelope, origin, has_prefix })
    }
}

impl Read {
    fn path(&self, text: &str) -> PyResult<Path> {
        let mut path = path(text)?;
        if self.has_prefix && !path.origin.is_empty() {
            let message = format!("{text}: with a prefix, the origin of all paths is the prefix's");
            return Err(refused(&Error::invalid(message).hint("write the origin before the prefix alone")));
        }
        if !self.has_prefix && path.origin.is_empty() {
            path.origin.clone_from(&self.origin);
        }
        Ok(path)
    }

    pub fn paths(&self, texts: &Texts) -> PyResult<Vec<Path>> {
        texts.0.iter().map(|text| self.path(text)).collect()
    }

    /// Values as JSON, which Python's `json` wrote, and bytes as they are.
    pub fn values(&self, given: Option<Values<'_>>) -> PyResult<Vec<(Path, Value)>> {
        let given = given.map(|values| values.0).unwrap_or_default();
        given.into_iter().map(|(at, value)| Ok((self.path(&at)?, read_value(&at, &value)?))).collect()
    }
}

fn read_value(at: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    let py = value.py();
    let strict = [("allow_nan", false)].into_py_dict(py)?;
    let json = py
        .import("json")?
        .call_method("dumps", (value,), Some(&strict))
        .map_err(|error| invalid(format!("{at}: its value cannot be written as JSON: {}", error.value(py))))?;
    let json: serde_json::Value = serde_json::from_str(&json.extract::<String>()?)
        .map_err(|error| invalid(format!("{at}: its value cannot be written as JSON: {error}")))?;
    if let Some(number) = too_large(value) {
        return Err(invalid(format!("{at}: {number} has more than 64 bits, which no type of YANG holds: give a text")));
    }
    Ok(Value::Json(json))
}

/// A whole number that has no room in 64 bits: JSON's reader would make a fraction of it, which is another number.
fn too_large(value: &Bound<'_, PyAny>) -> Option<String> {
    if value.cast::<PyInt>().is_ok() {
        let fits = value.extract::<i64>().is_ok() || value.extract::<u64>().is_ok();
        return (!fits).then(|| value.str().map_or_else(|_| "its value".to_owned(), |text| text.to_string()));
    }
    if let Ok(members) = value.cast::<PyDict>() {
        return members.values().iter().find_map(|value| too_large(&value));
    }
    let is_list = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    is_list.then(|| value.try_iter().ok()?.find_map(|value| too_large(&value.ok()?))).flatten()
}

fn path(text: &str) -> PyResult<Path> {
    text.parse().map_err(|error| refused(&Error::from(error)))
}

fn encoding(text: &str) -> PyResult<Encoding> {
    Encoding::from_str_name(&text.to_ascii_uppercase())
        .ok_or_else(|| invalid(format!("encoding={text:?}: give PROTO, JSON_IETF, JSON, ASCII or BYTES")))
}

/// `ALL`, `CONFIG`, `STATE` or `OPERATIONAL`.
pub fn data_type(text: &str) -> PyResult<DataType> {
    DataType::from_str_name(&text.to_ascii_uppercase())
        .ok_or_else(|| invalid(format!("type={text:?}: give ALL, CONFIG, STATE or OPERATIONAL")))
}

fn nanoseconds(interval: Option<Seconds>) -> u64 {
    interval.map_or(0, |interval| u64::try_from(interval.0.as_nanos()).unwrap_or(u64::MAX))
}

/// The paths of a subscription; what is said of all goes for those that say nothing themselves.
pub fn streamed(
    asked: &Read,
    paths: StreamPaths,
    mode: &str,
    interval: Option<Seconds>,
    heartbeat_interval: Option<Seconds>,
    suppress_redundant: bool,
) -> PyResult<Vec<SubscribedPath>> {
    let read = |each| {
        let described = match each {
            StreamPath::Text(path) => Described {
                path,
                mode: mode.to_owned(),
                sample_interval: interval,
                heartbeat_interval,
                suppress_redundant,
            },
            StreamPath::Described(described) => described,
        };
        let mode = stream_mode(&described.mode, described.sample_interval)?;
        if described.suppress_redundant && !matches!(mode, StreamMode::Sample(_)) {
            return Err(invalid(format!("{}: suppress_redundant goes with mode SAMPLE", described.path)));
        }
        Ok(SubscribedPath {
            path: asked.path(&described.path)?,
            mode,
            heartbeat_interval: nanoseconds(described.heartbeat_interval),
            suppress_redundant: described.suppress_redundant,
        })
    };
    paths.0.into_iter().map(read).collect()
}

fn stream_mode(text: &str, interval: Option<Seconds>) -> PyResult<StreamMode> {
    match (text.to_ascii_uppercase().as_str(), interval) {
        ("ON_CHANGE", None) => Ok(StreamMode::OnChange),
        ("TARGET_DEFINED", None) => Ok(StreamMode::TargetDefined),
        ("ON_CHANGE" | "TARGET_DEFINED", Some(_)) => {
            Err(invalid(format!("mode={text:?}: an interval goes with SAMPLE")))
        }
        ("SAMPLE", Some(_)) => Ok(StreamMode::Sample(nanoseconds(interval))),
        ("SAMPLE", None) => Err(invalid("mode=\"SAMPLE\" needs interval= in seconds")),
        _ => Err(invalid(format!("mode={text:?}: give ON_CHANGE, TARGET_DEFINED or SAMPLE"))),
    }
}
