//! A task that writes a ledger until it is told to stop: what a test's container does.

#![expect(clippy::disallowed_methods, reason = "it waits for its own Stop, without the crates of gRPC")]

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::acknowledgement::WriterMessage;
use super::medium::Medium;
use super::payload::generate;
use super::record::Head;
use super::verify::Receipt;
use super::writer::{Refused, Writer};

/// What a task writes.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Records that one sync makes safe.
    pub batch: u64,
    /// From the beginning of one batch to the next.
    pub pace: Duration,
    /// After so many it is idle and holds the ledger open; it never is, where none is given.
    pub records: Option<u64>,
    /// So many fit on its volume: it slows down on the way there, for a volume that is full says nothing of its provider.
    pub room: Option<u64>,
}

/// Where a volume is half full, and where three quarters: how many times slower, and the longest pause of all.
const SLOWER: [(u64, u32); 2] = [(2, 20), (3, 100)];
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Work {
    /// From the beginning of one batch to the next, with so many records there.
    fn pace(&self, there: u64) -> Duration {
        let Some(room) = self.room else { return self.pace };
        let reached = |quarters: u64| there.saturating_mul(4) >= room.saturating_mul(quarters);
        let slower = SLOWER.iter().rev().find(|(quarters, _)| reached(*quarters));
        slower.map_or(self.pace, |(_, times)| (self.pace * *times).min(LONGEST_PAUSE).max(self.pace))
    }
}

impl Default for Work {
    fn default() -> Self {
        Self { batch: 1, pace: Duration::ZERO, records: None, room: None }
    }
}

/// Ends a task from outside.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends it after what it is at.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it was stopped, or for so long; whether it was.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let going = |stopped: &mut bool| !*stopped;
        match limit {
            None => *self.0.1.wait_while(stopped, going).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                *self.0.1.wait_timeout_while(stopped, limit, going).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

/// Writes until it is stopped or refused; everything that happens is told.
pub fn run<M: Medium>(
    writer: &mut Writer<M>,
    work: Work,
    clock: impl Fn() -> u64,
    mut tell: impl FnMut(WriterMessage),
    stop: &Stop,
) -> Result<(), Refused> {
    tell(WriterMessage::Opened(writer.last(), Some(clock())));
    let done = write(writer, work, &clock, &mut tell, stop);
    if let Err(refused) = &done {
        tell(WriterMessage::Failed(refused.to_string()));
    }
    done
}

fn write<M: Medium>(
    writer: &mut Writer<M>,
    work: Work,
    clock: impl Fn() -> u64,
    tell: &mut impl FnMut(WriterMessage),
    stop: &Stop,
) -> Result<(), Refused> {
    let mut written = 0;
    loop {
        let begun = Instant::now();
        if work.records.is_some_and(|enough| written >= enough) {
            tell(WriterMessage::Idle(writer.last()));
            stop.wait(None);
            return Ok(());
        }
        let heads = if work.batch > 1 { write_batch(writer, work.batch, tell)? } else { vec![append(writer)?] };
        written += heads.len() as u64;
        for head in heads {
            tell(WriterMessage::Acknowledged(Receipt { head, payload: None, at: Some(clock()) }));
        }
        let pace = if writer.is_growing() { work.pace(writer.last()) } else { work.pace };
        if stop.wait(Some(pace.saturating_sub(begun.elapsed()))) {
            return Ok(());
        }
    }
}

fn append<M: Medium>(writer: &mut Writer<M>) -> Result<Head, Refused> {
    let payload = generate(writer.identity(), writer.last() + 1);
    writer.append(payload).map(|record| record.head)
}

fn write_batch<M: Medium>(
    writer: &mut Writer<M>,
    many: u64,
    tell: &mut impl FnMut(WriterMessage),
) -> Result<Vec<Head>, Refused> {
    let mut heads = Vec::new();
    for _ in 0..many {
        heads.push(writer.write(generate(writer.identity(), writer.last() + 1))?.head);
    }
    tell(WriterMessage::Syncing(writer.last()));
    writer.sync()?;
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::tests::InMemory;
    use crate::{OnFile, Opening, Place, verify};

    #[test]
    fn a_task_slows_down_before_its_volume_is_full() {
        let pace = Duration::from_millis(5);
        let work = Work { pace, room: Some(1000), ..Work::default() };
        let paces = [0, 499, 500, 749, 750, 5000].map(|there| work.pace(there).as_millis());
        assert_eq!(paces, [5, 5, 100, 100, 500, 500]);
        let still = Work { pace: Duration::from_secs(2), ..work };
        assert_eq!(still.pace(999), still.pace, "it is slower already");
        assert_eq!(Work { room: None, ..work }.pace(u64::MAX), pace);
    }

    /// What a task does on a medium, which fails at the write that it is told to, and the words that it says.
    fn told(work: Work, medium: &mut InMemory) -> Vec<&'static str> {
        let mut writer = Writer::over(medium, "it", Opening::default()).expect("opened");
        let (stop, mut said) = (Stop::default(), Vec::new());
        let done = run(
            &mut writer,
            work,
            || 1,
            |message| {
                said.push(match message {
                    WriterMessage::Opened(..) => "opened",
                    WriterMessage::Syncing(_) => "syncing",
                    WriterMessage::Acknowledged(_) => "acknowledged",
                    WriterMessage::Idle(_) => "idle",
                    WriterMessage::Failed(_) => "failed",
                });
                if said.last() == Some(&"idle") {
                    stop.stop();
                }
            },
            &stop,
        );
        assert_eq!(done.is_err(), said.last() == Some(&"failed"));
        said
    }

    #[test]
    fn a_batch_is_acknowledged_once_it_is_synced() {
        let mut medium = InMemory::default();
        let work = Work { batch: 2, records: Some(4), ..Work::default() };
        let batch = ["syncing", "acknowledged", "acknowledged"];
        assert_eq!(told(work, &mut medium), [&["opened"][..], &batch, &batch, &["idle"]].concat());
        assert_eq!(medium.syncs, 3, "at the opening, and once a batch");
    }

    #[test]
    fn a_task_says_that_it_failed() {
        let mut medium = InMemory { fails: true, ..InMemory::default() };
        assert_eq!(told(Work::default(), &mut medium), ["opened", "failed"]);
    }

    #[test]
    fn a_task_tells_what_it_does_and_all_of_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let stop = Stop::default();
        let (mut messages, mut lines) = (Vec::new(), Vec::new());
        for batch in [1, 4] {
            let medium = OnFile::preallocated(&path).expect("a file");
            let mut writer =
                Writer::over(medium, "it", Opening { run: 9, writer: 1, ..Opening::default() }).expect("opened");
            let work = Work { batch, records: Some(8), ..Work::default() };
            let idle = |said: &WriterMessage| matches!(said, WriterMessage::Idle(_)).then(|| stop.stop());
            run(
                &mut writer,
                work,
                || 1,
                |said| {
                    idle(&said);
                    lines.push(said.to_string());
                    messages.push(said);
                },
                &stop,
            )
            .expect("written");
        }
        let receipts: Vec<_> = messages
            .iter()
            .filter_map(
                |said| if let WriterMessage::Acknowledged(receipt) = said { Some(receipt.clone()) } else { None },
            )
            .collect();
        assert_eq!(receipts.len(), 12, "stopped already, the second ends after a batch: {lines:?}");
        let bytes = std::fs::read(&path).expect("there");
        assert_eq!(verify(&receipts, bytes.chunks(4096).map(Place::of)), []);
    }
}
