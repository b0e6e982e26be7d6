//! The plugin on a node: it passes on what is the server's to do, and mounts what the server exports. All it knows is
//! in the kernel's table of mounts, so it may die and start again at any time.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use tonic::Code;

use super::commands::run;
use super::{ABOUT, NAME};
use crate::csi::{Backend, Csi};
use crate::volumes::{Attachment, Volume, VolumeRequest, Volumes};
use crate::waiting::wait_until;
use holdfast_net::error::{Error, Kind, Result};

/// The plugin on a node.
#[derive(Clone)]
pub struct NbdNode {
    server: Arc<Csi>,
    node: String,
    folder: PathBuf,
}

impl NbdNode {
    /// On `node`, for volumes of `server`; what it needs to mount them is in `folder`.
    pub fn new(server: Csi, node: &str, folder: &Path) -> Self {
        Self { server: Arc::new(server), node: node.to_owned(), folder: folder.to_owned() }
    }

    /// Where nbdfuse shows a volume, as a folder with the file `nbd`.
    fn shown(&self, volume: &str) -> PathBuf {
        self.folder.join("nbd").join(volume)
    }
}

/// What is mounted here, and on what.
fn mounted_on(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let wanted = path.display().to_string();
    let found = mounts.lines().rev().find(|line| line.split(' ').nth(1) == Some(&wanted))?;
    found.split(' ').next().map(str::to_owned)
}

fn internal(what: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Status(Code::Internal), format!("{}: {error}", what.display()))
}

fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| internal(path, &error))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn unmount(path: &Path) -> Result<()> {
    if mounted_on(path).is_some() {
        run(&["umount", &text(path)])?;
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(internal(path, &error)),
        _ => Ok(()),
    }
}

impl Backend for NbdNode {
    fn about(&self) -> (&'static str, String) {
        (NAME, ABOUT.to_owned())
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn ready(&self, _: Instant) -> Result<()> {
        Ok(())
    }

    fn create(&self, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        self.server.create("", request, deadline)
    }

    fn remove(&self, volume: &Volume, deadline: Instant) -> Result<()> {
        self.server.remove("", volume, deadline)
    }

    fn list(&self, deadline: Instant) -> Result<Vec<Volume>> {
        self.server.list("", deadline)
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        self.server.attach(volume, node, deadline)
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.server.detach(volume, node, deadline)
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, staging: &Path, deadline: Instant) -> Result<()> {
        if mounted_on(staging).is_some() {
            return Ok(());
        }
        let uri = attachment.context.get("uri").ok_or_else(|| {
            Error::new(
                Kind::Status(Code::InvalidArgument),
                "the publish context has no uri: was it published to this node?",
            )
        })?;
        let shown = self.shown(&volume.id);
        folder(&shown)?;
        let file = shown.join("nbd");
        if mounted_on(&shown).is_none() {
            // in a session of its own: it must outlive this plugin
            let mut fuse = Command::new("nbdfuse");
            fuse.arg(&shown).arg(uri).stdin(Stdio::null()).process_group(0);
            let mut fuse = fuse.spawn().map_err(|error| {
                Error::new(Kind::Expectation, format!("nbdfuse: {error}")).hint("install Debian's nbdfuse")
            })?;
            wait_until(deadline, "nbdfuse", || file.exists() || matches!(fuse.try_wait(), Ok(Some(_))))?;
        }
        folder(staging)?;
        let device = run(&["losetup", "--find", "--show", &text(&file)])?;
        let mounted = mount(&device, staging);
        let freed = run(&["losetup", "--detach", &device]); // once nothing uses it any more
        mounted.and(freed).map(drop)
    }

    fn unstage(&self, volume: &str, staging: &Path, deadline: Instant) -> Result<()> {
        unmount(staging)?;
        let shown = self.shown(volume);
        if mounted_on(&shown).is_some() {
            wait_until(deadline, "the loop device", || run(&["fusermount3", "-u", &text(&shown)]).is_ok())?;
        }
        match std::fs::remove_dir(&shown) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(internal(&shown, &error)),
            _ => Ok(()),
        }
    }

    fn publish(&self, volume: &str, staging: &Path, target: &Path, _: Instant) -> Result<()> {
        if mounted_on(target).is_some() {
            return Ok(());
        }
        if mounted_on(staging).is_none() {
            let why = format!("{volume} is not staged at {}", staging.display());
            return Err(Error::new(Kind::Status(Code::FailedPrecondition), why));
        }
        folder(target)?;
        run(&["mount", "--bind", &text(staging), &text(target)]).map(drop)
    }

    fn unpublish(&self, _: &str, target: &Path, _: Instant) -> Result<()> {
        unmount(target)
    }

    fn is_published(&self, _: &str, target: &Path) -> bool {
        mounted_on(target).is_some()
    }
}

/// Mounts a device, with a new file system where there is none.
fn mount(device: &str, on: &Path) -> Result<String> {
    // past blkid's cache, which remembers what another volume had behind the same device
    if run(&["blkid", "--probe", device]).is_err() {
        run(&["mkfs.ext4", "-q", "-E", "nodiscard", device])?;
    }
    run(&["mount", "-t", "ext4", device, &text(on)])
}
