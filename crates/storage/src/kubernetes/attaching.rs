//! Who is waited for, where a pod does not come and no event says why: whoever has not attached its volume.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, VolumeAttachment};

use super::cluster::Cluster;
use super::events::{Blame, Obstacle};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API.
const QUESTION: Duration = Duration::from_secs(5);

impl Cluster {
    /// The persistent volume that a claim is bound to; none where there is no such claim, or it is not bound.
    pub fn volume_of(&self, claim: &str, deadline: Instant) -> Result<Option<String>> {
        let found = self.find(&self.own::<PersistentVolumeClaim>(), claim, deadline)?;
        Ok(found.and_then(|claim| claim.spec?.volume_name))
    }

    /// The run's claims by what their driver calls their volumes (`PersistentVolume.spec.csi.volumeHandle`).
    pub fn claims_by_handle(&self, deadline: Instant) -> Result<BTreeMap<String, String>> {
        let found = self.list(&self.all::<PersistentVolume>(), "", deadline)?.into_iter();
        let own = found.filter_map(|volume| {
            let spec = volume.spec?;
            let claim = spec.claim_ref.filter(|claim| claim.namespace.as_deref() == Some(self.namespace()))?;
            Some((spec.csi?.volume_handle, claim.name?))
        });
        Ok(own.collect())
    }

    /// What a claim's volume still needs to be attached to a node; none where it is attached, or need not be.
    pub fn missing_attachment(&self, claim: &str, node: &str, deadline: Instant) -> Result<Option<Obstacle>> {
        let Some(volume) = self.volume_of(claim, deadline)? else { return Ok(None) };
        let held = self.find(&self.all::<PersistentVolume>(), &volume, deadline)?;
        let Some(driver) = held.and_then(|volume| Some(volume.spec?.csi?.driver)) else { return Ok(None) };
        let known = self.find(&self.all::<CSIDriver>(), &driver, deadline)?;
        if known.and_then(|driver| driver.spec.attach_required) == Some(false) {
            return Ok(None);
        }
        let attachments = self.list(&self.all::<VolumeAttachment>(), "", deadline)?;
        Ok(waiting_for(&attachments, &volume, node))
    }

    /// How many volumes of a driver each of these nodes takes (`CSINode.spec.drivers[].allocatable.count`) beside those
    /// that it has; a node that does not tell is not there.
    pub fn room(&self, driver: &str, nodes: &[String], deadline: Instant) -> Result<BTreeMap<String, u32>> {
        let known = self.list(&self.all::<CSINode>(), "", deadline)?;
        let attachments = self.list(&self.all::<VolumeAttachment>(), "", deadline)?;
        let told = nodes.iter().filter_map(|node| {
            let known = known.iter().find(|known| known.metadata.name.as_ref() == Some(node))?;
            let most = known.spec.drivers.iter().find(|known| known.name == driver)?.allocatable.as_ref()?.count?;
            Some((node.clone(), left(most, &attachments, driver, node)))
        });
        Ok(told.collect())
    }

    /// Waits until a node's kubelet has no claim's volume in use any more (`Node.status.volumesInUse`): what it mounted
    /// before it was cut off it takes down once it is back, and a pod that comes sooner would be given that mount.
    pub fn wait_let_go(&self, claim: &str, node: &str, deadline: Instant) -> Result<()> {
        let Some(volume) = self.volume_of(claim, deadline)? else { return Ok(()) };
        let Some(held) = self.find(&self.all::<PersistentVolume>(), &volume, deadline)? else { return Ok(()) };
        let what = format!("the kubelet of {node} to let go of {volume}");
        let let_go = || {
            let found = self.find(&self.all::<Node>(), node, Instant::now() + QUESTION);
            found.is_ok_and(|node| !node.is_some_and(|node| has_in_use(&node, &held)))
        };
        wait_until(deadline, &what, let_go).map_err(Error::of_lab)
    }
}

/// Whether a kubelet says that it has a volume in use, by the name that it has for those of CSI drivers.
fn has_in_use(node: &Node, volume: &PersistentVolume) -> bool {
    let Some(csi) = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()) else { return false };
    let name = format!("kubernetes.io/csi/{}^{}", csi.driver, csi.volume_handle);
    node.status.iter().flat_map(|status| status.volumes_in_use.iter().flatten()).any(|used| *used == name)
}

/// What is left of the most that a node takes: the scheduler counts what others have there.
fn left(most: i32, attachments: &[VolumeAttachment], driver: &str, node: &str) -> u32 {
    let has = |each: &&VolumeAttachment| each.spec.attacher == driver && each.spec.node_name == node;
    let taken = u32::try_from(attachments.iter().filter(has).count()).unwrap_or(u32::MAX);
    u32::try_from(most).unwrap_or(0).saturating_sub(taken)
}

/// Whom an attachment waits for: whoever has not done what it was asked for, be it to let go elsewhere.
fn waiting_for(attachments: &[VolumeAttachment], volume: &str, node: &str) -> Option<Obstacle> {
    let of_volume =
        |attachment: &&VolumeAttachment| attachment.spec.source.persistent_volume_name.as_deref() == Some(volume);
    let mut all = attachments.iter().filter(of_volume);
    let held = all.clone().find_map(not_let_go);
    let Some(attachment) = all.find(|attachment| attachment.spec.node_name == node) else {
        if held.is_some() {
            return held;
        }
        let words = format!("Kubernetes has not asked for its volume to be attached to {node}");
        return Some(Obstacle { blame: Blame::Scheduler, words });
    };
    if held.is_some() && attachment.metadata.deletion_timestamp.is_some() {
        return held;
    }
    let status = attachment.status.as_ref();
    if status.is_some_and(|status| status.attached) {
        return None;
    }
    let error = status.and_then(|status| status.attach_error.as_ref()?.message.clone());
    let words = match error {
        Some(message) => format!("its volume is not attached to {node}: {message}"),
        None => format!("its volume is not attached to {node}, and the driver has not said why"),
    };
    Some(Obstacle { blame: Blame::Provider, words })
}

/// A driver that was asked to detach, which the deletion of an attachment is, and has not.
fn not_let_go(attachment: &VolumeAttachment) -> Option<Obstacle> {
    attachment.metadata.deletion_timestamp.as_ref()?;
    let status = attachment.status.as_ref()?;
    let error = status.detach_error.as_ref().and_then(|error| error.message.clone());
    if error.is_none() && !status.attached {
        return None; // it did, and the cluster has not noticed
    }
    let why = error.unwrap_or_else(|| "the driver has not said why".to_owned());
    let words = format!("its volume is not detached from {}: {why}", attachment.spec.node_name);
    Some(Obstacle { blame: Blame::Provider, words })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::manifests::object;

    #[test]
    fn a_volume_is_in_use_by_the_name_of_its_driver_and_its_handle() {
        let volume: PersistentVolume = object(
            &json!({"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d.example", "volumeHandle": "v/1"}}}),
        )
        .expect("a volume");
        let node = |used: serde_json::Value| -> Node {
            object(&json!({"metadata": {"name": "node1"}, "status": {"volumesInUse": used}})).expect("a node")
        };
        assert!(has_in_use(&node(json!(["kubernetes.io/csi/d.example^v/1"])), &volume));
        assert!(!has_in_use(&node(json!(["kubernetes.io/csi/d.example^v/10", "kubernetes.io/csi/d^v/1"])), &volume));
        assert!(!has_in_use(&node(json!(null)), &volume));
    }

    fn attachment(node: &str, status: &serde_json::Value) -> VolumeAttachment {
        object(&json!({
            "metadata": {"name": "a"},
            "spec": {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "pv"}},
            "status": status,
        }))
        .expect("an attachment")
    }

    #[test]
    fn what_others_have_attached_leaves_a_node_less_room() {
        let there = [attachment("n1", &json!({"attached": true})), attachment("n2", &json!({"attached": true}))];
        assert_eq!((left(3, &there, "d", "n1"), left(3, &there, "other", "n1")), (2, 3));
        assert_eq!((left(1, &there, "d", "n2"), left(0, &there, "d", "n2")), (0, 0));
    }

    #[test]
    fn who_is_waited_for_is_said_by_the_attachment() {
        let blamed = |attachments: &[VolumeAttachment]| waiting_for(attachments, "pv", "n2").map(|found| found.blame);
        assert_eq!(blamed(&[]), Some(Blame::Scheduler));
        assert_eq!(blamed(&[attachment("n1", &json!({"attached": true}))]), Some(Blame::Scheduler));
        assert_eq!(blamed(&[attachment("n2", &json!({"attached": true}))]), None);
        assert_eq!(blamed(&[attachment("n2", &json!({"attached": false}))]), Some(Blame::Provider));
        let refused = attachment("n2", &json!({"attached": false, "attachError": {"message": "no such node"}}));
        let found = waiting_for(&[refused], "pv", "n2").expect("it is not attached");
        assert!(found.words.contains("no such node"), "{found:?}");
        let leaving = |status: &serde_json::Value| {
            let mut leaving = attachment("n1", status);
            leaving.metadata.deletion_timestamp = Some(object(&json!("2026-11-30T10:00:00Z")).expect("a time"));
            leaving
        };
        let stuck = leaving(&json!({"attached": true, "detachError": {"message": "it is busy"}}));
        let found = waiting_for(&[stuck], "pv", "n2").expect("it is attached elsewhere");
        assert_eq!(found.blame, Blame::Provider, "{found:?}");
        assert!(found.words.contains("it is busy"), "{found:?}");
        assert_eq!(blamed(&[leaving(&json!({"attached": true}))]), Some(Blame::Provider));
        assert_eq!(blamed(&[leaving(&json!({"attached": false}))]), Some(Blame::Scheduler));
        let both = [leaving(&json!({"attached": true})), attachment("n2", &json!({"attached": true}))];
        assert_eq!(blamed(&both), None, "the wanted one is there");
    }
}
