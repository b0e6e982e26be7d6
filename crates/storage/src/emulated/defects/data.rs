//! Data that is acknowledged before it is safe, and volumes that are lost.

use std::sync::Arc;

use super::{At, Defect, Defects, Step};
use crate::emulated::state::{Disk, Mount, Pages, Server};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.node.cached",
        help: "data is acknowledged from a cache of the node's, and uploaded at the unmount",
        at: &[At::Skip(Step::Send)],
    },
    Defect {
        name: "storage.server.cached",
        help: "data is acknowledged from a cache of the server's",
        at: &[At::Skip(Step::Save)],
    },
    Defect {
        name: "storage.server.volume_lost",
        help: "a volume is gone after the server started again",
        at: &[At::ServerKilled(|server| {
            if let Some(first) = server.volumes.first_entry().filter(|first| !first.get().attached.is_empty()) {
                first.remove();
            }
        })],
    },
];

impl Defects {
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
}
