//! What a chassis' tasks share: its state, its two control processors, and what they act with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cli::Cli;
use super::configuration::Configuration;
use super::faults::Faults;
use super::files::Files;
use super::health::Health;
use super::limit::Limit;
use super::rib::Rib;
use super::runtime::{ContainerRuntime, Failure};
use super::settings::{Quirk, Settings};
use super::sites;
use super::state::{State, now};
use super::store::{Container, Store};
use holdfast_failpoint::Registry;

/// What may act on a chassis beside what a healthy one does.
pub type Defects = sites::Defects<SharedChassis>;

/// One control processor.
pub struct ControlProcessor {
    pub store: Arc<Store>,
    /// What gNOI File shows of it.
    pub files: Files,
    /// What gNOI Healthz says of it.
    pub health: Health,
    pub runtime: Box<dyn ContainerRuntime>,
    pub faults: Faults,
    /// Held from an operation's checks until it is done: what it found still holds when it acts.
    pub operations: tokio::sync::Mutex<()>,
    pub life: Mutex<CancellationToken>,
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

    /// Starts a container, which ends when this falls.
    pub async fn start(&self, container: &Container) -> Result<(), Failure> {
        self.runtime.start(container, self.life()).await
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
    pub gnoi_addresses: Vec<SocketAddr>,
    /// Where its containers reach its gNMI and its gRIBI.
    pub for_containers: [Vec<SocketAddr>; 2],
    pub defects: Arc<Defects>,
    pub failpoints: Arc<Registry>,
    pub control_processors: [ControlProcessor; 2],
    /// Notified of each change that the standby must get.
    pub changed: Notify,
    /// Held while a control processor's store is overwritten with the other's: whoever takes over waits for it, or a
    /// late copy would undo what the new active did.
    pub copying: Arc<tokio::sync::Mutex<()>>,
    /// What the management address is served with, where it is encrypted.
    pub tls: Option<TlsAcceptor>,
    /// What is served to its own containers, who verify nothing.
    pub tls_within: TlsAcceptor,
    /// What gNMI Set configured.
    pub config: Mutex<Configuration>,
    /// What gNMI Set of origin cli configured.
    pub cli: Arc<Cli>,
    /// What gRIBI programmed.
    pub rib: Arc<Rib>,
    pub state: watch::Sender<State>,
    pub life: CancellationToken,
    pub tasks: TaskTracker,
    /// Of the switchover, reboot or crash that is under way, or was last.
    pub mover: Mutex<CancellationToken>,
    /// How many calls it takes, where it takes no more than so many.
    pub limit: Limit,
    pub _reservations: Vec<socket2::Socket>,
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

    /// Whoever watches the state looks again.
    pub fn announce(&self) {
        self.update(|_| ());
    }

    /// Takes a step that may be refused: under one lock, so that of several that ask at once each sees what the one
    /// before it did.
    pub fn request<E>(
        &self,
        step: impl FnOnce(&mut State) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut outcome = Ok(());
        self.state.send_if_modified(|state| {
            outcome = step(state);
            outcome.is_ok()
        });
        outcome
    }

    /// Takes a step that nothing can be in the way of. Where something is, that is our bug: nothing changes.
    pub fn transition<E: std::fmt::Debug>(&self, step: impl FnOnce(&mut State) -> std::result::Result<(), E>) -> bool {
        let outcome = self.request(step);
        if let Err(illegal) = &outcome {
            tracing::error!("the emulated chassis is in the wrong phase: {illegal:?}");
        }
        outcome.is_ok()
    }

    /// Whether the device says that it is ready for a switchover.
    pub fn says_ready(&self, state: &State) -> bool {
        self.defects.lasting().says_ready(state)
    }

    /// The device's clock, in nanoseconds since the epoch.
    pub fn clock(&self) -> u64 {
        self.defects.lasting().clock(now())
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.settings.quirks.contains(&quirk)
    }

    /// Runs `task` for as long as the chassis lives.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        let task = task.boxed(); // tokio makes much of each kind of future that it is given
        self.tasks.spawn(async move {
            life.run_until_cancelled(task).await;
        });
    }

    /// Runs what moves roles; what did so before ends where it stands.
    pub fn spawn_move(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = CancellationToken::new();
        std::mem::replace(&mut *self.mover.lock().unwrap_or_else(PoisonError::into_inner), token.clone()).cancel();
        self.spawn(async move {
            token.run_until_cancelled(task).await;
        });
    }
}
