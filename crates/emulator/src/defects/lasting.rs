//! What defects leave on that came and stay.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Defects, Leaves};
use crate::chassis::SharedChassis;
use crate::state::{Presence, State};
use crate::store::Inventory;
use holdfast_wire::gnoi::containerz::ImageTransfer;
use holdfast_wire::value::Value;

/// What is left on.
#[derive(Debug, Default)]
pub struct Lasting {
    pub roles: Roles,
    /// `switchover-ready` stays false.
    pub ready_stuck: bool,
    /// The clock is an hour behind.
    pub clock_back: bool,
    /// The standby gets nothing any more, and is called ready.
    pub copies_stopped: bool,
    pub lists: Lists,
    /// What is there of images whose transfer has not come: their ids, and the name and tag that are being sent.
    pub halves: Vec<(String, [String; 2])>,
}

/// Which roles gNMI shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roles {
    #[default]
    True,
    Swapped,
    /// All are PRIMARY.
    BothPrimary,
}

/// What lists show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    #[default]
    Whole,
    /// They lack their last row.
    Partial,
    Empty,
}

impl Lasting {
    pub fn roles_are_true(&mut self) {
        self.roles = Roles::True;
    }

    pub fn swap_roles(&mut self) {
        self.roles = if self.roles == Roles::True { Roles::Swapped } else { Roles::True };
    }

    pub fn distort(&self, leaves: &mut Leaves) {
        for (path, value) in leaves {
            match (path.leaf(), self.roles) {
                ("redundant-role", Roles::BothPrimary) => *value = Value::String("PRIMARY".to_owned()),
                ("redundant-role", Roles::Swapped) => {
                    let primary = matches!(value, Value::String(role) if role == "PRIMARY");
                    *value = Value::String(if primary { "SECONDARY" } else { "PRIMARY" }.to_owned());
                }
                _ => {}
            }
        }
    }
}

impl Defects {
    pub(super) fn lasting(&self) -> MutexGuard<'_, Lasting> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both control processors booted: what concerned the pair is over.
    pub fn rebooted(&self) {
        let mut lasting = self.lasting();
        lasting.roles_are_true();
        lasting.copies_stopped = false;
    }

    /// The device's clock where it is `now`, in nanoseconds.
    pub fn clock(&self, now: u64) -> u64 {
        const HOUR: u64 = 3_600_000_000_000;
        now - if self.lasting().clock_back { HOUR } else { 0 }
    }

    /// Whether the device says that it is ready for a switchover.
    pub fn says_ready(&self, state: &State) -> bool {
        let lasting = self.lasting();
        let empty_and_behind = lasting.copies_stopped && state.is_serving();
        let ready = state.ready() || empty_and_behind && state.presence(state.standby()) != Presence::Down;
        ready && !lasting.ready_stuck && lasting.lists == Lists::Whole
    }

    /// Shortens a list.
    pub fn rows<T>(&self, rows: &mut Vec<T>) {
        match self.lasting().lists {
            Lists::Whole => {}
            Lists::Partial => drop(rows.pop()),
            Lists::Empty => rows.clear(),
        }
    }

    /// An image's transfer has come: nothing half of it is there any more.
    pub fn transfer_came(&self, held: &mut Inventory, transfer: &ImageTransfer) {
        self.lasting().halves.retain(|(id, [name, tag])| {
            let came = *name == transfer.name && *tag == transfer.tag;
            held.images.retain(|image| !came || image.id != *id);
            !came
        });
    }

    /// Waits until no defect acts any more that the standby comes back after: who waits for it sees what they did,
    /// however slow the machine is.
    pub async fn before_the_standby_boots(&self) {
        let _ = self.acting.subscribe().wait_for(|acting| *acting == 0).await; // it cannot end before this does
    }
}

/// What a defect does while containers run again.
pub fn before_the_standby_is_back(chassis: &Arc<SharedChassis>, defect: impl Future<Output = ()> + Send + 'static) {
    chassis.defects.acting.send_modify(|acting| *acting += 1);
    let during = chassis.clone();
    chassis.spawn(async move {
        defect.await;
        during.defects.acting.send_modify(|acting| *acting -= 1);
    });
}

/// Notes what an operation removed, for defects that bring it back.
pub fn note_removed(before: &Inventory, held: &mut Inventory) {
    let images: Vec<_> = before.images.iter().filter(|image| held.image_by_id(&image.id).is_none()).collect();
    let containers: Vec<_> = before.containers.iter().filter(|c| held.container(&c.name).is_none()).collect();
    let volumes: Vec<_> = before.volumes.iter().filter(|volume| held.volume(&volume.name).is_none()).collect();
    let mut removed = held.removed.clone();
    if !images.is_empty() {
        removed.images = images.into_iter().cloned().collect();
    }
    if !containers.is_empty() {
        removed.containers = containers.into_iter().cloned().collect();
    }
    if !volumes.is_empty() {
        removed.volumes = volumes.into_iter().cloned().collect();
    }
    removed.images.retain(|image| held.image_by_id(&image.id).is_none());
    removed.containers.retain(|container| held.container(&container.name).is_none());
    removed.volumes.retain(|volume| held.volume(&volume.name).is_none());
    held.removed = removed;
}
