//! Storage labs in the user's own Kubernetes: claims and pods there, harm by the user's commands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::Seconds;
use super::mask::Mask;
use super::results::object;
use super::storage::{StorageLab, deadline, wait};
use crate::error::{Error, Result};
use crate::storage::docker::Channels;
use crate::storage::kubernetes::{
    Acknowledge, AgentOptions, Agents, ByCluster, ByKubernetes, Claims, Cluster, ClusterOptions, FoundRun, Pods,
    PodsOptions, Program, Wanted, Workload,
};
use crate::storage::{Capability, Faults, Hosts, Lab, Provider};

/// What `holdfast.storage.cluster` was given, checked there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ClusterGiven {
    kubeconfig: PathBuf,
    context: Option<String>,
    /// Their names; none where `selector` says which.
    nodes: Vec<String>,
    selector: Option<String>,
    storage_class: String,
    image: String,
    /// This machine, as pods reach it; none where they tell by their logs.
    tester: Option<IpAddr>,
    /// Whether agents of ours may harm the nodes,
    agents: bool,
    /// and where the plugin serves on each; `{driver}` is its name.
    plugin_socket: String,
    storage_network: Option<String>,
    heals_after: Seconds,
    commands: BTreeMap<String, String>,
    recovery: Option<String>,
    workload: Option<String>,
    fences: bool,
    /// Whether other nodes have the volumes too.
    shared: Option<bool>,
    version: String,
    ledger: PathBuf,
    machine: String,
    process: String,
    run: u128,
    pace: Seconds,
    timeout: Seconds,
    mask: Py<Mask>,
}

/// Harm that heals by itself lasts so long at least: a cut begins a moment after it was ordered.
const SHORTEST_HARM: Duration = Duration::from_secs(10);

/// A cluster that is looked at, and no run's.
fn of_nobody(kubeconfig: PathBuf, context: Option<String>, deadline: Instant) -> Result<Cluster> {
    let nobody = String::new;
    let options = ClusterOptions {
        kubeconfig,
        context,
        namespace: nobody(),
        run: nobody(),
        machine: nobody(),
        process: nobody(),
    };
    Cluster::connect(options, deadline)
}

impl ClusterGiven {
    fn lab(self, deadline: Instant) -> Result<(Lab, Cluster)> {
        let recovery = self.recovery.as_deref().map(str::parse).transpose()?;
        let run = format!("{:032x}", self.run);
        let options = ClusterOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: format!("holdfast-{}", &run[..8]),
            run,
            machine: self.machine.clone(),
            process: self.process.clone(),
        };
        let cluster = Cluster::connect(options, deadline)?;
        let name = cluster.provisioner(&self.storage_class, deadline)?;
        let members = cluster.members(&wanted(self.nodes.clone(), self.selector.clone()), &name, deadline)?;
        let acknowledge = match self.tester {
            Some(address) => Acknowledge::Channels(Arc::new(move |_: &str| Channels::Tcp(address))),
            None => Acknowledge::Log,
        };
        let options = PodsOptions {
            nodes: members.keys().cloned().collect(),
            image: self.image.clone(),
            program: Program::Packed,
            acknowledge,
            workload: self.workload.as_deref().map_or(Ok(Workload::Pod), str::parse)?,
            privileged: self.agents,
            beneath: None,
        };
        let made = cluster.clone();
        self.over(cluster, name, members, options, recovery, deadline).map(|lab| (lab, made.clone())).inspect_err(
            |_| {
                let _ = made.end(deadline.max(Instant::now() + self.timeout.0)); // `holdfast lab clean` finds it again
            },
        )
    }

    /// What is made in the cluster from here on goes again where something fails.
    fn over(
        &self,
        cluster: Cluster,
        name: String,
        members: BTreeMap<String, String>,
        options: PodsOptions,
        recovery: Option<crate::storage::kubernetes::Recovery>,
        deadline: Instant,
    ) -> Result<Lab> {
        let pods = Pods::new(cluster.clone(), options, deadline)?;
        cluster.pack(&self.ledger, deadline)?;
        let is_local = self.shared == Some(false);
        let capabilities: BTreeSet<_> =
            [self.fences.then_some(Capability::Fence), is_local.then_some(Capability::Local)]
                .into_iter()
                .flatten()
                .collect();
        let mask = self.mask.get().mask.clone();
        let hosts = Arc::new(Hosts::new(members.clone(), self.commands.clone(), mask.clone()));
        let mut harm: Arc<dyn Faults> = hosts.clone();
        if self.agents {
            let options = AgentOptions {
                image: self.image.clone(),
                socket: self.plugin_socket.replace("{driver}", &name),
                storage: self.storage_network.clone(),
                heals_after: self.heals_after.0.max(SHORTEST_HARM),
            };
            let nodes: Vec<String> = members.into_keys().collect();
            harm = Arc::new(Agents::install(cluster.clone(), &nodes, options, harm, deadline)?);
        }
        let provider = Provider { name, version: self.version.clone(), capabilities, ..Provider::default() };
        let volumes = Claims::new(pods.clone(), self.storage_class.clone(), provider, None, deadline)?;
        let runner = ByKubernetes::new(pods.clone(), recovery, Arc::new(move |node| hosts.is_off(node)));
        let faults = ByCluster::new(pods.clone(), recovery, harm);
        Ok(Lab::new(Arc::new(volumes), Arc::new(runner), Arc::new(pods), Arc::new(faults), self.run, self.pace.0, mask))
    }
}

/// The user's own Kubernetes, with the volumes of a class there.
#[pyfunction]
pub fn storage_cluster(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<StorageLab> {
    let given: ClusterGiven = given.extract()?;
    let (mask, deadline) = (given.mask.get().mask.clone(), Instant::now() + given.timeout.0);
    wait(py, move || {
        let (lab, cluster) = given.lab(deadline).map_err(|error| mask.error(error))?;
        Ok(StorageLab::in_cluster(lab, cluster))
    })
}

/// The runs that a cluster has something of, each as a `ClusterRun`.
#[pyfunction]
#[pyo3(signature = (kubeconfig, context=None, *, timeout=None))]
pub fn storage_cluster_runs(
    py: Python<'_>,
    kubeconfig: PathBuf,
    context: Option<String>,
    timeout: Option<Seconds>,
) -> PyResult<Vec<Py<PyAny>>> {
    let deadline = deadline(timeout);
    let found = wait(py, move || of_nobody(kubeconfig, context, deadline)?.runs(deadline))?;
    let made = found.into_iter().map(|FoundRun { namespace, run, machine, process, since, .. }| {
        object!(py, "ClusterRun", namespace: namespace, run: run, machine: machine, process: process, since: since)
    });
    made.collect()
}

/// Whether a cluster allows each of these: group, resource and verb. And its version and address.
#[pyfunction]
#[pyo3(signature = (kubeconfig, context, asked, *, timeout=None))]
pub fn storage_cluster_allows(
    py: Python<'_>,
    kubeconfig: PathBuf,
    context: Option<String>,
    asked: Vec<(String, String, String)>,
    timeout: Option<Seconds>,
) -> PyResult<(String, String, Vec<bool>)> {
    let deadline = deadline(timeout);
    wait(py, move || {
        let cluster = of_nobody(kubeconfig, context, deadline)?;
        let allows =
            |(group, resource, verb): &(String, String, String)| cluster.allows(group, resource, verb, deadline);
        let allowed = asked.iter().map(allows).collect::<Result<_>>()?;
        Ok((cluster.version(deadline)?, cluster.address().to_owned(), allowed))
    })
}

/// The nodes that a run would take, and who makes the volumes of a class.
#[pyfunction]
#[pyo3(signature = (kubeconfig, context, nodes, selector, storage_class, *, timeout=None))]
pub fn storage_cluster_members(
    py: Python<'_>,
    kubeconfig: PathBuf,
    context: Option<String>,
    nodes: Vec<String>,
    selector: Option<String>,
    storage_class: String,
    timeout: Option<Seconds>,
) -> PyResult<(Vec<String>, String)> {
    let deadline = deadline(timeout);
    wait(py, move || {
        let cluster = of_nobody(kubeconfig, context, deadline)?;
        let provisioner = cluster.provisioner(&storage_class, deadline)?;
        let members = cluster.members(&wanted(nodes, selector), &provisioner, deadline)?;
        Ok((members.into_keys().collect(), provisioner))
    })
}

fn wanted(nodes: Vec<String>, selector: Option<String>) -> Wanted {
    selector.map_or(Wanted::Names(nodes), Wanted::Selector)
}

/// Undoes and removes what a run has in a cluster.
#[pyfunction]
#[pyo3(signature = (kubeconfig, context, namespace, *, timeout=None))]
pub fn storage_cluster_end(
    py: Python<'_>,
    kubeconfig: PathBuf,
    context: Option<String>,
    namespace: String,
    timeout: Option<Seconds>,
) -> PyResult<()> {
    let deadline = deadline(timeout);
    wait(py, move || {
        let cluster = of_nobody(kubeconfig, context, deadline)?;
        let found = cluster.runs(deadline)?.into_iter().find(|found| found.namespace == namespace);
        let found = found.ok_or_else(|| Error::invalid(format!("{namespace} is no namespace of a run")))?;
        cluster.of_run(found.namespace, found.run).end(deadline)
    })
}
