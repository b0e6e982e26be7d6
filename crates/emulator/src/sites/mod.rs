//! Where a defect may act on the device: the sites, and which of the defects that hang there show.
//!
//! The healthy device knows this alone. What acts there is written elsewhere, of the `Chassis` that it acts on.

mod failpoint_defects;
mod lasting;

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::store::{Container, Image, Inventory, Plugin, Store, Volume};
pub use failpoint_defects::FailpointDefects;
use holdfast_failpoint::{Groups, Registry};
use holdfast_wire::gnoi::containerz::{ImageTransfer, ListContainerRequest, ListContainerResponse};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;
pub use lasting::{Lasting, Lists, Roles};

pub type Leaves = Vec<(Path, Value)>;
/// What a defect does that takes its time.
pub type Deferred<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Whether it shows this time, for what asks once for each object.
pub type Fires<'a> = &'a dyn Fn() -> bool;

/// A site, with what a defect does there. `usize` is the index of a control processor.
pub enum At<Chassis: 'static> {
    /// A failpoint of a healthy device: these terms fire there.
    Failpoint(&'static str, &'static str),
    /// A step that is left out.
    Skip(Step),
    /// The control processors' leaves of gNMI are gathered.
    ControlProcessorLeaves(fn(&Chassis, &mut Leaves)),
    /// An accepted switchover begins. `Break`: it ends here.
    SwitchoverBegins(fn(Arc<Chassis>) -> Deferred<ControlFlow<()>>),
    /// A control processor is about to take over.
    BeforeTakeOver(fn(&Chassis, usize)),
    /// It took over in a switchover and loaded, from the one that is named. `Break`: this one does not come back.
    TookOver(fn(Arc<Chassis>, usize) -> Deferred<ControlFlow<()>>),
    /// The runtime of the one that took over has loaded.
    AfterLoad(fn(&Arc<Chassis>, usize)),
    /// A fallen control processor has booted as the standby.
    CameBack(fn(&Arc<Chassis>, usize)),
    /// The standby is about to get what it lacks: what the active has, what the standby has, what it gets.
    BeforeCopy(fn(&Inventory, &Inventory, &mut Inventory)),
    /// The chassis reboots: who is active, and which control processors fall.
    Reboots(fn(usize, &mut Vec<usize>)),
    /// Objects were loaded into a control processor's store, and no container runs yet.
    ObjectsLoaded(fn(&Store, &mut Inventory, Fires<'_>) -> io::Result<()>),
    /// Containers were started after that.
    ContainersStarted(fn(&Arc<Chassis>, usize, Fires<'_>)),
    /// An image's transfer begins.
    TransferBegins(fn(&Arc<Chassis>, usize, &ImageTransfer)),
    /// A transferred image is about to be kept.
    NewImage(fn(&mut Image)),
    /// A container that was asked for is about to start.
    AskedContainer(fn(&mut Container)),
    /// A started container is about to be kept.
    NewContainer(fn(&Arc<Chassis>, usize, &mut Container)),
    /// It was kept.
    KeptContainer(fn(&Arc<Chassis>, usize, &str)),
    /// A start names an image that is not there: the one to take instead.
    StartOfUnknownImage(fn(&Inventory) -> Option<Image>),
    /// The same of an update.
    UpdateToUnknownImage(fn(&Inventory) -> Option<Image>),
    /// An update of this container was refused.
    UpdateRefused(fn(Arc<Chassis>, usize, Container) -> Deferred<()>),
    /// An updated container is about to start.
    UpdatedContainer(fn(&mut Container)),
    /// A volume is about to be created.
    NewVolume(fn(&mut Volume)),
    /// A plugin is about to start.
    NewPlugin(fn(&mut Plugin)),
    /// A volume that is not there is to be removed.
    RemovalOfUnknownVolume(fn(&Arc<Chassis>, usize)),
    /// Running containers are listed.
    ListOfRunning(fn(&mut ListContainerRequest)),
    /// The row of a stopped container.
    StoppedRow(fn(&mut ListContainerResponse)),
    /// The log of a container that is not there: whose to take instead.
    LogOfUnknown(fn(&Inventory) -> Option<String>),
}

impl<Chassis> Clone for At<Chassis> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Chassis> Copy for At<Chassis> {}

/// Steps that a defect may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Refusing who logs in with a wrong password.
    RefuseLogin,
    /// Refusing a switchover to a standby that is not ready.
    RefuseStandby,
    /// Copying anything to the standby.
    Copy,
    /// Copying what volumes hold.
    CopyContents,
    /// Copying what a container writes, before that is acknowledged.
    CopyWrites,
    /// Keeping an image that was deployed.
    KeepImage,
    /// Keeping a plugin that was deployed.
    KeepPlugin,
    /// Refusing to start a plugin that runs.
    RefuseSecondPlugin,
    /// Refusing to create a volume that is there.
    RefuseSecondVolume,
    /// Ending what runs in a container that is stopped.
    EndProcess,
    /// Ending what runs in a container that is removed.
    EndRemovedProcess,
    /// Ending a container that is stopped without force.
    HeedPoliteStop,
    /// Updating a container.
    Update,
}

/// The defects of one chassis: which show, and what those left on that came before.
pub struct Defects<Chassis: 'static> {
    registry: Arc<Registry>,
    groups: Groups<At<Chassis>>,
    at_failpoints: FailpointDefects,
    lasting: Mutex<Lasting>,
    /// How many act while containers run again.
    acting: watch::Sender<usize>,
}

impl<Chassis: 'static> Defects<Chassis> {
    pub fn new(registry: Arc<Registry>, groups: Groups<At<Chassis>>) -> Self {
        let defects = groups.iter().flat_map(|group| group.iter());
        let rows = defects.flat_map(|defect| {
            defect.at.iter().filter_map(|at| match at {
                At::Failpoint(site, terms) => Some((defect.name, *site, *terms)),
                _ => None,
            })
        });
        let at_failpoints = FailpointDefects::new(registry.clone(), rows.collect());
        Self { registry, groups, at_failpoints, lasting: Mutex::default(), acting: watch::Sender::new(0) }
    }

    /// Those that are terms at a failpoint.
    pub fn at_failpoints(&self) -> FailpointDefects {
        self.at_failpoints.clone()
    }

    /// What is left on.
    pub fn lasting(&self) -> MutexGuard<'_, Lasting> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many act while containers run again.
    pub fn acting(&self) -> &watch::Sender<usize> {
        &self.acting
    }

    /// Waits until no defect acts any more that the standby comes back after: who waits for it sees what they did,
    /// however slow the machine is.
    pub async fn before_the_standby_boots(&self) {
        let _ = self.acting.subscribe().wait_for(|acting| *acting == 0).await; // it cannot end before this does
    }

    /// What `pick` finds of each defect that shows now.
    fn showing<T>(&self, pick: impl Fn(At<Chassis>) -> Option<T>) -> impl Iterator<Item = T> {
        self.registry.showing(self.groups, pick)
    }

    /// What `pick` finds of each defect; nothing where no failpoint is armed.
    fn hung<T>(&self, pick: impl Fn(At<Chassis>) -> Option<T>) -> impl Iterator<Item = (&'static str, T)> {
        self.registry.planted(self.groups, pick)
    }

    /// Whether a step is left out this time.
    pub fn skips(&self, step: Step) -> bool {
        let skipped = |at| matches!(at, At::Skip(skipped) if skipped == step).then_some(());
        step == Step::Copy && self.lasting().copies_stopped || self.showing(skipped).next().is_some()
    }

    pub fn control_processor_leaves(&self, chassis: &Chassis, leaves: &mut Leaves) {
        self.lasting().distort(leaves);
        let hung = |at| if let At::ControlProcessorLeaves(distort) = at { Some(distort) } else { None };
        self.showing(hung).for_each(|distort| distort(chassis, leaves));
    }

    pub async fn switchover_begins(&self, chassis: &Arc<Chassis>) -> ControlFlow<()> {
        let hung = |at| if let At::SwitchoverBegins(act) = at { Some(act) } else { None };
        for act in self.showing(hung).collect::<Vec<_>>() {
            act(chassis.clone()).await?;
        }
        ControlFlow::Continue(())
    }

    pub fn before_take_over(&self, chassis: &Chassis, risen: usize) {
        self.lasting().roles_are_true();
        let hung = |at| if let At::BeforeTakeOver(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, risen));
    }

    pub async fn took_over(&self, chassis: &Arc<Chassis>, fallen: usize) -> ControlFlow<()> {
        let hung = |at| if let At::TookOver(act) = at { Some(act) } else { None };
        for act in self.showing(hung).collect::<Vec<_>>() {
            act(chassis.clone(), fallen).await?;
        }
        ControlFlow::Continue(())
    }

    pub fn after_load(&self, chassis: &Arc<Chassis>, active: usize) {
        let hung = |at| if let At::AfterLoad(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, active));
    }

    pub fn came_back(&self, chassis: &Arc<Chassis>, index: usize) {
        let hung = |at| if let At::CameBack(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index));
    }

    pub fn before_copy(&self, wanted: &Inventory, held: &Inventory, copied: &mut Inventory) {
        let hung = |at| if let At::BeforeCopy(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(wanted, held, copied));
    }

    pub fn reboots(&self, active: usize, falling: &mut Vec<usize>) {
        let hung = |at| if let At::Reboots(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(active, falling));
    }

    pub fn objects_loaded(&self, store: &Store) {
        if self.registry.is_idle() {
            return;
        }
        let hung = |at| if let At::ObjectsLoaded(act) = at { Some(act) } else { None };
        plant(store, |held| {
            for (name, act) in self.hung(hung) {
                act(store, held, &|| self.registry.fires(name))?;
            }
            Ok(())
        });
    }

    pub fn containers_started(&self, chassis: &Arc<Chassis>, active: usize) {
        let hung = |at| if let At::ContainersStarted(act) = at { Some(act) } else { None };
        self.hung(hung).for_each(|(name, act)| act(chassis, active, &|| self.registry.fires(name)));
    }

    pub fn transfer_begins(&self, chassis: &Arc<Chassis>, index: usize, transfer: &ImageTransfer) {
        let hung = |at| if let At::TransferBegins(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index, transfer));
    }

    pub fn new_image(&self, image: &mut Image) {
        let hung = |at| if let At::NewImage(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(image));
    }

    pub fn asked_container(&self, container: &mut Container) {
        let hung = |at| if let At::AskedContainer(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(container));
    }

    pub fn new_container(&self, chassis: &Arc<Chassis>, index: usize, container: &mut Container) {
        let hung = |at| if let At::NewContainer(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index, container));
    }

    pub fn kept_container(&self, chassis: &Arc<Chassis>, index: usize, name: &str) {
        let hung = |at| if let At::KeptContainer(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index, name));
    }

    pub fn start_of_unknown_image(&self, held: &Inventory) -> Option<Image> {
        let hung = |at| if let At::StartOfUnknownImage(act) = at { Some(act) } else { None };
        self.showing(hung).find_map(|act| act(held))
    }

    pub fn update_to_unknown_image(&self, held: &Inventory) -> Option<Image> {
        let hung = |at| if let At::UpdateToUnknownImage(act) = at { Some(act) } else { None };
        self.showing(hung).find_map(|act| act(held))
    }

    pub async fn update_refused(&self, chassis: &Arc<Chassis>, index: usize, container: &Container) {
        let hung = |at| if let At::UpdateRefused(act) = at { Some(act) } else { None };
        for act in self.showing(hung).collect::<Vec<_>>() {
            act(chassis.clone(), index, container.clone()).await;
        }
    }

    pub fn updated_container(&self, container: &mut Container) {
        let hung = |at| if let At::UpdatedContainer(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(container));
    }

    pub fn new_volume(&self, volume: &mut Volume) {
        let hung = |at| if let At::NewVolume(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(volume));
    }

    pub fn new_plugin(&self, plugin: &mut Plugin) {
        let hung = |at| if let At::NewPlugin(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(plugin));
    }

    pub fn removal_of_unknown_volume(&self, chassis: &Arc<Chassis>, index: usize) {
        let hung = |at| if let At::RemovalOfUnknownVolume(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index));
    }

    pub fn list_of_running(&self, request: &mut ListContainerRequest) {
        let hung = |at| if let At::ListOfRunning(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(request));
    }

    pub fn stopped_row(&self, row: &mut ListContainerResponse) {
        let hung = |at| if let At::StoppedRow(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(row));
    }

    pub fn log_of_unknown(&self, held: &Inventory) -> Option<String> {
        let hung = |at| if let At::LogOfUnknown(act) = at { Some(act) } else { None };
        self.showing(hung).find_map(|act| act(held))
    }
}

/// Changes a store as a defect wants it.
pub fn plant(store: &Store, change: impl FnOnce(&mut Inventory) -> io::Result<()>) {
    if let Err(error) = store.change(change) {
        tracing::error!("a defect could not be planted: {error}");
    }
}
