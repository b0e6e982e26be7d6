//! Replication: what the active has, the standby gets.

use std::sync::Arc;

use super::faults::Faults;
use super::shared::{Defects, SharedChassis};
use super::sites::Step;
use super::state::State;
use super::store::Inventory;
use holdfast_net::waiting::pause;

/// Copies each change from the active to the standby, for as long as the chassis lives.
pub async fn replicate(chassis: Arc<SharedChassis>) {
    loop {
        chassis.changed.notified().await;
        pause(chassis.settings.timings.replication).await;
        let life = chassis.control_processors[chassis.state().active()].life();
        life.run_until_cancelled(synchronise(&chassis)).await;
    }
}

/// Tells the standby that the active has something new.
pub fn announce_change(chassis: &Arc<SharedChassis>) {
    chassis.update(State::changed);
    chassis.changed.notify_one();
}

/// Copies what the standby lacks, and calls it in step if nothing changed meanwhile.
pub async fn synchronise(chassis: &Arc<SharedChassis>) {
    let state = chassis.state();
    let (active, standby, changes) = (state.active(), state.standby(), state.changes);
    if !state.is_up(standby) || !state.is_up(active) || chassis.defects.skips(Step::Copy) {
        return;
    }
    let control_processor = &chassis.control_processors[active];
    let wanted = control_processor.store.inventory();
    let copied = to_copy(
        &chassis.defects,
        &control_processor.faults,
        wanted,
        &chassis.control_processors[standby].store.inventory(),
    )
    .await;
    let contents = !chassis.defects.skips(Step::CopyContents);
    let copying = chassis.copying.clone().lock_owned().await;
    let state = chassis.state();
    if state.active() != active || !state.is_up(standby) || !state.is_up(active) {
        return; // what was to be copied is no longer the last word
    }
    let chassis = chassis.clone();
    let work = chassis.clone();
    let copied = work.spawn_blocking(move || {
        let _copying = copying;
        let copied = chassis.control_processors[standby].store.take_over(
            &copied,
            &chassis.control_processors[active].store,
            contents,
        );
        if copied.is_ok() {
            chassis.update(|state| state.copied(standby, changes));
        }
        copied
    });
    if let Ok(Err(error)) = copied.await {
        tracing::error!("replication to the standby failed: {error}");
    }
}

/// What the standby gets of `wanted`: what it held already, and what the failpoints leave of the rest.
async fn to_copy(defects: &Defects, faults: &Faults, wanted: Inventory, held: &Inventory) -> Inventory {
    let mut copied = Inventory::default();
    defects.before_copy(&wanted, held, &mut copied);
    (copied.plugin_tars, copied.removed) = (wanted.plugin_tars, wanted.removed);
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

/// Copies what changed last, once nothing on `from` changes any more.
pub async fn copy_last(chassis: &Arc<SharedChassis>, from: usize, to: usize) {
    if chassis.defects.skips(Step::Copy) {
        return;
    }
    let [source, target] = [from, to].map(|index| &chassis.control_processors[index]);
    let last = to_copy(&chassis.defects, &source.faults, source.store.inventory(), &target.store.inventory()).await;
    let contents = !chassis.defects.skips(Step::CopyContents);
    let copying = chassis.copying.clone().lock_owned().await;
    let work = chassis.clone();
    let copied = chassis.spawn_blocking(move || {
        let _copying = copying;
        let [source, target] = [from, to].map(|index| &work.control_processors[index].store);
        target.take_over(&last, source, contents)
    });
    if let Ok(Err(error)) = copied.await {
        tracing::error!("the last changes could not be copied: {error}");
    }
}
