//! A session with one device: it outlives its connections, and knows what may be repeated on the next one.

use std::error::Error as _;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::answer::unless_it_panics;
use super::call::{Call, Repeat, out_of_time, outcome_unknown, short};
use super::connection::{ExpectedOutage, Expecting, Patience, Pending, root_cause};
use super::dialler::{Dialler, Pace, Persistence};
use super::{Connection, Connector, EventKind, Target, Tcp, Timeline};
use crate::error::{ConnectFault, Error, Kind, Result, code_name, is_unreadable};
use crate::waiting::{pause, reached};
use holdfast_wire::gnoi::system::TimeRequest;
use holdfast_wire::gnoi::system::system_client::SystemClient;

/// What a session takes from its user.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What the first connection may take.
    pub dial_timeout: Duration,
    /// What a call may take unless it says otherwise.
    pub call_timeout: Duration,
    /// How long a peer may be silent.
    pub patience: Patience,
    /// How often to dial.
    pub pace: Pace,
    /// Whether a first connection that is refused is not tried again.
    pub once: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(60),
            patience: Patience::lasting(Duration::from_secs(2)),
            pace: Pace::default(),
            once: false,
        }
    }
}

/// From a refusal with UNAVAILABLE to the next try of a read.
pub(super) const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(50);

/// What a probe of a device that may be away lasts at most, however often it was tried.
const LONGEST_PROBE: Duration = Duration::from_secs(8);

/// How long a peer may be silent that is asked whether it is in charge.
const QUESTION: Duration = Duration::from_secs(2);

/// A handle on a session; clones share it.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    dialler: Arc<Dialler>,
    settings: Settings,
    timeline: Timeline,
    /// The connection of the moment; held for a moment only.
    current: SyncMutex<Option<Connection>>,
    /// Held while dialling, so that concurrent calls share one dial.
    dialling: Mutex<()>,
    first_address: AtomicUsize,
    /// How often the device answered UNAVAILABLE.
    refusals: AtomicUsize,
    last_good: SyncMutex<Option<Instant>>,
    closed: AtomicBool,
}

pub(super) enum Attempt<T> {
    Answered(std::result::Result<T, Status>),
    Lost(String),
    TooLate,
}

impl Session {
    /// Dials over TCP.
    pub async fn connect(target: Target, settings: Settings) -> Result<Self> {
        Self::connect_with(Arc::new(Tcp), target, settings, Timeline::default()).await
    }

    /// Dials over `connector`, and keeps its record on `timeline`.
    pub async fn connect_with(
        connector: Arc<dyn Connector>,
        target: Target,
        settings: Settings,
        timeline: Timeline,
    ) -> Result<Self> {
        if target.addresses.is_empty() {
            return Err(Error::invalid("a target needs an address"));
        }
        let session = Self {
            inner: Arc::new(Inner {
                dialler: Arc::new(Dialler {
                    connector,
                    target: Arc::new(target),
                    pace: settings.pace,
                    patience: settings.patience,
                    outage: ExpectedOutage::default(),
                }),
                settings,
                timeline,
                current: SyncMutex::new(None),
                dialling: Mutex::new(()),
                first_address: AtomicUsize::new(0),
                refusals: AtomicUsize::new(0),
                last_good: SyncMutex::new(None),
                closed: AtomicBool::new(false),
            }),
        };
        let began = Instant::now();
        let first = if settings.once { Persistence::Once } else { Persistence::FirstContact };
        session
            .dial(first, began + settings.dial_timeout)
            .await
            .map_err(|error| error.during(session.name(), "connect", began.elapsed()))?;
        Ok(session)
    }

    /// What reports call the device.
    pub fn name(&self) -> &str {
        &self.inner.dialler.target.name
    }

    /// Whether both are the same session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Where and how it is reached.
    pub fn target(&self) -> &Target {
        &self.inner.dialler.target
    }

    /// What was asked and seen.
    pub fn timeline(&self) -> &Timeline {
        &self.inner.timeline
    }

    /// Its limits.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// `timeout` from now, or the session's own.
    pub fn deadline(&self, timeout: Option<Duration>) -> Instant {
        Instant::now() + timeout.unwrap_or(self.inner.settings.call_timeout)
    }

    /// When the device last answered something well.
    pub fn last_good(&self) -> Option<Instant> {
        *self.inner.last_good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the device, or what stands before it, answered UNAVAILABLE.
    pub fn refusals(&self) -> usize {
        self.inner.refusals.load(Ordering::Relaxed)
    }

    /// A live connection, dialled if there is none.
    pub async fn connection(&self, deadline: Instant) -> Result<Connection> {
        self.dial(Persistence::Outage, deadline).await
    }

    /// The connection of the moment, if there is one that lives.
    pub fn current(&self) -> Option<Connection> {
        self.held().clone().filter(|connection| connection.loss().is_none())
    }

    fn held(&self) -> MutexGuard<'_, Option<Connection>> {
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `connection` the last anybody uses of it: the next call dials.
    pub fn leave(&self, connection: &Connection) {
        let mut current = self.held();
        if current.as_ref().is_some_and(|held| held.is(connection)) {
            *current = None;
        }
    }

    /// From now on, until what it returns is dropped, silence means that the device is gone: calls end soon.
    pub fn expect_outage(&self) -> Expecting {
        self.inner.dialler.outage.begin()
    }

    /// Whether somebody expects the device to be away for a while.
    pub fn is_outage_expected(&self) -> bool {
        self.inner.dialler.outage.is_expected()
    }

    /// Ends the session: calls under way and to come fail.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let last = self.held().take();
        if let Some(connection) = last {
            connection.abandon("the session was closed");
        }
    }

    /// Makes a call, again as often as it may be, and returns its answer.
    pub async fn call<T, F, Fut>(&self, call: Call, send: F) -> Result<T>
    where
        F: Fn(Connection) -> Fut,
        Fut: Future<Output = std::result::Result<T, Status>>,
    {
        let began = Instant::now();
        let outcome = self.repeat(call, send).await;
        match &outcome {
            Ok(_) => self.record_call(call.name, "OK", Some("OK")),
            Err(error) => self.record_call(call.name, &short(error), error.code().map(code_name)),
        }
        outcome.map_err(|error| error.during(self.name(), call.name, began.elapsed()))
    }

    /// Opens a stream that the caller then reads; it is not repeated, and `Pending` lives as long as it.
    pub async fn open<T, F, Fut>(&self, call: Call, send: F) -> Result<(T, Connection, Pending)>
    where
        F: Fn(Connection) -> Fut,
        Fut: Future<Output = std::result::Result<T, Status>>,
    {
        let opened = self
            .call(call, |connection| {
                let pending = connection.pending();
                let sent = send(connection.clone());
                async move { Ok((sent.await?, connection, pending)) }
            })
            .await?;
        Ok(opened)
    }

    async fn repeat<T, F, Fut>(&self, call: Call, send: F) -> Result<T>
    where
        F: Fn(Connection) -> Fut,
        Fut: Future<Output = std::result::Result<T, Status>>,
    {
        let mut last: Option<Error> = None;
        let mut call = call;
        loop {
            let connection = match self.connection(call.deadline).await {
                Ok(connection) => connection,
                Err(error) => return Err(out_of_time(call, Some(last.unwrap_or(error)))),
            };
            if call.repeat == Repeat::IfUnsent && !connection.is_in_charge() {
                let asked = self.ask_whether_in_charge(call, &connection).await;
                if let Some(error) = asked {
                    last = Some(error);
                    if Instant::now() >= call.deadline {
                        return Err(out_of_time(call, last));
                    }
                    continue;
                }
            }
            let written = connection.written();
            let attempt = self.attempt(call, &connection, &send).await;
            let unsent = connection.written() == written;
            match attempt {
                Attempt::Answered(Ok(answer)) => {
                    connection.set_in_charge(true);
                    *self.inner.last_good.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    return Ok(answer);
                }
                Attempt::Answered(Err(status))
                    if status.code() == Code::Unavailable
                        && (call.repeat == Repeat::Freely
                            || call.refused_until.is_some_and(|it| Instant::now() < it)) =>
                {
                    if call.repeat == Repeat::IfUnsent {
                        let text = format!("{}: asked again, for it was refused: {}", call.name, status.message());
                        self.inner.timeline.record(EventKind::Note, text);
                    }
                    self.refused(&connection);
                    last = Some(Error::from_status(&status));
                    if Instant::now() + UNAVAILABLE_PAUSE >= call.deadline {
                        return Err(out_of_time(call, last));
                    }
                    pause(UNAVAILABLE_PAUSE).await;
                }
                Attempt::Answered(Err(status)) if is_unreadable(&status) && call.repeat == Repeat::IfUnsent => {
                    return Err(outcome_unknown(status.message()));
                }
                Attempt::Answered(Err(status)) => {
                    if status.code() == Code::Unavailable {
                        self.refused(&connection);
                    }
                    return Err(Error::from_status(&status));
                }
                Attempt::Lost(why) => {
                    self.lost(&connection, &why);
                    // What takes a slow device longer than a probe lasts is answered by a later one.
                    call.attempt = call.attempt.map(|attempt| (attempt * 2).min(LONGEST_PROBE));
                    if call.repeat == Repeat::IfUnsent && !unsent {
                        return Err(outcome_unknown(&why));
                    }
                    last = Some(Error::new(Kind::Connect(ConnectFault::Unreachable), why));
                }
                Attempt::TooLate if call.repeat == Repeat::IfUnsent && !unsent => {
                    return Err(outcome_unknown("no answer came in time"));
                }
                Attempt::TooLate => return Err(out_of_time(call, last)),
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, call: Call, connection: &Connection, send: &F) -> Attempt<T>
    where
        F: Fn(Connection) -> Fut,
        Fut: Future<Output = std::result::Result<T, Status>>,
    {
        let _pending = connection.pending();
        let began = Instant::now();
        let impatience = async {
            match call.attempt {
                None => std::future::pending().await,
                Some(limit) => loop {
                    let silent = connection.silent_for().min(began.elapsed());
                    if silent >= limit {
                        return format!("no answer for {:.1} s", silent.as_secs_f64());
                    }
                    pause(limit.checked_sub(silent).unwrap_or_default()).await;
                },
            }
        };
        let suspected = async {
            match call.repeat {
                Repeat::Freely => connection.suspected().await,
                Repeat::IfUnsent => std::future::pending().await,
            }
        };
        let answer = unless_it_panics(send(connection.clone()));
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return sorted(connection, answer),
            why = connection.lost() => return Attempt::Lost(why),
            () = reached(call.deadline) => return Attempt::TooLate,
            why = impatience => return Attempt::Lost(why),
            () = suspected => {}
        }
        // A read is made once more on a fresh connection; whichever answer comes first will do.
        self.lost(connection, &connection.silence());
        let again = async {
            let Ok(fresh) = self.connection(call.deadline).await else { return Attempt::TooLate };
            let _pending = fresh.pending();
            sorted(&fresh, unless_it_panics(send(fresh.clone())).await)
        };
        tokio::select! {
            biased;
            answer = &mut answer => sorted(connection, answer),
            why = connection.lost() => Attempt::Lost(why),
            () = reached(call.deadline) => Attempt::TooLate,
            again = again => again,
        }
    }

    /// Asks what any device answers. It goes by this connection alone, as a change does: the answer says something of it.
    pub(super) async fn ask_time(&self, connection: &Connection, deadline: Instant) -> Attempt<()> {
        let question = Call::write("System.Time", deadline).probing(QUESTION);
        let ask = |connection: Connection| async move {
            let origin = connection.origin();
            SystemClient::with_origin(connection, origin).time(TimeRequest {}).await.map(drop)
        };
        self.attempt(question, connection, &ask).await
    }

    /// Before something is changed through one address of several: does a control processor that stands by answer there?
    /// None where it does not; the next connection is to another address then.
    async fn ask_whether_in_charge(&self, call: Call, connection: &Connection) -> Option<Error> {
        match self.ask_time(connection, call.deadline).await {
            Attempt::Answered(Err(status)) if status.code() == Code::Unavailable => {
                self.refused(connection);
                pause(UNAVAILABLE_PAUSE).await;
                Some(Error::from_status(&status))
            }
            Attempt::Answered(_) => {
                connection.set_in_charge(true);
                None
            }
            Attempt::Lost(why) => {
                self.lost(connection, &why);
                Some(Error::new(Kind::Connect(ConnectFault::Unreachable), why))
            }
            Attempt::TooLate => Some(Error::new(Kind::Timeout, "no answer in time")),
        }
    }

    /// An answer of UNAVAILABLE: where the target has several addresses, another may be in charge.
    fn refused(&self, connection: &Connection) {
        self.inner.refusals.fetch_add(1, Ordering::Relaxed);
        if !connection.is_alone() {
            connection.set_in_charge(false);
            self.leave(connection);
            self.inner.first_address.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_call(&self, call: &'static str, outcome: &str, status: Option<&str>) {
        let mut fields = vec![("call", call.into())];
        fields.extend(status.map(|status| ("status", status.into())));
        self.inner.timeline.record_fields(EventKind::Call, format!("{call}: {outcome}"), fields);
    }

    fn record_loss(&self, connection: &Connection, why: &str) {
        let address = connection.address().to_string();
        let text = format!("lost {address}: {why}");
        self.inner.timeline.record_fields(EventKind::Connection, text, vec![("address", address.into())]);
    }

    pub(super) fn lost(&self, connection: &Connection, why: &str) {
        let mut current = self.held();
        if current.as_ref().is_some_and(|held| held.is(connection)) {
            *current = None;
            self.record_loss(connection, why);
            self.inner.first_address.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn dial(&self, persistence: Persistence, deadline: Instant) -> Result<Connection> {
        if let Some(connection) = self.usable()? {
            return Ok(connection);
        }
        let Ok(_dialling) = timeout_at(deadline, self.inner.dialling.lock()).await else {
            return Err(Error::new(Kind::Connect(ConnectFault::Unreachable), "no connection came about in time")
                .hint("check the address, the port, and that nothing on the way drops packets"));
        };
        if let Some(connection) = self.usable()? {
            return Ok(connection); // who dialled before has made one
        }
        let began = Instant::now();
        let first_address = self.inner.first_address.load(Ordering::Relaxed);
        let connection = self.inner.dialler.dial(first_address, persistence, deadline).await?;
        let took = began.elapsed().as_secs_f64();
        let address = connection.address().to_string();
        let text = format!("connected to {address} after {took:.3} s");
        self.inner.timeline.record_fields(EventKind::Dial, text, vec![("address", address.into())]);
        *self.held() = Some(connection.clone());
        tokio::spawn(super::guard::guard(Arc::downgrade(&self.inner), connection.downgrade()));
        self.usable()?; // it may have been closed meanwhile
        Ok(connection)
    }

    /// The connection of the moment, unless it is lost; an error once the session was closed.
    fn usable(&self) -> Result<Option<Connection>> {
        let mut current = self.held();
        if self.inner.closed.load(Ordering::Acquire) {
            *current = None;
            return Err(Error::invalid("the session was closed").hint("connect again"));
        }
        if let Some(connection) = current.as_ref()
            && let Some(why) = connection.closing()
        {
            self.record_loss(connection, &why);
            *current = None;
        }
        Ok(current.clone())
    }
}

/// An answer, or the loss of the connection that kept it away.
fn sorted<T>(connection: &Connection, answer: std::result::Result<T, Status>) -> Attempt<T> {
    match answer {
        Err(status) if connection.loss().is_some() || is_transport(&status) => {
            Attempt::Lost(connection.loss().unwrap_or_else(|| root_cause(&status)))
        }
        answer => Attempt::Answered(answer),
    }
}

/// Whether a status was made by our own transport, not sent by the peer.
pub fn is_transport(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<hyper::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}
