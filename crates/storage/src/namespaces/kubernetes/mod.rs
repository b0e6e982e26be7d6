//! A Kubernetes over the nodes of a lab: its control plane beside the server, a kubelet and a containerd on each node,
//! and what makes the lab's driver the cluster's own.

mod control_plane;
mod driver;
mod faults;
mod worker;
