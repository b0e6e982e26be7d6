//! A volume plugin as the engines on the nodes use it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bollard::models::VolumeScopeEnum;

use super::containers::Containers;
use super::runner::mounted_by_engine;
use crate::nodes::Nodes;
use crate::volumes::{Attachment, Capability, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::error::Result;

/// The volumes of a plugin, asked for by engines.
pub struct EngineVolumes {
    containers: Containers,
    driver: String,
    provider: Provider,
    /// Its plugins themselves, where they can be reached, to see whether they answer.
    plugins: Option<Arc<dyn Volumes>>,
    /// Whether other nodes have its volumes is what the engine says of each.
    by_scope: bool,
}

impl EngineVolumes {
    /// Those of the plugin that the engines call `driver`, and that is `provider`.
    pub fn new(containers: Containers, driver: String, provider: Provider, plugins: Option<Arc<dyn Volumes>>) -> Self {
        Self { containers, driver, provider, plugins, by_scope: false }
    }

    /// Whose plugins cannot be asked for the scope of their volumes: an engine says it of a volume.
    #[must_use]
    pub fn by_scope(mut self) -> Self {
        self.by_scope = true;
        self.provider.capabilities.insert(Capability::Topology);
        self
    }

    /// What an engine says of a volume that it has, or makes.
    fn known(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<bollard::models::Volume> {
        let options = volume.context.clone().into_iter().collect();
        self.containers.engine(node)?.create_volume(&volume.name, &self.driver, options, deadline)
    }
}

impl Volumes for EngineVolumes {
    fn provider(&self) -> Provider {
        self.provider.clone()
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let volume = Volume::by_name(request);
        let listed = self.known(&volume, node, deadline)?;
        let is_local = self.by_scope && listed.scope != Some(VolumeScopeEnum::GLOBAL);
        Ok(Volume { accessible: is_local.then(|| vec![node.to_owned()]), ..volume })
    }

    fn remove(&self, _: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        for node in self.containers.names() {
            self.containers.engine(&node)?.remove_volume(&volume.name, deadline)?;
        }
        Ok(())
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        let names = self.containers.engine(node)?.volumes(&self.driver, deadline)?;
        Ok(names.into_iter().map(|name| Volume { id: name.clone(), name, ..Volume::default() }).collect())
    }

    /// An engine attaches nothing; but each must know the volume.
    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        self.known(volume, node, deadline).map(|_| Attachment::default())
    }

    /// A container for the task holds it; where the engine has it mounted is the engine's own affair.
    fn mount(&self, volume: &Volume, _: &Attachment, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        let mount = mounted_by_engine(volume, &self.driver);
        self.containers.hold(node, &volume.id, &holder(volume, task), &mount, deadline)?;
        Ok(PathBuf::new())
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.containers.engine(node)?.remove(&holder(volume, task), deadline)
    }

    fn answers(&self, node: &str, deadline: Instant) -> bool {
        self.plugins.as_ref().is_some_and(|plugins| plugins.answers(node, deadline))
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        if let Some(plugins) = &self.plugins {
            plugins.ready(node, deadline)?;
        }
        self.containers.engine(node)?.info(deadline).map(drop)
    }
}

/// The container that holds a volume for a task.
fn holder(volume: &Volume, task: &str) -> String {
    format!("{}-{task}", volume.name)
}
