//! What the run makes in a cluster, as objects.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::volumes::{Access, VolumeRequest};
use holdfast_net::error::{Error, Result};

/// What every object of a run is labelled with,
pub const RUN_LABEL: &str = "holdfast.dev/run";
/// and its namespace with the machine that the run is on;
pub const MACHINE_LABEL: &str = "holdfast.dev/machine";
/// what that machine knows the run's process by;
pub const PROCESS: &str = "holdfast.dev/process";
/// what a pod is, beside that: its task,
pub const TASK_LABEL: &str = "holdfast.dev/task";
/// and its volume.
pub const VOLUME_LABEL: &str = "holdfast.dev/volume";
/// Where a pod has its volume.
pub const VOLUME: &str = "/volume";
/// Where a pod has the executable of tasks.
pub const EXECUTABLE: &str = "/holdfast/ledger";
/// The container of a pod that does its work.
pub const TASK: &str = "task";
/// Where a pod sees the folder of the tester's sockets.
pub const WITHIN: &str = "/acknowledge";

/// A claim's access mode, as Kubernetes calls it.
pub fn access_mode(access: Access) -> &'static str {
    match access {
        Access::SingleNodeWriter | Access::SingleNodeMultiWriter | Access::SingleNodeReaderOnly => "ReadWriteOnce",
        Access::SingleNodeSingleWriter => "ReadWriteOncePod",
        Access::MultiNodeReaderOnly => "ReadOnlyMany",
        Access::MultiNodeSingleWriter | Access::MultiNodeMultiWriter => "ReadWriteMany",
    }
}

/// An object, as it is written down.
pub fn object<T: DeserializeOwned>(said: Value) -> Result<T> {
    serde_json::from_value(said).map_err(|error| Error::lab(format!("an object of ours cannot be made: {error}")))
}

/// The run's namespace, and by which process of which machine it was made.
pub fn namespace(name: &str, run: &str, machine: &str, process: &str, privileged: bool) -> Result<Namespace> {
    object(json!({
        "metadata": {
            "name": name,
            "annotations": {PROCESS: process},
            "labels": {
                RUN_LABEL: run,
                MACHINE_LABEL: machine,
                // tasks write as root; with what their node has, they share its folders and its network too
                "pod-security.kubernetes.io/enforce": if privileged { "privileged" } else { "baseline" },
            },
        },
    }))
}

/// A class as that of the user is, for volumes with these parameters and this file system.
pub fn class(run: &str, name: &str, like: &StorageClass, request: &VolumeRequest) -> Result<StorageClass> {
    let mut parameters = like.parameters.clone().unwrap_or_default();
    parameters.extend(request.parameters.clone());
    if !request.filesystem.is_empty() {
        parameters.insert("csi.storage.k8s.io/fstype".to_owned(), request.filesystem.clone());
    }
    let labels = json!({"metadata": {"name": name, "labels": {RUN_LABEL: run}}, "provisioner": ""});
    let own: StorageClass = object(labels)?;
    Ok(StorageClass { metadata: own.metadata, parameters: Some(parameters), ..like.clone() })
}

/// A claim.
pub fn claim(run: &str, class: &str, request: &VolumeRequest) -> Result<PersistentVolumeClaim> {
    object(json!({
        "metadata": {"name": request.name, "labels": {RUN_LABEL: run}},
        "spec": {
            "accessModes": [access_mode(request.access)],
            "volumeMode": if request.block { "Block" } else { "Filesystem" },
            "storageClassName": class,
            "resources": {"requests": {"storage": request.bytes.to_string()}},
        },
    }))
}

/// What of a pod brings the executable of tasks.
#[derive(Debug, Clone)]
pub struct ProgramParts {
    /// Volumes.
    pub volumes: Vec<Value>,
    /// Where the task has it.
    pub mount: Value,
    /// What runs before the task.
    pub before: Vec<Value>,
}

/// What a pod of the run does.
pub struct PodOf<'a> {
    /// Its name, which is its task's.
    pub name: &'a str,
    /// The claim that it mounts.
    pub claim: &'a str,
    /// The node that it shall run on.
    pub node: &'a str,
    /// Its image.
    pub image: &'a str,
    /// What it runs; the image's own, where there is nothing.
    pub command: Vec<String>,
    /// What brings the executable of tasks.
    pub program: ProgramParts,
    /// A folder of the node with the tester's sockets, where acknowledgements go over those.
    pub sockets: Option<&'a str>,
    /// Whether its volume is a device.
    pub block: bool,
    /// Whether it may be done by itself before anybody looks.
    pub ends: bool,
}

/// A pod that runs once.
pub fn pod(run: &str, of: &PodOf<'_>) -> Result<Pod> {
    let ProgramParts { mut volumes, mount, before } = of.program.clone();
    let mut mounts = vec![mount];
    volumes.push(json!({"name": "volume", "persistentVolumeClaim": {"claimName": of.claim}}));
    let mut devices = Vec::new();
    if of.block {
        devices.push(json!({"name": "volume", "devicePath": VOLUME}));
    } else {
        mounts.push(json!({"name": "volume", "mountPath": VOLUME}));
    }
    if let Some(folder) = of.sockets {
        mounts.push(json!({"name": "sockets", "mountPath": WITHIN}));
        volumes.push(json!({"name": "sockets", "hostPath": {"path": folder, "type": "Directory"}}));
    }
    let mut container = json!({
        "name": TASK,
        "image": of.image,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": mounts,
        "volumeDevices": devices,
    });
    if !of.command.is_empty() {
        container["command"] = json!(of.command);
    }
    object(json!({
        "metadata": {
            "name": of.name,
            "labels": {RUN_LABEL: run, TASK_LABEL: of.name, VOLUME_LABEL: of.claim},
        },
        "spec": {
            "restartPolicy": "Never",
            // where it tells over sockets of the node's
            "hostNetwork": of.sockets.is_some(),
            // who is told by a signal alone finishes what it is at
            "terminationGracePeriodSeconds": if of.sockets.is_some() { 1 } else { 10 },
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // the scheduler's choice is what binds a claim that waits for its first pod
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [of.node]}]},
            ]}}},
            // who moves a task is the run, and not the cluster
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
            ],
            "initContainers": before,
            "containers": [container],
            "volumes": volumes,
        },
    }))
}
