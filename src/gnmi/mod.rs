//! gNMI: the client, and the paths and values that it takes and gives.

mod change;
pub mod client;
pub mod form;
mod leaf;
mod once;
pub mod request;

pub use change::Change;
pub use client::{Gnmi, Received, Subscription};
pub use form::{Form, Reader};
pub use holdfast_wire::path::{self, Element, Path};
pub use holdfast_wire::value::{self, Value};
pub use leaf::{Answered, Leaf};
pub use request::{Get, Set, StreamMode, Subscribe, SubscribedPath};
