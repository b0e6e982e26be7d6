//! The provider's face in this process: what its plugins and its server do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tonic::Code;

use super::io::put;
use super::nodes::mount_path;
use super::world::{Disk, Emulated, Health, Mount, Pages, World};
use crate::volumes::{Attachment, Capability, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;

/// The parameters there are.
const PARAMETERS: [(&str, &[&str]); 2] = [("media", &["fast", "slow"]), ("replicas", &["1", "2", "3"])];
const FILESYSTEMS: [&str; 3] = ["", "ext4", "xfs"];
/// Of the server.
const CAPACITY: u64 = 1 << 40;

fn refuse(code: Code, why: impl Into<String>) -> Error {
    Error::new(Kind::Status(code), why)
}

fn told(id: &str, disk: &Disk) -> Volume {
    Volume {
        id: id.to_owned(),
        name: disk.request.name.clone(),
        bytes: Some(disk.bytes),
        parameters: Some(disk.parameters.clone()),
        nodes: Some(disk.attached.keys().cloned().collect()),
        filesystem: disk.request.filesystem.clone(),
        access: disk.request.access,
        context: BTreeMap::new(),
    }
}

impl Emulated {
    fn check(&self, request: &VolumeRequest) -> Result<()> {
        if !FILESYSTEMS.contains(&request.filesystem.as_str()) {
            return Err(refuse(Code::InvalidArgument, format!("no file system {:?}", request.filesystem)));
        }
        if request.bytes > CAPACITY {
            return Err(refuse(Code::OutOfRange, format!("{} bytes are more than there are", request.bytes)));
        }
        for (name, value) in &request.parameters {
            let known = PARAMETERS.iter().any(|(known, values)| known == name && values.contains(&value.as_str()));
            if !known && !self.fires("storage.create.nonsense_accepted") {
                return Err(refuse(Code::InvalidArgument, format!("no parameter {name}={value}")));
            }
        }
        Ok(())
    }

    fn make(&self, world: &mut World, request: &VolumeRequest) -> Result<Volume> {
        self.check(request)?;
        let same = world.server.volumes.iter().find(|(_, disk)| disk.request.name == request.name);
        if let Some((id, disk)) = same {
            let equal = disk.request.bytes == request.bytes && disk.request.parameters == request.parameters;
            if !equal && !self.fires("storage.create.conflict_accepted") {
                let why = format!("{} is there, and is another", request.name);
                return Err(refuse(Code::AlreadyExists, why));
            }
            if !self.fires("storage.create.twice") {
                return Ok(told(id, disk));
            }
        }
        let bytes = if self.fires("storage.create.size_smaller") { request.bytes / 2 } else { request.bytes };
        let mut disk = Disk::new(request.clone(), bytes);
        if self.fires("storage.create.parameters_ignored") {
            disk.parameters.clear();
        }
        let id = format!("volume-{}", world.number());
        let volume = told(&id, &disk);
        world.server.volumes.insert(id, disk);
        Ok(volume)
    }

    /// What a node that lost a volume may still do to it.
    fn revoke(&self, world: &mut World, volume: &str, node: &str, epoch: u64) {
        let fires = |defect: &str| self.fires(defect);
        let away = world.nodes.get(node).is_none_or(|node| !node.control || !node.powered);
        let mounted = world.nodes.get(node).is_some_and(|node| node.mounts.contains_key(volume));
        let Some(disk) = world.server.volumes.get_mut(volume) else { return };
        disk.taken = mounted || away;
        if !disk.taken {
            disk.admitted.remove(&epoch);
            return;
        }
        if fires("storage.fence.none") || (!away && fires("storage.fence.by_absence")) {
            return;
        }
        if fires("storage.fence.swallowed") {
            disk.ignored.insert(epoch);
        }
        if fires("storage.fence.wrong") {
            disk.admitted.insert(u64::MAX); // whoever comes next is fenced
            return;
        }
        disk.admitted.remove(&epoch);
    }

    /// What defects make of a volume that another node takes.
    fn spoil(&self, world: &mut World, volume: &str) {
        let other = world.server.volumes.iter().find(|(id, disk)| *id != volume && !disk.pages.is_empty());
        let other = other.map(|(_, disk)| disk.pages.clone());
        let Some(disk) = world.server.volumes.get_mut(volume).filter(|disk| disk.taken) else { return };
        if self.fires("storage.attach.old_snapshot") {
            disk.pages.clone_from(&disk.snapshot);
        }
        if self.fires("storage.attach.bit_flip") {
            flip(&mut disk.pages, |page| page[2000] ^= 1);
        }
        if self.fires("storage.attach.torn_page") {
            flip(&mut disk.pages, |page| page[2048..].fill(0xa5));
        }
        if self.fires("storage.attach.zero_tail") {
            let keep = disk.pages.len() / 2;
            disk.pages.values_mut().skip(keep).for_each(|page| *page = Arc::new(vec![0; page.len()]));
        }
        if let Some(other) = other.filter(|_| self.fires("storage.attach.wrong_volume")) {
            disk.pages = other;
        }
    }
}

/// Changes the page in the middle.
fn flip(pages: &mut Pages, change: impl FnOnce(&mut Vec<u8>)) {
    let middle = pages.len() / 2;
    if let Some(page) = pages.values_mut().nth(middle) {
        change(Arc::make_mut(page));
    }
}

impl Emulated {
    /// Mounts a staged volume at `target` for a task, which that names.
    pub(super) fn publish(&self, volume: &str, node: &str, target: &Path, deadline: Instant) -> Result<()> {
        if self.world().node(node)?.plugin != Health::Running && self.fires("storage.mount.swallowed") {
            return Ok(());
        }
        drop(self.plugin(node, deadline)?);
        self.change(|world| {
            let on = world.node_mut(node)?;
            let Some(mount) = on.mounts.get_mut(volume) else {
                return Err(refuse(Code::FailedPrecondition, format!("{volume} is not staged on {node}")));
            };
            let task = target.display().to_string();
            mount.tasks.insert(task.clone());
            on.published.insert(target.to_owned(), volume.to_owned());
            let count = on.known.entry(volume.to_owned()).or_default().entry(task).or_insert(0);
            *count = if self.fires("storage.unmount.counted_up") { *count + 1 } else { 1 };
            Ok(())
        })
    }

    /// The reverse.
    pub(super) fn unpublish(&self, volume: &str, node: &str, target: &Path, deadline: Instant) -> Result<()> {
        drop(self.plugin(node, deadline)?);
        self.change(|world| {
            let on = world.node_mut(node)?;
            let task = target.display().to_string();
            let Some(known) = on.known.get_mut(volume) else { return Ok(()) };
            match known.get_mut(&task) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    known.remove(&task);
                    on.published.remove(target);
                    if let Some(mount) = on.mounts.get_mut(volume) {
                        mount.tasks.remove(&task);
                    }
                }
                None if self.fires("storage.unmount.counted_down") => {
                    known.clear();
                    on.mounts.remove(volume);
                }
                None => {}
            }
            Ok(())
        })
    }

    /// Whether the plugin on a node knows of a task that has a volume.
    pub(super) fn is_in_use(&self, volume: &str, node: &str) -> bool {
        self.world().node(node).is_ok_and(|node| node.known.get(volume).is_some_and(|tasks| !tasks.is_empty()))
    }

    /// Whether a volume is mounted at `target`.
    pub(super) fn is_published(&self, volume: &str, node: &str, target: &Path) -> bool {
        self.world().node(node).is_ok_and(|node| node.published.get(target).is_some_and(|held| held == volume))
    }
}

impl Volumes for Emulated {
    fn provider(&self) -> Provider {
        use Capability::{Attach, Fence, List, ListNodes, Parameters, RefusesUnknownParameters, Server, Size};
        Provider {
            name: "holdfast emulated storage".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: [Size, Parameters, RefusesUnknownParameters, List, ListNodes, Attach, Fence, Server].into(),
            emulated: "EMULATED: a storage server, nodes and plugins in this process".to_owned(),
        }
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        if self.world().node(node)?.plugin != Health::Running && self.fires("storage.create.pretends") {
            let disk = Disk::new(request.clone(), request.bytes);
            return Ok(told("volume-0", &disk));
        }
        match self.plugin(node, deadline) {
            Ok(mut world) => self.make(&mut world, request),
            Err(error) => {
                if self.fires("storage.create.half_made") {
                    self.make(&mut self.world(), request)?;
                }
                Err(error)
            }
        }
    }

    fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        let mut world = self.plugin(node, deadline)?;
        match world.server.volumes.get(&volume.id) {
            Some(disk) if !disk.attached.is_empty() => {
                let nodes: Vec<_> = disk.attached.keys().cloned().collect();
                Err(refuse(Code::FailedPrecondition, format!("{} is attached to {}", volume.id, nodes.join(", "))))
            }
            _ => {
                world.server.volumes.remove(&volume.id);
                Ok(())
            }
        }
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        let world = self.plugin(node, deadline)?;
        Ok(world.server.volumes.iter().map(|(id, disk)| told(id, disk)).collect())
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        drop(self.server(deadline)?);
        blocking::pause(self.timings().attach);
        let mut world = self.server(deadline)?;
        world.node(node)?;
        self.spoil(&mut world, &volume.id);
        let Some(disk) = world.server.volumes.get_mut(&volume.id) else {
            return Err(refuse(Code::NotFound, format!("there is no volume {}", volume.id)));
        };
        if let Some(epoch) = disk.attached.get(node) {
            return Ok(attachment(*epoch));
        }
        let held: Vec<String> = disk.attached.keys().cloned().collect();
        if !held.is_empty() && !disk.request.access.is_shared() && !self.fires("storage.attach.second_admitted") {
            return Err(refuse(Code::FailedPrecondition, format!("{} is attached to {}", volume.id, held.join(", "))));
        }
        disk.epoch += 1;
        let epoch = disk.epoch;
        disk.attached.insert(node.to_owned(), epoch);
        if !disk.admitted.contains(&u64::MAX) {
            disk.admitted.insert(epoch);
        }
        Ok(attachment(epoch))
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        drop(self.server(deadline)?);
        blocking::pause(self.timings().attach);
        let mut world = self.server(deadline)?;
        let state = world.node(node)?;
        let (powered, control, mounted) = (state.powered, state.control, state.mounts.contains_key(&volume.id));
        let stays =
            |why: &str| Err(refuse(Code::FailedPrecondition, format!("{} stays with {node}: {why}", volume.id)));
        if !powered && self.fires("storage.detach.refused_for_dead") {
            return stays("it may come back");
        }
        if mounted && control && powered && self.fires("storage.detach.waits_for_control") {
            return stays("it answers");
        }
        if mounted && powered && self.fires("storage.detach.waits_for_unmount") {
            return stays("it is mounted there");
        }
        let Some(disk) = world.server.volumes.get_mut(&volume.id) else { return Ok(()) };
        if !mounted && self.fires("storage.detach.leaked") {
            return Ok(());
        }
        if let Some(epoch) = disk.attached.remove(node) {
            self.revoke(&mut world, &volume.id, node, epoch);
        }
        Ok(())
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, node: &str, deadline: Instant) -> Result<()> {
        if self.world().node(node)?.plugin != Health::Running && self.fires("storage.mount.swallowed") {
            return Ok(());
        }
        drop(self.plugin(node, deadline)?);
        let epoch = attachment.context.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        self.change(|world| {
            let serial = world.number();
            let behind = world.server.volumes.contains_key(&volume.id) && !self.fires("storage.mount.nothing");
            let disk = behind.then(|| volume.id.clone());
            let on = world.node_mut(node)?;
            on.known.entry(volume.id.clone()).or_default();
            let mount = on.mounts.entry(volume.id.clone()).or_insert_with(|| Mount {
                serial,
                epoch,
                disk: disk.clone(),
                tasks: std::collections::BTreeSet::new(),
                dirty: Pages::new(),
                cached: Pages::new(),
                broken: None,
            });
            if mount.epoch != epoch {
                // what is left of an attachment before this one
                *mount = Mount {
                    serial,
                    epoch,
                    disk,
                    tasks: mount.tasks.clone(),
                    dirty: Pages::new(),
                    cached: Pages::new(),
                    broken: None,
                };
            }
            Ok(())
        })
    }

    fn unstage(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        drop(self.plugin(node, deadline)?);
        self.change(|world| {
            let on = world.node_mut(node)?;
            let known = on.known.get(&volume.id);
            if known.is_some_and(|tasks| !tasks.is_empty()) {
                return Err(refuse(Code::FailedPrecondition, format!("{} is mounted for a task", volume.id)));
            }
            if known.is_none() && self.fires("storage.plugin.restart_forgets_mounts") {
                return Ok(());
            }
            on.known.remove(&volume.id);
            if let Some(mount) = on.mounts.remove(&volume.id) {
                upload(world, &volume.id, mount);
            }
            Ok(())
        })
    }

    fn mount(&self, volume: &Volume, _: &Attachment, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        let target = mount_path(&volume.id, task);
        self.publish(&volume.id, node, &target, deadline).map(|()| target)
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.unpublish(&volume.id, node, &mount_path(&volume.id, task), deadline)
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        self.plugin(node, deadline).map(drop)
    }
}

fn attachment(epoch: u64) -> Attachment {
    Attachment { context: BTreeMap::from([("epoch".to_owned(), epoch.to_string())]) }
}

/// What a node holds back goes to the server with the unmount, if it still may.
fn upload(world: &mut World, volume: &str, mount: Mount) {
    let epoch = mount.epoch;
    if let Some(disk) = world.server.volumes.get_mut(volume) {
        let late = std::mem::take(&mut disk.late);
        disk.pages.extend(late);
    }
    if let Some(disk) = world.server.volumes.get_mut(volume).filter(|disk| disk.admitted.contains(&epoch)) {
        put(disk, mount.cached, false);
    }
}
