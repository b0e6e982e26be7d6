//! What there is: the server with its volumes, and the nodes with what they have mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::volumes::VolumeRequest;
use holdfast_failpoint::Registry;
use holdfast_ledger::Stop;
use holdfast_net::error::{ConnectFault, Error, Kind, Result};

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// A sync, from a node to the server and back.
    pub sync: Duration,
    /// An attach, and a detach.
    pub attach: Duration,
    /// How long input and output wait for the storage network before they fail.
    pub patience: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            sync: Duration::from_micros(200),
            attach: Duration::from_millis(20),
            patience: Duration::from_millis(500),
        }
    }
}

/// The emulated provider and its nodes.
#[derive(Clone)]
pub struct Emulated {
    inner: Arc<Inner>,
}

struct Inner {
    world: Mutex<World>,
    changed: Condvar,
    /// As `changed`, for tasks of a runtime.
    told: tokio::sync::watch::Sender<u64>,
    failpoints: Arc<Registry>,
    timings: Timings,
}

/// Everything, held for a moment only.
pub struct World {
    pub server: Server,
    pub nodes: BTreeMap<String, Node>,
    /// Numbers for mounts and processes.
    pub next: u64,
}

pub struct Server {
    pub up: bool,
    pub volumes: BTreeMap<String, Disk>,
}

pub type Pages = BTreeMap<u64, Arc<Vec<u8>>>;

/// A volume on the server.
#[derive(Clone)]
pub struct Disk {
    pub request: VolumeRequest,
    pub bytes: u64,
    pub parameters: BTreeMap<String, String>,
    pub pages: Pages,
    /// Acknowledged and not on the disk yet; empty but for a defect.
    pub cache: Pages,
    /// How it was before, from time to time.
    pub snapshot: Pages,
    pub syncs: u64,
    pub epoch: u64,
    /// Which node has it under which epoch.
    pub attached: BTreeMap<String, u64>,
    /// The epochs whose writes count.
    pub admitted: BTreeSet<u64>,
    /// Writers that are told yes, and whose writes do not count.
    pub ignored: BTreeSet<u64>,
    /// Held back from a fenced writer, to land later.
    pub late: Pages,
    /// Whether it was taken from a node that could not be asked.
    pub taken: bool,
}

impl Disk {
    pub fn new(request: VolumeRequest, bytes: u64) -> Self {
        Self {
            parameters: request.parameters.clone(),
            request,
            bytes,
            pages: Pages::new(),
            cache: Pages::new(),
            snapshot: Pages::new(),
            syncs: 0,
            epoch: 0,
            attached: BTreeMap::new(),
            admitted: BTreeSet::new(),
            ignored: BTreeSet::new(),
            late: Pages::new(),
            taken: false,
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
    /// A plugin that is up and answers nothing.
    pub stuck: bool,
    /// What the plugin knows it mounted: for which tasks, and how often.
    pub known: BTreeMap<String, BTreeMap<String, u64>>,
    /// Where volumes are mounted for tasks, and which.
    pub published: BTreeMap<PathBuf, String>,
    /// What the kernel has mounted.
    pub mounts: BTreeMap<String, Mount>,
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
            stuck: false,
            known: BTreeMap::new(),
            published: BTreeMap::new(),
            mounts: BTreeMap::new(),
            runtime: Health::Running,
            live_restore: false,
            processes: BTreeMap::new(),
        }
    }
}

/// A volume as a node's kernel has it.
pub struct Mount {
    /// Unlike that of any mount before.
    pub serial: u64,
    pub epoch: u64,
    /// The disk behind it; None where there is none.
    pub disk: Option<String>,
    /// Tasks that have it.
    pub tasks: BTreeSet<String>,
    /// Written and not synced.
    pub dirty: Pages,
    /// Acknowledged from a cache of the node's or the plugin's.
    pub cached: Pages,
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
    /// Its runtime stands still, and so does it.
    pub stalled: bool,
}

impl Emulated {
    /// With nodes of these names.
    pub fn new(nodes: &[String], failpoints: Arc<Registry>, timings: Timings) -> Self {
        let nodes = nodes.iter().map(|name| (name.clone(), Node::default())).collect();
        let world = World { server: Server { up: true, volumes: BTreeMap::new() }, nodes, next: 0 };
        let inner = Inner {
            world: Mutex::new(world),
            changed: Condvar::new(),
            told: tokio::sync::watch::Sender::new(0),
            failpoints,
            timings,
        };
        Self { inner: Arc::new(inner) }
    }

    /// How long things take.
    pub fn timings(&self) -> Timings {
        self.inner.timings
    }

    /// Whether a defect is turned on; it counts as a hit.
    pub fn fires(&self, defect: &str) -> bool {
        self.inner.failpoints.fires(defect)
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes who waits for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut self.world());
        self.inner.changed.notify_all();
        self.inner.told.send_modify(|count| *count += 1);
        changed
    }

    /// Lets go of the world for a while; something may have changed when this returns.
    pub(super) fn pause<'a>(&self, world: MutexGuard<'a, World>, limit: Duration) -> MutexGuard<'a, World> {
        self.inner.changed.wait_timeout(world, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until `ready` says so; an error of `refusal` at once, or a timeout that says `what` did not answer.
    pub(super) fn wait<'a>(
        &'a self,
        deadline: Instant,
        what: &str,
        mut ready: impl FnMut(&World) -> Result<bool>,
    ) -> Result<MutexGuard<'a, World>> {
        let mut world = self.world();
        while !ready(&world)? {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Err(Error::new(Kind::Timeout, format!("{what} did not answer in time")));
            };
            world = self.pause(world, left);
        }
        Ok(world)
    }

    /// How the plugin on a node is; one of a node without power says nothing.
    pub(super) fn health(&self, node: &str) -> Health {
        let world = self.world();
        world.nodes.get(node).map_or(Health::Dead, |node| if node.powered { node.plugin } else { Health::Hung })
    }

    /// Waits until the plugin on a node is otherwise than `before`.
    pub(super) async fn changes_health(&self, node: &str, before: Health) {
        let mut told = self.inner.told.subscribe();
        while self.health(node) == before && told.changed().await.is_ok() {}
    }

    /// Waits until the plugin on `node` takes calls.
    pub(super) fn plugin(&self, node: &str, deadline: Instant) -> Result<MutexGuard<'_, World>> {
        self.wait(deadline, &format!("the plugin on {node}"), |world| {
            let node = world.node(node)?;
            let refused = || Error::new(Kind::Connect(ConnectFault::Unreachable), "connection refused");
            match node.plugin {
                Health::Dead => Err(refused()),
                _ if !node.powered => Ok(false),
                health => Ok(health == Health::Running && !node.stuck),
            }
        })
    }

    /// Waits until the server takes calls.
    pub(super) fn server(&self, deadline: Instant) -> Result<MutexGuard<'_, World>> {
        self.wait(deadline, "the server", |world| Ok(world.server.up))
    }
}

impl World {
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
}

fn unknown_node<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    Error::invalid(format!("there is no node {name:?}")).hint(format!("one of: {}", known.join(", ")))
}
