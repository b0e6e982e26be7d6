//! A node is drained as its administrator would: it gets no more pods, and those that it has are evicted.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{EvictParams, Patch, PatchParams};
use serde_json::json;
use tonic::Code;

use super::cluster::Cluster;
use super::pods::Pods;
use super::recovery::{POWERED_OFF, Recovery};
use crate::faults::{Fault, Faults, Network, Part};
use holdfast_net::error::{Error, Result};

/// Where the run's namespace says which nodes get no pods until the run is over.
pub const CORDONED: &str = "holdfast.dev/cordoned-nodes";

/// What harms the nodes of a cluster: what can be done through its API, and what whoever has the nodes does.
pub struct ByCluster {
    pods: Pods,
    recovery: Option<Recovery>,
    beneath: Arc<dyn Faults>,
}

impl ByCluster {
    /// Through the cluster of these pods, and by whom has its nodes; `recovery` is what follows on the loss of one.
    pub fn new(pods: Pods, recovery: Option<Recovery>, beneath: Arc<dyn Faults>) -> Self {
        Self { pods, recovery, beneath }
    }

    /// Why what follows on a fault cannot be done, where the cluster does not allow it.
    fn forbidden(&self, fault: Fault) -> Option<String> {
        let right = match fault {
            Fault::PowerOff => Recovery::Taint,
            Fault::Cut(Network::All | Network::Control | Network::Storage)
            | Fault::Kill(Part::Plugin)
            | Fault::Stop(Part::Plugin)
            | Fault::Hang(Part::Plugin) => Recovery::Force,
            _ => return None,
        };
        match self.recovery.unwrap_or(right) {
            Recovery::Wait => None,
            Recovery::Taint => self.pods.cluster().forbids(&[("", "nodes", "patch")]),
            Recovery::Force => self.pods.cluster().forbids(&[("storage.k8s.io", "volumeattachments", "delete")]),
        }
    }
}

impl Faults for ByCluster {
    fn lacks(&self, fault: Fault) -> Option<String> {
        match fault {
            Fault::Drain => self.pods.cluster().forbids(&[("", "nodes", "patch"), ("", "pods/eviction", "create")]),
            Fault::Uncordon => None,
            fault => self.beneath.lacks(fault).or_else(|| self.forbidden(fault)),
        }
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        if fault.may_end_tasks() {
            self.pods.tasks().made.forget_on(node);
        }
        match fault {
            Fault::Drain => self.pods.drain(node, deadline),
            Fault::Uncordon => self.pods.cluster().cordon(node, false, deadline),
            Fault::PowerOff => {
                self.pods.cluster().remember(POWERED_OFF, node, true, deadline)?;
                self.beneath.inflict(node, fault, deadline)
            }
            Fault::PowerOn => {
                self.beneath.inflict(node, fault, deadline)?;
                self.pods.cluster().remember(POWERED_OFF, node, false, deadline)
            }
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
        let here = self.all_on(node, deadline)?;
        let params = EvictParams::default();
        for pod in &here {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            match cluster.call("evict a Pod", deadline, || pods.evict(name, &params)) {
                Err(error) if error.code() != Some(Code::NotFound) => return Err(error),
                _ => {}
            }
        }
        here.iter().try_for_each(|pod| cluster.wait_this_gone(&pods, pod, deadline))
    }
}

impl Cluster {
    /// Whether a node gets no more pods; first, in the run's namespace, that this is to be undone.
    pub fn cordon(&self, node: &str, cordoned: bool, deadline: Instant) -> Result<()> {
        let nodes = self.all::<Node>();
        if cordoned {
            let found = self.find(&nodes, node, deadline)?;
            let is_cordoned = found.and_then(|node| node.spec?.unschedulable).unwrap_or(false);
            if is_cordoned && !self.remembered(CORDONED, deadline)?.contains(&node.to_owned()) {
                return Err(Error::lab(format!("somebody else has cordoned {node}")));
            }
            self.remember(CORDONED, node, true, deadline)?;
        }
        let patch = Patch::Merge(json!({"spec": {"unschedulable": cordoned}}));
        let params = PatchParams::default();
        match self.call("patch a Node", deadline, || nodes.patch(node, &params, &patch)) {
            Err(error) if error.code() == Some(Code::NotFound) && !cordoned => {} // it has left the cluster
            answered => drop(answered?),
        }
        if cordoned { Ok(()) } else { self.remember(CORDONED, node, false, deadline) }
    }
}
