//! The lab: nodes as namespaces of this machine, each with mounts, processes and two networks of its own.
//!
//! The first process of each lives as long as a pipe of ours is open. So all of it is gone when we are, however we end.

mod faults;
mod looking;
mod mounts;
mod namespace;
mod nodes;
mod patience;
mod plugins;
mod reaching;
mod runtime;
mod starting;
mod tree;

pub use namespace::missing;
pub use nodes::{CONTROLLER, LabOptions, Namespaces, RuntimeOptions, address};
pub use runtime::DRIVER;
