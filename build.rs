//! Under the feature `wheel`, builds the static executables that the wheel carries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Failure = Box<dyn std::error::Error>;

/// The platforms whose executables the wheel may carry, and the Rust target of each.
const PLATFORMS: [(&str, &str); 2] =
    [("linux-amd64", "x86_64-unknown-linux-gnu"), ("linux-arm64", "aarch64-unknown-linux-gnu")];

/// The executables, each with the crate that it comes from.
const EXECUTABLES: [(&str, &str); 3] =
    [("cntrsrv", "holdfast-cntrsrv"), ("cni-bridge-fp", "holdfast-cni"), ("ledger", "holdfast-ledger")];

/// What the executables are built from: a change elsewhere builds none of them again.
const SOURCES: [&str; 6] =
    ["crates/cni", "crates/cntrsrv", "crates/failpoint", "crates/ledger", "crates/net", "crates/wire"];

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=build.rs");
    if cfg!(feature = "wheel") {
        for folder in SOURCES {
            println!("cargo::rerun-if-changed={folder}");
        }
        build_executables()?;
    }
    Ok(())
}

/// Those of each platform whose Rust target is installed; the building machine's own must succeed.
fn build_executables() -> Result<(), Failure> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(()); // the wheel says so when an executable is asked for
    }
    let own = env::var("TARGET")?;
    for (platform, target) in PLATFORMS {
        match build_for(target, &out.join("native")) {
            Ok(folder) => {
                for (name, _) in EXECUTABLES {
                    fs::copy(folder.join(name), out.join(format!("{name}-{platform}")))?;
                }
            }
            Err(why) if target == own => return Err(why),
            Err(why) => println!("cargo::warning=no executables for {platform}: {why}"),
        }
    }
    Ok(())
}

/// All of them by one call, so that what they share is compiled once; the folder they are in.
fn build_for(target: &str, target_dir: &Path) -> Result<PathBuf, Failure> {
    if !target_installed(target) {
        return Err(format!("`rustup target add {target}` and build again").into());
    }
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args(["build", "--locked", "--release", "--target", target]);
    for (name, package) in EXECUTABLES {
        cargo.args(["--package", package, "--bin", name]);
    }
    for (name, _) in env::vars_os() {
        // who links the wheel, zig say, links no executable with nothing but itself in it
        if name.to_str().is_some_and(is_about_linking) {
            cargo.env_remove(name);
        }
    }
    cargo
        .arg("--target-dir")
        .arg(target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    if target.starts_with("aarch64") && !env::var("HOST")?.starts_with("aarch64") {
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("cargo build of the executables for {target} ended with {status}").into());
    }
    Ok(target_dir.join(target).join("release"))
}

/// Whether a variable says with what to compile and link for one target.
fn is_about_linking(name: &str) -> bool {
    let tools = ["CC_", "CXX_", "AR_", "RANLIB_", "CFLAGS_", "CXXFLAGS_"];
    tools.iter().any(|tool| name.starts_with(tool)) || (name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER"))
}

fn target_installed(target: &str) -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}
