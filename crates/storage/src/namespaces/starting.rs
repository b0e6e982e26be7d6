//! Starting what runs on a node from then on: a plugin, the server, an engine. And what it printed.

use std::io::{PipeReader, Read, Seek, Write};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For a process to start within a node, which is the lab's affair.
const START: Duration = Duration::from_secs(5);
/// What is kept of what a part prints, in bytes: twice that at times.
const KEPT: usize = 512 << 10;

/// A part that was started.
#[derive(Clone)]
pub struct Started {
    /// The process outside that waits for its end, and leads its process group.
    pub waiting: u32,
    /// How its command ended, where it did.
    pub ended: Arc<Mutex<Option<ExitStatus>>>,
}

impl Started {
    /// The process group that its command began in.
    pub fn group(&self) -> i32 {
        i32::try_from(self.waiting).unwrap_or_default()
    }

    /// How its command ended, where it did; what that started may live on.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets who waits for its end go on: it was stopped with it, and would never see it.
    pub fn wake(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.group()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT); // it may have ended
        }
    }
}

/// A line of what somebody printed as it may be shown: what does not print is escaped.
pub fn plain(line: &str) -> String {
    line.chars().flat_map(|each| if each.is_control() { each.escape_default().collect() } else { vec![each] }).collect()
}

/// Keeps what comes in a file until nothing can come any more, and no more of it than its end.
pub fn keep(mut from: PipeReader, log: &Path) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let _ = append(log, &buffer[..count]); // a full disk is told by whoever needs it
    }
}

/// More than one may print into one log: who is started anew, and what the one before left.
static LOGS: Mutex<()> = Mutex::new(());

fn append(log: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let _alone = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(log)?;
    file.write_all(bytes)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length <= 2 * KEPT {
        return Ok(());
    }
    let mut all = Vec::with_capacity(length);
    file.rewind()?;
    file.read_to_end(&mut all)?;
    let last = &all[all.len() - KEPT..];
    // whole lines alone: half a secret is not known for one
    let whole = last.iter().position(|byte| *byte == b'\n').map_or(&last[last.len()..], |end| &last[end + 1..]);
    std::fs::write(log, whole)
}

/// Waits until a shell within has told its process id: whoever did not get so far was never started.
pub fn wait_started(child: &mut Child, pid: &Path, what: &str) -> Result<()> {
    let (mut ended, mut started) = (None, false);
    let _ = wait_until(Instant::now() + START, "its start", || {
        ended = child.try_wait().ok().flatten();
        started = std::fs::read_to_string(pid).is_ok_and(|pid| pid.ends_with('\n')); // also of one that ended since
        started || ended.is_some()
    });
    if started {
        return Ok(());
    }
    let _ = child.kill(); // it may have ended
    let _ = child.wait();
    let why = ended.map_or_else(|| "not in time".to_owned(), |status| status.to_string());
    Err(Error::lab(format!("nsenter did not start {what}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_end_of_what_is_printed_in_whole_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let (printed, mut printer) = std::io::pipe().expect("a pipe");
        let (copy, to) = (log.clone(), folder.path().to_owned());
        let keeping = std::thread::spawn(move || keep(printed, &copy));
        for number in 0..400_000 {
            writeln!(printer, "line {number:08}").expect("written");
        }
        drop(printer);
        keeping.join().expect("no panic");
        let kept = std::fs::read_to_string(&log).expect("a log");
        assert!(kept.len() <= 2 * KEPT && kept.len() >= KEPT / 2, "{}", kept.len());
        assert!(kept.lines().all(|line| line.len() == 13), "{to:?}");
        assert!(kept.ends_with("line 00399999\n"));
    }

    #[test]
    fn what_a_plugin_prints_acts_on_no_terminal() {
        assert_eq!(plain("no\x1b[2J such\u{7} thing"), "no\\u{1b}[2J such\\u{7} thing");
    }
}
