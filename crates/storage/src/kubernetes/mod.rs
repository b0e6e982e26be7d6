//! Kubernetes as the runner: volumes are claims, tasks are pods, and what stands between them and the provider is the
//! cluster's own.

mod attaching;
mod claims;
mod cluster;
mod draining;
mod driver;
mod events;
mod manifests;
mod pods;
mod quantity;
mod recovery;
mod runner;

pub use claims::Claims;
pub use cluster::{Cluster, ClusterOptions};
pub use draining::ByCluster;
pub use driver::CLASS;
pub use pods::Pods;
pub use recovery::Recovery;
pub use runner::ByKubernetes;
