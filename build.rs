//! Under the feature `wheel`, builds the static executables that the wheel carries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Failure = Box<dyn std::error::Error>;

/// The platforms whose executables the wheel may carry, and the architecture of each as Rust calls it.
const PLATFORMS: [(&str, &str); 2] = [("linux-amd64", "x86_64"), ("linux-arm64", "aarch64")];

/// Names a folder with the executables of all platforms (`NAME-PLATFORM`), which are taken from there and not built:
/// `nox -s dist` makes them once for all its wheels.
const READY: &str = "HOLDFAST_EXECUTABLES";

/// The executables, each with the crate that it comes from.
const EXECUTABLES: [(&str, &str); 3] =
    [("cntrsrv", "holdfast-cntrsrv"), ("cni-bridge-fp", "holdfast-cni"), ("ledger", "holdfast-ledger")];

/// What links for aarch64 elsewhere, and compiles the little C that there is.
const CROSS_LINKER: &str = "aarch64-linux-gnu-gcc";

/// What the executables are built from: a change elsewhere builds none of them again.
const SOURCES: [&str; 6] =
    ["crates/cni", "crates/cntrsrv", "crates/failpoint", "crates/ledger", "crates/net", "crates/wire"];

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=build.rs");
    if !cfg!(feature = "wheel") {
        return Ok(());
    }
    println!("cargo::rerun-if-env-changed={READY}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    if let Some(folder) = env::var_os(READY) {
        return copy_executables(Path::new(&folder), &out);
    }
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
    }
    build_executables(&out)
}

/// Those of all platforms, none of which may be missing.
fn copy_executables(from: &Path, out: &Path) -> Result<(), Failure> {
    for (platform, _) in PLATFORMS {
        for (name, _) in EXECUTABLES {
            let file = from.join(format!("{name}-{platform}"));
            println!("cargo::rerun-if-changed={}", file.display());
            fs::copy(&file, out.join(format!("{name}-{platform}")))
                .map_err(|why| format!("{READY}: {}: {why}", file.display()))?;
        }
    }
    Ok(())
}

/// Those of this platform, and of the other where this machine can build and link for it.
fn build_executables(out: &Path) -> Result<(), Failure> {
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(()); // the wheel says so when an executable is asked for
    }
    let own = env::var("CARGO_CFG_TARGET_ARCH")?;
    for (platform, architecture) in PLATFORMS {
        let target =
            if architecture == own { env::var("TARGET")? } else { format!("{architecture}-unknown-linux-gnu") };
        match build_for(&target, &out.join("native")) {
            Ok(folder) => {
                for (name, _) in EXECUTABLES {
                    fs::copy(folder.join(name), out.join(format!("{name}-{platform}")))?;
                }
            }
            Err(why) if architecture == own => return Err(why),
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
    let crosses = target.starts_with("aarch64") && !env::var("HOST")?.starts_with("aarch64");
    if crosses && Command::new(CROSS_LINKER).arg("--version").output().is_err() {
        return Err(format!("there is no {CROSS_LINKER}: install gcc for aarch64 and build again").into());
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
    if crosses {
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", CROSS_LINKER);
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
