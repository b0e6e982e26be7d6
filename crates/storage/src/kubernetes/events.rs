//! What a cluster says of a pod or a claim that does not come to be: its events.

use std::time::Instant;

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use tonic::Code;

use super::cluster::Cluster;
use holdfast_net::error::{Error, Kind, Result};

/// Reasons of events that are the provider's: it was asked, and refused or failed.
const PROVIDERS: [&str; 4] = ["ProvisioningFailed", "FailedMount", "FailedMapVolume", "VolumeFailedDelete"];
/// Words of a FailedAttachVolume that say that the provider was never asked: Kubernetes itself holds the volume back.
const HELD_BACK: [&str; 4] = [
    "Multi-Attach error", // up to 1.36
    "is already used by",
    "is already exclusively attached",
    "volume attachment is being deleted",
];
/// Words of a FailedMount that are about what stands before any provider.
const BEFORE: [&str; 3] = ["configmap", "kube-api-access", "hostPath"];

/// Who is to blame for what an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The provider was asked.
    Provider,
    /// The cluster did not do its part.
    Scheduler,
}

/// What stands in the way of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Who is to blame.
    pub blame: Blame,
    /// The event, as Kubernetes tells it.
    pub words: String,
}

impl Obstacle {
    /// As an error that says what does not come to be.
    pub fn error(self, what: &str) -> Error {
        let message = format!("{what}: {}", self.words);
        match self.blame {
            Blame::Provider => Error::new(Kind::Status(Code::Unknown), message),
            Blame::Scheduler => Error::new(Kind::Scheduler, message),
        }
    }
}

/// Of whom an event speaks.
pub fn blame(reason: &str, message: &str) -> Option<Blame> {
    let speaks_of = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match reason {
        "FailedAttachVolume" if speaks_of(&HELD_BACK) => Some(Blame::Scheduler),
        "FailedAttachVolume" => Some(Blame::Provider),
        "FailedMount" if speaks_of(&BEFORE) => Some(Blame::Scheduler),
        reason if PROVIDERS.contains(&reason) => Some(Blame::Provider),
        "FailedScheduling" | "FailedCreate" | "Evicted" | "Failed" | "FailedCreatePodSandBox" => Some(Blame::Scheduler),
        _ => None,
    }
}

impl Cluster {
    /// The last event that says why an object of the run does not come to be; none, where none says so.
    pub fn obstacle(&self, kind: &str, name: &str, deadline: Instant) -> Result<Option<Obstacle>> {
        let of = ListParams::default().fields(&format!("involvedObject.kind={kind},involvedObject.name={name}"));
        let found = self.call("list events", deadline, self.own::<Event>().list(&of))?;
        let mut events = found.items;
        events.sort_by_key(moment);
        Ok(events.iter().rev().find_map(|event| {
            let (reason, message) =
                (event.reason.clone().unwrap_or_default(), event.message.clone().unwrap_or_default());
            let blame = blame(&reason, &message)?;
            Some(Obstacle { blame, words: format!("{reason}: {message}") })
        }))
    }
}

fn moment(event: &Event) -> Option<k8s_openapi::jiff::Timestamp> {
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    last.or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_blame_is_said_by_the_event() {
        for (reason, message, whose) in [
            ("FailedMount", "MountVolume.SetUp failed for volume \"pvc-1\" : rpc error: no", Some(Blame::Provider)),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"ledger\" : configmap \"x\" not found",
                Some(Blame::Scheduler),
            ),
            (
                "FailedAttachVolume",
                "Multi-Attach error for volume \"pvc-1\" Volume is already used",
                Some(Blame::Scheduler),
            ),
            (
                "FailedAttachVolume",
                "AttachVolume.Attach failed for volume \"pvc-1\" : rpc error",
                Some(Blame::Provider),
            ),
            (
                "FailedAttachVolume",
                "Waiting for detach for volume \"pvc-1\" Volume is already used by pod(s) web",
                Some(Blame::Scheduler),
            ),
            ("ProvisioningFailed", "failed to provision volume: rpc error", Some(Blame::Provider)),
            ("FailedScheduling", "0/3 nodes are available", Some(Blame::Scheduler)),
            ("Pulled", "Container image is present", None),
        ] {
            assert_eq!(blame(reason, message), whose, "{reason}: {message}");
        }
    }
}
