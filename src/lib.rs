//! holdfast: fail the thing under a container; prove that the container and its data held.
//!
//! The map, from the bottom up. Imports point up this list and never down.

#[cfg(feature = "grpc")]
pub mod error;
#[cfg(any(feature = "toolkit", feature = "cni"))]
pub mod failpoint;
#[cfg(feature = "ledger")]
mod hexadecimal;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(any(feature = "toolkit", feature = "cni"))]
mod nearest;
#[cfg(feature = "toolkit")]
pub mod reflection;
#[cfg(feature = "grpc")]
pub mod wire;

#[cfg(all(feature = "cni", target_os = "linux"))]
pub mod cni;
#[cfg(feature = "grpc")]
pub mod cntr;
#[cfg(feature = "toolkit")]
pub mod cri;
#[cfg(feature = "toolkit")]
pub mod device;
#[cfg(feature = "grpc")]
pub mod dial;
#[cfg(feature = "toolkit")]
pub mod emulator;
#[cfg(feature = "toolkit")]
pub mod gnmi;
#[cfg(feature = "toolkit")]
pub mod gnoi;
#[cfg(feature = "toolkit")]
pub mod image;
#[cfg(feature = "python")]
// Documented in _core.pyi; pyo3 hands values over, and its signatures are Python's.
#[allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    clippy::fn_params_excessive_bools,
    clippy::struct_excessive_bools
)]
mod python;
#[cfg(feature = "grpc")]
pub mod serve;
#[cfg(feature = "toolkit")]
pub mod storage;
