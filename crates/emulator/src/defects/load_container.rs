//! What becomes of containers when a new active loads.

use std::sync::Arc;
use std::time::Duration;

use super::load_image::{bring_back_late, removed_from};
use super::switchover::first_record_of_another;
use super::{At, Defect, Fires, before_the_standby_is_back};
use crate::loading::{Start, start_containers};
use crate::runtime::Stop;
use crate::shared::SharedChassis;
use crate::store::Removed;
use holdfast_net::waiting::pause;

/// After how long a container is started once more.
const SOON: Duration = Duration::from_millis(500);

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "load.container.lost",
        help: "a container is gone when a new active loads",
        at: &[At::Failpoint("load.container", "drop")],
    },
    Defect {
        name: "load.container.stopped",
        help: "a container is stopped when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"wanted": "Stopped"}"#)],
    },
    Defect {
        name: "load.container.restarting",
        help: "a container restarts for ever when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"ailment": "Restarting"}"#)],
    },
    Defect {
        name: "load.container.mute",
        help: "a container is listed as running and does not answer",
        at: &[At::Failpoint("load.container", r#"return{"ailment": "Mute"}"#)],
    },
    Defect {
        name: "load.container.replaced",
        help: "a container is of another image when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"image": ["impostor", "latest"], "image_id": "sha256:0bad"}"#)],
    },
    Defect {
        name: "load.container.renamed",
        help: "a container has another name when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            held.containers.iter_mut().filter(|_| fires()).for_each(|container| container.name.push_str("_1"));
            Ok(())
        })],
    },
    Defect {
        name: "load.container.duplicated",
        help: "a container is there twice when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            let twice: Vec<_> = held.containers.iter().filter(|_| fires()).cloned().collect();
            held.containers.extend(twice);
            Ok(())
        })],
    },
    Defect {
        name: "load.container.restarted_late",
        help: "a container is started once more after it wrote on a new active, before the standby is back",
        at: &[At::ContainersStarted(restart_late)],
    },
    Defect {
        name: "load.container.ports_lost",
        help: "a container has lost its published ports when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"ports": [], "host_network": false}"#)],
    },
    Defect {
        name: "load.container.environment_lost",
        help: "a container has lost its environment when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"environment": {}}"#)],
    },
    Defect {
        name: "load.container.policy_lost",
        help: "a container has lost its restart policy when a new active loads",
        at: &[At::Failpoint("load.container", r#"return{"restart": "None"}"#)],
    },
    Defect {
        name: "load.container.location_wrong",
        help: "a container is labelled as running on the backup when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            for container in held.containers.iter_mut().filter(|_| fires()) {
                for (label, value) in [("intended", "L_PRIMARY"), ("actual", "L_BACKUP")] {
                    let label = format!("net.openconfig.containerz.location.{label}");
                    container.labels.insert(label, value.to_owned());
                }
            }
            Ok(())
        })],
    },
    Defect {
        name: "load.container.resurrected",
        help: "a removed container is back when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            held.containers.extend(held.removed.containers.iter().filter(|_| fires()).cloned());
            Ok(())
        })],
    },
    Defect {
        name: "load.container.resurrected_late",
        help: "a removed container is back two seconds after a new active loaded",
        at: &[At::ContainersStarted(|chassis, active, fires| {
            let mut back = removed_from(chassis, active);
            back.containers.retain(|_| fires());
            bring_back_late(chassis, active, Removed { containers: back.containers, ..Removed::default() });
        })],
    },
];

fn restart_late(chassis: &Arc<SharedChassis>, active: usize, fires: Fires<'_>) {
    let held = chassis.control_processors[active].store.inventory().containers;
    let again: Vec<_> = held.into_iter().map(|container| container.name).filter(|_| fires()).collect();
    if again.is_empty() {
        return;
    }
    let later = chassis.clone();
    before_the_standby_is_back(chassis, async move {
        pause(SOON).await;
        let control_processor = &later.control_processors[active];
        for container in control_processor.store.inventory().containers {
            first_record_of_another(&control_processor.store, &container).await; // a start that nobody saw is no defect
        }
        for name in again {
            let _ = control_processor.runtime.stop(&name, Stop::AtOnce).await; // one that goes on is no defect
        }
        start_containers(&later, active, Start::Switchover).await;
    });
}
