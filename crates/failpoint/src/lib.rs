//! The fault language and the registry of the places it acts on. Builds without gRPC or tokio.
//!
//! ```
//! use holdfast_failpoint::{Name, Registry};
//!
//! const NAMES: &[Name] = &[Name { name: "containerz.Deploy", help: "before anything is taken" }];
//! let failpoints = Registry::new(NAMES, 0);
//! failpoints.arm("containerz.Deploy", "1*off->1*error(full)".parse().expect("terms")).expect("known");
//! assert!(!failpoints.fires("containerz.Deploy"));
//! assert!(failpoints.fires("containerz.Deploy"));
//! assert!(!failpoints.fires("containerz.Deploy"), "its counts have run out");
//! assert_eq!(failpoints.disarm("containerz.Deploy"), Ok(2));
//! ```

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
