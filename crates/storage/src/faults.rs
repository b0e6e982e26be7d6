//! The third seam: what harms nodes, networks, plugins and runtimes, and undoes it.

use std::time::Instant;

use holdfast_net::error::Result;

/// The networks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// All it has.
    All,
    /// The one its data goes over.
    Storage,
    /// The one it is told over what to do.
    Control,
}

/// What can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The provider's plugin on a node.
    Plugin,
    /// The provider's server.
    Server,
    /// The container runtime on a node.
    Runtime,
    /// The kubelet on a node.
    Kubelet,
    /// The API server of a Kubernetes.
    ApiServer,
    /// What that keeps all it knows in.
    Etcd,
}

impl Part {
    /// Whether it is there under Kubernetes alone.
    pub fn is_of_kubernetes(self) -> bool {
        matches!(self, Self::Kubelet | Self::ApiServer | Self::Etcd)
    }

    /// Whether a node runs its tasks by it: without it the node is not ready, and nobody hears of them.
    pub fn runs_tasks(self) -> bool {
        matches!(self, Self::Runtime | Self::Kubelet)
    }
}

/// Something that is done to a node, or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its power goes.
    PowerOff,
    /// Its power comes back.
    PowerOn,
    /// A network goes.
    Cut(Network),
    /// All networks come back.
    Heal,
    /// A part is asked to end, and does.
    Stop(Part),
    /// A part dies at once.
    Kill(Part),
    /// A part does nothing any more, and does not die of it.
    Hang(Part),
    /// A part that hangs goes on, or one that ended starts.
    Start(Part),
    /// Whether tasks outlive their runtime from now on.
    LiveRestore(bool),
    /// Who schedules tasks gives the node no more of them, and asks those that it has to end.
    Drain,
    /// It is given tasks again.
    Uncordon,
}

impl Fault {
    /// Whether there is such harm under Kubernetes alone.
    pub fn is_of_kubernetes(self) -> bool {
        match self {
            Self::Stop(part) | Self::Kill(part) | Self::Hang(part) | Self::Start(part) => part.is_of_kubernetes(),
            Self::Drain | Self::Uncordon => true,
            Self::PowerOff | Self::PowerOn | Self::Cut(_) | Self::Heal | Self::LiveRestore(_) => false,
        }
    }

    /// Whether who schedules tasks may give up those of the node for it, or they end with it.
    pub fn may_end_tasks(self) -> bool {
        match self {
            Self::PowerOff | Self::Cut(_) | Self::Drain => true,
            Self::Stop(part) | Self::Kill(part) | Self::Hang(part) => part.runs_tasks(),
            Self::PowerOn | Self::Heal | Self::Start(_) | Self::LiveRestore(_) | Self::Uncordon => false,
        }
    }
}

/// Who does harm.
pub trait Faults: Send + Sync {
    /// Why a fault cannot be had here; None where it can.
    fn lacks(&self, fault: Fault) -> Option<String>;

    /// Does it, and returns once it took; an error says that it did not.
    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()>;
}
