//! What only some providers can do beyond giving volumes: make them larger, take snapshots, count what is on them.

use std::time::Instant;

use super::volumes::Volume;
use holdfast_net::error::Result;

/// What a new volume holds from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentSource {
    /// A snapshot, by its id.
    Snapshot(String),
    /// Another volume, by its id.
    Volume(String),
}

/// How a volume was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The provider's name for it.
    pub id: String,
    /// Ours.
    pub name: String,
    /// The volume's id.
    pub volume: String,
    /// The smallest volume that takes it, where the provider tells.
    pub bytes: Option<u64>,
    /// Whether volumes can be made from it; it is taken already where not.
    pub ready: bool,
}

/// What an expansion gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expanded {
    /// The size that the provider says the volume has now.
    pub bytes: u64,
    /// Whether the node that has it must be told: [`Features::expand_on_node`].
    pub on_node: bool,
}

/// How much of something there is: bytes, or inodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// That can still be used.
    pub available: u64,
}

/// Whether a volume is well, in its provider's view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// It is not.
    pub abnormal: bool,
    /// What the provider says of it.
    pub message: String,
}

/// What a node's plugin counts on a mounted volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes, where it tells.
    pub bytes: Option<Space>,
    /// Inodes, where it tells.
    pub inodes: Option<Space>,
    /// Where it tells.
    pub condition: Option<Condition>,
}

/// What a provider does of that. Each call fails in time, and says why; a call that is repeated does no harm.
pub trait Features: Send + Sync {
    /// Makes a volume larger.
    fn expand(&self, volume: &Volume, bytes: u64, deadline: Instant) -> Result<Expanded>;

    /// Makes what a task has mounted as large as its volume.
    fn expand_on_node(&self, volume: &Volume, bytes: u64, node: &str, task: &str, deadline: Instant) -> Result<()>;

    /// Takes a snapshot: what is written after this returned is not in it.
    fn take_snapshot(&self, volume: &Volume, name: &str, deadline: Instant) -> Result<Snapshot>;

    /// Removes a snapshot; one that is not there is removed already.
    fn remove_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<()>;

    /// What the plugin on `node` counts where a task has a volume mounted.
    fn statistics(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Statistics>;
}
