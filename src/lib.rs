//! holdfast: fail the thing under a container; prove that the container and its data held.
//!
//! The map, from the bottom up. Imports point up this list and never down.

#[cfg(feature = "grpc")]
pub mod error;
#[cfg(feature = "grpc")]
pub mod wire;

#[cfg(feature = "grpc")]
pub mod dial;
#[cfg(feature = "toolkit")]
pub mod gnmi;
#[cfg(feature = "toolkit")]
pub mod image;
#[cfg(feature = "toolkit")]
pub mod gnoi;
