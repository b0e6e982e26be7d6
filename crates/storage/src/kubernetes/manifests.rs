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
/// the run's namespace, on what is in none;
pub const NAMESPACE: &str = "holdfast.dev/namespace";
/// the nodes that the run wants for itself, and, once it has them, that it does;
pub const NODES: &str = "holdfast.dev/nodes";
pub const BEGUN: &str = "holdfast.dev/begun";
/// what a pod is, beside that: its task,
pub const TASK_LABEL: &str = "holdfast.dev/task";
/// its volume,
pub const VOLUME_LABEL: &str = "holdfast.dev/volume";
/// and, where a controller of the cluster keeps it, what that calls it;
pub const KEPT_LABEL: &str = "holdfast.dev/kept-by";
/// with the node that it is for.
pub const NODE: &str = "holdfast.dev/node";
/// Where a pod has its volume.
pub const VOLUME: &str = "/volume";
/// Where a pod has the executable of tasks.
pub const EXECUTABLE: &str = "/holdfast/ledger";
/// The container of a pod that does its work.
pub const TASK: &str = "task";
/// Where a pod sees the folder of the tester's sockets.
pub const WITHIN: &str = "/acknowledge";

/// Seconds after which the cluster gives up what it keeps on a node that it hears nothing of.
const GIVEN_UP_AFTER: u64 = 3;

/// A claim's access mode, as Kubernetes calls it.
pub fn access_mode(access: Access) -> &'static str {
    match access {
        Access::SingleNodeWriter | Access::SingleNodeMultiWriter | Access::SingleNodeReaderOnly => "ReadWriteOnce",
        Access::SingleNodeSingleWriter => "ReadWriteOncePod",
        Access::MultiNodeReaderOnly => "ReadOnlyMany",
        Access::MultiNodeSingleWriter | Access::MultiNodeMultiWriter => "ReadWriteMany",
    }
}

/// An object, as it is written down. By way of its text, as what the API says is read: another way to read objects would
/// be half a megabyte of the core.
pub fn object<T: DeserializeOwned>(said: &Value) -> Result<T> {
    serde_json::from_str(&said.to_string())
        .map_err(|error| Error::lab(format!("an object of ours cannot be made: {error}")))
}

/// The run's namespace, and by which process of which machine it was made.
pub fn namespace(
    name: &str,
    run: &str,
    machine: &str,
    process: &str,
    nodes: &[String],
    privileged: bool,
) -> Result<Namespace> {
    object(&json!({
        "metadata": {
            "name": name,
            "annotations": {PROCESS: process, NODES: nodes.join(" ")},
            "labels": {
                RUN_LABEL: run,
                MACHINE_LABEL: machine,
                // tasks write as root; with what their node has, they share its folders and its network too
                "pod-security.kubernetes.io/enforce": if privileged { "privileged" } else { "baseline" },
            },
        },
    }))
}

/// Whose an object is that is in no namespace.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// A run,
    pub run: &'a str,
    /// its machine,
    pub machine: &'a str,
    /// what that knows its process by,
    pub process: &'a str,
    /// and the namespace that it has.
    pub namespace: &'a str,
}

/// A class as that of the user is, for volumes with these parameters and this file system. It may outlive the run's
/// namespace, and says whose it is by itself.
pub fn class(owner: Owner<'_>, name: &str, like: &StorageClass, request: &VolumeRequest) -> Result<StorageClass> {
    let mut parameters = like.parameters.clone().unwrap_or_default();
    parameters.extend(request.parameters.clone());
    if !request.filesystem.is_empty() {
        // a class may name it by its older key, and with both a claim is refused
        parameters.retain(|key, _| !key.eq_ignore_ascii_case("fstype"));
        parameters.insert("csi.storage.k8s.io/fstype".to_owned(), request.filesystem.clone());
    }
    let own: StorageClass = object(&json!({
        "metadata": {
            "name": name,
            "labels": {RUN_LABEL: owner.run, MACHINE_LABEL: owner.machine},
            "annotations": {PROCESS: owner.process, NAMESPACE: owner.namespace},
        },
        "provisioner": "",
    }))?;
    Ok(StorageClass { metadata: own.metadata, parameters: Some(parameters), ..like.clone() })
}

/// A claim. A kubelet mounts by the first of its access modes.
pub fn claim(run: &str, class: &str, request: &VolumeRequest) -> Result<PersistentVolumeClaim> {
    let mut modes = vec![access_mode(request.access)];
    for mode in request.also.iter().copied().map(access_mode) {
        if !modes.contains(&mode) {
            modes.push(mode);
        }
    }
    object(&json!({
        "metadata": {"name": request.name, "labels": {RUN_LABEL: run}},
        "spec": {
            "accessModes": modes,
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
    /// Whether it has its volume for reading alone.
    pub read_only: bool,
    /// Whether it may be done by itself before anybody looks.
    pub ends: bool,
    /// What of the cluster keeps it, which makes another in its place; nothing, where it runs once.
    pub kept: Option<&'a str>,
}

/// A pod that runs once.
pub fn pod(run: &str, of: &PodOf<'_>) -> Result<Pod> {
    let mut pod = template(run, of);
    pod["metadata"]["name"] = json!(of.name);
    object(&pod)
}

/// A pod as a controller of the cluster makes it, or one without its name.
pub fn template(run: &str, of: &PodOf<'_>) -> Value {
    let ProgramParts { mut volumes, mount, before } = of.program.clone();
    let mut mounts = vec![mount];
    volumes.push(json!({"name": "volume", "persistentVolumeClaim": {"claimName": of.claim, "readOnly": of.read_only}}));
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
    let mut labels = json!({RUN_LABEL: run, TASK_LABEL: of.name, VOLUME_LABEL: of.claim});
    if let Some(kept) = of.kept {
        labels[KEPT_LABEL] = json!(kept);
    }
    // who moves a task is the run, and not the cluster; one that the cluster keeps is given up with its node
    let tolerations = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(|key| {
        let mut toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
        if of.kept.is_some() {
            toleration["tolerationSeconds"] = json!(GIVEN_UP_AFTER);
        }
        toleration
    });
    json!({
        "metadata": {
            "labels": labels,
            "annotations": {
                NODE: of.node,
                // nobody who saves nodes shall end a task
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "karpenter.sh/do-not-disrupt": "true",
            },
        },
        "spec": {
            "restartPolicy": if of.kept.is_some() { "Always" } else { "Never" },
            // where it tells over sockets of the node's
            "hostNetwork": of.sockets.is_some(),
            // who is told by a signal alone finishes what it is at
            "terminationGracePeriodSeconds": if of.sockets.is_some() && of.kept.is_none() { 1 } else { 10 },
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // the scheduler's choice is what binds a claim that waits for its first pod
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [of.node]}]},
            ]}}},
            "tolerations": tolerations,
            "initContainers": before,
            "containers": [container],
            "volumes": volumes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_for_writers_and_readers_has_each_access_mode_once() {
        let also = vec![Access::MultiNodeReaderOnly, Access::SingleNodeReaderOnly];
        let made = claim("r", "c", &VolumeRequest { also, ..VolumeRequest::default() }).expect("a claim");
        let modes = made.spec.and_then(|spec| spec.access_modes).expect("access modes");
        assert_eq!(modes, ["ReadWriteOnce", "ReadOnlyMany"], "the writer's first: a kubelet goes by that");
    }

    #[test]
    fn a_class_names_its_file_system_once_whatever_key_the_user_s_has() {
        let like = json!({"provisioner": "d", "parameters": {"fsType": "xfs", "pool": "fast"}});
        let owner = Owner { run: "r", machine: "m", process: "p", namespace: "holdfast-r" };
        let request = VolumeRequest { filesystem: "ext4".to_owned(), ..VolumeRequest::default() };
        let made = class(owner, "copy", &object(&like).expect("a class"), &request).expect("a copy");
        let parameters = made.parameters.expect("parameters");
        let named: Vec<_> = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(named, [("csi.storage.k8s.io/fstype", "ext4"), ("pool", "fast")]);
    }
}
