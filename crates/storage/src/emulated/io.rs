//! Reading and writing on a node: through its kernel, over the storage network, to the server.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::state::{EmulatedState, Mount, Pages};
use super::world::Emulated;
use holdfast_ledger::{BLOCK, Medium};
use holdfast_net::waiting::blocking;

/// What a process is told that is no more; nobody hears it.
pub const KILLED: &str = "killed";

/// A task's ledger on a volume that its node has mounted.
pub struct Mounted {
    pub emulated: Emulated,
    pub node: String,
    pub volume: String,
    /// Of the mount that it was opened on.
    pub serial: u64,
    /// Of the process; None for one that only reads.
    pub process: Option<u64>,
    /// Whether it is mounted for reading alone.
    pub read_only: bool,
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;

fn broken() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

/// Nobody is left who could be told.
fn killed() -> io::Error {
    io::Error::other(KILLED)
}

impl Mounted {
    /// The mount, unless the process may not or cannot go on with it.
    fn mount<'a>(&self, world: &'a mut EmulatedState) -> io::Result<&'a mut Mount> {
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

    fn reaches(&self, world: &EmulatedState) -> bool {
        world.server.up && world.nodes.get(&self.node).is_some_and(|node| node.storage)
    }

    fn stands_still(&self, world: &EmulatedState) -> bool {
        world.nodes.get(&self.node).is_some_and(|node| self.emulated.defects().stands_still(node, self.process))
    }

    /// Waits until the server can be reached over the storage network; an error once the kernel's patience is at its end.
    fn reach<'a>(
        &'a self,
        mut world: std::sync::MutexGuard<'a, EmulatedState>,
    ) -> io::Result<std::sync::MutexGuard<'a, EmulatedState>> {
        let end = Instant::now() + self.emulated.timings().patience;
        loop {
            self.mount(&mut world)?;
            if self.stands_still(&world) {
                world = self.emulated.pause(world, self.emulated.timings().patience);
                continue;
            }
            if self.reaches(&world) {
                return Ok(world);
            }
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                self.mount(&mut world)?.broken = Some("the storage network was away for too long");
                return Err(broken());
            };
            world = self.emulated.pause(world, left);
        }
    }

    fn may_write(&self) -> io::Result<()> {
        if self.read_only { Err(io::Error::from_raw_os_error(EROFS)) } else { Ok(()) }
    }

    /// Where the writes of this node's kernel go.
    fn store(&self, world: &mut EmulatedState, pages: Pages) -> io::Result<()> {
        let defects = self.emulated.defects();
        let mount = self.mount(world)?;
        let epoch = mount.epoch;
        let Some(volume) = mount.disk.clone() else { return Ok(()) };
        if defects.holds_back(mount.serial, &pages) {
            return Ok(());
        }
        let Some(disk) = world.server.volumes.get_mut(&volume) else {
            return self.fence(world);
        };
        if !disk.admitted.contains(&epoch) {
            return if defects.ignores(&volume, epoch, pages) { Ok(()) } else { self.fence(world) };
        }
        defects.write(&volume, disk, &pages);
        disk.pages.extend(pages);
        Ok(())
    }

    fn fence(&self, world: &mut EmulatedState) -> io::Result<()> {
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

fn last(pages: &Pages) -> Option<u64> {
    pages.keys().last().copied()
}

impl Medium for Mounted {
    fn length(&mut self) -> io::Result<u64> {
        let mut world = self.reach(self.emulated.world())?;
        let mount = self.mount(&mut world)?;
        let here = last(&mount.dirty).max(self.emulated.defects().last_held_back(mount.serial));
        let disk = mount.disk.clone().and_then(|disk| world.server.volumes.get(&disk));
        let there = disk.and_then(|disk| last(&disk.pages));
        Ok(here.max(there).map_or(0, |offset| offset + BLOCK as u64))
    }

    fn read(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let mut world = self.reach(self.emulated.world())?;
        let mount = self.mount(&mut world)?;
        let held_back = || self.emulated.defects().held_back(mount.serial, offset);
        let here = mount.dirty.get(&offset).cloned().or_else(held_back);
        let disk = mount.disk.clone().and_then(|disk| world.server.volumes.get(&disk));
        let there = disk.and_then(|disk| disk.pages.get(&offset).cloned());
        Ok(here.or(there).map_or_else(|| vec![0; BLOCK], |page| page.to_vec()))
    }

    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        self.may_write()?;
        let mut world = self.emulated.world();
        let disk = self.mount(&mut world)?.disk.clone();
        let size = disk.and_then(|disk| world.server.volumes.get(&disk)).map_or(u64::MAX, |disk| disk.usable);
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
        self.may_write()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.may_write()?;
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
