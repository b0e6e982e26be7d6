//! What this machine refuses the emulated device, and what to try against it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use holdfast_net::error::Error;
use holdfast_net::waiting;

/// After how long a connection is taken again that could not be, or an address opened.
pub const TRY_AGAIN: Duration = Duration::from_millis(100);

/// The advice for an error: where this process or the machine has no more files to open, that it is so whatever was
/// tried, else `usual`.
pub fn advice(error: &io::Error, usual: &'static str) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "an emulated device opens about 7 files, and more with each client: let the process open more \
             (ulimit -n NUMBER before it starts), or run fewer devices"
        }
        Some(Errno::NFILE) => "the whole machine has no more files to open: raise fs.file-max, or end what holds them",
        _ => usual,
    }
}

/// An address at which nothing can be served.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> Error {
    let made = Error::invalid(format!("the emulated device cannot listen on {address}: {error}"));
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => made.hint("choose another port, or port 0 for a free one"),
        Some(Errno::ADDRNOTAVAIL) => {
            made.hint("this machine has no such address: choose one of its own (on Linux all below 127.0.0.0/8 are)")
        }
        Some(Errno::ACCESS) => made.hint("ports below 1024 are often for root alone: choose a higher one"),
        Some(Errno::AFNOSUPPORT) => made.hint("this machine does not do that kind of address: choose one of the other"),
        _ => match advice(error, "") {
            "" => made,
            such => made.hint(such),
        },
    }
}

/// A connection could not be taken: it waits on, and so would be refused again and again without a pause.
pub async fn not_accepted(what: &str, error: &io::Error) {
    tracing::warn!("{what} cannot take a connection: {error}: {}", advice(error, "it is tried again"));
    waiting::pause(TRY_AGAIN).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands there of an error, for whoever reads it.
    fn told(errno: Errno) -> String {
        let error = cannot_listen(SocketAddr::from(([192, 0, 2, 1], 9339)), &errno.into());
        format!("{error}: {}", error.hint.as_deref().unwrap_or_default())
    }

    #[test]
    fn only_a_port_that_is_taken_calls_for_another_port() {
        assert!(told(Errno::ADDRINUSE).contains("choose another port"));
        for other in [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::AFNOSUPPORT, Errno::NOBUFS] {
            assert!(!told(other).contains("another port"), "{}", told(other));
        }
        assert!(told(Errno::ADDRNOTAVAIL).contains("no such address"));
        assert!(told(Errno::ACCESS).contains("choose a higher one"));
    }

    #[test]
    fn a_limit_of_open_files_is_told_wherever_it_is_met() {
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert!(told(errno).contains("files to open") || told(errno).contains("ulimit -n"), "{}", told(errno));
            assert_ne!(advice(&errno.into(), "the usual"), "the usual");
        }
        assert_eq!(advice(&Errno::ACCESS.into(), "the usual"), "the usual");
    }
}
