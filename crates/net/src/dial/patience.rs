//! How long a peer may be silent, and whether that means that it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a peer may be silent before somebody looks whether it is there. Silence alone ends no call: a device may be
/// slow. Where an outage is expected, it does.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With a call pending, before it is asked whether it is there.
    pub silence: Duration,
    /// From that question until it is suspected to be gone.
    pub answer: Duration,
}

impl Patience {
    /// So long in all, before a peer is suspected to be gone.
    pub fn lasting(silence: Duration) -> Self {
        let silence = silence.max(Duration::from_millis(100));
        Self { silence: silence * 2 / 5, answer: silence * 3 / 5 }
    }
}

/// Counts who expects an outage of a device at the moment; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ExpectedOutage(Arc<AtomicUsize>);

/// An outage is expected for as long as it lives.
#[derive(Debug)]
pub struct Expecting(ExpectedOutage);

impl ExpectedOutage {
    /// From now on, until what it returns is dropped.
    pub fn begin(&self) -> Expecting {
        self.0.fetch_add(1, Ordering::AcqRel);
        Expecting(self.clone())
    }

    /// Whether anybody expects one.
    pub fn is_expected(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How a connection is watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// How long its peer may be silent.
    pub patience: Patience,
    /// Whether its silence means that it is gone.
    pub outage: ExpectedOutage,
    /// The target has no other address, so whoever answers is in charge.
    pub alone: bool,
}
