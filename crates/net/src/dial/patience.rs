//! How long a peer may be silent, and whether that means that it is gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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

/// Who expects an outage of a device, and since when nobody does; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ExpectedOutage(Arc<Mutex<Expectations>>);

#[derive(Debug, Default)]
struct Expectations {
    many: usize,
    ended: Option<Instant>,
}

/// An outage is expected for as long as it lives.
#[derive(Debug)]
pub struct Expecting(ExpectedOutage);

impl ExpectedOutage {
    /// From now on, until what it returns is dropped.
    pub fn begin(&self) -> Expecting {
        self.change(|held| held.many += 1);
        Expecting(self.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Expectations) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anybody expects one.
    pub fn is_expected(&self) -> bool {
        self.change(|held| held.many > 0)
    }

    /// Whether anybody expected one at any moment from `since` on.
    pub fn was_expected(&self, since: Instant) -> bool {
        self.change(|held| held.many > 0 || held.ended.is_some_and(|ended| ended >= since))
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.change(|held| {
            held.many -= 1;
            held.ended = Some(Instant::now());
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_was_expected_for_whoever_began_before_its_end() {
        let (outage, second) = (ExpectedOutage::default(), Duration::from_secs(1));
        let before = Instant::now();
        assert!(!outage.was_expected(before));
        let (first, other) = (outage.begin(), outage.begin());
        tokio::time::advance(second).await;
        drop(first);
        assert!(outage.is_expected() && outage.was_expected(Instant::now() + second), "one still expects it");
        drop(other);
        assert!(!outage.is_expected() && outage.was_expected(before));
        tokio::time::advance(second).await;
        assert!(!outage.was_expected(Instant::now()));
    }
}
