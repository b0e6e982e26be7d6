//! Storage labs of the user's own hosts: an engine on each, a plugin that they have, harm by the user's commands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;

use super::arguments::Seconds;
use super::mask::Mask;
use super::storage::{StorageLab, wait};
use super::storage_csi::CsiGiven;
use crate::error::Result;
use crate::storage::docker::{ByEngine, Channels, Containers, Engine, EngineVolumes, Services, Swarm};
use crate::storage::{Capability, Csi, Hosts, Lab, Nodes, Own, Provider};

/// What `holdfast.storage.hosts` was given, checked there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct HostsGiven {
    kind: String,
    name: String,
    version: String,
    driver: String,
    sockets: BTreeMap<String, String>,
    folder: PathBuf,
    fences: bool,
    addresses: BTreeMap<String, String>,
    engines: BTreeMap<String, String>,
    commands: BTreeMap<String, String>,
    tester: IpAddr,
    /// Whether other hosts have a Docker plugin's volumes too, whatever it says itself.
    shared: Option<bool>,
    manager: Option<String>,
    ledger: PathBuf,
    run: u128,
    pace: Seconds,
    timeout: Seconds,
    mask: Py<Mask>,
}

impl HostsGiven {
    fn lab(self, csi: &CsiGiven, deadline: Instant) -> Result<Lab> {
        let mut engines = BTreeMap::new();
        for (node, address) in &self.engines {
            engines.insert(node.clone(), Engine::connect(address, deadline)?);
        }
        let channels = engines.keys().map(|node| (node.clone(), Channels::Tcp(self.tester))).collect();
        let containers = Containers::new(engines, channels, &self.ledger, None, deadline)?;
        let (name, nodes): (_, Arc<dyn Nodes>) = match &self.manager {
            Some(address) => {
                let swarm = Swarm::of(Engine::connect(address, deadline)?, deadline)?;
                ("swarm", Arc::new(Services::new(swarm, containers.clone(), deadline)?))
            }
            None => ("docker", Arc::new(containers.clone())),
        };
        let mask = self.mask.get().mask.clone();
        let hosts = Arc::new(Hosts::new(self.addresses, self.commands, mask.clone()));
        if self.kind == "csi" {
            let mut plugins = BTreeMap::new();
            for (node, socket) in self.sockets {
                plugins.insert(node, socket.parse()?);
            }
            let mut options = csi.options(plugins, self.folder)?;
            options.folders = Some(Arc::new(containers));
            let volumes = Arc::new(Csi::meet(options, &|| None, deadline)?);
            let runner = Arc::new(Own::new(name, volumes.clone(), nodes.clone()));
            return Ok(Lab::new(volumes, runner, nodes, hosts, self.run, self.pace.0, mask));
        }
        let is_local = self.shared == Some(false);
        let capabilities = [
            Some(Capability::Create),
            Some(Capability::List),
            self.fences.then_some(Capability::Fence),
            is_local.then_some(Capability::Local),
        ];
        let provider = Provider {
            name: self.name,
            version: self.version,
            capabilities: capabilities.into_iter().flatten().collect(),
            ..Provider::default()
        };
        let volumes = EngineVolumes::new(containers, self.driver.clone(), provider, None);
        let volumes = Arc::new(if self.shared.is_none() { volumes.by_scope() } else { volumes });
        let runner = Arc::new(ByEngine::new(name, nodes.clone(), self.driver));
        Ok(Lab::new(volumes, runner, nodes, hosts, self.run, self.pace.0, mask))
    }
}

/// The user's own hosts, with a provider's plugins on them.
#[pyfunction]
pub fn storage_hosts(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<StorageLab> {
    let (csi, given): (CsiGiven, HostsGiven) = (given.extract()?, given.extract()?);
    let (mask, deadline) = (given.mask.get().mask.clone(), Instant::now() + given.timeout.0);
    wait(py, move || Ok(StorageLab::real(given.lab(&csi, deadline).map_err(|error| mask.error(error))?, None)))
}
