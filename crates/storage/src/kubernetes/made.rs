//! The pods that a run made: what becomes of one that the run neither removed nor harmed, somebody else did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;

/// The pods of tasks, each with its node.
#[derive(Clone, Default)]
pub struct Made(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pods: BTreeMap<String, One>,
    used: BTreeSet<String>,
}

struct One {
    node: String,
    /// Of a pod that the cluster keeps: it makes others, of names of its own or of that very name. One that the run made
    /// is known by its task's name.
    uid: Option<String>,
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

    /// The run made a task's pod.
    pub fn add(&self, task: &str, node: &str) {
        let one = One { node: node.to_owned(), uid: None };
        self.change(|inner| inner.pods.insert(task.to_owned(), one));
    }

    /// The cluster made the pod of a task that it keeps.
    pub fn add_kept(&self, task: &str, node: &str, uid: &str) {
        let one = One { node: node.to_owned(), uid: Some(uid.to_owned()) };
        self.change(|inner| inner.pods.insert(task.to_owned(), one));
    }

    /// The run removes it.
    pub fn forget(&self, task: &str) {
        self.change(|inner| inner.pods.remove(task));
    }

    /// The run harms a node so that its pods may go.
    pub fn forget_on(&self, node: &str) {
        self.change(|inner| inner.pods.retain(|_, one| one.node != node));
    }

    /// The task whose pod was made on a node, and is not among those `there`, or is about to go.
    pub fn gone(&self, node: &str, there: &[Pod]) -> Option<String> {
        let stays = |task: &String, one: &One| {
            there.iter().any(|pod| {
                let is_it = match &one.uid {
                    Some(uid) => pod.metadata.uid.as_ref() == Some(uid),
                    None => pod.metadata.name.as_ref() == Some(task),
                };
                is_it && pod.metadata.deletion_timestamp.is_none()
            })
        };
        self.change(|inner| {
            let mut here = inner.pods.iter().filter(|(_, one)| one.node == node);
            here.find(|(task, one)| !stays(task, one)).map(|(task, _)| task.clone())
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

    #[test]
    fn the_pod_that_a_cluster_makes_in_the_place_of_another_is_another() {
        let pod = |uid: &str| -> Pod { object(&json!({"metadata": {"name": "task-0", "uid": uid}})).expect("a pod") };
        let made = Made::default();
        made.add_kept("task", "node1", "1");
        assert_eq!(made.gone("node1", &[pod("1")]), None);
        assert_eq!(made.gone("node1", &[pod("2")]).as_deref(), Some("task"));
        made.add_kept("task", "node1", "2");
        assert_eq!(made.gone("node1", &[pod("2")]), None);
    }
}
