//! The provider's face in this process: what its plugins and its server do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tonic::Code;

use super::sites::{Keeps, Step};
use super::state::{EmulatedState, Mount, Pages, mount_path, own_path, stacked_path};
use super::world::Emulated;
use crate::volumes::{Attachment, Capability, Features, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};

/// The parameters there are.
const PARAMETERS: [(&str, &[&str]); 2] = [("media", &["fast", "slow"]), ("replicas", &["1", "2", "3"])];
const FILESYSTEMS: [&str; 3] = ["", "ext4", "xfs"];
/// Of the server.
pub const CAPACITY: u64 = 1 << 40;

pub fn refuse(code: Code, why: impl Into<String>) -> Error {
    Error::new(Kind::Status(code), why)
}

pub fn unknown(volume: &str) -> Error {
    refuse(Code::NotFound, format!("there is no volume {volume}"))
}

/// What the server does.
impl Emulated {
    fn check(&self, request: &VolumeRequest) -> Result<()> {
        if !FILESYSTEMS.contains(&request.filesystem.as_str()) {
            return Err(refuse(Code::InvalidArgument, format!("no file system {:?}", request.filesystem)));
        }
        if request.bytes < self.ways().minimum {
            let least = self.ways().minimum;
            return Err(refuse(Code::OutOfRange, format!("{} bytes: a volume has {least} at least", request.bytes)));
        }
        if request.bytes > CAPACITY {
            return Err(refuse(Code::OutOfRange, format!("{} bytes are more than there are", request.bytes)));
        }
        for (name, value) in &request.parameters {
            let known = PARAMETERS.iter().any(|(known, values)| known == name && values.contains(&value.as_str()));
            if !known && !self.defects().skips(Step::RefuseUnknownParameter) {
                return Err(refuse(Code::InvalidArgument, format!("no parameter {name}={value}")));
            }
        }
        Ok(())
    }

    fn make(&self, world: &mut EmulatedState, request: &VolumeRequest) -> Result<Volume> {
        self.check(request)?;
        let same = world.server.volumes.iter().find(|(_, disk)| disk.request.name == request.name);
        if let Some((id, disk)) = same {
            let compared =
                |request: &VolumeRequest| (request.parameters.clone(), request.block, request.content.clone());
            let large_enough = disk.request.bytes == request.bytes || disk.bytes >= request.bytes;
            let equal = large_enough && compared(&disk.request) == compared(request);
            if !equal && !self.defects().skips(Step::RefuseConflict) {
                let why = format!("{} is there, and is another", request.name);
                return Err(refuse(Code::AlreadyExists, why));
            }
            if !self.defects().skips(Step::FindByName) {
                return Ok(disk.volume(id));
            }
        }
        let mut disk = self.filled(world, request)?;
        disk.bytes = disk.bytes.next_multiple_of(self.ways().rounds_to);
        self.defects().new_disk(&mut disk);
        if disk.usable >= request.bytes {
            disk.usable = disk.bytes; // else the file system is that of a smaller source still
        }
        let id = world.add(disk.clone());
        Ok(disk.volume(&id))
    }

    /// Gives a volume to a node; under which epoch.
    pub(super) fn give(&self, world: &mut EmulatedState, volume: &str, node: &str) -> Result<u64> {
        world.node(node)?;
        self.defects().attach(&mut world.server, volume);
        let Some(disk) = world.server.volumes.get_mut(volume) else {
            return Err(unknown(volume));
        };
        if let Some(epoch) = disk.attached.get(node) {
            if self.defects().skips(Step::RepeatAttach) {
                return Err(refuse(Code::AlreadyExists, format!("{volume} is attached to {node} already")));
            }
            return Ok(*epoch);
        }
        if !disk.request.place.is_empty() && disk.request.place != node {
            let why = format!("{volume} is accessible from {} alone", disk.request.place);
            return Err(refuse(Code::FailedPrecondition, why));
        }
        let held: Vec<String> = disk.attached.keys().cloned().collect();
        if !held.is_empty() && !disk.request.access.is_shared() && !self.defects().skips(Step::RefuseSecondNode) {
            return Err(refuse(Code::FailedPrecondition, format!("{volume} is attached to {}", held.join(", "))));
        }
        disk.epoch += 1;
        disk.attached.insert(node.to_owned(), disk.epoch);
        if self.defects().admits(volume) {
            disk.admitted.insert(disk.epoch);
        }
        Ok(disk.epoch)
    }

    /// Takes a volume from a node, which may not write to it any more.
    pub(super) fn take(&self, world: &mut EmulatedState, volume: &str, node: &str) -> Result<()> {
        world.node(node)?; // says what there is
        let EmulatedState { server, nodes, .. } = world;
        let (Some(loser), Some(disk)) = (nodes.get(node), server.volumes.get_mut(volume)) else { return Ok(()) };
        if !disk.attached.contains_key(node) && self.defects().skips(Step::RepeatDetach) {
            return Err(refuse(Code::NotFound, format!("{volume} is not attached to {node}")));
        }
        match self.defects().detach(loser, volume) {
            Some(Keeps::Silently) => return Ok(()),
            Some(Keeps::Because(why)) => {
                return Err(refuse(Code::FailedPrecondition, format!("{volume} stays with {node}: {why}")));
            }
            None => {}
        }
        if let Some(epoch) = disk.attached.remove(node)
            && self.defects().fences(loser, volume, epoch)
        {
            disk.admitted.remove(&epoch);
        }
        Ok(())
    }
}

/// What the plugin on a node does.
impl Emulated {
    /// Mounts a volume on a node, once for all tasks.
    pub(super) fn stage_in(&self, world: &mut EmulatedState, volume: &str, node: &str, epoch: u64) -> Result<()> {
        let serial = world.number();
        let held = world.server.volumes.get_mut(volume);
        if let Some(held) = held.filter(|held| held.request.block && epoch > 1) {
            self.defects().block_staged(&mut held.pages);
        }
        let held = world.server.volumes.get(volume);
        let disk = held.map(|held| held.shares.clone().unwrap_or_else(|| volume.to_owned()));
        let on = world.node_mut(node)?;
        on.known.entry(volume.to_owned()).or_default();
        let before = on.mounts.get(volume);
        if before.is_some_and(|mount| mount.epoch == epoch) {
            if self.defects().skips(Step::RepeatStage) {
                return Err(refuse(Code::AlreadyExists, format!("{volume} is staged on {node} already")));
            }
            return Ok(());
        }
        // what is left of an attachment before this one is no mount any more, and its tasks are still there
        let targets = before.map(|mount| mount.targets.clone()).unwrap_or_default();
        let mut mount = Mount { serial, epoch, disk, targets, dirty: Pages::new(), broken: None };
        self.defects().new_mount(&mut mount);
        if on.database.contains(volume) && self.defects().skips(Step::LookAtMounts) {
            mount.disk = None; // nobody mounted it
        }
        on.mounts.insert(volume.to_owned(), mount);
        on.elsewhere.insert(own_path(volume), volume.to_owned());
        Ok(())
    }

    /// The reverse.
    pub(super) fn unstage_in(&self, world: &mut EmulatedState, volume: &str, node: &str) -> Result<()> {
        let on = world.node_mut(node)?;
        if on.is_in_use(volume) {
            return Err(refuse(Code::FailedPrecondition, format!("{volume} is mounted for a task")));
        }
        let known = on.known.remove(volume).is_some();
        if !known && self.defects().skips(Step::UnmountUnknown) {
            return Ok(());
        }
        if !known && self.defects().skips(Step::RepeatUnstage) {
            return Err(refuse(Code::NotFound, format!("{volume} is not staged on {node}")));
        }
        if on.mounts.contains_key(volume) && self.defects().skips(Step::Unstage) {
            return Ok(());
        }
        if !self.defects().skips(Step::UnmountOwn) {
            on.elsewhere.remove(&own_path(volume));
        }
        if let Some(mount) = on.mounts.remove(volume) {
            on.database.remove(volume);
            self.defects().unmounted(&mut world.server, volume, &mount);
        }
        Ok(())
    }

    /// Mounts a staged volume at `target` for a task, which that names.
    pub(super) fn publish_in(&self, world: &mut EmulatedState, volume: &str, node: &str, target: &Path) -> Result<()> {
        let on = world.node_mut(node)?;
        let Some(mount) = on.mounts.get_mut(volume) else {
            return Err(refuse(Code::FailedPrecondition, format!("{volume} is not staged on {node}")));
        };
        if mount.targets.contains(target) && self.defects().skips(Step::RepeatMount) {
            let why = format!("{volume} is mounted at {} already", target.display());
            return Err(refuse(Code::AlreadyExists, why));
        }
        mount.targets.insert(target.to_owned());
        if !on.known.contains_key(volume) && self.defects().skips(Step::CountMounts) {
            on.elsewhere.insert(stacked_path(volume), volume.to_owned());
        }
        on.published.insert(target.to_owned(), volume.to_owned());
        let fresh = on.known.entry(volume.to_owned()).or_default().insert(target.to_owned());
        self.defects().published(node, target, !fresh);
        Ok(())
    }

    /// The reverse.
    pub(super) fn unpublish_in(
        &self,
        world: &mut EmulatedState,
        volume: &str,
        node: &str,
        target: &Path,
    ) -> Result<()> {
        let on = world.node_mut(node)?;
        let Some(known) = on.known.get_mut(volume) else { return Ok(()) };
        if !known.contains(target) {
            if self.defects().skips(Step::RepeatUnmount) {
                return Err(refuse(Code::NotFound, format!("{volume} is not mounted at {}", target.display())));
            }
            self.defects().repeated_unmount(on, volume);
            return Ok(());
        }
        if self.defects().unmounts_later(node, target) {
            return Ok(());
        }
        if known.len() > 1 && self.defects().skips(Step::KeepOtherTasks) {
            known.clear();
            on.published.retain(|_, held| held != volume);
            on.mounts.get_mut(volume).into_iter().for_each(|mount| mount.targets.clear());
            return Ok(());
        }
        known.remove(target);
        on.published.remove(target);
        if let Some(mount) = on.mounts.get_mut(volume) {
            mount.targets.remove(target);
        }
        Ok(())
    }

    /// Mounts a staged volume at `target`, which `make` makes.
    pub(super) fn publish(
        &self,
        volume: &Volume,
        node: &str,
        target: &Path,
        deadline: Instant,
        make: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if self.defects().unheard_mount(self.world().node(node)?) {
            return make();
        }
        self.by_plugin(node, deadline, |world| {
            self.publish_in(world, &volume.id, node, target)?;
            let on = world.node_mut(node)?;
            if volume.read_only && !self.defects().skips(Step::MountReadOnly) {
                on.read_only.insert(target.to_owned());
            } else {
                on.read_only.remove(target);
            }
            make()
        })
    }

    /// The reverse.
    pub(super) fn unpublish(
        &self,
        volume: &str,
        node: &str,
        target: &Path,
        deadline: Instant,
        remove: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.by_plugin(node, deadline, |world| {
            self.unpublish_in(world, volume, node, target)?;
            remove()
        })
    }

    /// Why it does not stand by what it made.
    pub(super) fn doubt(&self) -> Option<String> {
        self.defects().skips(Step::Confirm).then(|| "not today".to_owned())
    }

    /// Where on a node a volume is mounted, as far as its plugin knows.
    pub(super) fn published(&self, volume: &str, node: &str) -> Vec<PathBuf> {
        let world = self.world();
        let known = world.node(node).ok().and_then(|node| node.known.get(volume));
        known.into_iter().flatten().cloned().collect()
    }

    /// Whether a volume is mounted at `target`.
    pub(super) fn is_published(&self, volume: &str, node: &str, target: &Path) -> bool {
        self.world().node(node).is_ok_and(|node| node.published.get(target).is_some_and(|held| held == volume))
    }
}

impl Volumes for Emulated {
    fn provider(&self) -> Provider {
        use Capability::{
            Attach, Block, Clone, Condition, Create, Expand, ExpandInUse, Fence, List, ListNodes, Parameters, ReadOnly,
            RefusesUnknownParameters, Repeats, Server, Size, Snapshot, Statistics,
        };
        let mut can = BTreeSet::from([Create, Size, Parameters, RefusesUnknownParameters, List, ListNodes, Attach]);
        can.extend([Fence, Server, Repeats, ReadOnly, Expand, Snapshot, Clone, Block, Statistics, Condition]);
        can.extend(self.ways().expands_in_use.then_some(ExpandInUse));
        Provider {
            name: "holdfast emulated storage".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: can,
            emulated: "EMULATED: a storage server, nodes and plugins in this process".to_owned(),
            minimum: if self.ways().tells_minimum { self.ways().minimum } else { 0 },
            ..Provider::default()
        }
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        if !node.is_empty()
            && let Some(volume) = self.defects().unheard_create(self.world().node(node)?, request)
        {
            return Ok(volume);
        }
        let mut world = self
            .controller(node, deadline)
            .inspect_err(|_| self.defects().failed_create(&mut self.world(), request))?;
        self.make(&mut world, request)
    }

    fn confirm(
        &self,
        _: &str,
        volume: &Volume,
        _: &VolumeRequest,
        _: Instant,
    ) -> Result<Option<BTreeMap<String, String>>> {
        match self.doubt() {
            Some(doubt) => Err(Error::new(Kind::Expectation, format!("what was made is not confirmed: {doubt}"))),
            None => Ok(volume.parameters.clone()),
        }
    }

    fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        self.by_controller(node, deadline, |world| match world.server.volumes.get(&volume.id) {
            None if self.defects().skips(Step::RepeatRemove) => Err(unknown(&volume.id)),
            Some(disk) if !disk.attached.is_empty() => {
                let nodes: Vec<_> = disk.attached.keys().cloned().collect();
                Err(refuse(Code::FailedPrecondition, format!("{} is attached to {}", volume.id, nodes.join(", "))))
            }
            _ => {
                world.server.volumes.remove(&volume.id);
                Ok(())
            }
        })
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        let world = self.controller(node, deadline)?;
        Ok(world.server.volumes.iter().map(|(id, disk)| disk.volume(id)).collect())
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        self.by_server(deadline, |world| self.give(world, &volume.id, node)).map(attachment)
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.by_server(deadline, |world| self.take(world, &volume.id, node))
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, node: &str, deadline: Instant) -> Result<()> {
        if self.defects().unheard_mount(self.world().node(node)?) {
            return Ok(());
        }
        let epoch = attachment.context.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        self.by_plugin(node, deadline, |world| self.stage_in(world, &volume.id, node, epoch))
    }

    fn unstage(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.by_plugin(node, deadline, |world| self.unstage_in(world, &volume.id, node))
    }

    fn mount(&self, volume: &Volume, _: &Attachment, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        let target = mount_path(&volume.id, task);
        self.publish(volume, node, &target, deadline, || Ok(())).map(|()| target)
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.unpublish(&volume.id, node, &mount_path(&volume.id, task), deadline, || Ok(()))
    }

    fn answers(&self, node: &str, _: Instant) -> bool {
        self.world().plugin_takes_calls(node).unwrap_or(false)
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        self.plugin(node, deadline).map(drop)
    }

    fn features(&self) -> Option<&dyn Features> {
        Some(self)
    }
}

/// What tells the plugin under which epoch it has a volume.
fn attachment(epoch: u64) -> Attachment {
    Attachment { context: BTreeMap::from([("epoch".to_owned(), epoch.to_string())]) }
}
