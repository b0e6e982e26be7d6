//! Where a plugin serves, and a connection to it.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use holdfast_net::dial::connection::Patience;
use holdfast_net::dial::{BoxedIo, Connection};
use holdfast_net::error::{ConnectFault, Error, Kind, Result};

/// A driver that takes its time over a volume is not gone; deadlines say how long it may.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(600), answer: Duration::from_secs(60) };

/// Where a plugin serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = Error;

    /// `unix:///PATH` or `tcp://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::invalid(format!("{text:?} is no socket of a plugin: {why}"));
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp", address)) => {
                let found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.next();
                found.map(Self::Tcp).ok_or_else(|| wrong("the name has no address".to_owned()))
            }
            _ => Err(wrong("unix:///PATH or tcp://HOST:PORT".to_owned())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl Endpoint {
    /// One connection for each call: a plugin that was replaced is met at once.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let stream: std::io::Result<BoxedIo> = match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as BoxedIo),
            Self::Tcp(address) => TcpStream::connect(address).await.map(|stream| Box::new(stream) as BoxedIo),
        };
        let stream = stream.map_err(|error| {
            Error::new(Kind::Connect(ConnectFault::Unreachable), error.to_string())
                .hint("is the plugin running, and may this user open its socket?")
        })?;
        Connection::plain(stream, PATIENCE).await.map_err(|error| match error.kind {
            Kind::Connect(ConnectFault::NotGrpc) => error
                .hint("a CSI driver's socket speaks gRPC; one of Docker's volume plugins wants `kind: docker-plugin`"),
            _ => error,
        })
    }
}
