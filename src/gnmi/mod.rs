//! gNMI: the client, and the paths and values that it takes and gives.

pub mod client;
pub mod form;
mod leaf;
mod once;

pub use client::{Gnmi, Received, StreamMode, Subscription};
pub use form::{Form, Reader};
pub use holdfast_wire::path::{self, Element, Path};
pub use holdfast_wire::value::{self, Value};
pub use leaf::Leaf;
