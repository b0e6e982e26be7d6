//! The lab's own driver: real files behind nbdkit on a server, and on each node nbdfuse, a loop device and ext4.

mod commands;
mod copies;
mod device;
mod features;
mod mounts;
mod node;
mod server;

pub use node::NbdNode;
pub use server::NbdServer;

/// What the driver calls itself.
const NAME: &str = "nbd.storage.holdfast";
/// What of it is our own.
const ABOUT: &str = "holdfast's own driver: nbdkit, nbdfuse, loop, ext4";
