//! What becomes of volumes and of what they hold when a new active loads.

use std::io;
use std::path::Path;

use super::load_image::{bring_back_late, removed_from};
use super::{At, Defect, Fires};
use crate::store::{Inventory, Removed, Store};
use holdfast_ledger as ledger;

/// How many bytes `load.volume.truncated` cuts off: more than what was being written when the active fell, which
/// nobody acknowledged, and which may be lost.
const TRUNCATED: usize = 3 * ledger::BLOCK + 1000;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "load.volume.lost",
        help: "a volume is gone when a new active loads",
        at: &[At::Failpoint("load.volume", "drop")],
    },
    Defect {
        name: "load.volume.options_lost",
        help: "a volume has lost its driver options and labels when a new active loads",
        at: &[At::Failpoint("load.volume", r#"return{"options": {}, "labels": {}, "driver": "unknown"}"#)],
    },
    Defect {
        name: "load.volume.mounted_elsewhere",
        help: "a container's volume is mounted at another path when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            for container in held.containers.iter_mut().filter(|_| fires()) {
                container.mounts.values_mut().for_each(|path| path.push_str("-elsewhere"));
            }
            Ok(())
        })],
    },
    Defect {
        name: "load.volume.read_only",
        help: "a container's volume is mounted read-only when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"read_only": true}"#)],
    },
    Defect {
        name: "load.volume.truncated",
        help: "a volume's files have lost their last bytes when a new active loads",
        at: &[At::ObjectsLoaded(|store, held, fires| {
            spoil(store, held, fires, |path, bytes| {
                std::fs::write(path, &bytes[..bytes.len().saturating_sub(TRUNCATED)])
            })
        })],
    },
    Defect {
        name: "load.volume.bit_flipped",
        help: "a bit of a volume's files is another when a new active loads",
        at: &[At::ObjectsLoaded(|store, held, fires| spoil(store, held, fires, flip_bit))],
    },
    Defect {
        name: "load.volume.emptied",
        help: "a volume is empty when a new active loads",
        at: &[At::ObjectsLoaded(|store, held, fires| spoil(store, held, fires, |path, _| std::fs::remove_file(path)))],
    },
    Defect {
        name: "load.volume.rolled_back",
        help: "a volume's files have lost their second half when a new active loads",
        at: &[At::ObjectsLoaded(|store, held, fires| {
            spoil(store, held, fires, |path, bytes| {
                std::fs::write(path, &bytes[..bytes.len() / ledger::BLOCK / 2 * ledger::BLOCK])
            })
        })],
    },
    Defect {
        name: "load.volume.resurrected",
        help: "a removed volume is back when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            held.volumes.extend(held.removed.volumes.iter().filter(|_| fires()).cloned());
            Ok(())
        })],
    },
    Defect {
        name: "load.volume.resurrected_late",
        help: "a removed volume is back two seconds after a new active loaded",
        at: &[At::ContainersStarted(|chassis, active, fires| {
            let mut back = removed_from(chassis, active);
            back.volumes.retain(|_| fires());
            bring_back_late(chassis, active, Removed { volumes: back.volumes, ..Removed::default() });
        })],
    },
];

/// Does something to each file of each volume that it shows on.
fn spoil(
    store: &Store,
    held: &Inventory,
    fires: Fires<'_>,
    how: impl Fn(&Path, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut spoilt = held.volumes.iter().filter(|_| fires());
    spoilt.try_for_each(|volume| store.for_each_file(&volume.name, &how))
}

fn flip_bit(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    std::fs::write(path, bytes)
}
