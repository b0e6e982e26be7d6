//! What a plugin of ours answers as a controller.

use tonic::{Request, Response, Status};

use super::{Answer, Backend, CAPACITY, LONGEST_NAME, PLACE, Plugin, Reach, asked, needed, not_offered, signed};
use crate::volumes::{Volume, VolumeRequest};
use holdfast_wire::csi;
use holdfast_wire::csi::controller_server::Controller;

impl<B: Backend> Plugin<B> {
    fn entry(&self, volume: &Volume) -> csi::list_volumes_response::Entry {
        let published_node_ids = volume.nodes.clone().unwrap_or_default();
        let status = csi::list_volumes_response::VolumeStatus { published_node_ids, volume_condition: None };
        csi::list_volumes_response::Entry { volume: Some(self.described(volume)), status: Some(status) }
    }

    /// The node that a volume shall be near to, where they have places.
    fn near(&self, requirement: Option<csi::TopologyRequirement>) -> std::result::Result<String, Status> {
        if self.ways.reach != Reach::Node {
            return Ok(String::new());
        }
        let requirement = requirement.unwrap_or_default();
        let first =
            requirement.preferred.iter().chain(&requirement.requisite).find_map(|each| each.segments.get(PLACE));
        first.cloned().ok_or_else(|| Status::resource_exhausted("no place was asked for that there is"))
    }
}

#[tonic::async_trait]
impl<B: Backend> Controller for Plugin<B> {
    async fn create_volume(&self, request: Request<csi::CreateVolumeRequest>) -> Answer<csi::CreateVolumeResponse> {
        let asked_for = request.into_inner();
        needed(&asked_for.name, "name")?;
        self.begin("CreateVolume", &asked_for.name).await?;
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
            place: self.near(asked_for.accessibility_requirements)?,
            name: asked_for.name,
            bytes: u64::try_from(range.required_bytes).unwrap_or(0),
            filesystem,
            access,
            parameters: asked_for.parameters.into_iter().collect(),
            block: false,
            content: None,
        };
        let volume = self.blocking(move |backend, deadline| backend.create(&request, deadline)).await?;
        Ok(Response::new(csi::CreateVolumeResponse { volume: Some(self.described(&volume)) }))
    }

    async fn delete_volume(&self, request: Request<csi::DeleteVolumeRequest>) -> Answer<csi::DeleteVolumeResponse> {
        let id = request.into_inner().volume_id;
        needed(&id, "volume_id")?;
        self.begin("DeleteVolume", &id).await?;
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
        self.begin("ControllerPublishVolume", &volume_id).await?;
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
        self.begin("ControllerUnpublishVolume", &volume_id).await?;
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
        let in_force = volume.parameters.unwrap_or_default();
        let otherwise = request.parameters.iter().any(|(name, value)| in_force.get(name) != Some(value));
        let asked_for: std::result::Result<Vec<_>, _> =
            request.volume_capabilities.iter().map(|capability| asked(Some(capability))).collect();
        let wider = asked_for?.iter().any(|(_, access)| access.is_shared() && *access != volume.access);
        if let Some(doubt) = self.backend.doubt() {
            response.message = doubt;
        } else if otherwise {
            "other parameters are in force".clone_into(&mut response.message);
        } else if wider {
            "the volume is for one node".clone_into(&mut response.message);
        } else {
            let mut parameters = request.parameters;
            if self.ways.confirms_all {
                parameters.extend(in_force);
                parameters.entry("pool".to_owned()).or_insert_with(|| "first".to_owned());
            }
            response.confirmed = Some(csi::validate_volume_capabilities_response::Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters,
                mutable_parameters: request.mutable_parameters,
            });
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
        let entries = volumes.iter().skip(start).take(count).map(|volume| self.entry(volume)).collect();
        let end = start.saturating_add(count);
        let next_token = if end < volumes.len() { end.to_string() } else { String::new() };
        Ok(Response::new(csi::ListVolumesResponse { entries, next_token }))
    }

    async fn get_capacity(&self, _: Request<csi::GetCapacityRequest>) -> Answer<csi::GetCapacityResponse> {
        let taken: u64 = self.volumes().await?.iter().filter_map(|volume| volume.bytes).sum();
        let available_capacity = CAPACITY - i64::try_from(taken).unwrap_or(CAPACITY).min(CAPACITY);
        let minimum_volume_size = self.ways.tells_minimum.then(|| signed(self.ways.minimum));
        let capacity = csi::GetCapacityResponse { available_capacity, minimum_volume_size, maximum_volume_size: None };
        Ok(Response::new(capacity))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Answer<csi::ControllerGetCapabilitiesResponse> {
        use csi::controller_service_capability::{Rpc, Type, rpc};
        let capability =
            |kind: rpc::Type| csi::ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) };
        let all = [
            (rpc::Type::CreateDeleteVolume, true),
            (rpc::Type::PublishUnpublishVolume, self.ways.attaches),
            (rpc::Type::ListVolumes, self.ways.lists),
            (rpc::Type::ListVolumesPublishedNodes, self.ways.lists && self.ways.attaches),
            (rpc::Type::GetCapacity, true),
            (rpc::Type::GetVolume, self.ways.lists),
            (rpc::Type::SingleNodeMultiWriter, self.ways.multi_writer),
        ];
        let capabilities = all.into_iter().filter(|(_, there)| *there).map(|(kind, _)| capability(kind)).collect();
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn controller_get_volume(
        &self,
        request: Request<csi::ControllerGetVolumeRequest>,
    ) -> Answer<csi::ControllerGetVolumeResponse> {
        let volume = self.volume(&request.into_inner().volume_id).await?;
        let published_node_ids = volume.nodes.clone().unwrap_or_default();
        let status = csi::controller_get_volume_response::VolumeStatus { published_node_ids, volume_condition: None };
        Ok(Response::new(csi::ControllerGetVolumeResponse {
            volume: Some(self.described(&volume)),
            status: Some(status),
        }))
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
