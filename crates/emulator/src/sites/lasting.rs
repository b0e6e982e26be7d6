//! What defects leave on that came and stay.

use crate::state::{Presence, State};
use crate::store::Inventory;
use holdfast_wire::gnoi::containerz::ImageTransfer;
use holdfast_wire::path::Path;
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

    pub fn distort(&self, leaves: &mut [(Path, Value)]) {
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

    /// Both control processors booted: what concerned the pair is over.
    pub fn rebooted(&mut self) {
        self.roles_are_true();
        self.copies_stopped = false;
    }

    /// The device's clock where it is `now`, in nanoseconds.
    pub fn clock(&self, now: u64) -> u64 {
        const HOUR: u64 = 3_600_000_000_000;
        now - if self.clock_back { HOUR } else { 0 }
    }

    /// Whether the device says that it is ready for a switchover.
    pub fn says_ready(&self, state: &State) -> bool {
        let empty_and_behind = self.copies_stopped && state.is_serving();
        let ready = state.ready() || empty_and_behind && state.presence(state.standby()) != Presence::Down;
        ready && !self.ready_stuck && self.lists == Lists::Whole
    }

    /// Shortens a list.
    pub fn rows<T>(&self, rows: &mut Vec<T>) {
        match self.lists {
            Lists::Whole => {}
            Lists::Partial => drop(rows.pop()),
            Lists::Empty => rows.clear(),
        }
    }

    /// An image's transfer has come: nothing half of it is there any more.
    pub fn transfer_came(&mut self, held: &mut Inventory, transfer: &ImageTransfer) {
        self.halves.retain(|(id, [name, tag])| {
            let came = *name == transfer.name && *tag == transfer.tag;
            held.images.retain(|image| !came || image.id != *id);
            !came
        });
    }
}
