//! A way into a lab's network from outside: a port of this machine's loopback that leads to an address within.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use holdfast_net::error::{Error, Result};

/// For a connection within, which is one machine's.
const CONNECT: Duration = Duration::from_secs(2);

/// A relay; it ends when this is dropped.
pub struct Relay {
    address: SocketAddr,
    relaying: JoinHandle<()>,
}

impl Relay {
    /// To an address in the network of a process. Must be called within a runtime, from where blocking is allowed.
    pub fn into_network_of(pid: u32, target: SocketAddr) -> Result<Self> {
        let failed = |error: std::io::Error| Error::lab_io("no relay into the lab", error);
        let network = Arc::new(std::fs::File::open(format!("/proc/{pid}/ns/net")).map_err(failed)?);
        let runtime = Handle::current();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let relaying = runtime.spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                let network = network.clone();
                tokio::spawn(async move {
                    let connecting = tokio::task::spawn_blocking(move || connect(&network, target));
                    if let Ok(Ok(inside)) = connecting.await {
                        pass(outside, inside).await;
                    }
                });
            }
        });
        Ok(Self { address, relaying })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

async fn pass(mut outside: TcpStream, inside: std::net::TcpStream) {
    if inside.set_nonblocking(true).is_ok()
        && let Ok(mut inside) = TcpStream::from_std(inside)
    {
        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await; // each side may end it
    }
}

/// A socket is of the network that its thread was in when it was made.
fn connect(network: &std::fs::File, target: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            // of this thread alone, which ends with that
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            std::net::TcpStream::connect_timeout(&target, CONNECT)
        });
        connecting.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
    })
}
