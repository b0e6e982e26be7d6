//! Plugins that must not die.

use super::{At, Defect, Step};
use crate::emulated::state::Health;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.plugin.restart_drops_mounts",
        help: "a plugin that starts again drops the mounts there are",
        at: &[At::PluginStarted(|node, before| {
            if before == Health::Dead {
                node.mounts.clear();
            }
        })],
    },
    Defect {
        name: "storage.plugin.restart_forgets_mounts",
        help: "a plugin that starts again does not know its mounts, and leaves them",
        at: &[
            At::PluginStarted(|node, before| {
                if before == Health::Dead {
                    node.known.clear();
                }
            }),
            At::Skip(Step::UnmountUnknown),
        ],
    },
    Defect {
        name: "storage.plugin.restart_stacks_mounts",
        help: "a plugin that starts again mounts over what is mounted, and unmounts one of the two",
        at: &[
            At::PluginStarted(|node, before| {
                if before == Health::Dead {
                    node.known.clear();
                }
            }),
            At::Skip(Step::CountMounts),
        ],
    },
    Defect {
        name: "storage.plugin.trusts_database",
        help: "after a power cut a database says what is mounted, and the mount succeeds with nothing behind it",
        at: &[At::Skip(Step::LookAtMounts)],
    },
    Defect {
        name: "storage.plugin.in_data_path",
        help: "no data flows while the plugin is down",
        at: &[At::Reach(|node| node.plugin != Health::Running)],
    },
    Defect {
        name: "storage.plugin.cached",
        help: "data is acknowledged from a cache of the plugin's",
        at: &[
            At::Skip(Step::Send),
            At::PluginKilled(|lasting, node| {
                node.mounts.values().for_each(|mount| drop(lasting.unsent.remove(&mount.serial)));
            }),
        ],
    },
    Defect {
        name: "storage.plugin.stuck",
        help: "a plugin that hung answers nothing any more",
        at: &[At::PluginStarted(|node, before| {
            if before == Health::Hung {
                node.plugin = Health::Hung;
            }
        })],
    },
];
