//! Docker engines, one on each node, and Swarm over them: who runs tasks, and who has a plugin's volumes.

mod containers;
mod engine;
mod hearing;
mod runner;
mod services;
mod swarm;
mod volumes;

pub use containers::Containers;
pub use engine::Engine;
pub use hearing::{Channels, Hearing, OtherClock, WITHIN};
pub use runner::ByEngine;
pub use services::Services;
pub use swarm::Swarm;
pub use volumes::EngineVolumes;
