//! The test container's archive, made from the `cntrsrv` executable without Docker.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::platform::normal;
use super::reference::Reference;
use holdfast_net::error::{Error, Result};

/// What the archive is made of.
#[derive(Debug, Clone)]
pub struct TestContainer {
    /// What it is called.
    pub name: Reference,
    /// `linux/amd64` or `linux/arm64`; must be what the executable was built for.
    pub platform: String,
    /// Set in the configuration, so that they change the image's id.
    pub labels: BTreeMap<String, String>,
    /// What containers of it see as their environment.
    pub environment: BTreeMap<String, String>,
}

/// This machine's platform, as images name it.
pub fn own_platform() -> String {
    normal(std::env::consts::ARCH)
}

impl TestContainer {
    /// Writes the archive to `path`, from the executable at `cntrsrv`. The same input gives the same bytes.
    pub fn write(&self, cntrsrv: &Path, path: &Path) -> Result<()> {
        let executable = std::fs::read(cntrsrv).map_err(|error| {
            Error::image(format!("{}: {error}", cntrsrv.display()))
                .hint("the wheel brings cntrsrv on Linux; build it there")
                .caused_by(Arc::new(error))
        })?;
        let tar = self.tar(&executable).map_err(|error| Error::image(format!("{}: {error}", path.display())))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(&tar)?;
            file.persist(path)?;
            Ok(())
        });
        written.map_err(|error| {
            Error::image(format!("{}: {error}", path.display()))
                .hint("choose a folder that exists and can be written")
                .caused_by(Arc::new(error))
        })
    }

    fn tar(&self, executable: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        add(&mut layer, "cntrsrv", executable, 0o755)?;
        let layer = layer.into_inner()?;
        let (os, architecture) = self.platform.split_once('/').unwrap_or(("linux", &self.platform));
        let environment: Vec<_> = self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let config = json!({
            "architecture": architecture,
            "os": os,
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Cmd": ["./cntrsrv"],
                "WorkingDir": "/",
                "ExposedPorts": {"60061/tcp": {}},
                "Labels": self.labels,
                "Env": environment,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "holdfast image cntrsrv"}],
        });
        let config = serde_json::to_vec(&config)?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }))?;
        let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        listed["platform"] = json!({"os": os, "architecture": architecture});
        listed["annotations"] = json!({
            "io.containerd.image.name": self.name.to_string(),
            "org.opencontainers.image.ref.name": self.name.tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [listed],
        });
        let saved = json!([{
            "Config": blob(&config),
            "RepoTags": [self.name.to_string()],
            "Layers": [blob(&layer)],
        }]);
        let mut archive = tar::Builder::new(Vec::new());
        for content in [&config, &layer, &manifest] {
            add(&mut archive, &blob(content), content, 0o644)?;
        }
        add(&mut archive, "index.json", &serde_json::to_vec(&index)?, 0o644)?;
        add(&mut archive, "manifest.json", &serde_json::to_vec(&saved)?, 0o644)?;
        add(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        archive.into_inner()
    }
}

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    tar.append_data(&mut header, name, content)
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", super::digest(content))
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", super::digest(content))
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}
