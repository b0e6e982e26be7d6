//! Copies of a volume's file, each of one moment: who writes it stands still for so long.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::commands::run;
use super::mounts::text;
use super::server::{NbdServer, disk, id, refuse};
use crate::features::{ContentSource, Snapshot};
use crate::volumes::VolumeRequest;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What is kept of a snapshot beside its file.
#[derive(Serialize, Deserialize)]
struct KeptSnapshot {
    name: String,
    volume: String,
    bytes: u64,
    block: bool,
    /// In seconds since 1970.
    taken: u64,
}

impl KeptSnapshot {
    fn snapshot(self, id: &str) -> Snapshot {
        let taken = UNIX_EPOCH.checked_add(std::time::Duration::from_secs(self.taken));
        let (bytes, id) = (Some(self.bytes), id.to_owned());
        Snapshot { id, name: self.name, volume: self.volume, bytes, ready: true, taken }
    }
}

/// A process that stands still as long as this lives.
struct Still(Pid);

impl Still {
    /// Returns once none of its threads runs: what one of them is at is done by then.
    fn new(process: u32, deadline: Instant) -> Result<Self> {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::lab("a process without an id"))?;
        let still = Self(pid);
        kill_process(pid, Signal::STOP).map_err(|error| Error::lab_io("nbdkit", error.into()))?;
        let threads = format!("/proc/{process}/task");
        wait_until(deadline, "nbdkit to stand still", || {
            let states = std::fs::read_dir(&threads).into_iter().flatten().flatten().map(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
            });
            states.into_iter().all(|state| state == Some('T'))
        })
        .map_err(Error::of_lab)?;
        Ok(still)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT); // it may have ended
    }
}

impl NbdServer {
    fn snapshot_file(&self, snapshot: &str, kind: &str) -> Result<PathBuf> {
        self.file(snapshot, kind).map_err(|_| refuse(Code::NotFound, format!("there is no snapshot {snapshot:?}")))
    }

    fn kept_snapshot(&self, snapshot: &str) -> Result<Option<KeptSnapshot>> {
        match std::fs::read(self.snapshot_file(snapshot, "snapshot")?) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk(error)),
        }
    }

    /// Copies a volume's file as it is at one moment.
    fn copy(&self, volume: &str, to: &Path, deadline: Instant) -> Result<()> {
        let image = self.file(volume, "img")?;
        self.while_still(volume, |process| Still::new(process, deadline), || copy_file(&image, to, deadline))
    }

    /// Takes a snapshot; the same name is the same snapshot.
    pub fn snapshot(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot> {
        let id = format!("{}-s", id(name));
        if let Some(kept) = self.kept_snapshot(&id)? {
            if kept.volume != volume {
                return Err(refuse(Code::AlreadyExists, format!("{name} is a snapshot of {}", kept.volume)));
            }
            return Ok(kept.snapshot(&id));
        }
        let source = self.known(volume)?;
        self.copy(volume, &self.file(&id, "img")?, deadline)?;
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (bytes, block) = (source.bytes, source.block);
        let kept = KeptSnapshot { name: name.to_owned(), volume: volume.to_owned(), bytes, block, taken };
        let words = serde_json::to_vec(&kept).map_err(|error| refuse(Code::Internal, error.to_string()))?;
        std::fs::write(self.snapshot_file(&id, "snapshot")?, words).map_err(disk)?;
        Ok(kept.snapshot(&id))
    }

    /// Removes a snapshot; one that is not there is removed already.
    pub fn forget_snapshot(&self, snapshot: &str) -> Result<()> {
        if !matches!(self.kept_snapshot(snapshot), Ok(Some(_))) {
            return Ok(());
        }
        for kind in ["snapshot", "img"] {
            std::fs::remove_file(self.snapshot_file(snapshot, kind)?).map_err(disk)?;
        }
        Ok(())
    }

    /// All there are.
    pub fn all_snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut found = Vec::new();
        for id in self.ids("snapshot")? {
            found.extend(self.kept_snapshot(&id)?.map(|kept| kept.snapshot(&id)));
        }
        Ok(found)
    }

    /// Fills the file of a new volume with what it is made from.
    pub fn fill(&self, image: &Path, request: &VolumeRequest, deadline: Instant) -> Result<()> {
        let (bytes, block) = match &request.content {
            None => return std::fs::File::create(image).map(drop).map_err(disk),
            Some(ContentSource::Volume(source)) => self.known(source).map(|kept| (kept.bytes, kept.block))?,
            Some(ContentSource::Snapshot(source)) => {
                let none = || refuse(Code::NotFound, format!("there is no snapshot {source}"));
                let kept = self.kept_snapshot(source)?.ok_or_else(none)?;
                (kept.bytes, kept.block)
            }
        };
        if request.bytes < bytes {
            return Err(refuse(Code::OutOfRange, format!("{} bytes do not take {bytes}", request.bytes)));
        }
        if request.block != block {
            return Err(refuse(Code::InvalidArgument, "a device is made from a device, and no other volume is"));
        }
        match &request.content {
            Some(ContentSource::Volume(source)) => self.copy(source, image, deadline),
            Some(ContentSource::Snapshot(source)) => copy_file(&self.snapshot_file(source, "img")?, image, deadline),
            None => Ok(()),
        }
    }
}

fn copy_file(from: &Path, to: &Path, deadline: Instant) -> Result<()> {
    run(&["cp", "--sparse=always", "--reflink=auto", &text(from), &text(to)], deadline).map(drop)
}
