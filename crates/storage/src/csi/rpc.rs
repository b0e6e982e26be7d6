//! What CSI 1.12 has an orchestrator do about each code of each RPC: its tables of errors, as one table.

use tonic::Code;

use holdfast_net::error::{Error, Kind};

/// The RPCs that are asked here.
#[expect(missing_docs, reason = "each is CSI's own name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rpc {
    GetPluginInfo,
    GetPluginCapabilities,
    Probe,
    CreateVolume,
    DeleteVolume,
    ControllerPublishVolume,
    ControllerUnpublishVolume,
    ValidateVolumeCapabilities,
    ListVolumes,
    GetCapacity,
    ControllerGetCapabilities,
    NodeStageVolume,
    NodeUnstageVolume,
    NodePublishVolume,
    NodeUnpublishVolume,
    NodeGetCapabilities,
    NodeGetInfo,
    ControllerExpandVolume,
    NodeExpandVolume,
    CreateSnapshot,
    DeleteSnapshot,
    ListSnapshots,
    ControllerGetVolume,
    NodeGetVolumeStats,
}

/// What is done about an answer that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same is asked again, later and later, as long as there is time.
    Again,
    /// The same, so often at most: nothing says that it will help, and orchestrators do so.
    Few,
    /// Asking the same again does not help.
    Never,
}

/// As often as [`Next::Few`] asks in all.
pub const FEW: u32 = 3;

impl Rpc {
    /// All of them, by CSI's names.
    pub const ALL: [(&'static str, Self); 24] = [
        ("GetPluginInfo", Self::GetPluginInfo),
        ("GetPluginCapabilities", Self::GetPluginCapabilities),
        ("Probe", Self::Probe),
        ("CreateVolume", Self::CreateVolume),
        ("DeleteVolume", Self::DeleteVolume),
        ("ControllerPublishVolume", Self::ControllerPublishVolume),
        ("ControllerUnpublishVolume", Self::ControllerUnpublishVolume),
        ("ValidateVolumeCapabilities", Self::ValidateVolumeCapabilities),
        ("ListVolumes", Self::ListVolumes),
        ("GetCapacity", Self::GetCapacity),
        ("ControllerGetCapabilities", Self::ControllerGetCapabilities),
        ("NodeStageVolume", Self::NodeStageVolume),
        ("NodeUnstageVolume", Self::NodeUnstageVolume),
        ("NodePublishVolume", Self::NodePublishVolume),
        ("NodeUnpublishVolume", Self::NodeUnpublishVolume),
        ("NodeGetCapabilities", Self::NodeGetCapabilities),
        ("NodeGetInfo", Self::NodeGetInfo),
        ("ControllerExpandVolume", Self::ControllerExpandVolume),
        ("NodeExpandVolume", Self::NodeExpandVolume),
        ("CreateSnapshot", Self::CreateSnapshot),
        ("DeleteSnapshot", Self::DeleteSnapshot),
        ("ListSnapshots", Self::ListSnapshots),
        ("ControllerGetVolume", Self::ControllerGetVolume),
        ("NodeGetVolumeStats", Self::NodeGetVolumeStats),
    ];

    /// As CSI calls it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, rpc)| *rpc == self).map_or("", |(name, _)| name)
    }

    /// What is done about a code.
    pub fn after(self, code: Code) -> Next {
        use Code::{
            Aborted, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition, Internal, NotFound, ResourceExhausted,
        };
        match (self, code) {
            // an operation is pending for the volume; the plugin is away or late for a while
            (_, Aborted | Code::Unavailable | DeadlineExceeded | Cancelled)
            // it may be on another node, or in use, for a moment still: what had it was told to let go
            | (Self::ControllerPublishVolume | Self::DeleteVolume | Self::ControllerExpandVolume, FailedPrecondition)
            // there may be room later
            | (Self::CreateVolume | Self::ControllerPublishVolume | Self::CreateSnapshot, ResourceExhausted)
            // what is asked for was made, and not removed, as these must know: "before retrying with exponential back
            // off". A store may learn of it a moment later
            | (
                Self::CreateVolume
                | Self::ValidateVolumeCapabilities
                | Self::ControllerPublishVolume
                | Self::NodeStageVolume
                | Self::NodePublishVolume
                | Self::ControllerExpandVolume
                | Self::NodeExpandVolume
                | Self::CreateSnapshot,
                NotFound,
            ) => Next::Again,
            (_, Code::Unknown | Internal | DataLoss) => Next::Few,
            _ => Next::Never,
        }
    }

    /// The same about an error. Where nobody listens, nobody is asked again: who waits for a plugin has `ready` for
    /// that. What belongs to the lab is no answer.
    pub fn about(self, error: &Error) -> Next {
        match error.kind {
            Kind::Status(code) => self.after(code),
            _ => Next::Never,
        }
    }
}

/// Whether a plugin that answered so to Probe may be on its way up.
pub fn may_be_starting(error: &Error) -> bool {
    use holdfast_net::error::ConnectFault::Unreachable;
    let unhealthy = |code| matches!(code, Code::FailedPrecondition) || Rpc::Probe.after(code) == Next::Again;
    matches!(error.kind, Kind::Timeout | Kind::Connect(Unreachable)) || error.code().is_some_and(unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_not_asked_again() {
        for (_, rpc) in Rpc::ALL {
            for code in [
                Code::InvalidArgument,
                Code::AlreadyExists,
                Code::OutOfRange,
                Code::Unimplemented,
                Code::PermissionDenied,
                Code::Unauthenticated,
            ] {
                assert_eq!(rpc.after(code), Next::Never, "{rpc:?} {code:?}");
            }
        }
    }

    #[test]
    fn what_passes_is_asked_again() {
        for (_, rpc) in Rpc::ALL {
            assert_eq!(rpc.after(Code::Aborted), Next::Again);
            assert_eq!(rpc.after(Code::Unavailable), Next::Again);
            assert_eq!(rpc.after(Code::Internal), Next::Few);
        }
        assert_eq!(Rpc::ControllerPublishVolume.after(Code::FailedPrecondition), Next::Again);
        assert_eq!(Rpc::NodePublishVolume.after(Code::FailedPrecondition), Next::Never);
        // "Caller MUST NOT retry": the file system does not grow while it is mounted
        assert_eq!(Rpc::NodeExpandVolume.after(Code::FailedPrecondition), Next::Never);
        assert_eq!(Rpc::CreateVolume.after(Code::ResourceExhausted), Next::Again);
        assert_eq!(Rpc::ControllerPublishVolume.after(Code::NotFound), Next::Again);
        // OK is a MUST of what is undone already, and statistics are asked for where nothing is mounted
        for rpc in [Rpc::NodeUnpublishVolume, Rpc::ControllerUnpublishVolume, Rpc::NodeGetVolumeStats] {
            assert_eq!(rpc.after(Code::NotFound), Next::Never, "{rpc:?}");
        }
    }

    #[test]
    fn each_has_its_name() {
        let named = Rpc::ALL.iter().all(|(name, rpc)| rpc.name() == *name && format!("{rpc:?}") == *name);
        assert!(named);
    }
}
