//! What is mounted on a node, as its kernel tells, and taking it away.

use std::path::Path;
use std::time::Instant;

use super::commands::run;
use holdfast_net::error::{Error, Result};

/// What is mounted here, and on what.
pub fn mounted_on(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let wanted = path.display().to_string();
    let found = mounts.lines().rev().find(|line| line.split(' ').nth(1) == Some(&wanted))?;
    found.split(' ').next().map(str::to_owned)
}

/// A path as a tool is told of it.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Takes away what is mounted at a path, and the folder or file that it was mounted on.
pub fn unmount(path: &Path, deadline: Instant) -> Result<()> {
    if mounted_on(path).is_some() {
        run(&["umount", &text(path)], deadline)?;
    }
    let removed = if path.is_file() { std::fs::remove_file(path) } else { std::fs::remove_dir(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::lab_io(path.display(), error)),
        _ => Ok(()),
    }
}
