//! One HTTP/2 connection, used until it is lost and never again after that.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
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
use super::calls;
pub use super::patience::{ExpectedOutage, Expecting, Patience, Watched};
use super::traffic::{Metered, Traffic};
use super::{Address, BoxedIo, Credentials, sign_of_life};
use crate::error::{ConnectFault, Error, Kind, Remedy};
use crate::waiting;

const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));
/// How much the peer may have in flight to us on one stream.
const RECEIVE_WINDOW: u32 = 8 << 20;
/// How much of a message waits below HTTP/2's flow control: at least two of the largest chunks.
const SEND_BUFFER: usize = 8 << 20;
/// What a peer may say in the headers of an answer, where errors are too: some repeat all that a tool printed. A larger one
/// is not shown, and ends its call.
const HEADERS: u32 = 4 << 20;
/// How much sooner each call hears of its own end than of the connection's: it may say more.
const OWN_END_FIRST: Duration = Duration::from_millis(5);
/// The same, where the peer let them end: what was sent in the moment of its farewell hears of no end of its own.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many HTTP/2 pings a server takes, of a client that sends nothing else, before it ends the connection.
const PINGS: u32 = 3;

/// A handle on a connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    send: SendRequest<Body>,
    shared: Arc<ConnectionState>,
}

struct ConnectionState {
    address: Address,
    origin: Uri,
    credentials: Option<Credentials>,
    traffic: Arc<Traffic>,
    pending: Arc<AtomicUsize>,
    /// Whether the peer is known to be in charge, where it need not be.
    in_charge: AtomicBool,
    alone: bool,
    lost: watch::Sender<Option<String>>,
    /// Why no further call shall begin on it, while those under way go on.
    closing: watch::Sender<Option<String>>,
    /// Whether it was ended from outside: by its peer, or by this machine's kernel.
    broken: Arc<AtomicBool>,
    /// Whether its peer has been silent for longer than one that is there.
    suspected: watch::Sender<bool>,
    _driver: AbortOnDropHandle<()>,
}

/// A call that is under way; the peer's silence counts while one exists.
pub struct Pending(Arc<ConnectionState>);

impl Drop for Pending {
    fn drop(&mut self) {
        let last = self.0.pending.fetch_sub(1, Ordering::AcqRel) == 1;
        let closing = self.0.closing.borrow().clone();
        if let (true, Some(why)) = (last, closing) {
            self.0.abandon(&why);
        }
    }
}

impl Connection {
    /// Speaks HTTP/2 over `io` and returns once the peer has too.
    pub async fn establish(
        io: BoxedIo,
        address: &Address,
        tls: bool,
        credentials: Option<Credentials>,
        watched: Watched,
    ) -> Result<Self, Error> {
        let traffic = Traffic::new();
        let io = hyper_util::rt::TokioIo::new(Metered::new(io, traffic.clone()));
        let unreachable = |why: String| {
            let error = Error::new(Kind::Connect(ConnectFault::Unreachable), why);
            match traffic.failure() {
                Some(failure) => error.caused_by(failure),
                None => error,
            }
        };
        let (send, driver) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(RECEIVE_WINDOW * 2)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADERS)
            .handshake(io)
            .await
            .map_err(|error| unreachable(format!("HTTP/2 did not start: {error}")))?;
        let (lost, mut lost_seen) = watch::channel(None);
        let (closing, pending) = (watch::Sender::new(None), Arc::new(AtomicUsize::new(0)));
        let broken = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn({
            let (lost, closing, pending) = (lost.clone(), closing.clone(), pending.clone());
            let (traffic, broken) = (traffic.clone(), broken.clone());
            async move {
                let why = match driver.await {
                    // It may have said GOAWAY, which lets calls end that are under way: each hears of its own end.
                    Ok(()) => {
                        let why = "the peer closed the connection".to_owned();
                        closing.send_replace(Some(why.clone()));
                        if pending.load(Ordering::Acquire) > 0 {
                            traffic.ended().await;
                            broken.store(true, Ordering::Release);
                            waiting::pause(LAST_WORDS).await;
                        }
                        why
                    }
                    Err(error) => {
                        waiting::pause(OWN_END_FIRST).await;
                        format!("the connection broke: {}", root_cause(&error))
                    }
                };
                broken.store(true, Ordering::Release);
                lost.send_if_modified(|slot| slot.is_none() && !slot.insert(why).is_empty());
            }
        });
        let alone = watched.alone;
        let origin = format!("{}://{}", if tls { "https" } else { "http" }, address.authority());
        let shared = Arc::new(ConnectionState {
            address: address.clone(),
            origin: origin.parse().map_err(|_| Error::invalid(format!("{address} is no authority for HTTP/2")))?,
            credentials,
            traffic: traffic.clone(),
            pending,
            in_charge: AtomicBool::new(alone),
            alone,
            lost,
            closing,
            broken,
            suspected: watch::Sender::new(false),
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
        tokio::spawn(watch_silence(connection.downgrade(), watched));
        Ok(connection)
    }

    /// Speaks HTTP/2 in plaintext to whoever alone serves at the other end: a plugin or a runtime behind a socket.
    pub async fn plain(io: BoxedIo, patience: Patience) -> Result<Self, Error> {
        let address = Address { host: "localhost".to_owned(), port: 0 };
        let watched = Watched { patience, outage: ExpectedOutage::default(), alone: true };
        Self::establish(io, &address, false, None, watched).await
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

    /// Bytes that came so far: whether the peer spoke between two looks is told by these, for times are told apart by
    /// milliseconds alone.
    pub fn read(&self) -> u64 {
        self.shared.traffic.read()
    }

    /// The newest stream that was begun on it: that of a call yet to begin has a higher number.
    pub(super) fn opened(&self) -> u32 {
        self.shared.traffic.opened()
    }

    /// Whether its peer said with GOAWAY that it takes no stream above this one.
    pub(super) fn takes_none_above(&self, stream: u32) -> bool {
        self.shared.traffic.taken().is_some_and(|last| last <= stream)
    }

    /// Whether a call is under way on it.
    pub(super) fn is_used(&self) -> bool {
        self.shared.pending.load(Ordering::Acquire) > 0
    }

    /// Has nothing leave on it any more, which is for one that nobody uses from now on; the bytes that left.
    pub(super) fn seal(&self) -> u64 {
        self.shared.traffic.seal()
    }

    /// How long the peer has said nothing.
    pub fn silent_for(&self) -> Duration {
        self.shared.traffic.silent_for()
    }

    /// Why no further call shall begin on it, if none shall: it is lost, or its peer lets what is under way end.
    pub fn closing(&self) -> Option<String> {
        self.loss().or_else(|| self.shared.closing.borrow().clone())
    }

    /// Why it was ended from outside, by its peer or by this machine's kernel, if it was: that it was given up does not
    /// count.
    pub fn breakage(&self) -> Option<String> {
        self.shared.broken.load(Ordering::Acquire).then(|| self.closing().unwrap_or_default())
    }

    /// Has a peer that is there say something, on a connection that was given up too.
    pub fn ask_for_a_sign(&self) {
        self.shared.ask_for_a_sign(self.send.clone());
    }

    /// Waits until its peer, with a call pending, has been silent for longer than its user's patience lasts.
    pub async fn suspected(&self) {
        let mut seen = self.shared.suspected.subscribe();
        if seen.wait_for(|suspected| *suspected).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a peer that was suspected to be gone speaks.
    pub async fn heard(&self) {
        let mut seen = self.shared.suspected.subscribe();
        if seen.wait_for(|suspected| !suspected).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A handle that keeps nothing alive.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection {
            send: self.send.clone(),
            shared: Arc::downgrade(&self.shared),
            lost: self.shared.lost.subscribe(),
            suspected: self.shared.suspected.subscribe(),
        }
    }

    /// How long the peer has said nothing, in words: why it is given up, or left.
    pub fn silence(&self) -> String {
        self.shared.silence()
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
}

/// A connection that lives only as long as somebody else needs it.
pub struct WeakConnection {
    send: SendRequest<Body>,
    shared: Weak<ConnectionState>,
    lost: watch::Receiver<Option<String>>,
    suspected: watch::Receiver<bool>,
}

impl WeakConnection {
    /// The connection, if anybody still has it.
    pub fn upgrade(&self) -> Option<Connection> {
        Some(Connection { send: self.send.clone(), shared: self.shared.upgrade()? })
    }

    /// Waits until its peer is suspected to be gone; None once it is lost, or nobody has it any more.
    pub async fn suspected(&mut self) -> Option<Connection> {
        let suspected = tokio::select! {
            _ = self.lost.wait_for(Option::is_some) => false,
            seen = self.suspected.wait_for(|suspected| *suspected) => seen.is_ok(),
        };
        if suspected { self.upgrade() } else { None }
    }
}

impl ConnectionState {
    fn silence(&self) -> String {
        format!("the peer has been silent for {:.1} s", self.traffic.silent_for().as_secs_f64())
    }

    fn ask_for_a_sign(&self, send: SendRequest<Body>) {
        sign_of_life::ask(send, &self.origin, self.credentials.as_ref(), USER_AGENT, self.lost.subscribe());
    }

    fn suspect(&self, gone: bool) {
        self.suspected.send_if_modified(|suspected| std::mem::replace(suspected, gone) != gone);
    }

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
        let Some(call) = calls::begin(&self.shared.address, &request) else {
            let sent = self.send.try_send_request(request);
            return Box::pin(async move { answer::read(&path, sent).await });
        };
        let sent = self.send.try_send_request(call.sending(request));
        Box::pin(async move { answer::seen(call, answer::read(&path, sent).await) })
    }
}

/// Asks a peer that has gone silent under a pending call for a sign of life, and suspects it to be gone without one.
async fn watch_silence(connection: WeakConnection, watched: Watched) {
    let Watched { patience, outage, .. } = watched;
    let mut asked_at = None;
    let mut pings = 0;
    loop {
        waiting::pause(patience.silence / 4).await;
        let Some(Connection { send, shared }) = connection.upgrade() else { return };
        if shared.lost.borrow().is_some() {
            return;
        }
        let silent = shared.traffic.silent_for();
        let now = tokio::time::Instant::now();
        if shared.pending.load(Ordering::Acquire) == 0 || silent < patience.silence {
            asked_at = None;
            shared.suspect(false);
            continue;
        }
        match asked_at {
            None => {
                let written = shared.traffic.written();
                if shared.closing.borrow().is_none() {
                    shared.ask_for_a_sign(send);
                } else if pings < PINGS && silent >= patience.silence * 10_u32.pow(pings) {
                    // One that wants no further calls answers a ping, but does not take many.
                    pings += 1;
                    shared.traffic.ping();
                } else if !outage.is_expected() {
                    continue;
                }
                asked_at = Some((now, written));
            }
            Some((asked, written)) if now - asked >= patience.answer => {
                if outage.is_expected() {
                    shared.abandon(&shared.silence());
                    return;
                }
                let left = shared.traffic.written() > written || shared.traffic.is_blocked();
                // One that takes no more calls at a time was not asked: its silence says nothing.
                shared.suspect(left);
                if !left && shared.closing.borrow().is_some() {
                    asked_at = None; // only the question showed that it wants no further calls
                }
            }
            Some(_) => {}
        }
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
    use crate::dial::answer::is_transport;
    use holdfast_wire::gnoi::system::TimeRequest;
    use holdfast_wire::gnoi::system::system_client::SystemClient;

    /// A connection, and what has its peer leave: with a farewell, or without.
    async fn a_connection() -> (Connection, tokio::sync::oneshot::Sender<bool>) {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (leave, mut left) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let answer =
                hyper::service::service_fn(|_| async { Ok::<_, std::io::Error>(Response::new(Body::empty())) });
            let io = hyper_util::rt::TokioIo::new(theirs);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut peer = std::pin::pin!(server.serve_connection(io, answer));
            let with_farewell = tokio::select! { _ = &mut peer => false, with = &mut left => with.unwrap_or(false) };
            if with_farewell {
                peer.as_mut().graceful_shutdown();
                let _ = peer.await;
            }
        });
        let patience = Patience { silence: Duration::from_secs(9), answer: Duration::from_secs(9) };
        (Connection::plain(Box::new(ours), patience).await.expect("a connection"), leave)
    }

    #[tokio::test]
    async fn a_call_that_fell_between_two_is_lost_with_its_connection() {
        let (connection, leave) = a_connection().await;
        let _never_answered = connection.pending();
        leave.send(true).expect("the peer");
        let soon = Duration::from_secs(30);
        tokio::time::timeout(soon, connection.lost()).await.expect("its end, though a call is under way");
    }

    #[tokio::test]
    async fn a_call_on_a_lost_connection_is_known_as_our_transports_own() {
        let (connection, leave) = a_connection().await;
        leave.send(false).expect("the peer");
        connection.lost().await;
        let origin = connection.origin();
        let refused = SystemClient::with_origin(connection, origin).time(TimeRequest {}).await.expect_err("it is lost");
        assert!(is_transport(&refused), "{refused:?}");
    }
}
