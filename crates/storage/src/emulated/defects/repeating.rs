//! What is done already, and refused where it is asked for a second time.

use super::{At, Defect, Step};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.attach.repeat_refused",
        help: "a second attach to the same node is ALREADY_EXISTS",
        at: &[At::Skip(Step::RepeatAttach)],
    },
    Defect {
        name: "storage.stage.repeat_refused",
        help: "a second stage is ALREADY_EXISTS",
        at: &[At::Skip(Step::RepeatStage)],
    },
    Defect {
        name: "storage.mount.repeat_refused",
        help: "a second mount at the same path is ALREADY_EXISTS",
        at: &[At::Skip(Step::RepeatMount)],
    },
    Defect {
        name: "storage.unmount.repeat_refused",
        help: "a second unmount is NOT_FOUND, though the volume is there",
        at: &[At::Skip(Step::RepeatUnmount)],
    },
    Defect {
        name: "storage.unstage.repeat_refused",
        help: "a second unstage is NOT_FOUND, though the volume is there",
        at: &[At::Skip(Step::RepeatUnstage)],
    },
    Defect {
        name: "storage.detach.repeat_refused",
        help: "a second detach is NOT_FOUND, though the volume is there",
        at: &[At::Skip(Step::RepeatDetach)],
    },
    Defect {
        name: "storage.remove.repeat_refused",
        help: "a second removal is NOT_FOUND",
        at: &[At::Skip(Step::RepeatRemove)],
    },
];
