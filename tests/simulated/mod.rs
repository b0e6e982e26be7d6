//! A device behind a simulated network, for the tests of the session.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector, Security, Session, Settings, Target, Timeline};
use holdfast::serve;
use holdfast::wire::gnoi::system::{RebootRequest, RebootResponse, TimeRequest, TimeResponse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const PORT: u16 = 9339;

/// Serves Time, and counts Reboots by their message.
#[derive(Clone, Default)]
pub struct Device {
    done: Arc<Mutex<HashMap<String, u32>>>,
    /// How often it forgot the connections that there were.
    forgotten: Arc<AtomicUsize>,
}

impl Device {
    /// How often each message came.
    pub fn reboots(&self) -> HashMap<String, u32> {
        self.done.lock().expect("no panic").clone()
    }

    /// What comes over a connection that is there goes nowhere from now on; nobody closes it.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn forget_connections(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
    }

    /// Runs it as the host `device`.
    pub fn run(&self, sim: &mut turmoil::Sim<'_>) {
        let served = self.clone();
        sim.host("device", move || {
            let device = served.clone();
            async move {
                let listener = turmoil::net::TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    let stream = Forgetful { stream, forgotten: device.forgotten.clone(), known: device.forgotten() };
                    tokio::spawn(serve::connection(stream, device.clone(), CancellationToken::new()));
                }
            }
        });
    }
}

impl Device {
    fn forgotten(&self) -> usize {
        self.forgotten.load(Ordering::Acquire)
    }
}

/// A connection that the device may forget.
struct Forgetful<S> {
    stream: S,
    forgotten: Arc<AtomicUsize>,
    known: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Forgetful<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.forgotten.load(Ordering::Acquire) != self.known {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.forgotten.load(Ordering::Acquire) != self.known {
            buffer.set_filled(before);
            return Poll::Pending;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Forgetful<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl tonic::server::UnaryService<TimeRequest> for Device {
    type Response = TimeResponse;
    type Future = tonic::codegen::BoxFuture<Response<TimeResponse>, Status>;

    fn call(&mut self, _: Request<TimeRequest>) -> Self::Future {
        Box::pin(async { Ok(Response::new(TimeResponse { time: 1 })) })
    }
}

impl tonic::server::UnaryService<RebootRequest> for Device {
    type Response = RebootResponse;
    type Future = tonic::codegen::BoxFuture<Response<RebootResponse>, Status>;

    fn call(&mut self, request: Request<RebootRequest>) -> Self::Future {
        *self.done.lock().expect("no panic").entry(request.into_inner().message).or_default() += 1;
        Box::pin(async { Ok(Response::new(RebootResponse {})) })
    }
}

impl Service<http::Request<Body>> for Device {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let device = self.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/Time") {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<TimeResponse, TimeRequest>::default());
                return Ok(grpc.unary(device, request).await);
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<RebootResponse, RebootRequest>::default());
            Ok(grpc.unary(device, request).await)
        })
    }
}

struct Simulated;

impl Connector for Simulated {
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(turmoil::lookup(address.host.as_str()), address.port)]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async move { Ok(Box::new(turmoil::net::TcpStream::connect(address).await?) as BoxedIo) })
    }
}

/// A session with the device, from a host of the simulation.
pub async fn session() -> Session {
    let target = Target::parse("device:9339", Security::Plaintext).expect("an address");
    let settings = Settings::default();
    Session::connect_with(Arc::new(Simulated), target, settings, Timeline::default()).await.expect("a session")
}
