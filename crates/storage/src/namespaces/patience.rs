//! Reading what may never answer: whoever reads from a mount whose server hangs is held for good, and that is
//! a thread of its own.

use std::io::{Error, ErrorKind, Read, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_net::waiting::blocking::received;

/// As much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// So many of these are read ahead.
const AHEAD: usize = 2;

fn late() -> Error {
    Error::new(ErrorKind::TimedOut, "it does not answer in time: whoever serves the mount hangs")
}

/// Does what may never end; an error, where it did not by the deadline.
pub fn in_time<T: Send + 'static>(deadline: Instant, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || sender.send(work())); // nobody may listen any more
    received(&receiver, deadline.saturating_duration_since(Instant::now())).unwrap_or_else(|_| Err(late()))
}

/// What comes out of something, as long as more comes in time: a large volume takes its time, one that hangs is given up.
pub struct Patient {
    pieces: Option<Receiver<Result<Vec<u8>>>>,
    /// Ends once nothing is open any more.
    closed: Receiver<()>,
    piece: Vec<u8>,
    read: usize,
    limit: Duration,
}

impl Patient {
    /// Begins to read; each piece may take so long.
    pub fn new(mut from: impl Read + Send + 'static, limit: Duration) -> Self {
        let (sender, pieces) = sync_channel(AHEAD);
        let (closing, closed) = sync_channel(0);
        thread::spawn(move || {
            loop {
                let mut piece = Vec::new();
                let read = from.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                let is_last = !matches!(read, Ok(count) if count > 0);
                if sender.send(read.map(|_| piece)).is_err() || is_last {
                    break;
                }
            }
            drop(from);
            drop::<SyncSender<()>>(closing);
        });
        Self { pieces: Some(pieces), closed, piece: Vec::new(), read: 0, limit }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.read == self.piece.len() {
            self.read = 0;
            self.piece = match self.pieces.as_ref().map(|pieces| received(pieces, self.limit)) {
                Some(Ok(piece)) => piece?,
                Some(Err(RecvTimeoutError::Timeout)) => {
                    self.limit = Duration::ZERO; // nor is its end waited for
                    return Err(late());
                }
                Some(Err(RecvTimeoutError::Disconnected)) | None => Vec::new(), // the last piece was an empty one
            };
        }
        let count = buffer.len().min(self.piece.len() - self.read);
        buffer[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

impl Drop for Patient {
    /// What is open holds a mount: it is closed before anybody goes on, unless it hangs.
    fn drop(&mut self) {
        drop(self.pieces.take());
        let _ = received(&self.closed, self.limit); // its end is what is waited for
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_answers_is_read_whole() {
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|at| at.to_le_bytes()[0]).collect();
        let mut found = Vec::new();
        let long = Duration::from_secs(60);
        Patient::new(std::io::Cursor::new(bytes.clone()), long).read_to_end(&mut found).expect("it is read");
        assert!(found == bytes);
    }

    #[test]
    fn nothing_is_open_once_it_was_read() {
        for read in [0, 5, 4 * PIECE] {
            let (from, mut held) = std::io::pipe().expect("a pipe");
            let writing = thread::spawn(move || while held.write_all(&vec![0; PIECE]).is_ok() {});
            let mut patient = Patient::new(from, Duration::from_secs(60));
            patient.read_exact(&mut vec![0; read]).expect("it is read");
            drop(patient);
            writing.join().expect("whoever writes is told that nobody reads");
        }
    }

    #[test]
    fn what_does_not_answer_is_not_waited_for() {
        let (silent, mut held) = std::io::pipe().expect("a pipe");
        held.write_all(b"half").expect("written");
        let soon = Duration::from_millis(50);
        let error = Patient::new(silent, soon).read_to_end(&mut Vec::new()).expect_err("it never ends");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let (mut silent, _held) = std::io::pipe().expect("a pipe");
        let error = in_time(Instant::now() + soon, move || silent.read(&mut [0])).expect_err("it never ends");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
