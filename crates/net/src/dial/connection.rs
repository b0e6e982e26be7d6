//! One HTTP/2 connection, used until it is lost and never again after that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::codegen::StdError;
use tower_service::Service;

use super::answer::{self, Answer};
use super::traffic::{Metered, Traffic};
use super::{Address, BoxedIo, Credentials};
use crate::error::{ConnectFault, Error, Kind, Remedy};
use crate::waiting;

const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));
/// How much the peer may have in flight to us on one stream.
const RECEIVE_WINDOW: u32 = 8 << 20;
/// How much of a message waits below HTTP/2's flow control: at least two of the largest chunks.
const SEND_BUFFER: usize = 8 << 20;

/// How long a peer may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With a call pending, before it is asked whether it is there.
    pub silence: Duration,
    /// From that question until the connection counts as lost.
    pub answer: Duration,
}

/// A handle on a connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    send: SendRequest<Body>,
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    origin: Uri,
    credentials: Option<Credentials>,
    traffic: Arc<Traffic>,
    pending: AtomicUsize,
    /// Whether the peer is known to be in charge, where it need not be.
    in_charge: AtomicBool,
    alone: bool,
    lost: watch::Sender<Option<String>>,
    _driver: AbortOnDropHandle<()>,
}

/// A call that is under way; the peer's silence counts while one exists.
pub struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connection {
    /// Speaks HTTP/2 over `io` and returns once the peer has too. `alone`: the target has no other address, so whoever
    /// answers is in charge.
    pub async fn establish(
        io: BoxedIo,
        address: &Address,
        tls: bool,
        credentials: Option<Credentials>,
        patience: Patience,
        alone: bool,
    ) -> Result<Self, Error> {
        let traffic = Traffic::new();
        let io = hyper_util::rt::TokioIo::new(Metered::new(io, traffic.clone()));
        let unreachable = |why: String| Error::new(Kind::Connect(ConnectFault::Unreachable), why);
        let (send, driver) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(RECEIVE_WINDOW * 2)
            .max_send_buf_size(SEND_BUFFER)
            .handshake(io)
            .await
            .map_err(|error| unreachable(format!("HTTP/2 did not start: {error}")))?;
        let (lost, mut lost_seen) = watch::channel(None);
        let lost_by_driver = lost.clone();
        let driver = tokio::spawn(async move {
            let why = match driver.await {
                Ok(()) => "the peer closed the connection".to_owned(),
                Err(error) => format!("the connection broke: {}", root_cause(&error)),
            };
            lost_by_driver.send_if_modified(|slot| slot.is_none() && !slot.insert(why).is_empty());
        });
        let origin = format!("{}://{address}", if tls { "https" } else { "http" });
        let shared = Arc::new(Shared {
            address: address.clone(),
            origin: origin.parse().map_err(|_| Error::invalid(format!("{address} is no authority for HTTP/2")))?,
            credentials,
            traffic: traffic.clone(),
            pending: AtomicUsize::new(0),
            in_charge: AtomicBool::new(alone),
            alone,
            lost,
            _driver: AbortOnDropHandle::new(driver),
        });
        tokio::select! {
            settled = traffic.settled() => settled.map_err(not_grpc)?,
            lost = lost_seen.wait_for(Option::is_some) => {
                if let Some(Err(fault)) = traffic.verdict() {
                    return Err(not_grpc(fault));
                }
                let why = lost.ok().and_then(|why| why.clone()).unwrap_or_default();
                return Err(unreachable(format!("the peer closed the connection before it said anything: {why}"))
                    .hint("it may expect TLS, or be on its way up"));
            }
        }
        let connection = Self { send, shared };
        tokio::spawn(watch_silence(connection.clone().weak(), patience));
        Ok(connection)
    }

    /// Where it leads.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// For clients made `with_origin`.
    pub fn origin(&self) -> Uri {
        self.shared.origin.clone()
    }

    /// Bytes that left so far.
    pub fn written(&self) -> u64 {
        self.shared.traffic.written()
    }

    /// How long the peer has said nothing.
    pub fn silent_for(&self) -> Duration {
        self.shared.traffic.silent_for()
    }

    /// Why it is lost, if it is.
    pub fn loss(&self) -> Option<String> {
        self.shared.lost.borrow().clone()
    }

    /// Waits until it is lost and says why.
    pub async fn lost(&self) -> String {
        let mut seen = self.shared.lost.subscribe();
        let reason = seen.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| "the connection is gone".to_owned())
    }

    /// Gives the connection up: every call on it fails at once.
    pub fn abandon(&self, why: &str) {
        self.shared.abandon(why);
    }

    /// Whether the target has no other address.
    pub fn is_alone(&self) -> bool {
        self.shared.alone
    }

    /// Whether the peer is known to be the control processor in charge: it answered well, or there is no other.
    pub fn is_in_charge(&self) -> bool {
        self.shared.in_charge.load(Ordering::Acquire)
    }

    /// Keeps what the last answer says about who is in charge.
    pub fn set_in_charge(&self, in_charge: bool) {
        self.shared.in_charge.store(in_charge, Ordering::Release);
    }

    /// Marks a call as under way for as long as the result lives.
    pub fn pending(&self) -> Pending {
        self.shared.pending.fetch_add(1, Ordering::AcqRel);
        Pending(self.shared.clone())
    }

    /// Whether both are the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn weak(self) -> (SendRequest<Body>, std::sync::Weak<Shared>) {
        (self.send, Arc::downgrade(&self.shared))
    }
}

impl Shared {
    fn abandon(&self, why: &str) {
        self.lost.send_if_modified(|slot| slot.is_none() && !slot.insert(why.to_owned()).is_empty());
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Answer>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    /// Always: HTTP/2 takes what it is given, and a call on a lost connection fails with its cause, which tonic drops here.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(credentials) = &self.shared.credentials {
            credentials.apply(request.headers_mut());
        }
        let path = request.uri().path().to_owned();
        let sent = self.send.send_request(request);
        Box::pin(async move { answer::read(&path, sent).await })
    }
}

/// Asks a peer that has gone silent under a pending call for a sign of life, and gives it up without one.
///
/// The question is an RPC: any answer to it, an error too, is bytes from the peer.
async fn watch_silence((send, shared): (SendRequest<Body>, std::sync::Weak<Shared>), patience: Patience) {
    let mut asked_at = None;
    loop {
        waiting::pause(patience.silence / 4).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.lost.borrow().is_some() {
            return;
        }
        let silent = shared.traffic.silent_for();
        let now = tokio::time::Instant::now();
        if shared.pending.load(Ordering::Acquire) == 0 || silent < patience.silence {
            asked_at = None;
            continue;
        }
        match asked_at {
            None => {
                asked_at = Some(now);
                ask_for_a_sign(send.clone(), &shared);
            }
            Some(asked) if now - asked >= patience.answer => {
                shared.abandon(&format!("the peer has been silent for {:.1} s", silent.as_secs_f64()));
                return;
            }
            Some(_) => {}
        }
    }
}

fn ask_for_a_sign(send: SendRequest<Body>, shared: &Arc<Shared>) {
    let mut client = holdfast_wire::gnoi::system::system_client::SystemClient::with_origin(
        Bare { send, credentials: shared.credentials.clone() },
        shared.origin.clone(),
    );
    let mut lost = shared.lost.subscribe();
    tokio::spawn(async move {
        tokio::select! {
            _ = client.time(holdfast_wire::gnoi::system::TimeRequest {}) => {}
            _ = lost.wait_for(Option::is_some) => {}
        }
    });
}

/// A connection without its accounting, for the sign of life alone.
#[derive(Clone)]
struct Bare {
    send: SendRequest<Body>,
    credentials: Option<Credentials>,
}

impl Service<Request<Body>> for Bare {
    type Response = Response<Answer>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(credentials) = &self.credentials {
            credentials.apply(request.headers_mut());
        }
        let path = request.uri().path().to_owned();
        let sent = self.send.send_request(request);
        Box::pin(async move { answer::read(&path, sent).await })
    }
}

fn not_grpc(fault: ConnectFault) -> Error {
    let error = |what: &str| Error::new(Kind::Connect(fault), what);
    match fault {
        ConnectFault::TlsExpected => error("the target speaks TLS, and plaintext was asked for").remedy(Remedy::Tls),
        _ => error("the target answers, but not with gRPC")
            .hint("check the port: gNMI and gNOI are often on 9339, 6030 or 57400"),
    }
}

/// The innermost of an error's sources, which says most.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::session::is_transport;
    use holdfast_wire::gnoi::system::TimeRequest;
    use holdfast_wire::gnoi::system::system_client::SystemClient;

    #[tokio::test]
    async fn a_call_on_a_lost_connection_is_known_as_our_transports_own() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let answer =
                hyper::service::service_fn(|_| async { Ok::<_, std::io::Error>(Response::new(Body::empty())) });
            let io = hyper_util::rt::TokioIo::new(theirs);
            let peer = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer);
            tokio::select! { _ = peer => {}, _ = left => {} }
        });
        let patience = Patience { silence: Duration::from_secs(9), answer: Duration::from_secs(9) };
        let address = "device:9339".parse().expect("an address");
        let connection = Connection::establish(Box::new(ours), &address, false, None, patience, true).await;
        let connection = connection.expect("a connection");
        leave.send(()).expect("the peer");
        connection.lost().await;
        let origin = connection.origin();
        let refused = SystemClient::with_origin(connection, origin).time(TimeRequest {}).await.expect_err("it is lost");
        assert!(is_transport(&refused), "{refused:?}");
    }
}
