//! Expansions, snapshots, copies, devices and statistics that are not what they are said to be.

use std::collections::BTreeMap;

use super::{At, Defect, Step};
use crate::emulated::state::{EmulatedState, Pages};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.expand.not_grown",
        help: "a volume is said to be larger, and its file system is not",
        at: &[At::Skip(Step::GrowFilesystem)],
    },
    Defect {
        name: "storage.expand.shrinks",
        help: "an expansion to less than there is makes a volume smaller",
        at: &[At::Skip(Step::KeepLarger)],
    },
    Defect {
        name: "storage.expand.data_lost",
        help: "an expansion makes a new file system over the old one",
        at: &[At::Expanded(|world, volume| {
            if let Some(disk) = world.server.volumes.get_mut(volume) {
                disk.pages.clear();
            }
        })],
    },
    Defect {
        name: "storage.expand.disturbs",
        help: "an expansion gives an I/O error to who writes",
        at: &[At::Expanded(break_mounts)],
    },
    Defect {
        name: "storage.snapshot.older",
        help: "a snapshot does not have the last writes that were acknowledged",
        at: &[At::Snapshot(Pages::clone_from)],
    },
    Defect {
        name: "storage.snapshot.empty",
        help: "a snapshot is empty",
        at: &[At::Snapshot(|pages, _| pages.clear())],
    },
    Defect {
        name: "storage.snapshot.later",
        help: "a snapshot is taken only once a volume is made from it",
        at: &[At::Restored(Pages::clone_from)],
    },
    Defect {
        name: "storage.snapshot.mixed",
        help: "a snapshot is copied while it is written: its parts are of different moments",
        at: &[At::Restored(mix)],
    },
    Defect {
        name: "storage.snapshot.disturbs",
        help: "a snapshot gives an I/O error to who writes",
        at: &[At::SnapshotTaken(break_mounts)],
    },
    Defect {
        name: "storage.snapshot.conflict_accepted",
        help: "the name of a snapshot of another volume is accepted",
        at: &[At::Skip(Step::RefuseSnapshotConflict)],
    },
    Defect { name: "storage.clone.empty", help: "a copy is empty", at: &[At::Cloned(Pages::clear)] },
    Defect {
        name: "storage.clone.shares",
        help: "a copy and its source are one disk",
        at: &[At::Skip(Step::CopyPages)],
    },
    Defect {
        name: "storage.block.smaller",
        help: "a device is smaller than asked for",
        at: &[At::NewDisk(|disk| {
            if disk.request.block {
                disk.bytes /= 2;
            }
        })],
    },
    Defect {
        name: "storage.block.formatted",
        help: "a device gets a new file system on each node that it comes to",
        at: &[At::BlockStaged(BTreeMap::clear)],
    },
    Defect {
        name: "storage.statistics.still",
        help: "what is counted on a volume never changes",
        at: &[At::Counted(|statistics| {
            if let Some(bytes) = &mut statistics.bytes {
                (bytes.used, bytes.available) = (0, bytes.total);
            }
        })],
    },
    Defect {
        name: "storage.statistics.of_another",
        help: "the disk below is counted, not the volume",
        at: &[At::Counted(|statistics| {
            if let Some(bytes) = &mut statistics.bytes {
                bytes.total *= 16;
                bytes.available = bytes.total - bytes.used;
            }
        })],
    },
    Defect {
        name: "storage.statistics.unknown_accepted",
        help: "what is on a volume is counted where it is not mounted",
        at: &[At::Skip(Step::RefuseUnknownPath)],
    },
    Defect {
        name: "storage.condition.abnormal",
        help: "a volume that is well is said to be abnormal",
        at: &[At::Counted(|statistics| {
            if let Some(condition) = &mut statistics.condition {
                condition.abnormal = true;
                "degraded".clone_into(&mut condition.message);
            }
        })],
    },
];

fn break_mounts(world: &mut EmulatedState, volume: &str) {
    for node in world.nodes.values_mut() {
        if let Some(mount) = node.mounts.get_mut(volume) {
            mount.broken = Some("its disk was away");
        }
    }
}

/// Every second page as it is now, and the rest as it was.
fn mix(pages: &mut Pages, now: &Pages) {
    let second = now.iter().skip(1).step_by(2);
    pages.extend(second.map(|(offset, page)| (*offset, page.clone())));
}
