//! An emulated device with two control processors, on real sockets. Everything about it is EMULATED, and says so.
//!
//! It parses and stores real images and never executes what they contain: a container of it serves the test
//! container's service on its published ports. Where it is told to, a Docker engine runs them instead.

mod arming;
mod chassis;
mod cli;
mod configuration;
mod control;
mod defects;
mod failover;
mod failpoints;
mod faults;
mod files;
mod folder;
mod front;
mod health;
mod identity;
mod layer;
mod limit;
mod loading;
mod message_sites;
mod replication;
mod rib;
mod runtime;
mod services;
mod settings;
mod shared;
mod sites;
mod stall;
mod state;
mod store;
mod trouble;

pub use arming::Failpoints;
pub use chassis::Chassis;
pub use control::SOCKET;
pub use failpoints::FAILPOINTS;
pub use runtime::docker::{Leftover, leftovers, remove_leftovers};
pub use settings::{Encryption, Outage, Quirk, RuntimeKind, Settings, Timings};
