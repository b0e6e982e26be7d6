//! Running a command to its end, in time, whatever it leaves running.

use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use holdfast_net::waiting::blocking::wait_until;

/// What became of a command.
pub struct Done {
    /// How it ended; none, where it had to be killed.
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub printed: String,
    /// What it complained of.
    pub complaint: String,
}

/// Runs a command to its end; one that has not ended by the deadline is killed, with all that it started.
pub fn to_end(mut command: Command, input: &str, deadline: Instant) -> std::io::Result<Done> {
    // files, since what a command leaves running may hold a pipe open for ever
    let (mut given, mut printed, mut complaint) = (tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?);
    given.write_all(input.as_bytes())?;
    given.rewind()?;
    command.stdin(Stdio::from(given)).stdout(printed.try_clone()?).stderr(complaint.try_clone()?);
    let mut running = command.process_group(0).spawn()?;
    let mut status = None;
    let ended = wait_until(deadline, "the end of a command", || {
        status = running.try_wait().ok().flatten();
        status.is_some()
    });
    if ended.is_err() {
        let group = i32::try_from(running.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL); // it may have ended
        }
        running.wait()?;
    }
    let read = |file: &mut std::fs::File| -> std::io::Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Done { status, printed: read(&mut printed)?, complaint: read(&mut complaint)? })
}
