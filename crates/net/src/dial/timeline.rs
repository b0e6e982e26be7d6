//! What was asked of a device and what was seen of it, and when.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Older events are dropped beyond this many, so that a soak does not grow without end.
const CAPACITY: usize = 20_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the timeline began.
    pub at: Duration,
    /// By this machine's clock.
    pub time: SystemTime,
    /// `dial`, `connection`, `call`, `switchover`, `reboot`, `outage`, `expectation`, `rpc` (a request
    /// that changes the device), `gnmi` (what it says otherwise than before), `note`.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// How often the same happened again, with nothing else between.
    pub repeated: u32,
}

/// A shared, append-only record.
#[derive(Debug, Clone)]
pub struct Timeline {
    start: Instant,
    events: Arc<Mutex<VecDeque<Event>>>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { start: Instant::now(), events: Arc::default() }
    }
}

impl Timeline {
    /// Adds an event that happens now.
    pub fn record(&self, kind: &'static str, text: impl Into<String>) {
        let event = Event { at: self.start.elapsed(), time: SystemTime::now(), kind, text: text.into(), repeated: 0 };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = events.back_mut().filter(|last| last.kind == kind && last.text == event.text) {
            last.repeated += 1;
            return;
        }
        tracing::debug!(target: "holdfast.timeline", kind, "{}", event.text);
        if events.len() == CAPACITY {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Where `moment` lies on it.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// Everything from `from` on, oldest first.
    pub fn since(&self, from: Duration) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.at >= from).cloned().collect()
    }
}
