//! The CNI plugin: fails as a file tells it to, or runs `bridge`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    holdfast_cni::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("cni-bridge-fp: CNI plugins run on Linux");
    std::process::ExitCode::FAILURE
}
