//! holdfast: fail the thing under a container; prove that the container and its data held.
//!
//! The toolkit's core, and the crates beneath it under the names that it knows them by. Imports point from `python`
//! and `device` down to `gnoi` and `gnmi`, and from there to the crates.

pub use holdfast_cni as cni;
pub use holdfast_cntrsrv as cntr;
pub use holdfast_emulator as emulator;
pub use holdfast_failpoint as failpoint;
pub use holdfast_image as image;
pub use holdfast_ledger as ledger;
pub use holdfast_net::{dial, error, serve, waiting};
pub use holdfast_storage as storage;
pub use holdfast_wire as wire;
pub use holdfast_wire::reflection;

pub mod cri;
pub mod device;
pub mod gnmi;
pub mod gnoi;
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
