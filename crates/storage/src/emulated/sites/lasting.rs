//! What defects leave on that came and stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::emulated::state::{Disk, Pages, Server};

/// How many writes are between two snapshots.
const SNAPSHOT: u64 = 20;

/// What is left on.
#[derive(Default)]
pub struct Lasting {
    volumes: BTreeMap<String, OfVolume>,
    /// Acknowledged and never sent to the server, by the serial of a mount.
    pub unsent: BTreeMap<u64, Pages>,
    /// How often a mount on a node was repeated.
    repeats: BTreeMap<(String, PathBuf), u64>,
    /// Processes that stand still as their runtime does.
    pub stalled: BTreeSet<u64>,
}

/// Of a volume.
#[derive(Default)]
pub struct OfVolume {
    /// Whether it was taken from a node that could not be asked.
    pub taken: bool,
    /// Writers that are told yes, and whose writes do not count.
    pub ignored: BTreeSet<u64>,
    /// Whoever gets it may not write.
    pub admits_nobody: bool,
    /// Held back from a fenced writer, to land later.
    pub late: Pages,
    /// What the disk holds in place of what it is said to hold.
    unsaved: BTreeMap<u64, Option<Arc<Vec<u8>>>>,
    writes: u64,
    /// How it was some writes ago.
    snapshot: Pages,
}

impl Lasting {
    pub fn of(&mut self, volume: &str) -> &mut OfVolume {
        self.volumes.entry(volume.to_owned()).or_default()
    }

    pub fn is_taken(&self, volume: &str) -> bool {
        self.volumes.get(volume).is_some_and(|volume| volume.taken)
    }

    pub fn snapshot(&self, volume: &str) -> Pages {
        self.volumes.get(volume).map(|volume| volume.snapshot.clone()).unwrap_or_default()
    }

    pub fn count_mount(&mut self, node: &str, target: &Path, repeated: bool) {
        let mount = (node.to_owned(), target.to_owned());
        if repeated {
            *self.repeats.entry(mount).or_default() += 1;
        } else {
            self.repeats.remove(&mount);
        }
    }

    /// What the server acknowledged and did not save is gone.
    pub fn lose_unsaved(&mut self, server: &mut Server) {
        for (id, disk) in &mut server.volumes {
            for (offset, saved) in std::mem::take(&mut self.of(id).unsaved) {
                match saved {
                    Some(page) => drop(disk.pages.insert(offset, page)),
                    None => drop(disk.pages.remove(&offset)),
                }
            }
        }
    }

    /// Whether a mount was repeated that is to be unmounted as often: this unmount is not the last.
    pub fn unmounts_later(&mut self, node: &str, target: &Path) -> bool {
        let Some(repeats) = self.repeats.get_mut(&(node.to_owned(), target.to_owned())) else { return false };
        *repeats = repeats.saturating_sub(1);
        if *repeats == 0 {
            self.repeats.remove(&(node.to_owned(), target.to_owned()));
        }
        true
    }
}

impl OfVolume {
    /// Notes that pages are about to be written to a disk, which saves them or not.
    pub fn note_write(&mut self, disk: &Disk, pages: &Pages, saved: bool) {
        if self.writes.is_multiple_of(SNAPSHOT) {
            self.snapshot.clone_from(&disk.pages);
        }
        self.writes += 1;
        for offset in pages.keys() {
            if saved {
                self.unsaved.remove(offset);
            } else {
                self.unsaved.entry(*offset).or_insert_with(|| disk.pages.get(offset).cloned());
            }
        }
    }
}
