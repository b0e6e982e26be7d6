//! Reading and writing on a node: through its kernel, over the storage network, to the server.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::world::{Disk, Emulated, Mount, Pages, World};
use holdfast_ledger::{BLOCK, Medium};
use holdfast_net::waiting::blocking;

/// How many syncs are between two snapshots that the server keeps for `storage.attach.old_snapshot`.
const SNAPSHOT: u64 = 20;

/// A task's ledger on a volume that its node has mounted.
pub struct Mounted {
    pub emulated: Emulated,
    pub node: String,
    pub volume: String,
    /// Of the mount that it was opened on.
    pub serial: u64,
    /// Of the process; None for one that only reads.
    pub process: Option<u64>,
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn broken() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

/// Nobody is left who could be told.
fn killed() -> io::Error {
    io::Error::other(super::nodes::KILLED)
}

impl Mounted {
    /// The mount, unless the process may not or cannot go on with it.
    fn mount<'a>(&self, world: &'a mut World) -> io::Result<&'a mut Mount> {
        let node = world.nodes.get_mut(&self.node).ok_or_else(broken)?;
        let dead =
            self.process.is_some_and(|process| node.processes.get(&process).is_none_or(|running| running.killed));
        if dead || !node.powered {
            return Err(killed());
        }
        let mount = node.mounts.get_mut(&self.volume).filter(|mount| mount.serial == self.serial).ok_or_else(broken)?;
        match mount.broken {
            Some(_) => Err(broken()),
            None => Ok(mount),
        }
    }

    fn stalled(&self, world: &World) -> bool {
        let Some(node) = world.nodes.get(&self.node) else { return false };
        let stalled =
            self.process.and_then(|process| node.processes.get(&process)).is_some_and(|running| running.stalled);
        stalled || node.plugin != super::world::Health::Running && self.emulated.fires("storage.plugin.in_data_path")
    }

    fn reaches(&self, world: &World) -> bool {
        world.server.up && world.nodes.get(&self.node).is_some_and(|node| node.storage) && !self.stalled(world)
    }

    /// Waits until the server can be reached over the storage network; an error once the kernel's patience is at its end.
    fn reach<'a>(
        &'a self,
        mut world: std::sync::MutexGuard<'a, World>,
    ) -> io::Result<std::sync::MutexGuard<'a, World>> {
        let end = Instant::now() + self.emulated.timings().patience;
        loop {
            let stalled = self.stalled(&world);
            self.mount(&mut world)?;
            if self.reaches(&world) {
                return Ok(world);
            }
            match end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                Some(left) => world = self.emulated.pause(world, left),
                None if stalled => world = self.emulated.pause(world, self.emulated.timings().patience),
                None => {
                    self.mount(&mut world)?.broken = Some("the storage network was away for too long");
                    return Err(broken());
                }
            }
        }
    }

    /// Where the writes of this node's kernel go.
    fn store(&self, world: &mut World, pages: Pages) -> io::Result<()> {
        let fires = |defect: &str| self.emulated.fires(defect);
        let mount = self.mount(world)?;
        let epoch = mount.epoch;
        let Some(name) = mount.disk.clone() else { return Ok(()) }; // storage.mount.nothing
        if fires("storage.node.cached") || fires("storage.plugin.cached") {
            mount.cached.extend(pages);
            return Ok(());
        }
        let Some(disk) = world.server.volumes.get_mut(&name) else {
            return self.fence(world);
        };
        if disk.ignored.contains(&epoch) {
            return Ok(());
        }
        if !disk.admitted.contains(&epoch) {
            if fires("storage.fence.late_writes") {
                disk.late.extend(pages);
            }
            return self.fence(world);
        }
        put(disk, pages, fires("storage.server.cached"));
        Ok(())
    }

    fn fence(&self, world: &mut World) -> io::Result<()> {
        self.mount(world)?.broken = Some("fenced: another node has the volume");
        Err(broken())
    }

    fn sync_pages(&self, half: bool) -> io::Result<()> {
        let mut world = self.reach(self.emulated.world())?;
        let mount = self.mount(&mut world)?;
        let mut pages = std::mem::take(&mut mount.dirty);
        if half {
            let offsets: Vec<u64> = pages.keys().copied().collect();
            mount.dirty = pages.split_off(&offsets.get(offsets.len() / 2).copied().unwrap_or(u64::MAX));
        }
        self.store(&mut world, pages)
    }
}

/// Writes pages to a disk, and keeps a snapshot now and then.
pub fn put(disk: &mut Disk, pages: Pages, cached: bool) {
    if cached {
        disk.cache.extend(pages);
    } else {
        disk.pages.extend(pages);
    }
    disk.syncs += 1;
    if disk.syncs.is_multiple_of(SNAPSHOT) {
        disk.snapshot.clone_from(&disk.pages);
    }
}

impl Medium for Mounted {
    fn length(&mut self) -> io::Result<u64> {
        let mut world = self.reach(self.emulated.world())?;
        let end = |pages: &Pages| pages.keys().last().map_or(0, |offset| offset + BLOCK as u64);
        let mount = self.mount(&mut world)?;
        let (here, disk) = (end(&mount.dirty).max(end(&mount.cached)), mount.disk.clone());
        let there = disk
            .and_then(|disk| world.server.volumes.get(&disk))
            .map_or(0, |disk| end(&disk.pages).max(end(&disk.cache)));
        Ok(here.max(there))
    }

    fn read(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let mut world = self.reach(self.emulated.world())?;
        let mount = self.mount(&mut world)?;
        let here = mount.dirty.get(&offset).or_else(|| mount.cached.get(&offset)).cloned();
        let disk = mount.disk.clone().and_then(|disk| world.server.volumes.get(&disk));
        let there = disk.and_then(|disk| disk.cache.get(&offset).or_else(|| disk.pages.get(&offset)).cloned());
        Ok(here.or(there).map_or_else(|| vec![0; BLOCK], |page| page.to_vec()))
    }

    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        let mut world = self.emulated.world();
        let disk = self.mount(&mut world)?.disk.clone();
        let size = disk.and_then(|disk| world.server.volumes.get(&disk)).map_or(u64::MAX, |disk| disk.bytes);
        if offset + BLOCK as u64 > size {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.mount(&mut world)?.dirty.insert(offset, Arc::new(block.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_pages(true)?;
        blocking::pause(self.emulated.timings().sync);
        self.sync_pages(false)
    }

    fn reserve(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut world = self.reach(self.emulated.world())?;
        let mount = self.mount(&mut world)?;
        mount.dirty.split_off(&length);
        let disk = mount.disk.clone().and_then(|disk| world.server.volumes.get_mut(&disk));
        if let Some(disk) = disk {
            disk.pages.split_off(&length);
        }
        Ok(())
    }
}
