//! gNMI.

use std::sync::Arc;

use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use super::arguments::{Seconds, Whole, duration};
use super::both_worlds::both_worlds;
use super::gnmi_arguments::{Asked, Extensions, StreamPaths, Texts, Values, data_type, streamed};
use super::{results, runtime};
use crate::device::Device as CoreDevice;
use crate::dial::Call;
use crate::error::Result;
use crate::gnmi::client::Received;
use crate::gnmi::{Answered, Get, Set, Subscribe, Subscription as Stream};
use crate::wire::gnmi::subscription_list::Mode;

both_worlds! {
    /// gNMI of a device.
    Gnmi and AsyncGnmi over CoreDevice, in Client;

    /// Capabilities.
    #[pyo3(signature = (*, extensions=None, timeout=None))]
    fn capabilities(device, extensions: Option<Extensions>, timeout: Option<Seconds>) => results::capabilities {
        let extensions = extensions.unwrap_or_default().0;
        async move { device.gnmi.capabilities(&extensions, device.session().deadline(duration(timeout))).await }
    }

    /// Get.
    #[pyo3(signature = (paths, *, r#type="ALL", prefix=None, target="", origin=None, encoding=None, extensions=None,
        timeout=None))]
    fn get(device, paths: Texts, r#type: &str, prefix: Option<&str>, target: &str, origin: Option<&str>,
        encoding: Option<&str>, extensions: Option<Extensions>, timeout: Option<Seconds>) => results::answered_leaves
    {
        let asked = Asked { prefix, target, origin, encoding }.read(extensions)?;
        let get = Get { paths: asked.paths(&paths)?, kind: data_type(r#type)?, envelope: asked.envelope };
        async move { device.gnmi.get(&get, device.session().deadline(duration(timeout))).await }
    }

    /// Set.
    #[pyo3(signature = (*, update=None, replace=None, union_replace=None, delete=None, prefix=None, target="",
        origin=None, encoding=None, extensions=None, compare=false, timeout=None))]
    fn set(device, update: Option<Values<'_>>, replace: Option<Values<'_>>, union_replace: Option<Values<'_>>,
        delete: Option<Texts>, prefix: Option<&str>, target: &str, origin: Option<&str>, encoding: Option<&str>,
        extensions: Option<Extensions>, compare: bool, timeout: Option<Seconds>) => results::set_result
    {
        let asked = Asked { prefix, target, origin, encoding }.read(extensions)?;
        let set = Set {
            delete: asked.paths(&delete.unwrap_or_default())?,
            union_replace: asked.values(union_replace)?,
            replace: asked.values(replace)?,
            update: asked.values(update)?,
            envelope: asked.envelope,
        };
        async move {
            let deadline = device.session().deadline(duration(timeout));
            if compare {
                return device.gnmi.set_and_compare(&set, deadline).await.map(|(done, changes)| (done, Some(changes)));
            }
            device.gnmi.set(&set, deadline).await.map(|done| (done, None))
        }
    }

    /// Subscribe ONCE.
    #[pyo3(signature = (paths, *, prefix=None, target="", origin=None, encoding=None, extensions=None, qos=None,
        allow_aggregation=false, timeout=None))]
    fn once(device, paths: Texts, prefix: Option<&str>, target: &str, origin: Option<&str>, encoding: Option<&str>,
        extensions: Option<Extensions>, qos: Option<Whole<u32>>, allow_aggregation: bool, timeout: Option<Seconds>)
        => results::answered_leaves
    {
        let asked = Asked { prefix, target, origin, encoding }.read(extensions)?;
        let paths = streamed(&asked, StreamPaths::from(paths), "TARGET_DEFINED", None, None, false)?;
        let subscribe =
            Subscribe { paths, qos: given(qos), allow_aggregation, envelope: asked.envelope, ..Subscribe::default() };
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.gnmi.subscribe_once(&subscribe, Call::read("gNMI.Subscribe", deadline)).await
        }
    }
}

macro_rules! opening {
    ($class:ident, $subscription:ident) => {
        #[pymethods]
        impl $class {
            /// Subscribe STREAM.
            #[pyo3(signature = (paths, *, mode="TARGET_DEFINED", interval=None, heartbeat_interval=None,
                suppress_redundant=false, updates_only=false, prefix=None, target="", origin=None, encoding=None,
                extensions=None, qos=None, allow_aggregation=false, resume=true, timeout=None))]
            #[allow(clippy::too_many_arguments)]
            fn stream<'py>(
                &self,
                py: Python<'py>,
                paths: StreamPaths,
                mode: &str,
                interval: Option<Seconds>,
                heartbeat_interval: Option<Seconds>,
                suppress_redundant: bool,
                updates_only: bool,
                prefix: Option<&str>,
                target: &str,
                origin: Option<&str>,
                encoding: Option<&str>,
                extensions: Option<Extensions>,
                qos: Option<Whole<u32>>,
                allow_aggregation: bool,
                resume: bool,
                timeout: Option<Seconds>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let asked = Asked { prefix, target, origin, encoding }.read(extensions)?;
                let paths = streamed(&asked, paths, mode, interval, heartbeat_interval, suppress_redundant)?;
                let subscribe = Subscribe { paths, updates_only, allow_aggregation, qos: given(qos), envelope: asked.envelope };
                $subscription::opened(py, open(self.inner.clone(), Mode::Stream, subscribe, resume, timeout))
            }

            /// Subscribe POLL.
            #[pyo3(signature = (paths, *, prefix=None, target="", origin=None, encoding=None, extensions=None,
                qos=None, allow_aggregation=false, resume=true, timeout=None))]
            #[allow(clippy::too_many_arguments)]
            fn poll<'py>(
                &self,
                py: Python<'py>,
                paths: Texts,
                prefix: Option<&str>,
                target: &str,
                origin: Option<&str>,
                encoding: Option<&str>,
                extensions: Option<Extensions>,
                qos: Option<Whole<u32>>,
                allow_aggregation: bool,
                resume: bool,
                timeout: Option<Seconds>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let asked = Asked { prefix, target, origin, encoding }.read(extensions)?;
                let paths = streamed(&asked, StreamPaths::from(paths), "TARGET_DEFINED", None, None, false)?;
                let subscribe =
                    Subscribe { paths, qos: given(qos), allow_aggregation, envelope: asked.envelope, ..Subscribe::default() };
                $subscription::opened(py, open(self.inner.clone(), Mode::Poll, subscribe, resume, timeout))
            }
        }
    };
}

fn given(marking: Option<Whole<u32>>) -> Option<u32> {
    marking.map(|marking| marking.0)
}

async fn open(
    device: CoreDevice,
    kind: Mode,
    subscribe: Subscribe,
    resume: bool,
    timeout: Option<Seconds>,
) -> Result<Stream> {
    let deadline = device.session().deadline(duration(timeout));
    let stream = device.gnmi.subscribe(kind, subscribe, deadline).await?;
    Ok(stream.on_loss(device.on_loss(resume)))
}

opening!(Gnmi, Subscription);
opening!(AsyncGnmi, AsyncSubscription);

/// A stream that one caller reads at a time.
#[derive(Clone)]
pub struct SharedStream(Arc<Mutex<Stream>>);

impl SharedStream {
    async fn next(self, timeout: Option<Seconds>) -> Result<Option<Answered<Received>>> {
        let limit = duration(timeout).unwrap_or(std::time::Duration::from_secs(24 * 3600));
        self.0.lock().await.next_answer(tokio::time::Instant::now() + limit).await
    }

    async fn ask(self) -> Result<()> {
        self.0.lock().await.ask().await
    }
}

/// Leaves, none where everything there was at the start has been sent, or the marker; None at the end.
fn received(py: Python<'_>, received: Option<Answered<Received>>) -> PyResult<Py<PyAny>> {
    let Some(Answered { value, extensions }) = received else { return Ok(py.None()) };
    match value {
        Received::Synced => results::updates(py, Vec::new(), None, extensions),
        Received::Leaves(leaves) => results::updates(py, leaves, None, extensions),
        Received::Resumed(resumed) => results::updates(py, Vec::new(), Some(resumed), extensions),
    }
}

fn item_or_end(py: Python<'_>, item: Option<Answered<Received>>) -> PyResult<Py<PyAny>> {
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
