//! One call of a session: its name, its limits, and whether it may be repeated.

use std::time::Duration;

use tokio::time::Instant;

/// Whether a call may be made again when its answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// A read: again and again until its deadline.
    Freely,
    /// Anything that changes the device: only when no byte of it can have left.
    IfUnsent,
}

/// One call's name and limits.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Such as `Containerz.StartContainer`.
    pub name: &'static str,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// In all, repetitions included.
    pub deadline: Instant,
    /// Until when a change is asked for again that the device itself refused with UNAVAILABLE: nothing is unknown then.
    pub refused_until: Option<Instant>,
    /// Give an attempt up on a peer that says nothing for so long, and dial afresh.
    pub attempt: Option<Duration>,
}

impl Call {
    /// A call that is repeated until `deadline`.
    pub fn read(name: &'static str, deadline: Instant) -> Self {
        Self { name, repeat: Repeat::Freely, deadline, refused_until: None, attempt: None }
    }

    /// A call that is made once.
    pub fn write(name: &'static str, deadline: Instant) -> Self {
        Self { name, repeat: Repeat::IfUnsent, deadline, refused_until: None, attempt: None }
    }

    /// For probing a device that may be away.
    #[must_use]
    pub fn probing(mut self, attempt: Duration) -> Self {
        self.attempt = Some(attempt);
        self
    }
}
