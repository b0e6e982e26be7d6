//! Compiles the wire contracts of `proto/`.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FOLDER: &str = "../../proto";

const PROTOS: [&str; 8] = [
    "cntr/cntr.proto",
    "cri/runtime.proto",
    "csi/csi.proto",
    "gnmi/gnmi.proto",
    "gribi/gribi.proto",
    "gnoi/containerz.proto",
    "gnoi/system.proto",
    "holdfast/ledger.proto",
];

/// Read as text by others, never spoken here: only their descriptors are needed.
const READ_ONLY: [&str; 2] = ["ondatra/binding.proto", "ondatra/testbed.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=build.rs");
    let all = protox::compile(PROTOS.iter().chain(&READ_ONLY), [FOLDER])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), all.encode_to_vec())?;
    let spoken = protox::compile(PROTOS, [FOLDER])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug([".csi.v1"]) // so that no secret of theirs is ever printed
        .bytes(".gnoi.containerz.DeployRequest.content")
        .compile_fds(spoken)?;
    Ok(())
}
