//! What a plugin of ours answers as a controller.

use tonic::{Request, Response, Status};

use super::{Answer, Asked, Backend, CAPACITY, LONGEST_NAME, PLACE, Plugin, Reach, asked, needed, not_offered, page};
use super::{signed, size};
use crate::volumes::{Capability, Volume, VolumeRequest};
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
        let content_source = asked_for.volume_content_source.clone();
        let content = self.content(asked_for.volume_content_source)?;
        let Asked { filesystem, access, block } = self.offered(asked_for.volume_capabilities.first())?;
        for capability in &asked_for.volume_capabilities {
            if self.offered(Some(capability))?.block != block {
                return Err(Status::invalid_argument("a volume is a device, or has a file system"));
            }
        }
        let request = VolumeRequest {
            place: self.near(asked_for.accessibility_requirements)?,
            name: asked_for.name,
            bytes: size(asked_for.capacity_range)?,
            filesystem,
            access,
            parameters: asked_for.parameters.into_iter().collect(),
            block,
            content,
            ..VolumeRequest::default()
        };
        let volume = self.blocking(move |backend, deadline| backend.create(&request, deadline)).await?;
        let volume = csi::Volume { content_source, ..self.described(&volume) };
        Ok(Response::new(csi::CreateVolumeResponse { volume: Some(volume) }))
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
        let block = self.offered(volume_capability.as_ref())?.block;
        let volume = Volume { block, ..self.volume(&volume_id).await? };
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
        let asked_for = asked_for?;
        let wider = asked_for.iter().any(|asked| asked.access.is_shared() && asked.access != volume.access);
        let mounted = asked_for.iter().any(|asked| volume.block && !asked.block);
        if let Some(doubt) = self.backend.doubt() {
            response.message = doubt;
        } else if otherwise {
            "other parameters are in force".clone_into(&mut response.message);
        } else if wider {
            "the volume is for one node".clone_into(&mut response.message);
        } else if mounted {
            "the volume is a device".clone_into(&mut response.message);
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
        let (shown, next_token) = page(&volumes, max_entries, &starting_token)?;
        let entries = shown.iter().map(|volume| self.entry(volume)).collect();
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
            (rpc::Type::ExpandVolume, self.can(Capability::Expand)),
            (rpc::Type::CreateDeleteSnapshot, self.can(Capability::Snapshot)),
            (rpc::Type::ListSnapshots, self.lists_snapshots()),
            (rpc::Type::CloneVolume, self.can(Capability::Clone)),
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

    async fn create_snapshot(
        &self,
        request: Request<csi::CreateSnapshotRequest>,
    ) -> Answer<csi::CreateSnapshotResponse> {
        self.snapshot_taken(request.into_inner()).await
    }

    async fn delete_snapshot(
        &self,
        request: Request<csi::DeleteSnapshotRequest>,
    ) -> Answer<csi::DeleteSnapshotResponse> {
        self.snapshot_removed(request.into_inner()).await
    }

    async fn list_snapshots(&self, request: Request<csi::ListSnapshotsRequest>) -> Answer<csi::ListSnapshotsResponse> {
        self.snapshots_listed(request.into_inner()).await
    }

    async fn get_snapshot(&self, _: Request<csi::GetSnapshotRequest>) -> Answer<csi::GetSnapshotResponse> {
        not_offered()
    }

    async fn controller_expand_volume(
        &self,
        request: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        self.expanded(request.into_inner()).await
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Answer<csi::ControllerModifyVolumeResponse> {
        not_offered()
    }
}
