//! Logs: `tracing` handed to Python's `logging`, and a container's log line by line.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use tokio::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::results;
use super::runtime::{self, RuntimeOf};
use crate::device::Device;
use crate::error::Result;
use crate::gnoi::containerz::{LogItem, LogStream};

/// Sends our own events to `logging.getLogger("holdfast…")`.
pub fn install() {
    let subscriber = tracing_subscriber::registry().with(ToLogging);
    let _ = tracing::subscriber::set_global_default(subscriber); // somebody else's is there already
}

struct ToLogging;

impl<S: Subscriber> Layer<S> for ToLogging {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("holdfast") && *metadata.level() <= Level::DEBUG
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let logger = logger_of(event.metadata().target());
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        runtime::queue_if_room(Box::new(move |py| {
            let log = || {
                let words = py.import("holdfast.visible")?.call_method1("lines", (text.0,))?;
                py.import("logging")?.call_method1("getLogger", (logger,))?.call_method1("log", (level, "%s", words))
            };
            let logged = log();
            drop(logged); // a broken handler is its owner's affair
        }));
    }
}

/// The logger for what a module says: `holdfast.emulator.faults` for `holdfast_emulator::faults`, and
/// `holdfast.dial.session` for `holdfast_net::dial::session`.
fn logger_of(target: &str) -> String {
    let path = target.strip_prefix("holdfast_net::").map(|module| format!("holdfast::{module}"));
    path.unwrap_or_else(|| target.replacen("holdfast_", "holdfast::", 1)).replace("::", ".")
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}

/// A container's log, followed.
#[pyclass(frozen, module = "holdfast._core")]
pub struct LogLines {
    stream: Arc<Mutex<LogStream>>,
}

const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// Which log to follow, and how.
#[derive(Clone)]
pub struct Followed {
    pub device: Device,
    pub name: String,
    pub resume: bool,
    pub timeout: Option<Duration>,
}

impl Followed {
    async fn open(self) -> Result<LogStream> {
        let deadline = self.device.session().deadline(self.timeout);
        let stream = self.device.containerz.log_stream(&self.name, true, deadline).await?;
        Ok(stream.on_loss(self.device.on_loss(self.resume)))
    }
}

async fn next_item(stream: Arc<Mutex<LogStream>>) -> Result<Option<LogItem>> {
    stream.lock().await.next(tokio::time::Instant::now() + FOR_EVER).await
}

impl LogLines {
    pub fn open(py: Python<'_>, followed: Followed) -> PyResult<Self> {
        let stream = runtime::block(py, RuntimeOf::Client, followed.open())?;
        Ok(Self { stream: Arc::new(Mutex::new(stream)) })
    }
}

#[pymethods]
impl LogLines {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let item = runtime::block(py, RuntimeOf::Client, next_item(self.stream.clone()))?;
        results::log_line(py, item.ok_or_else(|| PyStopIteration::new_err(()))?)
    }
}

/// A container's log, followed in an event loop.
#[pyclass(frozen, module = "holdfast._core")]
pub struct AsyncLogLines {
    followed: Followed,
    stream: Arc<Mutex<Option<LogStream>>>,
}

impl AsyncLogLines {
    pub fn new(followed: Followed) -> Self {
        Self { followed, stream: Arc::default() }
    }
}

#[pymethods]
impl AsyncLogLines {
    fn __aiter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (followed, slot) = (self.followed.clone(), self.stream.clone());
        let next = async move {
            let mut held = slot.lock().await;
            if held.is_none() {
                *held = Some(followed.open().await?);
            }
            match held.as_mut() {
                Some(stream) => stream.next(tokio::time::Instant::now() + FOR_EVER).await,
                None => Ok(None),
            }
        };
        runtime::awaitable(py, RuntimeOf::Client, next, |py, item| match item {
            Some(item) => results::log_line(py, item),
            None => Err(PyStopAsyncIteration::new_err(())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::logger_of;

    #[test]
    fn each_crate_logs_below_holdfast() {
        assert_eq!(logger_of("holdfast_emulator::faults"), "holdfast.emulator.faults");
        assert_eq!(logger_of("holdfast_net::dial::session"), "holdfast.dial.session");
        assert_eq!(logger_of("holdfast::device"), "holdfast.device");
        assert_eq!(logger_of("holdfast.timeline"), "holdfast.timeline");
    }
}
