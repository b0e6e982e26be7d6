//! The CNI plugin: fails as a file tells it to, or runs `bridge`.

fn main() -> std::process::ExitCode {
    holdfast::cni::main()
}
