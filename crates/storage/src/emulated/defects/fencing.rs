//! Nodes that may write though they lost a volume, and others that may not though they got it.

use super::{At, Defect, Step};

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
