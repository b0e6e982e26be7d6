//! What the emulated provider does beyond volumes: expansion, snapshots, copies, statistics.

use std::path::Path;
use std::time::{Instant, SystemTime};

use tonic::Code;

use super::sites::Step;
use super::state::{Disk, EmulatedState, SnapshotDisk, mount_path};
use super::volumes::{CAPACITY, refuse, unknown};
use super::world::Emulated;
use crate::features::{Condition, ContentSource, Expanded, Snapshot, Space, Statistics};
use crate::volumes::{Features, Volume, VolumeRequest};
use holdfast_ledger::BLOCK;
use holdfast_net::error::Result;

impl Emulated {
    /// The disk of a new volume, with what it is made from.
    pub(super) fn filled(&self, world: &EmulatedState, request: &VolumeRequest) -> Result<Disk> {
        let mut disk = Disk::new(request.clone());
        match &request.content {
            None => {}
            Some(ContentSource::Snapshot(id)) => {
                let gone = || refuse(Code::NotFound, format!("there is no snapshot {id}"));
                let snapshot = world.server.snapshots.get(id).ok_or_else(gone)?;
                fits(request, snapshot.bytes)?;
                disk.usable = self.grown(request, snapshot.bytes);
                disk.pages = snapshot.pages.clone();
                if let Some(now) = world.server.volumes.get(&snapshot.volume) {
                    self.defects().restored(&mut disk.pages, &now.pages);
                }
            }
            Some(ContentSource::Volume(id)) => {
                let source = world.server.volumes.get(id).ok_or_else(|| unknown(id))?;
                fits(request, source.bytes)?;
                disk.usable = self.grown(request, source.bytes);
                disk.pages = source.pages.clone();
                self.defects().cloned(&mut disk.pages);
                disk.shares = self.defects().skips(Step::CopyPages).then(|| id.clone());
            }
        }
        Ok(disk)
    }

    /// As large as the file system of a copy is.
    fn grown(&self, request: &VolumeRequest, source: u64) -> u64 {
        if self.defects().skips(Step::GrowFilesystem) { source } else { request.bytes }
    }

    pub(super) fn expand_in(&self, world: &mut EmulatedState, volume: &str, bytes: u64) -> Result<Expanded> {
        if bytes > CAPACITY {
            return Err(refuse(Code::OutOfRange, format!("{bytes} bytes are more than there are")));
        }
        let bytes = bytes.next_multiple_of(self.ways().rounds_to);
        let disk = world.server.volumes.get_mut(volume).ok_or_else(|| unknown(volume))?;
        if let Some(node) = disk.attached.keys().next().filter(|_| !self.ways().expands_in_use) {
            return Err(refuse(Code::FailedPrecondition, format!("{volume} is attached to {node}")));
        }
        if bytes > disk.bytes || self.defects().skips(Step::KeepLarger) {
            disk.bytes = bytes;
            self.defects().expanded(world, volume);
        }
        let disk = world.server.volumes.get(volume).ok_or_else(|| unknown(volume))?;
        Ok(Expanded { bytes: disk.bytes, on_node: true })
    }

    pub(super) fn expand_on_node_in(
        &self,
        world: &mut EmulatedState,
        volume: &str,
        node: &str,
        target: &Path,
    ) -> Result<()> {
        published(world, volume, node, target)?;
        let grows = !self.defects().skips(Step::GrowFilesystem);
        let disk = world.server.volumes.get_mut(volume).ok_or_else(|| unknown(volume))?;
        if grows {
            disk.usable = disk.bytes;
        }
        Ok(())
    }

    pub(super) fn take_snapshot_in(&self, world: &mut EmulatedState, volume: &str, name: &str) -> Result<Snapshot> {
        if let Some((id, held)) = world.server.snapshots.iter().find(|(_, held)| held.name == name) {
            if held.volume != volume && !self.defects().skips(Step::RefuseSnapshotConflict) {
                return Err(refuse(Code::AlreadyExists, format!("{name} is a snapshot of {}", held.volume)));
            }
            return Ok(held.snapshot(id));
        }
        let disk = world.server.volumes.get(volume).ok_or_else(|| unknown(volume))?;
        let mut held = SnapshotDisk {
            name: name.to_owned(),
            volume: volume.to_owned(),
            bytes: disk.bytes,
            pages: disk.pages.clone(),
            taken: SystemTime::now(),
        };
        self.defects().snapshot(volume, &mut held.pages);
        self.defects().snapshot_taken(world, volume);
        let id = format!("snapshot-{}", world.number());
        let snapshot = held.snapshot(&id);
        world.server.snapshots.insert(id, held);
        Ok(snapshot)
    }

    pub(super) fn statistics_in(
        &self,
        world: &EmulatedState,
        volume: &str,
        node: &str,
        at: &Path,
    ) -> Result<Statistics> {
        if let Err(refusal) = published(world, volume, node, at)
            && !self.defects().skips(Step::RefuseUnknownPath)
        {
            return Err(refusal);
        }
        let disk = world.server.volumes.get(volume).ok_or_else(|| unknown(volume))?;
        let used = (disk.pages.len() * BLOCK) as u64;
        let bytes = Space { total: disk.usable, used, available: disk.usable.saturating_sub(used) };
        let mut statistics = Statistics { bytes: Some(bytes), inodes: None, condition: Some(Condition::default()) };
        self.defects().counted(&mut statistics);
        Ok(statistics)
    }
}

/// An error where a volume is not mounted there.
fn published(world: &EmulatedState, volume: &str, node: &str, target: &Path) -> Result<()> {
    if world.node(node)?.published.get(target).is_some_and(|held| held == volume) {
        return Ok(());
    }
    Err(refuse(Code::NotFound, format!("{volume} is not published at {}", target.display())))
}

/// A copy takes all that its source has.
fn fits(request: &VolumeRequest, source: u64) -> Result<()> {
    if request.bytes >= source {
        return Ok(());
    }
    Err(refuse(Code::OutOfRange, format!("{} bytes do not take the {source} bytes of the source", request.bytes)))
}

impl Features for Emulated {
    fn expand(&self, volume: &Volume, bytes: u64, deadline: Instant) -> Result<Expanded> {
        self.by_server(deadline, |world| self.expand_in(world, &volume.id, bytes))
    }

    fn expand_on_node(&self, volume: &Volume, _: u64, node: &str, task: &str, deadline: Instant) -> Result<()> {
        let target = mount_path(&volume.id, task);
        self.by_plugin(node, deadline, |world| self.expand_on_node_in(world, &volume.id, node, &target))
    }

    fn take_snapshot(&self, volume: &Volume, name: &str, deadline: Instant) -> Result<Snapshot> {
        self.by_server(deadline, |world| self.take_snapshot_in(world, &volume.id, name))
    }

    fn remove_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<()> {
        self.by_server(deadline, |world| {
            world.server.snapshots.remove(&snapshot.id);
            Ok(())
        })
    }

    fn statistics(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Statistics> {
        let at = mount_path(&volume.id, task);
        self.by_plugin(node, deadline, |world| self.statistics_in(world, &volume.id, node, &at))
    }
}
