//! Progress of an upload, of which only the newest state waits to be told, and of work that takes minutes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time::Instant;

use super::runtime;
use crate::dial::Timeline;
use crate::gnoi::containerz::{Progress, ProgressSink};

/// Hands progress to a Python callable `(sent, received, total)`, on Python's own thread.
pub struct Reporter {
    callback: Arc<Py<PyAny>>,
    newest: Arc<Mutex<Option<Progress>>>,
}

impl Reporter {
    /// `holdfast.progress.open` decides what None means: a bar on a terminal or in a notebook, else nothing.
    pub fn new(py: Python<'_>, progress: Option<Py<PyAny>>, label: &str) -> PyResult<Option<Self>> {
        let callback = py.import("holdfast.progress")?.call_method1("open_sink", (progress, label))?;
        let wanted = !callback.is_none();
        Ok(wanted.then(|| Self { callback: Arc::new(callback.unbind()), newest: Arc::default() }))
    }

    /// What the transfer tells.
    pub fn sink(&self) -> ProgressSink {
        let (callback, newest) = (self.callback.clone(), self.newest.clone());
        Arc::new(move |progress| {
            let waiting = newest.lock().unwrap_or_else(PoisonError::into_inner).replace(progress);
            if waiting.is_none() {
                let (callback, newest) = (callback.clone(), newest.clone());
                runtime::queue(Box::new(move |py| {
                    let progress = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(Progress { sent, received, total }) = progress
                        && let Err(error) = callback.call1(py, (sent, received, total))
                    {
                        error.write_unraisable(py, Some(callback.bind(py)));
                    }
                }));
            }
        })
    }
}

/// From one look at the timeline to the next.
const LOOK: Duration = Duration::from_millis(250);

/// Tells a Python callable `(seconds, what)` how long work takes and what its timeline says last.
pub struct ProgressWatch {
    callback: Arc<Py<PyAny>>,
    timeline: Timeline,
}

impl ProgressWatch {
    /// `holdfast.progress.open_watch` decides what None means.
    pub fn new(
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
        label: &str,
        timeline: &Timeline,
    ) -> PyResult<Option<Self>> {
        let callback = py.import("holdfast.progress")?.call_method1("open_watch", (progress, label))?;
        let wanted = !callback.is_none();
        Ok(wanted.then(|| Self { callback: Arc::new(callback.unbind()), timeline: timeline.clone() }))
    }

    /// Does the work, watched if that is wanted.
    pub async fn over<T>(watch: Option<Self>, work: impl Future<Output = T>) -> T {
        let Some(watch) = watch else { return work.await };
        let began = Instant::now();
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(LOOK, &mut work).await {
                Ok(done) => return done,
                Err(_) => watch.tell(began),
            }
        }
    }

    fn tell(&self, began: Instant) {
        let elapsed = began.elapsed();
        let last = self.timeline.since(self.timeline.at(began)).pop().map(|event| event.text).unwrap_or_default();
        let callback = self.callback.clone();
        runtime::queue_if_room(Box::new(move |py| {
            if let Err(error) = callback.call1(py, (elapsed.as_secs_f64(), last)) {
                error.write_unraisable(py, Some(callback.bind(py)));
            }
        }));
    }
}

impl Drop for ProgressWatch {
    fn drop(&mut self) {
        close(&self.callback);
    }
}

/// Ends what shows progress, whatever became of the work.
fn close(callback: &Arc<Py<PyAny>>) {
    let callback = callback.clone();
    runtime::queue(Box::new(move |py| {
        if let Ok(close) = callback.getattr(py, "close")
            && let Err(error) = close.call0(py)
        {
            error.write_unraisable(py, None);
        }
    }));
}

impl Drop for Reporter {
    fn drop(&mut self) {
        close(&self.callback);
    }
}
