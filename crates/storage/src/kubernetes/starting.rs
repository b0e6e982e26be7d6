//! How a task starts: as a pod of its own, or as the pod of what keeps it, or as the next life of one that is kept.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::logs;
use super::manifests::{EXECUTABLE, PodOf, VOLUME, WITHIN};
use super::pod_task::PodTask;
use super::pods::{Acknowledge, Pods};
use super::workloads::Workload;
use crate::docker::{Channels, Hearing};
use crate::executable::{LEDGER, arguments, until_signal};
use crate::nodes::{Mount, Process, Spec};
use holdfast_ledger::Opening;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

/// What of a task's mount says that its pod has the volume for reading alone.
pub const READ_ONLY: &str = "ro";

/// What a task's pod runs, and how it tells.
struct Prepared {
    command: Vec<String>,
    /// The folder of its node's sockets.
    sockets: Option<String>,
    /// None: by its log.
    hearing: Option<Hearing>,
}

impl Pods {
    fn prepare(&self, node: &str, spec: &Spec, kept: bool) -> Result<Prepared> {
        let opening = Opening { is_new: kept, ..spec.opening };
        let ledger = Path::new(VOLUME).join(LEDGER);
        let mut command = vec![EXECUTABLE.to_owned()];
        let Acknowledge::Channels(channels) = &self.options.acknowledge else {
            command.extend(until_signal(&ledger, opening, spec.work, "-"));
            return Ok(Prepared { command, sockets: None, hearing: None });
        };
        let channels = channels(node);
        let hearing = channels.listen(&spec.task, spec.tell.clone(), self.cluster().runtime())?;
        let acknowledge = hearing.address.replace(crate::docker::WITHIN, WITHIN);
        let words = if kept { until_signal } else { arguments };
        command.extend(words(&ledger, opening, spec.work, &acknowledge));
        let sockets = match &channels {
            Channels::Folder(folder) => Some(folder.display().to_string()),
            Channels::Tcp(_) => None,
        };
        Ok(Prepared { command, sockets, hearing: Some(hearing) })
    }

    /// Starts a task, as a pod of such a workload.
    pub(super) fn begin(
        &self,
        node: &str,
        spec: Spec,
        workload: Workload,
        deadline: Instant,
    ) -> Result<Box<dyn Process>> {
        let claim = claim_of(&spec)?.to_owned();
        let kept = workload != Workload::Pod;
        if let Some(why) = self.cluster().keeps_nothing(workload) {
            return Err(Error::lab(why));
        }
        let Prepared { command, sockets, hearing } = self.prepare(node, &spec, kept)?;
        let keeper = kept.then_some(spec.task.as_str());
        if kept {
            self.tasks().kept.add(&spec.task, workload);
        }
        let sockets = sockets.as_deref();
        let read_only = is_read_only(&spec);
        let of = PodOf { command, ends: true, sockets, read_only, kept: keeper, ..self.of(&spec.task, &claim, node) };
        self.launch(&of, deadline)?;
        Ok(self.task(node, claim, spec, hearing, kept))
    }

    /// Says what the next life of a task is that the cluster keeps, and where: it runs once the task is gone. Of a node
    /// that is lost the cluster must have given it up by then.
    pub fn hand_over(
        &self,
        from: &str,
        node: &str,
        spec: Spec,
        is_lost: bool,
        deadline: Instant,
    ) -> Result<Box<dyn Process>> {
        if is_lost {
            self.wait_given_up(from, deadline)?;
        }
        let claim = claim_of(&spec)?.to_owned();
        let Prepared { command, sockets, hearing } = self.prepare(node, &spec, true)?;
        self.tasks().made.forget(from);
        let keeper = self.tasks().kept.hand_over(from, &spec.task);
        let keeper = keeper.ok_or_else(|| Error::invalid(format!("the cluster does not keep the task {from}")))?;
        let sockets = sockets.as_deref();
        let of = PodOf { command, ends: true, sockets, kept: Some(&keeper.name), ..self.of(&spec.task, &claim, node) };
        self.cluster().keep_next(keeper.workload, &keeper.name, &of, deadline)?;
        Ok(self.task(node, claim, spec, hearing, true))
    }

    fn task(&self, node: &str, claim: String, spec: Spec, hearing: Option<Hearing>, kept: bool) -> Box<dyn Process> {
        let by_signal = hearing.is_none() || kept;
        let hearing = hearing.unwrap_or_else(|| logs::hear(self.tasks(), spec.task.clone(), spec.tell));
        Box::new(PodTask { pods: self.clone(), name: spec.task, claim, node: node.to_owned(), hearing, by_signal })
    }

    /// Waits until the cluster wants a task's pod no more, as its node is lost.
    fn wait_given_up(&self, task: &str, deadline: Instant) -> Result<()> {
        let stays = |pod: &Pod| {
            // a ReplicaSet has made another for the same node by then, which nobody takes
            let is_there = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            is_there && pod.metadata.deletion_timestamp.is_none()
        };
        let waited = wait_until(deadline, "a pod that is given up", || {
            let cluster = self.cluster();
            let found = cluster.list(&cluster.own::<Pod>(), &self.tasks().label(task), Instant::now() + QUESTION);
            found.is_ok_and(|pods| !pods.iter().any(stays))
        });
        waited.map_err(|_| {
            Error::new(Kind::Scheduler, format!("the cluster does not give up {task}, whose node is lost"))
        })
    }
}

fn is_read_only(spec: &Spec) -> bool {
    matches!(&spec.mount, Mount::Engine { options, .. } if options.contains_key(READ_ONLY))
}

fn claim_of(spec: &Spec) -> Result<&str> {
    match &spec.mount {
        Mount::Engine { name, .. } => Ok(name),
        _ => Err(Error::invalid("a pod has its volume by a claim")),
    }
}
