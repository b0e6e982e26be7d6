//! Data that is acknowledged before it is safe, and volumes that are lost.

use super::{At, Defect, Step};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.node.cached",
        help: "data is acknowledged from a cache of the node's, and uploaded at the unmount",
        at: &[At::Skip(Step::Send)],
    },
    Defect {
        name: "storage.server.cached",
        help: "data is acknowledged from a cache of the server's",
        at: &[At::Skip(Step::Save)],
    },
    Defect {
        name: "storage.server.volume_lost",
        help: "a volume is gone after the server started again",
        at: &[At::ServerKilled(|server| {
            if let Some(first) = server.volumes.first_entry().filter(|first| !first.get().attached.is_empty()) {
                first.remove();
            }
        })],
    },
];
