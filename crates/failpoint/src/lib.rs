//! The fault language and the registry of the places it acts on. Builds without gRPC or tokio.

mod code;
mod defect;
mod draw;
mod error;
mod nearest;
mod parse;
mod registry;
mod terms;

pub use code::Code;
pub use defect::{Defect, Groups};
pub use draw::Draw;
pub use error::ParseError;
pub use parse::Dialect;
pub use registry::{Armed, Fired, Name, Registry, Unknown};
pub use terms::{Action, Corruption, LONGEST_PAUSE, Length, Term, Terms, Text, Unit};
