//! Tasks as pods, each on the node that a scenario says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;

use super::cluster::Cluster;
use super::logs;
use super::manifests::{self, EXECUTABLE, PodOf, TASK_LABEL, VOLUME, VOLUME_LABEL, WITHIN};
use super::phases::{ending, not_begun, phase};
use super::program::Program;
use crate::docker::{Channels, Hearing};
use crate::executable::{LEDGER, arguments, until_signal};
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding};
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
    /// What else the nodes are, where it is ours to see.
    pub beneath: Option<Arc<dyn Nodes>>,
}

/// Pods on the nodes of a cluster.
#[derive(Clone)]
pub struct Pods {
    cluster: Cluster,
    options: PodsOptions,
    /// Those that were removed though their node said nothing.
    forced: Arc<Mutex<BTreeSet<String>>>,
}

impl Pods {
    /// In the run's namespace, which is made.
    pub fn new(cluster: Cluster, options: PodsOptions, deadline: Instant) -> Result<Self> {
        if let Acknowledge::Channels(channels) = &options.acknowledge {
            options.nodes.iter().try_for_each(|node| channels(node).prepare())?;
        }
        cluster.make_namespace(matches!(options.program, Program::OnNodes(_)), deadline)?;
        Ok(Self { cluster, options, forced: Arc::default() })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn pod(&self, name: &str, deadline: Instant) -> Result<Option<Pod>> {
        self.cluster.find(&self.cluster.own::<Pod>(), name, deadline)
    }

    fn of<'a>(&'a self, name: &'a str, claim: &'a str, node: &'a str) -> PodOf<'a> {
        PodOf {
            name,
            claim,
            node,
            image: &self.options.image,
            command: self.options.program.holding(),
            program: self.options.program.parts(&self.options.image),
            sockets: None,
            block: false,
            ends: false,
        }
    }

    fn launch(&self, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        let pods = self.cluster.own::<Pod>();
        self.cluster.create(&pods, &manifests::pod(self.cluster.run(), of)?, deadline)?;
        self.wait_running(of, deadline).inspect_err(|_| {
            let _ = self.remove(of.name, false, Instant::now() + GLANCE); // clear finds it again
        })
    }

    /// Waits until a pod runs; why not, as the cluster says.
    fn wait_running(&self, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        let name = of.name;
        let (mut ended, mut unbegun) = (None, None);
        let mut running = false;
        let waited = wait_until(deadline, "a pod", || {
            if let Ok(Some(pod)) = self.pod(name, Instant::now() + GLANCE) {
                running = phase(&pod) == "Running";
                ended = ending(&pod);
                unbegun = not_begun(&pod);
            }
            running || ended.is_some()
        });
        if running || of.ends && ended.is_some() && unbegun.is_none() {
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
        let told = match self.cluster.volume_of(of.claim, Instant::now() + GLANCE)? {
            // it is made for its first pod, and whoever makes it may have said why not
            None => self.cluster.obstacle("PersistentVolumeClaim", of.claim, Instant::now() + GLANCE)?,
            Some(_) => None,
        };
        let told = match told {
            None => self.cluster.obstacle("Pod", name, Instant::now() + GLANCE)?,
            told => told,
        };
        let obstacle = match told {
            None => self.cluster.missing_attachment(of.claim, of.node, Instant::now() + GLANCE)?,
            told => told,
        };
        match obstacle {
            Some(obstacle) => Err(obstacle.error(&what)),
            None => Err(late),
        }
    }

    /// Holds a volume mounted for a pod that does nothing on it.
    pub fn hold(&self, node: &str, volume: &Volume, task: &str, deadline: Instant) -> Result<()> {
        let of = PodOf { block: volume.block, ..self.of(task, &volume.name, node) };
        self.launch(&of, deadline)
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
        let of = PodOf { block: volume.block, command, ends: true, ..self.of(name, &volume.name, node) };
        self.launch(&of, deadline)?;
        let facts = logs::judge(&self.cluster, name, judge, deadline)?;
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

    /// Removes a pod, and waits until it is gone; at once, whatever its node says, where it is forced.
    pub fn remove(&self, name: &str, force: bool, deadline: Instant) -> Result<()> {
        let params = if force { DeleteParams::default().grace_period(0) } else { DeleteParams::default() };
        if force {
            self.forced.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        self.cluster.remove(&self.cluster.own::<Pod>(), name, &params, deadline)
    }

    /// The run's pods on a node.
    pub fn all_on(&self, node: &str, deadline: Instant) -> Result<Vec<String>> {
        self.listed(node, &self.cluster.own_label(), deadline)
    }

    fn listed(&self, node: &str, labels: &str, deadline: Instant) -> Result<Vec<String>> {
        let found = self.cluster.list(&self.cluster.own::<Pod>(), labels, deadline)?;
        let here = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_none_or(|on| on == node);
        Ok(found.into_iter().filter(here).filter_map(|pod| pod.metadata.name).collect())
    }

    /// The pods of a volume on a node.
    pub fn on(&self, node: &str, volume: &str, task: Option<&str>, deadline: Instant) -> Result<Vec<String>> {
        let mut labels = vec![self.cluster.own_label(), format!("{VOLUME_LABEL}={volume}")];
        labels.extend(task.map(|task| format!("{TASK_LABEL}={task}")));
        self.listed(node, &labels.join(","), deadline)
    }

    /// Where the kubelet of a node has a pod's volume mounted; none, where the pod or its volume is not there.
    pub fn place(&self, pod: &str, volume: &Volume, deadline: Instant) -> Result<Option<PathBuf>> {
        let Some(pod) = self.pod(pod, deadline)? else { return Ok(None) };
        let behind = self.cluster.volume_of(&volume.name, deadline)?;
        let (Some(uid), Some(behind)) = (pod.metadata.uid, behind) else { return Ok(None) };
        let folder = Path::new("/var/lib/kubelet/pods").join(uid);
        Ok(Some(if volume.block {
            folder.join("volumeDevices/kubernetes.io~csi").join(behind)
        } else {
            folder.join("volumes/kubernetes.io~csi").join(behind).join("mount")
        }))
    }
}

/// A task of a pod.
struct Task {
    pods: Pods,
    name: String,
    hearing: Hearing,
    /// It ends by a signal alone, which it gets with its pod's end.
    by_signal: bool,
}

impl Process for Task {
    fn ending(&self) -> TaskEnding {
        match self.pods.pod(&self.name, Instant::now() + GLANCE) {
            Ok(Some(pod)) => ending(&pod).map_or(TaskEnding::Running, TaskEnding::Ended),
            // one that was removed by force may run on, where its node was not asked
            Ok(None) if self.hearing.has_ended() => TaskEnding::Ended("its pod was removed".to_owned()),
            Ok(None) | Err(_) => TaskEnding::Running, // nobody can tell
        }
    }

    fn id(&self) -> String {
        let pod = self.pods.pod(&self.name, Instant::now() + GLANCE).ok().flatten();
        let container = pod.and_then(|pod| pod.status?.container_statuses?.into_iter().next()?.container_id);
        container.unwrap_or_else(|| self.name.clone())
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        self.hearing.close();
        if !kill && !self.by_signal {
            wait_until(deadline, "the end of a task", || matches!(self.ending(), TaskEnding::Ended(_)))?;
        }
        self.pods.remove(&self.name, kill, deadline)
    }
}

impl Nodes for Pods {
    fn names(&self) -> Vec<String> {
        self.options.nodes.clone()
    }

    fn start(&self, node: &str, spec: Spec, deadline: Instant) -> Result<Box<dyn Process>> {
        let Mount::Engine { name: claim, .. } = &spec.mount else {
            return Err(Error::invalid("a pod has its volume by a claim"));
        };
        let ledger = Path::new(VOLUME).join(LEDGER);
        let Acknowledge::Channels(channels) = &self.options.acknowledge else {
            let mut command = vec![EXECUTABLE.to_owned()];
            command.extend(until_signal(&ledger, spec.opening, spec.work, "-"));
            let of = PodOf { command, ends: true, ..self.of(&spec.task, claim, node) };
            self.launch(&of, deadline)?;
            let forced = self.forced.clone();
            let was_forced = move |name: &str| forced.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
            let hearing = logs::hear(&self.cluster, spec.task.clone(), spec.tell, was_forced);
            return Ok(Box::new(Task { pods: self.clone(), name: spec.task, hearing, by_signal: true }));
        };
        let channels = channels(node);
        let hearing = channels.listen(&spec.task, spec.tell.clone(), self.cluster.runtime())?;
        let acknowledge = hearing.address.replace(crate::docker::WITHIN, WITHIN);
        let mut command = vec![EXECUTABLE.to_owned()];
        command.extend(arguments(&ledger, spec.opening, spec.work, &acknowledge));
        let folder = match &channels {
            Channels::Folder(folder) => Some(folder.display().to_string()),
            Channels::Tcp(_) => None,
        };
        let of = PodOf { command, ends: true, sockets: folder.as_deref(), ..self.of(&spec.task, claim, node) };
        self.launch(&of, deadline)?;
        Ok(Box::new(Task { pods: self.clone(), name: spec.task, hearing, by_signal: false }))
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
            None => match self.cluster.is_ready(node, deadline.min(Instant::now() + GLANCE)) {
                Ok(Some(true)) | Err(_) => None, // that the API is away is said of the volumes
                Ok(_) => Some(Error::lab(format!("the node {node} is not Ready, and nobody here harmed it"))),
            },
        }
    }

    fn wait_lost(&self, node: &str, deadline: Instant) -> Result<()> {
        self.cluster.wait_ready(node, false, deadline)
    }
}
