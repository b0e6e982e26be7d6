//! The emulated provider: a storage server, nodes with a plugin and a runtime each, and two networks between them. All
//! of it is in this process; nothing is mounted anywhere.

mod defects;
mod docker;
mod faults;
mod features;
mod io;
mod nodes;
mod personalities;
mod plugin;
mod serving;
mod sites;
mod state;
#[cfg(test)]
mod tests;
mod volumes;
mod world;

pub use defects::FAILPOINTS;
pub use personalities::{PERSONALITIES, Personality, ways};
pub use serving::{Face, Sockets, serve_plugins};
pub use world::{Emulated, Timings};
