//! Storage for stateful containers: who gives volumes, who runs tasks on them, who does them harm, and what is judged
//! by the ledger each task keeps. Everything here blocks, and every wait has a deadline.

mod asking;
mod busy;
#[cfg(unix)]
mod command;
mod copies;
pub mod csi;
mod cut;
pub mod docker;
mod docker_plugin;
pub mod emulated;
mod executable;
mod faults;
mod features;
#[cfg(unix)]
mod hosts;
#[cfg(unix)]
pub mod kubernetes;
mod lab;
mod lives;
mod mask;
#[cfg(target_os = "linux")]
pub mod namespaces;
#[cfg(target_os = "linux")]
pub mod nbd;
mod nodes;
mod plugin_address;
mod repeats;
mod runner;
mod task;
#[cfg(target_os = "linux")]
mod tools;
mod volumes;

pub use asking::{Introduction, introduce};
pub use busy::Busy;
pub use csi::{Calls, Csi, CsiOptions, Endpoint, Rpc};
pub use docker_plugin::{DockerPlugin, DockerPluginOptions, Processes};
pub use faults::{Fault, Faults, Network, Part};
pub use features::{Condition, ContentSource, Expanded, Snapshot, Space, Statistics};
#[cfg(unix)]
pub use hosts::Hosts;
pub use lab::{Lab, Started, Verdict};
pub use mask::Mask;
pub use nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding, Tell};
pub use plugin_address::PluginAddress;
pub use repeats::every_call_twice;
pub use runner::{Own, Runner, TaskRequest};
pub use task::{Stage, Task};
pub use volumes::{Access, Attachment, CallTimes, Capability, Features, Provider, Volume, VolumeRequest, Volumes};
