//! What a cluster of ours is told of a CSI driver: its object, and a class of its volumes.

use std::time::Instant;

use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, StorageClass};
use serde_json::json;

use super::cluster::Cluster;
use super::manifests::object;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What the class of a driver's volumes is called.
pub const CLASS: &str = "holdfast";

impl Cluster {
    /// Tells of a driver, and gives it a class; its volumes are attached first, where it `attaches` them.
    pub fn install_driver(&self, driver: &str, attaches: bool, deadline: Instant) -> Result<()> {
        let known: CSIDriver = object(&json!({
            "metadata": {"name": driver},
            "spec": {"attachRequired": attaches, "podInfoOnMount": false, "volumeLifecycleModes": ["Persistent"]},
        }))?;
        let class: StorageClass = object(&json!({
            "metadata": {"name": CLASS},
            "provisioner": driver,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }))?;
        self.create(&self.all(), &known, deadline)?;
        self.create(&self.all(), &class, deadline)
    }

    /// Waits until the kubelets of all these nodes know a driver.
    pub fn wait_driver(&self, driver: &str, nodes: &[String], deadline: Instant) -> Result<()> {
        let knows = |node: &String| {
            let found = self.find(&self.all::<CSINode>(), node, deadline).ok().flatten();
            found.is_some_and(|found| found.spec.drivers.iter().any(|known| known.name == driver))
        };
        let what = format!("the registration of {driver} with all kubelets");
        wait_until(deadline, &what, || nodes.iter().all(knows)).map_err(Error::of_lab)
    }
}
