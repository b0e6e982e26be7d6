//! gNMI.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use super::arguments::{Seconds, duration};
use super::both_worlds::both_worlds;
use super::errors::{invalid, refused};
use super::{results, runtime};
use crate::device::Device as CoreDevice;
use crate::dial::Call;
use crate::error::Result;
use crate::gnmi::client::Received;
use crate::gnmi::{Path, StreamMode, Subscription as Stream, Value};

/// One path, or several.
pub struct Paths(Vec<Path>);

impl<'a, 'py> FromPyObject<'a, 'py> for Paths {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let texts: Vec<String> = match value.extract::<String>() {
            Ok(one) => vec![one],
            Err(_) => value.extract()?,
        };
        texts.iter().map(|text| path(text)).collect::<PyResult<_>>().map(Self)
    }
}

fn path(text: &str) -> PyResult<Path> {
    let mut path: Path = text.parse().map_err(|error| refused(&crate::error::Error::from(error)))?;
    if path.origin.is_empty() {
        path.origin = String::from("openconfig");
    }
    Ok(path)
}

/// Values as JSON text by path; Python's `json` wrote them.
fn updates(values: Option<BTreeMap<String, Bound<'_, PyAny>>>) -> PyResult<Vec<(Path, Value)>> {
    let given = values.unwrap_or_default();
    given
        .into_iter()
        .map(|(at, value)| {
            let json: String = value.py().import("json")?.call_method1("dumps", (value,))?.extract()?;
            let json = serde_json::from_str(&json).map_err(|error| invalid(error.to_string()))?;
            Ok((path(&at)?, Value::from_json(json)))
        })
        .collect()
}

fn mode(text: &str, interval: Option<Seconds>) -> PyResult<StreamMode> {
    match (text, interval) {
        ("ON_CHANGE", _) => Ok(StreamMode::OnChange),
        ("TARGET_DEFINED", _) => Ok(StreamMode::TargetDefined),
        ("SAMPLE", Some(interval)) => Ok(StreamMode::Sample(u64::try_from(interval.0.as_nanos()).unwrap_or(u64::MAX))),
        ("SAMPLE", None) => Err(invalid("mode=\"SAMPLE\" needs interval= in seconds")),
        (other, _) => Err(invalid(format!("mode={other:?}: give ON_CHANGE, TARGET_DEFINED or SAMPLE"))),
    }
}

both_worlds! {
    /// gNMI of a device.
    Gnmi and AsyncGnmi over CoreDevice, in Client;

    /// Capabilities.
    #[pyo3(signature = (*, timeout=None))]
    fn capabilities(device, timeout: Option<Seconds>) => results::capabilities {
        async move { device.gnmi.capabilities(device.session().deadline(duration(timeout))).await }
    }

    /// Get.
    #[pyo3(signature = (paths, *, timeout=None))]
    fn get(device, paths: Paths, timeout: Option<Seconds>) => results::leaves {
        async move { device.gnmi.get(&paths.0, device.session().deadline(duration(timeout))).await }
    }

    /// Set.
    #[pyo3(signature = (*, update=None, replace=None, delete=None, timeout=None))]
    fn set(device, update: Option<BTreeMap<String, Bound<'_, PyAny>>>,
        replace: Option<BTreeMap<String, Bound<'_, PyAny>>>, delete: Option<Paths>, timeout: Option<Seconds>)
        => results::nothing
    {
        let (update, replace) = (updates(update)?, updates(replace)?);
        let delete = delete.map(|paths| paths.0).unwrap_or_default();
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.gnmi.set(&update, &replace, &delete, deadline).await.map(|_| ())
        }
    }

    /// Subscribe ONCE.
    #[pyo3(signature = (paths, *, timeout=None))]
    fn once(device, paths: Paths, timeout: Option<Seconds>) => results::leaves {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.gnmi.once(&paths.0, Call::read("gNMI.Subscribe", deadline)).await
        }
    }
}

macro_rules! opening {
    ($class:ident, $subscription:ident) => {
        #[pymethods]
        impl $class {
            /// Subscribe STREAM.
            #[pyo3(signature = (paths, *, mode="TARGET_DEFINED", interval=None, resume=true, timeout=None))]
            fn stream<'py>(
                &self,
                py: Python<'py>,
                paths: Paths,
                mode: &str,
                interval: Option<Seconds>,
                resume: bool,
                timeout: Option<Seconds>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let (device, mode) = (self.inner.clone(), self::mode(mode, interval)?);
                let deadline = duration(timeout);
                $subscription::opened(py, async move {
                    let stream = device.gnmi.stream(&paths.0, mode, device.session().deadline(deadline)).await?;
                    Ok(stream.on_loss(device.on_loss(resume)))
                })
            }

            /// Subscribe POLL.
            #[pyo3(signature = (paths, *, resume=true, timeout=None))]
            fn poll<'py>(
                &self,
                py: Python<'py>,
                paths: Paths,
                resume: bool,
                timeout: Option<Seconds>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let (device, deadline) = (self.inner.clone(), duration(timeout));
                $subscription::opened(py, async move {
                    let stream = device.gnmi.poll(&paths.0, device.session().deadline(deadline)).await?;
                    Ok(stream.on_loss(device.on_loss(resume)))
                })
            }
        }
    };
}

opening!(Gnmi, Subscription);
opening!(AsyncGnmi, AsyncSubscription);

/// A stream that one caller reads at a time.
#[derive(Clone)]
pub struct SharedStream(Arc<Mutex<Stream>>);

impl SharedStream {
    async fn next(self, timeout: Option<Seconds>) -> Result<Option<Received>> {
        let limit = duration(timeout).unwrap_or(std::time::Duration::from_secs(24 * 3600));
        self.0.lock().await.next(tokio::time::Instant::now() + limit).await
    }

    async fn ask(self) -> Result<()> {
        self.0.lock().await.ask().await
    }
}

/// Leaves, none where everything there was at the start has been sent, or the marker; None at the end.
fn received(py: Python<'_>, received: Option<Received>) -> PyResult<Py<PyAny>> {
    match received {
        None => Ok(py.None()),
        Some(Received::Synced) => results::updates(py, Vec::new(), None),
        Some(Received::Leaves(leaves)) => results::updates(py, leaves, None),
        Some(Received::Resumed(resumed)) => results::updates(py, Vec::new(), Some(resumed)),
    }
}

fn item_or_end(py: Python<'_>, item: Option<Received>) -> PyResult<Py<PyAny>> {
    if item.is_none() { Err(PyStopAsyncIteration::new_err(())) } else { received(py, item) }
}

both_worlds! {
    /// An open Subscribe.
    Subscription and AsyncSubscription over SharedStream, in Client;

    /// What comes next.
    #[pyo3(signature = (*, timeout=None))]
    fn next(stream, timeout: Option<Seconds>) => self::received {
        stream.next(timeout)
    }

    /// Asks for the current values (POLL).
    fn ask(stream) => results::nothing {
        stream.ask()
    }
}

impl Subscription {
    fn opened(
        py: Python<'_>,
        opening: impl Future<Output = Result<Stream>> + Send + 'static,
    ) -> PyResult<Bound<'_, PyAny>> {
        let stream = runtime::block(py, runtime::RuntimeOf::Client, opening)?;
        Ok(Bound::new(py, Self { inner: SharedStream(Arc::new(Mutex::new(stream))) })?.into_any())
    }
}

impl AsyncSubscription {
    fn opened(
        py: Python<'_>,
        opening: impl Future<Output = Result<Stream>> + Send + 'static,
    ) -> PyResult<Bound<'_, PyAny>> {
        runtime::awaitable(py, runtime::RuntimeOf::Client, opening, |py, stream| {
            Ok(Py::new(py, Self { inner: SharedStream(Arc::new(Mutex::new(stream))) })?.into_any())
        })
    }
}

#[pymethods]
impl Subscription {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let item = runtime::block(py, runtime::RuntimeOf::Client, self.inner.clone().next(None))?;
        if item.is_none() { Err(PyStopIteration::new_err(())) } else { received(py, item) }
    }
}

#[pymethods]
impl AsyncSubscription {
    fn __aiter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        runtime::awaitable(py, runtime::RuntimeOf::Client, self.inner.clone().next(None), item_or_end)
    }
}
