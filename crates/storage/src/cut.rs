//! The moment at which a copy of a volume was made: what it must hold of what was acknowledged on its source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::task::Task;
use holdfast_ledger::{Finding, Receipt};

/// Acknowledgements that may be under way to us while a copy is made: two of the largest batches, and some.
const UNDER_WAY: u64 = 24;

/// What had been acknowledged on a volume when a copy of it was made.
#[derive(Clone)]
pub struct Cut {
    /// Its ledger, as far as it went.
    pub writer: u64,
    pub incarnation: u64,
    pub tasks: Vec<Arc<Task>>,
    /// The last record before the copy was asked for: it must be there.
    pub before: u64,
    /// The last record when the provider had answered: those long after it cannot be there.
    pub after: u64,
}

impl Cut {
    /// What the copy must hold, given where its first own writer went on: all before the cut, and whatever its writer
    /// found beyond that.
    pub fn receipts(&self, found: Option<u64>) -> impl Iterator<Item = Receipt> {
        let last = self.before.max(found.unwrap_or(0));
        self.tasks.iter().flat_map(|task| task.receipts()).filter(move |receipt| receipt.head.number <= last)
    }

    /// That the copy holds what was written after it was made.
    pub fn later(&self, found: Option<u64>) -> Option<Finding> {
        found.filter(|found| *found > self.after + UNDER_WAY).map(|found| Finding::Later(found, self.after))
    }
}

/// The last record that these acknowledged.
pub fn last(tasks: &[Arc<Task>]) -> u64 {
    let receipts = tasks.iter().flat_map(|task| task.receipts());
    receipts.map(|receipt| receipt.head.number).max().unwrap_or(0)
}

/// The cuts of the snapshots that were taken, by their ids.
pub type Cuts = BTreeMap<String, Cut>;
