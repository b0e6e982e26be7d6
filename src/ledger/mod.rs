//! The ledger: numbered, chained records on a volume, acknowledged once they are on the disk; and the comparison of
//! what was acknowledged with what is there. Builds without gRPC or tokio. The format is documented in docs/ledger.md.

mod record;
mod verify;
mod writer;

pub use record::{Reading, Record, Remainder, read};
pub use verify::{Finding, verify};
pub use writer::{Refused, Writer};
