//! What a node finds where a volume is mounted: a file system with a ledger on it, or a device that is one.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::mounts::Mounted;
use super::patience::{Patient, in_time};
use crate::command;
use crate::executable::LEDGER;
use crate::nodes::{Look, Mount};
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Kind, Result};

/// Opens what a driver has made of a ledger: a FIFO is not waited for, and a link does not lead out of the node.
pub fn open(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    #[expect(clippy::cast_possible_wrap, reason = "flags of open are what the C library calls an int")]
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(std::io::Error::other("the ledger is no file: something else has its name"))
}

/// That a volume is what was asked for; a file would be made where a device is missing.
pub fn check(mount: &Mount, seen: &Path, node: &str) -> Result<()> {
    let Mount::Device(path) = mount else { return Ok(()) };
    let is_device = std::fs::metadata(seen).map(|about| about.file_type().is_block_device());
    let why = match is_device {
        Ok(true) => return Ok(()),
        Ok(false) => "a device was asked for, and this is none".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::new(Kind::Expectation, format!("{} on {node}: {why}", path.display())))
}

/// Looks at a volume. `mounted` is what the node says of one that is mounted right there.
pub fn look(
    mount: &Mount,
    seen: &Path,
    node: &str,
    mounted: Option<Mounted>,
    judge: &mut Judge<'_>,
    deadline: Instant,
) -> Result<Look> {
    check(mount, seen, node)?;
    // what the volume itself answers
    let limit = deadline.saturating_duration_since(Instant::now());
    let shown = mount.path()?.display();
    let failed = |error: std::io::Error| Error::new(Kind::Expectation, format!("{shown} on {node}: {error}"));
    if let Mount::Device(_) = mount {
        let mut device = open(seen).map_err(failed)?;
        let bytes = device.seek(SeekFrom::End(0)).and_then(|bytes| device.rewind().map(|()| bytes)).map_err(failed)?;
        judge.read(Patient::new(device, limit)).map_err(failed)?;
        return Ok(Look { bytes: Some(bytes), filesystem: formatted(seen, deadline), ..Look::default() });
    }
    let ledger = seen.join(LEDGER);
    match in_time(deadline, move || open(&ledger)) {
        Ok(file) => judge.read(Patient::new(file, limit)).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let at = seen.to_owned();
    let space = in_time(deadline, move || Ok(rustix::fs::statvfs(&at)?)).map_err(failed)?;
    let (filesystem, options) = mounted.map(|mounted| (mounted.filesystem, mounted.options)).unzip();
    Ok(Look {
        bytes: Some(space.f_blocks * space.f_frsize),
        used: Some((space.f_blocks - space.f_bfree) * space.f_frsize),
        filesystem,
        options,
    })
}

/// The file system on a device, where blkid is there and knows one.
fn formatted(device: &Path, deadline: Instant) -> Option<String> {
    let mut blkid = Command::new("blkid");
    blkid.args(["--probe", "--match-tag", "TYPE", "--output", "value"]).arg(device);
    let done = command::to_end(blkid, "", deadline).ok()?;
    Some(done.well("blkid").ok()?.trim().to_owned()).filter(|name| !name.is_empty())
}
