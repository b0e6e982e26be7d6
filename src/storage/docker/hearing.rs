//! Where a task in a container acknowledges: a socket of its own that the tester listens on.

use std::net::IpAddr;
use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::ledger::Told;
use crate::storage::nodes::Tell;

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
    listening: JoinHandle<()>,
    socket: Option<PathBuf>,
}

fn failed(error: &std::io::Error) -> Error {
    Error::invalid(format!("no socket for acknowledgements: {error}"))
}

impl Channels {
    /// Makes what the nodes' containers shall see.
    pub fn prepare(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => std::fs::create_dir_all(folder).map_err(|error| failed(&error)),
            Self::Tcp(_) => Ok(()),
        }
    }

    /// Listens for a task; all that it tells is passed on.
    pub fn listen(&self, task: &str, tell: Tell, runtime: &Handle) -> Result<Hearing> {
        let (closed, told) = watch::channel(false);
        let _entered = runtime.enter();
        match self {
            Self::Folder(folder) => {
                let path = folder.join(format!("{task}.sock"));
                let listener = UnixListener::bind(&path).map_err(|error| failed(&error))?;
                let address = format!("unix:{WITHIN}/{task}.sock");
                let listening = runtime.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        hear(stream, &tell, told.clone()).await;
                    }
                });
                Ok(Hearing { address, closed, listening, socket: Some(path) })
            }
            Self::Tcp(address) => {
                let listener = runtime.block_on(TcpListener::bind((*address, 0))).map_err(|error| failed(&error))?;
                let address = format!("tcp:{}", listener.local_addr().map_err(|error| failed(&error))?);
                let listening = runtime.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        hear(stream, &tell, told.clone()).await;
                    }
                });
                Ok(Hearing { address, closed, listening, socket: None })
            }
        }
    }
}

impl Hearing {
    /// Lets the task end after what it is at: it writes until its socket has no other side.
    pub fn close(&self) {
        let _ = self.closed.send(true); // nobody listens where the task never came
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
                Ok(Some(line)) => tell(line.parse().unwrap_or_else(Told::Failed)),
                _ => return,
            },
        }
    }
}
