//! Loading: a control processor's container runtime comes up with what its store holds, and what defects make of it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::chassis::{ControlProcessor, SharedChassis};
use super::faults::Faults;
use super::state::{Loading, now};
use super::store::{Ailment, Container, Image, Inventory, Removed, Restart, Store, Volume, Wanted};
use holdfast_ledger as ledger;

/// When a defect that comes late comes.
const LATE: Duration = Duration::from_secs(2);
/// How many bytes `load.volume.truncated` cuts off: more than what was being written when the active fell, which
/// nobody acknowledged, and which may be lost.
const TRUNCATED: usize = 3 * ledger::BLOCK + 1000;
/// How long lists are empty with `load.lists_empty`.
const EMPTY: Duration = Duration::from_secs(1);

/// Why containers start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The runtime moved to the other control processor: what ran runs.
    Switchover,
    /// Everything was off: restart policies decide.
    Reboot,
}

/// The new active's runtime comes up, with what defects make of it.
pub async fn load(chassis: &Arc<SharedChassis>, active: usize, start: Start) {
    sleep(chassis.settings.timings.load).await;
    load_objects(&chassis.control_processors[active]).await;
    let late = defects(chassis, active);
    start_containers(chassis, active, start);
    restart_late(chassis, active);
    let [empty, partial] = ["load.lists_empty", "load.lists_partial"].map(|name| chassis.failpoints.fires(name));
    if empty || partial {
        chassis.update(|state| state.loading = if empty { Loading::Empty } else { Loading::Partial });
        let later = chassis.clone();
        chassis.spawn(async move {
            sleep(EMPTY).await;
            later.update(|state| state.loading = Loading::Done);
        });
    } else {
        chassis.update(|state| state.loading = Loading::Done);
    }
    if late != Removed::default() {
        let later = chassis.clone();
        chassis.spawn(async move {
            sleep(LATE).await;
            bring_back(&later, active, late);
            start_containers(&later, active, Start::Switchover);
        });
    }
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

/// Plants the armed defects, and returns what comes back later.
fn defects(chassis: &Arc<SharedChassis>, active: usize) -> Removed {
    let fires = |name: &str| chassis.failpoints.fires(name);
    let removed = chassis.control_processors[active].store.inventory().removed;
    let pick = |name: &str| {
        let mut back = removed.clone();
        back.images.retain(|_| fires(&format!("load.image.{name}")));
        back.containers.retain(|_| fires(&format!("load.container.{name}")));
        back.volumes.retain(|_| fires(&format!("load.volume.{name}")));
        back
    };
    bring_back(chassis, active, pick("resurrected"));
    let changed = chassis.control_processors[active].store.change(|held: &mut Inventory| {
        held.images.retain(|_| !fires("load.image.lost"));
        held.containers.retain(|_| !fires("load.container.lost"));
        held.volumes.retain(|_| !fires("load.volume.lost"));
        held.images.iter_mut().filter(|_| fires("load.image.replaced")).for_each(replace_image);
        held.images.iter_mut().filter(|_| fires("load.image.untagged")).for_each(|image| image.names.clear());
        let impostors: Vec<_> = held.images.iter_mut().filter_map(|image| impostor(image, &fires)).collect();
        held.images.extend(impostors);
        let twice: Vec<_> = held.containers.iter().filter(|_| fires("load.container.duplicated")).cloned().collect();
        held.containers.extend(twice);
        held.containers.iter_mut().for_each(|container| afflict(container, &fires));
        held.volumes.iter_mut().filter(|_| fires("load.volume.options_lost")).for_each(forget_options);
        let store = &chassis.control_processors[active].store;
        for volume in held.volumes.iter().filter(|_| fires("load.volume.emptied")) {
            store.spoil_volume(&volume.name, |path, _| std::fs::remove_file(path))?;
        }
        for volume in held.volumes.iter().filter(|_| fires("load.volume.rolled_back")) {
            store.spoil_volume(&volume.name, keep_half)?;
        }
        for volume in held.volumes.iter().filter(|_| fires("load.volume.truncated")) {
            let cut = |path: &Path, bytes: &[u8]| std::fs::write(path, &bytes[..bytes.len().saturating_sub(TRUNCATED)]);
            store.spoil_volume(&volume.name, cut)?;
        }
        for volume in held.volumes.iter().filter(|_| fires("load.volume.bit_flipped")) {
            store.spoil_volume(&volume.name, flip_bit)?;
        }
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = changed {
        tracing::error!("the defects could not be planted: {error}");
    }
    pick("resurrected_late")
}

fn replace_image(image: &mut Image) {
    image.id = format!("sha256:{:064x}", now());
}

/// An image that has the name of another: beside it, or in its place.
fn impostor(image: &mut Image, fires: &impl Fn(&str) -> bool) -> Option<Image> {
    let mut other = image.clone();
    replace_image(&mut other);
    if fires("load.image.tag_moved") {
        image.names.iter_mut().for_each(|(_, tag)| tag.push_str("-before"));
        return Some(other);
    }
    fires("load.image.duplicated").then_some(other)
}

fn flip_bit(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    std::fs::write(path, bytes)
}

fn afflict(container: &mut Container, fires: &impl Fn(&str) -> bool) {
    if fires("load.container.stopped") {
        container.wanted = Wanted::Stopped;
    }
    if fires("load.container.mute") {
        container.ailment = Ailment::Mute;
    }
    if fires("load.container.restarting") {
        container.ailment = Ailment::Restarting;
    }
    if fires("load.container.replaced") {
        container.image = ("impostor".to_owned(), "latest".to_owned());
        container.image_id = format!("sha256:{:064x}", now());
    }
    if fires("load.container.renamed") {
        container.name.push_str("_1");
    }
    if fires("load.container.ports_lost") {
        container.ports.clear();
        container.host_network = false;
    }
    if fires("load.container.environment_lost") {
        container.environment.clear();
    }
    if fires("load.container.policy_lost") {
        container.restart = Restart::None;
    }
    if fires("load.container.location_wrong") {
        for (label, value) in [("intended", "L_PRIMARY"), ("actual", "L_BACKUP")] {
            container.labels.insert(format!("net.openconfig.containerz.location.{label}"), value.to_owned());
        }
    }
    if fires("load.volume.mounted_elsewhere") {
        container.mounts.values_mut().for_each(|path| path.push_str("-elsewhere"));
    }
    if fires("load.volume.read_only") {
        container.read_only = true;
    }
}

/// The defect that containers start once more, soon after they came up and wrote.
fn restart_late(chassis: &Arc<SharedChassis>, active: usize) {
    let names: Vec<_> =
        chassis.control_processors[active].store.inventory().containers.into_iter().map(|held| held.name).collect();
    let again: Vec<_> =
        names.into_iter().filter(|_| chassis.failpoints.fires("load.container.restarted_late")).collect();
    if again.is_empty() {
        return;
    }
    let later = chassis.clone();
    before_the_standby_is_back(chassis, async move {
        sleep(EMPTY / 2).await;
        let store = &later.control_processors[active].store;
        for container in store.inventory().containers {
            followed(store, &container).await; // a start that nobody saw anything of is no defect
        }
        for name in again {
            later.control_processors[active].runtime.stop(&name).await;
        }
        start_containers(&later, active, Start::Switchover);
    });
}

/// What defective switchovers leave behind, take along, or let go on.
pub fn leave_traces(chassis: &Arc<SharedChassis>, active: usize) {
    let control_processor = &chassis.control_processors[active];
    let (leaks, takes) =
        (chassis.failpoints.fires("switchover.leaks"), chassis.failpoints.fires("switchover.takes_others"));
    let traced = control_processor.store.change(|held| {
        if leaks {
            let (options, labels) = (BTreeMap::new(), BTreeMap::new());
            let name = format!("leaked-{:x}", now());
            held.volumes.push(Volume { name, created: now(), driver: "local".to_owned(), options, labels });
        }
        if takes && !held.volumes.is_empty() {
            held.volumes.remove(0);
        }
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = traced {
        tracing::error!("the defects could not be planted: {error}");
    }
    if chassis.failpoints.fires("switchover.stale_writer") {
        let writing = chassis.clone();
        before_the_standby_is_back(chassis, async move { write_stale(&writing, active).await });
    }
}

/// What a defect does while containers run again.
fn before_the_standby_is_back(chassis: &Arc<SharedChassis>, defect: impl Future<Output = ()> + Send + 'static) {
    chassis.update(|state| state.late_defects += 1);
    let acting = chassis.clone();
    chassis.spawn(async move {
        defect.await;
        acting.update(|state| state.late_defects -= 1);
    });
}

/// A container of the old active goes on writing, over what one of the new active's has begun to.
async fn write_stale(chassis: &Arc<SharedChassis>, active: usize) {
    let store = &chassis.control_processors[active].store;
    for container in store.inventory().containers {
        let Some((path, old, followed)) = followed(store, &container).await else { continue };
        let ledger::Head { number, offset, previous, .. } = followed.head;
        let stale = ledger::Record::new(old, number, offset, previous, b"stale".to_vec()).block();
        let written =
            std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(&stale, offset));
        if let Err(error) = written {
            tracing::warn!("{error}");
        }
    }
}

/// A container's ledger, who wrote it first, and the first record of another, once there is one.
async fn followed(store: &Store, container: &Container) -> Option<(PathBuf, ledger::Identity, ledger::Record)> {
    let (volume, file) = Store::ledger_of(container)?;
    let path = store.volume_folder(volume).join(file);
    for _ in 0..200 {
        let held = ledger::read(&std::fs::read(&path).unwrap_or_default()).records;
        let first = held.first().map(|record| record.head.identity).unwrap_or_default();
        if let Some(next) = held.into_iter().find(|record| record.head.identity != first) {
            return Some((path, first, next));
        }
        sleep(EMPTY / 50).await;
    }
    None
}

/// Leaves the first half of a ledger's records.
fn keep_half(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, &bytes[..bytes.len() / ledger::BLOCK / 2 * ledger::BLOCK])
}

fn forget_options(volume: &mut Volume) {
    volume.options.clear();
    volume.labels.clear();
    volume.driver = String::from("unknown");
}

fn bring_back(chassis: &Arc<SharedChassis>, active: usize, removed: Removed) {
    let changed = chassis.control_processors[active].store.change(|held| {
        removed.images.into_iter().for_each(|image| held.add_image(image));
        held.containers.extend(removed.containers);
        held.volumes.extend(removed.volumes);
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = changed {
        tracing::error!("nothing could be brought back: {error}");
    }
}

/// Starts what shall run on `active` now.
pub fn start_containers(chassis: &Arc<SharedChassis>, active: usize, start: Start) {
    let control_processor = &chassis.control_processors[active];
    for container in control_processor.store.inventory().containers {
        if control_processor.runtime.runs(&container.name) {
            continue;
        }
        let wanted = container.wanted;
        let runs = match (start, container.restart) {
            (Start::Switchover, _) | (Start::Reboot, Restart::UnlessStopped) => wanted == Wanted::Running,
            (Start::Reboot, Restart::Always) => wanted != Wanted::Created,
            (Start::Reboot, Restart::None | Restart::OnFailure) => false,
        };
        if runs && let Err(error) = control_processor.start(&container) {
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

/// What the test container logs when it serves.
pub fn listening_line(container: &Container) -> String {
    format!("cntrsrv listening on [::]:{} (emulated, in {})", holdfast_cntrsrv::DEFAULT_PORT, container.name)
}
