//! Storage labs of real nodes: namespaces of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;

use super::arguments::{Seconds, Whole};
use super::mask::Mask;
use super::storage::{StorageLab, wait};
use super::storage_csi::CsiGiven;
use crate::error::Result;
use crate::storage::docker::{ByEngine, Channels, Containers, EngineVolumes, Services, Swarm};
use crate::storage::kubernetes::{
    Acknowledge, ByCluster, ByKubernetes, CLASS, Claims, Cluster, ClusterOptions, Pods, PodsOptions, Program, Workload,
};
use crate::storage::namespaces::{
    CONTROLLER, DRIVER, IMAGE, KubernetesOptions, LabOptions, Namespaces, RuntimeOptions, address,
};
use crate::storage::{Capability, Csi, DockerPlugin, DockerPluginOptions, Endpoint, Lab, Nodes, Own, Volumes};

/// What `holdfast.storage.lab` was given, checked there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LabGiven {
    kind: String,
    name: String,
    version: String,
    folder: PathBuf,
    nodes: Whole<usize>,
    server: Option<String>,
    plugin: String,
    ledger: PathBuf,
    runner: String,
    run: u128,
    pace: Seconds,
    fences: bool,
    timeout: Seconds,
    mask: Py<Mask>,
    /// Where a Docker plugin serves, where it does not do so on {socket}.
    #[pyo3(default)]
    socket: Option<String>,
    /// Of the plugins' commands.
    #[pyo3(default)]
    environment: BTreeMap<String, String>,
    /// A command on a node that ends well once its plugin is up.
    #[pyo3(default)]
    ready: Option<String>,
    /// Whether other nodes have a Docker plugin's volumes too, whatever it says itself.
    #[pyo3(default)]
    shared: Option<bool>,
    /// What is run beside the server: the one controller of all nodes.
    #[pyo3(default)]
    controller_start: Option<String>,
    /// Of a Kubernetes on the nodes.
    #[pyo3(default)]
    kubernetes: Option<KubernetesGiven>,
}

/// The executables of a Kubernetes, and what is done for tasks whose node is lost.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct KubernetesGiven {
    executable: PathBuf,
    pause: PathBuf,
    call: Seconds,
    recovery: Option<String>,
    workload: Option<String>,
}

impl KubernetesGiven {
    fn options(&self) -> KubernetesOptions {
        let (executable, pause) = (self.executable.clone(), self.pause.clone());
        KubernetesOptions { executable, pause, call: self.call.0 }
    }
}

impl LabGiven {
    fn by_csi(&self) -> bool {
        self.kind == "csi"
    }

    /// The nodes, with their plugins and what runs tasks there.
    fn namespaces(&self, deadline: Instant) -> Result<Namespaces> {
        let runtime = RuntimeOptions { plugin: !self.by_csi(), manager: self.runner == "swarm" };
        let options = LabOptions {
            folder: self.folder.clone(),
            nodes: self.nodes.0,
            server: self.server.clone(),
            controller: self.controller_start.clone(),
            plugin: self.plugin.clone(),
            socket: self.socket.clone(),
            environment: self.environment.clone().into_iter().collect(),
            ready: self.ready.clone(),
            ledger: self.ledger.clone(),
            runtime: matches!(self.runner.as_str(), "docker" | "swarm").then_some(runtime),
            kubernetes: self.kubernetes.as_ref().map(KubernetesGiven::options),
            mask: self.mask.get().mask.clone(),
        };
        Namespaces::create(options, deadline)
    }

    /// The provider, asked by its own protocol.
    fn provider(&self, csi: &CsiGiven, namespaces: &Namespaces, deadline: Instant) -> Result<Arc<dyn Volumes>> {
        if self.by_csi() {
            let sockets = namespaces.names().into_iter().map(|node| (node.clone(), namespaces.socket(&node)));
            let nodes = sockets.map(|(node, socket)| (node, Endpoint::Unix(socket))).collect();
            let mut options = csi.options(nodes, self.folder.clone())?;
            if self.controller_start.is_some() {
                options.controller = Some(Endpoint::Unix(namespaces.socket(CONTROLLER)));
            }
            return Ok(Arc::new(Csi::meet(options, &|| namespaces.ended_plugin(), deadline)?));
        }
        let mut nodes = BTreeMap::new();
        for node in namespaces.names() {
            nodes.insert(node.clone(), namespaces.plugin_address(&node)?);
        }
        let inside = namespaces.clone();
        let options = DockerPluginOptions {
            name: self.name.clone(),
            version: self.version.clone(),
            nodes,
            processes: Some(Arc::new(move |node| inside.first_process(node))),
            fences: self.fences,
            shared: self.shared,
            emulated: String::new(),
            limit: csi.default_limit().unwrap_or(DockerPluginOptions::default().limit),
            mask: self.mask.get().mask.clone(),
        };
        Ok(Arc::new(DockerPlugin::connect(options, deadline)?))
    }

    /// The engines on the nodes.
    fn containers(&self, namespaces: &Namespaces, deadline: Instant) -> Result<Containers> {
        let (mut engines, mut channels) = (BTreeMap::new(), BTreeMap::new());
        for node in namespaces.names() {
            engines.insert(node.clone(), namespaces.connect(&node, deadline)?);
            channels.insert(node.clone(), Channels::Folder(self.folder.join(&node).join("told")));
        }
        Containers::new(engines, channels, &self.ledger, Some(Arc::new(namespaces.clone())), deadline)
    }

    fn services(&self, namespaces: &Namespaces, containers: &Containers, deadline: Instant) -> Result<Services> {
        let manager = namespaces.connect("server", deadline)?;
        let swarm = Swarm::init(manager, &address(0), deadline)?;
        for (node, number) in namespaces.names().iter().zip(1..) {
            let engine = containers.engine(node)?;
            if !self.by_csi() {
                engine.volumes(DRIVER, deadline)?; // a Swarm sends no task to a node whose engine has not met the plugin
            }
            swarm.join(engine, &address(0), &address(number), deadline)?;
        }
        Services::new(swarm, containers.clone(), deadline)
    }

    /// A Kubernetes on the nodes, which knows the driver.
    fn cluster(
        &self,
        given: &KubernetesGiven,
        plugins: Arc<dyn Volumes>,
        namespaces: &Namespaces,
        deadline: Instant,
    ) -> Result<Lab> {
        let (provider, names) = (plugins.provider(), namespaces.names());
        let options = ClusterOptions {
            kubeconfig: namespaces.open_api()?,
            context: None,
            namespace: format!("holdfast-{}", &format!("{:032x}", self.run)[..8]),
            run: format!("{:032x}", self.run),
            machine: String::new(), // it dies with this process
            process: String::new(),
        };
        let cluster = Cluster::connect(options, deadline)?;
        namespaces.start_controllers()?;
        cluster.install_driver(&provider.name, provider.capabilities.contains(&Capability::Attach), deadline)?;
        for node in &names {
            cluster.wait_ready(node, true, deadline)?;
        }
        namespaces.adopt(&provider.name, deadline)?;
        cluster.wait_driver(&provider.name, &names, deadline)?;
        let folder = self.folder.clone();
        let channels = Arc::new(move |node: &str| Channels::Folder(folder.join(node).join("told")));
        let options = PodsOptions {
            nodes: names,
            image: IMAGE.to_owned(),
            program: Program::OnNodes(self.ledger.display().to_string()),
            acknowledge: Acknowledge::Channels(channels),
            workload: given.workload.as_deref().map_or(Ok(Workload::Pod), str::parse)?,
            privileged: true, // they have the node's folders
            beneath: Some(Arc::new(namespaces.clone()) as Arc<dyn Nodes>),
        };
        let pods = Pods::new(cluster, options, deadline)?;
        let volumes = Claims::new(pods.clone(), CLASS.to_owned(), provider, Some(plugins), deadline)?;
        let recovery = given.recovery.as_deref().map(str::parse).transpose()?;
        let shared = namespaces.clone();
        let runner = ByKubernetes::new(pods.clone(), recovery, Arc::new(move |node| shared.is_off(node)));
        let faults = ByCluster::new(pods.clone(), recovery, Arc::new(namespaces.clone()));
        let (volumes, runner, mask) = (Arc::new(volumes), Arc::new(runner), self.mask.get().mask.clone());
        Ok(Lab::new(volumes, runner, Arc::new(pods), Arc::new(faults), self.run, self.pace.0, mask))
    }

    /// The three seams.
    fn lab(&self, csi: &CsiGiven, namespaces: &Namespaces, deadline: Instant) -> Result<Lab> {
        let plugins = self.provider(csi, namespaces, deadline)?;
        let mask = self.mask.get().mask.clone();
        let shared = Arc::new(namespaces.clone());
        if let Some(given) = &self.kubernetes {
            return self.cluster(given, plugins, namespaces, deadline);
        }
        if self.runner == "own" {
            let runner = Arc::new(Own::new("own", plugins.clone(), shared.clone()));
            return Ok(Lab::new(plugins, runner, shared.clone(), shared, self.run, self.pace.0, mask));
        }
        let containers = self.containers(namespaces, deadline)?;
        let (name, nodes): (_, Arc<dyn Nodes>) = if self.runner == "swarm" {
            ("swarm", Arc::new(self.services(namespaces, &containers, deadline)?))
        } else {
            ("docker", Arc::new(containers.clone()))
        };
        if self.by_csi() {
            let runner = Arc::new(Own::new(name, plugins.clone(), nodes.clone()));
            return Ok(Lab::new(plugins, runner, nodes, shared, self.run, self.pace.0, mask));
        }
        let driver = DRIVER.to_owned();
        let provider = plugins.provider();
        let volumes = EngineVolumes::new(containers, driver.clone(), provider, Some(plugins));
        let runner = Arc::new(ByEngine::new(name, nodes.clone(), driver));
        Ok(Lab::new(Arc::new(volumes), runner, nodes, shared, self.run, self.pace.0, mask))
    }
}

/// Nodes as namespaces of this machine, with a provider on them.
#[pyfunction]
pub fn storage_lab(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<StorageLab> {
    let (csi, given): (CsiGiven, LabGiven) = (given.extract()?, given.extract()?);
    let (mask, deadline) = (given.mask.get().mask.clone(), Instant::now() + given.timeout.0);
    wait(py, move || {
        let namespaces = given.namespaces(deadline);
        let made = namespaces.and_then(|namespaces| {
            namespaces.await_plugins(deadline)?;
            let lab = given.lab(&csi, &namespaces, deadline);
            let lab = lab.map_err(|error| namespaces.ended_plugin().unwrap_or(error))?;
            namespaces.begin()?;
            Ok((lab, namespaces))
        });
        let (lab, namespaces) = made.map_err(|error| mask.error(error))?;
        Ok(StorageLab::real(lab, Some(namespaces)))
    })
}
