//! What a plugin of ours answers on a node.

use std::path::{Path, PathBuf};

use tonic::{Request, Response, Status};

use super::{Answer, Asked, Backend, Plugin, Reach, needed, place};
use crate::volumes::{Access, Attachment, Capability, Volume};
use holdfast_net::error::{Error, Result};
use holdfast_wire::csi;
use holdfast_wire::csi::node_server::Node;

impl<B: Backend> Plugin<B> {
    /// A volume for one writer is published at one path, where that is its way.
    fn admits(&self, volume: &str, target: &Path, access: Access) -> std::result::Result<(), Status> {
        let one = matches!(access, Access::SingleNodeWriter | Access::SingleNodeSingleWriter);
        match self.backend.published(volume).into_iter().find(|path| path != target) {
            Some(path) if one && self.ways.one_path => {
                Err(Status::failed_precondition(format!("{volume} is published at {} already", path.display())))
            }
            _ => Ok(()),
        }
    }
}

/// What is staged with the last path goes with it.
fn unstage_unused<B: Backend>(backend: &B, volume: &str, deadline: std::time::Instant) -> Result<()> {
    let in_use = |error: &Error| error.code() == Some(tonic::Code::FailedPrecondition);
    match backend.unstage(volume, Path::new(""), deadline) {
        Err(error) if in_use(&error) => Ok(()),
        done => done,
    }
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
        self.begin("NodeStageVolume", &request.volume_id).await?;
        let Asked { block, .. } = self.offered(request.volume_capability.as_ref())?;
        let volume = Volume { block, ..self.volume(&request.volume_id).await? };
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
        self.begin("NodeUnstageVolume", &request.volume_id).await?;
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
        self.begin("NodePublishVolume", &request.volume_id).await?;
        let Asked { access, block, .. } = self.offered(request.volume_capability.as_ref())?;
        let read_only = request.readonly;
        let volume = Volume { block, read_only, ..self.volume(&request.volume_id).await? };
        self.admits(&volume.id, Path::new(&request.target_path), access)?;
        let attachment = Attachment { context: request.publish_context.into_iter().collect() };
        let [staging, target] = [request.staging_target_path, request.target_path].map(PathBuf::from);
        let stages = self.ways.stages;
        self.blocking(move |backend, deadline| {
            if !stages {
                backend.stage(&volume, &attachment, &staging, deadline)?;
            }
            backend.publish(&volume, &staging, &target, deadline)
        })
        .await?;
        Ok(Response::new(csi::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Answer<csi::NodeUnpublishVolumeResponse> {
        let csi::NodeUnpublishVolumeRequest { volume_id, target_path } = request.into_inner();
        needed(&volume_id, "volume_id")?;
        needed(&target_path, "target_path")?;
        self.begin("NodeUnpublishVolume", &volume_id).await?;
        let (target, stages) = (PathBuf::from(target_path), self.ways.stages);
        self.blocking(move |backend, deadline| {
            backend.unpublish(&volume_id, &target, deadline)?;
            if stages { Ok(()) } else { unstage_unused(backend, &volume_id, deadline) }
        })
        .await?;
        Ok(Response::new(csi::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Answer<csi::NodeGetVolumeStatsResponse> {
        self.counted(request.into_inner()).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<csi::NodeExpandVolumeRequest>,
    ) -> Answer<csi::NodeExpandVolumeResponse> {
        self.expanded_here(request.into_inner()).await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Answer<csi::NodeGetCapabilitiesResponse> {
        use csi::node_service_capability::{Rpc, Type, rpc};
        let capability =
            |kind: rpc::Type| csi::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
        let all = [
            (rpc::Type::StageUnstageVolume, self.ways.stages),
            (rpc::Type::GetVolumeStats, self.can(Capability::Statistics)),
            (rpc::Type::VolumeCondition, self.can(Capability::Condition)),
            (rpc::Type::ExpandVolume, self.can(Capability::Expand)),
            (rpc::Type::SingleNodeMultiWriter, self.ways.multi_writer),
        ];
        let capabilities = all.into_iter().filter(|(_, there)| *there).map(|(kind, _)| capability(kind)).collect();
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(&self, _: Request<csi::NodeGetInfoRequest>) -> Answer<csi::NodeGetInfoResponse> {
        let node_id = self.backend.node().to_owned();
        let accessible_topology = match self.ways.reach {
            Reach::Everywhere => None,
            Reach::Zone => Some(place("zone")),
            Reach::Node => Some(place(&node_id)),
        };
        Ok(Response::new(csi::NodeGetInfoResponse { node_id, accessible_topology, max_volumes_per_node: 0 }))
    }
}
