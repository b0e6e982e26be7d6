//! What moves roles: switchovers, crashes and reboots.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::chassis::{ControlProcessor, SharedChassis};
use super::loading::{self, Start, load};
use super::replication::{self, synchronise};
use super::settings::{Outage, Quirk};
use super::state::{Loading, Management, Role, State, Switched, now};
use super::store::Inventory;

/// Time for an answer to leave before the address goes away.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// How often, and how quickly, roles swap with `switchover.flapping`: an even number ends where it began.
const FLAPS: u32 = 8;
const FLAP: Duration = Duration::from_millis(200);
/// How long `switchover.claimed` goes on lying.
const CLAIM: Duration = Duration::from_secs(3);

/// Moves the active role to the standby, as a switchover that somebody asked for.
pub async fn switch_over(chassis: Arc<SharedChassis>) {
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
    let asked = Switched { at: 0, trigger: ASKED_FOR.to_owned(), details: "SwitchControlProcessor".to_owned() };
    if !take_over(&chassis, fallen, asked).await || chassis.failpoints.fires("switchover.never_redundant") {
        return;
    }
    if chassis.failpoints.fires("switchover.flapping") {
        chassis.begin_move();
        flap(&chassis).await;
        chassis.update(|state| state.moving = false);
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

/// The roles go on swapping, as far as gNMI tells, and come to rest where they were.
async fn flap(chassis: &Arc<SharedChassis>) {
    for _ in 0..FLAPS {
        sleep(FLAP).await;
        swap_reported_roles(chassis);
    }
}

fn swap_reported_roles(chassis: &Arc<SharedChassis>) {
    chassis.update(|state| {
        for control_processor in &mut state.control_processors {
            control_processor.role = other(control_processor.role);
        }
    });
}

/// A control processor dies: the other takes over, if it is there; else the chassis starts again.
pub async fn crash(chassis: Arc<SharedChassis>, index: usize) {
    let state = chassis.state();
    if !state.control_processors[1 - index].up {
        restart(&chassis, &[0, 1], state.active, FAILED).await;
    } else if index == state.active {
        chassis.update(|state| state.moving = true);
        let details = "the active control processor failed".to_owned();
        let failed = Switched { at: 0, trigger: "SYSTEM_INITIATED".to_owned(), details };
        if take_over(&chassis, index, failed).await {
            come_back(&chassis, index).await;
        }
    } else {
        chassis.control_processors[index].fall().await;
        chassis.update(|state| {
            state.control_processors[index].up = false;
            state.control_processors[index].in_step = false;
        });
        come_back(&chassis, index).await;
    }
}

/// Whether the other control processor is in charge now.
async fn take_over(chassis: &Arc<SharedChassis>, fallen: usize, why: Switched) -> bool {
    let risen = 1 - fallen;
    let Some(why) = chassis.control_processors[fallen].faults.step("switchover.leave", why).await else {
        chassis.update(|state| state.moving = false);
        return false;
    };
    chassis.update(|state| {
        state.management = away(chassis);
        state.control_processors[fallen].up = false;
        state.control_processors[fallen].in_step = false;
    });
    chassis.control_processors[fallen].fall().await;
    if why.trigger == ASKED_FOR {
        replication::copy_last(chassis, fallen, risen).await; // a polite switchover loses nothing acknowledged
    }
    drop(chassis.copying.lock().await);
    let faults = &chassis.control_processors[risen].faults;
    let Some(why) = faults.step("switchover.leave.after", why).await else { return false };
    sleep(chassis.settings.timings.outage).await;
    let Some(why) = faults.step("switchover.take_over", why).await else { return false };
    if chassis.failpoints.fires(UNREPLICATED) {
        forget_last(&chassis.control_processors[risen]);
    }
    let switched = Switched { at: now(), ..why };
    let (split, clock_back) = ("switchover.split_brain", "switchover.clock_back");
    let [split, clock_back] = [split, clock_back].map(|defect| chassis.failpoints.fires(defect));
    chassis.update(|state| {
        state.active = risen;
        state.control_processors[risen].role = Role::Primary;
        state.control_processors[risen].in_step = true;
        state.control_processors[risen].switched = Some(switched.clone());
        state.control_processors[fallen].role = if split { Role::Primary } else { Role::Secondary };
        state.control_processors[fallen].switched = Some(switched.clone());
        state.clock_back |= clock_back;
        state.loading = Loading::Underway;
        state.management = Management::Serving(risen);
        state.moving = false;
    });
    if let Some(changed) = faults.step("switchover.take_over.after", switched.clone()).await
        && changed != switched
    {
        chassis.update(|state| state.control_processors[risen].switched = Some(changed));
    }
    load(chassis, risen, Start::Switchover).await;
    loading::leave_traces(chassis, risen);
    true
}

/// The defect that a standby takes over which is not in step.
pub const UNREPLICATED: &str = "switchover.unreplicated";

fn forget_last(control_processor: &ControlProcessor) {
    const SECOND: u64 = 1_000_000_000;
    let forgotten = control_processor.store.change(|held| {
        held.volumes.retain(|volume| volume.created + SECOND < now());
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = forgotten {
        tracing::error!("the defect could not be planted: {error}");
    }
}

/// What is known of a boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Boot {
    reason: String,
}

/// Why roles move that somebody asked to.
const ASKED_FOR: &str = "USER_INITIATED";
/// Why a control processor booted that nobody asked to.
const FAILED: &str = "REBOOT_CRITICAL_ERROR";
/// Why one did that somebody asked to.
const ASKED: &str = "REBOOT_USER_INITIATED";

/// A fallen control processor boots, and gets in step as the standby.
async fn come_back(chassis: &Arc<SharedChassis>, index: usize) {
    if !boot(chassis, index).await {
        return;
    }
    if chassis.failpoints.fires("switchover.returns_empty") {
        let emptied = chassis.control_processors[index].store.change(|held| {
            *held = Inventory::default();
            Ok::<_, std::io::Error>(())
        });
        chassis.update(|state| state.copies_stopped = emptied.is_ok());
    }
    if chassis.state().copies_stopped {
        chassis.update(|state| state.control_processors[index].in_step = true);
    }
    let stuck = chassis.failpoints.fires("switchover.ready_stuck");
    chassis.update(|state| state.ready_stuck |= stuck);
    synchronise(chassis).await;
}

async fn boot(chassis: &Arc<SharedChassis>, index: usize) -> bool {
    sleep(chassis.settings.timings.boot).await;
    let _ = chassis.watch().wait_for(|state| state.late_defects == 0).await; // an error is a chassis that ended
    let control_processor = &chassis.control_processors[index];
    let begun = control_processor.faults.step("switchover.come_back", Boot { reason: FAILED.to_owned() }).await;
    let Some(begun) = begun.filter(|_| reload(control_processor, index)) else { return false };
    chassis.update(|state| {
        state.control_processors[index].up = true;
        state.control_processors[index].boot_time = now();
        state.control_processors[index].reboot_reason.clone_from(&begun.reason);
    });
    if let Some(booted) = control_processor.faults.step("switchover.come_back.after", begun).await {
        chassis.update(|state| state.control_processors[index].reboot_reason = booted.reason);
    }
    true
}

fn reload(control_processor: &ControlProcessor, index: usize) -> bool {
    let read = control_processor.store.reload();
    if let Err(error) = &read {
        tracing::error!("control processor {index} cannot read its store: {error}");
    }
    read.is_ok()
}

/// Reboots the whole chassis.
pub async fn reboot_chassis(chassis: Arc<SharedChassis>) {
    sleep(LAST_WORDS).await;
    let one_card = chassis.failpoints.fires("reboot.one_card");
    let active = chassis.state().active;
    let falling: &[usize] = if one_card { &[active] } else { &[0, 1] };
    restart(&chassis, falling, active, ASKED).await;
}

/// Puts control processors out and starts them again, with `active` in charge.
async fn restart(chassis: &Arc<SharedChassis>, falling: &[usize], active: usize, reason: &str) {
    let leave = Boot { reason: reason.to_owned() };
    let Some(leave) = chassis.control_processors[active].faults.step("reboot.leave", leave).await else {
        chassis.update(|state| state.moving = false);
        return;
    };
    chassis.update(|state| {
        state.management = away(chassis);
        for &index in falling {
            state.control_processors[index].up = false;
        }
    });
    for &index in falling {
        chassis.control_processors[index].fall().await;
    }
    let Some(leave) = chassis.control_processors[active].faults.step("reboot.leave.after", leave).await else { return };
    if falling.len() > 1 && chassis.has(Quirk::CliLostUnlessSaved) {
        chassis.cli.forget_unsaved();
    }
    sleep(chassis.settings.timings.reboot).await;
    let mut boots = Vec::new();
    for &index in falling {
        let control_processor = &chassis.control_processors[index];
        if let Some(boot) = control_processor.faults.step("reboot.boot", leave.clone()).await
            && reload(control_processor, index)
        {
            boots.push((index, control_processor.faults.step("reboot.boot.after", boot.clone()).await.unwrap_or(boot)));
        }
    }
    let active = match boots.iter().any(|(index, _)| *index == active) {
        true => active,
        false
            if chassis.state().control_processors[1 - active].up || boots.iter().any(|(index, _)| *index != active) =>
        {
            1 - active
        }
        false => return, // none is left to answer
    };
    let booted = State::booted(active);
    chassis.update(|state| {
        for (index, boot) in boots {
            let switched = state.control_processors[index].switched.clone();
            state.control_processors[index] = booted.control_processors[index].clone();
            state.control_processors[index].reboot_reason = boot.reason;
            state.control_processors[index].switched = switched;
            state.control_processors[index].in_step = index == active;
        }
        state.active = active;
        for index in [0, 1] {
            state.control_processors[index].role = booted.control_processors[index].role;
        }
        state.boot_time = booted.boot_time;
        state.loading = Loading::Underway;
        state.management = Management::Serving(active);
        state.moving = false;
        state.copies_stopped = false;
        state.reboots += 1;
    });
    load(chassis, active, Start::Reboot).await;
    synchronise(chassis).await;
}

/// Reboots one control processor; the active's reboot is a failover.
pub async fn reboot_control_processor(chassis: Arc<SharedChassis>, index: usize) {
    sleep(LAST_WORDS).await;
    chassis.update(|state| state.moving = false);
    crash(chassis, index).await;
}

fn away(chassis: &SharedChassis) -> Management {
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
