//! Runtimes whose death is not what it must be to their tasks.

use std::path::PathBuf;

use super::{At, Defect, Step};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.runtime.unnoticed",
        help: "a task that died with its runtime is reported as running",
        at: &[At::Skip(Step::NoticeDeath)],
    },
    Defect {
        name: "storage.runtime.task_kept",
        help: "a task outlives its runtime, which starts another",
        at: &[At::Skip(Step::EndTasks)],
    },
    Defect {
        name: "storage.runtime.volume_kept",
        help: "the volume of a task that died with its runtime stays mounted",
        at: &[At::RuntimeDied(|node| {
            for targets in node.known.values_mut() {
                targets.insert(PathBuf::from("the runtime"));
            }
        })],
    },
    Defect {
        name: "storage.live_restore.restarts",
        help: "a runtime with live restore starts its tasks anew",
        at: &[At::LiveRestored(|node, _| node.kill_processes())],
    },
    Defect {
        name: "storage.live_restore.remounts",
        help: "a runtime with live restore mounts its tasks' volumes anew",
        at: &[At::LiveRestored(|node, number| node.mounts.values_mut().for_each(|mount| mount.serial = number))],
    },
    Defect {
        name: "storage.live_restore.stalls",
        help: "tasks stand still until a runtime with live restore is back",
        at: &[At::TasksLeft(|lasting, node| lasting.stalled.extend(node.processes.keys()))],
    },
];
