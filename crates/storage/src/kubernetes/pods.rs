//! Tasks as pods, each on the node that a scenario says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;

use super::cluster::Cluster;
use super::events::{Blame, NO_NODE, Obstacle};
use super::kept::Keeper;
use super::logs;
use super::manifests::{self, EXECUTABLE, NODE, PodOf, TASK_LABEL, VOLUME, VOLUME_LABEL};
use super::phases::{ending, not_begun, phase, runs_as_another, started_again, taken_away};
use super::program::Program;
use super::task_pods::TaskPods;
use super::workloads::Workload;
use crate::docker::Channels;
use crate::executable::LEDGER;
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec};
use crate::volumes::Volume;
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For a glance at a pod.
const GLANCE: Duration = Duration::from_secs(2);

/// How tasks tell the tester.
#[derive(Clone)]
pub enum Acknowledge {
    /// Over those of their node.
    Channels(Arc<dyn Fn(&str) -> Channels + Send + Sync>),
    /// By their pods' logs.
    Log,
}

/// What pods are made of, and where.
#[derive(Clone)]
pub struct PodsOptions {
    /// The nodes.
    pub nodes: Vec<String>,
    /// The image of a pod.
    pub image: String,
    /// Whence it has the executable of tasks.
    pub program: Program,
    /// How tasks tell the tester.
    pub acknowledge: Acknowledge,
    /// What makes the pods of tasks, where a scenario does not say.
    pub workload: Workload,
    /// Whether the run's namespace may have pods that do to their nodes what they like.
    pub privileged: bool,
    /// What else the nodes are, where it is ours to see.
    pub beneath: Option<Arc<dyn Nodes>>,
}

/// Pods on the nodes of a cluster.
#[derive(Clone)]
pub struct Pods {
    pub(super) options: PodsOptions,
    tasks: TaskPods,
}

impl Pods {
    /// In the run's namespace, which is made.
    pub fn new(cluster: Cluster, options: PodsOptions, deadline: Instant) -> Result<Self> {
        if let Acknowledge::Channels(channels) = &options.acknowledge {
            options.nodes.iter().try_for_each(|node| channels(node).prepare())?;
        }
        // a lab's own nodes are nobody else's
        let claimed = if options.beneath.is_none() { options.nodes.as_slice() } else { &[] };
        cluster.make_namespace(claimed, options.privileged, deadline)?;
        cluster.wait_alone(claimed, deadline)?;
        Ok(Self { options, tasks: TaskPods::new(cluster) })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.tasks.cluster
    }

    /// Whose pods they are.
    pub(super) fn tasks(&self) -> &TaskPods {
        &self.tasks
    }

    pub(super) fn of<'a>(&'a self, name: &'a str, claim: &'a str, node: &'a str) -> PodOf<'a> {
        PodOf {
            name,
            claim,
            node,
            image: &self.options.image,
            command: self.options.program.holding(),
            program: self.options.program.parts(&self.options.image),
            sockets: None,
            block: false,
            read_only: false,
            ends: false,
            kept: None,
        }
    }

    pub(super) fn launch(&self, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        self.make(of, deadline)?;
        self.wait_running(of.name, of.claim, of.node, of.ends, deadline).inspect_err(|_| {
            let _ = self.remove(of.name, false, Instant::now() + GLANCE); // clear finds it again
        })
    }

    fn make(&self, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        self.tasks.made.use_node(of.node);
        if let Some(kept) = self.tasks.kept.of(of.name) {
            self.cluster().keep(kept.workload, &kept.name, of, deadline)?;
        } else {
            let pods = self.cluster().own::<Pod>();
            self.cluster().create(&pods, &manifests::pod(self.cluster().run(), of)?, deadline)?;
            self.tasks.made.add(of.name, of.node);
        }
        Ok(())
    }

    /// Waits until a pod runs; why not, as the cluster says.
    pub(super) fn wait_running(
        &self,
        name: &str,
        claim: &str,
        node: &str,
        ends: bool,
        deadline: Instant,
    ) -> Result<()> {
        let (mut ended, mut unbegun, mut seen, mut has_node) = (None, None, None, false);
        let (mut running, mut another) = (false, None);
        let waited = wait_until(deadline, "a pod", || {
            if let Ok(Some(pod)) = self.tasks.pod(name, Instant::now() + GLANCE) {
                running = phase(&pod) == "Running";
                ended = ending(&pod).or_else(|| started_again(&pod));
                unbegun = not_begun(&pod);
                another = runs_as_another(&pod);
                has_node = pod.spec.is_some_and(|spec| spec.node_name.is_some());
                seen = Some(pod.metadata);
            }
            running || ended.is_some() || another.is_some()
        });
        if let Some(why) = another {
            return Err(Error::lab(format!("the pod {name} cannot write: {why}"))
                .hint("let the run's service accounts have pods of root's: on OpenShift, the constraint anyuid"));
        }
        if running || ends && ended.is_some() && unbegun.is_none() {
            if let Some(uid) = seen.and_then(|pod| pod.uid).filter(|_| self.tasks.kept.of(name).is_some()) {
                self.tasks.made.add_kept(name, node, &uid);
            }
            return Ok(());
        }
        let what = format!("the pod {name} does not run");
        if let Some(why) = unbegun {
            return Err(Error::lab(format!("{what}: it ended before its task began: {why}"))
                .hint("the image of a pod needs sh, gzip, chmod and tail; a node needs room for it"));
        }
        if let Some(why) = ended {
            return Err(Error::new(Kind::Status(tonic::Code::Unknown), format!("{what}: it ended: {why}")));
        }
        let late = waited.err().unwrap_or_else(|| Error::new(Kind::Timeout, what.clone()));
        let mut obstacle = None;
        if self.cluster().volume_of(claim, Instant::now() + GLANCE)?.is_none() {
            // it is made for its first pod, and whoever makes it may have said why not
            obstacle = self.cluster().obstacle("PersistentVolumeClaim", claim, None, None, Instant::now() + GLANCE)?;
        }
        if obstacle.is_none() {
            obstacle = match (&seen, self.tasks.kept.of(name)) {
                (Some(pod), _) => {
                    let name = pod.name.as_deref().unwrap_or(name);
                    self.cluster().obstacle(
                        "Pod",
                        name,
                        pod.uid.as_deref(),
                        has_node.then_some(NO_NODE),
                        Instant::now() + GLANCE,
                    )?
                }
                (None, Some(kept)) => self.cluster().makes_none(kept.workload, &kept.name, Instant::now() + GLANCE)?,
                (None, None) => None,
            };
        }
        // an event may be old news, or tell no more than who else has the volume
        if obstacle.as_ref().is_none_or(Obstacle::is_of_attachment) {
            let missing = self.cluster().missing_attachment(claim, node, Instant::now() + GLANCE)?;
            let event = obstacle.take();
            obstacle = match missing {
                Some(missing) if missing.blame == Blame::Scheduler => event.or(Some(missing)),
                missing => missing,
            };
        }
        match obstacle {
            Some(obstacle) => Err(obstacle.error(&what)),
            None => Err(late),
        }
    }

    /// Holds a volume mounted for a pod that does nothing on it.
    pub fn hold(&self, node: &str, volume: &Volume, task: &str, deadline: Instant) -> Result<()> {
        self.launch(&self.holding(node, volume, task), deadline)
    }

    fn holding<'a>(&'a self, node: &'a str, volume: &'a Volume, task: &'a str) -> PodOf<'a> {
        PodOf { block: volume.block, read_only: volume.is_for_reading(), ..self.of(task, &volume.name, node) }
    }

    /// Has a pod that wants a volume while `meanwhile` goes on, whether it runs or not. Where that comes too late, the
    /// reason is what the cluster says of the pod, if it says something.
    pub fn wanted_by_pod<T>(
        &self,
        node: &str,
        volume: &Volume,
        task: &str,
        deadline: Instant,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.make(&self.holding(node, volume, task), deadline)?;
        let done = meanwhile().map_err(|late| {
            let told = || self.cluster().obstacle("Pod", task, None, None, Instant::now() + GLANCE).ok().flatten();
            let obstacle = (late.kind == Kind::Timeout).then(told).flatten();
            obstacle.map_or_else(|| late.clone(), |obstacle| obstacle.error(&late.message))
        });
        let removed = self.remove(task, false, deadline.max(Instant::now() + GLANCE));
        done.and_then(|done| removed.map(|()| done))
    }

    /// Looks at a volume by a pod that prints what is in its ledger.
    pub fn read(
        &self,
        node: &str,
        volume: &Volume,
        name: &str,
        judge: &mut Judge<'_>,
        deadline: Instant,
    ) -> Result<Look> {
        let ledger = if volume.block { VOLUME.to_owned() } else { format!("{VOLUME}/{LEDGER}") };
        let command = [EXECUTABLE, "places", &ledger].map(str::to_owned).to_vec();
        let (block, read_only) = (volume.block, volume.is_for_reading());
        let of = PodOf { block, read_only, command, ends: true, ..self.of(name, &volume.name, node) };
        self.launch(&of, deadline)?;
        let facts = logs::judge(self.cluster(), name, judge, deadline)?;
        Ok(facts.map_or_else(Look::default, |facts| Look {
            bytes: Some(facts.bytes),
            used: Some(facts.used),
            filesystem: Some(facts.filesystem),
            options: Some(facts.options),
        }))
    }

    /// Whether what its nodes have mounted can be looked at there.
    pub fn sees_nodes(&self) -> bool {
        self.options.beneath.is_some()
    }

    /// Removes the pod of a task, and waits until it is gone; at once, whatever its node says, where it is forced. What
    /// keeps it goes first, unless that keeps its next life by now.
    pub fn remove(&self, task: &str, force: bool, deadline: Instant) -> Result<()> {
        let params = if force { DeleteParams::default().grace_period(0) } else { DeleteParams::default() };
        if force {
            self.tasks.note_forced(task);
        }
        self.tasks.made.forget(task);
        let pods = self.cluster().own::<Pod>();
        if !self.tasks.kept.knows(task) {
            return self.cluster().remove(&pods, task, &params, deadline);
        }
        let keeper = self.tasks.kept.of(task);
        if let Some(Keeper { workload, name }) = &keeper {
            self.cluster().keep_no_more(*workload, name, deadline)?;
        }
        let mut last = Ok(());
        let waited = wait_until(deadline, &format!("the end of the pods of {task}"), || {
            let now = Instant::now() + GLANCE;
            let is_kept = keeper.as_ref().map_or(Ok(false), |Keeper { workload, name }| {
                self.cluster().is_kept(*workload, name, now) // who goes may make one more on its way
            });
            let Ok(found) = self.cluster().list(&pods, &self.tasks.label(task), now) else { return false };
            for pod in found.iter().filter(|pod| force || pod.metadata.deletion_timestamp.is_none()) {
                last = self.cluster().delete_this(&pods, pod, &params, now);
            }
            found.is_empty() && is_kept.is_ok_and(|is_kept| !is_kept)
        });
        waited.map_err(|late| last.err().unwrap_or(late))
    }

    /// The run's pods on a node, or for it.
    pub fn all_on(&self, node: &str, deadline: Instant) -> Result<Vec<Pod>> {
        self.listed(node, &self.cluster().own_label(), deadline)
    }

    /// That the cluster took a pod of the run's away, for reasons of its own, or that somebody else did.
    fn disruption(&self, node: &str) -> Option<Error> {
        let pods = self.all_on(node, Instant::now() + GLANCE).ok()?;
        let taken = pods.iter().find_map(|pod| Some((pod.metadata.name.clone()?, taken_away(pod)?)));
        if let Some((name, why)) = taken {
            let error = Error::lab(format!("the cluster took the pod {name} from {node}: {why}"));
            return Some(error.hint("give nodes with room, that nobody scales down or defragments meanwhile"));
        }
        let gone = self.tasks.made.gone(node, &pods)?;
        let error = Error::lab(format!("somebody else deleted the pod of {gone} on {node}: this run did not"));
        Some(error.hint("the audit log of the cluster says who did, where it has one"))
    }

    fn listed(&self, node: &str, labels: &str, deadline: Instant) -> Result<Vec<Pod>> {
        let found = self.cluster().list(&self.cluster().own::<Pod>(), labels, deadline)?;
        let is_for = |pod: &Pod| {
            let wanted = pod.metadata.annotations.as_ref().and_then(|noted| noted.get(NODE));
            wanted.is_none_or(|wanted| wanted == node)
        };
        Ok(found.into_iter().filter(is_for).collect())
    }

    /// The tasks of a volume that have pods on a node, or for it.
    pub fn on(&self, node: &str, volume: &str, task: Option<&str>, deadline: Instant) -> Result<Vec<String>> {
        let mut labels = vec![self.cluster().own_label(), format!("{VOLUME_LABEL}={volume}")];
        labels.extend(task.map(|task| format!("{TASK_LABEL}={task}")));
        let found = self.listed(node, &labels.join(","), deadline)?;
        let tasks = found.into_iter().filter_map(|pod| pod.metadata.labels?.remove(TASK_LABEL));
        let tasks: BTreeSet<String> = tasks.collect();
        Ok(tasks.into_iter().collect())
    }

    /// Where the kubelet of a node has a pod's volume mounted; none, where the pod or its volume is not there.
    pub fn place(&self, pod: &str, volume: &Volume, deadline: Instant) -> Result<Option<PathBuf>> {
        let Some(pod) = self.tasks.pod(pod, deadline)? else { return Ok(None) };
        let behind = self.cluster().volume_of(&volume.name, deadline)?;
        let (Some(uid), Some(behind)) = (pod.metadata.uid, behind) else { return Ok(None) };
        let folder = Path::new("/var/lib/kubelet/pods").join(uid);
        Ok(Some(if volume.block {
            folder.join("volumeDevices/kubernetes.io~csi").join(behind)
        } else {
            folder.join("volumes/kubernetes.io~csi").join(behind).join("mount")
        }))
    }
}

impl Nodes for Pods {
    fn names(&self) -> Vec<String> {
        self.options.nodes.clone()
    }

    fn start(&self, node: &str, spec: Spec, deadline: Instant) -> Result<Box<dyn Process>> {
        self.begin(node, spec, self.options.workload, deadline)
    }

    fn look(&self, node: &str, mount: &Mount, task: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        match &self.options.beneath {
            Some(beneath) => beneath.look(node, mount, task, judge, deadline),
            None => Err(Error::lab("nobody can look at a volume on a node of this cluster")),
        }
    }

    fn see(&self, node: &str, mount: &Path, deadline: Instant) -> Result<bool> {
        self.options.beneath.as_ref().map_or(Ok(false), |beneath| beneath.see(node, mount, deadline))
    }

    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>> {
        let mut left = match &self.options.beneath {
            Some(beneath) => beneath.leftovers(node, volumes)?,
            None => Vec::new(),
        };
        for volume in volumes {
            for name in self.on(node, volume, None, Instant::now() + GLANCE)? {
                left.push(Leftover::on(node, LeftoverKind::Container, name));
            }
        }
        Ok(left)
    }

    fn clear(&self, node: &str, volume: &str, task: Option<&str>, deadline: Instant) -> Result<()> {
        for name in self.on(node, volume, task, deadline)? {
            self.remove(&name, false, deadline)?;
        }
        Ok(())
    }

    fn await_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.options.beneath.as_ref().map_or(Ok(()), |beneath| beneath.await_plugin(node, deadline))
    }

    fn plugin_end(&self, node: &str) -> Option<Error> {
        self.options.beneath.as_ref().and_then(|beneath| beneath.plugin_end(node))
    }

    fn trouble(&self, node: &str, deadline: Instant) -> Option<Error> {
        match &self.options.beneath {
            Some(beneath) => beneath.trouble(node, deadline),
            None if !self.tasks.made.has_used(node) => None, // what is wrong there is nothing to this run
            None => match self.cluster().is_ready(node, deadline.min(Instant::now() + GLANCE)) {
                Ok(Some(true)) => self.disruption(node),
                Err(_) => None, // that the API is away is said of the volumes
                Ok(_) => Some(Error::lab(format!("the node {node} is not Ready, and nobody here harmed it"))),
            },
        }
    }

    fn wait_lost(&self, node: &str, deadline: Instant) -> Result<()> {
        self.cluster().wait_ready(node, false, deadline)
    }
}
