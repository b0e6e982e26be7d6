//! The first seam: a provider of volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::features::{ContentSource, Expanded, Snapshot, Statistics};
use holdfast_net::error::{Error, Result};

/// Who may use a volume, and how; as CSI names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// One node, reading and writing.
    #[default]
    SingleNodeWriter,
    /// One node, reading.
    SingleNodeReaderOnly,
    /// One task on one node, reading and writing.
    SingleNodeSingleWriter,
    /// Many tasks on one node, reading and writing.
    SingleNodeMultiWriter,
    /// Many nodes, reading.
    MultiNodeReaderOnly,
    /// Many nodes, reading, and one of them writing.
    MultiNodeSingleWriter,
    /// Many nodes, reading and writing.
    MultiNodeMultiWriter,
}

impl Access {
    /// All of them, by CSI's names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("SINGLE_NODE_WRITER", Self::SingleNodeWriter),
        ("SINGLE_NODE_READER_ONLY", Self::SingleNodeReaderOnly),
        ("SINGLE_NODE_SINGLE_WRITER", Self::SingleNodeSingleWriter),
        ("SINGLE_NODE_MULTI_WRITER", Self::SingleNodeMultiWriter),
        ("MULTI_NODE_READER_ONLY", Self::MultiNodeReaderOnly),
        ("MULTI_NODE_SINGLE_WRITER", Self::MultiNodeSingleWriter),
        ("MULTI_NODE_MULTI_WRITER", Self::MultiNodeMultiWriter),
    ];

    /// Whether more than one node may have it.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::MultiNodeReaderOnly | Self::MultiNodeSingleWriter | Self::MultiNodeMultiWriter)
    }

    /// Whether nobody writes.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::SingleNodeReaderOnly | Self::MultiNodeReaderOnly)
    }
}

/// What a volume shall be.
#[derive(Debug, Clone, Default)]
pub struct VolumeRequest {
    /// The same name is the same volume.
    pub name: String,
    /// At least so many bytes.
    pub bytes: u64,
    /// The file system; the provider's own choice where it is empty.
    pub filesystem: String,
    /// Who may use it.
    pub access: Access,
    /// And who else, at other times.
    pub also: Vec<Access>,
    /// For the provider.
    pub parameters: BTreeMap<String, String>,
    /// A device without a file system.
    pub block: bool,
    /// What it holds from its beginning on; nothing, where none is given.
    pub content: Option<ContentSource>,
    /// The node that it shall be near to, where it cannot be everywhere; empty where that is all the same.
    pub place: String,
}

/// A volume as its provider tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The provider's name for it.
    pub id: String,
    /// Ours.
    pub name: String,
    /// Its size, where the provider tells.
    pub bytes: Option<u64>,
    /// The parameters in force, where the provider tells.
    pub parameters: Option<BTreeMap<String, String>>,
    /// The nodes that have it, where the provider tells.
    pub nodes: Option<Vec<String>>,
    /// The nodes that can have it; none, where all can.
    pub accessible: Option<Vec<String>>,
    /// The file system asked for.
    pub filesystem: String,
    /// Who may use it.
    pub access: Access,
    /// What the provider wants to be told again.
    pub context: BTreeMap<String, String>,
    /// A device without a file system.
    pub block: bool,
    /// It is to be mounted for reading alone, whatever it is for.
    pub read_only: bool,
}

impl Volume {
    /// As a provider has it whose volumes have no id but their name, and who wants to be told of the parameters again.
    pub fn by_name(request: &VolumeRequest) -> Self {
        Self {
            id: request.name.clone(),
            name: request.name.clone(),
            filesystem: request.filesystem.clone(),
            access: request.access,
            context: request.parameters.clone(),
            block: request.block,
            ..Self::default()
        }
    }
}

impl Volume {
    /// Whether nobody shall write on it, as it is mounted or for whom it is.
    pub fn is_for_reading(&self) -> bool {
        self.read_only || matches!(self.access, Access::SingleNodeReaderOnly | Access::MultiNodeReaderOnly)
    }
}

/// What attaching a volume to a node gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// What the node's plugin must be told.
    pub context: BTreeMap<String, String>,
}

/// How long the calls of one kind took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallTimes {
    /// As the protocol calls them.
    pub name: &'static str,
    /// For each, all attempts together.
    pub limit: Duration,
    /// How many there were.
    pub calls: u64,
    /// How many attempts there were beside the first ones.
    pub repeated: u64,
    /// Of the slowest that was answered.
    pub slowest: Duration,
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Volumes can be made and removed.
    Create,
    /// Volumes have a size.
    Size,
    /// The parameters in force can be read back.
    Parameters,
    /// Parameters that it does not know are refused.
    RefusesUnknownParameters,
    /// Volumes can be listed.
    List,
    /// The nodes that have a volume can be listed.
    ListNodes,
    /// A volume is attached to a node before it is mounted there, so that another node can take it.
    Attach,
    /// A volume may be for many tasks of one node, and it is said which.
    SingleNodeMultiWriter,
    /// Whatever is asked twice is answered twice, and done once.
    Repeats,
    /// A volume can be mounted for reading alone.
    ReadOnly,
    /// A node that is cut off is fenced when another takes its volume.
    Fence,
    /// Its server can be stopped and started.
    Server,
    /// Its volumes are of one node each, and no other has them.
    Local,
    /// A volume can be made larger.
    Expand,
    /// The same while a task uses it.
    ExpandInUse,
    /// A snapshot can be taken of a volume, and volumes made from it.
    Snapshot,
    /// A volume can be made from another.
    Clone,
    /// Volumes can be devices without a file system.
    Block,
    /// What is on a mounted volume is counted.
    Statistics,
    /// Whether a volume is well is told.
    Condition,
    /// Volumes are mounted for a group that is named.
    MountGroup,
    /// It says from which nodes a volume can be reached.
    Topology,
}

impl Capability {
    /// In a word, as tests ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Size => "Size",
            Self::Parameters => "Parameters",
            Self::RefusesUnknownParameters => "RefusesUnknownParameters",
            Self::List => "List",
            Self::ListNodes => "ListNodes",
            Self::Attach => "Attach",
            Self::SingleNodeMultiWriter => "SingleNodeMultiWriter",
            Self::Repeats => "Repeats",
            Self::ReadOnly => "ReadOnly",
            Self::Fence => "Fence",
            Self::Server => "Server",
            Self::Local => "Local",
            Self::Expand => "Expand",
            Self::ExpandInUse => "ExpandInUse",
            Self::Snapshot => "Snapshot",
            Self::Clone => "Clone",
            Self::Block => "Block",
            Self::Statistics => "Statistics",
            Self::Condition => "Condition",
            Self::MountGroup => "MountGroup",
            Self::Topology => "Topology",
        }
    }
}

/// Who a provider is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Whether it is our own, in words for each report; empty where it is real.
    pub emulated: String,
    /// Why it cannot be qualified at all; empty where it can.
    pub lacks: String,
    /// What it did wrong before it could be asked for anything; empty where it did not.
    pub fault: String,
    /// The smallest volume that it makes, in bytes; 0 where it does not tell.
    pub minimum: u64,
    /// What it says that it can do, and nobody here asks for, as its protocol calls it.
    pub unasked: Vec<&'static str>,
}

/// A provider. Each call fails in time, and says why; a call that is repeated does no harm.
pub trait Volumes: Send + Sync {
    /// Who it is.
    fn provider(&self) -> Provider;

    /// Makes a volume, asked of the plugin on `node` where the provider has one on each.
    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume>;

    /// The parameters in force of a volume that was made as `request` says, where the provider tells; an error, where it
    /// does not stand by what it made.
    fn confirm(
        &self,
        _node: &str,
        volume: &Volume,
        _request: &VolumeRequest,
        _deadline: Instant,
    ) -> Result<Option<BTreeMap<String, String>>> {
        Ok(volume.parameters.clone())
    }

    /// How long its calls took so far.
    fn calls(&self) -> Vec<CallTimes> {
        Vec::new()
    }

    /// Removes a volume; one that is not there is removed already.
    fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()>;

    /// All volumes there are.
    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>>;

    /// The volumes of which it is known which nodes have them attached.
    fn attached(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        self.list(node, deadline)
    }

    /// Whether a volume is there, asked for by itself; none, where nobody can ask so.
    fn has(&self, _node: &str, _volume: &Volume, _deadline: Instant) -> Result<Option<bool>> {
        Ok(None)
    }

    /// All of them, in pages of so many entries at most, where lists have pages.
    fn list_in_pages(&self, node: &str, _entries: u32, deadline: Instant) -> Result<Vec<Volume>> {
        self.list(node, deadline)
    }

    /// Gives a volume to a node.
    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment>;

    /// Takes a volume from a node. Where the node is gone, whatever it still writes must not count any more.
    fn detach(&self, _volume: &Volume, _node: &str, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// Makes an attached volume ready on its node, once for all tasks.
    fn stage(&self, _volume: &Volume, _attachment: &Attachment, _node: &str, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// The reverse.
    fn unstage(&self, _volume: &Volume, _node: &str, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// Mounts a volume for a task; where.
    fn mount(
        &self,
        volume: &Volume,
        attachment: &Attachment,
        node: &str,
        task: &str,
        deadline: Instant,
    ) -> Result<PathBuf>;

    /// Mounts a volume once more for a task that has it, as happens in the middle of its life, and takes back what must be
    /// taken back of that. The task must notice nothing. Why that could not be had, where a provider may refuse it.
    fn mount_again(
        &self,
        volume: &Volume,
        attachment: &Attachment,
        node: &str,
        task: &str,
        deadline: Instant,
    ) -> Result<Option<String>> {
        self.mount(volume, attachment, node, task, deadline).map(|_| None)
    }

    /// The reverse; what is not mounted is unmounted already.
    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()>;

    /// What the plugins left of these volumes, by their ids, where they were mounted: on which node, and where. What they
    /// made there is theirs to remove.
    fn left_behind(&self, _volumes: &[String]) -> Vec<(String, PathBuf)> {
        Vec::new()
    }

    /// Whether a node can be reached over the control network: who cannot be is not asked on behalf of others.
    fn reaches(&self, _node: &str, _reachable: bool) {}

    /// Whether the plugin on a node answers, whatever it says, in a moment: one that was killed must not.
    fn answers(&self, _node: &str, _deadline: Instant) -> bool {
        false
    }

    /// Waits until the plugin on a node answers.
    fn ready(&self, node: &str, deadline: Instant) -> Result<()>;

    /// What it can do beyond this, if it can.
    fn features(&self) -> Option<&dyn Features> {
        None
    }

    /// What is wrong with a provider that is the lab's own, so that nothing can be said of it.
    fn trouble(&self, _deadline: Instant) -> Option<Error> {
        None
    }
}

/// What only some providers can do beyond that. Each call fails in time, and says why; a call that is repeated does no harm.
pub trait Features: Send + Sync {
    /// Makes a volume larger.
    fn expand(&self, volume: &Volume, bytes: u64, deadline: Instant) -> Result<Expanded>;

    /// Makes what a task has mounted as large as its volume.
    fn expand_on_node(&self, volume: &Volume, bytes: u64, node: &str, task: &str, deadline: Instant) -> Result<()>;

    /// Takes a snapshot: what is written after this returned is not in it.
    fn take_snapshot(&self, volume: &Volume, name: &str, deadline: Instant) -> Result<Snapshot>;

    /// Waits until volumes can be made from a snapshot that was taken.
    fn await_snapshot(&self, snapshot: Snapshot, _deadline: Instant) -> Result<Snapshot> {
        Ok(snapshot)
    }

    /// Whether a snapshot is there, asked for by itself; none, where nobody can ask so.
    fn has_snapshot(&self, _snapshot: &Snapshot, _deadline: Instant) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Removes a snapshot; one that is not there is removed already.
    fn remove_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<()>;

    /// What the plugin on `node` counts where a task has a volume mounted.
    fn statistics(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Statistics>;
}
