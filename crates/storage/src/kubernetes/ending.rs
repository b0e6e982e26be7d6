//! The end of a run in a cluster: what it did to nodes is undone, and what it made is removed, in this process or in
//! another, from this machine or another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::DeleteParams;

use super::cluster::{Cluster, is_ready};
use super::draining::CORDONED;
use super::recovery::{POWERED_OFF, TAINTED};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

impl Cluster {
    /// Undoes and removes all that is of the run; an error says what stayed.
    pub fn end(&self, deadline: Instant) -> Result<()> {
        // while one of these is left, the namespace that remembers it stays
        let mut failed = None;
        for node in self.remembered(TAINTED, deadline)? {
            failed = self.untaint(&node, deadline).err().or(failed);
        }
        for node in self.remembered(CORDONED, deadline)? {
            failed = self.cordon(&node, false, deadline).err().or(failed);
        }
        for node in self.remembered(POWERED_OFF, deadline)? {
            failed = self.expect_on(&node, deadline).err().or(failed);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let volumes = self.own_volumes(deadline)?;
        let namespaces = self.all::<Namespace>();
        let removed = self.remove(&namespaces, self.namespace(), &DeleteParams::background(), deadline);
        let mut left = Vec::new();
        let gone = wait_until(deadline, "the end of the run's persistent volumes", || {
            match self.left_of(&volumes, Instant::now() + QUESTION) {
                Ok(found) => left = found,
                Err(_) => return false,
            }
            left.is_empty()
        });
        removed.map_err(|error| if error.kind == Kind::Timeout { self.hanging() } else { error })?;
        gone.map_err(|_| {
            Error::lab(format!("stayed: {}", left.join("; ")))
                .hint("the provisioner's log says why it does not delete a volume, the attacher's why it detaches none")
        })?;
        // the provisioner may need them until then, and by them a run is known whose namespace is gone
        let classes = self.all::<StorageClass>();
        for class in self.list(&classes, &self.own_label(), deadline.max(Instant::now() + QUESTION))? {
            let name = class.metadata.name.unwrap_or_default();
            self.remove(&classes, &name, &DeleteParams::background(), deadline.max(Instant::now() + QUESTION))?;
        }
        Ok(())
    }

    /// A node that the run has powered off is on again: how it is switched on is known to the file of the run alone.
    fn expect_on(&self, node: &str, deadline: Instant) -> Result<()> {
        let found = self.find(&self.all::<Node>(), node, deadline)?;
        if found.is_some_and(|node| !is_ready(&node)) {
            return Err(Error::lab(format!("{node} was powered off by this run, and is not Ready"))
                .hint("switch it on, and clean up again"));
        }
        self.remember(POWERED_OFF, node, false, deadline)
    }

    /// The persistent volumes of the run's claims, by their names, and what becomes of them.
    fn own_volumes(&self, deadline: Instant) -> Result<BTreeMap<String, String>> {
        let found = self.list(&self.all::<PersistentVolume>(), "", deadline)?;
        let own = found.into_iter().filter(|volume| {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            claim.and_then(|claim| claim.namespace.as_deref()) == Some(self.namespace())
        });
        let told = |volume: PersistentVolume| {
            let phase = volume.status.and_then(|status| status.phase).unwrap_or_default();
            (volume.metadata.name.unwrap_or_default(), phase)
        };
        Ok(own.map(told).collect())
    }

    /// What there is of the run's persistent volumes, and of what attached those that it had.
    fn left_of(&self, had: &BTreeMap<String, String>, deadline: Instant) -> Result<Vec<String>> {
        let volumes = self.own_volumes(deadline)?;
        let mut left: Vec<_> =
            volumes.iter().map(|(name, phase)| format!("the PersistentVolume {name} ({phase})")).collect();
        for (volume, nodes) in self.attachments(deadline)? {
            if had.contains_key(&volume) || volumes.contains_key(&volume) {
                left.extend(nodes.iter().map(|node| format!("the VolumeAttachment of {volume} to {node}")));
            }
        }
        Ok(left)
    }

    /// Why the run's namespace does not go, as the cluster says.
    fn hanging(&self) -> Error {
        let found = self.find(&self.all::<Namespace>(), self.namespace(), Instant::now() + QUESTION).ok().flatten();
        let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
        let told = conditions.into_iter().filter(|each| each.status == "True").filter_map(|each| each.message);
        let mut why = told.collect::<Vec<_>>().join("; ");
        if why.is_empty() {
            "the cluster has not said why yet".clone_into(&mut why);
        }
        Error::lab(format!("stayed: the namespace {}: {why}", self.namespace()))
            .hint("what others have put finalizers on, they let go; `holdfast lab clean --kubeconfig FILE` tries again")
    }
}
