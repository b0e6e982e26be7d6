//! Volumes that a node keeps.

use super::{At, Defect, Keeps};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.detach.leaked",
        help: "a volume stays attached though its node gave it back",
        at: &[At::Detach(|node, volume| (!node.mounts.contains_key(volume)).then_some(Keeps::Silently))],
    },
    Defect {
        name: "storage.detach.refused_for_dead",
        help: "a volume stays with a node that is powered off",
        at: &[At::Detach(|node, _| (!node.powered).then_some(Keeps::Because("it may come back")))],
    },
    Defect {
        name: "storage.detach.waits_for_control",
        help: "a volume is not taken from a node that answers over the control network",
        at: &[At::Detach(|node, volume| {
            let answers = node.powered && node.control && node.mounts.contains_key(volume);
            answers.then_some(Keeps::Because("it answers"))
        })],
    },
    Defect {
        name: "storage.detach.waits_for_unmount",
        help: "a volume is not taken from a node whose unmount was lost",
        at: &[At::Detach(|node, volume| {
            (node.powered && node.mounts.contains_key(volume)).then_some(Keeps::Because("it is mounted there"))
        })],
    },
];
