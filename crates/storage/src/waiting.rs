//! Waiting for what the machine does: processes, mounts, files.

use std::time::{Duration, Instant};

use holdfast_net::error::{Error, Kind, Result};

/// Waits until something holds, looking often.
pub fn wait_until(deadline: Instant, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    while !holds() {
        if Instant::now() >= deadline {
            return Err(Error::new(Kind::Timeout, format!("{what} did not come in time")));
        }
        let _ = never.recv_timeout(Duration::from_millis(10)); // nothing ever comes: it waits
    }
    Ok(())
}
