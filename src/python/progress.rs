//! Progress of an upload: only the newest state waits to be told.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::runtime;
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
                    let told = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(Progress { sent, received, total }) = told
                        && let Err(error) = callback.call1(py, (sent, received, total))
                    {
                        error.write_unraisable(py, Some(callback.bind(py)));
                    }
                }));
            }
        })
    }
}

impl Drop for Reporter {
    /// Ends a bar, whatever became of the transfer.
    fn drop(&mut self) {
        let callback = self.callback.clone();
        runtime::queue(Box::new(move |py| {
            if let Ok(close) = callback.getattr(py, "close")
                && let Err(error) = close.call0(py)
            {
                error.write_unraisable(py, None);
            }
        }));
    }
}
