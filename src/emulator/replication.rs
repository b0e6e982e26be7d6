//! Replication: what the active has, the standby gets.

use std::sync::Arc;

use tokio::time::sleep;

use super::chassis::Inner;
use super::faults::Faults;
use super::store::Inventory;

/// Copies each change from the active to the standby, for as long as the chassis lives.
pub async fn replicate(chassis: Arc<Inner>) {
    loop {
        chassis.changed.notified().await;
        sleep(chassis.settings.timings.replication).await;
        let life = chassis.cards[chassis.state().active].life();
        life.run_until_cancelled(synchronise(&chassis)).await;
    }
}

/// Tells the standby that the active has something new.
pub fn announce_change(chassis: &Arc<Inner>) {
    chassis.update(|state| {
        let standby = state.standby();
        state.cards[standby].in_step = false;
        state.changes += 1;
    });
    chassis.changed.notify_one();
}

/// Copies what the standby lacks, and calls it in step if nothing changed meanwhile.
pub async fn synchronise(chassis: &Arc<Inner>) {
    let state = chassis.state();
    let (active, standby, changes) = (state.active, state.standby(), state.changes);
    if !state.cards[standby].up || !state.cards[active].up {
        return;
    }
    let card = &chassis.cards[active];
    let wanted = card.store.inventory();
    let copied = to_copy(&card.faults, wanted, &chassis.cards[standby].store.inventory()).await;
    let chassis = chassis.clone();
    let work = chassis.clone();
    let copied = work.spawn_blocking(move || {
        let copied = chassis.cards[standby].store.take_over(&copied, &chassis.cards[active].store);
        chassis.update(|state| {
            if state.standby() == standby && state.cards[standby].up && state.changes == changes {
                state.cards[standby].in_step = copied.is_ok();
            }
        });
        copied
    });
    if let Ok(Err(error)) = copied.await {
        tracing::error!("replication to the standby failed: {error}");
    }
}

/// What the standby gets of `wanted`: what it held already, and what the failpoints leave of the rest.
async fn to_copy(faults: &Faults, wanted: Inventory, held: &Inventory) -> Inventory {
    let mut copied = Inventory { plugin_tars: wanted.plugin_tars, removed: wanted.removed, ..Inventory::default() };
    for image in wanted.images {
        let known = held.images.contains(&image);
        copied.images.extend(faults.object("switchover.sync.image", image, known).await);
    }
    for container in wanted.containers {
        let known = held.container(&container.name).is_some_and(|known| known.id == container.id);
        copied.containers.extend(faults.object("switchover.sync.container", container, known).await);
    }
    for volume in wanted.volumes {
        let known = held.volumes.contains(&volume);
        copied.volumes.extend(faults.object("switchover.sync.volume", volume, known).await);
    }
    for plugin in wanted.plugins {
        let known = held.plugins.contains(&plugin);
        copied.plugins.extend(faults.object("switchover.sync.plugin", plugin, known).await);
    }
    copied
}

/// Copies what containers wrote to their volumes, once none of them runs any more.
pub async fn copy_data(chassis: &Arc<Inner>, from: usize, to: usize) {
    let work = chassis.clone();
    let copied = chassis.spawn_blocking(move || {
        let [source, target] = [from, to].map(|index| &work.cards[index].store);
        target.copy_volumes(source)
    });
    if let Ok(Err(error)) = copied.await {
        tracing::error!("the volumes' contents could not be copied: {error}");
    }
}
