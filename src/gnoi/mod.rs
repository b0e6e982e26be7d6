//! gNOI: the clients of System and Containerz, a method for each RPC.

pub mod containerz;
pub mod system;

pub use containerz::Containerz;
pub use system::System;
