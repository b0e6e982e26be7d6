//! The plugin on a node: it passes on what is the server's to do, and mounts what the server exports. All it knows is
//! in the kernel's table of mounts, so it may die and start again at any time.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tonic::Code;

use super::commands::{run, wait_serving};
use super::device;
use super::mounts::{mounted_on, text, unmount};
use super::{ABOUT, NAME};
use crate::command;
use crate::csi::{Backend, BackendFeatures, Csi};
use crate::volumes::{Attachment, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For the server to say that it is whole.
const GLANCE: Duration = Duration::from_millis(500);
/// For a mount that is no more used to let itself be unmounted.
const PATIENCE: Duration = Duration::from_secs(5);

/// The plugin on a node.
#[derive(Clone)]
pub struct NbdNode {
    server: Arc<Csi>,
    node: String,
    folder: PathBuf,
    /// The nbdfuse of each volume that this plugin has staged.
    shows: Arc<Mutex<BTreeMap<String, Child>>>,
}

impl NbdNode {
    /// On `node`, for volumes of `server`; what it needs to mount them is in `folder`.
    pub fn new(server: Csi, node: &str, folder: &Path) -> Self {
        Self { server: Arc::new(server), node: node.to_owned(), folder: folder.to_owned(), shows: Arc::default() }
    }

    /// The server.
    pub fn server(&self) -> &Csi {
        &self.server
    }

    fn shows(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        self.shows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where nbdfuse shows a volume, as a folder with the file `nbd`.
    fn shown(&self, volume: &str) -> PathBuf {
        self.folder.join("nbd").join(volume)
    }
}

fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::lab_io(path.display(), error))
}

impl Backend for NbdNode {
    fn about(&self) -> (&'static str, String) {
        (NAME, ABOUT.to_owned())
    }

    fn node(&self) -> &str {
        &self.node
    }

    /// What serves its volumes serves them, on the server too. An nbdfuse may end once its volume was taken from this
    /// node, or where the server cannot be reached.
    fn ready(&self, deadline: Instant) -> Result<()> {
        let soon = deadline.min(Instant::now() + GLANCE);
        match self.server.ready("", soon) {
            Err(error) if error.kind == Kind::Lab => return Err(error),
            Err(_) => return Ok(()), // this is about the plugin
            Ok(()) => {}
        }
        let ended = |fuse: &mut Child| fuse.try_wait().ok().flatten();
        let ended: BTreeMap<String, ExitStatus> =
            self.shows().iter_mut().filter_map(|(volume, fuse)| Some((volume.clone(), ended(fuse)?))).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let known = self.server.list("", soon).unwrap_or_default();
        let mut here = known.iter().filter(|volume| volume.nodes.iter().flatten().any(|node| *node == self.node));
        match here.find_map(|volume| ended.get_key_value(&volume.id)) {
            Some((volume, status)) => Err(Error::lab(format!("nbdfuse of {volume} ended by itself: {status}"))),
            None => Ok(()),
        }
    }

    fn features(&self) -> Option<&dyn BackendFeatures> {
        Some(self)
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
        let place = if volume.block { device::staged(staging) } else { staging.to_owned() };
        if mounted_on(&place).is_some() {
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
            let mut fuse =
                fuse.spawn().map_err(|error| Error::lab_io("nbdfuse", error).hint("install Debian's nbdfuse"))?;
            wait_serving(&mut fuse, "nbdfuse", deadline, || file.exists())?;
            self.shows().insert(volume.id.clone(), fuse);
        }
        folder(staging)?;
        if volume.block {
            return device::stage(&file, staging, deadline);
        }
        let device = run(&["losetup", "--find", "--show", &text(&file)], deadline)?;
        if !device.starts_with("/dev/") {
            return Err(Error::lab(format!("losetup named no device: {device:?}")));
        }
        // who finds that a device does not answer says so of the device: what serves it may have ended
        let mounted = mount(&device, staging, deadline).map_err(|error| self.ready(deadline).err().unwrap_or(error));
        let freed = run(&["losetup", "--detach", &device], deadline); // once nothing uses it any more
        mounted.and(freed)?;
        // who says that it mounted may not have
        if mounted_on(staging).is_some() { Ok(()) } else { Err(Error::lab("mount ended well, and nothing is mounted")) }
    }

    fn unstage(&self, volume: &str, staging: &Path, deadline: Instant) -> Result<()> {
        let shown = self.shown(volume);
        device::unstage(&shown.join("nbd"), staging, deadline)?;
        unmount(staging, deadline)?;
        let fuse = self.shows().remove(volume);
        if mounted_on(&shown).is_some() {
            let mut hidden = Ok(String::new());
            let waited = wait_until(deadline.min(Instant::now() + PATIENCE), "the loop device", || {
                hidden = run(&["fusermount3", "-u", &text(&shown)], deadline);
                hidden.is_ok()
            });
            waited.map_err(|late| hidden.err().unwrap_or_else(|| late.of_lab()))?;
        }
        if let Some(mut fuse) = fuse {
            let _ = fuse.kill(); // it ends with its mount
            let _ = fuse.wait();
        }
        match std::fs::remove_dir(&shown) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::lab_io(shown.display(), error)),
            _ => Ok(()),
        }
    }

    fn publish(&self, volume: &Volume, staging: &Path, target: &Path, deadline: Instant) -> Result<()> {
        if mounted_on(target).is_some() {
            return Ok(());
        }
        let device = device::staged(staging);
        if volume.block && mounted_on(&device).is_some() {
            return device::bind(&device, target, deadline);
        }
        if mounted_on(staging).is_none() {
            let why = format!("{} is not staged at {}", volume.id, staging.display());
            return Err(Error::new(Kind::Status(Code::FailedPrecondition), why));
        }
        folder(target)?;
        run(&["mount", "--bind", &text(staging), &text(target)], deadline)?;
        if volume.read_only {
            run(&["mount", "-o", "remount,bind,ro", &text(target)], deadline)?;
        }
        if mounted_on(target).is_some() { Ok(()) } else { Err(Error::lab("mount ended well, and nothing is mounted")) }
    }

    fn unpublish(&self, _: &str, target: &Path, deadline: Instant) -> Result<()> {
        unmount(target, deadline)
    }

    fn is_published(&self, _: &str, target: &Path) -> bool {
        mounted_on(target).is_some()
    }
}

/// Whether nothing is known of what is on a device.
fn is_empty(device: &str, deadline: Instant) -> Result<bool> {
    const NOTHING_FOUND: i32 = 2;
    let mut blkid = Command::new("blkid");
    blkid.args(["--probe", device]);
    let done = command::to_end(blkid, "", deadline).map_err(|error| Error::lab_io("blkid", error))?;
    if done.status.and_then(|status| status.code()) == Some(NOTHING_FOUND) {
        return Ok(true);
    }
    done.well("blkid").map(|_| false)
}

/// Mounts a device, with a new file system where there is none.
fn mount(device: &str, on: &Path, deadline: Instant) -> Result<String> {
    // past blkid's cache, which remembers what another volume had behind the same device
    if is_empty(device, deadline)? {
        run(&["mkfs.ext4", "-q", "-E", "nodiscard", device], deadline)?;
        return run(&["mount", "-t", "ext4", device, &text(on)], deadline);
    }
    if is_larger(device)? {
        // before it is mounted: after that the kernel lets only who owns the machine do so
        let mut check = Command::new("e2fsck");
        check.args(["-f", "-p", device]);
        let checked = command::to_end(check, "", deadline).map_err(|error| Error::lab_io("e2fsck", error))?;
        if checked.status.and_then(|status| status.code()).is_none_or(|code| code > REPAIRED) {
            checked.well("e2fsck")?;
        }
        run(&["resize2fs", device], deadline)?;
    }
    run(&["mount", "-t", "ext4", device, &text(on)], deadline)
}

/// What e2fsck ends with where all is well, now at least.
const REPAIRED: i32 = 1;

/// Whether a device is larger than the ext4 on it: that was made larger, or from a smaller one.
fn is_larger(device: &str) -> Result<bool> {
    const SUPERBLOCK: u64 = 1024;
    const LEAST: u64 = 1 << 20;
    let failed = |error| Error::lab_io(device, error);
    let mut file = std::fs::File::open(device).map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let mut block = [0; 1024];
    file.read_exact_at(&mut block, SUPERBLOCK).map_err(failed)?;
    let number = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let blocks = u64::from(number(0x150)) << 32 | u64::from(number(4)); // s_blocks_count_hi, s_blocks_count_lo
    let used = blocks.saturating_mul(1024 << number(24).min(6)); // s_log_block_size
    Ok(size > used.saturating_add(LEAST))
}
