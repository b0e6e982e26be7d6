//! gNMI: the client, and the paths and values that it takes and gives.

pub mod client;

pub use client::{Gnmi, Leaf, Received, StreamMode, Subscription};
pub use holdfast_wire::path::{self, Element, Path};
pub use holdfast_wire::value::{self, Value};
