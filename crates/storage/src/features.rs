//! What only some providers tell of beyond volumes: what new ones are made from, snapshots, what is counted on them.

use std::time::SystemTime;

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
    /// When, where the provider tells.
    pub taken: Option<SystemTime>,
}

/// What an expansion gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expanded {
    /// The size that the provider says the volume has now.
    pub bytes: u64,
    /// Whether the node that has it must be told.
    pub on_node: bool,
}

/// How much of something there is: bytes, or inodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// In use; 0 also where the provider does not tell.
    pub used: u64,
    /// That can still be used; 0 also where the provider does not tell.
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
