//! What moves roles: switchovers, crashes and reboots.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::loading::{Start, load};
use super::replication::{self, synchronise};
use super::settings::Quirk;
use super::shared::{ControlProcessor, SharedChassis};
use super::state::{State, Switched, now};
use holdfast_net::waiting::pause;

/// Time for an answer to leave before the address goes away.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Why roles move that somebody asked to.
const ASKED_FOR: &str = "USER_INITIATED";
/// Why a control processor booted that nobody asked to.
const FAILED: &str = "REBOOT_CRITICAL_ERROR";
/// Why one did that somebody asked to.
const ASKED: &str = "REBOOT_USER_INITIATED";

/// What is known of a boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Boot {
    reason: String,
}

/// Moves the active role to the standby, as a switchover that was accepted.
pub async fn switch_over(chassis: Arc<SharedChassis>) {
    pause(LAST_WORDS).await;
    if chassis.defects.switchover_begins(&chassis).await.is_break() {
        return stay(&chassis);
    }
    let fallen = chassis.state().active();
    synchronise(&chassis).await;
    let asked = Switched { at: 0, trigger: ASKED_FOR.to_owned(), details: "SwitchControlProcessor".to_owned() };
    if take_over(&chassis, fallen, asked).await && chassis.defects.took_over(&chassis, fallen).await.is_continue() {
        come_back(&chassis, fallen).await;
    }
}

/// A control processor dies at once, as from a kernel panic.
pub fn crash_now(chassis: &Arc<SharedChassis>, index: usize) {
    let state = chassis.state();
    let dies = crash(chassis.clone(), index);
    if state.is_moving() || index == state.active() || !state.is_up(index) {
        chassis.spawn_move(dies);
    } else {
        chassis.spawn(dies);
    }
}

/// A control processor dies: the other takes over, if it is there; else the chassis starts again.
pub async fn crash(chassis: Arc<SharedChassis>, index: usize) {
    let state = chassis.state();
    if !state.is_up(1 - index) {
        restart(&chassis, &[0, 1], state.active(), FAILED).await;
    } else if index == state.active() {
        let details = "the active control processor failed".to_owned();
        let failed = Switched { at: 0, trigger: "SYSTEM_INITIATED".to_owned(), details };
        if take_over(&chassis, index, failed).await {
            come_back(&chassis, index).await;
        }
    } else {
        stay(&chassis); // nobody is left to move to
        chassis.control_processors[index].fall().await;
        chassis.update(|state| state.fall(index));
        come_back(&chassis, index).await;
    }
}

/// Whether the other control processor is in charge now.
pub async fn take_over(chassis: &Arc<SharedChassis>, fallen: usize, why: Switched) -> bool {
    let risen = 1 - fallen;
    let Some(why) = chassis.control_processors[fallen].faults.step("switchover.leave", why).await else {
        stay(chassis);
        return false;
    };
    if !chassis.transition(State::leave) {
        return false;
    }
    chassis.control_processors[fallen].fall().await;
    if why.trigger == ASKED_FOR {
        replication::copy_last(chassis, fallen, risen).await; // a polite switchover loses nothing acknowledged
    }
    replication::copy_written(chassis, fallen, risen).await;
    drop(chassis.copying.lock().await);
    let faults = &chassis.control_processors[risen].faults;
    let Some(why) = faults.step("switchover.leave.after", why).await else { return false };
    pause(chassis.settings.timings.outage).await;
    let Some(why) = faults.step("switchover.take_over", why).await else { return false };
    chassis.defects.before_take_over(chassis, risen);
    let switched = Switched { at: now(), ..why };
    if !chassis.transition(|state| state.take_over(&switched)) {
        return false;
    }
    if let Some(changed) = faults.step("switchover.take_over.after", switched.clone()).await
        && changed != switched
    {
        chassis.update(|state| state.set_switched(changed));
    }
    load(chassis, risen, Start::Switchover).await;
    chassis.defects.after_load(chassis, risen);
    true
}

/// What was accepted does not come.
fn stay(chassis: &SharedChassis) {
    if chassis.state().is_leaving() {
        chassis.transition(State::stay);
    }
}

/// A fallen control processor boots, and gets in step as the standby.
pub async fn come_back(chassis: &Arc<SharedChassis>, index: usize) {
    if boot(chassis, index).await {
        chassis.defects.came_back(chassis, index);
        synchronise(chassis).await;
    }
}

/// Whether a fallen control processor has booted; not where it falls again, for whoever made it fall boots it.
pub async fn boot(chassis: &Arc<SharedChassis>, index: usize) -> bool {
    let life = chassis.control_processors[index].life();
    life.run_until_cancelled(boot_at_last(chassis, index)).await.unwrap_or(false)
}

async fn boot_at_last(chassis: &Arc<SharedChassis>, index: usize) -> bool {
    pause(chassis.settings.timings.boot).await;
    chassis.defects.before_the_standby_boots().await;
    let control_processor = &chassis.control_processors[index];
    let begun = control_processor.faults.step("switchover.come_back", Boot { reason: FAILED.to_owned() }).await;
    let Some(begun) = begun.filter(|_| reload(control_processor, index)) else { return false };
    if !chassis.transition(|state| state.rise(index, &begun.reason)) {
        return false;
    }
    if let Some(booted) = control_processor.faults.step("switchover.come_back.after", begun).await {
        chassis.update(|state| state.set_reboot_reason(index, booted.reason));
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
    pause(LAST_WORDS).await;
    let active = chassis.state().active();
    let mut falling = vec![0, 1];
    chassis.defects.reboots(active, &mut falling);
    restart(&chassis, &falling, active, ASKED).await;
}

/// Puts control processors out and starts them again, with `active` in charge.
async fn restart(chassis: &Arc<SharedChassis>, falling: &[usize], active: usize, reason: &str) {
    let leave = Boot { reason: reason.to_owned() };
    let Some(leave) = chassis.control_processors[active].faults.step("reboot.leave", leave).await else {
        stay(chassis);
        return;
    };
    chassis.update(|state| state.go_down(falling));
    for &index in falling {
        chassis.control_processors[index].fall().await;
    }
    let Some(leave) = chassis.control_processors[active].faults.step("reboot.leave.after", leave).await else { return };
    if falling.len() > 1 {
        chassis.rib.forget();
        if chassis.has(Quirk::CliLostUnlessSaved) {
            chassis.cli.forget_unsaved();
        }
    }
    pause(chassis.settings.timings.reboot).await;
    let mut boots = Vec::new();
    for &index in falling {
        let control_processor = &chassis.control_processors[index];
        if let Some(boot) = control_processor.faults.step("reboot.boot", leave.clone()).await
            && reload(control_processor, index)
        {
            let after = control_processor.faults.step("reboot.boot.after", boot.clone()).await;
            boots.push((index, after.unwrap_or(boot).reason));
        }
    }
    let is_there = |index: usize| chassis.state().is_up(index) || boots.iter().any(|(booted, _)| *booted == index);
    let active = match (is_there(active), is_there(1 - active)) {
        (true, _) => active,
        (false, true) => 1 - active,
        (false, false) => return, // none is left to answer
    };
    if !chassis.transition(|state| state.booted(active, &boots)) {
        return;
    }
    chassis.defects.lasting().rebooted();
    load(chassis, active, Start::Reboot).await;
    synchronise(chassis).await;
}

/// Reboots one control processor; the active's reboot is a failover.
pub async fn reboot_control_processor(chassis: Arc<SharedChassis>, index: usize) {
    pause(LAST_WORDS).await;
    crash(chassis, index).await;
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timings;
