//! What a server means that answers UNKNOWN or INTERNAL with its container engine's own words.
//!
//! The reference server hands on what its engine says, of what is not there and of what is in use, without a status.

use tonic::Code;

use crate::error::{Error, Kind, Subject};

/// What engines say (Docker, podman, containerd), in small letters, and what it means.
const WORDS: [(Subject, &str, Code); 13] = [
    (Subject::Container, "no such container", Code::NotFound),
    (Subject::Container, "no container with name or id", Code::NotFound),
    (Subject::Plugin, "no such plugin", Code::NotFound),
    (Subject::Plugin, "plugin not found", Code::NotFound),
    (Subject::Plugin, "\" not found", Code::NotFound),
    (Subject::Plugin, "is enabled", Code::FailedPrecondition),
    (Subject::Plugin, "is already disabled", Code::FailedPrecondition),
    (Subject::Plugin, "is in use", Code::FailedPrecondition),
    (Subject::Volume, "no such volume", Code::NotFound),
    (Subject::Volume, "volume not found", Code::NotFound),
    (Subject::Volume, "no volume with name", Code::NotFound),
    (Subject::Volume, "volume is in use", Code::FailedPrecondition),
    (Subject::Volume, "volume is being used", Code::FailedPrecondition),
];

/// `error` with the status that the engine's words stand for; as it is where the server found a status of its own.
pub fn meant(subject: Subject, error: Error) -> Error {
    let Some(code @ (Code::Unknown | Code::Internal)) = error.code() else { return error.missing(subject) };
    let said = error.message.to_lowercase();
    let Some((_, _, meaning)) = WORDS.iter().find(|(about, words, _)| *about == subject && said.contains(words)) else {
        return error;
    };
    let message = format!("{} (said with {})", error.message, crate::error::code_name(code));
    Error { kind: Kind::Status(*meaning), message, ..error }.missing(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(subject: Subject, code: Code, words: &str) -> Option<Code> {
        meant(subject, Error::new(Kind::Status(code), words)).code()
    }

    #[test]
    fn engines_words_stand_for_a_status() {
        for (subject, words, means) in [
            (Subject::Container, "Error response from daemon: No such container: web", Code::NotFound),
            (Subject::Container, "no container with name or ID \"web\" found: no such container", Code::NotFound),
            (Subject::Plugin, "Error response from daemon: plugin \"agent\" not found", Code::NotFound),
            (Subject::Plugin, "plugin agent:latest is enabled - disable it first", Code::FailedPrecondition),
            (Subject::Volume, "get data: no such volume", Code::NotFound),
            (Subject::Volume, "remove data: volume is in use - [5c3b]", Code::FailedPrecondition),
            (Subject::Volume, "volume data is being used by: volume is being used", Code::FailedPrecondition),
        ] {
            assert_eq!(meaning(subject, Code::Unknown, words), Some(means), "{words}");
            assert_eq!(meaning(subject, Code::Internal, words), Some(means), "{words}");
        }
    }

    #[test]
    fn other_words_and_a_status_of_its_own_stay() {
        assert_eq!(meaning(Subject::Volume, Code::Unknown, "No such container: web"), Some(Code::Unknown));
        assert_eq!(meaning(Subject::Volume, Code::Unknown, "the disk is full"), Some(Code::Unknown));
        assert_eq!(meaning(Subject::Volume, Code::Unavailable, "no such volume"), Some(Code::Unavailable));
    }
}
