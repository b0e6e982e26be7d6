//! What gNOI Healthz says of one control processor and of its processes: events, and what was collected on each.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state::now;

/// The process that KillProcess may end.
pub const PROCESS: &str = "supervisor";

/// How many events are kept; the oldest go.
const MOST_EVENTS: usize = 100;

/// The health of a control processor.
#[derive(Debug, Default)]
pub struct Health(Mutex<Vec<Event>>);

/// Something that befell it, or a look at it.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    /// The process that it is about; the control processor itself, if none is named.
    pub process: Option<String>,
    pub healthy: bool,
    /// Nanoseconds since the epoch.
    pub created: u64,
    pub acknowledged: bool,
    pub artifacts: Vec<Artifact>,
}

/// What was collected.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub id: String,
    pub name: String,
    pub contents: Vec<u8>,
}

impl Health {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its events, or those of a process, the oldest first.
    pub fn of(&self, process: Option<&str>) -> Vec<Event> {
        let concerns = |event: &&Event| process.is_none() || event.process.as_deref() == process;
        self.events().iter().filter(concerns).cloned().collect()
    }

    /// Keeps an event with one artifact.
    pub fn record(&self, process: Option<&str>, healthy: bool, name: &str, text: &str) -> Event {
        let created = now();
        let id = format!("event-{created:x}");
        let artifacts = vec![Artifact::new(&id, 1, name, text)];
        let event = Event { id, process: process.map(str::to_owned), healthy, created, acknowledged: false, artifacts };
        let mut events = self.events();
        let spare = (events.len() + 1).saturating_sub(MOST_EVENTS);
        events.drain(..spare);
        events.push(event.clone());
        event
    }

    /// A process ended that should not have.
    pub fn process_crashed(&self, process: &str) {
        let text = format!("EMULATED: process {process} ended by signal 11 and was started again\n");
        self.record(Some(process), false, &format!("{process}.log"), &text);
    }

    /// Changes an event; it, where it is there.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Event)) -> Option<Event> {
        let mut events = self.events();
        let event = events.iter_mut().find(|event| event.id == id)?;
        change(event);
        Some(event.clone())
    }

    /// An artifact, by its id.
    pub fn artifact(&self, id: &str) -> Option<Artifact> {
        let events = self.events();
        events.iter().flat_map(|event| &event.artifacts).find(|artifact| artifact.id == id).cloned()
    }
}

impl Artifact {
    /// The `number`th of an event.
    pub fn new(event: &str, number: usize, name: &str, text: &str) -> Self {
        Self { id: format!("{event}/{number}"), name: name.to_owned(), contents: text.as_bytes().to_vec() }
    }
}
