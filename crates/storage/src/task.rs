//! A task: what it was asked to do, and all that it told.

#![expect(clippy::disallowed_methods, reason = "it is woken by each message of its task")]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holdfast_ledger::{BLOCK, Receipt, Work, WriterMessage};
use holdfast_net::error::{Error, Kind, Result};

/// What a writer is at when the fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It wrote, and holds its ledger open.
    Idle,
    /// It appends.
    Appending,
    /// It writes over the same places again and again.
    Overwriting,
    /// It writes many records and waits for the disk.
    MidFsync,
}

/// Places that [`Stage::Overwriting`] uses.
const PLACES: u64 = 16;
/// Records that [`Stage::MidFsync`] makes safe at once.
const BATCH: u64 = 8;
/// Records that [`Stage::Idle`] writes.
const BEFORE_IDLE: u64 = 24;

impl Stage {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("idle", Self::Idle),
        ("appending", Self::Appending),
        ("overwriting", Self::Overwriting),
        ("mid-fsync", Self::MidFsync),
    ];

    /// As people type it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }

    /// In how many places it writes, where not in a new one each time.
    pub fn places(self) -> Option<u64> {
        (self == Self::Overwriting).then_some(PLACES)
    }

    /// What its writer does.
    pub fn work(self, pace: Duration, bytes: Option<u64>) -> Work {
        let room = bytes.map(|bytes| bytes / BLOCK as u64 * 9 / 10); // the rest is a file system's own
        match self {
            Self::Idle => Work { records: Some(BEFORE_IDLE), pace: Duration::ZERO, batch: 1, room },
            Self::Appending | Self::Overwriting => Work { pace, room, ..Work::default() },
            Self::MidFsync => Work { batch: BATCH, pace, records: None, room },
        }
    }
}

/// All that one incarnation of a task told.
#[derive(Default)]
pub struct Task {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    /// The last record that was there when it opened its ledger.
    found: Option<u64>,
    idle: bool,
    syncing: u64,
    receipts: Vec<Receipt>,
    arrivals: Vec<Instant>,
    failed: Option<(Instant, String)>,
    /// What is wrong with who runs it.
    trouble: Option<String>,
}

impl Heard {
    fn keep(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Opened(last, _) => self.found = Some(last),
            WriterMessage::Idle(_) => self.idle = true,
            WriterMessage::Syncing(_) => self.syncing += 1,
            WriterMessage::Acknowledged(receipt) => {
                self.receipts.push(receipt);
                self.arrivals.push(Instant::now());
            }
            WriterMessage::Failed(why) => {
                self.failed.get_or_insert((Instant::now(), why));
            }
        }
    }

    /// Why it could not go on; an error, where that is the lab's affair.
    fn failure(&self) -> Result<Option<String>> {
        match (&self.failed, &self.trouble) {
            (Some((_, why)), _) => Ok(Some(why.clone())),
            (None, Some(why)) => Err(Error::lab(format!("a task cannot be followed: {why}"))),
            (None, None) => Ok(None),
        }
    }
}

impl Task {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it does not run, with what it said itself, where it came so far.
    pub fn explain(&self, error: Error) -> Error {
        match &self.heard().failed {
            Some((_, why)) => Error { message: format!("{}; the task said: {why}", error.message), ..error },
            None => error,
        }
    }

    /// Keeps what it told, or what is wrong with who runs it.
    pub fn hear(&self, message: std::result::Result<WriterMessage, String>) {
        let mut heard = self.heard();
        match message {
            Err(why) => {
                heard.trouble.get_or_insert(why);
            }
            Ok(message) => heard.keep(message),
        }
        drop(heard);
        self.changed.notify_all();
    }

    /// All it acknowledged.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.heard().receipts.clone()
    }

    /// The last record that was there when it opened its ledger, once it did.
    pub fn found(&self) -> Option<u64> {
        self.heard().found
    }

    /// How much it acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.heard().receipts.len()
    }

    /// Why it could not go on, if it could not; an error, where that is the lab's affair.
    pub fn failed(&self) -> Result<Option<String>> {
        self.heard().failure()
    }

    /// The longest time without an acknowledgement since the one of that number (from 0 on), up to now.
    pub fn longest_pause(&self, since: usize) -> Duration {
        let heard = self.heard();
        let from = since.saturating_sub(1).min(heard.arrivals.len());
        let end = [if heard.idle { None } else { Some(Instant::now()) }];
        let moments: Vec<Instant> = heard.arrivals[from..].iter().copied().chain(end.into_iter().flatten()).collect();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Waits for `many` acknowledgements in all; an error where it failed or the deadline passed first.
    pub fn wait_acknowledged(&self, many: usize, deadline: Instant) -> Result<()> {
        self.wait(deadline, "so many acknowledgements", |heard| heard.receipts.len() >= many || heard.idle)
    }

    /// Waits until it is waiting for the disk once more.
    pub fn wait_syncing(&self, deadline: Instant) -> Result<()> {
        let before = self.heard().syncing;
        self.wait(deadline, "another sync", |heard| heard.syncing > before || heard.idle)
    }

    /// Waits until it could not go on, and says why; None where it still can at the deadline.
    pub fn wait_failed(&self, deadline: Instant) -> Result<Option<String>> {
        let mut heard = self.heard();
        loop {
            let failed = heard.failure()?;
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|_| failed.is_none()) else {
                return Ok(failed);
            };
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wait(&self, deadline: Instant, what: &str, enough: impl Fn(&Heard) -> bool) -> Result<()> {
        let mut heard = self.heard();
        while !enough(&heard) {
            if let Some(why) = heard.failure()? {
                return Err(Error::new(Kind::Expectation, format!("the task failed: {why}")));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let many = heard.receipts.len();
                return Err(Error::new(
                    Kind::Timeout,
                    format!("{what} did not come in time; {many} records were acknowledged"),
                ));
            };
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}
