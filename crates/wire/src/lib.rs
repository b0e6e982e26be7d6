//! The wire contracts: the modules generated from `proto/`, one for each package of the field; and gNMI's paths,
//! values and extensions.
//!
//! What is generated is committed, so that building holdfast needs no compiler of protocol buffers; `tests/generated.rs`
//! holds it against `proto/` and writes it anew.

pub mod extension;
pub mod path;
pub mod value;

/// All of `proto/`, for whoever must know messages by name: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("../generated/descriptors.bin");

/// `runtime.v1`, the container runtime interface
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod cri {
    include!("../generated/runtime.v1.rs");
}
/// `csi.v1`, the Container Storage Interface
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod csi {
    include!("../generated/csi.v1.rs");
}
/// `gnmi`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnmi {
    include!("../generated/gnmi.rs");
}
/// `gnmi_ext`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnmi_ext {
    include!("../generated/gnmi_ext.rs");
}
/// `gribi`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gribi {
    include!("../generated/gribi.rs");
}
/// `gribi_aft`: gRIBI's entries
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gribi_aft {
    include!("../generated/gribi_aft.rs");
}
/// `holdfast.ledger.v1`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod ledger {
    include!("../generated/holdfast.ledger.v1.rs");
}
/// `openconfig.featureprofiles.cntr`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod cntr {
    include!("../generated/openconfig.featureprofiles.cntr.rs");
}
/// `gnoi.*`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnoi {
    /// `gnoi.common`
    pub mod common {
        include!("../generated/gnoi.common.rs");
    }
    /// `gnoi.containerz`
    pub mod containerz {
        include!("../generated/gnoi.containerz.rs");
    }
    /// `gnoi.file`
    pub mod file {
        include!("../generated/gnoi.file.rs");
    }
    /// `gnoi.healthz`
    pub mod healthz {
        include!("../generated/gnoi.healthz.rs");
    }
    /// `gnoi.system`
    pub mod system {
        include!("../generated/gnoi.system.rs");
    }
    /// `gnoi.types`
    pub mod types {
        include!("../generated/gnoi.types.rs");
    }
}
/// `google.rpc`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod google {
    /// `google.rpc`
    pub mod rpc {
        include!("../generated/google.rpc.rs");
    }
}
