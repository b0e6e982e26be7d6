//! What a lab runs of its own beside the plugins: an engine, a kubelet, a control plane. One of these that ends though
//! nobody ended it is the lab's trouble, and nobody else's fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::starting::Started;

/// Those that run and shall run, by their folders in the lab: that of a node or of the server, and in it their own.
#[derive(Clone, Default)]
pub struct Parts(Arc<Mutex<BTreeMap<String, Started>>>);

impl Parts {
    /// Looks at them, or changes them.
    pub fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Started>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those in a folder end, as they shall.
    pub fn forget_in(&self, folder: &str) {
        self.change(|parts| parts.retain(|name, _| !is_in(name, folder)));
    }

    /// One in a folder that ended by itself, and how.
    pub fn ended_in(&self, folder: &str) -> Option<(String, std::process::ExitStatus)> {
        self.change(|parts| {
            let mut own = parts.iter().filter(|(name, _)| is_in(name, folder));
            own.find_map(|(name, part)| Some((name.clone(), part.ended()?)))
        })
    }
}

fn is_in(name: &str, folder: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| first == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_by_itself_is_told_of_its_own_node_and_of_none_that_was_ended() {
        let parts = Parts::default();
        let ended = std::process::Command::new("false").status().expect("a process");
        let put = |name: &str, status| {
            let started = Started { waiting: 1, ended: Arc::new(Mutex::new(status)) };
            parts.change(|parts| parts.insert(name.to_owned(), started));
        };
        put("node1/kubelet", None);
        put("node2/kubelet", Some(ended));
        put("node10/runtime", Some(ended));
        assert_eq!(parts.ended_in("node1"), None);
        assert_eq!(parts.ended_in("node2").map(|(name, _)| name).as_deref(), Some("node2/kubelet"));
        parts.forget_in("node2");
        assert_eq!(parts.ended_in("node2"), None);
        assert!(parts.ended_in("node10").is_some(), "it begins alike, and is another");
    }
}
