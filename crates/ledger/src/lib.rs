//! The ledger: numbered, chained records on a volume, acknowledged once they are on the disk; and the comparison of
//! what was acknowledged with what is there. Builds without gRPC or tokio. The format is documented in docs/ledger.md.

mod acknowledgement;
pub mod listing;
mod medium;
mod payload;
mod record;
mod task;
mod verify;
mod writer;

pub use acknowledgement::WriterMessage;
pub use medium::{Medium, OnFile};
pub use payload::generate;
pub use record::{BLOCK, Head, Identity, MAX_PAYLOAD, ORIGIN, Place, Record, hash_from};
pub use task::{Stop, Work, run};
pub use verify::{Finding, Judge, Receipt, verify};
pub use writer::{Opening, Refused, Writer, sync_folder};

/// What a ledger's bytes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// All records, in the order of the file, up to what is none.
    pub records: Vec<Record>,
    /// Whether something follows on them that is neither empty nor the torn end of a write.
    pub damaged: bool,
}

/// Reads the records of a ledger that is small enough for the memory.
pub fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading { records: Vec::new(), damaged: false };
    for place in bytes.chunks(BLOCK).map(Place::of) {
        match place {
            Place::Record(record) => reading.records.push(record),
            Place::Nothing | Place::Torn => {}
            Place::Damaged(_) => {
                reading.damaged = true;
                break;
            }
        }
    }
    reading
}
