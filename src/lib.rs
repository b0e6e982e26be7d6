//! holdfast: fail the thing under a container; prove that the container and its data held.
//!
//! The toolkit's core, and the crates beneath it under the names that the core uses. Imports point downwards:
//!
//! - `python`: the only code that knows pyo3; it opens all others to Python
//! - `device`: what a test does to a device
//! - `gnoi`, `gnmi`, `cri`: the clients, a method for each RPC
//! - `emulator`: the emulated device
//! - `storage`: storage providers, and the lab that they are tested in
//! - `cntr`: the service in the test container
//! - `image`: image archives
//! - `dial`, `serve`, `error`, `waiting`: reaching a target, serving, the one error type, and the one way to wait
//! - `wire`, `reflection`: the contracts, and their messages by name
//! - `failpoint`, `ledger`, `cni`: the fault language, acknowledged records, the CNI plugin (Linux alone); none knows tokio or gRPC

#[cfg(target_os = "linux")]
pub use holdfast_cni as cni;
pub use holdfast_cntrsrv as cntr;
pub use holdfast_emulator as emulator;
pub use holdfast_failpoint as failpoint;
pub use holdfast_image as image;
pub use holdfast_ledger as ledger;
pub use holdfast_net::{dial, error, serve, waiting};
pub use holdfast_reflection as reflection;
pub use holdfast_storage as storage;
pub use holdfast_wire as wire;

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
