//! Where a driver is, and what it must be told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::calls::Calls;
use super::endpoint::Endpoint;
use holdfast_net::error::Result;

/// Makes folders on nodes: the specification leaves it to the orchestrator.
pub trait Folders: Send + Sync {
    /// Makes one, with all above it; one that is there stays.
    fn make(&self, node: &str, path: &Path, deadline: Instant) -> Result<()>;
}

/// Where a driver is, and what it must be told.
#[derive(Clone)]
pub struct CsiOptions {
    /// Its plugin on each node; none, where only its controller is asked.
    pub nodes: BTreeMap<String, Endpoint>,
    /// Its controller, where that is not one with the nodes'.
    pub controller: Option<Endpoint>,
    /// Where volumes are staged and published: a folder that is at the same path on each node.
    pub folder: PathBuf,
    /// Who makes folders on the nodes, where their files are not this machine's.
    pub folders: Option<Arc<dyn Folders>>,
    /// For each call that takes secrets, and has none of its own.
    pub secrets: BTreeMap<String, String>,
    /// By the kind of call: create, delete, `controller_publish`, `node_stage`, `node_publish`, expand, snapshot.
    pub secrets_of: BTreeMap<String, BTreeMap<String, String>>,
    /// What volumes are mounted with.
    pub mount_flags: Vec<String>,
    /// The same, of a file system.
    pub filesystem_options: BTreeMap<String, Vec<String>>,
    /// The group that volumes are mounted for, as its number; any, where it is empty. Drivers are told that can do so.
    pub mount_group: String,
    /// Whether it is told from where a volume must be reached.
    pub topology: bool,
    /// How long calls may take.
    pub calls: Calls,
    /// Whether it fences a node whose volume another takes.
    pub fences: bool,
}

impl Default for CsiOptions {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            controller: None,
            folder: PathBuf::new(),
            folders: None,
            secrets: BTreeMap::new(),
            secrets_of: BTreeMap::new(),
            mount_flags: Vec::new(),
            filesystem_options: BTreeMap::new(),
            mount_group: String::new(),
            topology: true,
            calls: Calls::default(),
            fences: false,
        }
    }
}
