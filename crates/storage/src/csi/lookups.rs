//! What a driver says of one volume or one snapshot that it is asked about.

use std::time::Instant;

use tonic::Code;

use super::client::Csi;
use super::messages::otherwise;
use super::rpc::Rpc;
use super::services::controller;
use crate::features::Snapshot;
use crate::volumes::Volume;
use holdfast_net::error::Result;
use holdfast_wire::csi;

impl Csi {
    /// Whether a volume is there, by `ControllerGetVolume`; none, where there is no such call.
    pub(super) fn has_volume(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<Option<bool>> {
        if !self.introduced.gets_volumes {
            return Ok(None);
        }
        let socket = self.controller_at(node, deadline)?;
        let get = csi::ControllerGetVolumeRequest { volume_id: volume.id.clone() };
        let answer = self.caller.ask(&socket, Rpc::ControllerGetVolume, deadline, async |connection| {
            controller(connection).controller_get_volume(get.clone()).await
        });
        let answer = match answer {
            Err(error) if error.code() == Some(Code::NotFound) => return Ok(Some(false)),
            answer => answer?,
        };
        let without = |what: &str| otherwise(format!("the driver answered ControllerGetVolume without a {what}"));
        let found = answer.volume.ok_or_else(|| without("volume"))?.volume_id;
        if found != volume.id {
            return Err(otherwise(format!("ControllerGetVolume was asked for {}, and tells of {found:?}", volume.id)));
        }
        let status = answer.status.ok_or_else(|| without("status"))?;
        if self.introduced.controller_tells_condition && status.volume_condition.is_none() {
            return Err(without("condition, though the controller has the capability VOLUME_CONDITION"));
        }
        Ok(Some(true))
    }

    /// Whether a snapshot is there, by a `ListSnapshots` of that alone; none, where there is no such call.
    pub(super) fn lists_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<Option<bool>> {
        if !self.introduced.lists_snapshots {
            return Ok(None);
        }
        let socket = self.any_controller("", deadline)?;
        let list = csi::ListSnapshotsRequest {
            snapshot_id: snapshot.id.clone(),
            secrets: self.secrets("list_snapshots"),
            ..csi::ListSnapshotsRequest::default()
        };
        let answer = self.caller.ask(&socket, Rpc::ListSnapshots, deadline, async |connection| {
            controller(connection).list_snapshots(list.clone()).await
        })?;
        let listed: Vec<csi::Snapshot> = answer.entries.into_iter().filter_map(|entry| entry.snapshot).collect();
        if let Some(other) = listed.iter().find(|listed| listed.snapshot_id != snapshot.id) {
            let (asked, told) = (&snapshot.id, &other.snapshot_id);
            return Err(otherwise(format!("ListSnapshots was asked for {asked} alone, and tells of {told:?}")));
        }
        if let Some(other) = listed.iter().find(|listed| listed.source_volume_id != snapshot.volume) {
            let (id, of) = (&snapshot.id, &other.source_volume_id);
            return Err(otherwise(format!("ListSnapshots has {id} of {of:?}, and it is of {}", snapshot.volume)));
        }
        Ok(Some(!listed.is_empty()))
    }
}
