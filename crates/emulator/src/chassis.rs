//! The chassis: two control processors, one management address, and what holds them together.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arming::Failpoints;
use super::cli::Cli;
use super::control::{Control, SOCKET};
use super::defects::GROUPS;
use super::failpoints::FAILPOINTS;
use super::faults::Faults;
use super::files::Files;
use super::folder::{StateFolder, bad_state};
use super::health::Health;
use super::limit::Limit;
use super::runtime::{ContainerRuntime, EmulatedRuntime, Running, docker};
use super::services::Offered;
use super::settings::{Encryption, Quirk, RuntimeKind, Settings};
use super::shared::{ControlProcessor, Defects, SharedChassis};
use super::state::State;
use super::store::Store;
use super::trouble::advice;
use super::{configuration, failover, front, identity, loading, replication};
use holdfast_failpoint::Registry;
use holdfast_net::error::{Error, Result};
use holdfast_net::serve;

/// An emulated device that runs. It ends when this is dropped or stopped.
pub struct Chassis {
    shared: Arc<SharedChassis>,
    folder: StateFolder,
    certificates: PathBuf,
}

impl Chassis {
    /// Powers a chassis on.
    pub async fn start(settings: Settings) -> Result<Self> {
        if settings.names[0] == settings.names[1] || settings.names.iter().any(String::is_empty) {
            return Err(Error::invalid("an emulated device needs two different names for its control processors"));
        }
        let (fronts, reservations) = front::open(&settings)?;
        let of = |offered: &[Offered]| {
            let such = fronts.iter().filter(|front| offered.contains(&front.offered));
            such.map(|front| front.address).collect::<Vec<_>>()
        };
        let (addresses, gnoi_addresses) = (of(&[Offered::All, Offered::Gnmi]), of(&[Offered::All, Offered::Gnoi]));
        let for_containers = [of(&[Offered::InnerGnmi]), of(&[Offered::InnerGribi])];
        let folder = StateFolder::take(settings.state.as_deref())?;
        let root = folder.path();
        let bad_state = |error: std::io::Error| bad_state(root, &error);
        let tls = serve::self_signed().map_err(bad_state)?;
        let failpoints = Arc::new(Registry::new(FAILPOINTS, settings.seed));
        let defects = Arc::new(Defects::new(failpoints.clone(), GROUPS));
        let cli = Arc::new(Cli::default());
        let (crashes, crashed) = mpsc::unbounded_channel();
        let contents = Arc::default();
        let store = |index: usize| {
            let opened = Store::open(root.join(format!("control-processor-{}", index + 1)), Arc::clone(&contents));
            opened.map(Arc::new).map_err(bad_state)
        };
        let stores = [store(0)?, store(1)?];
        let files = |index: u32| {
            let folder = root.join(format!("control-processor-{}", index + 1)).join("files");
            Files::open(folder, &settings, index).map_err(bad_state)
        };
        let files = [files(0)?, files(1)?];
        let faults = [0, 1].map(|index| Faults::new(defects.at_failpoints(), crashes.clone(), index));
        let hosts = [0, 1].map(|index| container_host(&settings).unwrap_or(addresses[index % addresses.len()].ip()));
        let emulated = |index: usize| EmulatedRuntime {
            host: hosts[index],
            tls: tls.clone(),
            faults: faults[index].clone(),
            filter: settings.quirks.contains(&Quirk::PortFiltered).then(|| (cli.clone(), index)),
            store: stores[index].clone(),
            peer: stores[1 - index].clone(),
            defects: defects.clone(),
            running: Running::default(),
        };
        let [first_runtime, second_runtime] = match &settings.runtime {
            RuntimeKind::Emulated => boxed([emulated(0), emulated(1)]),
            RuntimeKind::Docker { address } => {
                boxed(Box::pin(docker::runtimes(address, settings.state.as_deref(), &stores, hosts)).await?)
            }
        };
        let control_processor = |index: usize, files: Files, runtime: Box<dyn ContainerRuntime>| ControlProcessor {
            store: stores[index].clone(),
            files,
            health: Health::default(),
            runtime,
            faults: faults[index].clone(),
            operations: tokio::sync::Mutex::default(),
            life: Mutex::default(),
        };
        let [first, second] = files;
        let control_processors =
            [control_processor(0, first, first_runtime), control_processor(1, second, second_runtime)];
        let control = Control::open(root).map_err(bad_state)?;
        let certificates = settings.certificates.clone().unwrap_or_else(|| root.join("tls"));
        let served_with = served_with(&settings, &addresses, &certificates)?;
        let shared = Arc::new(SharedChassis {
            settings,
            addresses,
            gnoi_addresses,
            for_containers,
            defects,
            failpoints,
            control_processors,
            changed: Notify::new(),
            copying: Arc::default(),
            tls: served_with.map(TlsAcceptor::from),
            tls_within: TlsAcceptor::from(tls),
            config: Mutex::new(configuration::factory()),
            cli,
            rib: Arc::default(),
            state: watch::Sender::new(State::powered_on()),
            life: CancellationToken::new(),
            tasks: TaskTracker::new(),
            mover: Mutex::default(),
            limit: Limit::default(),
            _reservations: reservations,
        });
        loading::start_containers(&shared, 0, loading::Start::Reboot).await;
        for front in fronts {
            shared.spawn(front.run(shared.clone()));
        }
        shared.spawn(replication::replicate(shared.clone()));
        if shared.settings.runtime != RuntimeKind::Emulated {
            for index in [0, 1] {
                shared.spawn(loading::note_endings(shared.clone(), index));
            }
        }
        shared.spawn(end_the_crashed(shared.clone(), crashed));
        shared.spawn(control.serve(Failpoints::new(shared.failpoints.clone())));
        Ok(Self { shared, folder, certificates })
    }

    /// Where it is managed; the first, where each control processor has an address of its own.
    pub fn address(&self) -> SocketAddr {
        self.shared.addresses[0]
    }

    /// Where it is managed, as a target is written: the addresses of its gNMI.
    pub fn management_address(&self) -> String {
        joined(&self.shared.addresses)
    }

    /// The addresses of its gNOI, which may be others.
    pub fn gnoi_address(&self) -> String {
        joined(&self.shared.gnoi_addresses)
    }

    /// Where its containers reach its gNMI: on the active control processor.
    pub fn inner_gnmi_address(&self) -> SocketAddr {
        self.address_for_containers(0)
    }

    /// The same of its gRIBI.
    pub fn inner_gribi_address(&self) -> SocketAddr {
        self.address_for_containers(1)
    }

    fn address_for_containers(&self, which: usize) -> SocketAddr {
        let all = &self.shared.for_containers[which];
        all[self.shared.state().active() % all.len()]
    }

    /// Where its containers' ports are, if not on its own address.
    pub fn container_host(&self) -> Option<IpAddr> {
        container_host(&self.shared.settings)
    }

    /// The name of the control processor that is active now.
    pub fn active(&self) -> String {
        self.shared.settings.names[self.shared.state().active()].clone()
    }

    /// Where the certificates for clients are, with TLS.
    pub fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// The socket by which another process arms its failpoints.
    pub fn control(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Its failpoints, for whoever arms them.
    pub fn failpoints(&self) -> Failpoints {
        Failpoints::new(self.shared.failpoints.clone())
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<SharedChassis> {
        &self.shared
    }

    /// Powers it off and waits until its sockets are closed.
    pub async fn stop(&mut self) {
        for control_processor in &self.shared.control_processors {
            control_processor.fall().await;
        }
        self.shared.life.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        for control_processor in &self.shared.control_processors {
            control_processor.runtime.power_off().await;
        }
        self.folder.release().await;
    }
}

impl Drop for Chassis {
    fn drop(&mut self) {
        self.shared.life.cancel();
        for control_processor in &self.shared.control_processors {
            control_processor.life().cancel();
        }
    }
}

fn boxed<R: ContainerRuntime + 'static>(runtimes: [R; 2]) -> [Box<dyn ContainerRuntime>; 2] {
    runtimes.map(|runtime| -> Box<dyn ContainerRuntime> { Box::new(runtime) })
}

/// What the management address is encrypted with, where it is; what a client needs lies in `certificates` then.
fn served_with(
    settings: &Settings,
    addresses: &[SocketAddr],
    certificates: &Path,
) -> Result<Option<Arc<rustls::ServerConfig>>> {
    if settings.encryption == Encryption::None {
        return Ok(None);
    }
    let hosts: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    let made = identity::make(certificates, &hosts, settings.encryption, &settings.quirks);
    made.map(Some).map_err(|error| {
        let usual = "give --tls a folder to write into";
        Error::invalid(format!("{}: {error}", certificates.display())).hint(advice(&error, usual))
    })
}

/// An address of the containers' own, beside the device's.
fn container_host(settings: &Settings) -> Option<IpAddr> {
    match settings.listen.ip() {
        IpAddr::V4(own) if settings.quirks.contains(&Quirk::InnerAddress) => {
            let [a, b, c, d] = own.octets();
            Some(IpAddr::from([a, b, c, d ^ 0x80]))
        }
        _ => None,
    }
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn end_the_crashed(chassis: Arc<SharedChassis>, mut crashed: mpsc::UnboundedReceiver<usize>) {
    while let Some(index) = crashed.recv().await {
        failover::crash_now(&chassis, index);
    }
}

#[cfg(test)]
mod tests {
    use holdfast_net::waiting;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_over_while_a_store_is_overwritten() {
        let chassis = Chassis::start(Settings::default()).await.expect("a chassis");
        let shared = chassis.shared().clone();
        let copying = shared.copying.clone().lock_owned().await;
        failover::crash_now(&shared, 0);
        waiting::pause(shared.settings.timings.outage * 10).await;
        assert_eq!(shared.state().answering(), None);
        drop(copying);
        shared.watch().wait_for(|state| state.active() == 1).await.expect("the other takes over");
    }
}
