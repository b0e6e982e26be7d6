//! A volume as a device on a node: a loop device that is bound to a file within the staging path, and from there to each
//! target. Whoever holds it open keeps it, so that it goes with its node.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use std::os::unix::process::CommandExt;

use super::commands::run;
use super::mounts::{mounted_on, text, unmount};
use holdfast_net::error::{Error, Result};

/// Who holds a loop device open.
const HOLDER: &str = "sleep";

/// Where the device of a staged volume is.
pub fn staged(staging: &Path) -> PathBuf {
    staging.join("device")
}

/// Sets up a device over `file`, and binds it within the staging path.
pub fn stage(file: &Path, staging: &Path, deadline: Instant) -> Result<()> {
    let device = run(&["losetup", "--find", "--show", &text(file)], deadline)?;
    let held = hold(&device);
    run(&["losetup", "--detach", &device], deadline)?; // once nobody has it open
    held?;
    bind(Path::new(&device), &staged(staging), deadline)
}

/// The reverse; `file` is what the device is over.
pub fn unstage(file: &Path, staging: &Path, deadline: Instant) -> Result<()> {
    let device = staged(staging);
    // within a file system that is mounted there it would be a file of somebody's, and a disk that was taken gives errors
    if mounted_on(staging).is_none() || mounted_on(&device).is_some() {
        unmount(&device, deadline)?;
    }
    for device in over(file) {
        release(&device);
    }
    Ok(())
}

/// Binds a device to a file of its own.
pub fn bind(device: &Path, target: &Path, deadline: Instant) -> Result<()> {
    if mounted_on(target).is_some() {
        return Ok(());
    }
    let made = target.parent().map_or(Ok(()), std::fs::create_dir_all);
    let made = made.and_then(|()| OpenOptions::new().write(true).create(true).truncate(false).open(target));
    made.map_err(|error| Error::lab_io(target.display(), error))?;
    run(&["mount", "--bind", &text(device), &text(target)], deadline)?;
    if mounted_on(target).is_some() { Ok(()) } else { Err(Error::lab("mount ended well, and nothing is mounted")) }
}

/// Lets a process hold a device open, in a group of its own: it outlives this plugin.
fn hold(device: &str) -> Result<()> {
    let opened = OpenOptions::new().read(true).open(device).map_err(|error| Error::lab_io(device, error))?;
    let mut holder = Command::new(HOLDER);
    holder.arg("infinity").stdin(opened).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    holder.spawn().map_err(|error| Error::lab_io(HOLDER, error)).map(drop)
}

/// The loop devices over a file.
fn over(file: &Path) -> Vec<PathBuf> {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backed = devices.filter(|device| {
        let backing = std::fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        Path::new(backing.trim_end()) == file
    });
    backed.map(|device| Path::new("/dev").join(device.file_name())).collect()
}

/// Ends whoever holds a device open for it to be there.
fn release(device: &Path) {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.map(|entry| entry.path()) {
        let holds = std::fs::read_link(process.join("fd/0")).is_ok_and(|file| file == device)
            && std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == HOLDER);
        let id = process.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let Some(pid) = id.filter(|_| holds).and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may have ended
        }
    }
}
