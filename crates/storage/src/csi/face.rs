//! A plugin of ours: identity, controller and node on one socket.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::trouble;
use crate::volumes::{Access, Attachment, Volume, VolumeRequest};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_wire::csi::controller_server::{Controller, ControllerServer};
use holdfast_wire::csi::identity_server::{Identity, IdentityServer};
use holdfast_wire::csi::node_server::{Node, NodeServer};
use holdfast_wire::csi::{self, volume_capability};

/// What a plugin of ours does, whatever its volumes are made of.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Its name, and what of it is emulated.
    fn about(&self) -> (&'static str, String);
    /// Its node, by name and id.
    fn node(&self) -> &str;
    /// Waits until it takes calls.
    fn ready(&self, deadline: Instant) -> Result<()>;
    /// As [`crate::Volumes::create`].
    fn create(&self, request: &VolumeRequest, deadline: Instant) -> Result<Volume>;
    /// As [`crate::Volumes::remove`].
    fn remove(&self, volume: &Volume, deadline: Instant) -> Result<()>;
    /// As [`crate::Volumes::list`].
    fn list(&self, deadline: Instant) -> Result<Vec<Volume>>;
    /// As [`crate::Volumes::attach`].
    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment>;
    /// As [`crate::Volumes::detach`].
    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()>;
    /// Makes an attached volume ready at `staging`.
    fn stage(&self, volume: &Volume, attachment: &Attachment, staging: &Path, deadline: Instant) -> Result<()>;
    /// The reverse.
    fn unstage(&self, volume: &str, staging: &Path, deadline: Instant) -> Result<()>;
    /// Mounts a staged volume at `target`, which it makes.
    fn publish(&self, volume: &str, staging: &Path, target: &Path, deadline: Instant) -> Result<()>;
    /// The reverse.
    fn unpublish(&self, volume: &str, target: &Path, deadline: Instant) -> Result<()>;
    /// Whether a volume is mounted there.
    fn is_published(&self, volume: &str, target: &Path) -> bool;
}

/// What serves identity, controller and node.
pub fn routes<B: Backend>(backend: B) -> Routes {
    let plugin = Plugin { backend };
    Routes::new(IdentityServer::new(plugin.clone()))
        .add_service(ControllerServer::new(plugin.clone()))
        .add_service(NodeServer::new(plugin))
}

/// For one call: less than whoever calls has, so that it is told what was late.
const PATIENCE: Duration = Duration::from_secs(8);
const LONGEST_NAME: usize = 128;
const CAPACITY: i64 = 1 << 40;

/// A plugin.
#[derive(Clone)]
pub struct Plugin<B: Backend> {
    /// What it does.
    pub backend: B,
}

type Answer<T> = std::result::Result<Response<T>, Status>;

fn status(error: &Error) -> Status {
    match error.kind {
        Kind::Status(code) => Status::new(code, error.message.clone()),
        Kind::Timeout => Status::deadline_exceeded(error.message.clone()),
        Kind::Invalid => Status::not_found(error.message.clone()),
        Kind::Lab => trouble::status(error),
        _ => Status::internal(error.to_string()),
    }
}

fn needed(value: &str, what: &str) -> std::result::Result<(), Status> {
    if value.is_empty() { Err(Status::invalid_argument(format!("{what} is missing"))) } else { Ok(()) }
}

/// What a capability asks for: the file system and the access mode.
fn asked(capability: Option<&csi::VolumeCapability>) -> std::result::Result<(String, Access), Status> {
    use csi::volume_capability::access_mode::Mode;
    let capability = capability.ok_or_else(|| Status::invalid_argument("the volume capability is missing"))?;
    let filesystem = match &capability.access_type {
        Some(volume_capability::AccessType::Mount(mount)) => mount.fs_type.clone(),
        Some(volume_capability::AccessType::Block(_)) => {
            return Err(Status::invalid_argument("raw block volumes are not offered"));
        }
        None => return Err(Status::invalid_argument("the access type is missing")),
    };
    let mode = capability.access_mode.as_ref().map_or(Mode::Unknown, csi::volume_capability::AccessMode::mode);
    let access = match mode {
        Mode::SingleNodeWriter | Mode::SingleNodeSingleWriter | Mode::SingleNodeMultiWriter => Access::SingleNodeWriter,
        Mode::SingleNodeReaderOnly => Access::SingleNodeReaderOnly,
        Mode::MultiNodeReaderOnly => Access::MultiNodeReaderOnly,
        Mode::MultiNodeMultiWriter | Mode::MultiNodeSingleWriter => Access::MultiNodeMultiWriter,
        Mode::Unknown => return Err(Status::invalid_argument("the access mode is missing or unknown")),
    };
    Ok((filesystem, access))
}

fn described(volume: &Volume) -> csi::Volume {
    csi::Volume {
        volume_id: volume.id.clone(),
        capacity_bytes: volume.bytes.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..csi::Volume::default()
    }
}

impl<B: Backend> Plugin<B> {
    /// Does what blocks, in time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&B, Instant) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Status> {
        let backend = self.backend.clone();
        let done = tokio::task::spawn_blocking(move || work(&backend, Instant::now() + PATIENCE)).await;
        done.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| status(&error))
    }

    async fn volumes(&self) -> std::result::Result<Vec<Volume>, Status> {
        self.blocking(B::list).await
    }

    async fn volume(&self, id: &str) -> std::result::Result<Volume, Status> {
        needed(id, "volume_id")?;
        let found = self.volumes().await?.into_iter().find(|volume| volume.id == id);
        found.ok_or_else(|| Status::not_found(format!("there is no volume {id}")))
    }

    fn entry(volume: &Volume) -> csi::list_volumes_response::Entry {
        let published_node_ids = volume.nodes.clone().unwrap_or_default();
        let status = csi::list_volumes_response::VolumeStatus { published_node_ids, volume_condition: None };
        csi::list_volumes_response::Entry { volume: Some(described(volume)), status: Some(status) }
    }
}

#[tonic::async_trait]
impl<B: Backend> Identity for Plugin<B> {
    async fn get_plugin_info(&self, _: Request<csi::GetPluginInfoRequest>) -> Answer<csi::GetPluginInfoResponse> {
        let (name, emulated) = self.backend.about();
        let manifest = [("emulated".to_owned(), emulated)].into();
        let (name, vendor_version) = (name.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(Response::new(csi::GetPluginInfoResponse { name, vendor_version, manifest }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Answer<csi::GetPluginCapabilitiesResponse> {
        use csi::plugin_capability::{Service, Type, service};
        let controller = Service { r#type: service::Type::ControllerService.into() };
        let capabilities = vec![csi::PluginCapability { r#type: Some(Type::Service(controller)) }];
        Ok(Response::new(csi::GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<csi::ProbeRequest>) -> Answer<csi::ProbeResponse> {
        self.blocking(B::ready).await?;
        Ok(Response::new(csi::ProbeResponse { ready: Some(true) }))
    }
}

#[tonic::async_trait]
impl<B: Backend> Controller for Plugin<B> {
    async fn create_volume(&self, request: Request<csi::CreateVolumeRequest>) -> Answer<csi::CreateVolumeResponse> {
        let asked_for = request.into_inner();
        needed(&asked_for.name, "name")?;
        if asked_for.name.len() > LONGEST_NAME {
            return Err(Status::invalid_argument(format!("a name has {LONGEST_NAME} characters at most")));
        }
        if asked_for.volume_content_source.is_some() {
            return Err(Status::invalid_argument("volumes cannot be made from others"));
        }
        let (filesystem, access) = asked(asked_for.volume_capabilities.first())?;
        for capability in &asked_for.volume_capabilities {
            asked(Some(capability))?;
        }
        let range = asked_for.capacity_range.unwrap_or_default();
        if range.required_bytes < 0
            || range.limit_bytes < 0
            || (range.limit_bytes > 0 && range.limit_bytes < range.required_bytes)
        {
            return Err(Status::out_of_range("no size is within the capacity range"));
        }
        let request = VolumeRequest {
            name: asked_for.name,
            bytes: u64::try_from(range.required_bytes).unwrap_or(0),
            filesystem,
            access,
            parameters: asked_for.parameters.into_iter().collect(),
            block: false,
            content: None,
        };
        let volume = self.blocking(move |backend, deadline| backend.create(&request, deadline)).await?;
        Ok(Response::new(csi::CreateVolumeResponse { volume: Some(described(&volume)) }))
    }

    async fn delete_volume(&self, request: Request<csi::DeleteVolumeRequest>) -> Answer<csi::DeleteVolumeResponse> {
        let id = request.into_inner().volume_id;
        needed(&id, "volume_id")?;
        let volume = Volume { id, ..Volume::default() };
        self.blocking(move |backend, deadline| backend.remove(&volume, deadline)).await?;
        Ok(Response::new(csi::DeleteVolumeResponse {}))
    }

    async fn controller_publish_volume(
        &self,
        request: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Answer<csi::ControllerPublishVolumeResponse> {
        let csi::ControllerPublishVolumeRequest { volume_id, node_id, volume_capability, .. } = request.into_inner();
        needed(&volume_id, "volume_id")?;
        needed(&node_id, "node_id")?;
        asked(volume_capability.as_ref())?;
        let volume = self.volume(&volume_id).await?;
        let attached = self.blocking(move |backend, deadline| backend.attach(&volume, &node_id, deadline)).await?;
        let publish_context = attached.context.into_iter().collect();
        Ok(Response::new(csi::ControllerPublishVolumeResponse { publish_context }))
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Answer<csi::ControllerUnpublishVolumeResponse> {
        let csi::ControllerUnpublishVolumeRequest { volume_id, node_id, .. } = request.into_inner();
        needed(&volume_id, "volume_id")?;
        let volume = Volume { id: volume_id.clone(), ..Volume::default() };
        let held = self.volumes().await?.into_iter().find(|volume| volume.id == volume_id);
        let nodes =
            if node_id.is_empty() { held.and_then(|held| held.nodes).unwrap_or_default() } else { vec![node_id] };
        self.blocking(move |backend, deadline| {
            nodes.iter().try_for_each(|node| backend.detach(&volume, node, deadline))
        })
        .await?;
        Ok(Response::new(csi::ControllerUnpublishVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<csi::ValidateVolumeCapabilitiesResponse> {
        let request = request.into_inner();
        needed(&request.volume_id, "volume_id")?;
        asked(request.volume_capabilities.first())?;
        let volume = self.volume(&request.volume_id).await?;
        let mut response = csi::ValidateVolumeCapabilitiesResponse::default();
        let parameters = request.parameters.clone().into_iter().collect();
        if !request.parameters.is_empty() && volume.parameters != Some(parameters) {
            "other parameters are in force".clone_into(&mut response.message);
            return Ok(Response::new(response));
        }
        let access =
            request.volume_capabilities.iter().map(|capability| asked(Some(capability)).map(|(_, access)| access));
        if access.into_iter().all(|access| access.is_ok_and(|access| access == volume.access || !access.is_shared())) {
            response.confirmed = Some(csi::validate_volume_capabilities_response::Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: request.mutable_parameters,
            });
        } else {
            "the volume is for one node".clone_into(&mut response.message);
        }
        Ok(Response::new(response))
    }

    async fn list_volumes(&self, request: Request<csi::ListVolumesRequest>) -> Answer<csi::ListVolumesResponse> {
        let csi::ListVolumesRequest { max_entries, starting_token } = request.into_inner();
        let volumes = self.volumes().await?;
        let start = match starting_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .ok()
                .filter(|start| *start <= volumes.len())
                .ok_or_else(|| Status::aborted(format!("{token:?} is no token that was given")))?,
        };
        let count = match usize::try_from(max_entries) {
            Ok(0) => volumes.len(),
            Ok(count) => count,
            Err(_) => return Err(Status::invalid_argument("max_entries is negative")),
        };
        let entries = volumes.iter().skip(start).take(count).map(Self::entry).collect();
        let end = start.saturating_add(count);
        let next_token = if end < volumes.len() { end.to_string() } else { String::new() };
        Ok(Response::new(csi::ListVolumesResponse { entries, next_token }))
    }

    async fn get_capacity(&self, _: Request<csi::GetCapacityRequest>) -> Answer<csi::GetCapacityResponse> {
        let taken: u64 = self.volumes().await?.iter().filter_map(|volume| volume.bytes).sum();
        let available_capacity = CAPACITY - i64::try_from(taken).unwrap_or(CAPACITY).min(CAPACITY);
        Ok(Response::new(csi::GetCapacityResponse { available_capacity, ..csi::GetCapacityResponse::default() }))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Answer<csi::ControllerGetCapabilitiesResponse> {
        use csi::controller_service_capability::{Rpc, Type, rpc};
        let capability =
            |kind: rpc::Type| csi::ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
        let all = [
            rpc::Type::CreateDeleteVolume,
            rpc::Type::PublishUnpublishVolume,
            rpc::Type::ListVolumes,
            rpc::Type::ListVolumesPublishedNodes,
            rpc::Type::GetCapacity,
            rpc::Type::GetVolume,
        ];
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities: all.map(capability).into() }))
    }

    async fn controller_get_volume(
        &self,
        request: Request<csi::ControllerGetVolumeRequest>,
    ) -> Answer<csi::ControllerGetVolumeResponse> {
        let volume = self.volume(&request.into_inner().volume_id).await?;
        let published_node_ids = volume.nodes.clone().unwrap_or_default();
        let status = csi::controller_get_volume_response::VolumeStatus { published_node_ids, volume_condition: None };
        Ok(Response::new(csi::ControllerGetVolumeResponse { volume: Some(described(&volume)), status: Some(status) }))
    }

    async fn create_snapshot(&self, _: Request<csi::CreateSnapshotRequest>) -> Answer<csi::CreateSnapshotResponse> {
        not_offered()
    }

    async fn delete_snapshot(&self, _: Request<csi::DeleteSnapshotRequest>) -> Answer<csi::DeleteSnapshotResponse> {
        not_offered()
    }

    async fn list_snapshots(&self, _: Request<csi::ListSnapshotsRequest>) -> Answer<csi::ListSnapshotsResponse> {
        not_offered()
    }

    async fn get_snapshot(&self, _: Request<csi::GetSnapshotRequest>) -> Answer<csi::GetSnapshotResponse> {
        not_offered()
    }

    async fn controller_expand_volume(
        &self,
        _: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        not_offered()
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Answer<csi::ControllerModifyVolumeResponse> {
        not_offered()
    }
}

fn not_offered<T>() -> Answer<T> {
    Err(Status::unimplemented("this is not offered, and nobody said that it is"))
}

#[tonic::async_trait]
impl<B: Backend> Node for Plugin<B> {
    async fn node_stage_volume(
        &self,
        request: Request<csi::NodeStageVolumeRequest>,
    ) -> Answer<csi::NodeStageVolumeResponse> {
        let request = request.into_inner();
        needed(&request.staging_target_path, "staging_target_path")?;
        needed(&request.volume_id, "volume_id")?;
        asked(request.volume_capability.as_ref())?;
        let volume = self.volume(&request.volume_id).await?;
        let attachment = Attachment { context: request.publish_context.into_iter().collect() };
        let staging = PathBuf::from(request.staging_target_path);
        self.blocking(move |backend, deadline| backend.stage(&volume, &attachment, &staging, deadline)).await?;
        Ok(Response::new(csi::NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Answer<csi::NodeUnstageVolumeResponse> {
        let request = request.into_inner();
        needed(&request.volume_id, "volume_id")?;
        needed(&request.staging_target_path, "staging_target_path")?;
        let (volume, staging) = (request.volume_id, PathBuf::from(request.staging_target_path));
        self.blocking(move |backend, deadline| backend.unstage(&volume, &staging, deadline)).await?;
        Ok(Response::new(csi::NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Answer<csi::NodePublishVolumeResponse> {
        let request = request.into_inner();
        needed(&request.target_path, "target_path")?;
        needed(&request.volume_id, "volume_id")?;
        asked(request.volume_capability.as_ref())?;
        let volume = self.volume(&request.volume_id).await?;
        let [staging, target] = [request.staging_target_path, request.target_path].map(PathBuf::from);
        self.blocking(move |backend, deadline| backend.publish(&volume.id, &staging, &target, deadline)).await?;
        Ok(Response::new(csi::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Answer<csi::NodeUnpublishVolumeResponse> {
        let csi::NodeUnpublishVolumeRequest { volume_id, target_path } = request.into_inner();
        needed(&volume_id, "volume_id")?;
        needed(&target_path, "target_path")?;
        let target = PathBuf::from(target_path);
        self.blocking(move |backend, deadline| backend.unpublish(&volume_id, &target, deadline)).await?;
        Ok(Response::new(csi::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Answer<csi::NodeGetVolumeStatsResponse> {
        use csi::volume_usage::Unit;
        let request = request.into_inner();
        needed(&request.volume_id, "volume_id")?;
        needed(&request.volume_path, "volume_path")?;
        let volume = self.volume(&request.volume_id).await?;
        let path = PathBuf::from(&request.volume_path);
        if !self.backend.is_published(&volume.id, &path) {
            return Err(Status::not_found(format!("{} is not published at {}", volume.id, path.display())));
        }
        let total = volume.bytes.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let usage = csi::VolumeUsage { available: total, total, used: 0, unit: Unit::Bytes.into() };
        Ok(Response::new(csi::NodeGetVolumeStatsResponse { usage: vec![usage], volume_condition: None }))
    }

    async fn node_expand_volume(
        &self,
        _: Request<csi::NodeExpandVolumeRequest>,
    ) -> Answer<csi::NodeExpandVolumeResponse> {
        not_offered()
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Answer<csi::NodeGetCapabilitiesResponse> {
        use csi::node_service_capability::{Rpc, Type, rpc};
        let capability =
            |kind: rpc::Type| csi::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
        let capabilities = [rpc::Type::StageUnstageVolume, rpc::Type::GetVolumeStats].map(capability).into();
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(&self, _: Request<csi::NodeGetInfoRequest>) -> Answer<csi::NodeGetInfoResponse> {
        Ok(Response::new(csi::NodeGetInfoResponse {
            node_id: self.backend.node().to_owned(),
            ..csi::NodeGetInfoResponse::default()
        }))
    }
}
