//! Nodes that may write though they lost a volume, and others that may not though they got it.

use super::lasting::OfVolume;
use super::{At, Defect, Defects, Step};
use crate::emulated::state::{Node, Pages, Server};

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

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.fence.none",
        help: "the node that lost a volume may still write to it",
        at: &[At::Fence(|fencing, fires| fencing.fenced &= !fires())],
    },
    Defect {
        name: "storage.fence.wrong",
        help: "the new writer is fenced instead of the old one",
        at: &[At::Fence(|fencing, fires| {
            if fencing.fenced && fires() {
                (fencing.fenced, fencing.lasting.admits_nobody) = (false, true);
            }
        })],
    },
    Defect {
        name: "storage.fence.swallowed",
        help: "a fenced writer is told that its records are written",
        at: &[At::Fence(|fencing, fires| {
            if fencing.fenced && fires() {
                fencing.lasting.ignored.insert(fencing.epoch);
            }
        })],
    },
    Defect {
        name: "storage.fence.late_writes",
        help: "what a fenced writer had under way lands after it is back",
        at: &[At::Skip(Step::DropFenced)],
    },
    Defect {
        name: "storage.fence.by_absence",
        help: "only a node that is away from the control network is fenced",
        at: &[At::Fence(|fencing, fires| fencing.fenced &= fencing.away || !fires())],
    },
];

impl Defects {
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
    pub(super) fn land(&self, server: &mut Server, volume: &str) {
        if let Some(disk) = server.volumes.get_mut(volume) {
            disk.pages.append(&mut self.lasting().of(volume).late);
        }
    }
}
