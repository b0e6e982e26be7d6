//! What a driver is asked beyond volumes: expansion, snapshots, what new volumes are made from, statistics.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::client::Csi;
use super::messages::{otherwise, size};
use super::rpc::Rpc;
use super::services::{controller, node};
use crate::features::{Condition, Expanded, Snapshot, Space, Statistics};
use crate::volumes::{Features, Volume};
use holdfast_net::error::{Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_wire::csi;

/// From one question whether a snapshot is ready to the next.
const LOOK: Duration = Duration::from_millis(200);

fn capacity(bytes: u64) -> csi::CapacityRange {
    csi::CapacityRange { required_bytes: i64::try_from(bytes).unwrap_or(i64::MAX), limit_bytes: 0 }
}

impl Csi {
    /// The largest size that a volume was said to have since it was made, with this one.
    fn at_least(&self, volume: &Volume, bytes: u64) -> u64 {
        let mut grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = grown.entry(volume.id.clone()).or_insert_with(|| volume.bytes.unwrap_or(0));
        *known = bytes.max(*known);
        *known
    }

    fn snapshot_of(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot> {
        let socket = self.any_controller("", deadline)?;
        let create = csi::CreateSnapshotRequest {
            source_volume_id: volume.to_owned(),
            name: name.to_owned(),
            secrets: self.secrets("snapshot"),
            ..csi::CreateSnapshotRequest::default()
        };
        let answer = self.caller.ask(&socket, Rpc::CreateSnapshot, deadline, async |connection| {
            controller(connection).create_snapshot(create.clone()).await
        })?;
        let without = |what: &str| otherwise(format!("the driver answered CreateSnapshot without a {what}"));
        let snapshot = answer.snapshot.filter(|snapshot| !snapshot.snapshot_id.is_empty());
        let snapshot = snapshot.ok_or_else(|| without("snapshot id"))?;
        if snapshot.source_volume_id.is_empty() {
            return Err(without("source_volume_id"));
        }
        if snapshot.source_volume_id != volume {
            let of = snapshot.source_volume_id;
            return Err(otherwise(format!(
                "asked for a snapshot of {volume}, and CreateSnapshot tells of one of {of}"
            )));
        }
        // who cuts it later does not know when before that
        let taken = snapshot.creation_time.filter(|time| time.seconds > 0).and_then(|time| time.try_into().ok());
        if snapshot.ready_to_use && taken.is_none() {
            return Err(without("creation_time"));
        }
        Ok(Snapshot {
            id: snapshot.snapshot_id,
            name: name.to_owned(),
            volume: volume.to_owned(),
            bytes: size(snapshot.size_bytes, Rpc::CreateSnapshot)?,
            ready: snapshot.ready_to_use,
            taken,
        })
    }
}

impl Features for Csi {
    fn expand(&self, volume: &Volume, bytes: u64, deadline: Instant) -> Result<Expanded> {
        if !self.introduced.expands.by_controller {
            return Ok(Expanded { bytes: self.at_least(volume, bytes), on_node: self.introduced.expands.on_nodes });
        }
        let socket = self.any_controller("", deadline)?;
        let expand = csi::ControllerExpandVolumeRequest {
            volume_id: volume.id.clone(),
            capacity_range: Some(capacity(bytes)),
            secrets: self.secrets("expand"),
            volume_capability: Some(self.capability(volume)),
        };
        let answer = self.caller.ask(&socket, Rpc::ControllerExpandVolume, deadline, async |connection| {
            controller(connection).controller_expand_volume(expand.clone()).await
        })?;
        let bytes = size(answer.capacity_bytes, Rpc::ControllerExpandVolume)?.unwrap_or(0);
        Ok(Expanded { bytes, on_node: answer.node_expansion_required })
    }

    fn expand_on_node(&self, volume: &Volume, bytes: u64, on: &str, task: &str, deadline: Instant) -> Result<()> {
        let expand = csi::NodeExpandVolumeRequest {
            volume_id: volume.id.clone(),
            volume_path: self.target(volume, on, task).display().to_string(),
            capacity_range: Some(capacity(bytes)),
            staging_target_path: self.staged_at(volume, on),
            volume_capability: Some(self.capability(volume)),
            secrets: self.secrets("expand"),
        };
        let answer = self.caller.ask(&self.socket(on)?, Rpc::NodeExpandVolume, deadline, async |connection| {
            node(connection).node_expand_volume(expand.clone()).await
        })?;
        match size(answer.capacity_bytes, Rpc::NodeExpandVolume)? {
            Some(expanded) if expanded < bytes => {
                Err(otherwise(format!("NodeExpandVolume was asked for {bytes} bytes, and tells of {expanded}")))
            }
            _ => Ok(()),
        }
    }

    fn take_snapshot(&self, volume: &Volume, name: &str, deadline: Instant) -> Result<Snapshot> {
        self.snapshot_of(&volume.id, name, deadline)
    }

    fn await_snapshot(&self, snapshot: Snapshot, deadline: Instant) -> Result<Snapshot> {
        if snapshot.ready {
            return Ok(snapshot);
        }
        let asked = |waits: Duration| format!("the snapshot {} is not ready_to_use after {waits:.1?}", snapshot.name);
        let began = Instant::now();
        blocking::until(deadline, LOOK, || {
            let again = match self.snapshot_of(&snapshot.volume, &snapshot.name, deadline) {
                Err(error) if error.kind == Kind::Timeout => {
                    return Err(otherwise(format!("{}: {}", asked(began.elapsed()), error.reason())));
                }
                Err(error) => return Ok(Err(error)),
                Ok(again) => again,
            };
            if again.id != snapshot.id {
                let why = format!("one snapshot asked for twice became {} and {}", snapshot.id, again.id);
                return Ok(Err(otherwise(why)));
            }
            if again.ready { Ok(Ok(again)) } else { Err(otherwise(asked(began.elapsed()))) }
        })?
    }

    fn has_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<Option<bool>> {
        self.lists_snapshot(snapshot, deadline)
    }

    fn remove_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<()> {
        let socket = self.any_controller("", deadline)?;
        let delete = csi::DeleteSnapshotRequest { snapshot_id: snapshot.id.clone(), secrets: self.secrets("snapshot") };
        let answer = self.caller.ask(&socket, Rpc::DeleteSnapshot, deadline, async |connection| {
            controller(connection).delete_snapshot(delete.clone()).await
        });
        answer.map(drop)
    }

    fn statistics(&self, volume: &Volume, on: &str, task: &str, deadline: Instant) -> Result<Statistics> {
        use csi::volume_usage::Unit;
        let ask = csi::NodeGetVolumeStatsRequest {
            volume_id: volume.id.clone(),
            volume_path: self.target(volume, on, task).display().to_string(),
            staging_target_path: self.staged_at(volume, on),
        };
        let answer = self.caller.ask(&self.socket(on)?, Rpc::NodeGetVolumeStats, deadline, async |connection| {
            node(connection).node_get_volume_stats(ask.clone()).await
        })?;
        let mut statistics = Statistics::default();
        for usage in answer.usage {
            match usage.unit() {
                Unit::Bytes => statistics.bytes = Some(space(&usage)?),
                Unit::Inodes => statistics.inodes = Some(space(&usage)?),
                Unit::Unknown => {}
            }
        }
        let condition = answer.volume_condition.filter(|_| self.introduced.tells_condition);
        if self.introduced.tells_condition && condition.is_none() {
            let why = "NodeGetVolumeStats tells of no condition, though the plugin has the capability VOLUME_CONDITION";
            return Err(otherwise(why.to_owned()));
        }
        statistics.condition =
            condition.map(|csi::VolumeCondition { abnormal, message }| Condition { abnormal, message });
        Ok(statistics)
    }
}

/// What is counted, where it can be.
fn space(usage: &csi::VolumeUsage) -> Result<Space> {
    let whole = |what: &str, value: i64| {
        u64::try_from(value).map_err(|_| otherwise(format!("NodeGetVolumeStats tells of {value} {what}")))
    };
    let unit = usage.unit().as_str_name().to_lowercase();
    Ok(Space {
        total: whole(&format!("{unit} in all"), usage.total)?,
        used: whole(&format!("{unit} in use"), usage.used)?,
        available: whole(&format!("available {unit}"), usage.available)?,
    })
}
