//! The pods that a run made: what becomes of one that the run neither removed nor harmed, somebody else did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;

/// Pods by their names, each with its node. Those that the cluster keeps are not among them: their names are its own.
#[derive(Clone, Default)]
pub struct Made(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pods: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Made {
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A node has pods of the run.
    pub fn use_node(&self, node: &str) {
        self.change(|inner| inner.used.insert(node.to_owned()));
    }

    /// Whether a node had one.
    pub fn has_used(&self, node: &str) -> bool {
        self.change(|inner| inner.used.contains(node))
    }

    /// A pod was made.
    pub fn add(&self, pod: &str, node: &str) {
        self.change(|inner| inner.pods.insert(pod.to_owned(), node.to_owned()));
    }

    /// The run removes it.
    pub fn forget(&self, pod: &str) {
        self.change(|inner| inner.pods.remove(pod));
    }

    /// The run harms a node: what becomes of its pods is of that.
    pub fn forget_on(&self, node: &str) {
        self.change(|inner| inner.pods.retain(|_, on| on != node));
    }

    /// A pod that was made on a node, and is not among those `there`, or is about to go.
    pub fn gone(&self, node: &str, there: &[Pod]) -> Option<String> {
        let stays = |name: &String| {
            let mut same = there.iter().filter(|pod| pod.metadata.name.as_ref() == Some(name));
            same.any(|pod| pod.metadata.deletion_timestamp.is_none())
        };
        self.change(|inner| {
            inner.pods.iter().find(|(name, on)| *on == node && !stays(name)).map(|(name, _)| name.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::manifests::object;
    use serde_json::json;

    #[test]
    fn a_pod_that_somebody_else_deleted_is_told_from_one_that_the_run_removed_or_harmed() {
        let pod = |name: &str, deleted: Option<&str>| -> Pod {
            object(&json!({"metadata": {"name": name, "deletionTimestamp": deleted}})).expect("a pod")
        };
        let made = Made::default();
        for (name, node) in [("a", "node1"), ("b", "node1"), ("c", "node2")] {
            made.add(name, node);
        }
        let both = [pod("a", None), pod("b", None)];
        assert_eq!(made.gone("node1", &both), None);
        assert_eq!(made.gone("node1", &both[..1]).as_deref(), Some("b"));
        let going = [pod("a", Some("2026-01-01T00:00:00Z")), pod("b", None)];
        assert_eq!(made.gone("node1", &going).as_deref(), Some("a"));
        made.forget("b");
        assert_eq!(made.gone("node1", &both[..1]), None);
        assert_eq!(made.gone("node2", &[]).as_deref(), Some("c"));
        made.forget_on("node2");
        assert_eq!(made.gone("node2", &[]), None);
    }
}
