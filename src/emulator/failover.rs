//! What moves roles: switchovers, crashes and reboots; and replication, which makes them bearable.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::chassis::Inner;
use super::settings::Outage;
use super::state::{Loading, Management, Role, State, Switched, now};
use super::store::{Ailment, Container, Image, Inventory, Restart, Volume, Wanted};

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
        synchronise(&chassis).await;
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
    let chassis = chassis.clone();
    let copied = tokio::task::spawn_blocking(move || {
        let mut inventory = chassis.cards[active].store.inventory();
        let held = chassis.cards[standby].store.inventory();
        let points = &chassis.failpoints;
        inventory.images.retain(|image| held.images.contains(image) || !points.fires("sync.image"));
        inventory.containers.retain(|container| {
            held.container(&container.name).is_some_and(|known| known.id == container.id)
                || !points.fires("sync.container")
        });
        inventory.volumes.retain(|volume| held.volumes.contains(volume) || !points.fires("sync.volume"));
        let copied = chassis.cards[standby].store.take_over(&inventory, &chassis.cards[active].store);
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
    take_over(&chassis, fallen, "USER_INITIATED", "SwitchControlProcessor").await;
    if chassis.failpoints.fires("switchover.never_redundant") {
        return;
    }
    if chassis.failpoints.fires("switchover.reversed") {
        boot(&chassis, fallen).await;
        chassis.begin_move();
        let fallen = chassis.state().active;
        take_over(&chassis, fallen, "SYSTEM_INITIATED", "reversed").await;
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

/// A control processor dies: the standby takes over, if it is there.
pub async fn crash(chassis: Arc<Inner>, index: usize) {
    let state = chassis.state();
    if index != state.active {
        chassis.cards[index].fall().await;
        chassis.update(|state| {
            state.cards[index].up = false;
            state.cards[index].in_step = false;
        });
        come_back(&chassis, index).await;
    } else if state.cards[state.standby()].up && chassis.begin_move() {
        take_over(&chassis, index, "SYSTEM_INITIATED", "the active control processor failed").await;
        come_back(&chassis, index).await;
    }
}

async fn take_over(chassis: &Arc<Inner>, fallen: usize, trigger: &'static str, details: &str) {
    let risen = 1 - fallen;
    chassis.update(|state| {
        state.management = away(chassis);
        state.cards[fallen].up = false;
        state.cards[fallen].in_step = false;
    });
    chassis.cards[fallen].fall().await;
    sleep(chassis.settings.timings.outage).await;
    let switched = Switched { at: now(), trigger, details: details.to_owned() };
    chassis.update(|state| {
        state.active = risen;
        state.cards[risen].role = Role::Primary;
        state.cards[risen].in_step = true;
        state.cards[risen].switched = Some(switched.clone());
        state.cards[fallen].role = Role::Secondary;
        state.cards[fallen].switched = Some(switched);
        state.loading = Loading::Underway;
        state.management = Management::Serving(risen);
        state.moving = false;
    });
    load(chassis, risen, Start::Switchover).await;
}

/// A fallen control processor boots, and gets in step as the standby.
async fn come_back(chassis: &Arc<Inner>, index: usize) {
    if boot(chassis, index).await {
        synchronise(chassis).await;
    }
}

async fn boot(chassis: &Arc<Inner>, index: usize) -> bool {
    sleep(chassis.settings.timings.boot).await;
    if let Err(error) = chassis.cards[index].store.reload() {
        tracing::error!("control processor {index} cannot read its store: {error}");
        return false;
    }
    chassis.update(|state| {
        state.cards[index].up = true;
        state.cards[index].boot_time = now();
        state.cards[index].reboot_reason = "REBOOT_CRITICAL_ERROR";
    });
    true
}

/// Reboots the whole chassis.
pub async fn reboot_chassis(chassis: Arc<Inner>) {
    sleep(LAST_WORDS).await;
    let one_card = chassis.failpoints.fires("reboot.one_card");
    let active = chassis.state().active;
    let falling: Vec<usize> = if one_card { vec![active] } else { vec![0, 1] };
    chassis.update(|state| {
        state.management = away(&chassis);
        for &index in &falling {
            state.cards[index].up = false;
        }
    });
    for &index in &falling {
        chassis.cards[index].fall().await;
    }
    sleep(chassis.settings.timings.reboot).await;
    for &index in &falling {
        if let Err(error) = chassis.cards[index].store.reload() {
            tracing::error!("control processor {index} cannot read its store: {error}");
        }
    }
    let booted = State::booted(active);
    chassis.update(|state| {
        for &index in &falling {
            let switched = state.cards[index].switched.clone();
            state.cards[index] = booted.cards[index].clone();
            state.cards[index].switched = switched;
            state.cards[index].in_step = index == active;
        }
        state.boot_time = booted.boot_time;
        state.loading = Loading::Underway;
        state.management = Management::Serving(active);
        state.moving = false;
        state.reboots += 1;
    });
    load(&chassis, active, Start::Reboot).await;
    synchronise(&chassis).await;
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
