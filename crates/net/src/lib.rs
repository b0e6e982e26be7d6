//! Reaching a target and keeping it, serving on sockets that can be taken away, waiting, and one error type.

pub mod dial;
pub mod error;
mod remedy;
pub mod serve;
pub mod waiting;
