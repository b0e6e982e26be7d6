//! The container runtime interface.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time::Instant;

use super::arguments::{Seconds, duration};
use super::both_worlds::both_worlds;
use super::results;
use crate::cri::{ContainerRuntime as CoreRuntime, PodOptions};
use crate::wire::cri::{PodSandbox, VersionResponse};

/// How long a call may take unless it is told.
const CALL: Duration = Duration::from_secs(30);

fn deadline(timeout: Option<Seconds>) -> Instant {
    Instant::now() + duration(timeout).unwrap_or(CALL)
}

/// A container runtime, by its socket.
#[pyfunction]
pub fn container_runtime(socket: PathBuf) -> ContainerRuntime {
    ContainerRuntime { inner: CoreRuntime::at(&socket) }
}

/// As `container_runtime`, to be awaited.
#[pyfunction]
pub fn container_runtime_async(socket: PathBuf) -> AsyncContainerRuntime {
    AsyncContainerRuntime { inner: CoreRuntime::at(&socket) }
}

fn version(py: Python<'_>, answer: VersionResponse) -> PyResult<Py<PyAny>> {
    results::text(py, format!("{} {}", answer.runtime_name, answer.runtime_version))
}

fn path(py: Python<'_>, path: Option<String>) -> PyResult<Py<PyAny>> {
    Ok(path.into_pyobject(py)?.unbind())
}

fn pods(py: Python<'_>, pods: Vec<PodSandbox>) -> PyResult<Py<PyAny>> {
    let rows = pods.into_iter().map(|pod| {
        let ready = pod.state() == crate::wire::cri::PodSandboxState::SandboxReady;
        (pod.id, pod.metadata.unwrap_or_default().name, ready, pod.labels)
    });
    let rows: Vec<(String, String, bool, HashMap<String, String>)> = rows.collect();
    Ok(rows.into_pyobject(py)?.into_any().unbind())
}

both_worlds! {
    /// A container runtime.
    ContainerRuntime and AsyncContainerRuntime over CoreRuntime, in Client;

    /// Its name and version.
    #[pyo3(signature = (*, timeout=None))]
    fn version(runtime, timeout: Option<Seconds>) => self::version {
        async move { runtime.version(deadline(timeout)).await }
    }

    /// Runs a pod; its id.
    #[pyo3(signature = (name, *, namespace=String::from("default"), annotations=HashMap::new(), labels=HashMap::new(),
        timeout=None))]
    fn run_pod(
        runtime,
        name: String,
        namespace: String,
        annotations: HashMap<String, String>,
        labels: HashMap<String, String>,
        timeout: Option<Seconds>,
    ) => results::text {
        let options = PodOptions { name, namespace, annotations, labels };
        async move { runtime.run_pod(options, deadline(timeout)).await }
    }

    /// Stops a pod.
    #[pyo3(signature = (pod, *, timeout=None))]
    fn stop_pod(runtime, pod: String, timeout: Option<Seconds>) => results::nothing {
        async move { runtime.stop_pod(pod, deadline(timeout)).await }
    }

    /// Removes a pod.
    #[pyo3(signature = (pod, *, timeout=None))]
    fn remove_pod(runtime, pod: String, timeout: Option<Seconds>) => results::nothing {
        async move { runtime.remove_pod(pod, deadline(timeout)).await }
    }

    /// A pod's addresses.
    #[pyo3(signature = (pod, *, timeout=None))]
    fn pod_addresses(runtime, pod: String, timeout: Option<Seconds>) => results::lines {
        async move { runtime.pod_addresses(pod, deadline(timeout)).await }
    }

    /// The path of a pod's network namespace.
    #[pyo3(signature = (pod, *, timeout=None))]
    fn pod_namespace(runtime, pod: String, timeout: Option<Seconds>) => self::path {
        async move { runtime.pod_namespace(pod, deadline(timeout)).await }
    }

    /// All pods: id, name, whether ready, labels.
    #[pyo3(signature = (*, timeout=None))]
    fn pods(runtime, timeout: Option<Seconds>) => self::pods {
        async move { runtime.pods(deadline(timeout)).await }
    }
}
