//! The healthy ways of the emulated provider, by name: what other providers do too, and rightly. Whoever is in any of
//! them passes each scenario, or is not asked.

use std::time::Duration;

use crate::csi::{Reach, Ways};

/// One of them.
pub struct Personality {
    /// As it is asked for.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// How.
    pub take: fn(&mut Ways),
}

const GIBIBYTE: u64 = 1 << 30;

/// All there are.
pub const PERSONALITIES: &[Personality] = &[
    Personality {
        name: "rounds-sizes",
        help: "a volume's size is a multiple of 1 GiB: what is asked for is rounded up",
        take: |ways| ways.rounds_to = GIBIBYTE,
    },
    Personality {
        name: "minimum",
        help: "a volume has 1 GiB at least: less is OUT_OF_RANGE, and GetCapacity tells it",
        take: |ways| (ways.minimum, ways.tells_minimum) = (GIBIBYTE, true),
    },
    Personality {
        name: "minimum-untold",
        help: "a volume has 1 GiB at least: less is OUT_OF_RANGE, and that is how one learns it",
        take: |ways| ways.minimum = GIBIBYTE,
    },
    Personality {
        name: "capacity-unknown",
        help: "the size of a volume is not reported: capacity_bytes is 0",
        take: |ways| ways.tells_capacity = false,
    },
    Personality {
        name: "strict-single-writer",
        help: "a volume for SINGLE_NODE_WRITER is published at one path of its node: a second is FAILED_PRECONDITION",
        take: |ways| ways.one_path = true,
    },
    Personality {
        name: "multi-writer",
        help: "the same, and SINGLE_NODE_MULTI_WRITER is offered for more paths",
        take: |ways| (ways.one_path, ways.multi_writer) = (true, true),
    },
    Personality {
        name: "one-controller",
        help: "one controller for all nodes, on a socket of its own; the nodes' plugins have none",
        take: |ways| ways.one_controller = true,
    },
    Personality {
        name: "zones",
        help: "volumes are of a zone, which all nodes are in: topology is reported and heeded",
        take: |ways| ways.reach = Reach::Zone,
    },
    Personality {
        name: "node-topology",
        help: "a volume is accessible from the node alone that it was made for",
        take: |ways| ways.reach = Reach::Node,
    },
    Personality {
        name: "slow-calls",
        help: "CreateVolume takes 0.3 s, each other call a tenth of that",
        take: |ways| ways.slow = Duration::from_millis(300),
    },
    Personality {
        name: "pending-calls",
        help: "each call is answered ABORTED, then UNAVAILABLE, before it is done",
        take: |ways| ways.pending = 2,
    },
    Personality {
        name: "starts-slowly",
        help: "Probe answers FAILED_PRECONDITION, then ready=false, before the plugin is ready",
        take: |ways| ways.starting = 3,
    },
    Personality {
        name: "confirms-all-parameters",
        help: "ValidateVolumeCapabilities confirms all parameters in force, its own among them",
        take: |ways| ways.confirms_all = true,
    },
    Personality {
        name: "expands-offline",
        help: "a volume is made larger only while no node has it: FAILED_PRECONDITION else",
        take: |ways| ways.expands_in_use = false,
    },
    Personality {
        name: "snapshots-settle",
        help: "a snapshot that was taken is not ready_to_use at first",
        take: |ways| ways.settling = 3,
    },
    Personality { name: "no-list", help: "without LIST_VOLUMES", take: |ways| ways.lists = false },
    Personality {
        name: "no-attach",
        help: "without PUBLISH_UNPUBLISH_VOLUME: a volume is taken where it is mounted",
        take: |ways| ways.attaches = false,
    },
    Personality {
        name: "no-stage",
        help: "without STAGE_UNSTAGE_VOLUME: a volume is mounted at its target at once",
        take: |ways| ways.stages = false,
    },
];

/// The ways of all that are named; the name that there is not.
pub fn ways(names: &[String]) -> Result<Ways, String> {
    let mut ways = Ways::default();
    for name in names {
        let known = PERSONALITIES.iter().find(|each| each.name == name).ok_or_else(|| name.clone())?;
        (known.take)(&mut ways);
    }
    Ok(ways)
}
