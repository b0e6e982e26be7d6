//! Trouble of a lab over the wire: what the lab's own driver is made of is the lab's too.

use tonic::Status;
use tonic::metadata::MetadataValue;

use holdfast_net::error::Error;

/// In a status: that it is no answer of a driver, but trouble of the lab that it belongs to.
const KEY: &str = "holdfast-lab-trouble";

/// The status of an error of the lab.
pub fn status(error: &Error) -> Status {
    let mut status = Status::internal(error.message.clone());
    status.metadata_mut().insert(KEY, MetadataValue::from_static("1"));
    status
}

/// The error of a status. What helps with a target's answer does not with a driver's: nobody logs in there.
pub fn error(status: &Status) -> Error {
    let error = Error { remedy: None, ..Error::from_status(status) };
    if status.metadata().contains_key(KEY) { error.of_lab() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_net::error::Kind;

    #[test]
    fn a_driver_is_not_logged_in_to() {
        let refused = error(&Status::unauthenticated("no secret"));
        assert_eq!((refused.code(), refused.remedy), (Some(tonic::Code::Unauthenticated), None));
    }

    #[test]
    fn trouble_of_the_lab_is_known_behind_a_status() {
        assert_eq!(error(&status(&Error::lab("mkfs.ext4"))).to_string(), "mkfs.ext4");
        assert_eq!(error(&status(&Error::lab("mkfs.ext4"))).kind, Kind::Lab);
        assert_eq!(error(&Status::internal("no")).kind, Kind::Status(tonic::Code::Internal));
    }
}
