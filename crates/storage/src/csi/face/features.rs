//! What a plugin of ours answers beyond volumes: expansion, snapshots, statistics.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tonic::{Response, Status};

use super::{Answer, Backend, Plugin, asked, needed, not_offered, page, signed, size};
use crate::features::{Condition, ContentSource, Expanded, Snapshot, Space, Statistics};
use crate::volumes::Capability;
use holdfast_net::error::Result;
use holdfast_wire::csi;

/// What only some backends do beyond volumes, of which they tell by their capabilities.
pub trait BackendFeatures: Send + Sync {
    /// Which of them: `Expand`, `ExpandInUse`, `Snapshot`, `Clone`, `Block`, `Statistics`, `Condition`.
    fn can(&self) -> BTreeSet<Capability>;
    /// As [`crate::Features::expand`].
    fn expand(&self, volume: &str, bytes: u64, deadline: Instant) -> Result<Expanded>;
    /// Makes what is mounted at `target` as large as its volume.
    fn expand_on_node(&self, volume: &str, bytes: u64, target: &Path, deadline: Instant) -> Result<()>;
    /// As [`crate::Features::take_snapshot`].
    fn take_snapshot(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot>;
    /// As [`crate::Features::remove_snapshot`].
    fn remove_snapshot(&self, snapshot: &str, deadline: Instant) -> Result<()>;
    /// Whether it lists them.
    fn lists_snapshots(&self) -> bool {
        true
    }
    /// All snapshots there are.
    fn snapshots(&self, deadline: Instant) -> Result<Vec<Snapshot>>;
    /// What is counted on a volume that is mounted at `at`.
    fn statistics(&self, volume: &str, at: &Path, deadline: Instant) -> Result<Statistics>;
}

type OrStatus<T> = std::result::Result<T, Status>;

impl<B: Backend> Plugin<B> {
    pub(super) fn can(&self, capability: Capability) -> bool {
        self.backend.features().is_some_and(|features| features.can().contains(&capability))
    }

    pub(super) fn lists_snapshots(&self) -> bool {
        self.can(Capability::Snapshot) && self.backend.features().is_some_and(BackendFeatures::lists_snapshots)
    }

    /// Does what only some can.
    async fn beyond<T: Send + 'static>(
        &self,
        needs: Capability,
        work: impl FnOnce(&dyn BackendFeatures, Instant) -> Result<T> + Send + 'static,
    ) -> OrStatus<T> {
        if !self.can(needs) {
            return not_offered().map(Response::into_inner);
        }
        let none = || holdfast_net::error::Error::invalid("there is nothing beyond volumes");
        self.blocking(move |backend, deadline| work(backend.features().ok_or_else(none)?, deadline)).await
    }

    /// What a volume shall be made from, where that is offered.
    pub(super) fn content(&self, source: Option<csi::VolumeContentSource>) -> OrStatus<Option<ContentSource>> {
        use csi::volume_content_source::Type;
        let Some(source) = source else { return Ok(None) };
        let (needs, content) = match source.r#type {
            Some(Type::Snapshot(from)) => (Capability::Snapshot, ContentSource::Snapshot(from.snapshot_id)),
            Some(Type::Volume(from)) => (Capability::Clone, ContentSource::Volume(from.volume_id)),
            None => return Err(Status::invalid_argument("the content source names none")),
        };
        if self.can(needs) {
            Ok(Some(content))
        } else {
            Err(Status::invalid_argument("volumes are not made from such a source"))
        }
    }

    /// A snapshot as the plugin tells of it; it may say for a while that it is not ready yet.
    fn message(&self, snapshot: Snapshot) -> csi::Snapshot {
        let ready_to_use = snapshot.ready && self.ways.has_settled(&self.put_off, &snapshot.id);
        csi::Snapshot {
            size_bytes: snapshot.bytes.map_or(0, signed),
            snapshot_id: snapshot.id,
            source_volume_id: snapshot.volume,
            creation_time: snapshot.taken.map(Into::into),
            ready_to_use,
            group_snapshot_id: String::new(),
        }
    }

    pub(super) async fn expanded(
        &self,
        request: csi::ControllerExpandVolumeRequest,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        needed(&request.volume_id, "volume_id")?;
        self.begin("ControllerExpandVolume", &request.volume_id).await?;
        let bytes = size(request.capacity_range)?;
        let work = move |features: &dyn BackendFeatures, deadline| features.expand(&request.volume_id, bytes, deadline);
        let Expanded { bytes, on_node } = self.beyond(Capability::Expand, work).await?;
        let response =
            csi::ControllerExpandVolumeResponse { capacity_bytes: signed(bytes), node_expansion_required: on_node };
        Ok(Response::new(response))
    }

    pub(super) async fn expanded_here(
        &self,
        request: csi::NodeExpandVolumeRequest,
    ) -> Answer<csi::NodeExpandVolumeResponse> {
        needed(&request.volume_id, "volume_id")?;
        needed(&request.volume_path, "volume_path")?;
        self.begin("NodeExpandVolume", &request.volume_id).await?;
        if request.volume_capability.is_some() {
            asked(request.volume_capability.as_ref())?;
        }
        let volume = self.volume(&request.volume_id).await?;
        let path = PathBuf::from(&request.volume_path);
        if !self.backend.is_published(&volume.id, &path) {
            return Err(Status::not_found(format!("{} is not published at {}", volume.id, path.display())));
        }
        let bytes = size(request.capacity_range)?;
        let work =
            move |features: &dyn BackendFeatures, deadline| features.expand_on_node(&volume.id, bytes, &path, deadline);
        self.beyond(Capability::Expand, work).await?;
        let capacity_bytes = self.volume(&request.volume_id).await?.bytes.map_or(0, signed);
        Ok(Response::new(csi::NodeExpandVolumeResponse { capacity_bytes }))
    }

    pub(super) async fn snapshot_taken(
        &self,
        request: csi::CreateSnapshotRequest,
    ) -> Answer<csi::CreateSnapshotResponse> {
        let csi::CreateSnapshotRequest { source_volume_id, name, .. } = request;
        needed(&source_volume_id, "source_volume_id")?;
        needed(&name, "name")?;
        self.begin("CreateSnapshot", &name).await?;
        let work =
            move |features: &dyn BackendFeatures, deadline| features.take_snapshot(&source_volume_id, &name, deadline);
        let snapshot = self.beyond(Capability::Snapshot, work).await?;
        Ok(Response::new(csi::CreateSnapshotResponse { snapshot: Some(self.message(snapshot)) }))
    }

    pub(super) async fn snapshot_removed(
        &self,
        request: csi::DeleteSnapshotRequest,
    ) -> Answer<csi::DeleteSnapshotResponse> {
        let id = request.snapshot_id;
        needed(&id, "snapshot_id")?;
        self.begin("DeleteSnapshot", &id).await?;
        self.beyond(Capability::Snapshot, move |features, deadline| features.remove_snapshot(&id, deadline)).await?;
        Ok(Response::new(csi::DeleteSnapshotResponse {}))
    }

    pub(super) async fn snapshots_listed(
        &self,
        request: csi::ListSnapshotsRequest,
    ) -> Answer<csi::ListSnapshotsResponse> {
        let csi::ListSnapshotsRequest { max_entries, starting_token, source_volume_id, snapshot_id, .. } = request;
        let all = self.beyond(Capability::Snapshot, |features, deadline| features.snapshots(deadline)).await?;
        let asked_for = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        let found: Vec<Snapshot> = all
            .into_iter()
            .filter(|each| asked_for(&snapshot_id, &each.id) && asked_for(&source_volume_id, &each.volume))
            .collect();
        let (shown, next_token) = page(&found, max_entries, &starting_token)?;
        let entry =
            |each: &Snapshot| csi::list_snapshots_response::Entry { snapshot: Some(self.message(each.clone())) };
        Ok(Response::new(csi::ListSnapshotsResponse { entries: shown.iter().map(entry).collect(), next_token }))
    }

    pub(super) async fn counted(
        &self,
        request: csi::NodeGetVolumeStatsRequest,
    ) -> Answer<csi::NodeGetVolumeStatsResponse> {
        use csi::volume_usage::Unit;
        needed(&request.volume_id, "volume_id")?;
        needed(&request.volume_path, "volume_path")?;
        let volume = self.volume(&request.volume_id).await?;
        let path = PathBuf::from(&request.volume_path);
        let work = move |features: &dyn BackendFeatures, deadline| features.statistics(&volume.id, &path, deadline);
        let Statistics { bytes, inodes, condition } = self.beyond(Capability::Statistics, work).await?;
        let units = [(bytes, Unit::Bytes), (inodes, Unit::Inodes)];
        let usage = units.into_iter().filter_map(|(space, unit)| space.map(|space| usage(space, unit))).collect();
        let volume_condition =
            condition.map(|Condition { abnormal, message }| csi::VolumeCondition { abnormal, message });
        Ok(Response::new(csi::NodeGetVolumeStatsResponse { usage, volume_condition }))
    }
}

fn usage(space: Space, unit: csi::volume_usage::Unit) -> csi::VolumeUsage {
    csi::VolumeUsage {
        available: signed(space.available),
        total: signed(space.total),
        used: signed(space.used),
        unit: unit.into(),
    }
}
