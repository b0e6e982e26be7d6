//! The ways in which a device may be asked for its control processors' leaves, and what a session learnt of them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gnmi::{Form, Path, Reader};
use crate::wire::gnmi::Encoding;

/// The leaves that are asked for: a subtree of all components is tens of megabytes on a big chassis.
pub const LEAVES: [&str; 7] = [
    "redundant-role",
    "software-version",
    "switchover-ready",
    "type",
    "oper-status",
    "boot-time",
    "last-switchover-time",
];
/// From a search for a form that found none to the next, at first and at most.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// How components are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// `component[name=*]`
    Any,
    /// `component` without a key.
    Keyless,
    /// Each by its name.
    Each(Vec<String>),
}

/// A way to ask for the control processors' leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolesQuery {
    pub form: Form,
    pub naming: Naming,
}

impl RolesQuery {
    /// That of most devices.
    pub fn usual(encoding: Encoding) -> Self {
        Self { form: Form { reader: Reader::Once, encoding, origin: true, target: false }, naming: Naming::Any }
    }

    pub fn paths(&self, leaves: &[&str]) -> Vec<Path> {
        let components = match &self.naming {
            Naming::Any => vec![Path::component("*")],
            Naming::Keyless => vec![keyless()],
            Naming::Each(names) => names.iter().map(|name| Path::component(name)).collect(),
        };
        let below = |leaf: &&str| components.iter().map(|path| path.child("state").child(leaf)).collect::<Vec<_>>();
        leaves.iter().flat_map(below).collect()
    }
}

impl fmt::Display for RolesQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.paths(&LEAVES[..1]);
        let first = asked.first().map(ToString::to_string).unwrap_or_default();
        write!(f, "{first} and the like by {}", self.form)
    }
}

fn keyless() -> Path {
    let mut path = Path::component("*");
    path.elements.iter_mut().for_each(|element| element.keys.clear());
    path
}

/// What a session learnt of how its device is asked.
#[derive(Debug, Default)]
pub struct Reading(Mutex<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    /// What worked last.
    way: Option<RolesQuery>,
    /// When the next search may begin, after those that found nothing, and the pause before it.
    search: Option<(Instant, Duration)>,
    /// When components were last named anew.
    named: Option<Instant>,
    /// What the device said when it last refused.
    refusal: Option<String>,
}

impl Reading {
    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What worked last.
    pub fn way(&self) -> Option<RolesQuery> {
        self.learnt().way.clone()
    }

    /// Remembers what the device said when it refused.
    pub fn refused(&self, words: String) {
        self.learnt().refusal = Some(words);
    }

    /// The device's words, where it refuses to tell.
    pub fn refusal(&self) -> Option<String> {
        self.learnt().refusal.clone()
    }

    /// The form that the device answers, once it did.
    pub fn form(&self) -> Option<Form> {
        self.learnt().way.as_ref().map(|way| way.form)
    }

    /// Paths of leaves below each component's state, in the way that the device answers.
    pub fn paths(&self, leaves: &[&str]) -> Vec<Path> {
        let way = self.way().unwrap_or_else(|| RolesQuery::usual(Encoding::Proto));
        way.paths(leaves).iter().map(|path| way.form.path(path)).collect()
    }

    pub fn works(&self, way: RolesQuery) {
        let mut learnt = self.learnt();
        *learnt = Learnt { way: Some(way), named: learnt.named, ..Learnt::default() };
    }

    /// Whether it is time to ask for components' names again.
    pub fn may_name(&self) -> bool {
        let mut learnt = self.learnt();
        let due = learnt.named.is_none_or(|named| named.elapsed() >= SEARCH_PAUSE);
        if due {
            learnt.named = Some(Instant::now());
        }
        due
    }

    /// Whether it is time to search; not again at once where that found nothing.
    pub fn may_search(&self) -> bool {
        let mut learnt = self.learnt();
        let now = Instant::now();
        let pause = match learnt.search {
            Some((next, _)) if now < next => return false,
            Some((_, pause)) => (pause * 2).min(LONGEST_PAUSE),
            None => SEARCH_PAUSE,
        };
        learnt.search = Some((now + pause, pause));
        true
    }
}
