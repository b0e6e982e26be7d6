//! Kubernetes as the runner: volumes are claims, tasks are pods, and what stands between them and the provider is the
//! cluster's own.

mod agents;
mod attaching;
mod claims;
mod cluster;
mod draining;
mod driver;
mod ending;
mod events;
mod kept;
mod kubeconfig;
mod logs;
mod made;
mod manifests;
mod members;
mod phases;
mod places;
mod pod_task;
mod pods;
mod program;
mod quantity;
mod recovery;
mod rights;
mod runner;
mod runs;
mod starting;
mod task_pods;
mod workloads;

pub use agents::{AgentOptions, Agents};
pub use claims::Claims;
pub use cluster::{Cluster, ClusterOptions};
pub use draining::ByCluster;
pub use driver::CLASS;
pub use members::Wanted;
pub use pods::{Acknowledge, Pods, PodsOptions};
pub use program::Program;
pub use recovery::Recovery;
pub use runner::ByKubernetes;
pub use runs::FoundRun;
pub use workloads::Workload;
