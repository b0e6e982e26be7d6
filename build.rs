//! Compiles the wire contracts of `proto/`, and under the feature `wheel` the executables that the wheel carries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use prost::Message;

type Failure = Box<dyn std::error::Error>;

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

/// The container platforms we can make a test container for, and the Rust target of each.
const PLATFORMS: [(&str, &str); 2] =
    [("linux-amd64", "x86_64-unknown-linux-gnu"), ("linux-arm64", "aarch64-unknown-linux-gnu")];

/// The executables that the wheel carries, and the feature that each is built with and no other.
const EXECUTABLES: [(&str, &str); 3] = [("cntrsrv", "cntrsrv"), ("cni-bridge-fp", "cni"), ("ledger", "ledger")];

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    if cfg!(feature = "grpc") {
        compile_protos()?;
    }
    if cfg!(feature = "wheel") {
        println!("cargo::rerun-if-changed=src");
        build_executables()?;
    }
    Ok(())
}

fn compile_protos() -> Result<(), Failure> {
    let all = protox::compile(PROTOS.iter().chain(&READ_ONLY), ["proto"])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), all.encode_to_vec())?;
    let spoken = protox::compile(PROTOS, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug([".csi.v1"]) // so that no secret of theirs is ever printed
        .bytes(".gnoi.containerz.DeployRequest.content")
        .compile_fds(spoken)?;
    Ok(())
}

/// Each executable for each platform whose Rust target is installed; the building machine's own must succeed.
fn build_executables() -> Result<(), Failure> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(()); // the wheel says so when an executable is asked for
    }
    let own = env::var("TARGET")?;
    for (name, feature) in EXECUTABLES {
        for (platform, target) in PLATFORMS {
            match build_executable(name, feature, target, &out.join("native")) {
                Ok(file) => {
                    fs::copy(file, out.join(format!("{name}-{platform}")))?;
                }
                Err(why) if target == own => return Err(why),
                Err(why) => println!("cargo::warning=no {name} for {platform}: {why}"),
            }
        }
    }
    Ok(())
}

fn build_executable(name: &str, feature: &str, target: &str, target_dir: &Path) -> Result<PathBuf, Failure> {
    if !target_installed(target) {
        return Err(format!("`rustup target add {target}` and build again").into());
    }
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--locked", "--release", "--bin", name, "--no-default-features", "--features", feature])
        .args(["--target", target])
        .arg("--target-dir")
        .arg(target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    if target.starts_with("aarch64") && !env::var("HOST")?.starts_with("aarch64") {
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("cargo build of {name} for {target} ended with {status}").into());
    }
    Ok(target_dir.join(target).join("release").join(name))
}

fn target_installed(target: &str) -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}
