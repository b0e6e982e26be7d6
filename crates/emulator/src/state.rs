//! What a chassis is at this moment: roles, who is up, what the management address does.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A control processor's part in the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Primary,
    Secondary,
}

/// What the management address does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    /// That control processor answers on it.
    Serving(usize),
    /// Dials are refused.
    Closed,
    /// Nothing answers and nothing closes.
    Silent,
}

/// How far the active's container runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loading {
    /// It answers UNAVAILABLE.
    Underway,
    /// Its lists are empty (a defect that some devices have for a while).
    Empty,
    /// Its lists lack their last row (as above).
    Partial,
    Done,
}

/// Of a control processor's last switchover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    pub at: u64,
    pub trigger: String,
    pub details: String,
}

/// One control processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlProcessorState {
    pub role: Role,
    pub up: bool,
    /// Whether the standby has all that the active has.
    pub in_step: bool,
    pub boot_time: u64,
    pub reboot_reason: String,
    pub switched: Option<Switched>,
}

/// A reboot that was asked for and has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReboot {
    pub due: u64,
    pub message: String,
}

/// The whole chassis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "defects that come and stay, each by itself")]
pub struct State {
    pub active: usize,
    pub management: Management,
    pub loading: Loading,
    pub control_processors: [ControlProcessorState; 2],
    pub boot_time: u64,
    /// A switchover or reboot is under way.
    pub moving: bool,
    pub pending_reboot: Option<PendingReboot>,
    pub reboots: u32,
    /// Of what is stored, so far: the standby is in step once it has the last.
    pub changes: u64,
    /// A defect: `switchover-ready` stays false.
    pub ready_stuck: bool,
    /// A defect: the clock is an hour behind.
    pub clock_back: bool,
    /// A defect: the standby gets nothing any more, and is called in step.
    pub copies_stopped: bool,
    /// Defects that act while containers run again; the standby comes back after them, so that who waits for it
    /// sees what they did, however slow the machine is.
    pub late_defects: usize,
}

impl State {
    /// After power-on, with `active` in charge.
    pub fn booted(active: usize) -> Self {
        let now = now();
        let control_processor = |index| ControlProcessorState {
            role: if index == active { Role::Primary } else { Role::Secondary },
            up: true,
            in_step: true,
            boot_time: now,
            reboot_reason: "REBOOT_USER_INITIATED".to_owned(),
            switched: None,
        };
        Self {
            active,
            management: Management::Serving(active),
            loading: Loading::Done,
            control_processors: [control_processor(0), control_processor(1)],
            boot_time: now,
            moving: false,
            pending_reboot: None,
            reboots: 0,
            changes: 0,
            ready_stuck: false,
            clock_back: false,
            copies_stopped: false,
            late_defects: 0,
        }
    }

    /// The one that is not active.
    pub fn standby(&self) -> usize {
        1 - self.active
    }

    /// Whether a switchover would find everything on the other side.
    pub fn ready(&self) -> bool {
        let standby = &self.control_processors[self.standby()];
        !self.ready_stuck && !self.moving && self.loading == Loading::Done && standby.up && standby.in_step
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
