//! The fault language and the registry of the places it acts on. Builds without gRPC or tokio.

mod registry;
mod terms;

pub use registry::{Hit, Name, Registry, Unknown};
pub use terms::{Action, ParseError, Term, Terms};
