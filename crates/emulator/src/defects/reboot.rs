//! Reboots that are none, or not of the whole chassis.

use super::{At, Defect};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "reboot.ignored",
        help: "answers with success and does nothing",
        at: &[At::Failpoint("system.Reboot", "return{}")],
    },
    Defect {
        name: "reboot.one_card",
        help: "reboots the active control processor alone",
        at: &[At::Reboots(|active, falling| falling.retain(|index| *index == active))],
    },
];
