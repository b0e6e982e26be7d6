//! Serving gRPC on sockets that can be taken away: what the emulated device and the test container stand on.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;

/// What a client may have in flight to us: a default of 64 KiB would make every upload wait for each round trip.
const WINDOW: u32 = 16 << 20;
const MAX_FRAME: u32 = 1 << 20;

/// A listener at `address`, and what keeps its port from others while it is closed: a socket that is bound and does not
/// listen, so that dials are refused. Linux alone has such: of two sockets with one address, BSD and macOS refuse the
/// second. Nothing keeps the port there.
pub fn listen_and_reserve(address: SocketAddr) -> io::Result<(TcpListener, Option<Socket>)> {
    reserved(address, cfg!(target_os = "linux"))
}

/// The same, where `beside` says whether one socket may be bound beside another.
fn reserved(address: SocketAddr, beside: bool) -> io::Result<(TcpListener, Option<Socket>)> {
    let first = bound(address)?;
    if !beside {
        return Ok((listening(first)?, None));
    }
    let address = first.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no TCP address"))?;
    Ok((listen(address)?, Some(first)))
}

/// A listener at `address`, beside a reservation of ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listening(bound(address)?)
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// A TLS identity made on the spot, for a port whose clients do not verify it.
pub fn self_signed() -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(vec!["cntrsrv".to_owned(), "localhost".to_owned()]);
    let identity = made.map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![identity.cert.der().clone()], key))
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Serves HTTP/2 on `io` until the peer leaves or `life` ends; nothing is written after that.
pub async fn connection<I, S>(io: I, service: S, life: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let service = TowerToHyperService::new(OfIncoming(service));
    let served = hyper::server::conn::http2::Builder::new(WithLife(life.clone()))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME)
        .serve_connection(TokioIo::new(io), service);
    if let Some(Err(error)) = life.run_until_cancelled(served).await {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Serves every connection that `listener` brings, until `life` ends.
pub async fn all<I, S>(mut listener: impl Stream<Item = io::Result<I>> + Unpin, service: S, life: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    while let Some(Some(accepted)) = life.run_until_cancelled(listener.next()).await {
        if let Ok(stream) = accepted {
            tokio::spawn(connection(stream, service.clone(), life.clone()));
        }
    }
}

/// Runs a connection's tasks for as long as its server lives.
#[derive(Clone)]
struct WithLife(CancellationToken);

impl<F> Executor<F> for WithLife
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let life = self.0.clone();
        tokio::spawn(async move { life.run_until_cancelled(task).await.map(drop) });
    }
}

/// Hands hyper's bodies to a service that takes tonic's.
#[derive(Clone)]
struct OfIncoming<S>(S);

impl<S> Service<http::Request<hyper::body::Incoming>> for OfIncoming<S>
where
    S: Service<http::Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        self.0.call(request.map(Body::new))
    }
}

/// A TCP stream that outlives the server on it, so that it can stay open and silent.
pub struct SharedStream(pub Arc<TcpStream>);

impl AsyncRead for SharedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_listened_on_where_no_socket_may_be_bound_beside_another() {
        let (listener, reservation) = reserved(([127, 0, 0, 1], 0).into(), false).expect("a port");
        assert!(reservation.is_none());
        let address = listener.local_addr().expect("bound");
        TcpStream::connect(address).await.expect("it listens");
        drop(listener);
        listen(address).expect("it listens again");
    }
}
