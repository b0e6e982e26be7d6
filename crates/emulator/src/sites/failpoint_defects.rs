//! Defects that a failpoint of a healthy device does: rows of terms.

use std::sync::Arc;

use holdfast_failpoint::{Action, Fired, Registry, Terms};

/// The rows of one chassis, and its failpoints.
#[derive(Clone)]
pub struct FailpointDefects {
    registry: Arc<Registry>,
    /// The defect's name, the failpoint's, and the terms that fire there.
    rows: Arc<[(&'static str, &'static str, &'static str)]>,
}

impl FailpointDefects {
    pub fn new(registry: Arc<Registry>, rows: Vec<(&'static str, &'static str, &'static str)>) -> Self {
        Self { registry, rows: rows.into() }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The defects that are terms at the failpoint `site`: their names, and the terms. Nothing where nothing is armed.
    pub fn rows_at(&self, site: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let rows = if self.registry.is_idle() { &[] } else { &*self.rows };
        rows.iter().filter(move |(_, known, _)| *known == site).map(|(defect, _, terms)| (*defect, *terms))
    }

    /// What the row of `name` does at its failpoint this time.
    pub fn turned_on(&self, name: &str, terms: &str) -> Option<Fired> {
        let mut fired = self.registry.hit(name)?;
        if fired.actions.iter().all(|action| *action == Action::Off) {
            return None;
        }
        fired.actions = terms.parse::<Terms>().ok()?.fire(fired.draw)?;
        Some(fired)
    }
}
