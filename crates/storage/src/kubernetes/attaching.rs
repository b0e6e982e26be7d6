//! Who is waited for, where a pod does not come and no event says why: whoever has not attached its volume.

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};

use super::cluster::Cluster;
use super::events::{Blame, Obstacle};
use holdfast_net::error::Result;

impl Cluster {
    /// The persistent volume that a claim is bound to; none where there is no such claim, or it is not bound.
    pub fn volume_of(&self, claim: &str, deadline: Instant) -> Result<Option<String>> {
        let found = self.find(&self.own::<PersistentVolumeClaim>(), claim, deadline)?;
        Ok(found.and_then(|claim| claim.spec?.volume_name))
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
}

/// Whom an attachment waits for.
fn waiting_for(attachments: &[VolumeAttachment], volume: &str, node: &str) -> Option<Obstacle> {
    let of_volume = |attachment: &&VolumeAttachment| {
        attachment.spec.source.persistent_volume_name.as_deref() == Some(volume) && attachment.spec.node_name == node
    };
    let Some(attachment) = attachments.iter().find(of_volume) else {
        let words = format!("Kubernetes has not asked for its volume to be attached to {node}");
        return Some(Obstacle { blame: Blame::Scheduler, words });
    };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::manifests::object;

    fn attachment(node: &str, status: &serde_json::Value) -> VolumeAttachment {
        object(json!({
            "metadata": {"name": "a"},
            "spec": {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "pv"}},
            "status": status,
        }))
        .expect("an attachment")
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
    }
}
