//! Reaching a target and keeping it, serving on sockets that can be taken away, and the error type of both.

pub mod dial;
pub mod error;
pub mod serve;
