//! gNOI: the clients of System, Containerz, File and Healthz, a method for each RPC.

pub mod containerz;
mod download;
pub mod file;
pub mod healthz;
pub mod system;

pub use containerz::Containerz;
pub use download::{Destination, Downloaded, Hash};
pub use file::File;
pub use healthz::Healthz;
pub use system::System;

/// Puts a request on the session's timeline, as a vendor's support wants to see it.
fn tell(session: &crate::dial::Session, message: &str, request: &impl prost::Message) {
    session.timeline().record(crate::dial::EventKind::Rpc, crate::reflection::shown(message, &request.encode_to_vec()));
}
