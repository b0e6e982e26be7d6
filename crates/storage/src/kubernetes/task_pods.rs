//! Which pod is a task's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use super::cluster::Cluster;
use super::kept::Kept;
use super::made::Made;
use super::manifests::TASK_LABEL;
use holdfast_net::error::Result;

/// The pods of tasks in a cluster.
#[derive(Clone)]
pub struct TaskPods {
    /// Where they are.
    pub cluster: Cluster,
    /// The tasks that the cluster keeps.
    pub kept: Kept,
    /// The pods that the run made itself.
    pub made: Made,
    /// Those that were removed though their node said nothing.
    forced: Arc<Mutex<BTreeSet<String>>>,
}

impl TaskPods {
    /// None yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, kept: Kept::default(), made: Made::default(), forced: Arc::default() }
    }

    /// The pod of a task.
    pub fn pod(&self, task: &str, deadline: Instant) -> Result<Option<Pod>> {
        let pods = self.cluster.own::<Pod>();
        self.cluster.call("get a Pod", deadline, || self.ask_for(&pods, task))
    }

    /// The pod of a task: by its name, or by its label where the cluster named it.
    pub async fn ask_for(&self, pods: &Api<Pod>, task: &str) -> kube::Result<Option<Pod>> {
        if !self.kept.knows(task) {
            return pods.get_opt(task).await;
        }
        let mut found = pods.list(&ListParams::default().labels(&self.label(task))).await?.items;
        found.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        Ok(found.into_iter().next())
    }

    /// Whether a task's pod was removed though its node said nothing.
    pub fn was_forced(&self, task: &str) -> bool {
        self.forced.lock().unwrap_or_else(PoisonError::into_inner).contains(task)
    }

    /// What all pods of a task are known by.
    pub fn label(&self, task: &str) -> String {
        format!("{},{TASK_LABEL}={task}", self.cluster.own_label())
    }

    /// Notes that it is.
    pub fn note_forced(&self, task: &str) {
        self.forced.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned());
    }
}
