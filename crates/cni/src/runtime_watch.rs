//! Waiting, and ending when the runtime that started us ends.
//!
//! A pidfd of the parent, not a parent-death signal: that follows the thread that started us, and Go's threads come
//! and go.

#![expect(clippy::disallowed_methods, reason = "it waits for its parent's end, without the crates of gRPC")]

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

/// The runtime, as long as it lives.
pub struct RuntimeWatch {
    /// None where the parent cannot be watched, such as one in another PID namespace.
    parent: Option<OwnedFd>,
}

/// The runtime is no more, so nobody waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeEnded;

impl RuntimeWatch {
    /// Watches the process that started this one.
    pub fn begin() -> Self {
        let parent = getppid().and_then(|parent| {
            let watched = pidfd_open(parent, PidfdFlags::empty()).ok()?;
            (getppid() == Some(parent)).then_some(watched)
        });
        Self { parent }
    }

    /// Waits so long, for ever where no time is given, or until the runtime ends.
    pub fn wait(&self, time: Option<Duration>) -> Result<(), RuntimeEnded> {
        let end = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(());
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut watched: Vec<_> = self.parent.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            if let Ok(1..) = poll(&mut watched, timeout.as_ref()) {
                return Err(RuntimeEnded);
            }
        }
    }

    /// Waits until `condition` holds; false where it does not in time.
    pub fn wait_until(&self, time: Duration, mut condition: impl FnMut() -> bool) -> Result<bool, RuntimeEnded> {
        const STEP: Duration = Duration::from_millis(5);
        let end = Instant::now().checked_add(time);
        while !condition() {
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(false);
            }
            self.wait(Some(STEP))?;
        }
        Ok(true)
    }
}
