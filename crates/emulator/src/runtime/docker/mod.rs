//! Containers that are real: in a Docker engine on this machine, where each control processor has names of its own.

mod described;
mod endings;
mod engine;
mod images;
mod label_space;
mod leftovers;
mod volumes;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::container::LogOutput;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{ContainerRuntime, ContainerState, Failure, LogStream, States, Stop};
use crate::store::{Container, Inventory, Store};
use endings::Endings;
use engine::{Engine, answered};
use holdfast_image::{Archive, Image};
use holdfast_net::error::{self, Error};
use label_space::{Device, LabelSpace, NAME, RECORD};
pub use leftovers::{Leftover, leftovers, remove_leftovers};
use volumes::Uncopied;

/// How long a container has to end on SIGTERM, as Docker has it, in seconds.
const GRACE: i32 = 10;

/// What runs on one control processor.
pub struct DockerRuntime {
    engine: Engine,
    space: LabelSpace,
    host: IpAddr,
    store: Arc<Store>,
    /// What was started, and was not ended by the device: how such a one ends is news.
    started: Arc<Mutex<BTreeSet<String>>>,
    endings: Endings,
    /// Here, and on the other control processor.
    uncopied: [Arc<Uncopied>; 2],
}

/// A runtime for each control processor: their stores, and where their containers publish ports. `state` is where the
/// device's state is kept, if it outlives this.
pub async fn runtimes(
    address: &str,
    state: Option<&Path>,
    stores: &[Arc<Store>; 2],
    hosts: [IpAddr; 2],
) -> error::Result<[DockerRuntime; 2]> {
    let engine = Engine::connect(address).await?;
    let device = Device::new(state).map_err(|error| Error::lab(format!("this process cannot be named: {error}")))?;
    leftovers::remove_of_state(&engine, &device).await.map_err(|failure| Error::lab(failure.to_string()))?;
    let uncopied: [Arc<Uncopied>; 2] = Default::default();
    let runtime = |index: usize| {
        let space = LabelSpace::new(device.clone(), index);
        let started = Arc::default();
        DockerRuntime {
            endings: Endings::watch(&engine, &space, &started),
            engine: engine.clone(),
            space,
            host: hosts[index],
            store: stores[index].clone(),
            started,
            uncopied: [uncopied[index].clone(), uncopied[1 - index].clone()],
        }
    };
    Ok([runtime(0), runtime(1)])
}

impl DockerRuntime {
    fn started(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listed(&self) -> Result<Vec<ContainerSummary>, Failure> {
        let filters = HashMap::from([("label", self.space.filters())]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.engine.call("list containers", self.engine.api().list_containers(Some(options))).await
    }

    /// How a container ended: its exit code, where the engine tells.
    async fn ended(&self, id: &str) -> Result<ContainerState, Failure> {
        let found =
            self.engine.call_if_there("look at a container", self.engine.api().inspect_container(id, None)).await?;
        Ok(ContainerState::Ended(found.and_then(|found| found.state).and_then(|state| state.exit_code)))
    }

    /// Makes a container; one that the device has a record of, and that is still there, is the same again.
    async fn made(&self, container: &Container) -> Result<(), Failure> {
        let name = self.space.container(&container.name);
        let api = self.engine.api();
        let found = self.engine.call_if_there("look for the container", api.inspect_container(&name, None)).await?;
        if let Some(found) = found {
            let record = found.config.and_then(|config| config.labels).and_then(|labels| labels.get(RECORD).cloned());
            if record.as_ref() == Some(&container.id) {
                return Ok(());
            }
            self.remove_named(&name).await?;
        }
        let body = described::described(&self.space, container, self.host);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.engine.call("make the container", api.create_container(Some(options), body)).await.map(drop)
    }

    async fn remove_named(&self, name: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removing = self.engine.api().remove_container(name, Some(options));
        self.engine.call_if_there("remove the container", removing).await.map(drop)
    }

    /// Ends a container at once, as a power cut does.
    async fn kill(&self, name: &str) -> Result<(), Failure> {
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        let api = self.engine.api();
        let killed = async {
            match api.kill_container(name, Some(options)).await {
                // it does not run now, and may be about to be started again
                Err(refusal) if answered(&refusal, 409) => {
                    api.stop_container(name, Some(StopContainerOptionsBuilder::default().t(0).build())).await
                }
                answer => answer,
            }
        };
        self.engine.call_if_there("kill the container", killed).await.map(drop)
    }
}

fn name_of(container: &ContainerSummary) -> Option<String> {
    container.labels.as_ref()?.get(NAME).filter(|name| !name.is_empty()).cloned()
}

#[tonic::async_trait]
impl ContainerRuntime for DockerRuntime {
    async fn states(&self) -> Result<States, Failure> {
        use ContainerSummaryStateEnum as Engines;
        let mut states = Vec::new();
        for container in self.listed().await? {
            let Some(name) = name_of(&container) else { continue };
            let state = match container.state {
                Some(Engines::RUNNING | Engines::PAUSED | Engines::STOPPING) => ContainerState::Running,
                Some(Engines::RESTARTING) => ContainerState::Restarting,
                Some(Engines::EXITED | Engines::DEAD) => self.ended(&container.id.unwrap_or_default()).await?,
                _ => continue,
            };
            states.push((name, state));
        }
        Ok(states.into_iter().collect())
    }

    async fn start(&self, container: &Container, _life: CancellationToken) -> Result<(), Failure> {
        if self.engine.rootless && described::network(container) == "host" {
            return Err(Failure::Refused(
                "the Docker engine is rootless, and its host network is not this machine's: publish the container's \
                 ports, or give it the network bridge"
                    .to_owned(),
            ));
        }
        if !self.engine.bridged && described::network(container) == "bridge" {
            return Err(Failure::Refused(
                "the Docker engine has no bridge (dockerd --bridge=none), so that no port of the container would be \
                 published: give it the network host, or the engine a bridge"
                    .to_owned(),
            ));
        }
        let [uncopied, _] = &self.uncopied;
        for name in container.mounts.keys() {
            uncopied.refuse(name)?;
        }
        images::ensure(&self.engine, &self.space, &self.store, &container.image_id).await?;
        for name in container.mounts.keys() {
            volumes::ensure(&self.engine, &self.space, name).await?;
        }
        Box::pin(self.made(container)).await?;
        self.started().insert(container.name.clone());
        let name = self.space.container(&container.name);
        let started = self.engine.call("start the container", self.engine.api().start_container(&name, None)).await;
        if started.is_err() {
            self.started().remove(&container.name);
            let _ = self.remove_named(&name).await; // who cleans up finds it
        }
        started
    }

    async fn stop(&self, name: &str, how: Stop) -> Result<(), Failure> {
        self.started().remove(name);
        let named = self.space.container(name);
        match how {
            Stop::AtOnce => self.kill(&named).await,
            Stop::Politely => {
                let options = StopContainerOptionsBuilder::default().t(GRACE).build();
                let stopping = self.engine.api().stop_container(&named, Some(options));
                self.engine.call_if_there("stop the container", stopping).await.map(drop)
            }
        }
    }

    async fn stop_all(&self) {
        let names = std::mem::take(&mut *self.started());
        let killed = names.into_iter().map(|name| async move {
            if let Err(failure) = self.kill(&self.space.container(&name)).await {
                tracing::error!("container {name} could not be ended: {failure}");
            }
        });
        join_all(killed).await;
    }

    async fn remove(&self, name: &str) -> Result<(), Failure> {
        self.started().remove(name);
        self.remove_named(&self.space.container(name)).await
    }

    fn log(&self, name: &str, follow: bool) -> Option<LogStream> {
        let options = LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).tail("all").build();
        let engine = self.engine.clone();
        let log = self.engine.api().logs(&self.space.container(name), Some(options));
        let bytes = log.map(move |piece| match piece {
            Ok(
                LogOutput::StdOut { message }
                | LogOutput::StdErr { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message },
            ) => Ok(message),
            Err(refusal) => Err(engine.failure("read the log", &refusal)),
        });
        Some(Box::pin(bytes))
    }

    async fn add_image(&self, image: &Image, archive: &Archive) -> Result<(), Failure> {
        images::load(&self.engine, &self.space, image, archive).await
    }

    async fn remove_image(&self, id: &str) -> Result<(), Failure> {
        images::remove(&self.engine, &self.space, id).await
    }

    async fn add_volume(&self, name: &str) -> Result<(), Failure> {
        volumes::ensure(&self.engine, &self.space, name).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), Failure> {
        volumes::remove(&self.engine, &self.space, name).await?;
        self.uncopied[0].forget(name);
        Ok(())
    }

    async fn hold(&self, inventory: &Inventory) -> Result<(), Failure> {
        for container in self.listed().await? {
            let Some(id) = container.id else { continue };
            self.remove_named(&id).await?;
        }
        let images: Vec<&str> = inventory.images.iter().map(|image| image.id.as_str()).collect();
        for id in &images {
            images::ensure(&self.engine, &self.space, &self.store, id).await?;
        }
        images::keep_only(&self.engine, &self.space, &images).await?;
        let volumes: Vec<&str> = inventory.volumes.iter().map(|volume| volume.name.as_str()).collect();
        volumes::keep_only(&self.engine, &self.space, &volumes).await
    }

    async fn copy_from_peer(&self, volumes: &[String]) -> Result<(), Failure> {
        let [here, there] = &self.uncopied;
        volumes::copy_from_peer(&self.engine, &self.space, volumes, here, there).await
    }

    async fn next_ending(&self) -> String {
        self.endings.next().await
    }

    async fn power_off(&self) {
        if let Err(failure) = leftovers::remove_of_device(&self.engine, &self.space.device).await {
            tracing::error!("the emulated device left something in its engine: {failure}");
        }
    }
}
