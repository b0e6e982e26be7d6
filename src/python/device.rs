//! `connect`, and the device with its failovers.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;

use super::arguments::{Port, Seconds, Secret, duration, patience};
use super::both_worlds::both_worlds;
use super::containerz::{AsyncContainerz, Containerz};
use super::file::{AsyncFile, File};
use super::gnmi::{AsyncGnmi, Gnmi};
use super::healthz::{AsyncHealthz, Healthz};
use super::progress::ProgressWatch;
use super::runtime::{self, RuntimeOf};
use super::system::{AsyncSystem, System};
use super::{errors, results};
use crate::device::{Deadlines, Device as CoreDevice, Limits, Reboot, Switchover, SwitchoverOptions, Ways};
use crate::dial::connection::Patience;
use crate::dial::trust::Trust;
use crate::dial::{Credentials, EventKind, Proxy, Security, Settings, Target};
use crate::error::{Error, Result};
use crate::gnoi::containerz::CreationRecord;

/// `holdfast.Tls`
#[derive(FromPyObject)]
pub struct Tls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: Option<Secret>,
    server_name: Option<String>,
    skip_verify: bool,
}

impl From<Tls> for Trust {
    fn from(tls: Tls) -> Self {
        let Tls { ca, cert, key, key_password, server_name, skip_verify } = tls;
        Self { ca, certificate: cert, key, key_password: key_password.map(|secret| secret.0), server_name, skip_verify }
    }
}

/// What `holdfast.connect` was given, checked and completed there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ConnectOptions {
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    /// Keys and values; those of keys in `-bin` as base64.
    metadata: Vec<(String, Secret)>,
    proxy: Option<Secret>,
    insecure: bool,
    tls: Option<Tls>,
    name: Option<String>,
    gnoi: Option<String>,
    /// What the profile adds to real devices' limits.
    more_time: Vec<(String, Seconds)>,
    deadlines: Vec<(String, Seconds)>,
    dial_timeout: Option<Seconds>,
    call_timeout: Option<Seconds>,
    dial_interval: Option<Seconds>,
    silence: Option<Seconds>,
    name_only: bool,
    container_host: Option<String>,
    fresh_connection: bool,
}

struct Prepared {
    target: Target,
    gnoi: Option<Target>,
    settings: Settings,
    limits: Limits,
    ways: Ways,
}

impl ConnectOptions {
    fn credentials(&self) -> Result<Option<Credentials>> {
        let mut credentials = match (&self.username, &self.password) {
            (None, None) => Credentials::default(),
            (None, Some(_)) => {
                return Err(Error::invalid("a password came without a username").hint("give both, or neither"));
            }
            (Some(username), password) => Credentials::new(username, password.as_ref().map_or("", |secret| &secret.0))?,
        };
        if let Some(token) = &self.token {
            credentials = credentials.with_token(&token.0)?;
        }
        for (key, Secret(value)) in &self.metadata {
            let binary = key.to_ascii_lowercase().ends_with("-bin");
            let bytes = if binary { Credentials::decoded(key, value)? } else { value.clone().into_bytes() };
            credentials = credentials.with_metadata(key, &bytes)?;
        }
        Ok((credentials != Credentials::default()).then_some(credentials))
    }

    fn prepare(mut self, address: &str) -> Result<Prepared> {
        let security = match (self.insecure, self.tls.take()) {
            (true, None) => Security::Plaintext,
            (true, Some(_)) => {
                return Err(
                    Error::invalid("insecure means plaintext, and tls= something else").hint("give one of them")
                );
            }
            (false, tls) => Security::Tls(tls.map(Trust::from).unwrap_or_default().load()?),
        };
        let credentials = self.credentials()?;
        let proxy = self.proxy.as_ref().map(|given| given.0.parse::<Proxy>()).transpose()?;
        let name = self.name.unwrap_or_else(|| address.to_owned());
        let target = |text: &str| {
            let parsed = Target::parse(text, security.clone())?;
            let (name, credentials, proxy) = (name.clone(), credentials.clone(), proxy.clone());
            Ok::<_, Error>(Target { name, credentials, proxy, ..parsed })
        };
        let mut settings = Settings::default();
        settings.dial_timeout = duration(self.dial_timeout).unwrap_or(settings.dial_timeout);
        settings.call_timeout = duration(self.call_timeout).unwrap_or(settings.call_timeout);
        settings.pace.interval = duration(self.dial_interval).unwrap_or(settings.pace.interval);
        if let Some(silence) = duration(self.silence) {
            settings.patience = Patience::lasting(silence);
        }
        let mut limits = Limits::default();
        for (step, more) in self.more_time {
            limits.real.extend(&step, more.0)?;
        }
        for (step, limit) in self.deadlines {
            limits.set(&step, limit.0)?;
        }
        Ok(Prepared {
            target: target(address)?,
            gnoi: self.gnoi.as_deref().map(target).transpose()?,
            settings,
            limits,
            ways: Ways {
                name_only: self.name_only,
                container_host: self.container_host,
                fresh_connection: self.fresh_connection,
            },
        })
    }
}

impl Prepared {
    async fn connect(self) -> Result<CoreDevice> {
        let Self { target, gnoi, settings, limits, ways } = self;
        let device = match gnoi {
            None => CoreDevice::connect(target, settings, limits).await?,
            Some(gnoi) => CoreDevice::connect_apart(target, gnoi, settings, limits).await?,
        };
        Ok(device.with_ways(ways))
    }
}

/// A session with one device; fails within `dial_timeout`.
#[pyfunction]
pub fn connect(py: Python<'_>, address: &str, options: ConnectOptions) -> PyResult<Device> {
    let prepared = options.prepare(address).map_err(|error| errors::to_python(py, &error))?;
    let inner = runtime::block(py, RuntimeOf::Client, prepared.connect())?;
    Ok(Device { inner })
}

/// As `connect`, to be awaited.
#[pyfunction]
pub fn connect_async<'py>(py: Python<'py>, address: &str, options: ConnectOptions) -> PyResult<Bound<'py, PyAny>> {
    let prepared = options.prepare(address).map_err(|error| errors::to_python(py, &error))?;
    let connecting = prepared.connect();
    runtime::awaitable(
        py,
        RuntimeOf::Client,
        connecting,
        |py, inner| Ok(Py::new(py, AsyncDevice { inner })?.into_any()),
    )
}

/// A proxy as it may be shown, without user and password; fails on what is none.
#[pyfunction]
pub fn proxy_shown(py: Python<'_>, proxy: Secret) -> PyResult<String> {
    let Secret(text) = proxy;
    let read = text.parse::<Proxy>().map_err(|error| errors::to_python(py, &error))?;
    Ok(read.to_string())
}

/// The limit of each step, in seconds.
#[pyfunction]
#[pyo3(signature = (*, emulated, real_containers=false))]
pub fn deadlines(emulated: bool, real_containers: bool) -> HashMap<&'static str, f64> {
    by_step(match (emulated, real_containers) {
        (false, _) => Deadlines::real(),
        (true, false) => Deadlines::emulated(),
        (true, true) => Deadlines::real_containers(),
    })
}

fn by_step(limits: Deadlines) -> HashMap<&'static str, f64> {
    limits.all().into_iter().map(|(step, limit)| (step, limit.as_secs_f64())).collect()
}

fn limits_by_step(py: Python<'_>, limits: Deadlines) -> PyResult<Py<PyAny>> {
    Ok(by_step(limits).into_pyobject(py)?.into_any().unbind())
}

/// The steps that have a deadline, as `deadlines` names them.
#[pyfunction]
pub fn deadline_steps() -> Vec<&'static str> {
    Deadlines::STEPS.to_vec()
}

fn switched_over(py: Python<'_>, moved: Switchover) -> PyResult<Py<PyAny>> {
    runtime::drain(py);
    results::switchover(py, moved)
}

fn rebooted(py: Python<'_>, reboot: Reboot) -> PyResult<Py<PyAny>> {
    runtime::drain(py);
    results::reboot(py, reboot)
}

both_worlds! {
    /// A device under test.
    Device and AsyncDevice over CoreDevice, in Client;

    /// gNMI: the components with a redundant-role.
    #[pyo3(signature = (*, timeout=None))]
    fn control_processors(device, timeout: Option<Seconds>) => results::control_processors {
        async move { device.control_processors(device.session().deadline(duration(timeout))).await }
    }

    /// Whether it says that it is EMULATED.
    fn is_emulated(device) => results::truth {
        async move { Ok(device.is_emulated().await) }
    }

    /// The limit of each step on it, in seconds.
    fn deadlines(device) => self::limits_by_step {
        async move { Ok(*device.known_deadlines().await) }
    }

    /// gNOI System.SwitchControlProcessor, and the evidence that it happened.
    #[pyo3(signature = (to=None, *, redundant=false, name_only=false, trigger="gnoi".to_owned(), wait_ready=true,
        progress=None))]
    fn switchover(device, to: Option<String>, redundant: bool, name_only: bool, trigger: String, wait_ready: bool,
        progress: Option<Py<PyAny>>) => self::switched_over
    {
        let watch = Python::attach(|py| ProgressWatch::new(py, progress, "switchover", device.session().timeline()))?;
        async move {
            let trigger = trigger.parse()?;
            let options = SwitchoverOptions { to, redundant, name_only, trigger, unready: !wait_ready };
            ProgressWatch::over(watch, Box::pin(device.switchover(&options))).await
        }
    }

    /// Asks for a switchover, in whichever form of the path the device takes, and does not wait for it.
    #[pyo3(signature = (to=None, *, name_only=false))]
    fn ask_for_switchover(device, to: Option<String>, name_only: bool) => results::text {
        async move {
            let options = SwitchoverOptions { to, name_only, ..SwitchoverOptions::default() };
            device.ask_for_switchover(&options).await
        }
    }

    /// Ends the session; every later call fails.
    fn close(device) => results::nothing {
        async move {
            device.close();
            Ok(())
        }
    }

    /// Waits until `primary` has a standby in step, and is primary all the while.
    #[pyo3(signature = (primary))]
    fn expect_redundant(device, primary: String) => results::maybe_unchecked {
        async move { device.redundant(&primary).await }
    }

    /// gNOI System.Reboot(COLD) of the chassis, and the evidence that it happened.
    #[pyo3(signature = (*, force=false, progress=None))]
    fn reboot(device, force: bool, progress: Option<Py<PyAny>>) => self::rebooted {
        let watch = Python::attach(|py| ProgressWatch::new(py, progress, "reboot", device.session().timeline()))?;
        async move { ProgressWatch::over(watch, Box::pin(device.reboot(force))).await }
    }

    /// Cntr.Ping over TLS on the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn ping_container(device, port: Port, host: Option<String>, timeout: Option<Seconds>) => results::time {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.ping_container(host.as_deref(), port.0, deadline).await
        }
    }

    /// A TCP connection to the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn connect_container(device, port: Port, host: Option<String>, timeout: Option<Seconds>) => results::nothing {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.connect_container(host.as_deref(), port.0, deadline).await
        }
    }

    /// Cntr.Dial on the container's published port: what it was told where it dialled.
    #[pyo3(signature = (port, address, *, ask="ping".to_owned(), username=None, password=None, host=None, timeout=None))]
    fn dial_from_container(device, port: Port, address: String, ask: String, username: Option<String>,
        password: Option<Secret>, host: Option<String>, timeout: Option<Seconds>) => results::dialled
    {
        async move {
            let question = ask.parse()?;
            let given = username.is_some() || password.is_some();
            let credentials = given.then(|| {
                Credentials::new(&username.unwrap_or_default(), password.as_ref().map_or("", |secret| &secret.0))
            });
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(12))));
            let place = (host.as_deref(), port.0);
            device.dial_from_container(place, &address, question, credentials.transpose()?.as_ref(), deadline).await
        }
    }

    /// Ledger.Append on the container's published port.
    #[pyo3(signature = (port, payload, *, host=None, timeout=None))]
    fn append_record(device, port: Port, payload: Vec<u8>, host: Option<String>, timeout: Option<Seconds>)
        => results::record
    {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.append_record(host.as_deref(), port.0, payload, deadline).await
        }
    }

    /// Ledger.Describe on the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn describe_container(device, port: Port, host: Option<String>, timeout: Option<Seconds>) => results::description {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.describe_container(host.as_deref(), port.0, deadline).await
        }
    }

    /// Ledger.Read on the container's published port.
    #[pyo3(signature = (port, *, host=None, timeout=None))]
    fn read_records(device, port: Port, host: Option<String>, timeout: Option<Seconds>) => results::records {
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(Duration::from_secs(5))));
            device.read_records(host.as_deref(), port.0, deadline).await
        }
    }

    /// Waits until the container on `port` answers, and watches that it goes on.
    #[pyo3(signature = (port, *, host=None, within=None, watch=None))]
    fn expect_answer(device, port: Port, host: Option<String>, within: Option<Seconds>, watch: Option<Seconds>)
        => results::nothing
    {
        let patience = patience(within, watch);
        async move { device.expect_answer(host.as_deref(), port.0, patience).await }
    }
}

fn address(device: &CoreDevice) -> String {
    let all = device.session().target().addresses.iter().map(ToString::to_string);
    all.collect::<Vec<_>>().join(",")
}

macro_rules! properties {
    ($class:ident, $containerz:ident, $system:ident, $file:ident, $healthz:ident, $gnmi:ident) => {
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

            /// gNOI File.
            #[getter]
            fn file(&self) -> $file {
                $file { inner: self.inner.clone() }
            }

            /// gNOI Healthz.
            #[getter]
            fn healthz(&self) -> $healthz {
                $healthz { inner: self.inner.clone() }
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
                address(&self.inner)
            }

            /// The same device with a record of its own: what is made through it bears `labels`, and is on record before.
            #[pyo3(signature = (run, *, labels=None, journal=None, name_label=None))]
            fn recording(
                &self,
                run: String,
                labels: Option<BTreeMap<String, String>>,
                journal: Option<PathBuf>,
                name_label: Option<String>,
            ) -> Self {
                let mut record = CreationRecord::new(run, address(&self.inner), labels.unwrap_or_default(), journal);
                record.name_label = name_label;
                Self { inner: self.inner.recording(record) }
            }

            /// What was made through it since `recording`: kind, name and tag of each.
            #[getter]
            fn made(&self) -> Vec<(&'static str, String, String)> {
                let made = self.inner.containerz.record().map(|record| record.made()).unwrap_or_default();
                made.into_iter().map(|made| (made.kind, made.name, made.tag)).collect()
            }

            /// What the device said where it refused the labels of `recording`; none where it did not.
            #[getter]
            fn labels_refused(&self) -> Option<String> {
                self.inner.containerz.record().and_then(|record| record.labels_refused().map(str::to_owned))
            }

            /// What was asked of it and seen so far.
            #[getter]
            fn timeline(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                results::events(py, self.inner.session().timeline().since(Duration::ZERO))
            }

            /// Puts a note of the caller's on the timeline.
            fn note(&self, text: String) {
                self.inner.session().timeline().record(EventKind::Note, text);
            }

            fn __repr__(&self) -> String {
                format!("<{} {}>", stringify!($class), self.inner.session().name())
            }
        }
    };
}

properties!(Device, Containerz, System, File, Healthz, Gnmi);
properties!(AsyncDevice, AsyncContainerz, AsyncSystem, AsyncFile, AsyncHealthz, AsyncGnmi);

#[pymethods]
impl Device {
    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// For notebooks: what it is and runs, asked of it now.
    fn _repr_html_(this: Py<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(py.import("holdfast.tables")?.call_method1("of_device", (this,))?.unbind())
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
        runtime::awaitable(py, RuntimeOf::Client, entered, |_, this| Ok(this.into_any()))
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
