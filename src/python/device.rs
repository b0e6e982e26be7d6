//! `connect`, and the device with its failovers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;

use super::arguments::{Seconds, duration, patience};
use super::both_worlds::both_worlds;
use super::containerz::{AsyncContainerz, Containerz};
use super::gnmi::{AsyncGnmi, Gnmi};
use super::runtime::{self, World};
use super::system::{AsyncSystem, System};
use super::{errors, results};
use crate::device::{Deadlines, Device as Inner, SwitchoverOptions};
use crate::dial::trust::Trust;
use crate::dial::{Credentials, Security, Settings, Target};
use crate::error::{Error, Result};

/// `holdfast.Tls`
#[derive(FromPyObject)]
pub struct Tls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: Option<String>,
    server_name: Option<String>,
    skip_verify: bool,
}

impl From<Tls> for Trust {
    fn from(tls: Tls) -> Self {
        let Tls { ca, cert, key, key_password, server_name, skip_verify } = tls;
        Self { ca, certificate: cert, key, key_password, server_name, skip_verify }
    }
}

struct Options {
    target: Target,
    settings: Settings,
    deadlines: Deadlines,
}

#[allow(clippy::too_many_arguments)]
fn options(
    py: Python<'_>,
    address: &str,
    username: Option<&str>,
    password: Option<&str>,
    insecure: bool,
    tls: Option<Tls>,
    name: Option<String>,
    emulated: bool,
    deadlines: Vec<(String, Seconds)>,
    dial_timeout: Option<Seconds>,
    call_timeout: Option<Seconds>,
) -> PyResult<Options> {
    let built = || -> Result<Options> {
        let security = match (insecure, tls) {
            (true, None) => Security::Plaintext,
            (true, Some(_)) => {
                return Err(
                    Error::invalid("insecure means plaintext, and tls= something else").hint("give one of them")
                );
            }
            (false, tls) => Security::Tls(tls.map(Trust::from).unwrap_or_default().load()?),
        };
        let mut target = Target::parse(address, security)?;
        target.name = name.unwrap_or(target.name);
        target.credentials = match (username, password) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::invalid("a password came without a username").hint("give both, or neither"));
            }
            (Some(username), password) => Some(Credentials::new(username, password.unwrap_or_default())?),
        };
        let mut settings = Settings::default();
        settings.dial_timeout = duration(dial_timeout).unwrap_or(settings.dial_timeout);
        settings.call_timeout = duration(call_timeout).unwrap_or(settings.call_timeout);
        let mut limits = if emulated { Deadlines::emulated() } else { Deadlines::real() };
        for (step, limit) in deadlines {
            limits.set(&step, limit.0)?;
        }
        Ok(Options { target, settings, deadlines: limits })
    };
    built().map_err(|error| errors::to_python(py, &error))
}

/// A session with one device; fails within `dial_timeout`.
#[pyfunction]
#[pyo3(name = "connect", signature = (address, *, username=None, password=None, insecure=false, tls=None, name=None, emulated=false,
    deadlines=vec![], dial_timeout=None, call_timeout=None))]
#[allow(clippy::too_many_arguments)]
pub fn connect(
    py: Python<'_>,
    address: &str,
    username: Option<&str>,
    password: Option<&str>,
    insecure: bool,
    tls: Option<Tls>,
    name: Option<String>,
    emulated: bool,
    deadlines: Vec<(String, Seconds)>,
    dial_timeout: Option<Seconds>,
    call_timeout: Option<Seconds>,
) -> PyResult<Device> {
    let Options { target, settings, deadlines } =
        options(py, address, username, password, insecure, tls, name, emulated, deadlines, dial_timeout, call_timeout)?;
    let inner = runtime::block(py, World::Client, Inner::connect(target, settings, deadlines))?;
    Ok(Device { inner })
}

/// As `connect`, to be awaited.
#[pyfunction]
#[pyo3(name = "connect_async", signature = (address, *, username=None, password=None, insecure=false, tls=None, name=None,
    emulated=false, deadlines=vec![], dial_timeout=None, call_timeout=None))]
#[allow(clippy::too_many_arguments)]
pub fn connect_async<'py>(
    py: Python<'py>,
    address: &str,
    username: Option<&str>,
    password: Option<&str>,
    insecure: bool,
    tls: Option<Tls>,
    name: Option<String>,
    emulated: bool,
    deadlines: Vec<(String, Seconds)>,
    dial_timeout: Option<Seconds>,
    call_timeout: Option<Seconds>,
) -> PyResult<Bound<'py, PyAny>> {
    let Options { target, settings, deadlines } =
        options(py, address, username, password, insecure, tls, name, emulated, deadlines, dial_timeout, call_timeout)?;
    let connecting = Inner::connect(target, settings, deadlines);
    runtime::awaitable(py, World::Client, connecting, |py, inner| Ok(Py::new(py, AsyncDevice { inner })?.into_any()))
}

/// The limit of each step, in seconds.
#[pyfunction]
#[pyo3(signature = (*, emulated))]
pub fn deadlines(emulated: bool) -> HashMap<&'static str, f64> {
    let limits = if emulated { Deadlines::emulated() } else { Deadlines::real() };
    limits.all().into_iter().map(|(step, limit)| (step, limit.as_secs_f64())).collect()
}

/// The steps that have a deadline, as `deadlines` names them.
#[pyfunction]
pub fn deadline_steps() -> Vec<&'static str> {
    Deadlines::STEPS.to_vec()
}

both_worlds! {
    /// A device under test.
    Device and AsyncDevice over Inner, in Client;

    /// gNMI: the components with a redundant-role.
    #[pyo3(signature = (*, timeout=None))]
    fn control_processors(device, timeout: Option<Seconds>) => results::control_processors {
        async move { device.control_processors(device.session().deadline(duration(timeout))).await }
    }

    /// gNOI System.SwitchControlProcessor, and the evidence that it happened.
    #[pyo3(signature = (to=None, *, redundant=false, name_only=false))]
    fn switchover(device, to: Option<String>, redundant: bool, name_only: bool) => results::switchover {
        async move { device.switchover(&SwitchoverOptions { to, redundant, name_only }).await }
    }

    /// Ends the session; every later call fails.
    fn close(device) => results::nothing {
        async move {
            device.session().close().await;
            Ok(())
        }
    }

    /// Waits until `primary` has a standby in step, and is primary all the while.
    #[pyo3(signature = (primary))]
    fn expect_redundant(device, primary: String) => results::nothing {
        async move { device.redundant(&primary).await }
    }

    /// gNOI System.Reboot(COLD) of the chassis, and the evidence that it happened.
    #[pyo3(signature = (*, force=false))]
    fn reboot(device, force: bool) => results::reboot {
        async move { device.reboot(force).await }
    }

    /// Cntr.Ping over TLS on the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn ping_container(device, port: u16, host: Option<String>, timeout: Option<Seconds>) => results::time {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.ping_container(host.as_deref(), port, deadline).await
        }
    }

    /// Ledger.Append on the container's published port.
    #[pyo3(signature = (port, payload, *, host=None, timeout=None))]
    fn append_record(device, port: u16, payload: Vec<u8>, host: Option<String>, timeout: Option<Seconds>)
        => results::record
    {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.append_record(host.as_deref(), port, payload, deadline).await
        }
    }

    /// Ledger.Read on the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn read_records(device, port: u16, host: Option<String>, timeout: Option<Seconds>) => results::records {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.read_records(host.as_deref(), port, deadline).await
        }
    }

    /// Waits until the container on `port` answers, and watches that it goes on.
    #[pyo3(signature = (port, *, host=None, within=None, watch=None))]
    fn expect_answer(device, port: u16, host: Option<String>, within: Option<Seconds>, watch: Option<Seconds>)
        => results::nothing
    {
        let patience = patience(within, watch);
        async move { device.expect_answer(host.as_deref(), port, patience).await }
    }
}

macro_rules! properties {
    ($class:ident, $containerz:ident, $system:ident, $gnmi:ident) => {
        #[pymethods]
        impl $class {
            /// gNOI Containerz.
            #[getter]
            fn containerz(&self) -> $containerz {
                $containerz { inner: self.inner.clone() }
            }

            /// gNOI System.
            #[getter]
            fn system(&self) -> $system {
                $system { inner: self.inner.clone() }
            }

            /// gNMI.
            #[getter]
            fn gnmi(&self) -> $gnmi {
                $gnmi { inner: self.inner.clone() }
            }

            /// What reports call it.
            #[getter]
            fn name(&self) -> String {
                self.inner.session().name().to_owned()
            }

            /// Where it is reached, joined by commas.
            #[getter]
            fn address(&self) -> String {
                let all = self.inner.session().target().addresses.iter().map(ToString::to_string);
                all.collect::<Vec<_>>().join(",")
            }

            /// What was asked of it and seen so far.
            #[getter]
            fn timeline(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                results::events(py, self.inner.session().timeline().since(Duration::ZERO))
            }

            /// Puts a note of the caller's on the timeline.
            fn note(&self, text: String) {
                self.inner.session().timeline().record("note", text);
            }

            fn __repr__(&self) -> String {
                format!("<{} {}>", stringify!($class), self.inner.session().name())
            }
        }
    };
}

properties!(Device, Containerz, System, Gnmi);
properties!(AsyncDevice, AsyncContainerz, AsyncSystem, AsyncGnmi);

#[pymethods]
impl Device {
    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close(py).map(drop)
    }
}

#[pymethods]
impl AsyncDevice {
    fn __aenter__(this: Py<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let entered = async move { Ok(this) };
        runtime::awaitable(py, World::Client, entered, |_, this| Ok(this.into_any()))
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__<'py>(
        &self,
        py: Python<'py>,
        _exception: &Bound<'py, pyo3::types::PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.close(py)
    }
}
