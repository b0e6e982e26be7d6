//! The storage lab: a provider, tasks on its volumes, and what harms them. Blocking only: scenarios are test functions.
//!
//! Long because it is the one face of the storage lab for Python, a method for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::{Seconds, Whole, chosen};
use super::runtime::{RuntimeOf, block};
#[cfg(not(target_os = "linux"))]
use super::storage_elsewhere::{Namespaces, missing};
use super::storage_results::{Source, StorageSnapshot, StorageVolume, counted, judged};
use super::{errors, results};
use crate::error::{Error, Kind, Result};
use crate::failpoint::Registry;
use crate::storage::emulated::Sockets;
use crate::storage::kubernetes::Cluster;
#[cfg(target_os = "linux")]
use crate::storage::namespaces::{Namespaces, missing};
use crate::storage::{
    Access, Busy, Fault, Lab, Leftover, Mask, Network, Part, Stage, Started, TaskEnding, Volume, VolumeRequest,
    every_call_twice,
};

/// Where no time is given.
const TIMEOUT: Duration = Duration::from_secs(30);

/// For a cluster to take back what a run made: clouds take their time with volumes.
const END_OF_A_RUN: Duration = Duration::from_secs(120);

/// Does blocking work where Ctrl-C is seen.
pub fn wait<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send + 'static) -> PyResult<T> {
    block(py, RuntimeOf::Client, async move {
        let worked = tokio::task::spawn_blocking(work).await;
        worked.unwrap_or_else(|error| Err(Error::new(Kind::Expectation, format!("holdfast has a bug: {error}"))))
    })
}

pub fn deadline(timeout: Option<Seconds>) -> Instant {
    Instant::now() + timeout.map_or(TIMEOUT, |seconds| seconds.0)
}

const FAULTS: [(&str, Fault); 25] = [
    ("power_off", Fault::PowerOff),
    ("power_on", Fault::PowerOn),
    ("cut", Fault::Cut(Network::All)),
    ("cut_storage", Fault::Cut(Network::Storage)),
    ("cut_control", Fault::Cut(Network::Control)),
    ("heal", Fault::Heal),
    ("stop_plugin", Fault::Stop(Part::Plugin)),
    ("kill_plugin", Fault::Kill(Part::Plugin)),
    ("hang_plugin", Fault::Hang(Part::Plugin)),
    ("start_plugin", Fault::Start(Part::Plugin)),
    ("kill_server", Fault::Kill(Part::Server)),
    ("hang_server", Fault::Hang(Part::Server)),
    ("start_server", Fault::Start(Part::Server)),
    ("kill_runtime", Fault::Kill(Part::Runtime)),
    ("start_runtime", Fault::Start(Part::Runtime)),
    ("kill_kubelet", Fault::Kill(Part::Kubelet)),
    ("start_kubelet", Fault::Start(Part::Kubelet)),
    ("kill_api_server", Fault::Kill(Part::ApiServer)),
    ("start_api_server", Fault::Start(Part::ApiServer)),
    ("kill_etcd", Fault::Kill(Part::Etcd)),
    ("start_etcd", Fault::Start(Part::Etcd)),
    ("drain", Fault::Drain),
    ("uncordon", Fault::Uncordon),
    ("live_restore_on", Fault::LiveRestore(true)),
    ("live_restore_off", Fault::LiveRestore(false)),
];

/// A task that was started.
#[pyclass(frozen, module = "holdfast._core")]
pub struct StorageTask {
    started: Arc<Started>,
    mask: Mask,
    busy: Arc<Busy>,
}

impl StorageTask {
    fn of(lab: &Lab, started: Started) -> Self {
        Self { started: Arc::new(started), mask: lab.mask().clone(), busy: lab.busy().clone() }
    }

    /// Does what whoever runs it is asked for; what it tells is told without secrets.
    fn ask<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Started) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let busy = self.busy.clone();
        self.watch(py, move |started| busy.during(|| work(started)))
    }

    /// Does what blocks and asks nobody.
    fn watch<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Started) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let (started, mask) = (self.started.clone(), self.mask.clone());
        wait(py, move || work(&started).map_err(|error| mask.error(error)))
    }
}

#[pymethods]
impl StorageTask {
    #[getter]
    fn name(&self) -> &str {
        &self.started.name
    }

    #[getter]
    fn node(&self) -> &str {
        &self.started.node
    }

    #[getter]
    fn volume(&self) -> StorageVolume {
        StorageVolume { volume: self.started.volume.clone(), mask: self.mask.clone() }
    }

    #[getter]
    fn stage(&self) -> &'static str {
        self.started.stage.name()
    }

    #[getter]
    fn incarnation(&self) -> u64 {
        self.started.incarnation
    }

    #[getter]
    fn id(&self, py: Python<'_>) -> String {
        py.detach(|| self.started.process.id()) // a cluster is asked
    }

    #[getter]
    fn pid(&self) -> Option<u32> {
        self.started.process.pid()
    }

    #[getter]
    fn acknowledged(&self) -> usize {
        self.started.task.acknowledged()
    }

    #[getter]
    fn failed(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let failed = self.started.task.failed().map_err(|error| errors::to_python(py, &self.mask.error(error)))?;
        Ok(failed.map(|why| self.mask.hide(&why)))
    }

    fn ended(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let mask = self.mask.clone();
        self.ask(py, move |started| {
            Ok(match started.process.ending() {
                TaskEnding::Running => None,
                TaskEnding::Ended(why) => Some(mask.hide(&why)),
            })
        })
    }

    fn longest_pause(&self, since: Whole<usize>) -> f64 {
        self.started.task.longest_pause(since.0).as_secs_f64()
    }

    #[pyo3(signature = (many, *, timeout=None))]
    fn wait_acknowledged(&self, py: Python<'_>, many: Whole<usize>, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = deadline(timeout);
        self.watch(py, move |started| started.task.wait_acknowledged(many.0, deadline))
    }

    #[pyo3(signature = (*, timeout=None))]
    fn wait_syncing(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = deadline(timeout);
        self.watch(py, move |started| started.task.wait_syncing(deadline))
    }

    #[pyo3(signature = (*, timeout=None))]
    fn wait_failed(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<String>> {
        let (mask, deadline) = (self.mask.clone(), deadline(timeout));
        self.watch(py, move |started| Ok(started.task.wait_failed(deadline)?.map(|why| mask.hide(&why))))
    }

    /// Waits until it runs; why not, as whoever runs it says.
    #[pyo3(signature = (*, timeout=None))]
    fn wait_running(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = deadline(timeout);
        self.ask(py, move |started| started.process.wait_running(deadline).map_err(|error| started.task.explain(error)))
    }

    #[pyo3(signature = (*, kill=false, timeout=None))]
    fn stop(&self, py: Python<'_>, kill: bool, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = deadline(timeout);
        self.ask(py, move |started| started.process.stop(kill, deadline))
    }

    fn __repr__(&self) -> String {
        format!(
            "<task {} on {}: {} acknowledged>",
            self.started.name,
            self.started.node,
            self.started.task.acknowledged()
        )
    }
}

/// A provider, tasks on its volumes, and what harms them.
#[pyclass(frozen, module = "holdfast._core")]
pub struct StorageLab {
    lab: Arc<Lab>,
    /// Behind an emulated provider.
    failpoints: Option<Arc<Registry>>,
    /// Where it is served on some.
    sockets: Mutex<Option<Sockets>>,
    /// Of a lab.
    namespaces: Option<Namespaces>,
    /// Of a cluster, until the run has ended there.
    cluster: Mutex<Option<Cluster>>,
}

impl StorageLab {
    /// Does what blocks. Whatever its provider says comes into Python here, without the secrets that it was given.
    fn ask<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Lab) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let lab = self.lab.clone();
        wait(py, move || lab.busy().during(|| work(&lab)).map_err(|error| lab.mask().error(error)))
    }

    fn volume(&self, volume: Volume) -> StorageVolume {
        StorageVolume { volume, mask: self.lab.mask().clone() }
    }

    /// Of the emulated provider, served on sockets or not.
    pub fn emulated(lab: Lab, failpoints: Arc<Registry>, sockets: Option<Sockets>) -> Self {
        Self {
            lab: Arc::new(lab),
            failpoints: Some(failpoints),
            sockets: Mutex::new(sockets),
            namespaces: None,
            cluster: Mutex::default(),
        }
    }

    /// Of a cluster, where what the run made goes with it.
    pub fn in_cluster(lab: Lab, cluster: Cluster) -> Self {
        Self { cluster: Mutex::new(Some(cluster)), ..Self::real(lab, None) }
    }

    /// Of a lab of real nodes.
    pub fn real(lab: Lab, namespaces: Option<Namespaces>) -> Self {
        Self { lab: Arc::new(lab), failpoints: None, sockets: Mutex::default(), namespaces, cluster: Mutex::default() }
    }
}

#[pymethods]
impl StorageLab {
    /// Name, version, capabilities, and what is emulated of it.
    fn provider(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (provider, mask) = (self.lab.volumes().provider(), self.lab.mask());
        let capabilities: Vec<&str> = provider.capabilities.iter().map(|each| each.name()).collect();
        let fields = PyDict::new(py);
        fields.set_item("name", mask.hide(&provider.name))?;
        fields.set_item("version", mask.hide(&provider.version))?;
        fields.set_item("capabilities", pyo3::types::PyFrozenSet::new(py, capabilities)?)?;
        fields.set_item("emulated", mask.hide(&provider.emulated))?;
        fields.set_item("runner", self.lab.runner().name())?;
        fields.set_item("lacks", mask.hide(&provider.lacks))?;
        fields.set_item("fault", mask.hide(&provider.fault))?;
        fields.set_item("minimum", provider.minimum)?;
        fields.set_item("unasked", pyo3::types::PyTuple::new(py, &provider.unasked)?)?;
        fields.set_item("tells_unmounts", self.lab.runner().tells_unmounts())?;
        results::make(py, "StorageProvider", &fields)
    }

    fn nodes(&self) -> Vec<String> {
        self.lab.nodes().names()
    }

    /// Of a Kubernetes in the lab: the kubeconfig that leads there, for as long as the lab lives.
    #[getter]
    fn kubeconfig(&self) -> Option<std::path::PathBuf> {
        self.namespaces.as_ref().and_then(Namespaces::kubeconfig)
    }

    /// What begins the names of this run's volumes and tasks.
    fn run_name(&self) -> String {
        self.lab.run_name()
    }

    #[pyo3(signature = (node, name, bytes, *, filesystem="", access="SINGLE_NODE_WRITER", parameters=BTreeMap::new(), block=false, source=None, also=Vec::new(), timeout=None))]
    #[allow(clippy::too_many_arguments)]
    fn create(
        &self,
        py: Python<'_>,
        node: String,
        name: String,
        bytes: Whole<u64>,
        filesystem: &str,
        access: &str,
        parameters: BTreeMap<String, String>,
        block: bool,
        source: Option<Source>,
        also: Vec<String>,
        timeout: Option<Seconds>,
    ) -> PyResult<StorageVolume> {
        let access = chosen("access", access, &Access::ALL)?;
        let also = also.iter().map(|other| chosen("access", other, &Access::ALL)).collect::<PyResult<Vec<_>>>()?;
        let request = VolumeRequest {
            name,
            bytes: bytes.0,
            filesystem: filesystem.to_owned(),
            access,
            also,
            parameters,
            block,
            content: source.map(Source::content),
            ..VolumeRequest::default()
        };
        let deadline = deadline(timeout);
        Ok(self.volume(self.ask(py, move |lab| lab.create(&node, &request, deadline))?))
    }

    /// Makes a volume larger, and what tasks have mounted of it; the size that the provider says it has now.
    #[pyo3(signature = (volume, bytes, *, tasks=Vec::new(), timeout=None))]
    fn expand(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        bytes: Whole<u64>,
        tasks: Vec<Py<StorageTask>>,
        timeout: Option<Seconds>,
    ) -> PyResult<u64> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        let tasks: Vec<_> = tasks.iter().map(|task| task.get().started.clone()).collect();
        self.ask(py, move |lab| lab.expand(&volume, bytes.0, &tasks, deadline))
    }

    #[pyo3(signature = (volume, name, *, timeout=None))]
    fn take_snapshot(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        name: String,
        timeout: Option<Seconds>,
    ) -> PyResult<StorageSnapshot> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        let snapshot = self.ask(py, move |lab| lab.take_snapshot(&volume, &name, deadline))?;
        Ok(StorageSnapshot { snapshot, mask: self.lab.mask().clone() })
    }

    /// Whether the provider knows a snapshot that is asked for by itself; None where it cannot be asked.
    #[pyo3(signature = (snapshot, *, timeout=None))]
    fn has_snapshot(
        &self,
        py: Python<'_>,
        snapshot: &StorageSnapshot,
        timeout: Option<Seconds>,
    ) -> PyResult<Option<bool>> {
        let (snapshot, deadline) = (snapshot.snapshot.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.has_snapshot(&snapshot, deadline))
    }

    #[pyo3(signature = (snapshot, *, timeout=None))]
    fn remove_snapshot(&self, py: Python<'_>, snapshot: &StorageSnapshot, timeout: Option<Seconds>) -> PyResult<()> {
        let (snapshot, deadline) = (snapshot.snapshot.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.remove_snapshot(&snapshot, deadline))
    }

    /// What the plugin counts on a task's volume; of a task that was released, where it was mounted.
    #[pyo3(signature = (task, *, timeout=None))]
    fn statistics(&self, py: Python<'_>, task: &StorageTask, timeout: Option<Seconds>) -> PyResult<Py<PyAny>> {
        let (started, deadline) = (task.started.clone(), deadline(timeout));
        let statistics = self.ask(py, move |lab| lab.statistics(&started, deadline))?;
        counted(py, &statistics, self.lab.mask())
    }

    /// The parameters in force of a volume that was made with `parameters`, where the provider tells.
    #[pyo3(signature = (node, volume, parameters, *, timeout=None))]
    fn confirm(
        &self,
        py: Python<'_>,
        node: String,
        volume: &StorageVolume,
        parameters: BTreeMap<String, String>,
        timeout: Option<Seconds>,
    ) -> PyResult<Option<BTreeMap<String, String>>> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        let request = VolumeRequest { parameters, ..VolumeRequest::default() };
        let confirmed = self.ask(py, move |lab| lab.volumes().confirm(&node, &volume, &request, deadline))?;
        let mask = self.lab.mask();
        let hidden = |(key, value): (String, String)| (mask.hide(&key), mask.hide(&value));
        Ok(confirmed.map(|parameters| parameters.into_iter().map(hidden).collect()))
    }

    /// A volume's whole life on a node, each call made twice.
    #[pyo3(signature = (node, name, bytes, *, filesystem="", access="SINGLE_NODE_WRITER", parameters=BTreeMap::new(), timeout=None))]
    #[allow(clippy::too_many_arguments)]
    fn repeat(
        &self,
        py: Python<'_>,
        node: String,
        name: String,
        bytes: Whole<u64>,
        filesystem: &str,
        access: &str,
        parameters: BTreeMap<String, String>,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        let (access, filesystem) = (chosen("access", access, &Access::ALL)?, filesystem.to_owned());
        let request =
            VolumeRequest { name, bytes: bytes.0, filesystem, access, parameters, ..VolumeRequest::default() };
        let deadline = deadline(timeout);
        self.ask(py, move |lab| every_call_twice(lab.volumes(), &node, &request, deadline))
    }

    /// How long the provider, the runner and whoever does harm were waited for so far, in seconds.
    fn busy(&self) -> f64 {
        self.lab.busy().so_far().as_secs_f64()
    }

    /// How many volumes of the provider each node of a cluster takes beside those that it has; a node that does not tell,
    /// and any lab but a cluster, is not there.
    #[pyo3(signature = (*, timeout=None))]
    fn most_volumes(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<BTreeMap<String, u32>> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let deadline = deadline(timeout);
        self.ask(py, move |lab| match cluster {
            Some(cluster) => cluster.room(&lab.volumes().provider().name, &lab.nodes().names(), deadline),
            None => Ok(BTreeMap::new()),
        })
    }

    /// How long the calls of each kind took so far.
    fn calls(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let made = self.lab.volumes().calls();
        let rows = made.into_iter().map(|times| {
            let fields = PyDict::new(py);
            fields.set_item("name", times.name)?;
            fields.set_item("limit", times.limit.as_secs_f64())?;
            fields.set_item("calls", times.calls)?;
            fields.set_item("repeated", times.repeated)?;
            fields.set_item("slowest", times.slowest.as_secs_f64())?;
            results::make(py, "StorageCalls", &fields)
        });
        rows.collect()
    }

    #[pyo3(signature = (node, volume, *, timeout=None))]
    fn remove(&self, py: Python<'_>, node: String, volume: &StorageVolume, timeout: Option<Seconds>) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.remove(&node, &volume, deadline))
    }

    /// Whether the provider knows a volume that is asked for by itself; None where it cannot be asked.
    #[pyo3(signature = (node, volume, *, timeout=None))]
    fn has(
        &self,
        py: Python<'_>,
        node: String,
        volume: &StorageVolume,
        timeout: Option<Seconds>,
    ) -> PyResult<Option<bool>> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.has(&node, &volume, deadline))
    }

    /// All volumes that the provider tells of; by `page`, in pages of so many at most.
    #[pyo3(signature = (node, *, page=0, timeout=None))]
    fn volumes(
        &self,
        py: Python<'_>,
        node: String,
        page: u32,
        timeout: Option<Seconds>,
    ) -> PyResult<Vec<StorageVolume>> {
        let deadline = deadline(timeout);
        let volumes = self.ask(py, move |lab| match page {
            0 => lab.volumes().list(&node, deadline),
            page => lab.volumes().list_in_pages(&node, page, deadline),
        })?;
        Ok(volumes.into_iter().map(|volume| self.volume(volume)).collect())
    }

    /// Attaches a volume, as an orchestrator does that is not careful.
    #[pyo3(signature = (volume, node, *, timeout=None))]
    fn attach(&self, py: Python<'_>, volume: &StorageVolume, node: String, timeout: Option<Seconds>) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.volumes().attach(&volume, &node, deadline).map(drop))
    }

    /// Mounts an attached and staged volume for a task, once more or for the first time.
    #[pyo3(signature = (volume, node, task, *, timeout=None))]
    fn mount(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        node: String,
        task: String,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.mount_beside(&volume, &node, &task, deadline))
    }

    /// The reverse.
    #[pyo3(signature = (volume, node, task, *, timeout=None))]
    fn unmount(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        node: String,
        task: String,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.volumes().unmount(&volume, &node, &task, deadline))
    }

    #[pyo3(signature = (node, *, timeout=None))]
    fn wait_ready(&self, py: Python<'_>, node: String, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = deadline(timeout);
        self.ask(py, move |lab| lab.wait_ready(&node, deadline))
    }

    #[pyo3(signature = (volume, node, *, stage="appending", kept=false, timeout=None))]
    fn run(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        node: String,
        stage: &str,
        kept: bool,
        timeout: Option<Seconds>,
    ) -> PyResult<StorageTask> {
        let stage = chosen("stage", stage, &Stage::ALL)?;
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        let started = self.ask(py, move |lab| lab.run(&volume, &node, stage, kept, deadline))?;
        Ok(StorageTask::of(&self.lab, started))
    }

    /// Whether the runner keeps every task that it runs.
    #[getter]
    fn keeps_tasks(&self) -> bool {
        self.lab.runner().keeps_tasks()
    }

    /// Says what the next life of a task is that the runner keeps.
    #[pyo3(signature = (task, node, *, timeout=None))]
    fn hand_over(
        &self,
        py: Python<'_>,
        task: &StorageTask,
        node: String,
        timeout: Option<Seconds>,
    ) -> PyResult<StorageTask> {
        let (from, deadline) = (task.started.clone(), deadline(timeout));
        let started = self.ask(py, move |lab| lab.hand_over(&from, &node, deadline))?;
        Ok(StorageTask::of(&self.lab, started))
    }

    #[pyo3(signature = (task, *, timeout=None))]
    fn release(&self, py: Python<'_>, task: &StorageTask, timeout: Option<Seconds>) -> PyResult<()> {
        let (started, deadline) = (task.started.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.release(&started, deadline))
    }

    /// Mounts the volume of a task that runs once more for it, and takes that back; why not, where that cannot be had.
    #[pyo3(signature = (task, *, timeout=None))]
    fn mount_again(&self, py: Python<'_>, task: &StorageTask, timeout: Option<Seconds>) -> PyResult<Option<String>> {
        let (started, deadline) = (task.started.clone(), deadline(timeout));
        let refusal = self.ask(py, move |lab| lab.mount_again(&started, deadline))?;
        Ok(refusal.map(|why| self.lab.mask().hide(&why)))
    }

    /// Opens the ledger of a task that runs anew, where its volume is mounted; false where nobody can look there.
    #[pyo3(signature = (task, *, timeout=None))]
    fn see(&self, py: Python<'_>, task: &StorageTask, timeout: Option<Seconds>) -> PyResult<bool> {
        let (started, deadline) = (task.started.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.see(&started, deadline))
    }

    #[pyo3(signature = (volume, node, *, timeout=None))]
    fn evict(&self, py: Python<'_>, volume: &StorageVolume, node: String, timeout: Option<Seconds>) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.evict(&volume, &node, deadline))
    }

    #[pyo3(signature = (volume, node, *, timeout=None))]
    fn reconcile(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        node: String,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        self.ask(py, move |lab| lab.reconcile(&volume, &node, deadline))
    }

    #[pyo3(signature = (volume, node, *, timeout=None))]
    fn verify(
        &self,
        py: Python<'_>,
        volume: &StorageVolume,
        node: String,
        timeout: Option<Seconds>,
    ) -> PyResult<Py<PyAny>> {
        let (volume, deadline) = (volume.volume.clone(), deadline(timeout));
        let verdict = self.ask(py, move |lab| lab.verify(&volume, &node, deadline))?;
        judged(py, &verdict, self.lab.mask())
    }

    #[pyo3(signature = (node, fault, *, timeout=None))]
    fn inflict(&self, py: Python<'_>, node: String, fault: &str, timeout: Option<Seconds>) -> PyResult<()> {
        let fault = chosen("fault", fault, &FAULTS)?;
        let deadline = deadline(timeout);
        self.ask(py, move |lab| lab.inflict(&node, fault, deadline))
    }

    /// Why a fault cannot be had here.
    fn lacks(&self, py: Python<'_>, fault: &str) -> PyResult<Option<String>> {
        let fault = chosen("fault", fault, &FAULTS)?;
        Ok(py.detach(|| self.lab.faults().lacks(fault))) // hosts and nodes are asked
    }

    #[pyo3(signature = (volumes, *, timeout=None))]
    fn leftovers(
        &self,
        py: Python<'_>,
        volumes: Vec<Py<StorageVolume>>,
        timeout: Option<Seconds>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let volumes: Vec<Volume> = volumes.iter().map(|volume| volume.get().volume.clone()).collect();
        let deadline = deadline(timeout);
        let left = self.ask(py, move |lab| lab.leftovers(&volumes, deadline))?;
        let mask = self.lab.mask();
        let row = |left: Leftover| {
            let (words, kind) = (mask.hide(&left.to_string()), left.kind.name());
            results::leftover(py, kind, &mask.hide(&left.name), &mask.hide(&left.node), &words)
        };
        left.into_iter().map(row).collect()
    }

    /// What is wrong with the lab itself.
    #[pyo3(signature = (*, timeout=None))]
    fn trouble(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<String>> {
        let deadline = deadline(timeout);
        self.ask(py, move |lab| Ok(lab.trouble(deadline).map(|error| error.to_string())))
    }

    fn timeline(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        results::events(py, self.lab.timeline().since(Duration::ZERO))
    }

    /// Ends what it is made of: sockets, namespaces, a cluster's objects.
    #[pyo3(signature = (*, timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<()> {
        if let Some(namespaces) = self.namespaces.clone() {
            wait(py, move || {
                namespaces.close();
                Ok(())
            })?;
        }
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(cluster) = cluster else { return Ok(()) };
        let deadline = Instant::now() + timeout.map_or(END_OF_A_RUN, |seconds| seconds.0);
        let (again, ended) = (cluster.clone(), wait(py, move || cluster.end(deadline)));
        if ended.is_err() {
            *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(again); // what stayed may go later
        }
        ended
    }

    /// How often each armed failpoint was hit.
    fn failpoint_hits(&self) -> BTreeMap<String, u64> {
        let armed = self.failpoints.iter().flat_map(|failpoints| failpoints.armed());
        armed.map(|each| (each.name.to_owned(), each.hits)).collect()
    }
}

/// Why there can be no lab on this machine; None where there can.
#[pyfunction]
pub fn storage_lab_lacks() -> Option<String> {
    missing()
}
