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
        name: "storage.mount.read_only_ignored",
        help: "a mount for reading alone can be written",
        at: &[At::Skip(Step::MountReadOnly)],
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
    Defect {
        name: "storage.unmount.takes_all",
        help: "an unmount for one task takes the mounts of all",
        at: &[At::Skip(Step::KeepOtherTasks)],
    },
    Defect {
        name: "storage.unmount.ids_are_a_set",
        help: "two mounts by one id of Docker's are undone by one unmount",
        at: &[At::Skip(Step::CountIds)],
    },
    Defect {
        name: "storage.unmount.staging_left",
        help: "a volume that nobody uses stays mounted",
        at: &[At::Skip(Step::Unstage)],
    },
    Defect {
        name: "storage.unmount.own_mount_left",
        help: "what the plugin mounted at a place of its own stays there",
        at: &[At::Skip(Step::UnmountOwn)],
    },
];
