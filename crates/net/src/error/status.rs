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
    #[error("there is more than is taken")]
    TooMuch,
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

/// For an answer of more than we take: `RESOURCE_EXHAUSTED`, which is our limit and not the peer's.
pub fn too_much(message: impl Into<String>) -> Status {
    ours(Status::resource_exhausted(message), Ours::TooMuch)
}

/// What servers say that refuse more calls for now, in small letters; that they have no room for something is put otherwise.
const THROTTLING: [&str; 6] = ["rate limit", "rate-limit", "ratelimit", "too many", "throttl", "at capacity"];
/// The same to what needs no room: it can mean nothing else.
const THROTTLING_READS: [&str; 5] = ["limit", "exceed", "quota", "capacity", "try again"];
/// What servers say, in small letters, whose container engine is not up yet.
const NOT_UP: [&str; 6] =
    ["cannot connect to", "connection refused", "is starting", "not ready", "initializing", "try again"];

fn says(status: &Status, words: &[&str]) -> bool {
    let said = status.message().to_lowercase();
    words.iter().any(|words| said.contains(words))
}

/// Whether a peer takes no more calls for now, by its own word: nothing was done.
pub fn is_throttled(status: &Status, only_reads: bool) -> bool {
    let says_so = says(status, &THROTTLING) || only_reads && says(status, &THROTTLING_READS);
    status.code() == Code::ResourceExhausted && !is_ours(status) && says_so
}

/// Whether a peer that has just come up refuses a change because it cannot take any yet: nothing was done.
pub fn is_not_up_yet(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Aborted => true,
        Code::Unknown | Code::Internal | Code::FailedPrecondition => says(status, &NOT_UP),
        _ => false,
    }
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
    fn a_peer_takes_no_more_for_now_only_where_it_says_so_itself() {
        let full = Status::resource_exhausted("no space left on device");
        let quota = Status::resource_exhausted("disk quota exceeded");
        let busy = Status::resource_exhausted("gRPC Rate Limit exceeded");
        assert!(is_throttled(&busy, true) && is_throttled(&busy, false));
        assert!(is_throttled(&quota, true) && !is_throttled(&quota, false), "what reads needs no disk");
        assert!(
            !is_throttled(&full, true) && !is_throttled(&full, false) && !is_throttled(&too_much("rate limit"), true)
        );
        assert!(!is_throttled(&Status::unavailable("rate limit"), true));
    }

    #[test]
    fn what_comes_up_refuses_in_many_ways() {
        let daemon =
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
        for status in [
            Status::unavailable(""),
            Status::aborted("another operation is under way"),
            Status::unknown(daemon),
            Status::internal("dial unix /run/containerd.sock: connect: connection refused"),
            Status::failed_precondition("the container manager is not ready"),
        ] {
            assert!(is_not_up_yet(&status), "{status:?}");
        }
        for status in [
            Status::unknown("no such image"),
            Status::failed_precondition("the container runs"),
            Status::resource_exhausted("not ready"),
            Status::not_found("not ready"),
        ] {
            assert!(!is_not_up_yet(&status), "{status:?}");
        }
    }

    #[test]
    fn every_code_has_a_name_that_reads_back() {
        for number in 0..17 {
            let code = Code::from_i32(number);
            assert_eq!(code_by_name(code_name(code)), Some(code));
        }
    }
}
