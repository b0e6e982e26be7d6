//! The server: a file for each volume, and an nbdkit for each node that has it. Who loses a volume loses its nbdkit.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::commands::wait_serving;
use super::{ABOUT, NAME};
use crate::csi::{Backend, BackendFeatures};
use crate::features::ContentSource;
use crate::volumes::{Attachment, Volume, VolumeRequest};
use holdfast_net::error::{Error, Kind, Result};

/// The smallest volume: ext4 with a journal, in bytes.
const SMALLEST: u64 = 8 << 20;
pub const LARGEST: u64 = 64 << 30;

/// The server, with its volumes in a folder.
#[derive(Clone)]
pub struct NbdServer {
    folder: PathBuf,
    exports: IpAddr,
    exported: Arc<Mutex<BTreeMap<(String, String), Export>>>,
}

struct Export {
    process: Child,
    port: u16,
}

impl Drop for Export {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
    }
}

/// What is kept of a volume beside its file.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    name: String,
    pub bytes: u64,
    /// A device without a file system.
    #[serde(default)]
    pub block: bool,
    /// What it was made from; nothing, where that is empty.
    #[serde(default)]
    from: String,
}

impl NbdServer {
    /// With its volumes in `folder`, exported on `exports`.
    pub fn open(folder: &Path, exports: IpAddr) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::lab_io(folder.display(), error))?;
        Ok(Self { folder: folder.to_owned(), exports, exported: Arc::default() })
    }

    fn exported(&self) -> MutexGuard<'_, BTreeMap<(String, String), Export>> {
        self.exported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file of a volume.
    pub fn file(&self, volume: &str, kind: &str) -> Result<PathBuf> {
        let plain =
            !volume.is_empty() && volume.chars().all(|each| each.is_ascii_alphanumeric() || "-_".contains(each));
        if plain {
            Ok(self.folder.join(format!("{volume}.{kind}")))
        } else {
            Err(refuse(Code::NotFound, format!("there is no volume {volume:?}")))
        }
    }

    fn kept(&self, volume: &str) -> Result<Option<Kept>> {
        match std::fs::read(self.file(volume, "json")?) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk(error)),
        }
    }

    fn described(&self, id: &str, kept: &Kept) -> Volume {
        let nodes = self.exported().keys().filter(|(volume, _)| volume == id).map(|(_, node)| node.clone()).collect();
        Volume {
            id: id.to_owned(),
            name: kept.name.clone(),
            bytes: Some(kept.bytes),
            nodes: Some(nodes),
            block: kept.block,
            ..Volume::default()
        }
    }

    /// What is kept of a volume that there is.
    pub fn known(&self, volume: &str) -> Result<Kept> {
        self.kept(volume)?.ok_or_else(|| refuse(Code::NotFound, format!("there is no volume {volume}")))
    }

    /// Keeps that, and makes the volume's file so large.
    pub fn keep(&self, volume: &str, kept: &Kept) -> Result<()> {
        let image = std::fs::OpenOptions::new().write(true).open(self.file(volume, "img")?).map_err(disk)?;
        image.set_len(kept.bytes).and_then(|()| image.sync_all()).map_err(disk)?;
        let text = serde_json::to_vec(kept).map_err(|error| refuse(Code::Internal, error.to_string()))?;
        std::fs::write(self.file(volume, "json")?, text).map_err(disk)
    }

    /// The node that has a volume.
    pub fn held_by(&self, volume: &str) -> Option<String> {
        self.exported().keys().find(|(held, _)| held == volume).map(|(_, node)| node.clone())
    }

    /// Does something while whoever serves a volume stands still, as `stop` makes it. Nobody gets or loses a volume meanwhile.
    pub fn while_still<S, T>(
        &self,
        volume: &str,
        stop: impl Fn(u32) -> Result<S>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let exported = self.exported();
        let serving = exported.iter().filter(|((held, _), _)| held == volume);
        let still: Vec<S> = serving.map(|(_, export)| stop(export.process.id())).collect::<Result<_>>()?;
        let done = work();
        drop(still);
        done
    }

    /// All there are of which something is kept in files of a kind.
    pub fn ids(&self, kind: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(disk)? {
            let path = entry.map_err(disk)?.path();
            let id = path.file_stem().filter(|_| path.extension().is_some_and(|extension| extension == kind));
            ids.extend(id.map(|id| id.to_string_lossy().into_owned()));
        }
        ids.sort();
        Ok(ids)
    }

    fn export(&self, volume: &str, deadline: Instant) -> Result<Export> {
        let free = TcpListener::bind((self.exports, 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(disk)?.port();
        let image = self.file(volume, "img")?;
        let process = Command::new("nbdkit")
            .args(["--foreground", "--exit-with-parent", "--port", &port.to_string()])
            .args(["--ipaddr", &self.exports.to_string(), "file"])
            .arg(image)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Error::lab_io("nbdkit", error).hint("install Debian's nbdkit"))?;
        let mut export = Export { process, port };
        wait_serving(&mut export.process, "nbdkit", deadline, || {
            std::net::TcpStream::connect((self.exports, port)).is_ok()
        })?;
        Ok(export)
    }

    fn uri(&self, port: u16) -> Attachment {
        Attachment { context: BTreeMap::from([("uri".to_owned(), format!("nbd://{}:{port}", self.exports))]) }
    }
}

pub fn refuse(code: Code, why: impl Into<String>) -> Error {
    Error::new(Kind::Status(code), why)
}

pub fn disk(error: std::io::Error) -> Error {
    Error::lab_io("the server's folder", error)
}

/// The same name is the same volume, whatever characters it has.
pub fn id(name: &str) -> String {
    format!("volume-{}", &holdfast_image::digest(name.as_bytes())[..16])
}

impl Backend for NbdServer {
    fn about(&self) -> (&'static str, String) {
        (NAME, ABOUT.to_owned())
    }

    fn node(&self) -> &'static str {
        "server"
    }

    /// What serves its volumes serves them.
    fn ready(&self, _: Instant) -> Result<()> {
        for ((volume, _), export) in self.exported().iter_mut() {
            if let Ok(Some(status)) = export.process.try_wait() {
                return Err(Error::lab(format!("nbdkit of {volume} ended by itself: {status}")));
            }
        }
        Ok(())
    }

    fn features(&self) -> Option<&dyn BackendFeatures> {
        Some(self)
    }

    fn create(&self, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        if let Some((name, value)) = request.parameters.first_key_value() {
            return Err(refuse(Code::InvalidArgument, format!("no parameter {name}={value}: there are none")));
        }
        if !["", "ext4"].contains(&request.filesystem.as_str()) || request.access.is_shared() {
            return Err(refuse(Code::InvalidArgument, "volumes are ext4, for one node at a time"));
        }
        if request.bytes > LARGEST {
            return Err(refuse(Code::OutOfRange, format!("a volume has {LARGEST} bytes at most")));
        }
        let id = id(&request.name);
        let bytes = request.bytes.max(SMALLEST);
        let from = match &request.content {
            None => String::new(),
            Some(ContentSource::Snapshot(id) | ContentSource::Volume(id)) => id.clone(),
        };
        if let Some(kept) = self.kept(&id)? {
            if kept.bytes == bytes && (kept.block, &kept.from) == (request.block, &from) {
                return Ok(self.described(&id, &kept));
            }
            return Err(refuse(Code::AlreadyExists, format!("{} is there with {} bytes", request.name, kept.bytes)));
        }
        let kept = Kept { name: request.name.clone(), bytes, block: request.block, from };
        self.fill(&self.file(&id, "img")?, request, deadline)?;
        self.keep(&id, &kept)?;
        Ok(self.described(&id, &kept))
    }

    fn remove(&self, volume: &Volume, _: Instant) -> Result<()> {
        let Ok(image) = self.file(&volume.id, "img") else { return Ok(()) };
        if let Some((_, node)) = self.exported().keys().find(|(held, _)| *held == volume.id) {
            return Err(refuse(Code::FailedPrecondition, format!("{} is attached to {node}", volume.id)));
        }
        for file in [self.file(&volume.id, "json")?, image] {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, _: Instant) -> Result<Vec<Volume>> {
        let mut volumes = Vec::new();
        for id in self.ids("json")? {
            volumes.extend(self.kept(&id)?.map(|kept| self.described(&id, &kept)));
        }
        Ok(volumes)
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        self.known(&volume.id)?;
        let key = (volume.id.clone(), node.to_owned());
        {
            let exported = self.exported();
            if let Some(export) = exported.get(&key) {
                return Ok(self.uri(export.port));
            }
            if let Some((_, other)) = exported.keys().find(|(held, _)| *held == volume.id) {
                return Err(refuse(Code::FailedPrecondition, format!("{} is attached to {other}", volume.id)));
            }
        }
        let export = self.export(&volume.id, deadline)?;
        let uri = self.uri(export.port);
        self.exported().insert(key, export);
        Ok(uri)
    }

    fn detach(&self, volume: &Volume, node: &str, _: Instant) -> Result<()> {
        let export = self.exported().remove(&(volume.id.clone(), node.to_owned()));
        drop(export); // and with it whatever the node still has under way
        Ok(())
    }

    fn stage(&self, _: &Volume, _: &Attachment, _: &Path, _: Instant) -> Result<()> {
        Err(only_on_nodes())
    }

    fn unstage(&self, _: &str, _: &Path, _: Instant) -> Result<()> {
        Err(only_on_nodes())
    }

    fn publish(&self, _: &Volume, _: &Path, _: &Path, _: Instant) -> Result<()> {
        Err(only_on_nodes())
    }

    fn unpublish(&self, _: &str, _: &Path, _: Instant) -> Result<()> {
        Err(only_on_nodes())
    }

    fn is_published(&self, _: &str, _: &Path) -> bool {
        false
    }
}

fn only_on_nodes() -> Error {
    refuse(Code::Unimplemented, "the server mounts nothing: ask the plugin on a node")
}
