//! The image that every node of a lab's Kubernetes has: one executable, in an archive as `docker save` writes it.

use std::path::Path;

use holdfast_net::error::{Error, Result};

/// The image's name.
pub const IMAGE: &str = "registry.test/holdfast-pause:1";
/// Where a container has it.
const EXECUTABLE: &str = "pause";

/// Writes the archive with the executable at `executable`.
pub fn write(executable: &Path, archive: &Path) -> Result<()> {
    let unread = |error: std::io::Error| Error::lab_io(executable.display(), error);
    let unwritten = |error: std::io::Error| Error::lab_io(archive.display(), error);
    let layer = layer(&std::fs::read(executable).map_err(unread)?).map_err(unwritten)?;
    let configuration = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": [format!("/{EXECUTABLE}")]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", holdfast_image::digest(&layer))]},
    })
    .to_string();
    let named = format!("{}.json", holdfast_image::digest(configuration.as_bytes()));
    let manifest = serde_json::json!([{"Config": named, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("layer.tar", layer.as_slice()),
        (named.as_str(), configuration.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        append(&mut tar, name, bytes, 0o644).map_err(unwritten)?;
    }
    let bytes = tar.into_inner().map_err(unwritten)?;
    std::fs::write(archive, bytes).map_err(unwritten)
}

fn layer(executable: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, EXECUTABLE, executable, 0o755)?;
    tar.into_inner()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    tar.append_data(&mut header, name, bytes)
}
