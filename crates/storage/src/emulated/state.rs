//! What there is: the server with its volumes, and the nodes with what they have mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::features::Snapshot;
use crate::volumes::{Volume, VolumeRequest};
use holdfast_ledger::Stop;
use holdfast_net::error::{ConnectFault, Error, Kind, Result};

/// Everything, held for a moment only.
pub struct EmulatedState {
    pub server: Server,
    pub nodes: BTreeMap<String, Node>,
    /// Numbers for mounts and processes.
    pub next: u64,
}

pub struct Server {
    pub up: bool,
    pub volumes: BTreeMap<String, Disk>,
    pub snapshots: BTreeMap<String, SnapshotDisk>,
}

pub type Pages = BTreeMap<u64, Arc<Vec<u8>>>;

/// A volume on the server.
#[derive(Clone)]
pub struct Disk {
    pub request: VolumeRequest,
    pub bytes: u64,
    /// As large as its file system is, or its device on a node.
    pub usable: u64,
    pub parameters: BTreeMap<String, String>,
    pub pages: Pages,
    pub epoch: u64,
    /// Which node has it under which epoch.
    pub attached: BTreeMap<String, u64>,
    /// The epochs whose writes count.
    pub admitted: BTreeSet<u64>,
    /// The disk that it wrongly is one with.
    pub shares: Option<String>,
}

/// How a volume was at one moment.
pub struct SnapshotDisk {
    pub name: String,
    pub volume: String,
    pub bytes: u64,
    pub pages: Pages,
    pub taken: SystemTime,
}

impl SnapshotDisk {
    /// As the provider tells of it.
    pub fn snapshot(&self, id: &str) -> Snapshot {
        let (name, volume) = (self.name.clone(), self.volume.clone());
        let taken = Some(self.taken);
        Snapshot { id: id.to_owned(), name, volume, bytes: Some(self.bytes), ready: true, taken }
    }
}

impl Disk {
    pub fn new(request: VolumeRequest) -> Self {
        Self {
            bytes: request.bytes,
            usable: request.bytes,
            parameters: request.parameters.clone(),
            request,
            pages: Pages::new(),
            epoch: 0,
            attached: BTreeMap::new(),
            admitted: BTreeSet::new(),
            shares: None,
        }
    }

    /// As the provider tells of it.
    pub fn volume(&self, id: &str) -> Volume {
        Volume {
            id: id.to_owned(),
            name: self.request.name.clone(),
            bytes: Some(self.bytes),
            parameters: Some(self.parameters.clone()),
            nodes: Some(self.attached.keys().cloned().collect()),
            accessible: (!self.request.place.is_empty()).then(|| vec![self.request.place.clone()]),
            filesystem: self.request.filesystem.clone(),
            access: self.request.access,
            block: self.request.block,
            ..Volume::default()
        }
    }
}

/// How a part of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Running,
    Hung,
    Dead,
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that fails by itself")]
pub struct Node {
    pub powered: bool,
    pub storage: bool,
    pub control: bool,
    pub plugin: Health,
    /// How often its plugin died.
    pub plugin_deaths: u64,
    /// What the plugin knows it mounted, and where.
    pub known: BTreeMap<String, BTreeSet<PathBuf>>,
    /// Where volumes are mounted for tasks, and which.
    pub published: BTreeMap<PathBuf, String>,
    /// Where of that they are for reading alone.
    pub read_only: BTreeSet<PathBuf>,
    /// How often a mount for one id of Docker's was repeated.
    pub repeats: BTreeMap<PathBuf, u64>,
    /// What the kernel has mounted.
    pub mounts: BTreeMap<String, Mount>,
    /// What the plugin has mounted for itself, at places of its own, for which volume.
    pub elsewhere: BTreeMap<PathBuf, String>,
    /// What the plugin had mounted when the power went: a database of its own would tell.
    pub database: BTreeSet<String>,
    pub runtime: Health,
    pub live_restore: bool,
    pub processes: BTreeMap<u64, Running>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            powered: true,
            storage: true,
            control: true,
            plugin: Health::Running,
            plugin_deaths: 0,
            known: BTreeMap::new(),
            published: BTreeMap::new(),
            read_only: BTreeSet::new(),
            repeats: BTreeMap::new(),
            mounts: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            database: BTreeSet::new(),
            runtime: Health::Running,
            live_restore: false,
            processes: BTreeMap::new(),
        }
    }
}

impl Node {
    /// Whether the plugin knows of a task that has a volume.
    pub fn is_in_use(&self, volume: &str) -> bool {
        self.known.get(volume).is_some_and(|targets| !targets.is_empty())
    }

    /// Ends all processes, as nobody does who asks first.
    pub fn kill_processes(&mut self) {
        for running in self.processes.values_mut() {
            running.killed = true;
            running.stop.stop();
        }
    }
}

/// A volume as a node's kernel has it.
pub struct Mount {
    /// Unlike that of any mount before.
    pub serial: u64,
    pub epoch: u64,
    /// The disk behind it; None where there is none, and what is written goes nowhere.
    pub disk: Option<String>,
    /// Where tasks have it.
    pub targets: BTreeSet<PathBuf>,
    /// Written and not synced.
    pub dirty: Pages,
    /// After an error nothing works any more.
    pub broken: Option<&'static str>,
}

/// A process of a task.
pub struct Running {
    pub task: String,
    pub volume: String,
    pub stop: Stop,
    pub killed: bool,
    pub ended: Option<String>,
}

impl EmulatedState {
    /// With nodes of these names.
    pub fn new(nodes: &[String]) -> Self {
        let nodes = nodes.iter().map(|name| (name.clone(), Node::default())).collect();
        Self { server: Server { up: true, volumes: BTreeMap::new(), snapshots: BTreeMap::new() }, nodes, next: 0 }
    }

    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.get(name).ok_or_else(|| unknown_node(name, self.nodes.keys()))
    }

    pub fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        self.node(name)?; // says what there is
        self.nodes.get_mut(name).ok_or_else(|| unknown_node(name, std::iter::empty()))
    }

    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Adds a volume to the server; its id.
    pub fn add(&mut self, disk: Disk) -> String {
        let id = format!("volume-{}", self.number());
        self.server.volumes.insert(id.clone(), disk);
        id
    }

    /// Whether the plugin on `node` takes calls; an error where it refuses them.
    pub fn plugin_takes_calls(&self, node: &str) -> Result<bool> {
        let node = self.node(node)?;
        match node.plugin {
            Health::Dead => Err(Error::new(Kind::Connect(ConnectFault::Unreachable), "connection refused")),
            health => Ok(node.powered && health == Health::Running),
        }
    }

    /// Which volume is mounted there; none, where nothing is.
    pub fn volume_at(&self, node: &str, target: &Path) -> String {
        self.nodes.get(node).and_then(|node| node.published.get(target)).cloned().unwrap_or_default()
    }
}

/// Where an emulated mount is said to be.
pub fn mount_path(volume: &str, task: &str) -> PathBuf {
    Path::new("/emulated").join(volume).join(task)
}

/// Where the plugin has a volume for itself: outside of all that it was told, as some do.
pub fn own_path(volume: &str) -> PathBuf {
    Path::new("/run/emulated").join(format!("server#share#{volume}"))
}

/// Where a second mount of a volume would be that is there already.
pub fn stacked_path(volume: &str) -> PathBuf {
    Path::new("/emulated").join(volume)
}

fn unknown_node<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    Error::invalid(format!("there is no node {name:?}")).hint(format!("one of: {}", known.join(", ")))
}
