//! The healthy ways in which a plugin of ours may differ: what other drivers do too, and rightly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::Status;

use holdfast_net::waiting;

/// From where volumes can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// From everywhere, and nothing is said of it.
    #[default]
    Everywhere,
    /// From the nodes of one zone, which all are of.
    Zone,
    /// From the node that they were made for.
    Node,
}

/// A plugin's ways.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one way by itself")]
pub struct Ways {
    /// Sizes are multiples of it, in bytes.
    pub rounds_to: u64,
    /// No volume is smaller, in bytes; what is asked for is refused.
    pub minimum: u64,
    /// Whether GetCapacity tells that.
    pub tells_minimum: bool,
    /// Whether the size of a volume is told.
    pub tells_capacity: bool,
    /// Whether a volume for one writer is published at one path of its node only.
    pub one_path: bool,
    /// Whether a volume may be for many tasks of one node.
    pub multi_writer: bool,
    /// Whether one controller serves all nodes, and their plugins are none.
    pub one_controller: bool,
    /// From where volumes can be reached.
    pub reach: Reach,
    /// Whether all parameters in force are confirmed, beside those that were asked for.
    pub confirms_all: bool,
    /// Whether volumes are listed.
    pub lists: bool,
    /// Whether a volume is attached before it is mounted.
    pub attaches: bool,
    /// Whether it is staged before.
    pub stages: bool,
    /// How long CreateVolume takes; the other calls a tenth.
    pub slow: Duration,
    /// How often a call is put off before it is answered.
    pub pending: u32,
    /// How often it says at first that it is not ready yet.
    pub starting: u32,
    /// Whether a volume is made larger while a node has it.
    pub expands_in_use: bool,
    /// How often a snapshot is said to be taken, and not to be ready yet.
    pub settling: u32,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            rounds_to: 1,
            minimum: 0,
            tells_minimum: false,
            tells_capacity: true,
            one_path: false,
            multi_writer: false,
            one_controller: false,
            reach: Reach::Everywhere,
            confirms_all: false,
            lists: true,
            attaches: true,
            stages: true,
            slow: Duration::ZERO,
            pending: 0,
            starting: 0,
            expands_in_use: true,
            settling: 0,
        }
    }
}

/// How often each call was put off.
pub type PutOff = Arc<Mutex<BTreeMap<(&'static str, String), u32>>>;

impl Ways {
    /// A call begins, about a volume: it takes its time, or is put off.
    pub async fn begin(&self, put_off: &PutOff, rpc: &'static str, about: &str) -> Result<(), Status> {
        let slow = if rpc == "CreateVolume" { self.slow } else { self.slow / 10 };
        if !slow.is_zero() {
            waiting::pause(slow).await;
        }
        match count(put_off, rpc, about, self.pending) {
            None => Ok(()),
            Some(before) if before.is_multiple_of(2) => Err(Status::aborted("an operation on it is pending")),
            Some(_) => Err(Status::unavailable("the storage is being asked")),
        }
    }

    /// Whether volumes can be made from a snapshot by now.
    pub fn has_settled(&self, put_off: &PutOff, snapshot: &str) -> bool {
        count(put_off, "a snapshot", snapshot, self.settling).is_none()
    }

    /// Whether it is ready by now.
    pub fn started(&self, put_off: &PutOff) -> Result<bool, Status> {
        match count(put_off, "Probe", "", self.starting) {
            None => Ok(true),
            Some(before) if before + 1 == self.starting => Ok(false),
            Some(_) => Err(Status::failed_precondition("the storage is not there yet")),
        }
    }
}

/// How often it was put off before this time; none, where it is not any more.
fn count(put_off: &PutOff, rpc: &'static str, about: &str, times: u32) -> Option<u32> {
    if times == 0 {
        return None;
    }
    let mut counts = put_off.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry((rpc, about.to_owned())).or_default();
    if *count >= times {
        return None;
    }
    *count += 1;
    Some(*count - 1)
}
