//! The end of a run in a cluster: what it did to nodes is undone, and what it made is removed, in this process or in
//! another, from this machine or another.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::DeleteParams;

use super::cluster::Cluster;
use super::draining::CORDONED;
use super::manifests::{MACHINE_LABEL, PROCESS, RUN_LABEL};
use super::recovery::TAINTED;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

/// A run that a cluster has something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRun {
    /// Its namespace.
    pub namespace: String,
    /// Itself.
    pub run: String,
    /// The machine that it was started on.
    pub machine: String,
    /// What that machine knows its process by.
    pub process: String,
    /// When, as the cluster says.
    pub since: String,
}

impl Cluster {
    /// The runs that the cluster has something of.
    pub fn runs(&self, deadline: Instant) -> Result<Vec<FoundRun>> {
        let found = self.list(&self.all::<Namespace>(), RUN_LABEL, deadline)?;
        Ok(found.into_iter().filter_map(run_of).collect())
    }

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
        if let Some(error) = failed {
            return Err(error);
        }
        let namespaces = self.all::<Namespace>();
        self.remove(&namespaces, self.namespace(), &DeleteParams::background(), deadline)
            .map_err(|error| self.hanging(error))?;
        let mut left = Vec::new();
        let gone = wait_until(deadline, "the end of the run's persistent volumes", || {
            match self.volumes_left(Instant::now() + QUESTION) {
                Ok(found) => left = found,
                Err(_) => return false,
            }
            left.is_empty()
        });
        // the provisioner may need them until then
        let classes = self.all::<StorageClass>();
        for class in self.list(&classes, &self.own_label(), deadline.max(Instant::now() + QUESTION))? {
            let name = class.metadata.name.unwrap_or_default();
            self.remove(&classes, &name, &DeleteParams::background(), deadline.max(Instant::now() + QUESTION))?;
        }
        gone.map_err(|_| {
            Error::lab(format!("stayed: {}", left.join("; ")))
                .hint("the provisioner's log says why it does not delete it")
        })
    }

    /// The persistent volumes of the run's claims, and what becomes of them.
    fn volumes_left(&self, deadline: Instant) -> Result<Vec<String>> {
        let found = self.list(&self.all::<PersistentVolume>(), "", deadline)?;
        let own = found.into_iter().filter(|volume| {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            claim.and_then(|claim| claim.namespace.as_deref()) == Some(self.namespace())
        });
        Ok(own
            .map(|volume| {
                let phase = volume.status.and_then(|status| status.phase).unwrap_or_default();
                format!("the PersistentVolume {} ({phase})", volume.metadata.name.unwrap_or_default())
            })
            .collect())
    }

    /// Why the run's namespace does not go, as the cluster says.
    fn hanging(&self, error: Error) -> Error {
        let found = self.find(&self.all::<Namespace>(), self.namespace(), Instant::now() + QUESTION).ok().flatten();
        let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
        let told = conditions.into_iter().filter(|each| each.status == "True").filter_map(|each| each.message);
        let why = told.collect::<Vec<_>>().join("; ");
        if why.is_empty() {
            return error;
        }
        Error::lab(format!("stayed: the namespace {}: {why}", self.namespace()))
    }
}

fn run_of(namespace: Namespace) -> Option<FoundRun> {
    let mut labels = namespace.metadata.labels?;
    Some(FoundRun {
        namespace: namespace.metadata.name?,
        run: labels.remove(RUN_LABEL)?,
        machine: labels.remove(MACHINE_LABEL).unwrap_or_default(),
        process: namespace.metadata.annotations.and_then(|mut noted| noted.remove(PROCESS)).unwrap_or_default(),
        since: namespace.metadata.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default(),
    })
}
