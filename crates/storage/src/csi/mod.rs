//! CSI v1, from both sides: as an orchestrator asks, and as a plugin answers.

mod calls;
mod client;
mod endpoint;
mod face;
mod features;
mod introduction;
mod listing;
mod lookups;
mod messages;
mod options;
mod rpc;
pub(super) mod services;
mod topology;
mod trouble;

pub use calls::Calls;
pub use client::Csi;
pub use endpoint::Endpoint;
pub use face::{Backend, BackendFeatures, Reach, Ways, routes};
pub use options::{CsiOptions, Folders};
pub use rpc::Rpc;
