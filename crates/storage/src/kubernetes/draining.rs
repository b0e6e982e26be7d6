//! A node is drained as its administrator would: it gets no more pods, and those that it has are evicted.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{EvictParams, Patch, PatchParams};
use serde_json::json;
use tonic::Code;

use super::cluster::Cluster;
use super::pods::Pods;
use crate::faults::{Fault, Faults};
use holdfast_net::error::Result;

/// Where the run's namespace says which nodes get no pods until the run is over.
pub const CORDONED: &str = "holdfast.dev/cordoned-nodes";

/// What harms the nodes of a cluster: what can be done through its API, and what whoever has the nodes does.
pub struct ByCluster {
    pods: Pods,
    beneath: Arc<dyn Faults>,
}

impl ByCluster {
    /// Through the cluster of these pods, and by whom has its nodes.
    pub fn new(pods: Pods, beneath: Arc<dyn Faults>) -> Self {
        Self { pods, beneath }
    }
}

impl Faults for ByCluster {
    fn lacks(&self, fault: Fault) -> Option<String> {
        match fault {
            Fault::Drain => self.pods.cluster().forbids(&[("", "nodes", "patch"), ("", "pods/eviction", "create")]),
            Fault::Uncordon => None,
            fault => self.beneath.lacks(fault),
        }
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        match fault {
            Fault::Drain => self.pods.drain(node, deadline),
            Fault::Uncordon => self.pods.cluster().cordon(node, false, deadline),
            fault => self.beneath.inflict(node, fault, deadline),
        }
    }
}

impl Pods {
    /// Evicts the run's pods from a node that gets no more of them, and waits until they are gone.
    fn drain(&self, node: &str, deadline: Instant) -> Result<()> {
        let cluster = self.cluster();
        cluster.cordon(node, true, deadline)?;
        let pods = cluster.own::<Pod>();
        let names = self.all_on(node, deadline)?;
        for name in &names {
            match cluster.call("evict a Pod", deadline, pods.evict(name, &EvictParams::default())) {
                Err(error) if error.code() != Some(Code::NotFound) => return Err(error),
                _ => {}
            }
        }
        names.iter().try_for_each(|name| cluster.wait_gone(&pods, name, deadline))
    }
}

impl Cluster {
    /// Whether a node gets no more pods; first, in the run's namespace, that this is to be undone.
    pub fn cordon(&self, node: &str, cordoned: bool, deadline: Instant) -> Result<()> {
        if cordoned {
            self.remember(CORDONED, node, true, deadline)?;
        }
        let patch = Patch::Merge(json!({"spec": {"unschedulable": cordoned}}));
        let nodes = self.all::<Node>();
        self.call("patch a Node", deadline, nodes.patch(node, &PatchParams::default(), &patch))?;
        if cordoned { Ok(()) } else { self.remember(CORDONED, node, false, deadline) }
    }
}
