//! What a cluster says of a pod or a claim that does not come to be: its events.

use std::time::Instant;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tonic::Code;

use super::cluster::Cluster;
use holdfast_net::error::{Error, Kind, Result};

/// The provider was asked for a volume, and made none.
const NOT_MADE: &str = "ProvisioningFailed";
/// Reasons of events that are the provider's: it was asked, and refused or failed.
const PROVIDERS: [&str; 4] = [NOT_MADE, "FailedMount", "FailedMapVolume", "VolumeFailedDelete"];
/// Words of a FailedAttachVolume that say that the provider was never asked: Kubernetes itself holds the volume back.
const HELD_BACK: [&str; 4] = [
    "Multi-Attach error", // up to 1.36
    "is already used by",
    "is already exclusively attached",
    "volume attachment is being deleted",
];
/// What is said of a pod that no node takes, and is over once one has.
pub const NO_NODE: &str = "FailedScheduling";
/// The volumes of our pods that no provider has to do with, as a FailedMount names them.
const OWN_VOLUMES: [&str; 4] = ["ledger", "packed", "sockets", "kube-api-access"];
/// Words of a pod that no node takes which have nothing to do with who schedules: the cluster has no room for it, or
/// keeps the node for others, or somebody took its claim away.
const NO_ROOM: [&str; 8] = [
    "exceed max volume count",
    "did not have enough free storage",
    "Insufficient ",
    "Too many pods",
    "untolerated taint",
    "were unschedulable",
    "persistentvolumeclaim \"",
    "non-existent pv",
];
/// Words of a pod that no node takes while its claim, which waits for it, gets no volume.
const NOT_MADE_YET: [&str; 3] =
    ["binding volumes", "unbound immediate PersistentVolumeClaims", "didn't find available persistent volumes to bind"];
/// A claim was handed to whoever makes its volume: all that is ever said where that one does not answer.
const HANDED_OVER: &str = "ExternalProvisioning";
/// Words of a claim whose volume nobody was asked for.
const NOT_ASKED: [&str; 2] = ["storageclass.storage.k8s.io", "StorageClass.storage.k8s.io"];
/// Words of a kubelet, today's and one before 1.16, that sums up what it waited for. Why, other events say.
const SUMMED_UP: [&str; 2] = ["Unable to attach or mount volumes", "Unable to mount volumes for pod"];
/// Where the events are of objects that are in no namespace.
const OF_NO_NAMESPACE: &str = "default";
/// Words of an event about what a CSI driver has mounted for a pod.
const OF_CSI: &str = "kubernetes.io~csi";
/// An image is on its way, and is there.
const PULLING: &str = "Pulling";
const PULLED: &str = "Pulled";
/// An attachment did not come about.
const NOT_ATTACHED: &str = "FailedAttachVolume";

/// Who is to blame for what an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The provider was asked.
    Provider,
    /// The cluster did not do its part.
    Scheduler,
    /// What a run needs is not to be had there: an image, a network, a quota, a right.
    Lab,
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
    /// Whether it is about an attachment, of which the cluster's own objects say more.
    pub fn is_of_attachment(&self) -> bool {
        self.words.starts_with(NOT_ATTACHED)
    }

    /// The code that a driver answered to whoever makes volumes, as that tells of it.
    fn answered(&self) -> Option<Code> {
        let (_, told) = self.words.strip_prefix(NOT_MADE)?.split_once("code = ")?;
        match told.split_whitespace().next()? {
            "InvalidArgument" => Some(Code::InvalidArgument),
            "OutOfRange" => Some(Code::OutOfRange),
            "ResourceExhausted" => Some(Code::ResourceExhausted),
            _ => None,
        }
    }

    /// Whether a driver said no for good: "Caller MUST fix the arguments or use a different name".
    pub fn is_final(&self) -> bool {
        matches!(self.answered(), Some(Code::InvalidArgument | Code::OutOfRange))
    }

    /// As an error that says what does not come to be.
    pub fn error(self, what: &str) -> Error {
        let (code, message) = (self.answered().unwrap_or(Code::Unknown), format!("{what}: {}", self.words));
        match self.blame {
            Blame::Provider => Error::new(Kind::Status(code), message),
            Blame::Scheduler => Error::new(Kind::Scheduler, message),
            Blame::Lab => Error::lab(message),
        }
    }
}

/// Of whom an event speaks.
pub fn blame(reason: &str, message: &str) -> Option<Blame> {
    let speaks_of = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match reason {
        NOT_ATTACHED if speaks_of(&HELD_BACK) => Some(Blame::Scheduler),
        NOT_ATTACHED => Some(Blame::Provider),
        "FailedMount" if is_of_own_volume(message) => Some(Blame::Lab),
        "FailedMount" if SUMMED_UP.iter().any(|words| message.starts_with(words)) => None,
        "FailedMount" if speaks_of(&HELD_BACK) => Some(Blame::Scheduler),
        NOT_MADE if speaks_of(&NOT_ASKED) => Some(Blame::Lab),
        HANDED_OVER => Some(Blame::Provider),
        reason if PROVIDERS.contains(&reason) => Some(Blame::Provider),
        NO_NODE if speaks_of(&NOT_MADE_YET) => Some(Blame::Provider),
        NO_NODE if speaks_of(&NO_ROOM) => Some(Blame::Lab),
        NO_NODE => Some(Blame::Scheduler),
        "Failed" if message.contains(OF_CSI) => Some(Blame::Provider),
        PULLING | "FailedCreate" | "Evicted" | "Failed" | "FailedCreatePodSandBox" => Some(Blame::Lab),
        _ => None,
    }
}

/// Whether what is not mounted stands before any provider.
fn is_of_own_volume(message: &str) -> bool {
    let named = message.split_once("for volume \"").and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    named.is_some_and(|named| OWN_VOLUMES.iter().any(|own| named.starts_with(own)))
}

impl Cluster {
    /// The last event that says why an object of the run does not come to be; none, where none says so. Another of its
    /// name may have been before it, of another `uid`. Of what is over by now (`but`) nothing is said.
    pub fn obstacle(
        &self,
        kind: &str,
        name: &str,
        uid: Option<&str>,
        but: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<Obstacle>> {
        let mut fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        if let Some(uid) = uid {
            fields = format!("{fields},involvedObject.uid={uid}");
        }
        self.told(&self.own(), &fields, but, deadline)
    }

    /// Why a persistent volume that shall go is there, as the last event of it says.
    pub fn why_stays(&self, volume: &str, deadline: Instant) -> Result<Option<Obstacle>> {
        let fields = format!("involvedObject.kind=PersistentVolume,involvedObject.name={volume}");
        self.told(&self.within(OF_NO_NAMESPACE), &fields, None, deadline)
    }

    fn told(
        &self,
        events: &Api<Event>,
        fields: &str,
        but: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<Obstacle>> {
        let of = ListParams::default().fields(fields);
        let found = self.call("list events", deadline, || events.list(&of))?;
        let mut events = found.items;
        // that a claim was handed over is said again and again, also after what became of that
        events.sort_by_key(|event| (event.reason.as_deref() != Some(HANDED_OVER), moment(event)));
        let mut is_pulled = false;
        Ok(events.iter().rev().find_map(|event| {
            let (reason, message) =
                (event.reason.clone().unwrap_or_default(), event.message.clone().unwrap_or_default());
            is_pulled |= reason == PULLED;
            let is_over = Some(reason.as_str()) == but || reason == PULLING && is_pulled;
            let blame = blame(&reason, &message).filter(|_| !is_over)?;
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
    fn what_a_driver_answered_to_whoever_makes_volumes_is_its_code() {
        let of = |code: &str| Obstacle {
            blame: Blame::Provider,
            words: format!(
                "ProvisioningFailed: failed to provision volume with StorageClass \"a\": rpc error: code = {code} desc = no"
            ),
        };
        for (word, code, is_final) in [
            ("InvalidArgument", Code::InvalidArgument, true),
            ("OutOfRange", Code::OutOfRange, true),
            ("ResourceExhausted", Code::ResourceExhausted, false),
            ("Internal", Code::Unknown, false),
        ] {
            assert_eq!(of(word).is_final(), is_final, "{word}");
            assert_eq!(of(word).error("a claim").code(), Some(code), "{word}");
        }
        let mounting = Obstacle { blame: Blame::Provider, words: "FailedMount: code = InvalidArgument".to_owned() };
        assert!(!mounting.is_final(), "a kubelet tries again");
    }

    #[test]
    fn who_is_to_blame_is_said_by_the_event() {
        for (reason, message, whose) in [
            ("FailedMount", "MountVolume.SetUp failed for volume \"pvc-1\" : rpc error: no", Some(Blame::Provider)),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"ledger\" : configmap \"x\" not found",
                Some(Blame::Lab),
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
            ("Failed", "Failed to pull image \"busybox\"", Some(Blame::Lab)),
            ("FailedCreate", "pods \"a-0\" is forbidden: exceeded quota", Some(Blame::Lab)),
            ("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition", None),
            ("FailedScheduling", "0/3 nodes are available", Some(Blame::Scheduler)),
            ("FailedScheduling", "0/3 nodes are available: 1 node(s) exceed max volume count", Some(Blame::Lab)),
            ("FailedScheduling", "0/3 nodes are available: 1 Insufficient cpu", Some(Blame::Lab)),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"pvc-1\" : rpc error: no configmap of ours",
                Some(Blame::Provider),
            ),
            (
                "Failed",
                "Error: failed to stat /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount: not connected",
                Some(Blame::Provider),
            ),
            (
                "FailedMount",
                "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[]: context deadline exceeded",
                None,
            ),
            ("FailedMount", "Unable to mount volumes for pod \"a_b\": timeout expired waiting for volumes", None),
            (
                "FailedMount",
                "MountVolume.MountDevice failed for volume \"pvc-1\" : rpc error: timed out waiting for the condition",
                Some(Blame::Provider),
            ),
            (
                "FailedMount",
                "MountVolume.WaitForAttach failed for volume \"pvc-1\" : volume attachment is being deleted",
                Some(Blame::Scheduler),
            ),
            ("ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found", Some(Blame::Lab)),
            ("ExternalProvisioning", "Waiting for a volume to be created either by", Some(Blame::Provider)),
            (
                "FailedScheduling",
                "running PreBind plugin \"VolumeBinding\": binding volumes: late",
                Some(Blame::Provider),
            ),
            (
                "FailedScheduling",
                "0/3 nodes are available: 1 node(s) did not have enough free storage, 2 node(s) didn't match",
                Some(Blame::Lab),
            ),
            ("FailedScheduling", "0/3 nodes are available: 3 node(s) were unschedulable", Some(Blame::Lab)),
            ("FailedScheduling", "0/3 nodes are available: persistentvolumeclaim \"data\" not found", Some(Blame::Lab)),
            (
                "FailedScheduling",
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims",
                Some(Blame::Provider),
            ),
            (
                "FailedScheduling",
                "0/3 nodes are available: 3 node(s) had volume node affinity conflict",
                Some(Blame::Scheduler),
            ),
            ("Pulling", "Pulling image \"busybox\"", Some(Blame::Lab)),
            ("Pulled", "Container image is present", None),
        ] {
            assert_eq!(blame(reason, message), whose, "{reason}: {message}");
        }
    }
}
