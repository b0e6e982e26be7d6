//! Mounts that are none, and unmounts that are too many or too few.

use super::{At, Defect, Step};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.mount.nothing",
        help: "a mount succeeds with nothing behind it",
        at: &[At::NewMount(|mount| mount.disk = None)],
    },
    Defect {
        name: "storage.mount.swallowed",
        help: "a mount that a plugin never made succeeds",
        at: &[At::Skip(Step::AwaitPlugin)],
    },
    Defect {
        name: "storage.unmount.counted_up",
        help: "a mount that is repeated must be unmounted as often",
        at: &[At::Skip(Step::ForgetRepeats)],
    },
    Defect {
        name: "storage.unmount.counted_down",
        help: "an unmount that is repeated takes the mount from another task",
        at: &[At::RepeatedUnmount(|node, volume| {
            node.known.entry(volume.to_owned()).or_default().clear();
            node.mounts.remove(volume);
        })],
    },
];
