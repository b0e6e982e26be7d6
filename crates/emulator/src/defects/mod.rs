//! The defects of the emulated device. What a healthy one does is written elsewhere, and knows the sites alone.
//!
//! A defect is a row: its name, its line, and what it does at which site. Where a failpoint that is there anyway does
//! it, the row has the terms for that; else a small function hangs on a site of `At`. Arming a defect's name turns the
//! defect on: by any term but `off` that fires.

mod access;
mod lasting;
mod lists;
mod load_container;
mod load_image;
mod load_volume;
mod made;
mod operations;
mod reboot;
mod switchover;

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::chassis::SharedChassis;
use super::store::{Container, Image, Inventory, Plugin, Store, Volume};
use holdfast_failpoint::{Action, Fired, Groups, Name, Registry, Terms};
use holdfast_wire::gnoi::containerz::{ImageTransfer, ListContainerRequest, ListContainerResponse};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;
use lasting::Lasting;
pub use lasting::note_removed;

/// All of them, in the order in which they are listed.
const GROUPS: Groups<At> = &[
    access::DEFECTS,
    switchover::DEFECTS,
    operations::DEFECTS,
    made::DEFECTS,
    reboot::DEFECTS,
    load_image::DEFECTS,
    load_container::DEFECTS,
    load_volume::DEFECTS,
    lists::DEFECTS,
];

/// A defect of a device.
type Defect = holdfast_failpoint::Defect<At>;

type Leaves = Vec<(Path, Value)>;
/// What a defect does that takes its time.
type Deferred<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Whether it shows this time, for what asks once for each object.
type Fires<'a> = &'a dyn Fn() -> bool;

/// A site, with what a defect does there. `usize` is the index of a control processor.
#[derive(Clone, Copy)]
enum At {
    /// A failpoint of a healthy device: these terms fire there.
    Failpoint(&'static str, &'static str),
    /// A step that is left out.
    Skip(Step),
    /// The control processors' leaves of gNMI are gathered.
    ControlProcessorLeaves(fn(&SharedChassis, &mut Leaves)),
    /// An accepted switchover begins. `Break`: it ends here.
    SwitchoverBegins(fn(Arc<SharedChassis>) -> Deferred<ControlFlow<()>>),
    /// A control processor is about to take over.
    BeforeTakeOver(fn(&SharedChassis, usize)),
    /// It took over in a switchover and loaded, from the one that is named. `Break`: this one does not come back.
    TookOver(fn(Arc<SharedChassis>, usize) -> Deferred<ControlFlow<()>>),
    /// The runtime of the one that took over has loaded.
    AfterLoad(fn(&Arc<SharedChassis>, usize)),
    /// A fallen control processor has booted as the standby.
    CameBack(fn(&Arc<SharedChassis>, usize)),
    /// The standby is about to get what it lacks: what the active has, what the standby has, what it gets.
    BeforeCopy(fn(&Inventory, &Inventory, &mut Inventory)),
    /// The chassis reboots: who is active, and which control processors fall.
    Reboots(fn(usize, &mut Vec<usize>)),
    /// Objects were loaded into a control processor's store, and no container runs yet.
    ObjectsLoaded(fn(&Store, &mut Inventory, Fires<'_>) -> io::Result<()>),
    /// Containers were started after that.
    ContainersStarted(fn(&Arc<SharedChassis>, usize, Fires<'_>)),
    /// An image's transfer begins.
    TransferBegins(fn(&Arc<SharedChassis>, usize, &ImageTransfer)),
    /// A transferred image is about to be kept.
    NewImage(fn(&mut Image)),
    /// A container that was asked for is about to start.
    AskedContainer(fn(&mut Container)),
    /// A started container is about to be kept.
    NewContainer(fn(&Arc<SharedChassis>, usize, &mut Container)),
    /// A start names an image that is not there: the one to take instead.
    StartOfUnknownImage(fn(&Inventory) -> Option<Image>),
    /// The same of an update.
    UpdateToUnknownImage(fn(&Inventory) -> Option<Image>),
    /// An update of this container was refused.
    UpdateRefused(fn(Arc<SharedChassis>, usize, Container) -> Deferred<()>),
    /// An updated container is about to start.
    UpdatedContainer(fn(&mut Container)),
    /// A volume is about to be created.
    NewVolume(fn(&mut Volume)),
    /// A plugin is about to start.
    NewPlugin(fn(&mut Plugin)),
    /// A volume that is not there is to be removed.
    RemovalOfUnknownVolume(fn(&Arc<SharedChassis>, usize)),
    /// Running containers are listed.
    ListOfRunning(fn(&mut ListContainerRequest)),
    /// The row of a stopped container.
    StoppedRow(fn(&mut ListContainerResponse)),
    /// The log of a container that is not there: whose to take instead.
    LogOfUnknown(fn(&Inventory) -> Option<String>),
}

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
    /// Ending what runs in a container that is stopped.
    EndProcess,
    /// Updating a container.
    Update,
}

/// The defects of one chassis: which show, and what those left on that came before.
pub struct Defects {
    registry: Arc<Registry>,
    lasting: Mutex<Lasting>,
    /// How many act while containers run again.
    acting: watch::Sender<usize>,
}

impl Defects {
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, lasting: Mutex::default(), acting: watch::Sender::new(0) }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What `pick` finds of each defect that shows now.
    fn showing<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = T> {
        self.registry.showing(GROUPS, pick)
    }

    /// What `pick` finds of each defect; nothing where no failpoint is armed.
    fn hung<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = (&'static str, T)> {
        self.registry.planted(GROUPS, pick)
    }

    /// The defects that are terms at the failpoint `site`: their names, and the terms.
    pub fn rows_at(&self, site: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.hung(move |at| match at {
            At::Failpoint(known, terms) if known == site => Some(terms),
            _ => None,
        })
    }

    /// What the row of `name` does at its failpoint this time.
    pub fn turned_on(&self, name: &str, terms: &str) -> Option<Fired> {
        let mut fired = self.registry.hit(name)?;
        if fired.actions.iter().all(|action| *action == Action::Off) {
            return None;
        }
        fired.actions = terms.parse::<Terms>().ok()?.fire(fired.draw)?;
        Some(fired)
    }

    /// Whether a step is left out this time.
    pub fn skips(&self, step: Step) -> bool {
        let skipped = |at| matches!(at, At::Skip(skipped) if skipped == step).then_some(());
        step == Step::Copy && self.lasting().copies_stopped || self.showing(skipped).next().is_some()
    }

    pub fn control_processor_leaves(&self, chassis: &SharedChassis, leaves: &mut Leaves) {
        self.lasting().distort(leaves);
        let hung = |at| if let At::ControlProcessorLeaves(distort) = at { Some(distort) } else { None };
        self.showing(hung).for_each(|distort| distort(chassis, leaves));
    }

    pub async fn switchover_begins(&self, chassis: &Arc<SharedChassis>) -> ControlFlow<()> {
        let hung = |at| if let At::SwitchoverBegins(act) = at { Some(act) } else { None };
        for act in self.showing(hung).collect::<Vec<_>>() {
            act(chassis.clone()).await?;
        }
        ControlFlow::Continue(())
    }

    pub fn before_take_over(&self, chassis: &SharedChassis, risen: usize) {
        self.lasting().roles_are_true();
        let hung = |at| if let At::BeforeTakeOver(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, risen));
    }

    pub async fn took_over(&self, chassis: &Arc<SharedChassis>, fallen: usize) -> ControlFlow<()> {
        let hung = |at| if let At::TookOver(act) = at { Some(act) } else { None };
        for act in self.showing(hung).collect::<Vec<_>>() {
            act(chassis.clone(), fallen).await?;
        }
        ControlFlow::Continue(())
    }

    pub fn after_load(&self, chassis: &Arc<SharedChassis>, active: usize) {
        let hung = |at| if let At::AfterLoad(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, active));
    }

    pub fn came_back(&self, chassis: &Arc<SharedChassis>, index: usize) {
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

    pub fn containers_started(&self, chassis: &Arc<SharedChassis>, active: usize) {
        let hung = |at| if let At::ContainersStarted(act) = at { Some(act) } else { None };
        self.hung(hung).for_each(|(name, act)| act(chassis, active, &|| self.registry.fires(name)));
    }

    pub fn transfer_begins(&self, chassis: &Arc<SharedChassis>, index: usize, transfer: &ImageTransfer) {
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

    pub fn new_container(&self, chassis: &Arc<SharedChassis>, index: usize, container: &mut Container) {
        let hung = |at| if let At::NewContainer(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(chassis, index, container));
    }

    pub fn start_of_unknown_image(&self, held: &Inventory) -> Option<Image> {
        let hung = |at| if let At::StartOfUnknownImage(act) = at { Some(act) } else { None };
        self.showing(hung).find_map(|act| act(held))
    }

    pub fn update_to_unknown_image(&self, held: &Inventory) -> Option<Image> {
        let hung = |at| if let At::UpdateToUnknownImage(act) = at { Some(act) } else { None };
        self.showing(hung).find_map(|act| act(held))
    }

    pub async fn update_refused(&self, chassis: &Arc<SharedChassis>, index: usize, container: &Container) {
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

    pub fn removal_of_unknown_volume(&self, chassis: &Arc<SharedChassis>, index: usize) {
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
fn plant(store: &Store, change: impl FnOnce(&mut Inventory) -> io::Result<()>) {
    if let Err(error) = store.change(change) {
        tracing::error!("a defect could not be planted: {error}");
    }
}

/// An id that no image or volume has.
fn fresh_id() -> String {
    format!("sha256:{:064x}", super::state::now())
}

/// How many there are.
pub const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

/// `sites`, and the defects after them.
pub const fn named<const ALL: usize>(sites: &[Name]) -> [Name; ALL] {
    let mut names = [Name { name: "", help: "" }; ALL];
    let (mut at, mut group) = (0, 0);
    while at < sites.len() {
        names[at] = sites[at];
        at += 1;
    }
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            let defect = &GROUPS[group][row];
            check_failpoints(defect.at, sites);
            names[at] = Name { name: defect.name, help: defect.help };
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    names
}

/// A row at a failpoint that does not exist does not compile.
const fn check_failpoints(rows: &[At], sites: &[Name]) {
    let mut row = 0;
    while row < rows.len() {
        if let At::Failpoint(site, _) = rows[row] {
            let mut at = 0;
            while at < sites.len() && !same(sites[at].name, site) {
                at += 1;
            }
            assert!(at < sites.len(), "a defect is at a failpoint that does not exist");
        }
        row += 1;
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    one.len() == other.len() && at == one.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_every_row_may_stand_at_its_failpoint() {
        let mut rows = 0;
        for defect in GROUPS.iter().flat_map(|group| group.iter()) {
            assert!(!defect.at.is_empty(), "{} does nothing", defect.name);
            for at in defect.at {
                let At::Failpoint(site, terms) = at else { continue };
                rows += 1;
                let terms: Terms = terms.parse().unwrap_or_else(|error| panic!("{}: {error}", defect.name));
                crate::failpoints::check(site, &terms).unwrap_or_else(|error| panic!("{}: {error}", defect.name));
            }
        }
        assert!(rows > 15, "{rows}");
    }

    #[test]
    fn a_row_keeps_the_counts_of_who_armed_it() {
        let registry = Arc::new(Registry::new(crate::FAILPOINTS, 0));
        let defects = Defects::new(registry.clone());
        assert_eq!(defects.rows_at("system.Reboot").count(), 0, "nothing is armed");
        registry.arm("reboot.ignored", "1*off->1*delay(60s)".parse().expect("terms")).expect("known");
        let (name, terms) = defects.rows_at("system.Reboot").next().expect("a row");
        assert_eq!(defects.turned_on(name, terms), None);
        let actions = defects.turned_on(name, terms).map(|fired| fired.actions);
        assert_eq!(actions, Some(vec![Action::Return("{}".to_owned())]));
        assert_eq!(defects.turned_on(name, terms), None);
        assert_eq!(registry.hits("reboot.ignored"), Ok(2));
    }
}
