//! Where a task in a container acknowledges: a socket of its own that the tester listens on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::lab::BEGUN;
use crate::nodes::Tell;
use holdfast_ledger::{Receipt, WriterMessage};
use holdfast_net::error::{Error, Result};

/// How tasks reach the tester.
#[derive(Debug, Clone)]
pub enum Channels {
    /// By unix sockets in this folder, which nodes share with the tester.
    Folder(PathBuf),
    /// By TCP at this address of the tester.
    Tcp(IpAddr),
}

/// Where a container sees the folder of the sockets.
pub const WITHIN: &str = "/acknowledge";

/// The tester's end for one task.
pub struct Hearing {
    /// What the task is told.
    pub address: String,
    closed: watch::Sender<bool>,
    ended: Arc<AtomicBool>,
    listening: JoinHandle<()>,
    socket: Option<PathBuf>,
}

fn failed(error: std::io::Error) -> Error {
    Error::lab_io("no socket for acknowledgements", error)
}

impl Channels {
    /// Makes what the nodes' containers shall see.
    pub fn prepare(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => std::fs::create_dir_all(folder).map_err(failed),
            Self::Tcp(_) => Ok(()),
        }
    }

    /// Listens for a task; all that it tells is passed on.
    pub fn listen(&self, task: &str, tell: Tell, runtime: &Handle) -> Result<Hearing> {
        let (closed, closing) = watch::channel(false);
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let _entered = runtime.enter();
        match self {
            Self::Folder(folder) => {
                let path = folder.join(format!("{task}.sock"));
                let listener = UnixListener::bind(&path).map_err(failed)?;
                let address = format!("unix:{WITHIN}/{task}.sock");
                let listening = runtime.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        hear(stream, &tell, closing.clone()).await;
                        end.store(true, Ordering::Release);
                    }
                });
                Ok(Hearing { address, closed, ended, listening, socket: Some(path) })
            }
            Self::Tcp(address) => {
                let listener = runtime.block_on(TcpListener::bind((*address, 0))).map_err(failed)?;
                let address = format!("tcp:{}", listener.local_addr().map_err(failed)?);
                let listening = runtime.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let clock = OtherClock::default();
                        let tell: Tell = {
                            let tell = tell.clone();
                            Arc::new(move |message: std::result::Result<WriterMessage, String>| {
                                tell(message.map(|message| clock.translate(message)));
                            })
                        };
                        hear(stream, &tell, closing.clone()).await;
                        end.store(true, Ordering::Release);
                    }
                });
                Ok(Hearing { address, closed, ended, listening, socket: None })
            }
        }
    }
}

/// The clock of another machine, which must be known to put its acknowledgements in order with those of others: they
/// may arrive late, after its network came back.
#[derive(Default)]
pub struct OtherClock {
    ahead: Mutex<Option<i128>>,
}

impl OtherClock {
    fn held(&self) -> MutexGuard<'_, Option<i128>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it by a line that may have been long on its way: of several the one that was quickest is right.
    pub fn set_by(&self, at: Option<u64>) {
        let now = i128::try_from(BEGUN.elapsed().as_nanos()).unwrap_or_default();
        let mut ahead = self.held();
        if let (Some(at), Some(known)) = (at, *ahead) {
            *ahead = Some(known.max(i128::from(at) - now));
        }
    }

    /// The same, by our clock. The first line of a task comes as soon as it was told.
    pub fn translate(&self, message: WriterMessage) -> WriterMessage {
        let now = i128::try_from(BEGUN.elapsed().as_nanos()).unwrap_or_default();
        match message {
            WriterMessage::Opened(number, Some(at)) => {
                *self.held() = Some(i128::from(at) - now); // it opens once
                WriterMessage::Opened(number, Some(at))
            }
            WriterMessage::Acknowledged(receipt) => {
                let ahead = *self.held();
                let ours = |at: u64| u64::try_from(i128::from(at) - ahead?).ok();
                WriterMessage::Acknowledged(Receipt { at: receipt.at.and_then(ours), ..receipt })
            }
            message => message,
        }
    }
}

impl Hearing {
    /// Of what a task prints, as `listening` passes it on; `ended` once it is known to have ended. Nothing can be told
    /// to the task.
    pub fn by_log(ended: Arc<AtomicBool>, listening: JoinHandle<()>) -> Self {
        let (closed, _) = watch::channel(false);
        Self { address: "-".to_owned(), closed, ended, listening, socket: None }
    }

    /// Lets the task end after what it is at: it writes until its socket has no other side.
    pub fn close(&self) {
        let _ = self.closed.send(true); // nobody listens where the task never came
    }

    /// Whether the task came, and has no socket any more: its process has ended, whatever is said of its container.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.listening.abort();
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket); // the folder may be gone already
        }
    }
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: S, tell: &Tell, mut closed: watch::Receiver<bool>) {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    let mut open = true;
    loop {
        tokio::select! {
            _ = closed.changed(), if open => {
                open = false;
                let _ = write.shutdown().await; // it may have ended by itself
            }
            line = lines.next_line() => match line {
                Ok(Some(line)) => tell(line.parse()),
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_ledger::{Head, Identity};

    #[test]
    fn what_another_machine_acknowledged_is_dated_by_our_clock() {
        let other = OtherClock::default();
        let head = Head {
            identity: Identity { run: 1, writer: 1, incarnation: 1 },
            number: 1,
            offset: 0,
            previous: [0; 32],
            length: 0,
            hash: [0; 32],
        };
        let acknowledged =
            |at| WriterMessage::Acknowledged(Receipt { head: head.clone(), payload: None, at: Some(at) });
        let dated = |message| match message {
            WriterMessage::Acknowledged(receipt) => receipt.at,
            _ => None,
        };
        let opened = 9_000_000_000_000_000; // it has been up for longer than this process
        assert_eq!(dated(other.translate(acknowledged(opened))), None, "not before its clock is known");
        let now = || u64::try_from(BEGUN.elapsed().as_nanos()).expect("soon");
        let before = now();
        other.translate(WriterMessage::Opened(0, Some(opened)));
        let translated = before..=now();
        let second = dated(other.translate(acknowledged(opened + 1_000_000_000))).expect("dated");
        assert!(
            translated.contains(&(second - 1_000_000_000)),
            "{second} is a second after it opened, in {translated:?}"
        );
    }
}
