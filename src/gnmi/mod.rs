//! gNMI: paths, values, and the client.

pub mod client;
pub mod path;
pub mod value;

pub use client::{Gnmi, Leaf, StreamMode, Subscription};
pub use path::{Element, Path};
pub use value::Value;
