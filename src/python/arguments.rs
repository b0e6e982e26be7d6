//! What Python hands in: durations, ports, restart policies.

use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;

use super::calls::conceal;
use super::errors::invalid;
use crate::device::expect::Patience;
use crate::gnoi::containerz::RestartPolicy;

/// Seconds as a number, or a `datetime.timedelta`.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub Duration);

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = match value.extract() {
            Ok(seconds) => seconds,
            Err(_) => match value.call_method0("total_seconds") {
                Ok(total) => total.extract()?,
                Err(_) => return Err(PyTypeError::new_err("a duration is seconds, as a number or a timedelta")),
            },
        };
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| invalid(format!("{seconds} s is no duration: give 0 or more, and a finite number")))
    }
}

/// A whole number, which is an error of ours where it is too large or too small for what takes it.
#[derive(Debug, Clone, Copy)]
pub struct Whole<T>(pub T);

/// The least and the largest of a kind of number.
pub trait Bounded {
    fn bounds() -> (String, String);
}

macro_rules! bounded {
    ($($kind:ty)*) => {
        $(impl Bounded for $kind {
            fn bounds() -> (String, String) {
                (<$kind>::MIN.to_string(), <$kind>::MAX.to_string())
            }
        })*
    };
}

bounded!(u16 u32 u64 usize i32 i64);

impl<'a, 'py, T: Bounded + FromPyObject<'a, 'py, Error = PyErr>> FromPyObject<'a, 'py> for Whole<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        within(value, |given| {
            let (least, largest) = T::bounds();
            format!("{given} is out of range: give a whole number from {least} to {largest}")
        })
        .map(Self)
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub u16);

impl<'a, 'py> FromPyObject<'a, 'py> for Port {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        within(value, |given| format!("{given} is no TCP port: give a number from 1 to 65535")).map(Self)
    }
}

/// What Python would call an `OverflowError`, which says neither of what nor what there is room for.
fn within<'a, 'py, T: FromPyObject<'a, 'py, Error = PyErr>>(
    value: Borrowed<'a, 'py, PyAny>,
    words: impl FnOnce(&str) -> String,
) -> PyResult<T> {
    value.extract().map_err(|error: PyErr| {
        if !error.is_instance_of::<PyOverflowError>(value.py()) {
            return error;
        }
        // Python writes no number of thousands of digits.
        let given = value.str().map_or_else(|_| "that number".to_owned(), |text| text.to_string_lossy().into_owned());
        invalid(words(&given))
    })
}

/// A password or the like: `holdfast.secret.Secret`, which no Python traceback shows, or a `str`.
pub struct Secret(pub String);

impl<'a, 'py> FromPyObject<'a, 'py> for Secret {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let revealed = value.extract().or_else(|_| value.call_method0("reveal").and_then(|text| text.extract()));
        let text: String = revealed.map_err(|_| PyTypeError::new_err("a password is a text"))?;
        conceal(&text);
        Ok(Self(text))
    }
}

/// An optional duration.
pub fn duration(seconds: Option<Seconds>) -> Option<Duration> {
    seconds.map(|seconds| seconds.0)
}

/// `within=` and `watch=` of an expectation.
pub fn patience(within: Option<Seconds>, watch: Option<Seconds>) -> Patience {
    Patience { within: duration(within), watch: duration(watch) }
}

/// `ALWAYS`, `NONE`, `UNLESS_STOPPED`, `ON_FAILURE`, or `ON_FAILURE:3`.
pub fn restart_policy(text: &str) -> PyResult<RestartPolicy> {
    let (name, attempts) = text.split_once(':').unwrap_or((text, "0"));
    match (name, attempts.parse()) {
        ("ALWAYS", _) => Ok(RestartPolicy::Always),
        ("NONE", _) => Ok(RestartPolicy::None),
        ("UNLESS_STOPPED", _) => Ok(RestartPolicy::UnlessStopped),
        ("ON_FAILURE", Ok(attempts)) => Ok(RestartPolicy::OnFailure(attempts)),
        _ => Err(invalid(format!("restart={text:?}: give ALWAYS, NONE, UNLESS_STOPPED, or ON_FAILURE:ATTEMPTS"))),
    }
}

/// One of the words of a table, or an error that names them all.
pub fn chosen<T: Copy>(what: &str, given: &str, words: &[(&'static str, T)]) -> PyResult<T> {
    words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        invalid(format!("{what}={given:?}: one of {}", known.join(", ")))
    })
}
