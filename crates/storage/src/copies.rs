//! Volumes that change and volumes that are made from others: what a lab asks of a provider's features.

use std::sync::Arc;
use std::time::Instant;

use super::cut::{Cut, last};
use super::features::{ContentSource, Snapshot, Statistics};
use super::lab::{Lab, Started};
use super::volumes::{Features, Volume, VolumeRequest};
use holdfast_net::error::{Error, Kind, Result};
use tonic::Code;

impl Lab {
    fn features(&self) -> Result<&dyn Features> {
        let unable = || Error::new(Kind::Status(Code::Unimplemented), "the provider has no calls for that");
        self.volumes().features().ok_or_else(unable)
    }

    /// Where the ledger of a volume is now.
    fn cut(&self, volume: &str) -> Cut {
        let ledgers = self.ledgers();
        let ledger = ledgers.get(volume);
        let tasks = ledger.map(|ledger| ledger.tasks.clone()).unwrap_or_default();
        let (writer, incarnation) = ledger.map_or((0, 0), |ledger| (ledger.writer, ledger.incarnation));
        let now = last(&tasks);
        Cut { writer, incarnation, tasks, before: now, after: now }
    }

    /// Makes a copy of something while its source may be written; the cut is between before and after.
    fn cutting<T>(&self, volume: &str, copy: impl FnOnce() -> Result<T>) -> Result<(T, Cut)> {
        let cut = self.cut(volume);
        let copied = copy()?;
        let after = last(&cut.tasks);
        Ok((copied, Cut { after, ..cut }))
    }

    /// Makes a volume larger, and what these tasks have mounted of it; where there is none, the node of its next task is
    /// told. The size that the provider says it has now.
    pub fn expand(&self, volume: &Volume, bytes: u64, tasks: &[Arc<Started>], deadline: Instant) -> Result<u64> {
        let expanded = self.note(&format!("expand {} to {bytes} bytes", volume.name), || {
            self.features()?.expand(volume, bytes, deadline)
        })?;
        if expanded.on_node && tasks.is_empty() {
            let mut grown = self.grown();
            let known = grown.entry(volume.id.clone()).or_default();
            *known = expanded.bytes.max(*known);
        }
        for task in tasks.iter().filter(|_| expanded.on_node) {
            self.expand_on_node(task, expanded.bytes, deadline)?;
        }
        Ok(expanded.bytes)
    }

    /// Tells a node of an expansion that came while nobody had the volume.
    pub(super) fn expand_if_grown(&self, started: &Started, deadline: Instant) -> Result<()> {
        let grown = self.grown().remove(&started.volume.id);
        grown.map_or(Ok(()), |bytes| self.expand_on_node(started, bytes, deadline))
    }

    fn expand_on_node(&self, started: &Started, bytes: u64, deadline: Instant) -> Result<()> {
        let Started { volume, node, name, .. } = started;
        self.note(&format!("expand {} on {node}", volume.name), || {
            self.features()?.expand_on_node(volume, bytes, node, name, deadline)
        })
    }

    /// Takes a snapshot, and keeps what had been acknowledged.
    pub fn take_snapshot(&self, volume: &Volume, name: &str, deadline: Instant) -> Result<Snapshot> {
        let (snapshot, cut) = self.cutting(&volume.id, || {
            self.note(&format!("take the snapshot {name} of {}", volume.name), || {
                self.features()?.take_snapshot(volume, name, deadline)
            })
        })?;
        self.cuts().entry(snapshot.id.clone()).or_insert(cut); // the same name again is the same snapshot
        if snapshot.ready {
            return Ok(snapshot);
        }
        self.note(&format!("wait for the snapshot {name}"), || self.features()?.await_snapshot(snapshot, deadline))
    }

    /// Whether the provider knows a snapshot by itself; none, where it cannot be asked.
    pub fn has_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<Option<bool>> {
        self.note(&format!("ask for the snapshot {}", snapshot.name), || {
            self.features()?.has_snapshot(snapshot, deadline)
        })
    }

    /// Removes a snapshot.
    pub fn remove_snapshot(&self, snapshot: &Snapshot, deadline: Instant) -> Result<()> {
        self.note(&format!("remove the snapshot {}", snapshot.name), || {
            self.features()?.remove_snapshot(snapshot, deadline)
        })
    }

    /// What the plugin counts on a task's volume.
    pub fn statistics(&self, started: &Started, deadline: Instant) -> Result<Statistics> {
        let Started { volume, node, name, .. } = started;
        self.note(&format!("count what is on {} on {node}", volume.name), || {
            self.features()?.statistics(volume, node, name, deadline)
        })
    }

    /// Makes a volume; of one that is a copy it is kept what it must hold.
    pub(super) fn create_copy(
        &self,
        request: &VolumeRequest,
        create: impl FnOnce() -> Result<Volume>,
    ) -> Result<Volume> {
        let (volume, cut) = match &request.content {
            None => return create(),
            Some(ContentSource::Volume(id)) => self.cutting(id, create)?,
            Some(ContentSource::Snapshot(id)) => {
                let cut = self.cuts().get(id).cloned();
                let unknown = || Error::invalid(format!("{id} is no snapshot of this lab"));
                (create()?, cut.ok_or_else(unknown)?)
            }
        };
        self.ledgers().entry(volume.id.clone()).or_insert_with(|| cut.into());
        Ok(volume)
    }
}
