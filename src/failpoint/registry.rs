//! Which failpoints there are, which are armed, and how often each was hit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::terms::{Action, Terms};

/// A failpoint that a provider declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Such as `containerz.Deploy.chunk`.
    pub name: &'static str,
    /// What happens there.
    pub help: &'static str,
}

/// No such failpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no failpoint {asked:?}; the nearest is {nearest:?} (`holdfast failpoints` lists all)")]
pub struct Unknown {
    /// What was asked for.
    pub asked: String,
    /// What may have been meant.
    pub nearest: String,
}

/// What a hit asks of the site.
pub type Hit = Option<Action>;

#[derive(Debug, Default)]
struct State {
    terms: Option<Terms>,
    hits: u64,
}

/// The failpoints of one provider.
#[derive(Debug)]
pub struct Registry {
    names: &'static [Name],
    armed: AtomicUsize,
    states: Mutex<BTreeMap<&'static str, State>>,
}

impl Registry {
    /// With these names, none armed.
    pub fn new(names: &'static [Name]) -> Self {
        Self { names, armed: AtomicUsize::new(0), states: Mutex::default() }
    }

    /// All there are.
    pub fn names(&self) -> &'static [Name] {
        self.names
    }

    /// Arms `name`, or arms it anew.
    pub fn arm(&self, name: &str, terms: Terms) -> Result<(), Unknown> {
        let known = self.find(name)?;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(known).or_default();
        if state.terms.replace(terms).is_none() {
            self.armed.fetch_add(1, Ordering::Relaxed);
        }
        state.hits = 0;
        Ok(())
    }

    /// Disarms `name` and says how often it was hit.
    pub fn disarm(&self, name: &str) -> Result<u64, Unknown> {
        let known = self.find(name)?;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(known) else { return Ok(0) };
        if state.terms.take().is_some() {
            self.armed.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(state.hits)
    }

    /// How often `name` was hit since it was armed.
    pub fn hits(&self, name: &str) -> Result<u64, Unknown> {
        let known = self.find(name)?;
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(states.get(known).map_or(0, |state| state.hits))
    }

    /// Passes the site `name`: one atomic load while nothing is armed.
    pub fn hit(&self, name: &str) -> Hit {
        if self.armed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.get_mut(name)?;
        let action = state.terms.as_mut()?.fire()?;
        state.hits += 1;
        Some(action)
    }

    /// Whether the defect `name` shows this time: any term but `off` that fires turns it on.
    pub fn fires(&self, name: &str) -> bool {
        matches!(self.hit(name), Some(action) if action != Action::Off)
    }

    fn find(&self, name: &str) -> Result<&'static str, Unknown> {
        if let Some(known) = self.names.iter().find(|known| known.name == name) {
            Ok(known.name)
        } else {
            let nearest = self.names.iter().min_by_key(|known| distance(known.name, name));
            let nearest = nearest.map_or(String::new(), |known| known.name.to_owned());
            Err(Unknown { asked: name.to_owned(), nearest })
        }
    }
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[Name] =
        &[Name { name: "containerz.Deploy", help: "" }, Name { name: "switchover.ignored", help: "" }];

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error =
            Registry::new(NAMES).arm("containerz.deploi", "1*off".parse().expect("terms")).expect_err("unknown");
        assert_eq!(error.nearest, "containerz.Deploy");
    }

    #[test]
    fn hits_are_counted_and_run_out() {
        let registry = Registry::new(NAMES);
        assert_eq!(registry.hit("switchover.ignored"), None);
        registry.arm("switchover.ignored", "1*off->1*error(x)".parse().expect("terms")).expect("known");
        assert!(!registry.fires("switchover.ignored"));
        assert!(registry.fires("switchover.ignored"));
        assert!(!registry.fires("switchover.ignored"));
        assert_eq!(registry.disarm("switchover.ignored"), Ok(2));
    }
}
