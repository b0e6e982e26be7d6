//! Waiting: for a blocking caller with the GIL released and Ctrl-C seen; for an awaiting one on its event loop.
//!
//! No tokio worker ever takes the GIL. What must run in Python (completions, callbacks, logs) goes through a queue
//! to one thread that Python owns.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinHandle};

use super::errors;
use crate::error::Result;
use crate::waiting::blocking;

/// How late a signal may be seen.
const SIGNAL_CHECK: Duration = Duration::from_millis(40);
/// Jobs that may be dropped (logs, progress) are, beyond this many that wait.
const QUEUE: usize = 4096;

/// How long a callback may take that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something to do in Python.
pub type Job = Box<dyn FnOnce(Python<'_>) + Send>;

static CLIENTS: OnceLock<Runtime> = OnceLock::new();
static EMULATORS: OnceLock<Runtime> = OnceLock::new();
static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
static JOBS_THREAD: OnceLock<std::thread::ThreadId> = OnceLock::new();
static JOBS: LazyLock<Jobs> = LazyLock::new(Jobs::new);

/// Which runtime a future runs on: device and client have one each.
#[derive(Debug, Clone, Copy)]
pub enum RuntimeOf {
    Client,
    Emulator,
}

struct Jobs {
    sender: Mutex<Sender<Option<Job>>>,
    receiver: Mutex<Receiver<Option<Job>>>,
    waiting: AtomicUsize,
    thread_started: AtomicBool,
}

impl Jobs {
    fn new() -> Self {
        let (sender, receiver) = channel();
        Self {
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiver),
            waiting: AtomicUsize::new(0),
            thread_started: AtomicBool::new(false),
        }
    }
}

/// Queues what must not be lost.
pub fn queue(job: Job) {
    JOBS.waiting.fetch_add(1, Ordering::AcqRel);
    let _ = JOBS.sender.lock().unwrap_or_else(PoisonError::into_inner).send(Some(job)); // Python is at its end
}

/// Queues what may be lost when Python falls behind.
pub fn queue_if_room(job: Job) {
    if JOBS.waiting.load(Ordering::Acquire) < QUEUE {
        queue(job);
    }
}

/// Waits until all jobs queued so far ran; on the thread that runs them they have.
pub fn drain(py: Python<'_>) {
    let on_that_thread = JOBS_THREAD.get() == Some(&std::thread::current().id());
    if on_that_thread || !JOBS.thread_started.load(Ordering::Acquire) {
        return;
    }
    let (done, ran) = sync_channel(1);
    queue(Box::new(move |_| {
        let _ = done.send(()); // the waiter gave up
    }));
    if py.detach(move || blocking::received(&ran, PATIENCE)).is_err() {
        tracing::warn!("a callback has not returned after {} s: going on without it", PATIENCE.as_secs());
    }
}

/// The body of the thread that Python owns.
#[pyfunction]
#[pyo3(name = "_run_jobs")]
pub fn run_jobs(py: Python<'_>) {
    let _ = JOBS_THREAD.set(std::thread::current().id()); // it is started once
    loop {
        let next = py.detach(|| JOBS.receiver.lock().unwrap_or_else(PoisonError::into_inner).recv());
        let Ok(Some(job)) = next else { return };
        JOBS.waiting.fetch_sub(1, Ordering::AcqRel);
        job(py);
    }
}

/// Ends that thread; called once, at exit.
#[pyfunction]
#[pyo3(name = "_stop")]
pub fn stop() {
    let _ = JOBS.sender.lock().unwrap_or_else(PoisonError::into_inner).send(None);
}

/// Starts the thread on first use, so that importing costs none.
pub fn start_jobs(py: Python<'_>) -> PyResult<()> {
    if !JOBS.thread_started.swap(true, Ordering::AcqRel) {
        py.import("holdfast._jobs")?.call_method0("start")?;
    }
    Ok(())
}

fn runtime(world: RuntimeOf) -> PyResult<&'static Runtime> {
    if *PROCESS != std::process::id() {
        return Err(PyRuntimeError::new_err(
            "holdfast was used before this process was forked, and its threads stayed in the parent: use the \
             'spawn' start method, or use holdfast only in the child",
        ));
    }
    let slot = match world {
        RuntimeOf::Client => &CLIENTS,
        RuntimeOf::Emulator => &EMULATORS,
    };
    if let Some(runtime) = slot.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread().worker_threads(2).thread_name("holdfast").enable_all().build();
    let made = made.map_err(|error| PyRuntimeError::new_err(format!("no threads for holdfast: {error}")))?;
    Ok(slot.get_or_init(|| made))
}

/// As a box, for what tokio makes of each kind of future that it is given is a tenth of the core's size.
fn spawn(runtime: &Runtime, future: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(future)
}

/// Runs `future` and waits for it; Ctrl-C drops it.
pub fn block<T: Send + 'static>(
    py: Python<'_>,
    world: RuntimeOf,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let runtime = runtime(world)?;
    start_jobs(py)?;
    let outcome = Arc::new(Mutex::new(None));
    let kept = outcome.clone();
    let (done, ended) = sync_channel(1);
    let answering = async move {
        let outcome = future.await;
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        let _ = done.send(()); // the waiter was interrupted
    };
    wait_for(py, ended, &spawn(runtime, answering.boxed()))?;
    let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome.ok_or_else(panicked)?.map_err(|error| errors::to_python(py, &error))
}

fn wait_for(py: Python<'_>, ended: Receiver<()>, task: &JoinHandle<()>) -> PyResult<()> {
    let ended = Mutex::new(ended); // a receiver may not be shared with the section that waits without the GIL
    loop {
        let wait = || blocking::received(&ended.lock().unwrap_or_else(PoisonError::into_inner), SIGNAL_CHECK);
        match py.detach(wait) {
            Ok(()) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupted) = py.check_signals() {
                    task.abort();
                    return Err(interrupted);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
    }
}

/// Runs `future` and returns an asyncio future of its result; cancelling that drops it.
pub fn awaitable<T: Send + 'static>(
    py: Python<'_>,
    world: RuntimeOf,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Bound<'_, PyAny>> {
    let runtime = runtime(world)?;
    start_jobs(py)?;
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let promise = event_loop.call_method0("create_future")?;
    let (to_loop, to_promise) = (event_loop.unbind(), promise.clone().unbind());
    let awaited = async move {
        let outcome = AssertUnwindSafe(future).catch_unwind().await;
        queue(Box::new(move |py| {
            let converted = match outcome {
                Ok(Ok(value)) => convert(py, value),
                Ok(Err(error)) => Err(errors::to_python(py, &error)),
                Err(_) => Err(panicked()),
            };
            settle(py, &to_loop, &to_promise, converted);
        }));
    };
    let task = spawn(runtime, awaited.boxed());
    promise.call_method1("add_done_callback", (Cancel(task.abort_handle()),))?;
    Ok(promise)
}

fn panicked() -> PyErr {
    PyRuntimeError::new_err("holdfast has a bug: a task of its core panicked (see stderr)")
}

fn settle(py: Python<'_>, event_loop: &Py<PyAny>, promise: &Py<PyAny>, converted: PyResult<Py<PyAny>>) {
    let settled = py.import("holdfast._jobs").and_then(|jobs| {
        let (value, error) = match converted {
            Ok(value) => (value, py.None()),
            Err(error) => (py.None(), error.into_value(py).into_any()),
        };
        let settle = jobs.getattr("settle")?;
        event_loop.call_method1(py, "call_soon_threadsafe", (settle, promise, value, error))
    });
    drop(settled); // the loop is closed: nobody waits any more
}

/// Ends a task when its asyncio future is done, cancelled in particular.
#[pyclass]
struct Cancel(AbortHandle);

#[pymethods]
impl Cancel {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.0.abort();
    }
}
