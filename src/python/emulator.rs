//! The emulated device.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::sync::Mutex;

use super::arguments::{Port, Seconds, Secret, Whole, duration};
use super::both_worlds::both_worlds;
use super::runtime::{self, RuntimeOf};
use super::{errors, results};
use crate::emulator::{
    Chassis as Emulated, Encryption, FAILPOINTS, Failpoints, Leftover, Outage, Quirk, RuntimeKind, Settings,
};
use crate::error::{Error, Result};
use crate::failpoint::Armed;

/// What `holdfast.emulator` was given, checked and completed there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct EmulatorOptions {
    listen: String,
    gnoi_port: Option<Port>,
    inner_gnmi_port: Option<Port>,
    inner_gribi_port: Option<Port>,
    names: Option<(String, String)>,
    software: Option<String>,
    core_file: Option<String>,
    outage: Option<Seconds>,
    load: Option<Seconds>,
    boot: Option<Seconds>,
    reboot: Option<Seconds>,
    replication: Option<Seconds>,
    runtime: String,
    engine: String,
    black_hole: bool,
    state: Option<PathBuf>,
    space: Option<Whole<u64>>,
    chunk_size: Option<Whole<i32>>,
    quirks: Vec<String>,
    seed: Whole<u64>,
    encryption: String,
    certificates: Option<PathBuf>,
    users: Vec<(String, Secret)>,
}

impl EmulatorOptions {
    fn settings(self) -> Result<Settings> {
        let (first, second) = match self.listen.split_once(',') {
            None => (address(&self.listen)?, None),
            Some((first, second)) => (address(first.trim())?, Some(address(second.trim())?)),
        };
        let mut settings = Settings { listen: first, listen_second: second, ..Settings::default() };
        let timings = &mut settings.timings;
        for (slot, given) in [
            (&mut timings.outage, self.outage),
            (&mut timings.load, self.load),
            (&mut timings.boot, self.boot),
            (&mut timings.reboot, self.reboot),
            (&mut timings.replication, self.replication),
        ] {
            *slot = duration(given).unwrap_or(*slot);
        }
        Ok(Settings {
            gnoi_port: self.gnoi_port.map(|port| port.0),
            inner_gnmi_port: self.inner_gnmi_port.map_or(0, |port| port.0),
            inner_gribi_port: self.inner_gribi_port.map_or(0, |port| port.0),
            names: self.names.map_or(settings.names, |(first, second)| [first, second]),
            software: self.software.unwrap_or(settings.software),
            core_file: self.core_file.unwrap_or(settings.core_file),
            runtime: match self.runtime.as_str() {
                "emulated" => RuntimeKind::Emulated,
                "docker" => RuntimeKind::Docker { address: self.engine },
                other => return Err(Error::invalid(format!("runtime {other:?}: give emulated or docker"))),
            },
            outage: if self.black_hole { Outage::Silent } else { Outage::Closed },
            state: self.state,
            space: self.space.map_or(settings.space, |space| space.0),
            chunk_size: self.chunk_size.map_or(settings.chunk_size, |size| size.0),
            seed: self.seed.0,
            encryption: match self.encryption.as_str() {
                "none" => Encryption::None,
                "server" => Encryption::Server,
                "mutual" => Encryption::Mutual,
                other => return Err(Error::invalid(format!("tls {other:?}: give server or mutual"))),
            },
            certificates: self.certificates,
            users: self.users.into_iter().map(|(name, password)| (name, password.0)).collect(),
            quirks: self.quirks.iter().map(|name| name.parse()).collect::<Result<Vec<Quirk>>>()?,
            ..settings
        })
    }
}

/// `HOST:PORT` of this machine, or `auto`: an address of its own below 127.0.0.0/8 where the system has that.
fn address(listen: &str) -> Result<SocketAddr> {
    if listen != "auto" {
        return listen
            .parse()
            .map_err(|_| Error::invalid(format!("{listen:?} is no address to listen on")).hint("write IP:PORT"));
    }
    let host = if cfg!(target_os = "linux") { own_loopback() } else { [127, 0, 0, 1] };
    Ok(SocketAddr::new(IpAddr::from(host), 0))
}

/// Differs between processes, and from chassis to chassis in one.
fn own_loopback() -> [u8; 4] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
    [127, 1 + bytes[0] % 254, bytes[1], 1 + bytes[2] % 254]
}

/// Powers an emulated device on.
#[pyfunction]
pub fn emulator(py: Python<'_>, options: EmulatorOptions) -> PyResult<Chassis> {
    let settings = options.settings().map_err(|error| errors::to_python(py, &error))?;
    let chassis = runtime::block(py, RuntimeOf::Emulator, Emulated::start(settings))?;
    Ok(Chassis { inner: SharedChassis(Arc::new(Mutex::new(chassis))) })
}

/// As `emulator`, to be awaited.
#[pyfunction]
pub fn emulator_async(py: Python<'_>, options: EmulatorOptions) -> PyResult<Bound<'_, PyAny>> {
    let settings = options.settings().map_err(|error| errors::to_python(py, &error))?;
    runtime::awaitable(py, RuntimeOf::Emulator, Emulated::start(settings), |py, chassis| {
        Ok(Py::new(py, AsyncChassis { inner: SharedChassis(Arc::new(Mutex::new(chassis))) })?.into_any())
    })
}

/// Kind, name, owner and state folder of what an emulated device has in an engine.
type InEngine = (String, String, String, String);

/// All that emulated devices have in a Docker engine.
#[pyfunction]
pub fn engine_leftovers(py: Python<'_>, address: String) -> PyResult<Vec<InEngine>> {
    let found = runtime::block(py, RuntimeOf::Emulator, async move { crate::emulator::leftovers(&address).await })?;
    Ok(found.into_iter().map(|thing| (thing.kind.to_owned(), thing.name, thing.owner, thing.state)).collect())
}

/// Removes some of them by kind and name; why each stays that does.
#[pyfunction]
pub fn remove_engine_leftovers(
    py: Python<'_>,
    address: String,
    things: Vec<(String, String)>,
) -> PyResult<Vec<(String, String)>> {
    let removing = async move {
        let there = crate::emulator::leftovers(&address).await?;
        let wanted: Vec<Leftover> =
            there.into_iter().filter(|it| things.contains(&(it.kind.to_owned(), it.name.clone()))).collect();
        crate::emulator::remove_leftovers(&address, &wanted).await
    };
    let stayed = runtime::block(py, RuntimeOf::Emulator, removing)?;
    Ok(stayed.into_iter().map(|(thing, why)| (thing.name, why)).collect())
}

/// Every failpoint: its provider, its name, and a line on it.
#[pyfunction]
pub fn failpoint_names() -> Vec<(&'static str, &'static str, &'static str)> {
    let emulator = FAILPOINTS.iter().map(|point| ("emulator", point.name, point.help));
    #[cfg(target_os = "linux")]
    let emulator = emulator.chain(crate::cni::points().map(|(name, help)| (crate::cni::NAME, name, help)));
    let storage = crate::storage::emulated::FAILPOINTS.iter().map(|point| ("storage", point.name, point.help));
    emulator.chain(storage).collect()
}

/// Every quirk of the emulated device, with a line on each.
#[pyfunction]
pub fn quirk_names() -> Vec<(&'static str, &'static str)> {
    Quirk::ALL.iter().map(|quirk| (quirk.name(), quirk.help())).collect()
}

/// A chassis that blocking and awaiting callers share.
#[derive(Clone)]
pub struct SharedChassis(Arc<Mutex<Emulated>>);

impl SharedChassis {
    async fn failpoints(&self) -> Failpoints {
        self.0.lock().await.failpoints()
    }
}

fn all_armed(py: Python<'_>, armed: Vec<Armed>) -> PyResult<Py<PyAny>> {
    let rows: Vec<_> = armed.into_iter().map(|armed| (armed.name, armed.terms, armed.hits)).collect();
    Ok(rows.into_pyobject(py)?.into_any().unbind())
}

fn count(py: Python<'_>, count: u64) -> PyResult<Py<PyAny>> {
    Ok(count.into_pyobject(py)?.into_any().unbind())
}

both_worlds! {
    /// The emulated device.
    Chassis and AsyncChassis over SharedChassis, in Emulator;

    /// Arms a failpoint.
    fn arm(chassis, name: String, terms: String) => results::nothing {
        async move { chassis.failpoints().await.arm(&name, &terms) }
    }

    /// Disarms a failpoint; how often it was hit.
    fn disarm(chassis, name: String) => self::count {
        async move { chassis.failpoints().await.disarm(&name) }
    }

    /// How often a failpoint was hit since it was armed.
    fn hits(chassis, name: String) => self::count {
        async move { chassis.failpoints().await.hits(&name) }
    }

    /// Lets go on who waits at a failpoint.
    fn release(chassis, name: String) => results::nothing {
        async move { chassis.failpoints().await.release(&name) }
    }

    /// Waits until a failpoint was hit so often.
    fn reached(chassis, name: String, times: Whole<u64>, timeout: Seconds) => results::nothing {
        let patience = duration(Some(timeout)).unwrap_or_default();
        async move { chassis.failpoints().await.reached(&name, times.0, patience).await }
    }

    /// All that are armed: name, what is left of the terms, hits.
    fn armed(chassis) => self::all_armed {
        async move { Ok(chassis.failpoints().await.armed()) }
    }

    /// Where the certificates for clients are, with TLS.
    fn certificates(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.certificates().display().to_string()) }
    }

    /// The socket by which another process arms its failpoints.
    fn control(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.control().display().to_string()) }
    }

    /// The name of the control processor that is active now.
    fn active(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.active()) }
    }

    /// Where it is managed.
    fn management_address(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.management_address()) }
    }

    /// Where its gNOI is served.
    fn gnoi_address(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.gnoi_address()) }
    }

    /// Where its containers reach its gNMI.
    fn inner_gnmi_address(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.inner_gnmi_address().to_string()) }
    }

    /// Where its containers reach its gRIBI.
    fn inner_gribi_address(chassis) => results::text {
        async move { Ok(chassis.0.lock().await.inner_gribi_address().to_string()) }
    }

    /// Where its containers' ports are, if not on its own address.
    fn container_host(chassis) => results::optional_text {
        async move { Ok(chassis.0.lock().await.container_host().map(|host| host.to_string())) }
    }

    /// Powers it off.
    fn stop(chassis) => results::nothing {
        async move {
            let stopped = tokio::time::timeout(Duration::from_secs(5), async { chassis.0.lock().await.stop().await });
            stopped.await.map_err(|_| Error::invalid("the emulated device did not end in time"))
        }
    }
}
