//! The emulated provider: a storage server, nodes with a plugin and a runtime each, and two networks between them. All
//! of it is in this process; nothing is mounted anywhere.

mod failpoints;
mod faults;
mod io;
mod nodes;
mod plugin;
mod serving;
mod volumes;
mod world;

pub use failpoints::FAILPOINTS;
pub use serving::{Sockets, serve_csi};
pub use world::{Emulated, Timings};
