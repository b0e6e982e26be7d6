//! Volumes that are created otherwise than asked for.

use super::{At, Defect, Step};
use crate::emulated::state::{Disk, EmulatedState};
use crate::volumes::VolumeRequest;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.create.parameters_ignored",
        help: "a volume is made without the parameters asked for",
        at: &[At::NewDisk(|disk| disk.parameters.clear())],
    },
    Defect {
        name: "storage.create.size_smaller",
        help: "a volume is smaller than asked for",
        at: &[At::NewDisk(|disk| disk.bytes /= 2)],
    },
    Defect {
        name: "storage.create.conflict_accepted",
        help: "the same name with another size is accepted",
        at: &[At::Skip(Step::RefuseConflict)],
    },
    Defect {
        name: "storage.create.nonsense_accepted",
        help: "a parameter that does not exist is accepted",
        at: &[At::Skip(Step::RefuseUnknownParameter)],
    },
    Defect {
        name: "storage.create.twice",
        help: "the same name again makes a second volume",
        at: &[At::Skip(Step::FindByName)],
    },
    Defect {
        name: "storage.create.pretends",
        help: "a volume is created while the plugin is down, and is not there later",
        at: &[At::UnheardCreate(|request| Disk::new(request.clone()).volume("volume-0"))],
    },
    Defect {
        name: "storage.create.unconfirmed",
        help: "what was made is not confirmed when it is asked about",
        at: &[At::Skip(Step::Confirm)],
    },
    Defect {
        name: "storage.create.half_made",
        help: "a create that failed leaves a volume",
        at: &[At::FailedCreate(leave)],
    },
];

fn leave(world: &mut EmulatedState, request: &VolumeRequest) {
    if world.server.volumes.values().all(|disk| disk.request.name != request.name) {
        world.add(Disk::new(request.clone()));
    }
}
