//! Where a defect may act on the emulated provider: the sites, and which of the defects that hang there show.
//!
//! The healthy provider knows this alone. A site that asks `Fires` does so only where the defect would show.

mod lasting;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state::{Disk, EmulatedState, Health, Mount, Node, Pages, Server};
use crate::features::Statistics;
use crate::volumes::{Volume, VolumeRequest};
use holdfast_failpoint::{Groups, Registry};
use lasting::{Lasting, OfVolume};

/// Whether it shows this time.
pub type Fires<'a> = &'a dyn Fn() -> bool;

/// A site, with what a defect does there.
#[derive(Clone, Copy)]
pub enum At {
    /// A step that is left out.
    Skip(Step),
    /// A volume is about to be created.
    NewDisk(fn(&mut Disk)),
    /// A volume is asked for while the plugin does not run: what it says it created.
    UnheardCreate(fn(&VolumeRequest) -> Volume),
    /// A create failed because the plugin did not answer.
    FailedCreate(fn(&mut EmulatedState, &VolumeRequest)),
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
    /// A volume was made larger.
    Expanded(fn(&mut EmulatedState, &str)),
    /// A snapshot is about to be kept: what it holds, and a state of its volume before.
    Snapshot(fn(&mut Pages, &Pages)),
    /// A snapshot of a volume was taken.
    SnapshotTaken(fn(&mut EmulatedState, &str)),
    /// A volume is about to be made from a snapshot: what it holds, and what the snapshot's volume holds now.
    Restored(fn(&mut Pages, &Pages)),
    /// A volume is about to be made from another: what it holds.
    Cloned(fn(&mut Pages)),
    /// A device was attached before, and is staged again: what it holds.
    BlockStaged(fn(&mut Pages)),
    /// What is on a volume was counted.
    Counted(fn(&mut Statistics)),
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
    /// Looking at what is mounted, where a database says so.
    LookAtMounts,
    /// Leaving other tasks their mounts at an unmount for one.
    KeepOtherTasks,
    /// Counting how often one id of Docker's mounts.
    CountIds,
    /// Knowing after a start how often a volume is mounted.
    CountMounts,
    /// Unmounting a volume at the last.
    Unstage,
    /// Unmounting what the plugin mounted for itself.
    UnmountOwn,
    /// Noticing that a task died with its runtime.
    NoticeDeath,
    /// Ending the tasks of a runtime that dies.
    EndTasks,
    /// Making a file system as large as its volume.
    GrowFilesystem,
    /// Leaving a volume as large as it is where less is asked for.
    KeepLarger,
    /// Refusing the name of a snapshot of another volume.
    RefuseSnapshotConflict,
    /// Giving a copy pages of its own.
    CopyPages,
    /// Refusing to count where a volume is not mounted.
    RefuseUnknownPath,
    /// Standing by a volume that was made.
    Confirm,
    /// Answering well what is asked a second time, and done already.
    RepeatAttach,
    RepeatStage,
    RepeatMount,
    MountReadOnly,
    RepeatUnmount,
    RepeatUnstage,
    RepeatDetach,
    RepeatRemove,
}

/// What is said of a volume that a node keeps.
pub enum Keeps {
    /// That it is detached.
    Silently,
    /// Why it stays.
    Because(&'static str),
}

/// A node loses a volume without being asked.
pub struct Fencing<'a> {
    /// Whether the node is off, or cut from the control network.
    pub away: bool,
    pub epoch: u64,
    /// Whether it is fenced.
    pub fenced: bool,
    /// What stays with the volume.
    pub lasting: &'a mut OfVolume,
}

/// The defects of one provider: which show, and what those left on that came before.
pub struct Defects {
    registry: Arc<Registry>,
    groups: Groups<At>,
    /// Changes only while the world is held.
    lasting: Mutex<Lasting>,
}

impl Defects {
    pub fn new(registry: Arc<Registry>, groups: Groups<At>) -> Self {
        Self { registry, groups, lasting: Mutex::default() }
    }

    fn lasting(&self) -> MutexGuard<'_, Lasting> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `pick` finds of each defect that shows now.
    fn showing<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = T> {
        self.registry.showing(self.groups, pick)
    }

    /// What `pick` finds of each defect; nothing where no failpoint is armed.
    fn hung<T>(&self, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = (&'static str, T)> {
        self.registry.planted(self.groups, pick)
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

    pub fn failed_create(&self, world: &mut EmulatedState, request: &VolumeRequest) {
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

    pub fn expanded(&self, world: &mut EmulatedState, volume: &str) {
        let hung = |at| if let At::Expanded(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(world, volume));
    }

    pub fn snapshot(&self, volume: &str, pages: &mut Pages) {
        let older = self.lasting().snapshot(volume);
        let hung = |at| if let At::Snapshot(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(pages, &older));
    }

    pub fn snapshot_taken(&self, world: &mut EmulatedState, volume: &str) {
        let hung = |at| if let At::SnapshotTaken(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(world, volume));
    }

    pub fn restored(&self, pages: &mut Pages, now: &Pages) {
        let hung = |at| if let At::Restored(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(pages, now));
    }

    pub fn cloned(&self, pages: &mut Pages) {
        let hung = |at| if let At::Cloned(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(pages));
    }

    pub fn block_staged(&self, pages: &mut Pages) {
        let hung = |at| if let At::BlockStaged(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(pages));
    }

    pub fn counted(&self, statistics: &mut Statistics) {
        let hung = |at| if let At::Counted(act) = at { Some(act) } else { None };
        self.showing(hung).for_each(|act| act(statistics));
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

    /// Whether a mount was repeated that is to be unmounted as often: this unmount is not the last.
    pub fn unmounts_later(&self, node: &str, target: &Path) -> bool {
        self.lasting().unmounts_later(node, target)
    }

    /// Whether what was synced on a mount is not sent to the server.
    pub fn holds_back(&self, serial: u64, pages: &Pages) -> bool {
        let held = self.skips(Step::Send);
        if held {
            let pages = pages.iter().map(|(offset, page)| (*offset, page.clone()));
            self.lasting().unsent.entry(serial).or_default().extend(pages);
        }
        held
    }

    /// A page that was held back on a mount.
    pub fn held_back(&self, serial: u64, offset: u64) -> Option<Arc<Vec<u8>>> {
        self.lasting().unsent.get(&serial)?.get(&offset).cloned()
    }

    /// The last offset of those.
    pub fn last_held_back(&self, serial: u64) -> Option<u64> {
        self.lasting().unsent.get(&serial)?.keys().last().copied()
    }

    /// Pages are about to be written to a disk.
    pub fn write(&self, volume: &str, disk: &Disk, pages: &Pages) {
        if !self.registry.is_idle() {
            let saved = !self.skips(Step::Save);
            self.lasting().of(volume).note_write(disk, pages, saved);
        }
    }

    /// A volume was unmounted: what its node held back is sent, if it still may.
    pub fn unmounted(&self, server: &mut Server, volume: &str, mount: &Mount) {
        if self.registry.is_idle() {
            return;
        }
        self.land(server, volume);
        let unsent = self.lasting().unsent.remove(&mount.serial).unwrap_or_default();
        if let Some(disk) = server.volumes.get_mut(volume).filter(|disk| disk.admitted.contains(&mount.epoch)) {
            self.lasting().of(volume).note_write(disk, &unsent, true);
            disk.pages.extend(unsent);
        }
    }

    /// Whether a node that lost a volume is fenced.
    pub fn fences(&self, node: &Node, volume: &str, epoch: u64) -> bool {
        if self.registry.is_idle() {
            return true;
        }
        let away = !node.control || !node.powered;
        let mut lasting = self.lasting();
        let lasting = lasting.of(volume);
        lasting.taken = away || node.mounts.contains_key(volume);
        if !lasting.taken {
            return true;
        }
        let mut fencing = Fencing { away, epoch, fenced: true, lasting };
        let hung = |at| if let At::Fence(act) = at { Some(act) } else { None };
        self.hung(hung).for_each(|(name, act)| act(&mut fencing, &|| self.registry.fires(name)));
        fencing.fenced
    }

    /// Whether who gets a volume may write.
    pub fn admits(&self, volume: &str) -> bool {
        self.registry.is_idle() || !self.lasting().of(volume).admits_nobody
    }

    /// Whether a fenced writer is told that it wrote.
    pub fn ignores(&self, volume: &str, epoch: u64, pages: Pages) -> bool {
        if self.registry.is_idle() {
            return false;
        }
        let ignored = self.lasting().of(volume).ignored.contains(&epoch);
        if !ignored && self.skips(Step::DropFenced) {
            self.lasting().of(volume).late.extend(pages);
        }
        ignored
    }

    /// What a fenced writer had under way lands.
    fn land(&self, server: &mut Server, volume: &str) {
        if let Some(disk) = server.volumes.get_mut(volume) {
            disk.pages.append(&mut self.lasting().of(volume).late);
        }
    }
}
