//! Replication: what the active has, the standby gets.

use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;
use super::shared::{Defects, SharedChassis};
use super::sites::Step;
use super::state::State;
use super::store::Inventory;
use holdfast_net::waiting::pause;

/// After which a replication that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

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
    give(chassis, active, standby, copied, contents, copying, Some(changes)).await;
}

/// Gives `to` what it shall hold of what `from` has, to the end even where whoever waits for it does not any more. It is
/// in step then, if there were no more than so many `changes`.
async fn give(
    chassis: &Arc<SharedChassis>,
    from: usize,
    to: usize,
    inventory: Inventory,
    contents: bool,
    copying: tokio::sync::OwnedMutexGuard<()>,
    changes: Option<u64>,
) {
    let chassis = chassis.clone();
    let work = chassis.clone();
    let given = work.tasks.spawn(async move {
        let _copying = copying;
        let [source, target] = [from, to].map(|index| &chassis.control_processors[index]);
        let [source_store, target_store] = [source, target].map(|control_processor| control_processor.store.clone());
        let copied = tokio::task::spawn_blocking(move || {
            target_store.take_over(&inventory, &source_store, contents).map(|()| inventory)
        });
        let held = match copied.await {
            Ok(Ok(inventory)) => target.runtime.hold(&inventory).await.map_err(|failure| failure.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match (held, changes) {
            (Err(why), _) => {
                tracing::error!("replication to the standby failed: {why}");
                let later = chassis.clone();
                chassis.spawn(async move {
                    pause(AGAIN).await;
                    later.changed.notify_one();
                });
            }
            (Ok(()), Some(changes)) => chassis.update(|state| state.copied(to, changes)),
            (Ok(()), None) => {}
        }
    });
    let _ = given.await; // it does not panic
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
    give(chassis, from, to, last, contents, copying, None).await;
}

/// Gives `to` what containers wrote on `from`, where its runtime did not while they wrote: as storage does that
/// acknowledges nothing which is not on both.
pub async fn copy_written(chassis: &Arc<SharedChassis>, from: usize, to: usize) {
    let left_out = |step| chassis.defects.skips(step);
    if left_out(Step::Copy) || left_out(Step::CopyContents) || left_out(Step::CopyWrites) {
        return;
    }
    let (copying, chassis) = (chassis.copying.clone().lock_owned().await, chassis.clone());
    let work = chassis.clone();
    let copied = work.tasks.spawn(async move {
        let _copying = copying;
        let [there, here] = [from, to].map(|index| chassis.control_processors[index].store.inventory());
        let both = here.volumes.iter().filter(|volume| there.volume(&volume.name).is_some());
        let names: Vec<String> = both.map(|volume| volume.name.clone()).collect();
        if let Err(failure) = chassis.control_processors[to].runtime.copy_from_peer(&names).await {
            tracing::error!("what containers wrote could not be copied: {failure}");
        }
    });
    let _ = copied.await; // it does not panic
}
