//! How a volume is taken from a node that cannot be asked, as a cluster's administrator would.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Instant;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tonic::Code;

use super::cluster::Cluster;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// The taint that tells a cluster that a node is out of service: it may take its volumes at once.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Where the run's namespace says what is to be undone once the run is over: the nodes that have the taint.
pub const TAINTED: &str = "holdfast.dev/tainted-nodes";
/// And which it has powered off, by a command of the user's.
pub const POWERED_OFF: &str = "holdfast.dev/powered-off-nodes";
/// What is done for a task whose node is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing: the cluster moves its volume by itself, after minutes, or never.
    Wait,
    /// The node gets the taint `node.kubernetes.io/out-of-service`, which may be done to a node that is powered off, and to
    /// no other.
    Taint,
    /// Its VolumeAttachments are removed.
    Force,
}

impl FromStr for Recovery {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "wait" => Ok(Self::Wait),
            "taint" => Ok(Self::Taint),
            "force" => Ok(Self::Force),
            _ => Err(Error::invalid(format!("recovery: {word:?}")).hint("wait, taint or force")),
        }
    }
}

impl Cluster {
    /// Which nodes have which persistent volume attached, as the cluster's VolumeAttachments say.
    pub fn attachments(&self, deadline: Instant) -> Result<BTreeMap<String, Vec<String>>> {
        let found = self.list(&self.all::<VolumeAttachment>(), "", deadline)?;
        let mut attached: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for attachment in found {
            if let Some(volume) = attachment.spec.source.persistent_volume_name {
                attached.entry(volume).or_default().push(attachment.spec.node_name);
            }
        }
        Ok(attached)
    }

    /// Removes what attaches a persistent volume to a node.
    pub fn detach(&self, volume: &str, node: &str, deadline: Instant) -> Result<()> {
        let attachments = self.all::<VolumeAttachment>();
        for attachment in self.list(&attachments, "", deadline)? {
            let of_volume = attachment.spec.source.persistent_volume_name.as_deref() == Some(volume);
            if let Some(name) = attachment.metadata.name.filter(|_| of_volume && attachment.spec.node_name == node) {
                self.remove(&attachments, &name, &DeleteParams::background(), deadline)?;
            }
        }
        Ok(())
    }

    /// Tells that a node is out of service; first, in the run's namespace, that this is to be undone.
    pub fn taint(&self, node: &str, deadline: Instant) -> Result<()> {
        if self.has_taint(node, deadline)? && !self.remembered(TAINTED, deadline)?.contains(&node.to_owned()) {
            return Err(Error::lab(format!("somebody else has tainted {node} as out of service")));
        }
        self.remember(TAINTED, node, true, deadline)?;
        self.set_taint(node, true, deadline)
    }

    fn has_taint(&self, node: &str, deadline: Instant) -> Result<bool> {
        let found = self.find(&self.all::<Node>(), node, deadline)?;
        let taints = found.and_then(|node| node.spec?.taints).unwrap_or_default();
        Ok(taints.iter().any(|taint| taint.key == OUT_OF_SERVICE))
    }

    /// Takes that back.
    pub fn untaint(&self, node: &str, deadline: Instant) -> Result<()> {
        self.set_taint(node, false, deadline)?;
        self.remember(TAINTED, node, false, deadline)
    }

    /// The nodes that something was done to which is to be undone.
    pub(super) fn remembered(&self, what: &str, deadline: Instant) -> Result<Vec<String>> {
        let namespaces = self.all::<k8s_openapi::api::core::v1::Namespace>();
        let own = self.find(&namespaces, self.namespace(), deadline)?;
        let remembered = own.and_then(|own| own.metadata.annotations?.remove(what)).unwrap_or_default();
        Ok(remembered.split_whitespace().map(str::to_owned).collect())
    }

    /// Notes in the run's namespace what of a node is to be undone, or no more.
    pub(super) fn remember(&self, what: &str, node: &str, to_undo: bool, deadline: Instant) -> Result<()> {
        let mut nodes = self.remembered(what, deadline)?;
        nodes.retain(|known| known != node);
        nodes.extend(to_undo.then(|| node.to_owned()));
        self.note(what, &nodes.join(" "), deadline)
    }

    /// Writes an annotation of the run's namespace.
    pub(super) fn note(&self, what: &str, said: &str, deadline: Instant) -> Result<()> {
        let namespaces = self.all::<k8s_openapi::api::core::v1::Namespace>();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {what: said}}}));
        let params = PatchParams::default();
        self.call("patch a Namespace", deadline, || namespaces.patch(self.namespace(), &params, &patch)).map(drop)
    }

    /// Whoever writes to the node at the same time is let through, and it is tried again.
    fn set_taint(&self, node: &str, tainted: bool, deadline: Instant) -> Result<()> {
        let mut last = Ok(());
        let _late = wait_until(deadline, "a taint", || {
            last = self.try_to_taint(node, tainted, deadline);
            last.as_ref().map_or_else(|error| error.code() != Some(Code::Aborted), |()| true)
        });
        last
    }

    fn try_to_taint(&self, node: &str, tainted: bool, deadline: Instant) -> Result<()> {
        let nodes = self.all::<Node>();
        let Some(found) = self.find(&nodes, node, deadline)? else { return Ok(()) };
        let mut taints = found.spec.and_then(|spec| spec.taints).unwrap_or_default();
        taints.retain(|taint| taint.key != OUT_OF_SERVICE);
        let mut said: Vec<serde_json::Value> = taints.iter().map(|taint| json!(taint)).collect();
        if tainted {
            said.push(json!({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}));
        }
        // with the version it was read at: somebody else's taints stay
        let version = found.metadata.resource_version;
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"taints": said}}));
        let params = PatchParams::default();
        self.call("patch a Node", deadline, || nodes.patch(node, &params, &patch)).map(drop)
    }
}
