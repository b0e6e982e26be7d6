//! Where tasks run: a process on a node that writes a ledger on a mounted volume.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::executable::LEDGER;
use super::volumes::Volume;
use holdfast_ledger::{Judge, Opening, Work, WriterMessage};
use holdfast_net::error::{Error, Result};

/// Gets what a task tells; an error is trouble of who runs it, and not the volume's.
pub type Tell = Arc<dyn Fn(std::result::Result<WriterMessage, String>) + Send + Sync>;

/// How a task gets at its volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// It is mounted on the node already.
    Path(PathBuf),
    /// The same, and it is a device.
    Device(PathBuf),
    /// A container engine mounts it, by a plugin of its own.
    Engine {
        /// What the engine calls the volume.
        name: String,
        /// What the engine calls the plugin.
        driver: String,
        /// What the volume is made with, where the engine does not know it yet.
        options: BTreeMap<String, String>,
    },
}

impl Mount {
    /// Of a volume that is mounted there.
    pub fn at(path: PathBuf, volume: &Volume) -> Self {
        if volume.block { Self::Device(path) } else { Self::Path(path) }
    }

    /// Where the ledger is: a file of the volume, or all of it.
    pub fn ledger(&self) -> Result<PathBuf> {
        let path = self.path()?;
        Ok(if matches!(self, Self::Device(_)) { path.clone() } else { path.join(LEDGER) })
    }

    /// Where it is mounted; an error where only an engine could.
    pub fn path(&self) -> Result<&PathBuf> {
        match self {
            Self::Path(path) | Self::Device(path) => Ok(path),
            Self::Engine { name, .. } => {
                Err(Error::invalid(format!("{name} is mounted by a container engine, and there is none here")))
            }
        }
    }
}

/// What a process shall do.
#[derive(Clone)]
pub struct Spec {
    /// The task's name, unlike any other's.
    pub task: String,
    /// The provider's name for its volume.
    pub volume: String,
    /// Where that is.
    pub mount: Mount,
    /// As whom it writes.
    pub opening: Opening,
    /// What it writes.
    pub work: Work,
    /// To whom it tells.
    pub tell: Tell,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnding {
    /// It runs.
    Running,
    /// It ended, and why, as far as its node tells.
    Ended(String),
}

/// What a mounted volume is.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Its size, as far as the node can tell.
    pub bytes: Option<u64>,
    /// How much of that is in use, as far as the node can tell.
    pub used: Option<u64>,
    /// Its file system, as far as the node can tell.
    pub filesystem: Option<String>,
    /// What it is mounted with, as far as the node can tell.
    pub options: Option<Vec<String>>,
}

/// A process of a task.
pub trait Process: Send + Sync {
    /// Whether it runs, as whoever started it sees it.
    fn ending(&self) -> TaskEnding;

    /// What the runtime calls it.
    fn id(&self) -> String;

    /// Its process id on the node, where it has one.
    fn pid(&self) -> Option<u32>;

    /// Waits until it runs, where it was not waited for before; why not, as whoever starts it says.
    fn wait_running(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// Ends it; `kill` at once, else after what it is at. Returns once it ended.
    fn stop(&self, kill: bool, deadline: Instant) -> Result<()>;
}

/// What something is that is left of a volume or its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverKind {
    /// A mount.
    Mount,
    /// A process of a task.
    Process,
    /// A container of a task.
    Container,
    /// That the provider has the volume attached.
    Attachment,
    /// A loop device.
    Device,
    /// A folder or file that a volume was mounted at.
    Path,
}

impl LeftoverKind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Process => "process",
            Self::Container => "container",
            Self::Attachment => "attachment",
            Self::Device => "device",
            Self::Path => "path",
        }
    }
}

/// Something that is left of a volume or its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// What it is called: a mount and a path by its place, a mount by its volume too, an attachment by its volume.
    pub name: String,
    /// Where it is.
    pub node: String,
}

impl Leftover {
    /// On a node.
    pub fn on(node: &str, kind: LeftoverKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), node: node.to_owned() }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, node } = self;
        match kind {
            LeftoverKind::Mount => write!(f, "{name} is mounted on {node}"),
            LeftoverKind::Process => write!(f, "{name} runs on {node}"),
            LeftoverKind::Container => write!(f, "the container {name} is on {node}"),
            LeftoverKind::Attachment => write!(f, "{name} is attached to {node}"),
            LeftoverKind::Device => write!(f, "{name} is set up on {node}"),
            LeftoverKind::Path => write!(f, "{name}, which NodeUnpublishVolume must delete, is still on {node}"),
        }
    }
}

/// Nodes.
pub trait Nodes: Send + Sync {
    /// Their names.
    fn names(&self) -> Vec<String>;

    /// Starts a task's process.
    fn start(&self, node: &str, spec: Spec, deadline: Instant) -> Result<Box<dyn Process>>;

    /// Looks at a mounted volume, past whatever its writer itself remembers. The ledger on it goes before the judge, a
    /// place at a time: no volume is too large to be looked at.
    fn look(&self, node: &str, mount: &Mount, task: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look>;

    /// Whether the ledger of a task that writes is where its volume is mounted, opened anew: what the task itself holds
    /// open outlives any unmount. False where nobody can look there.
    fn see(&self, _node: &str, _mount: &Path, _deadline: Instant) -> Result<bool> {
        Ok(false)
    }

    /// Whether something that is no part of the node itself is mounted at a path or above it. None where nobody can tell.
    fn is_mounted(&self, _node: &str, _path: &Path) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Where the engine of a node has a volume mounted, where there is one and it tells.
    fn mountpoint(&self, _node: &str, _volume: &str, _deadline: Instant) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Copies something out of a task's container; false where there is none.
    fn copy_out(&self, _node: &str, _task: &str, _deadline: Instant) -> Result<bool> {
        Ok(false)
    }

    /// Mounts, devices and processes of `volumes` and their tasks on a node.
    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>>;

    /// Clears away what is left on a node of a task that ended, or of all tasks of a volume.
    fn clear(&self, _node: &str, _volume: &str, _task: Option<&str>, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// Waits until the plugin on a node was started, as far as the node can tell; an error where it failed instead.
    fn await_plugin(&self, _node: &str, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// How the plugin on a node failed by itself, where it did and the node can tell.
    fn plugin_end(&self, _node: &str) -> Option<Error> {
        None
    }

    /// What is wrong with a node that nobody harmed.
    fn trouble(&self, _node: &str, _deadline: Instant) -> Option<Error> {
        None
    }

    /// Waits until whoever schedules tasks knows that a node is lost.
    fn wait_lost(&self, _node: &str, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}
