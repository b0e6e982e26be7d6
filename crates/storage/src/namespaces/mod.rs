//! The lab: nodes as namespaces of this machine, each with mounts, processes and two networks of its own.
//!
//! The first process of each lives as long as a pipe of ours is open. So all of it is gone when we are, however we end.

mod control_groups;
mod credentials;
mod faults;
mod kubernetes;
mod looking;
mod mounts;
mod namespace;
mod nodes;
mod options;
mod own_parts;
mod parts;
mod patience;
mod pause_image;
mod plugins;
mod reaching;
mod relay;
mod runtime;
mod starting;
mod tree;

pub use namespace::missing;
pub use nodes::{CONTROLLER, Namespaces, address};
pub use options::{KubernetesOptions, LabOptions, RuntimeOptions};
pub use pause_image::IMAGE;
pub use runtime::DRIVER;
