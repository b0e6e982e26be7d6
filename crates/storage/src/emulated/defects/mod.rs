//! The defects of the emulated provider. What a healthy one does is written elsewhere, and knows the sites alone.
//!
//! A defect is a row: its name, its line, and what it does at which site of `At`. Arming a defect's name turns the
//! defect on: by any term but `off` that fires. A site that asks `Fires` does so only where the defect would show.

mod attaching;
mod creating;
mod data;
mod detaching;
mod fencing;
mod lasting;
mod mounting;
mod plugin;
mod tasks;

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::state::{Disk, Health, Mount, Node, Pages, Server, World};
use crate::volumes::{Volume, VolumeRequest};
pub use detaching::Keeps;
use fencing::Fencing;
use holdfast_failpoint::{Groups, Name, Registry};
use lasting::Lasting;

/// All of them, in the order in which they are listed.
const GROUPS: Groups<At> = &[
    creating::DEFECTS,
    attaching::DEFECTS,
    detaching::DEFECTS,
    fencing::DEFECTS,
    mounting::DEFECTS,
    plugin::DEFECTS,
    data::DEFECTS,
    tasks::DEFECTS,
];

/// A defect of a storage provider.
type Defect = holdfast_failpoint::Defect<At>;

/// Whether it shows this time.
type Fires<'a> = &'a dyn Fn() -> bool;

/// A site, with what a defect does there.
#[derive(Clone, Copy)]
enum At {
    /// A step that is left out.
    Skip(Step),
    /// A volume is about to be created.
    NewDisk(fn(&mut Disk)),
    /// A volume is asked for while the plugin does not run: what it says it created.
    UnheardCreate(fn(&VolumeRequest) -> Volume),
    /// A create failed because the plugin did not answer.
    FailedCreate(fn(&mut World, &VolumeRequest)),
    /// A volume that was taken from a node that could not be asked is about to be attached: what it holds, and a state
    /// of it before.
    TakenDisk(fn(&mut Pages, &Pages)),
    /// The same, and another volume holds something: what that does.
    TakenDiskBesideAnother(fn(&mut Pages, &Pages)),
    /// A volume is to be detached from a node. Some: that does not happen.
    Detach(fn(&Node, &str) -> Option<Keeps>),
    /// A volume is taken from a node that could not be asked.
    Fence(fn(&mut Fencing<'_>, Fires<'_>)),
    /// A volume was staged.
    NewMount(fn(&mut Mount)),
    /// An unmount is repeated: the node, and the volume.
    RepeatedUnmount(fn(&mut Node, &str)),
    /// A plugin was started, which was otherwise before.
    PluginStarted(fn(&mut Node, Health)),
    /// A plugin was killed.
    PluginKilled(fn(&mut Lasting, &Node)),
    /// The server was killed.
    ServerKilled(fn(&mut Server)),
    /// A process is about to reach for the server: whether it stands still.
    Reach(fn(&Node) -> bool),
    /// A runtime died, and its tasks with it.
    RuntimeDied(fn(&mut Node)),
    /// A runtime died, and its tasks live on.
    TasksLeft(fn(&mut Lasting, &Node)),
    /// A runtime with live restore started again. The number is unlike that of any mount before.
    LiveRestored(fn(&mut Node, u64)),
}

/// Steps that a defect may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Refusing a parameter that there is not.
    RefuseUnknownParameter,
    /// Refusing to create a volume with the name of one that is otherwise.
    RefuseConflict,
    /// Finding the volume that has a name already.
    FindByName,
    /// Refusing a volume for one node to a second.
    RefuseSecondNode,
    /// Waiting with a mount for a plugin that does not run.
    AwaitPlugin,
    /// Forgetting a mount at its first unmount, however often it was repeated.
    ForgetRepeats,
    /// Unmounting what a plugin does not know.
    UnmountUnknown,
    /// Sending what is synced to the server, before that is acknowledged.
    Send,
    /// Throwing away what a fenced node wrote.
    DropFenced,
    /// Writing to the server's disk, before that is acknowledged.
    Save,
    /// Noticing that a task died with its runtime.
    NoticeDeath,
    /// Ending the tasks of a runtime that dies.
    EndTasks,
}

/// The defects of one provider: which show, and what those left on that came before.
pub struct Defects {
    registry: Arc<Registry>,
    /// Changes only while the world is held.
    lasting: Mutex<Lasting>,
}

impl Defects {
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, lasting: Mutex::default() }
    }

    /// What `pick` finds of each defect that shows now.
    fn showing<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = T> {
        self.registry.showing(GROUPS, pick)
    }

    /// What `pick` finds of each defect; nothing where no failpoint is armed.
    fn hung<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = (&'static str, T)> {
        self.registry.planted(GROUPS, pick)
    }

    /// Whether a step is left out this time.
    pub fn skips(&self, step: Step) -> bool {
        self.showing(|at| matches!(at, At::Skip(skipped) if skipped == step).then_some(())).next().is_some()
    }

    pub fn new_disk(&self, disk: &mut Disk) {
        let hung = |at| if let At::NewDisk(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(disk));
    }

    pub fn unheard_create(&self, node: &Node, request: &VolumeRequest) -> Option<Volume> {
        let hung = |at| if let At::UnheardCreate(act) = at { Some(act) } else { None };
        if node.plugin == Health::Running { None } else { self.showing(hung).next().map(|act| act(request)) }
    }

    pub fn unheard_mount(&self, node: &Node) -> bool {
        node.plugin != Health::Running && self.skips(Step::AwaitPlugin)
    }

    pub fn failed_create(&self, world: &mut World, request: &VolumeRequest) {
        let hung = |at| if let At::FailedCreate(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(world, request));
    }

    pub fn attach(&self, server: &mut Server, volume: &str) {
        if !self.lasting().is_taken(volume) {
            return;
        }
        let another = server.volumes.iter().find(|(id, disk)| *id != volume && !disk.pages.is_empty());
        let another = another.map(|(_, disk)| disk.pages.clone());
        let Some(disk) = server.volumes.get_mut(volume) else { return };
        let snapshot = self.lasting().snapshot(volume);
        let hung = |at| if let At::TakenDisk(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(&mut disk.pages, &snapshot));
        if let Some(another) = another {
            let hung = |at| if let At::TakenDiskBesideAnother(act) = at { Some(act) } else { None };
            self.showing(hung).for_each(|act| act(&mut disk.pages, &another));
        }
    }

    pub fn detach(&self, node: &Node, volume: &str) -> Option<Keeps> {
        let hung = |at| if let At::Detach(act) = at { Some(act) } else { None };
        self.hung(hung).find_map(|(name, act)| act(node, volume).filter(|_| self.registry.fires(name)))
    }

    pub fn new_mount(&self, mount: &mut Mount) {
        let hung = |at| if let At::NewMount(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(mount));
    }

    pub fn published(&self, node: &str, target: &Path, repeated: bool) {
        let counted = self.skips(Step::ForgetRepeats) && repeated;
        self.lasting().count_mount(node, target, counted);
    }

    pub fn repeated_unmount(&self, node: &mut Node, volume: &str) {
        let hung = |at| if let At::RepeatedUnmount(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(node, volume));
    }

    pub fn plugin_started(&self, node: &mut Node, before: Health) {
        let hung = |at| if let At::PluginStarted(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(node, before));
    }

    pub fn plugin_killed(&self, node: &Node) {
        let hung = |at| if let At::PluginKilled(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(&mut self.lasting(), node));
    }

    pub fn server_killed(&self, server: &mut Server) {
        let hung = |at| if let At::ServerKilled(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(server));
        self.lasting().lose_unsaved(server);
    }

    pub fn stands_still(&self, node: &Node, process: Option<u64>) -> bool {
        let hung = |at| if let At::Reach(still) = at { Some(still) } else { None };
        process.is_some_and(|process| self.lasting().stalled.contains(&process))
            || self.hung(hung).any(|(name, still)| still(node) && self.registry.fires(name))
    }

    pub fn runtime_died(&self, node: &mut Node) {
        if node.live_restore {
            let hung = |at| if let At::TasksLeft(act) = at { Some(act) } else { None };
            self.showing(hung).for_each(|act| act(&mut self.lasting(), node));
        } else {
            let hung = |at| if let At::RuntimeDied(act) = at { Some(act) } else { None };
            self.showing(hung).for_each(|act| act(node));
        }
    }

    pub fn runtime_started(&self, node: &mut Node, number: u64) {
        self.lasting().stalled.retain(|process| !node.processes.contains_key(process));
        if node.live_restore {
            let hung = |at| if let At::LiveRestored(act) = at { Some(act) } else { None };
            self.showing(hung).for_each(|act| act(node, number));
        }
    }
}

/// Every failpoint of the emulated provider.
pub const FAILPOINTS: &[Name] = &named::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
}

const fn named<const ALL: usize>() -> [Name; ALL] {
    let mut names = [Name { name: "", help: "" }; ALL];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            let defect = &GROUPS[group][row];
            assert!(!defect.at.is_empty(), "a defect does nothing");
            names[at] = Name { name: defect.name, help: defect.help };
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn armed(name: &str) -> Defects {
        let registry = Registry::new(FAILPOINTS, 0);
        registry.arm(name, "error(x)".parse().expect("terms")).expect("known");
        Defects::new(Arc::new(registry))
    }

    #[test]
    fn every_defect_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = FAILPOINTS.iter().map(|failpoint| failpoint.name).collect();
        assert_eq!(names.len(), FAILPOINTS.len());
        assert!(names.iter().all(|name| name.starts_with("storage.")), "{names:?}");
    }

    #[test]
    fn a_defect_is_reached_only_where_it_would_show() {
        let name = "storage.detach.refused_for_dead";
        let defects = armed(name);
        let mut node = Node::default();
        assert!(defects.detach(&node, "volume-1").is_none());
        assert_eq!(defects.registry.hits(name), Ok(0));
        node.powered = false;
        assert!(matches!(defects.detach(&node, "volume-1"), Some(Keeps::Because("it may come back"))));
        assert_eq!(defects.registry.hits(name), Ok(1));
    }

    #[test]
    fn what_a_server_did_not_save_is_gone_with_it() {
        let defects = armed("storage.server.cached");
        let mut world = World::new(&[]);
        let id = world.add(Disk::new(VolumeRequest::default()));
        let page = |byte| Arc::new(vec![byte]);
        let mut write = |pages: Pages| {
            let disk = world.server.volumes.get_mut(&id).expect("a volume");
            defects.write(&id, disk, &pages);
            disk.pages.extend(pages);
        };
        defects.registry.disarm("storage.server.cached").expect("known");
        write(Pages::from([(0, page(1)), (1, page(1))]));
        defects.registry.arm("storage.server.cached", "2*error(x)".parse().expect("terms")).expect("known");
        write(Pages::from([(1, page(2)), (2, page(2))]));
        write(Pages::from([(2, page(3)), (3, page(3))]));
        write(Pages::from([(3, page(4))]));
        defects.server_killed(&mut world.server);
        assert_eq!(world.server.volumes[&id].pages, Pages::from([(0, page(1)), (1, page(1)), (3, page(4))]));
    }
}
