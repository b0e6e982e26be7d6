//! Loading: a control processor's container runtime comes up with what its store holds.

use std::sync::Arc;

use super::faults::Faults;
use super::replication;
use super::shared::{ControlProcessor, SharedChassis};
use super::state::State;
use super::store::{Container, Inventory, Restart, Wanted};
use holdfast_net::waiting::pause;

/// Why containers start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The runtime moved to the other control processor: what ran runs.
    Switchover,
    /// Everything was off: restart policies decide.
    Reboot,
}

/// The new active's runtime comes up.
pub async fn load(chassis: &Arc<SharedChassis>, active: usize, start: Start) {
    pause(chassis.settings.timings.load).await;
    load_objects(&chassis.control_processors[active]).await;
    chassis.defects.objects_loaded(&chassis.control_processors[active].store);
    start_containers(chassis, active, start).await;
    chassis.defects.containers_started(chassis, active);
    chassis.transition(State::loaded);
}

/// Each object passes its step on its way into the new active's runtime.
async fn load_objects(control_processor: &ControlProcessor) {
    if control_processor.faults.is_idle() {
        return;
    }
    let held = control_processor.store.inventory();
    let loaded = load_all(&control_processor.faults, held.clone()).await;
    let changed = control_processor.store.change(|inventory| {
        if loaded != held {
            *inventory = loaded;
        }
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = changed {
        tracing::error!("what was loaded could not be stored: {error}");
    }
}

async fn load_all(faults: &Faults, held: Inventory) -> Inventory {
    let mut loaded = Inventory { plugin_tars: held.plugin_tars, removed: held.removed, ..Inventory::default() };
    for image in held.images {
        loaded.images.extend(faults.object("load.image", image, false).await);
    }
    for container in held.containers {
        loaded.containers.extend(faults.object("load.container", container, false).await);
    }
    for volume in held.volumes {
        loaded.volumes.extend(faults.object("load.volume", volume, false).await);
    }
    for plugin in held.plugins {
        loaded.plugins.extend(faults.object("load.plugin", plugin, false).await);
    }
    loaded
}

/// Starts what shall run on `active` now.
pub async fn start_containers(chassis: &Arc<SharedChassis>, active: usize, start: Start) {
    let control_processor = &chassis.control_processors[active];
    for container in control_processor.store.inventory().containers {
        if control_processor.runtime.runs(&container.name).await.unwrap_or(false) {
            continue;
        }
        let wanted = container.wanted;
        let runs = match (start, container.restart) {
            (Start::Switchover, _) | (Start::Reboot, Restart::UnlessStopped) => wanted == Wanted::Running,
            (Start::Reboot, Restart::Always) => wanted != Wanted::Created,
            (Start::Reboot, Restart::None | Restart::OnFailure) => false,
        };
        if runs && let Err(error) = control_processor.start(&container).await {
            tracing::error!("container {} does not start: {error}", container.name);
            continue;
        }
        let changed = control_processor.store.change(|held| {
            if let Some(known) = held.container_mut(&container.name) {
                known.wanted = if runs {
                    Wanted::Running
                } else if wanted == Wanted::Created {
                    wanted
                } else {
                    Wanted::Stopped
                };
                if runs {
                    known.log.push(listening_line(known));
                }
            }
            Ok::<_, std::io::Error>(())
        });
        if let Err(error) = changed {
            tracing::error!("container {}: {error}", container.name);
        }
    }
}

/// Notes which containers of a control processor ended by themselves: what does not run is not started by whoever takes
/// over, but for what its policy says at a reboot.
pub async fn note_endings(chassis: Arc<SharedChassis>, index: usize) {
    let control_processor = &chassis.control_processors[index];
    loop {
        let name = control_processor.runtime.next_ending().await;
        let noted = control_processor.store.change(|held| {
            if let Some(container) = held.container_mut(&name).filter(|container| container.wanted == Wanted::Running) {
                container.wanted = Wanted::Stopped;
            }
            Ok::<_, std::io::Error>(())
        });
        match noted {
            Ok(()) => replication::announce_change(&chassis),
            Err(error) => tracing::error!("container {name}: {error}"),
        }
    }
}

/// What the test container logs when it serves.
pub fn listening_line(container: &Container) -> String {
    format!("cntrsrv listening on [::]:{} (emulated, in {})", holdfast_cntrsrv::DEFAULT_PORT, container.name)
}
