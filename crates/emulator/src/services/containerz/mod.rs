//! gNOI Containerz, as the reference server behaves; better where that is plainly wrong, with a quirk to get it back.

mod containers;
mod deploy;
mod described;
mod download;
mod images;
mod logs;
mod plugins;
mod volumes;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::replication;
use crate::runtime::{States, Stop};
use crate::settings::Quirk;
use crate::shared::{ControlProcessor, Defects, SharedChassis};
use crate::stall::Stall;
use crate::store::Inventory;
use holdfast_wire::gnoi::containerz as wire;
use holdfast_wire::gnoi::containerz::containerz_server::Containerz;

/// Containerz of one control processor.
#[derive(Clone)]
pub struct ContainerzService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl ContainerzService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }

    fn control_processor(&self) -> &ControlProcessor {
        &self.chassis.control_processors[self.index]
    }

    fn inventory(&self) -> Inventory {
        self.control_processor().store.inventory()
    }

    /// What its runtime tells of containers.
    async fn states(&self) -> Result<States, Status> {
        self.control_processor().runtime.states().await.map_err(|failure| failure.status("the container runtime"))
    }

    /// Whether a container runs.
    async fn runs(&self, name: &str) -> Result<bool, Status> {
        Ok(self.states().await?.runs(name))
    }

    /// Ends a container, where it runs.
    async fn stop(&self, name: &str, how: Stop) -> Result<(), Status> {
        let stopped = self.control_processor().runtime.stop(name, how).await;
        stopped.map_err(|failure| failure.status(&format!("container {name} does not stop")))
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.chassis.has(quirk)
    }

    fn defects(&self) -> &Defects {
        &self.chassis.defects
    }

    /// Changes what is stored here; the standby gets it soon after.
    fn change<T>(&self, change: impl FnOnce(&mut Inventory) -> Result<T, Status>) -> Result<T, Status> {
        let outcome = self.control_processor().store.change(|held| {
            let before = held.clone();
            let outcome = change(held).map_err(Refused::Status)?;
            held.note_removed(&before);
            Ok(outcome)
        });
        replication::announce_change(&self.chassis);
        outcome.map_err(|refused| match refused {
            Refused::Status(status) => status,
            Refused::Disk(error) => Status::internal(format!("the store cannot be written: {error}")),
        })
    }

    fn check_filter(&self, keys: impl Iterator<Item = String>, known: &[&str]) -> Result<(), Status> {
        for key in keys {
            if self.has(Quirk::FiltersRejected) && !known.contains(&key.as_str()) {
                return Err(Status::unknown(format!("invalid filter '{key}'")));
            }
        }
        Ok(())
    }
}

enum Refused {
    Status(Status),
    Disk(std::io::Error),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

type Rows<T> = ReceiverStream<Result<T, Status>>;

/// A stream of rows that are all there already.
/// What Docker calls things by: they are files' names, too.
fn check_grammar(what: &str, name: &str) -> Result<(), Status> {
    let plain = |first: bool, c: char| c.is_ascii_alphanumeric() || !first && matches!(c, '_' | '.' | '-');
    if !name.is_empty() && name.chars().enumerate().all(|(at, c)| plain(at == 0, c)) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("invalid {what} name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed")))
}

fn stream_of<T: Send + 'static>(rows: Vec<T>, limit: i32) -> Response<Rows<T>> {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (sender, stream) = tokio::sync::mpsc::channel(rows.len().max(1));
    for row in rows.into_iter().take(limit) {
        let _ = sender.try_send(Ok(row)); // the channel has room for all
    }
    Response::new(ReceiverStream::new(stream))
}

#[tonic::async_trait]
impl Containerz for ContainerzService {
    type DeployStream = Rows<wire::DeployResponse>;
    type ListImageStream = Rows<wire::ListImageResponse>;
    type ListContainerStream = Rows<wire::ListContainerResponse>;
    type LogStream = Rows<wire::LogResponse>;
    type ListVolumeStream = Rows<wire::ListVolumeResponse>;

    async fn deploy(
        &self,
        request: Request<Streaming<wire::DeployRequest>>,
    ) -> Result<Response<Self::DeployStream>, Status> {
        let stall = request.extensions().get::<Stall>().cloned().unwrap_or_default();
        let mut requests = request.into_inner();
        let transfer = self.transfer_begun(&mut requests).await?;
        Ok(self.deploy_image(transfer, requests, stall))
    }

    async fn list_image(
        &self,
        request: Request<wire::ListImageRequest>,
    ) -> Result<Response<Self::ListImageStream>, Status> {
        self.list_images(&request.into_inner())
    }

    async fn remove_image(
        &self,
        request: Request<wire::RemoveImageRequest>,
    ) -> Result<Response<wire::RemoveImageResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.remove_one_image(&request.into_inner()).await
    }

    async fn remove_container(
        &self,
        request: Request<wire::RemoveContainerRequest>,
    ) -> Result<Response<wire::RemoveContainerResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.remove_one_container(&request.into_inner()).await
    }

    async fn list_container(
        &self,
        request: Request<wire::ListContainerRequest>,
    ) -> Result<Response<Self::ListContainerStream>, Status> {
        self.list_containers(request.into_inner()).await
    }

    async fn start_container(
        &self,
        request: Request<wire::StartContainerRequest>,
    ) -> Result<Response<wire::StartContainerResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.start_one_container(&request.into_inner()).await
    }

    async fn stop_container(
        &self,
        request: Request<wire::StopContainerRequest>,
    ) -> Result<Response<wire::StopContainerResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.stop_one_container(&request.into_inner()).await
    }

    async fn update_container(
        &self,
        request: Request<wire::UpdateContainerRequest>,
    ) -> Result<Response<wire::UpdateContainerResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.update_one_container(request.into_inner()).await
    }

    async fn log(&self, request: Request<wire::LogRequest>) -> Result<Response<Self::LogStream>, Status> {
        self.container_log(&request.into_inner())
    }

    async fn create_volume(
        &self,
        request: Request<wire::CreateVolumeRequest>,
    ) -> Result<Response<wire::CreateVolumeResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.create_one_volume(request.into_inner()).await
    }

    async fn remove_volume(
        &self,
        request: Request<wire::RemoveVolumeRequest>,
    ) -> Result<Response<wire::RemoveVolumeResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.remove_one_volume(&request.into_inner()).await
    }

    async fn list_volume(
        &self,
        request: Request<wire::ListVolumeRequest>,
    ) -> Result<Response<Self::ListVolumeStream>, Status> {
        self.list_volumes(&request.into_inner())
    }

    async fn start_plugin(
        &self,
        request: Request<wire::StartPluginRequest>,
    ) -> Result<Response<wire::StartPluginResponse>, Status> {
        let request = request.into_inner();
        let _operation = self.control_processor().operation().await;
        self.check_entrypoint(&request).await?;
        self.start_one_plugin(&request)
    }

    async fn stop_plugin(
        &self,
        request: Request<wire::StopPluginRequest>,
    ) -> Result<Response<wire::StopPluginResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.stop_one_plugin(&request.into_inner())
    }

    async fn list_plugins(
        &self,
        request: Request<wire::ListPluginsRequest>,
    ) -> Result<Response<wire::ListPluginsResponse>, Status> {
        Ok(self.list_all_plugins(&request.into_inner()))
    }

    async fn remove_plugin(
        &self,
        request: Request<wire::RemovePluginRequest>,
    ) -> Result<Response<wire::RemovePluginResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.remove_one_plugin(&request.into_inner())
    }

    async fn remove_plugin_tar(
        &self,
        request: Request<wire::RemovePluginTarRequest>,
    ) -> Result<Response<wire::RemovePluginTarResponse>, Status> {
        let _operation = self.control_processor().operation().await;
        self.remove_one_plugin_tar(&request.into_inner())
    }
}
