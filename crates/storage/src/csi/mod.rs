//! CSI v1, from both sides: as an orchestrator asks, and as a plugin answers.

mod client;
mod face;
mod trouble;

pub use client::{Csi, CsiOptions, Endpoint, Folders};
pub use face::{Backend, Plugin, routes};
