//! Processes that crash, as core files and Healthz tell, while all else is as it should be.

use std::sync::Arc;
use std::time::SystemTime;

use super::{At, Defect};
use crate::health::PROCESS;
use crate::shared::SharedChassis;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "switchover.core_left",
        help: "the old active comes back with a core file that it wrote as it fell",
        at: &[At::CameBack(dump_core)],
    },
    Defect {
        name: "load.core_dumped",
        help: "a process of the control processor that takes over, or boots, dumps core",
        at: &[At::ContainersStarted(|chassis, active, fires| {
            if fires() {
                dump_core(chassis, active);
            }
        })],
    },
    Defect {
        name: "load.process_crashed",
        help: "the same process crashes and is started again, as Healthz alone says",
        at: &[At::ContainersStarted(|chassis, active, fires| {
            if fires() {
                chassis.control_processors[active].health.process_crashed(PROCESS);
            }
        })],
    },
];

fn dump_core(chassis: &Arc<SharedChassis>, index: usize) {
    let now = SystemTime::now();
    let pid = 1000 + u32::try_from(crate::state::now() % 30_000).unwrap_or_default();
    if let Err(error) = chassis.control_processors[index].files.dump_core(PROCESS, pid, now) {
        tracing::error!("a defect could not be planted: {error}");
    }
}
