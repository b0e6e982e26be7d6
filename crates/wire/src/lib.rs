//! The wire contracts: the modules generated from `proto/`, one for each package of the field; messages by name; and
//! gNMI's paths and values.

pub mod path;
pub mod reflection;
pub mod value;

/// All of `proto/`, for whoever must know messages by name: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `runtime.v1`, the container runtime interface
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod cri {
    tonic::include_proto!("runtime.v1");
}
/// `csi.v1`, the Container Storage Interface
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod csi {
    tonic::include_proto!("csi.v1");
}
/// `gnmi`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnmi {
    tonic::include_proto!("gnmi");
}
/// `gnmi_ext`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnmi_ext {
    tonic::include_proto!("gnmi_ext");
}
/// `gribi`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gribi {
    tonic::include_proto!("gribi");
}
/// `holdfast.ledger.v1`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod ledger {
    tonic::include_proto!("holdfast.ledger.v1");
}
/// `openconfig.featureprofiles.cntr`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod cntr {
    tonic::include_proto!("openconfig.featureprofiles.cntr");
}
/// `gnoi.*`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod gnoi {
    /// `gnoi.common`
    pub mod common {
        tonic::include_proto!("gnoi.common");
    }
    /// `gnoi.containerz`
    pub mod containerz {
        tonic::include_proto!("gnoi.containerz");
    }
    /// `gnoi.system`
    pub mod system {
        tonic::include_proto!("gnoi.system");
    }
    /// `gnoi.types`
    pub mod types {
        tonic::include_proto!("gnoi.types");
    }
}
/// `google.rpc`
#[allow(missing_docs, clippy::pedantic)] // generated
pub mod google {
    /// `google.rpc`
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}
