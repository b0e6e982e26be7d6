//! What was asked of a device and what was seen of it, and when.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Older events are dropped beyond this many, so that a soak does not grow without end.
const CAPACITY: usize = 20_000;

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A call and its answer; fields `call` and `status` (`OK` or a gRPC status by its name, none for other errors).
    Call,
    /// A connection was lost; field `address`.
    Connection,
    /// A connection was made; field `address`.
    Dial,
    /// What was waited for holds, or does not.
    Expectation,
    /// What the device says otherwise than before; fields `control_processor` and `role` (none where it has none).
    Gnmi,
    /// What the judge of a storage provider found.
    Judge,
    /// Anything else, a note of the user's among them.
    Note,
    /// The device went away, or answers again; field `outage`, in the second case.
    Outage,
    /// A cold reboot, and what came of it.
    Reboot,
    /// A request that changes the device.
    Rpc,
    /// What was done to storage.
    Storage,
    /// A switchover, and what came of it.
    Switchover,
}

impl EventKind {
    /// As Python and the artifacts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Connection => "connection",
            Self::Dial => "dial",
            Self::Expectation => "expectation",
            Self::Gnmi => "gnmi",
            Self::Judge => "judge",
            Self::Note => "note",
            Self::Outage => "outage",
            Self::Reboot => "reboot",
            Self::Rpc => "rpc",
            Self::Storage => "storage",
            Self::Switchover => "switchover",
        }
    }
}

/// A value of an event, for programs; the event's text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A name, an address, a word.
    Text(String),
    /// How long something took.
    Time(Duration),
}

impl<T: Into<String>> From<T> for Field {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// What is known of an event beside its text, by name.
pub type Fields = Vec<(&'static str, Field)>;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the timeline began.
    pub at: Duration,
    /// By this machine's clock.
    pub time: SystemTime,
    /// What sort of thing it is.
    pub kind: EventKind,
    /// In words.
    pub text: String,
    /// The same for programs: which fields there are, says its kind.
    pub fields: Fields,
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
    pub fn record(&self, kind: EventKind, text: impl Into<String>) {
        self.record_fields(kind, text, Fields::new());
    }

    /// Adds an event that happens now, with what programs need to know of it.
    pub fn record_fields(&self, kind: EventKind, text: impl Into<String>, fields: Fields) {
        let (at, time) = (self.start.elapsed(), SystemTime::now());
        let event = Event { at, time, kind, text: text.into(), fields, repeated: 0 };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = events.back_mut().filter(|last| last.kind == kind && last.text == event.text) {
            last.repeated += 1;
            return;
        }
        tracing::debug!(target: "holdfast.timeline", kind = kind.name(), "{}", event.text);
        if events.len() == CAPACITY {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Where `moment` lies on it.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// Whether there is an event of a kind that is as asked.
    pub fn has(&self, kind: EventKind, is: impl Fn(&Event) -> bool) -> bool {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().any(|event| event.kind == kind && is(event))
    }

    /// Everything from `from` on, oldest first.
    pub fn since(&self, from: Duration) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.at >= from).cloned().collect()
    }
}
