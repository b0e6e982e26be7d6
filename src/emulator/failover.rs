//! What moves roles: switchovers, crashes and reboots; and replication, which makes them bearable.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::chassis::{ControlProcessor, Inner};
use super::faults::Faults;
use super::settings::Outage;
use super::state::{Loading, Management, Role, State, Switched, now};
use super::store::{Ailment, Container, Image, Inventory, Plugin, Restart, Volume, Wanted};

/// Time for an answer to leave before the address goes away.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// When a defect that comes late comes.
const LATE: Duration = Duration::from_secs(2);
/// How long lists are empty with `load.lists_empty`.
const EMPTY: Duration = Duration::from_secs(1);

/// How long `switchover.claimed` goes on lying.
const CLAIM: Duration = Duration::from_secs(3);

/// Why containers start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The runtime moved to the other control processor: what ran runs.
    Switchover,
    /// Everything was off: restart policies decide.
    Reboot,
}

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
    });
    chassis.changed.notify_one();
}

async fn synchronise(chassis: &Arc<Inner>) {
    let state = chassis.state();
    let (active, standby) = (state.active, state.standby());
    if !state.cards[standby].up || !state.cards[active].up {
        return;
    }
    let card = &chassis.cards[active];
    let wanted = card.store.inventory();
    let copied = to_copy(&card.faults, wanted, &chassis.cards[standby].store.inventory()).await;
    let chassis = chassis.clone();
    let copied = tokio::task::spawn_blocking(move || {
        let copied = chassis.cards[standby].store.take_over(&copied, &chassis.cards[active].store);
        chassis.update(|state| {
            if state.standby() == standby && state.cards[standby].up {
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
        copied.images.extend(passed(faults, "switchover.sync.image", image, known).await);
    }
    for container in wanted.containers {
        let known = held.container(&container.name).is_some_and(|known| known.id == container.id);
        copied.containers.extend(passed(faults, "switchover.sync.container", container, known).await);
    }
    for volume in wanted.volumes {
        let known = held.volumes.contains(&volume);
        copied.volumes.extend(passed(faults, "switchover.sync.volume", volume, known).await);
    }
    for plugin in wanted.plugins {
        let known = held.plugins.contains(&plugin);
        copied.plugins.extend(passed(faults, "switchover.sync.plugin", plugin, known).await);
    }
    copied
}

/// An object after its step and what comes after that, unless it was `known` and passes no step.
async fn passed<T: Serialize + DeserializeOwned>(faults: &Faults, site: &str, object: T, known: bool) -> Option<T> {
    if known || faults.is_idle() {
        return Some(object);
    }
    let object = faults.step(site, object).await?;
    faults.step(&format!("{site}.after"), object).await
}

/// Moves the active role to the standby, as a switchover that somebody asked for.
pub async fn switch_over(chassis: Arc<Inner>) {
    sleep(LAST_WORDS).await;
    if chassis.failpoints.fires("switchover.claimed") {
        swap_reported_roles(&chassis);
        sleep(CLAIM).await;
        swap_reported_roles(&chassis);
        chassis.update(|state| state.moving = false);
        return;
    }
    let fallen = chassis.state().active;
    synchronise(&chassis).await;
    let asked = Switched { at: 0, trigger: "USER_INITIATED".to_owned(), details: "SwitchControlProcessor".to_owned() };
    if !take_over(&chassis, fallen, asked).await || chassis.failpoints.fires("switchover.never_redundant") {
        return;
    }
    if chassis.failpoints.fires("switchover.reversed") {
        boot(&chassis, fallen).await;
        chassis.begin_move();
        let fallen = chassis.state().active;
        let reversed = Switched { at: 0, trigger: "SYSTEM_INITIATED".to_owned(), details: "reversed".to_owned() };
        take_over(&chassis, fallen, reversed).await;
        come_back(&chassis, fallen).await;
        return;
    }
    come_back(&chassis, fallen).await;
}

fn swap_reported_roles(chassis: &Arc<Inner>) {
    chassis.update(|state| {
        for card in &mut state.cards {
            card.role = other(card.role);
        }
    });
}

/// A control processor dies: the other takes over, if it is there; else the chassis starts again.
pub async fn crash(chassis: Arc<Inner>, index: usize) {
    let state = chassis.state();
    if !state.cards[1 - index].up {
        restart(&chassis, &[0, 1], state.active, FAILED).await;
    } else if index == state.active {
        chassis.update(|state| state.moving = true);
        let details = "the active control processor failed".to_owned();
        let failed = Switched { at: 0, trigger: "SYSTEM_INITIATED".to_owned(), details };
        if take_over(&chassis, index, failed).await {
            come_back(&chassis, index).await;
        }
    } else {
        chassis.cards[index].fall().await;
        chassis.update(|state| {
            state.cards[index].up = false;
            state.cards[index].in_step = false;
        });
        come_back(&chassis, index).await;
    }
}

/// Whether the other control processor is in charge now.
async fn take_over(chassis: &Arc<Inner>, fallen: usize, why: Switched) -> bool {
    let risen = 1 - fallen;
    let Some(why) = chassis.cards[fallen].faults.step("switchover.leave", why).await else {
        chassis.update(|state| state.moving = false);
        return false;
    };
    chassis.update(|state| {
        state.management = away(chassis);
        state.cards[fallen].up = false;
        state.cards[fallen].in_step = false;
    });
    chassis.cards[fallen].fall().await;
    let faults = &chassis.cards[risen].faults;
    let Some(why) = faults.step("switchover.leave.after", why).await else { return false };
    sleep(chassis.settings.timings.outage).await;
    let Some(why) = faults.step("switchover.take_over", why).await else { return false };
    let switched = Switched { at: now(), ..why };
    chassis.update(|state| {
        state.active = risen;
        state.cards[risen].role = Role::Primary;
        state.cards[risen].in_step = true;
        state.cards[risen].switched = Some(switched.clone());
        state.cards[fallen].role = Role::Secondary;
        state.cards[fallen].switched = Some(switched.clone());
        state.loading = Loading::Underway;
        state.management = Management::Serving(risen);
        state.moving = false;
    });
    if let Some(told) = faults.step("switchover.take_over.after", switched.clone()).await
        && told != switched
    {
        chassis.update(|state| state.cards[risen].switched = Some(told));
    }
    load(chassis, risen, Start::Switchover).await;
    true
}

/// What is known of a boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Boot {
    reason: String,
}

/// Why a control processor booted that nobody asked to.
const FAILED: &str = "REBOOT_CRITICAL_ERROR";
/// Why one did that somebody asked to.
const ASKED: &str = "REBOOT_USER_INITIATED";

/// A fallen control processor boots, and gets in step as the standby.
async fn come_back(chassis: &Arc<Inner>, index: usize) {
    if boot(chassis, index).await {
        synchronise(chassis).await;
    }
}

async fn boot(chassis: &Arc<Inner>, index: usize) -> bool {
    sleep(chassis.settings.timings.boot).await;
    let card = &chassis.cards[index];
    let begun = card.faults.step("switchover.come_back", Boot { reason: FAILED.to_owned() }).await;
    let Some(begun) = begun.filter(|_| reload(card, index)) else { return false };
    chassis.update(|state| {
        state.cards[index].up = true;
        state.cards[index].boot_time = now();
        state.cards[index].reboot_reason.clone_from(&begun.reason);
    });
    if let Some(booted) = card.faults.step("switchover.come_back.after", begun).await {
        chassis.update(|state| state.cards[index].reboot_reason = booted.reason);
    }
    true
}

fn reload(card: &ControlProcessor, index: usize) -> bool {
    let read = card.store.reload();
    if let Err(error) = &read {
        tracing::error!("control processor {index} cannot read its store: {error}");
    }
    read.is_ok()
}

/// Reboots the whole chassis.
pub async fn reboot_chassis(chassis: Arc<Inner>) {
    sleep(LAST_WORDS).await;
    let one_card = chassis.failpoints.fires("reboot.one_card");
    let active = chassis.state().active;
    let falling: &[usize] = if one_card { &[active] } else { &[0, 1] };
    restart(&chassis, falling, active, ASKED).await;
}

/// Puts control processors out and starts them again, with `active` in charge.
async fn restart(chassis: &Arc<Inner>, falling: &[usize], active: usize, reason: &str) {
    let leave = Boot { reason: reason.to_owned() };
    let Some(leave) = chassis.cards[active].faults.step("reboot.leave", leave).await else {
        chassis.update(|state| state.moving = false);
        return;
    };
    chassis.update(|state| {
        state.management = away(chassis);
        for &index in falling {
            state.cards[index].up = false;
        }
    });
    for &index in falling {
        chassis.cards[index].fall().await;
    }
    let Some(leave) = chassis.cards[active].faults.step("reboot.leave.after", leave).await else { return };
    sleep(chassis.settings.timings.reboot).await;
    let mut boots = Vec::new();
    for &index in falling {
        let card = &chassis.cards[index];
        if let Some(boot) = card.faults.step("reboot.boot", leave.clone()).await
            && reload(card, index)
        {
            boots.push((index, card.faults.step("reboot.boot.after", boot.clone()).await.unwrap_or(boot)));
        }
    }
    let active = match boots.iter().any(|(index, _)| *index == active) {
        true => active,
        false if chassis.state().cards[1 - active].up || boots.iter().any(|(index, _)| *index != active) => 1 - active,
        false => return, // none is left to answer
    };
    let booted = State::booted(active);
    chassis.update(|state| {
        for (index, boot) in boots {
            let switched = state.cards[index].switched.clone();
            state.cards[index] = booted.cards[index].clone();
            state.cards[index].reboot_reason = boot.reason;
            state.cards[index].switched = switched;
            state.cards[index].in_step = index == active;
        }
        state.active = active;
        for index in [0, 1] {
            state.cards[index].role = booted.cards[index].role;
        }
        state.boot_time = booted.boot_time;
        state.loading = Loading::Underway;
        state.management = Management::Serving(active);
        state.moving = false;
        state.reboots += 1;
    });
    load(chassis, active, Start::Reboot).await;
    synchronise(chassis).await;
}

/// Reboots one control processor; the active's reboot is a failover.
pub async fn reboot_card(chassis: Arc<Inner>, index: usize) {
    sleep(LAST_WORDS).await;
    chassis.update(|state| state.moving = false);
    crash(chassis, index).await;
}

fn away(chassis: &Inner) -> Management {
    match chassis.settings.outage {
        Outage::Closed => Management::Closed,
        Outage::Silent => Management::Silent,
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Primary => Role::Secondary,
        Role::Secondary => Role::Primary,
    }
}

/// The new active's runtime comes up, with what defects make of it.
async fn load(chassis: &Arc<Inner>, active: usize, start: Start) {
    sleep(chassis.settings.timings.load).await;
    load_objects(&chassis.cards[active]).await;
    let late = defects(chassis, active);
    start_containers(chassis, active, start);
    if chassis.failpoints.fires("load.lists_empty") {
        chassis.update(|state| state.loading = Loading::Empty);
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
async fn load_objects(card: &ControlProcessor) {
    if card.faults.is_idle() {
        return;
    }
    let held = card.store.inventory();
    let loaded = load_all(&card.faults, held.clone()).await;
    let changed = card.store.change(|inventory| {
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
        loaded.images.extend(passed::<Image>(faults, "load.image", image, false).await);
    }
    for container in held.containers {
        loaded.containers.extend(passed::<Container>(faults, "load.container", container, false).await);
    }
    for volume in held.volumes {
        loaded.volumes.extend(passed::<Volume>(faults, "load.volume", volume, false).await);
    }
    for plugin in held.plugins {
        loaded.plugins.extend(passed::<Plugin>(faults, "load.plugin", plugin, false).await);
    }
    loaded
}

type Removed = super::store::Removed;

/// Plants the armed defects, and returns what comes back later.
fn defects(chassis: &Arc<Inner>, active: usize) -> Removed {
    let fires = |name: &str| chassis.failpoints.fires(name);
    let removed = chassis.cards[active].store.inventory().removed;
    let pick = |name: &str| {
        let mut back = removed.clone();
        back.images.retain(|_| fires(&format!("load.image.{name}")));
        back.containers.retain(|_| fires(&format!("load.container.{name}")));
        back.volumes.retain(|_| fires(&format!("load.volume.{name}")));
        back
    };
    bring_back(chassis, active, pick("resurrected"));
    let changed = chassis.cards[active].store.change(|held: &mut Inventory| {
        held.images.retain(|_| !fires("load.image.lost"));
        held.containers.retain(|_| !fires("load.container.lost"));
        held.volumes.retain(|_| !fires("load.volume.lost"));
        held.images.iter_mut().filter(|_| fires("load.image.replaced")).for_each(replace_image);
        held.containers.iter_mut().for_each(|container| afflict(container, &fires));
        held.volumes.iter_mut().filter(|_| fires("load.volume.options_lost")).for_each(forget_options);
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
}

fn forget_options(volume: &mut Volume) {
    volume.options.clear();
    volume.labels.clear();
    volume.driver = String::from("unknown");
}

fn bring_back(chassis: &Arc<Inner>, active: usize, removed: Removed) {
    let changed = chassis.cards[active].store.change(|held| {
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
pub fn start_containers(chassis: &Arc<Inner>, active: usize, start: Start) {
    let card = &chassis.cards[active];
    for container in card.store.inventory().containers {
        if card.runtime.runs(&container.name) {
            continue;
        }
        let wanted = container.wanted;
        let runs = match (start, container.restart) {
            (Start::Switchover, _) | (Start::Reboot, Restart::UnlessStopped) => wanted == Wanted::Running,
            (Start::Reboot, Restart::Always) => wanted != Wanted::Created,
            (Start::Reboot, Restart::None | Restart::OnFailure) => false,
        };
        if runs && let Err(error) = card.runtime.start(&container) {
            tracing::error!("container {} does not start: {error}", container.name);
            continue;
        }
        let changed = card.store.change(|held| {
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
    format!("cntrsrv listening on [::]:{} (emulated, in {})", crate::cntr::DEFAULT_PORT, container.name)
}
