//! What a lab is made of.

use std::path::PathBuf;
use std::time::Duration;

use crate::mask::Mask;

/// What a lab is made of.
#[derive(Clone)]
pub struct LabOptions {
    /// A folder of its own.
    pub folder: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// What serves the volumes, with {control}, {storage} and {folder} in it; nothing, where the driver brings its own.
    pub server: Option<String>,
    /// The one controller, beside the server, with the same and {socket} in it; nothing, where the nodes' plugins are
    /// controllers, or it is elsewhere.
    pub controller: Option<String>,
    /// The plugin on a node, with {socket} (or {socket_path}), {node}, {folder} and {control} (the server's address) in it.
    pub plugin: String,
    /// Where a Docker volume plugin serves, if not on {socket}; with the same in it.
    pub socket: Option<String>,
    /// What the plugin's environment has beside this process's own.
    pub environment: Vec<(String, String)>,
    /// A command on a node, with the same in it, that ends well once its plugin is up; none, where only it is asked.
    pub ready: Option<String>,
    /// The executable of the ledger.
    pub ledger: PathBuf,
    /// The engines on the nodes, if they have some.
    pub runtime: Option<RuntimeOptions>,
    /// A Kubernetes over the nodes, instead of engines.
    pub kubernetes: Option<KubernetesOptions>,
    /// What no error may tell.
    pub mask: Mask,
}

/// Where a lab's nodes have engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The provider's plugin on each node is one of its engine's.
    pub plugin: bool,
    /// The server has an engine too, to manage a Swarm.
    pub manager: bool,
}

/// What a Kubernetes of a lab is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The executable that is the control plane, the kubelet, and what stands between them and a CSI driver.
    pub executable: PathBuf,
    /// The executable that holds a pod's namespaces.
    pub pause: PathBuf,
    /// How long a call to a CSI driver may take of who makes and attaches its volumes.
    pub call: Duration,
}
