//! The lab's own driver: its server, and its plugin on a node, each for a process of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;

use super::arguments::Seconds;
use super::runtime::{RuntimeOf, block};
use super::storage::wait;
use crate::error::{Error, Result};
use crate::serve;
use crate::storage::nbd::{NbdNode, NbdServer};
use crate::storage::{Calls, Csi, CsiOptions, Endpoint, csi};
use crate::waiting::blocking;

/// From one try to reach the controller to the next.
const LOOK: Duration = Duration::from_millis(20);

/// As long as this lives, it serves.
#[pyclass(frozen, module = "holdfast._core")]
pub struct StorageService {
    life: CancellationToken,
}

#[pymethods]
impl StorageService {
    fn close(&self) {
        self.life.cancel();
    }
}

/// The server: volumes in `folder`, CSI on `listen`, their data on `exports`.
#[pyfunction]
pub fn storage_server(py: Python<'_>, listen: String, exports: String, folder: PathBuf) -> PyResult<StorageService> {
    let life = CancellationToken::new();
    let served = life.clone();
    block(py, RuntimeOf::Client, async move {
        let bad = |what: &str| Error::invalid(format!("{what} is no address"));
        let address = listen.parse().map_err(|_| bad(&listen))?;
        let server = NbdServer::open(&folder, exports.parse().map_err(|_| bad(&exports))?)?;
        let listener = serve::listen(address).map_err(|error| Error::invalid(format!("{listen}: {error}")))?;
        tokio::spawn(serve::all(TcpListenerStream::new(listener), csi::routes(server), served));
        Ok(())
    })?;
    Ok(StorageService { life })
}

/// The plugin on `node`: CSI on the unix socket `endpoint`, volumes from the server at `server`.
#[pyfunction]
#[pyo3(signature = (endpoint, node, server, folder, *, timeout))]
pub fn storage_plugin(
    py: Python<'_>,
    endpoint: PathBuf,
    node: String,
    server: String,
    folder: PathBuf,
    timeout: Seconds,
) -> PyResult<StorageService> {
    let life = CancellationToken::new();
    let served = life.clone();
    let deadline = Instant::now() + timeout.0;
    wait(py, move || {
        let address = server.parse().map_err(|_| Error::invalid(format!("{server} is no address")))?;
        let server = reach(Endpoint::Tcp(address), deadline)?;
        let _ = std::fs::remove_file(&endpoint); // of a plugin that was killed
        let listener = tokio::net::UnixListener::bind(&endpoint)
            .map_err(|error| Error::invalid(format!("{}: {error}", endpoint.display())))?;
        let routes = csi::routes(NbdNode::new(server, &node, &folder));
        tokio::spawn(serve::all(UnixListenerStream::new(listener), routes, served));
        Ok(())
    })?;
    Ok(StorageService { life })
}

/// The controller at `endpoint`, which may come up after its plugins do.
fn reach(endpoint: Endpoint, deadline: Instant) -> Result<Csi> {
    let options = || CsiOptions {
        controller: Some(endpoint.clone()),
        calls: Calls { once: true, ..Calls::default() },
        ..CsiOptions::default()
    };
    blocking::until(deadline, LOOK, || Csi::connect(options(), deadline))
}
