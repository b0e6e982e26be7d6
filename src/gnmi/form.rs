//! The forms that a read is put in: what one device refuses, another wants.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tonic::Code;

use super::path::Path;
use super::request::Envelope;
use crate::error::{Error, code_name};
use crate::wire::gnmi::Encoding;

/// The encodings that this client reads, the one that it likes best first.
pub const ENCODINGS: [Encoding; 3] = [Encoding::Proto, Encoding::JsonIetf, Encoding::Json];

/// What stands for whichever device answers.
const ANY_TARGET: &str = "*";

/// Which RPC reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Subscribe ONCE.
    Once,
    /// Get.
    Get,
}

/// A form to put a read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// By which RPC.
    pub reader: Reader,
    /// In which encoding.
    pub encoding: Encoding,
    /// Whether paths have the origin `openconfig`; others keep their own.
    pub origin: bool,
    /// Whether the request names a target in its prefix, any: gNMI's own collector answers no other.
    pub target: bool,
}

impl Form {
    /// What requests carry beside their paths.
    pub fn envelope(self) -> Envelope {
        let target = if self.target { ANY_TARGET.to_owned() } else { String::new() };
        Envelope { target, ..Envelope::default() }
    }

    /// A path as it is asked for.
    #[must_use]
    pub fn path(self, path: &Path) -> Path {
        let origin = match (path.origin.as_str(), self.origin) {
            ("" | "openconfig", true) => "openconfig",
            ("" | "openconfig", false) => "",
            (other, _) => other,
        };
        Path { origin: origin.to_owned(), elements: path.elements.clone() }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reader = match self.reader {
            Reader::Once => "Subscribe ONCE",
            Reader::Get => "Get",
        };
        let origin = if self.origin { "with origin openconfig" } else { "without an origin" };
        let target = if self.target { " for any target" } else { "" };
        write!(f, "{reader} in {} {origin}{target}", self.encoding.as_str_name())
    }
}

/// Whether a device refuses what it was asked, and may answer when it is asked otherwise: whatever its code is, but not
/// that of a device that is away, too slow, or of a user without rights.
pub fn refuses_form(error: &Error) -> bool {
    !matches!(
        error.code(),
        None | Some(
            Code::Ok
                | Code::DataLoss // also what cannot be read
                | Code::DeadlineExceeded
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unavailable
        )
    )
}

/// A refusal that says what of a request the device may not have taken.
#[must_use]
pub fn not_taken(error: Error, unusual: &[String]) -> Error {
    let refused = matches!(error.code(), Some(Code::Unimplemented | Code::InvalidArgument | Code::OutOfRange));
    if refused && !unusual.is_empty() {
        return error
            .hint(format!("the device may not take {}: leave it out, or ask in another way", unusual.join(", ")));
    }
    error
}

/// An error that says, beside the device's own words, what it was asked.
#[must_use]
pub fn asked(error: Error, what: &str) -> Error {
    let said = if error.message.is_empty() { "no message" } else { &error.message };
    let hint = match error.code() {
        Some(code) => {
            format!("{} to every form that was tried: look at what gNMI of this device serves", code_name(code))
        }
        None => return error,
    };
    let message = format!("{said} (asked for {what})");
    Error { message, ..error }.hint(hint)
}

/// The encoding that was served, for each reader.
#[derive(Debug, Default)]
pub struct Served(Mutex<[Option<Encoding>; 2]>);

impl Served {
    /// None until leaves came.
    pub fn get(&self, reader: Reader) -> Option<Encoding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[reader as usize]
    }

    /// Leaves came in this encoding.
    pub fn set(&self, reader: Reader, encoding: Encoding) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[reader as usize] = Some(encoding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_form_gives_paths_their_origin_and_leaves_other_origins_alone() {
        let form = Form { reader: Reader::Once, encoding: Encoding::Proto, origin: true, target: false };
        let path = Path::component("A");
        assert_eq!(form.path(&path).origin, "openconfig");
        let bare = Form { origin: false, ..form }.path(&path);
        assert_eq!((bare.origin.as_str(), bare.elements), ("", path.elements.clone()));
        let cli = Path { origin: "cli".to_owned(), ..path };
        assert_eq!(form.path(&cli), cli);
    }

    #[test]
    fn a_device_that_is_away_or_knows_no_such_user_refuses_no_form() {
        let refuses = |code| refuses_form(&Error::new(Kind::Status(code), ""));
        for code in [Code::InvalidArgument, Code::Unimplemented, Code::NotFound, Code::Internal, Code::Unknown] {
            assert!(refuses(code), "{code:?}");
        }
        assert!(refuses(Code::FailedPrecondition) && refuses(Code::OutOfRange) && refuses(Code::Aborted));
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Unauthenticated, Code::PermissionDenied] {
            assert!(!refuses(code), "{code:?}");
        }
        assert!(!refuses_form(&Error::new(Kind::Timeout, "")));
    }
}
