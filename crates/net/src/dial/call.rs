//! One call of a session: its name, its limits, and whether it may be repeated.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Kind};

/// From a refusal with UNAVAILABLE to the next try of a read.
pub(super) const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(50);

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

pub(super) fn outcome_unknown(why: &str) -> Error {
    Error::new(Kind::OutcomeUnknown, format!("sent, outcome unknown: {why}"))
        .hint("look at the device before you do it again: it may have been done")
}

pub(super) fn out_of_time(call: Call, last: Option<Error>) -> Error {
    let timed_out = Instant::now() + UNAVAILABLE_PAUSE >= call.deadline; // too late for another try
    match last {
        Some(error) if !timed_out => error,
        Some(error) => {
            let mut late = Error::new(Kind::Timeout, format!("no good answer in time; the last: {}", short(&error)));
            (late.hint, late.remedy) = (error.hint, error.remedy);
            late
        }
        None => Error::new(Kind::Timeout, "no answer in time").hint("give it more time, or look at the device's load"),
    }
}

pub(super) fn short(error: &Error) -> String {
    Error { device: None, operation: None, after: None, ..error.clone() }.to_string()
}
