//! What the driver does beyond volumes: the server makes files larger and copies them, a node grows file systems and
//! counts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::time::Instant;

use tonic::Code;

use super::commands::run;
use super::mounts::mounted_on;
use super::node::NbdNode;
use super::server::{LARGEST, NbdServer, refuse};
use crate::csi::BackendFeatures;
use crate::features::{Expanded, Snapshot, Space, Statistics};
use crate::volumes::{Capability, Features, Volume};
use holdfast_net::error::{Error, Kind, Result};

/// A file is made larger only while nobody has it: who serves it would not notice.
const OF_THE_SERVER: [Capability; 4] = [Capability::Expand, Capability::Snapshot, Capability::Clone, Capability::Block];

impl BackendFeatures for NbdServer {
    fn can(&self) -> BTreeSet<Capability> {
        OF_THE_SERVER.into()
    }

    fn expand(&self, volume: &str, bytes: u64, _: Instant) -> Result<Expanded> {
        let mut kept = self.known(volume)?;
        let on_node = !kept.block;
        if bytes <= kept.bytes {
            return Ok(Expanded { bytes: kept.bytes, on_node });
        }
        if bytes > LARGEST {
            return Err(refuse(Code::OutOfRange, format!("a volume has {LARGEST} bytes at most")));
        }
        if let Some(node) = self.held_by(volume) {
            return Err(refuse(Code::FailedPrecondition, format!("{volume} is attached to {node}")));
        }
        kept.bytes = bytes;
        self.keep(volume, &kept)?;
        Ok(Expanded { bytes, on_node })
    }

    fn expand_on_node(&self, _: &str, _: u64, _: &Path, _: Instant) -> Result<()> {
        Err(refuse(Code::Unimplemented, "the server mounts nothing: ask the plugin on a node"))
    }

    fn take_snapshot(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot> {
        self.snapshot(volume, name, deadline)
    }

    fn remove_snapshot(&self, snapshot: &str, _: Instant) -> Result<()> {
        self.forget_snapshot(snapshot)
    }

    fn snapshots(&self, _: Instant) -> Result<Vec<Snapshot>> {
        self.all_snapshots()
    }

    fn statistics(&self, _: &str, _: &Path, _: Instant) -> Result<Statistics> {
        Err(refuse(Code::Unimplemented, "the server mounts nothing: ask the plugin on a node"))
    }
}

fn named(volume: &str) -> Volume {
    Volume { id: volume.to_owned(), ..Volume::default() }
}

fn published(volume: &str, at: &Path) -> Result<String> {
    let none = || Error::new(Kind::Status(Code::NotFound), format!("{volume} is not published at {}", at.display()));
    mounted_on(at).ok_or_else(none)
}

impl BackendFeatures for NbdNode {
    fn can(&self) -> BTreeSet<Capability> {
        OF_THE_SERVER.into_iter().chain([Capability::Statistics]).collect()
    }

    fn expand(&self, volume: &str, bytes: u64, deadline: Instant) -> Result<Expanded> {
        self.server().expand(&named(volume), bytes, deadline)
    }

    fn expand_on_node(&self, volume: &str, _: u64, target: &Path, deadline: Instant) -> Result<()> {
        let device = published(volume, target)?;
        if target.is_dir() {
            run(&["resize2fs", &device], deadline)?;
        }
        Ok(())
    }

    fn take_snapshot(&self, volume: &str, name: &str, deadline: Instant) -> Result<Snapshot> {
        self.server().take_snapshot(&named(volume), name, deadline)
    }

    fn remove_snapshot(&self, snapshot: &str, deadline: Instant) -> Result<()> {
        let snapshot = Snapshot { id: snapshot.to_owned(), ..Snapshot::default() };
        self.server().remove_snapshot(&snapshot, deadline)
    }

    fn lists_snapshots(&self) -> bool {
        false
    }

    fn snapshots(&self, _: Instant) -> Result<Vec<Snapshot>> {
        Err(refuse(Code::Unimplemented, "snapshots are listed by the server"))
    }

    fn statistics(&self, volume: &str, at: &Path, _: Instant) -> Result<Statistics> {
        published(volume, at)?;
        let failed = |error: std::io::Error| refuse(Code::Internal, format!("{}: {error}", at.display()));
        if !at.is_dir() {
            let total = File::open(at).and_then(|mut device| device.seek(SeekFrom::End(0))).map_err(failed)?;
            let bytes = Space { total, used: 0, available: 0 };
            return Ok(Statistics { bytes: Some(bytes), ..Statistics::default() });
        }
        let space = rustix::fs::statvfs(at).map_err(|error| failed(error.into()))?;
        let bytes = Space {
            total: space.f_blocks * space.f_frsize,
            used: (space.f_blocks - space.f_bfree) * space.f_frsize,
            available: space.f_bavail * space.f_frsize,
        };
        let inodes = Space { total: space.f_files, used: space.f_files - space.f_ffree, available: space.f_favail };
        Ok(Statistics { bytes: Some(bytes), inodes: Some(inodes), condition: None })
    }
}
