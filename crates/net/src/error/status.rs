//! Statuses of gRPC: their names, and those that we make ourselves of an answer that is none.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;

use tonic::{Code, Status};

/// The source of a status that we made, not the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Ours {
    #[error("the answer cannot be read")]
    Unreadable,
    #[error("the answer broke off")]
    BrokenOff,
    #[error("something between answered")]
    OfSomethingBetween,
}

impl Ours {
    fn of(status: &Status) -> Option<Self> {
        status.source().and_then(<dyn std::error::Error>::downcast_ref).copied()
    }
}

fn ours(mut status: Status, why: Ours) -> Status {
    status.set_source(Arc::new(why));
    status
}

/// For an answer that is cut short, or is none of gRPC: `DATA_LOSS`, which says that it is our finding.
pub fn unreadable(why: impl fmt::Display) -> Status {
    ours(Status::data_loss(format!("the answer cannot be read: {why}")), Ours::Unreadable)
}

/// The same of an answer whose end never came.
pub fn broken_off() -> Status {
    ours(Status::data_loss("the answer cannot be read: it ended without a status"), Ours::BrokenOff)
}

/// For an answer of something between us and the peer that did not hear from it: whether the peer was asked is unknown.
pub fn of_something_between(code: Code, message: impl Into<String>) -> Status {
    ours(Status::new(code, message), Ours::OfSomethingBetween)
}

/// Whether a status was made by `unreadable` or `broken_off`, not sent by the peer.
pub fn is_unreadable(status: &Status) -> bool {
    matches!(Ours::of(status), Some(Ours::Unreadable | Ours::BrokenOff))
}

/// Whether a status was made by `broken_off`.
pub fn is_broken_off(status: &Status) -> bool {
    Ours::of(status) == Some(Ours::BrokenOff)
}

/// Whether a status was made by `of_something_between`.
pub fn is_of_something_between(status: &Status) -> bool {
    Ours::of(status) == Some(Ours::OfSomethingBetween)
}

/// Whether a status was made by us, not sent by the peer.
pub fn is_ours(status: &Status) -> bool {
    Ours::of(status).is_some()
}

/// A status as gRPC's documents spell it.
pub fn code_name(code: Code) -> &'static str {
    CODES.iter().find(|(_, known)| *known == code).map_or("UNKNOWN", |(name, _)| name)
}

/// The status of that name.
pub fn code_by_name(name: &str) -> Option<Code> {
    CODES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

const CODES: [(&str, Code); 17] = [
    ("OK", Code::Ok),
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_that_reads_back() {
        for number in 0..17 {
            let code = Code::from_i32(number);
            assert_eq!(code_by_name(code_name(code)), Some(code));
        }
    }
}
