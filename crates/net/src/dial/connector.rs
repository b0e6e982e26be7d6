//! How bytes get to an address. Sessions take it as a parameter, so that a simulated network can stand in.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::Address;

/// Anything that carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection's bytes, whatever carries them.
pub type BoxedIo = Box<dyn Io>;

/// A boxed future, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Resolves names and opens connections.
pub trait Connector: Send + Sync + 'static {
    /// All addresses of a host, in the order to try them.
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
    /// One connection.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>>;
}

/// The operating system's resolver and TCP.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tcp;

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up; where it can be told.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

impl Connector for Tcp {
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((address.host.as_str(), address.port)).await?.collect()) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            // HTTP/2 pings would be answered with GOAWAY too_many_pings by default gRPC servers; TCP's are not seen.
            let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(2)).with_interval(Duration::from_secs(1));
            socket.set_tcp_keepalive(&keepalive)?;
            #[cfg(target_os = "linux")]
            socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
            Ok(Box::new(stream) as BoxedIo)
        })
    }
}
