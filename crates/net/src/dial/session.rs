//! A session with one device: it outlives its connections, and knows what may be repeated on the next one.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use super::attempt::{Answering, Attempt, Outcome, Sending, ask_time};
use super::call::{Call, Repeat, UNAVAILABLE_PAUSE, out_of_time, outcome_unknown, short};
use super::connection::{ExpectedOutage, Expecting, Patience, Pending};
use super::connections::Connections;
use super::credentials::with_lacking;
use super::dialler::{Dialler, Pace, Persistence};
use super::guard::{answers_elsewhere, look_after};
use super::{Connection, Connector, EventKind, Target, Tcp, Timeline};
use crate::error::{
    ConnectFault, Error, Kind, Result, code_name, is_not_up_yet, is_of_something_between, is_throttled, is_unreadable,
};
use crate::waiting::pause;

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

/// What a probe of a device that may be away lasts at most, however often it was tried.
const LONGEST_PROBE: Duration = Duration::from_secs(8);
/// How many times as long as a peer may be silent under a call it may be silent without one, until a change asks first
/// whether it is there.
const STALE: u32 = 5;
/// How long a device that takes no more calls for now is left in peace: at first, and at most. What it refuses may count
/// too, and some take one a second.
const THROTTLED_REST: Duration = Duration::from_millis(100);
const LONGEST_THROTTLED_REST: Duration = Duration::from_secs(4);
/// How long a device that takes connections and loses them is left in peace at most.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// A handle on a session; clones share it.
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionState>,
}

struct SessionState {
    connections: Arc<Connections>,
    settings: Settings,
    /// How often the device answered UNAVAILABLE.
    refusals: AtomicUsize,
    last_good: SyncMutex<Option<Instant>>,
    /// How long the device was left in peace when it last took no more calls: where it still does not, longer.
    throttled: SyncMutex<Duration>,
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
        let dialler = Dialler {
            connector,
            target: Arc::new(target),
            pace: settings.pace,
            patience: settings.patience,
            outage: ExpectedOutage::default(),
        };
        let (connections, made) = Connections::new(dialler, timeline);
        tokio::spawn(look_after(Arc::downgrade(&connections), made));
        let session = Self {
            inner: Arc::new(SessionState {
                connections,
                settings,
                refusals: AtomicUsize::new(0),
                last_good: SyncMutex::new(None),
                throttled: SyncMutex::default(),
            }),
        };
        let began = Instant::now();
        let first = if settings.once { Persistence::Once } else { Persistence::FirstContact };
        session
            .connections()
            .get(first, began + settings.dial_timeout)
            .await
            .map_err(|error| session.told(error, "connect", began.elapsed()))?;
        Ok(session)
    }

    /// What reports call the device.
    pub fn name(&self) -> &str {
        &self.connections().dialler.target.name
    }

    /// An error with where it was and after how long, and with what was not given to log in.
    pub(super) fn told(&self, error: Error, operation: &str, after: Duration) -> Error {
        let given = self.connections().dialler.target.credentials.as_ref();
        with_lacking(error, given).during(self.name(), operation, after)
    }

    /// Whether both are the same session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Where and how it is reached.
    pub fn target(&self) -> &Target {
        &self.connections().dialler.target
    }

    /// What was asked and seen.
    pub fn timeline(&self) -> &Timeline {
        &self.connections().timeline
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

    fn connections(&self) -> &Arc<Connections> {
        &self.inner.connections
    }

    /// A live connection, dialled if there is none.
    pub async fn connection(&self, deadline: Instant) -> Result<Connection> {
        self.connections().get(Persistence::Outage, deadline).await
    }

    /// The connection of the moment, if there is one that lives.
    pub fn current(&self) -> Option<Connection> {
        self.connections().current()
    }

    /// Makes `connection` the last anybody uses of it: the next call dials.
    pub fn leave(&self, connection: &Connection) {
        self.connections().leave(connection);
    }

    /// Waits until the peer of `connection`, with a call pending, is silent there while the device answers on another.
    pub(super) async fn replaced(&self, connection: &Connection) {
        loop {
            connection.suspected().await;
            tokio::select! {
                () = connection.heard() => {}
                _ = answers_elsewhere(self.connections(), connection) => return,
            }
        }
    }

    /// From now on, until what it returns is dropped, silence means that the device is gone: calls end soon.
    pub fn expect_outage(&self) -> Expecting {
        self.connections().dialler.outage.begin()
    }

    /// Whether somebody expects the device to be away for a while.
    pub fn is_outage_expected(&self) -> bool {
        self.connections().dialler.outage.is_expected()
    }

    /// Whether somebody expected that at any moment from `since` on.
    pub fn was_outage_expected(&self, since: Instant) -> bool {
        self.connections().dialler.outage.was_expected(since)
    }

    /// Ends the session: calls under way and to come fail.
    pub fn close(&self) {
        self.connections().close();
    }

    /// An error once the session was closed.
    pub(super) fn check_open(&self) -> Result<()> {
        self.connections().check_open()
    }

    /// Makes a call, again as often as it may be, and returns its answer.
    pub async fn call<T, F, Fut>(&self, call: Call, send: F) -> Result<T>
    where
        T: Send,
        F: Fn(Connection) -> Fut + Send + Sync,
        Fut: Future<Output = std::result::Result<T, Status>> + Send,
    {
        let answered = SyncMutex::new(None);
        let sending = |connection: Connection| -> Answering<'_> {
            let sent = send(connection);
            Box::pin(async {
                let answer = sent.await?;
                *answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                Ok(())
            })
        };
        self.repeat_and_record(call, &sending).await?;
        Ok(answered
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .expect("a call that was answered left its answer"))
    }

    async fn repeat_and_record(&self, call: Call, send: &Sending<'_>) -> Result<()> {
        let began = Instant::now();
        let outcome = self.repeat(call, send).await;
        match &outcome {
            Ok(()) => self.record_call(call.name, "OK", Some("OK")),
            Err(error) => self.record_call(call.name, &short(error), error.code().map(code_name)),
        }
        outcome.map_err(|error| self.told(error, call.name, began.elapsed()))
    }

    /// Opens a stream that the caller then reads; it is not repeated, and `Pending` lives as long as it.
    pub async fn open<T, F, Fut>(&self, call: Call, send: F) -> Result<(T, Connection, Pending)>
    where
        T: Send,
        F: Fn(Connection) -> Fut + Send + Sync,
        Fut: Future<Output = std::result::Result<T, Status>> + Send,
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

    async fn repeat(&self, call: Call, send: &Sending<'_>) -> Result<()> {
        let mut last: Option<Error> = None;
        let mut call = call;
        let mut losses = 0;
        loop {
            let connection = match self.connection(call.deadline).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.check_open()?;
                    return Err(out_of_time(call, Some(last.unwrap_or(error))));
                }
            };
            if call.repeat == Repeat::IfUnsent && (!connection.is_in_charge() || self.may_be_stale(&connection)) {
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
            let attempt = self.attempt(call, &connection, send).await;
            let unsent = self.is_unsent(call, &attempt, &connection, written);
            match attempt {
                Outcome::Answered(Ok(())) => {
                    connection.set_in_charge(true);
                    *self.inner.last_good.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    self.took_a_call();
                    return Ok(());
                }
                Outcome::Answered(Err(status))
                    if call.repeat == Repeat::IfUnsent
                        && (is_unreadable(&status) || is_of_something_between(&status)) =>
                {
                    return Err(outcome_unknown(status.message()));
                }
                Outcome::Answered(Err(status)) if is_throttled(&status, call.repeat == Repeat::Freely) => {
                    self.rest_throttled(call, &status, last.is_none()).await?;
                    last = Some(Error::from_status(&status));
                }
                Outcome::Answered(Err(status))
                    if (status.code() == Code::Unavailable && call.repeat == Repeat::Freely)
                        || (is_not_up_yet(&status) && call.refused_until.is_some_and(|it| Instant::now() < it)) =>
                {
                    if call.repeat == Repeat::IfUnsent {
                        let text = format!("{}: asked again, for it was refused: {}", call.name, status.message());
                        self.timeline().record(EventKind::Note, text);
                    }
                    if status.code() == Code::Unavailable {
                        self.refused(&connection);
                    }
                    last = Some(Error::from_status(&status));
                    if Instant::now() + UNAVAILABLE_PAUSE >= call.deadline {
                        return Err(out_of_time(call, last));
                    }
                    pause(UNAVAILABLE_PAUSE).await;
                }
                Outcome::Answered(Err(status)) => {
                    if status.code() == Code::Unavailable {
                        self.refused(&connection);
                    }
                    return Err(Error::from_status(&status));
                }
                Outcome::Unprocessed(why) => {
                    let what = format!("the device did not take the call: {why}");
                    last = Some(Error::new(Kind::Status(Code::Unavailable), what));
                    if Instant::now() + UNAVAILABLE_PAUSE >= call.deadline {
                        return Err(out_of_time(call, last));
                    }
                    losses += 1;
                    let left = call.deadline.saturating_duration_since(Instant::now());
                    pause(self.rest_after(losses).max(UNAVAILABLE_PAUSE).min(left)).await;
                }
                Outcome::Lost(why) => {
                    self.connections().lost(&connection, &why);
                    // What takes a slow device longer than a probe lasts is answered by a later one.
                    call.attempt = call.attempt.map(|attempt| (attempt * 2).min(LONGEST_PROBE));
                    if call.repeat == Repeat::IfUnsent && !unsent {
                        return Err(outcome_unknown(&why));
                    }
                    last = Some(Error::new(Kind::Connect(ConnectFault::Unreachable), why));
                    losses += 1;
                    let left = call.deadline.saturating_duration_since(Instant::now());
                    pause(self.rest_after(losses).min(left)).await;
                }
                Outcome::TooLate if call.repeat == Repeat::IfUnsent && !unsent => {
                    return Err(outcome_unknown("no answer came in time"));
                }
                Outcome::TooLate => return Err(out_of_time(call, last)),
            }
        }
    }

    /// Whether nothing of a call left, nor will: what was handed to HTTP/2 may leave yet. `written` had left before it.
    fn is_unsent(&self, call: Call, came: &Outcome, connection: &Connection, written: u64) -> bool {
        let unsent = connection.written() == written;
        if call.repeat == Repeat::Freely || !unsent {
            return unsent;
        }
        match came {
            // Where a lost connection says that nothing left, nothing may from now on.
            Outcome::Lost(_) if connection.loss().is_some() => connection.seal() == written,
            // The same at its deadline, or of a call that ended alone. Where others have calls on the connection it goes on,
            // and this one may leave.
            Outcome::Lost(_) | Outcome::TooLate => {
                !connection.is_used() && {
                    self.leave(connection);
                    connection.seal() == written
                }
            }
            Outcome::Answered(_) | Outcome::Unprocessed(_) => unsent,
        }
    }

    /// How long to leave a device in peace that takes no more calls for now: twice as long as the last time, while it does
    /// not take any.
    fn rest_when_throttled(&self) -> Duration {
        let mut rest = self.inner.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        *rest = (*rest * 2).clamp(THROTTLED_REST, LONGEST_THROTTLED_REST);
        *rest
    }

    /// Leaves a device in peace that takes no more calls for now; its own word where there is no time for that.
    async fn rest_throttled(&self, call: Call, status: &Status, is_news: bool) -> Result<()> {
        let rest = self.rest_when_throttled();
        if Instant::now() + rest >= call.deadline {
            return Err(Error::from_status(status));
        }
        if is_news {
            let text = format!("{}: asked again, more slowly: {}", call.name, status.message());
            self.timeline().record(EventKind::Note, text);
        }
        pause(rest).await;
        Ok(())
    }

    /// It may take more of them by now, and shall be asked less slowly if so.
    fn took_a_call(&self) {
        let mut rest = self.inner.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        *rest = if *rest > THROTTLED_REST { *rest / 2 } else { Duration::ZERO };
    }

    /// Whether a call waits for an answer, and the device has said nothing at all for so long.
    pub fn waits_in_silence(&self, long: Duration) -> bool {
        self.current().is_some_and(|connection| connection.is_used() && connection.silent_for() >= long)
    }

    /// How long to leave a device in peace that lost a call, or did not take it, time and again: the first loss is news
    /// and needs no rest, and in an outage that is expected the next connection may be the new one's.
    fn rest_after(&self, losses: u32) -> Duration {
        let longest = if self.is_outage_expected() { UNAVAILABLE_PAUSE } else { LONGEST_REST };
        match losses {
            0 | 1 => Duration::ZERO,
            more => (UNAVAILABLE_PAUSE * 2_u32.saturating_pow(more - 2)).min(longest),
        }
    }

    /// Whether a peer has said nothing for so long that what stands between may have forgotten the connection, or a device
    /// that failed over meanwhile may know nothing of it: a change would be lost there, and nobody would know whether it
    /// was made.
    fn may_be_stale(&self, connection: &Connection) -> bool {
        let Patience { silence, answer } = self.inner.settings.patience;
        connection.silent_for() >= (silence + answer) * STALE
    }

    async fn attempt(&self, call: Call, connection: &Connection, send: &Sending<'_>) -> Outcome {
        let mut first = Attempt::begin(call, connection, send);
        if call.repeat == Repeat::IfUnsent {
            return first.outcome().await;
        }
        tokio::select! {
            biased;
            outcome = first.outcome() => return outcome,
            () = connection.suspected() => {}
        }
        // A read is made once more on a fresh connection; whichever answer comes first will do.
        self.connections().lost(connection, &connection.silence());
        let again = async {
            let Ok(fresh) = self.connection(call.deadline).await else { return Outcome::TooLate };
            Attempt::begin(call, &fresh, send).outcome().await
        };
        tokio::select! {
            biased;
            outcome = first.outcome() => outcome,
            outcome = again => outcome,
        }
    }

    /// Before something is changed: does a control processor that stands by answer there, of a target with several
    /// addresses, or nobody? None where who is in charge does; the next connection is another then.
    async fn ask_whether_in_charge(&self, call: Call, connection: &Connection) -> Option<Error> {
        match ask_time(connection, call.deadline).await {
            Outcome::Answered(Err(status)) if status.code() == Code::Unavailable && !connection.is_in_charge() => {
                self.refused(connection);
                pause(UNAVAILABLE_PAUSE).await;
                Some(Error::from_status(&status))
            }
            Outcome::Answered(_) => {
                connection.set_in_charge(true);
                None
            }
            Outcome::Lost(why) | Outcome::Unprocessed(why) => {
                self.connections().lost(connection, &why);
                Some(Error::new(Kind::Connect(ConnectFault::Unreachable), why))
            }
            Outcome::TooLate => Some(Error::new(Kind::Timeout, "no answer in time")),
        }
    }

    /// An answer of UNAVAILABLE: where the target has several addresses, another may be in charge.
    fn refused(&self, connection: &Connection) {
        self.inner.refusals.fetch_add(1, Ordering::Relaxed);
        if !connection.is_alone() {
            connection.set_in_charge(false);
            self.connections().leave_and_pass(connection);
        }
    }

    fn record_call(&self, call: &'static str, outcome: &str, status: Option<&str>) {
        let mut fields = vec![("call", call.into())];
        fields.extend(status.map(|status| ("status", status.into())));
        self.timeline().record_fields(EventKind::Call, format!("{call}: {outcome}"), fields);
    }
}
