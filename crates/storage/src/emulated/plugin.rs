//! The plugin of one emulated node, as CSI asks of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tonic::Code;

use super::world::Emulated;
use crate::csi::{Backend, BackendFeatures, Ways};
use crate::features::{Expanded, Snapshot, Statistics};
use crate::volumes::{Attachment, Capability, Features, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};

/// What the emulated provider calls itself to an orchestrator.
const NAME: &str = "emulated.storage.holdfast";

/// The plugin of one node.
#[derive(Clone)]
pub struct EmulatedPlugin {
    /// What it is of.
    pub emulated: Emulated,
    /// Its node.
    pub node: String,
}

impl Backend for EmulatedPlugin {
    fn about(&self) -> (&'static str, String) {
        (NAME, self.emulated.provider().emulated)
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn ways(&self) -> Ways {
        self.emulated.ways().clone()
    }

    fn doubt(&self) -> Option<String> {
        self.emulated.doubt()
    }

    fn features(&self) -> Option<&dyn BackendFeatures> {
        Some(self)
    }

    fn published(&self, volume: &str) -> Vec<PathBuf> {
        self.emulated.published(volume, &self.node)
    }

    fn ready(&self, deadline: Instant) -> Result<()> {
        self.emulated.controller(&self.node, deadline).map(drop)
    }

    fn create(&self, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        self.emulated.create(&self.node, request, deadline)
    }

    fn remove(&self, volume: &Volume, deadline: Instant) -> Result<()> {
        self.emulated.remove(&self.node, volume, deadline)
    }

    fn list(&self, deadline: Instant) -> Result<Vec<Volume>> {
        self.emulated.list(&self.node, deadline)
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        self.emulated.attach(volume, node, deadline)
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.emulated.detach(volume, node, deadline)
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, _: &Path, deadline: Instant) -> Result<()> {
        if self.emulated.ways().attaches {
            return Volumes::stage(&self.emulated, volume, attachment, &self.node, deadline);
        }
        self.take_and_stage(volume, deadline)
    }

    fn unstage(&self, volume: &str, _: &Path, deadline: Instant) -> Result<()> {
        let volume = Volume { id: volume.to_owned(), ..Volume::default() };
        Volumes::unstage(&self.emulated, &volume, &self.node, deadline)?;
        if self.emulated.ways().attaches {
            return Ok(());
        }
        self.emulated.by_server(deadline, |world| self.emulated.take(world, &volume.id, &self.node))
    }

    fn publish(&self, volume: &Volume, _: &Path, target: &Path, deadline: Instant) -> Result<()> {
        // what a real plugin mounts on
        let make = || {
            let made = if volume.block { make_file(target) } else { std::fs::create_dir_all(target) };
            made.map_err(|error| path_error(target, &error))
        };
        self.emulated.publish(volume, &self.node, target, deadline, make)
    }

    fn unpublish(&self, volume: &str, target: &Path, deadline: Instant) -> Result<()> {
        let remove = || {
            let removed = if target.is_file() { std::fs::remove_file(target) } else { std::fs::remove_dir(target) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(path_error(target, &error)),
                _ => Ok(()),
            }
        };
        self.emulated.unpublish(volume, &self.node, target, deadline, remove)
    }

    fn is_published(&self, volume: &str, target: &Path) -> bool {
        self.emulated.is_published(volume, &self.node, target)
    }
}

impl EmulatedPlugin {
    /// Who is not attached takes a volume by mounting it: another that has it loses it first, and is fenced.
    fn take_and_stage(&self, volume: &Volume, deadline: Instant) -> Result<()> {
        self.emulated.by_both(&self.node, 1, deadline, |world| {
            let others = volume.nodes.iter().flatten().filter(|node| **node != self.node && !volume.access.is_shared());
            for other in others {
                self.emulated.take(world, &volume.id, other)?;
            }
            let epoch = self.emulated.give(world, &volume.id, &self.node)?;
            self.emulated.stage_in(world, &volume.id, &self.node, epoch)
        })
    }
}

impl BackendFeatures for EmulatedPlugin {
    fn can(&self) -> BTreeSet<Capability> {
        self.emulated.provider().capabilities
    }

    fn expand(&self, volume: &str, bytes: u64, deadline: Instant) -> Result<Expanded> {
        self.emulated.by_server(deadline, |world| self.emulated.expand_in(world, volume, bytes))
    }

    fn expand_on_node(&self, volume: &str, _: u64, target: &Path, deadline: Instant) -> Result<()> {
        let node = &self.node;
        let expand = |world: &mut _| self.emulated.expand_on_node_in(world, volume, node, target);
        self.emulated.by_plugin(node, deadline, expand)
    }

    fn take_snapshot(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot> {
        self.emulated.by_server(deadline, |world| self.emulated.take_snapshot_in(world, volume, name))
    }

    fn remove_snapshot(&self, snapshot: &str, deadline: Instant) -> Result<()> {
        let snapshot = Snapshot { id: snapshot.to_owned(), ..Snapshot::default() };
        Features::remove_snapshot(&self.emulated, &snapshot, deadline)
    }

    fn snapshots(&self, deadline: Instant) -> Result<Vec<Snapshot>> {
        let world = self.emulated.controller(&self.node, deadline)?;
        Ok(world.server.snapshots.iter().map(|(id, held)| held.snapshot(id)).collect())
    }

    fn statistics(&self, volume: &str, at: &Path, deadline: Instant) -> Result<Statistics> {
        let node = &self.node;
        self.emulated.by_plugin(node, deadline, |world| self.emulated.statistics_in(world, volume, node, at))
    }
}

/// What a device is mounted on.
fn make_file(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).map(drop)
}

fn path_error(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Status(Code::Internal), format!("{}: {error}", path.display()))
}
