//! An emulated device with two control processors, on real sockets. Everything about it is EMULATED, and says so.
//!
//! It parses and stores real images and never executes what they contain: a container of it serves the test
//! container's service on its published ports.

mod chassis;
mod failover;
mod faults;
mod front;
mod runtime;
mod services;
mod settings;
mod state;
mod store;

pub use chassis::Chassis;
pub use faults::FAILPOINTS;
pub use settings::{Outage, Quirk, Settings, Timings};
