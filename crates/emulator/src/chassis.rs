//! The chassis: two control processors, one management address, and what holds them together.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cli::Cli;
use super::control::{Control, SOCKET};
use super::failpoints::{FAILPOINTS, message_at};
use super::faults::Faults;
use super::front::Offered;
use super::runtime::Runtime;
use super::settings::{Encryption, Quirk, Settings};
use super::state::{State, now};
use super::store::{Container, Store};
use super::{failover, front, identity, loading, replication};
use holdfast_cntrsrv as cntr;
use holdfast_cntrsrv::ledger::Volume;
use holdfast_failpoint::{Action, Armed, Registry, Terms, Unknown};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::serve;
use holdfast_wire::reflection;

/// An emulated device that runs. It ends when this is dropped or stopped.
pub struct Chassis {
    shared: Arc<SharedChassis>,
    state: PathBuf,
    certificates: PathBuf,
    /// Removed with the chassis, where no folder was given.
    folder: Option<tempfile::TempDir>,
}

/// One control processor.
pub struct ControlProcessor {
    pub store: Arc<Store>,
    /// The other's.
    peer: Arc<Store>,
    pub runtime: Runtime,
    pub faults: Faults,
    /// Held from an operation's checks until it is done: what it found still holds when it acts.
    operations: tokio::sync::Mutex<()>,
    life: Mutex<CancellationToken>,
}

impl ControlProcessor {
    /// Ends when it falls.
    pub fn life(&self) -> CancellationToken {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One operation at a time: for as long as the guard is held, this one.
    pub async fn operation(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.operations.lock().await
    }

    /// Starts a container, with its ledger if it has a volume for one: what that acknowledges, the peer has too.
    pub fn start(&self, container: &Container) -> std::io::Result<()> {
        let ledger = match Store::ledger_of(container) {
            None => {
                let environment = container.environment.clone().into_iter().collect();
                cntr::ledger::Service::new(PathBuf::from("no volume/ledger")).emulated(
                    environment,
                    Volume::Elsewhere,
                    Arc::new(|| Ok(())),
                )
            }
            Some((volume, file)) => {
                let (peer, life, volume) = (self.peer.clone(), self.life(), volume.to_owned());
                let path = self.store.volume_folder(&volume).join(file);
                let original = path.clone();
                let faults = self.faults.clone();
                let copy = move || {
                    if faults.fires("ledger.unsynced") || faults.fires("switchover.sync.data") {
                        return Ok(());
                    }
                    peer.extend_copy(&volume, &original, || life.is_cancelled())
                };
                let seen = if container.read_only { Volume::ReadOnly } else { Volume::AsSeen };
                let environment = container.environment.clone().into_iter().collect();
                cntr::ledger::Service::new(path).emulated(environment, seen, Arc::new(copy))
            }
        };
        self.runtime.start(container, ledger.server())
    }

    /// Ends everything on it at once.
    pub async fn fall(&self) {
        let ended = std::mem::take(&mut *self.life.lock().unwrap_or_else(PoisonError::into_inner));
        ended.cancel();
        let _last = self.operation().await; // what it started is ended too
        self.runtime.stop_all().await;
    }
}

/// What the chassis' tasks share.
pub struct SharedChassis {
    pub settings: Settings,
    /// Where it is managed: one address for both control processors, or one for each.
    pub addresses: Vec<SocketAddr>,
    gnoi_addresses: Vec<SocketAddr>,
    /// Where its containers reach its gNMI and its gRIBI.
    for_containers: [Vec<SocketAddr>; 2],
    pub failpoints: Arc<Registry>,
    pub control_processors: [ControlProcessor; 2],
    /// Told of each change that the standby must get.
    pub changed: Notify,
    /// Held while a control processor's store is overwritten with the other's: whoever takes over waits for it, or a
    /// late copy would undo what the new active did.
    pub copying: Arc<tokio::sync::Mutex<()>>,
    /// What the management address is served with, where it is encrypted.
    pub tls: Option<TlsAcceptor>,
    /// What is served to its own containers, who verify nothing.
    pub tls_within: TlsAcceptor,
    /// What gNMI Set configured.
    pub config: Mutex<std::collections::BTreeMap<holdfast_wire::path::Path, holdfast_wire::value::Value>>,
    /// What it was told by gNMI Set of origin cli.
    pub cli: Arc<Cli>,
    state: watch::Sender<State>,
    life: CancellationToken,
    tasks: TaskTracker,
    /// Of the switchover, reboot or crash that is under way, or was last.
    mover: Mutex<CancellationToken>,
    _reservations: Vec<socket2::Socket>,
}

impl SharedChassis {
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }

    /// The device's clock, in nanoseconds since the epoch.
    pub fn clock(&self) -> u64 {
        const HOUR: u64 = 3_600_000_000_000;
        now() - if self.state().clock_back { HOUR } else { 0 }
    }

    /// Takes the right to move roles; false where a move is under way.
    pub fn begin_move(&self) -> bool {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.moving, true))
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.settings.quirks.contains(&quirk)
    }

    /// Runs `task` for as long as the chassis lives.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        self.tasks.spawn(async move {
            life.run_until_cancelled(task).await;
        });
    }

    /// Runs `work` to its end, which the chassis waits for when it is powered off.
    pub fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn_blocking(work)
    }

    /// Runs what moves roles; what did so before ends where it stands.
    pub fn spawn_move(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = CancellationToken::new();
        std::mem::replace(&mut *self.mover.lock().unwrap_or_else(PoisonError::into_inner), token.clone()).cancel();
        self.spawn(async move {
            token.run_until_cancelled(task).await;
        });
    }

    /// A control processor dies at once, as from a kernel panic.
    pub fn crash(self: &Arc<Self>, index: usize) {
        let state = self.state();
        let dies = failover::crash(self.clone(), index);
        if state.moving || index == state.active || !state.control_processors[index].up {
            self.spawn_move(dies);
        } else {
            self.spawn(dies);
        }
    }
}

impl Chassis {
    /// Powers a chassis on.
    #[expect(clippy::unused_async, reason = "it starts tasks, so it must run inside a runtime")]
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
        let (folder, root) = state_folder(&settings)?;
        let bad_state = |error: std::io::Error| {
            Error::invalid(format!("{}: {error}", root.display()))
                .hint("give --state an empty folder, or one of this tool's")
        };
        let tls = serve::self_signed().map_err(bad_state)?;
        let failpoints = Arc::new(Registry::new(FAILPOINTS, settings.seed));
        let cli = Arc::new(Cli::default());
        let (crashes, crashed) = mpsc::unbounded_channel();
        let contents = Arc::default();
        let store = |index: usize| {
            let opened = Store::open(root.join(format!("control-processor-{}", index + 1)), Arc::clone(&contents));
            opened.map(Arc::new).map_err(bad_state)
        };
        let stores = [store(0)?, store(1)?];
        let control_processor = |index: usize| {
            let faults = Faults::new(failpoints.clone(), crashes.clone(), index);
            ControlProcessor {
                store: stores[index].clone(),
                peer: stores[1 - index].clone(),
                runtime: Runtime::new(
                    container_host(&settings).unwrap_or(addresses[index % addresses.len()].ip()),
                    tls.clone(),
                    faults.clone(),
                    settings.quirks.contains(&Quirk::PortFiltered).then(|| (cli.clone(), index)),
                ),
                faults,
                operations: tokio::sync::Mutex::default(),
                life: Mutex::default(),
            }
        };
        let control_processors = [control_processor(0), control_processor(1)];
        let control = Control::open(&root).map_err(bad_state)?;
        let certificates = settings.certificates.clone().unwrap_or_else(|| root.join("tls"));
        let served_with = match settings.encryption {
            Encryption::None => None,
            encryption => {
                let hosts: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
                Some(identity::make(&certificates, &hosts, encryption, &settings.quirks))
            }
        };
        let served_with = served_with.transpose().map_err(|error| {
            Error::invalid(format!("{}: {error}", certificates.display())).hint("give --tls a folder to write into")
        })?;
        let shared = Arc::new(SharedChassis {
            settings,
            addresses,
            gnoi_addresses,
            for_containers,
            failpoints,
            control_processors,
            changed: Notify::new(),
            copying: Arc::default(),
            tls: served_with.map(TlsAcceptor::from),
            tls_within: TlsAcceptor::from(tls),
            config: Mutex::default(),
            cli,
            state: watch::Sender::new(State::booted(0)),
            life: CancellationToken::new(),
            tasks: TaskTracker::new(),
            mover: Mutex::default(),
            _reservations: reservations,
        });
        loading::start_containers(&shared, 0, loading::Start::Reboot);
        for front in fronts {
            shared.spawn(front.run(shared.clone()));
        }
        shared.spawn(replication::replicate(shared.clone()));
        shared.spawn(end_the_crashed(shared.clone(), crashed));
        shared.spawn(control.serve(Failpoints(shared.failpoints.clone())));
        Ok(Self { shared, state: root, certificates, folder })
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
        all[self.shared.state().active % all.len()]
    }

    /// Where its containers' ports are, if not on its own address.
    pub fn container_host(&self) -> Option<IpAddr> {
        container_host(&self.shared.settings)
    }

    /// The name of the control processor that is active now.
    pub fn active(&self) -> String {
        self.shared.settings.names[self.shared.state().active].clone()
    }

    /// Where the certificates for clients are, with TLS.
    pub fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// The socket by which another process arms its failpoints.
    pub fn control(&self) -> PathBuf {
        self.state.join(SOCKET)
    }

    /// Its failpoints, for whoever arms them.
    pub fn failpoints(&self) -> Failpoints {
        Failpoints(self.shared.failpoints.clone())
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
        if let Some(folder) = self.folder.take() {
            remove(&folder.keep()).await;
        }
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

/// Removes a folder that calls which were cut off may write into for another moment.
async fn remove(folder: &Path) {
    let gone = async {
        while std::fs::remove_dir_all(folder).is_err() && folder.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(2), gone).await.is_err() {
        tracing::warn!("{} cannot be removed", folder.display());
    }
}

/// The failpoints of a chassis, from outside.
#[derive(Debug, Clone)]
pub struct Failpoints(Arc<Registry>);

impl Failpoints {
    /// Arms a failpoint, or arms it anew.
    pub fn arm(&self, name: &str, terms: &str) -> Result<()> {
        let wrong = |error: String| {
            Error::invalid(format!("failpoint {name}: {error}"))
                .hint("terms are such as 1*error[UNAVAILABLE](busy)->delay(1s); docs/failpoints.md has them all")
        };
        let terms: Terms = terms.parse().map_err(|error: holdfast_failpoint::ParseError| wrong(error.to_string()))?;
        let actions = terms.terms().iter().flat_map(|term| &term.actions);
        for object in actions.filter_map(|action| match action {
            Action::Return(object) => Some(object),
            _ => None,
        }) {
            check_return(name, object).map_err(wrong)?;
        }
        self.0.arm(name, terms).map_err(unknown)
    }

    /// Disarms a failpoint, releases who waits there, and says how often it was hit.
    pub fn disarm(&self, name: &str) -> Result<u64> {
        self.0.disarm(name).map_err(unknown)
    }

    /// Lets go on who waits at a failpoint.
    pub fn release(&self, name: &str) -> Result<()> {
        self.0.release(name).map_err(unknown)
    }

    /// How often a failpoint acted since it was armed.
    pub fn hits(&self, name: &str) -> Result<u64> {
        self.0.hits(name).map_err(unknown)
    }

    /// Waits until a failpoint acted `times` times.
    pub async fn reached(&self, name: &str, times: u64, patience: Duration) -> Result<()> {
        if let Ok(reached) = tokio::time::timeout(patience, self.0.reached(name, times)).await {
            return reached.map_err(unknown);
        }
        let hits = self.hits(name)?;
        Err(Error::new(Kind::Timeout, format!("failpoint {name} was hit {hits} of {times} times within {patience:?}")))
    }

    /// All that are armed.
    pub fn armed(&self) -> Vec<Armed> {
        self.0.armed()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unknown(error: Unknown) -> Error {
    Error::invalid(error.to_string())
}

/// What stands for a message must be one.
fn check_return(site: &str, object: &str) -> std::result::Result<(), String> {
    let Some(message) = message_at(site) else { return Ok(()) };
    let object = serde_json::from_str(object).map_err(|error| error.to_string())?;
    reflection::check(&message, &object)
}

async fn end_the_crashed(chassis: Arc<SharedChassis>, mut crashed: mpsc::UnboundedReceiver<usize>) {
    while let Some(index) = crashed.recv().await {
        chassis.crash(index);
    }
}

fn state_folder(settings: &Settings) -> Result<(Option<tempfile::TempDir>, PathBuf)> {
    if let Some(folder) = &settings.state {
        Ok((None, folder.clone()))
    } else {
        let made = tempfile::Builder::new().prefix("holdfast-emulator-").tempdir();
        let folder = made.map_err(|error| Error::invalid(format!("no temporary folder: {error}")))?;
        let path = folder.path().to_owned();
        Ok((Some(folder), path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_takes_over_while_a_store_is_overwritten() {
        let chassis = Chassis::start(Settings::default()).await.expect("a chassis");
        let shared = chassis.shared.clone();
        let copying = shared.copying.clone().lock_owned().await;
        shared.crash(0);
        let outage = shared.settings.timings.outage;
        assert!(tokio::time::timeout(outage * 2, moved(&shared)).await.is_err());
        drop(copying);
        tokio::time::timeout(Duration::from_secs(9), moved(&shared)).await.expect("the other takes over");
    }

    async fn moved(shared: &SharedChassis) {
        shared.watch().wait_for(|state| state.active == 1).await.expect("a chassis");
    }
}
