//! Engines as the runner: what they run gets its volume by a plugin of theirs.

use std::sync::Arc;
use std::time::Instant;

use crate::nodes::{Look, Mount, Nodes, Process, Spec};
use crate::runner::{Mounts, Runner, TaskRequest};
use crate::volumes::Volume;
use holdfast_ledger::Judge;
use holdfast_net::error::Result;

/// Tasks on nodes whose engines mount and unmount by themselves.
pub struct ByEngine {
    name: &'static str,
    nodes: Arc<dyn Nodes>,
    driver: String,
    mounts: Mounts,
}

impl ByEngine {
    /// Over nodes, with the plugin that the engines call `driver`.
    pub fn new(name: &'static str, nodes: Arc<dyn Nodes>, driver: String) -> Self {
        Self { name, nodes, driver, mounts: Mounts::default() }
    }

    /// Where the plugin lists a volume of a task that runs, it must be mounted; one that lists no place is not looked at.
    fn expect_mounted(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        match self.nodes.mountpoint(node, &volume.name, deadline)? {
            Some(path) => self.mounts.expect(&*self.nodes, node, &path),
            None => Ok(()),
        }
    }
}

/// A volume as an engine mounts it.
pub fn mounted_by_engine(volume: &Volume, driver: &str) -> Mount {
    Mount::Engine { name: volume.name.clone(), driver: driver.to_owned(), options: volume.context.clone() }
}

impl Runner for ByEngine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tells_unmounts(&self) -> bool {
        false
    }

    fn run(&self, request: &TaskRequest, deadline: Instant) -> Result<Box<dyn Process>> {
        let mount = mounted_by_engine(&request.volume, &self.driver);
        let TaskRequest { volume, node, spec, .. } = request;
        let process = self.nodes.start(node, Spec { mount, ..spec.clone() }, deadline)?;
        if let Err(error) = self.expect_mounted(volume, node, deadline) {
            let _ = self.nodes.clear(node, &volume.id, Some(&spec.task), deadline); // the end clears again
            return Err(error);
        }
        Ok(process)
    }

    fn release(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.nodes.clear(node, &volume.id, Some(task), deadline)
    }

    /// A copy out of a running container mounts its volumes by the container's own id, and unmounts them.
    fn mount_again(&self, _: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Option<String>> {
        match self.nodes.copy_out(node, task, deadline) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some("its container is not to be found".to_owned())),
            Err(error) if error.code().is_some() => Ok(Some(error.to_string())), // the plugin may refuse the second
            Err(error) => Err(error),
        }
    }

    fn see(&self, volume: &Volume, node: &str, _: &str, deadline: Instant) -> Result<bool> {
        match self.nodes.mountpoint(node, &volume.name, deadline)? {
            Some(path) => self.nodes.see(node, &path, deadline),
            None => Ok(false),
        }
    }

    fn look(&self, volume: &Volume, node: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        let reader = format!("{}-reader", volume.name);
        self.nodes.look(node, &mounted_by_engine(volume, &self.driver), &reader, judge, deadline)
    }

    /// Nothing is attached by an engine: whoever is lost still has what it had.
    fn evict(&self, _: &Volume, _: &str, _: Instant) -> Result<()> {
        Ok(())
    }

    fn reconcile(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.nodes.clear(node, &volume.id, None, deadline)
    }
}
