//! A cluster as the runner: its controllers attach, its kubelets mount, and both take back what nobody wants any more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::pods::Pods;
use super::recovery::Recovery;
use super::starting::READ_ONLY;
use super::workloads::Workload;
use crate::nodes::{Look, Mount, Nodes, Process, Spec};
use crate::runner::{Runner, TaskRequest};
use crate::volumes::Volume;
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Result};

/// Tasks as pods of a cluster.
pub struct ByKubernetes {
    pods: Pods,
    /// None: what is right for a node that is powered off, or is not.
    recovery: Option<Recovery>,
    is_off: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Nodes that were told to be out of service.
    tainted: Mutex<BTreeSet<String>>,
    /// How many pods have looked at volumes.
    readers: AtomicU64,
}

impl ByKubernetes {
    /// Over pods, with what is done for those whose node is lost, and whether that is powered off.
    pub fn new(pods: Pods, recovery: Option<Recovery>, is_off: Arc<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        Self { pods, recovery, is_off, tainted: Mutex::default(), readers: AtomicU64::new(1) }
    }

    fn claimed(volume: &Volume) -> Mount {
        let reading = volume.is_for_reading().then(|| (READ_ONLY.to_owned(), String::new()));
        Mount::Engine { name: volume.name.clone(), driver: String::new(), options: reading.into_iter().collect() }
    }

    fn is_tainted(&self, node: &str) -> bool {
        self.tainted.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    fn note_tainted(&self, node: &str, tainted: bool) {
        let mut held = self.tainted.lock().unwrap_or_else(PoisonError::into_inner);
        if tainted {
            held.insert(node.to_owned())
        } else {
            held.remove(node)
        };
    }
}

impl Runner for ByKubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn tells_unmounts(&self) -> bool {
        false
    }

    fn run(&self, request: &TaskRequest, deadline: Instant) -> Result<Box<dyn Process>> {
        let spec = Spec { mount: Self::claimed(&request.volume), ..request.spec.clone() };
        if request.is_kept && self.pods.options.workload == Workload::Pod {
            return self.pods.begin(&request.node, spec, Workload::StatefulSet, deadline);
        }
        self.pods.start(&request.node, spec, deadline)
    }

    fn keeps_tasks(&self) -> bool {
        self.pods.options.workload != Workload::Pod
    }

    fn hand_over(
        &self,
        from: &str,
        request: &TaskRequest,
        is_lost: bool,
        deadline: Instant,
    ) -> Result<Box<dyn Process>> {
        let spec = Spec { mount: Self::claimed(&request.volume), ..request.spec.clone() };
        self.pods.hand_over(from, &request.node, spec, is_lost, deadline)
    }

    fn release(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.pods.clear(node, &volume.id, Some(task), deadline)
    }

    fn mount_again(&self, _: &Volume, _: &str, _: &str, _: Instant) -> Result<Option<String>> {
        Ok(Some("a kubelet mounts a volume once for a pod".to_owned()))
    }

    fn see(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<bool> {
        match self.pods.place(task, volume, deadline)? {
            Some(path) => self.pods.see(node, &path, deadline),
            None => Ok(false),
        }
    }

    fn look(&self, volume: &Volume, node: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        // each has a name of its own: one that is not gone yet is on another node
        let reader = format!("{}-reader-{}", volume.name, self.readers.fetch_add(1, Ordering::Relaxed));
        if !self.pods.sees_nodes() {
            let look = self.pods.read(node, volume, &reader, judge, deadline);
            let removed = self.pods.remove(&reader, false, deadline);
            return look.and_then(|look| removed.map(|()| look));
        }
        let look = self.pods.hold(node, volume, &reader, deadline).and_then(|()| {
            let place = self.pods.place(&reader, volume, deadline)?.unwrap_or_default();
            self.pods.look(node, &Mount::at(place, volume), &reader, judge, deadline)
        });
        let removed = self.pods.remove(&reader, false, deadline);
        look.and_then(|look| removed.map(|()| look))
    }

    /// Its pods are removed, though nobody there confirms it; then the volume is taken as the recovery says.
    fn evict(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        for pod in self.pods.on(node, &volume.id, None, deadline)? {
            self.pods.remove(&pod, true, deadline)?;
        }
        let cluster = self.pods.cluster();
        let right = if (self.is_off)(node) { Recovery::Taint } else { Recovery::Force };
        match self.recovery.unwrap_or(right) {
            Recovery::Wait => Ok(()),
            Recovery::Taint if self.is_tainted(node) => Ok(()),
            // what else runs there would be evicted: of a lab of ours nobody minds
            Recovery::Taint if !self.pods.sees_nodes() && !(self.is_off)(node) => {
                Err(Error::lab(format!("{node} is not powered off: the taint out-of-service is for such nodes alone"))
                    .hint("leave recovery out, or give recovery: force"))
            }
            Recovery::Taint => cluster.taint(node, deadline).map(|()| self.note_tainted(node, true)),
            Recovery::Force => match cluster.volume_of(&volume.name, deadline)? {
                Some(behind) => cluster.detach(&behind, node, deadline),
                None => Ok(()),
            },
        }
    }

    fn reconcile(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        if self.is_tainted(node) {
            self.pods.cluster().untaint(node, deadline)?;
            self.note_tainted(node, false);
        }
        self.pods.cluster().wait_ready(node, true, deadline)?;
        self.pods.clear(node, &volume.id, None, deadline)?;
        if self.pods.sees_nodes() {
            return Ok(()); // what is mounted there is looked at
        }
        self.pods.cluster().wait_let_go(&volume.id, node, deadline)
    }
}
