//! A server's stream that is meant to live on: it outlives its connection, or says that it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, Streaming};

use super::answer::{is_transport, unless_it_panics};
use super::call::{UNAVAILABLE_PAUSE, short};
use super::connection::{Pending, root_cause};
use super::connector::BoxFuture;
use super::{Connection, EventKind, Session};
use crate::error::{Error, Kind, Result, is_broken_off};
use crate::waiting::{pause, reached};

/// From one try to the next of a stream that breaks off again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A stream that lasted so long did not break off again at once, whatever it had to say.
const LASTED: Duration = Duration::from_secs(10);

/// How long a stream is tried to be made again.
#[derive(Debug, Clone, Copy)]
pub struct ResumeLimits {
    /// How long the device may be away.
    pub away: Duration,
    /// How long a device that answers may refuse it: it may be on its way up.
    pub refused: Duration,
}

/// What becomes of a stream that breaks off.
#[derive(Clone)]
pub enum OnLoss {
    /// It ends with UNAVAILABLE.
    End,
    /// It is made again; the limits are asked for when it breaks off.
    Resume(Arc<dyn Fn() -> ResumeLimits + Send + Sync>),
}

/// That a stream was made again. What the device said meanwhile is unknown; what it said before may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Why it broke off.
    pub why: String,
}

/// What comes next.
#[derive(Debug)]
pub enum Next<T> {
    /// A message.
    Message(T),
    /// None came, and the stream was made again.
    Resumed(Resumed),
    /// The device ended it well.
    End,
}

/// A stream as it was opened: what else must live as long as it, the messages, and over which connection they come.
pub type Opened<K, T> = ((K, Streaming<T>), Connection, Pending);

/// Makes the stream, by a deadline.
pub type Opener<K, T> = Box<dyn Fn(Instant) -> BoxFuture<'static, Result<Opened<K, T>>> + Send + Sync>;

/// Where it stands.
enum Standing<K, T> {
    /// The last ends once the device answers elsewhere, and is silent here.
    Open(Opened<K, T>, BoxFuture<'static, ()>),
    Broken(Broken),
    Over(Option<Error>),
}

impl<K, T> Standing<K, T> {
    fn open(session: &Session, opened: Opened<K, T>) -> Self {
        let (session, connection) = (session.clone(), opened.1.clone());
        Self::Open(opened, Box::pin(async move { session.replaced(&connection).await }))
    }
}

/// It broke off, and is not made again yet.
struct Broken {
    why: String,
    /// Before then it is not tried.
    rests_until: Instant,
    refused_since: Option<Instant>,
    last: Option<Error>,
}

/// An open stream.
pub struct Following<K, T> {
    session: Session,
    name: &'static str,
    opener: Opener<K, T>,
    on_loss: OnLoss,
    standing: Standing<K, T>,
    opened: Instant,
    /// When it broke off, where nothing came since.
    fruitless_since: Option<Instant>,
    /// How often it broke off soon after it was made, one after another, whatever came of it.
    hasty: u32,
}

impl<K: Send + 'static, T: Send + 'static> Following<K, T> {
    /// Makes it; it ends where it breaks off, unless [`Self::set_on_loss`] says otherwise.
    pub async fn open(session: Session, name: &'static str, opener: Opener<K, T>, deadline: Instant) -> Result<Self> {
        let standing = Standing::open(&session, opener(deadline).await?);
        let (on_loss, opened) = (OnLoss::End, Instant::now());
        Ok(Self { session, name, opener, on_loss, standing, opened, fruitless_since: None, hasty: 0 })
    }

    /// Says what becomes of it where it breaks off.
    pub fn set_on_loss(&mut self, on_loss: OnLoss) {
        self.on_loss = on_loss;
    }

    /// What lives as long as the stream; None while it is broken off, and at its end.
    pub fn kept(&self) -> Option<&K> {
        match &self.standing {
            Standing::Open(((kept, _), ..), _) => Some(kept),
            _ => None,
        }
    }

    /// Whether it is made again, now or later, where it breaks off.
    pub fn resumes(&self) -> bool {
        matches!(self.on_loss, OnLoss::Resume(_)) && !matches!(self.standing, Standing::Over(_))
    }

    /// What comes next. Who drops the future loses nothing.
    pub async fn next(&mut self, deadline: Instant) -> Result<Next<T>> {
        let began = Instant::now();
        let next = self.take(deadline).await;
        next.map_err(|error| self.session.told(error, self.name, began.elapsed()))
    }

    async fn take(&mut self, deadline: Instant) -> Result<Next<T>> {
        if let Standing::Open(((_, stream), connection, _), replaced) = &mut self.standing {
            let why = tokio::select! {
                biased;
                message = timeout_at(deadline, unless_it_panics(stream.message())) => match message {
                    Err(_) => return Err(Error::new(Kind::Timeout, "nothing came in time")),
                    Ok(Ok(Some(message))) => {
                        self.fruitless_since = None;
                        return Ok(Next::Message(message));
                    }
                    // One that goes away may end what it was about to lose.
                    Ok(Ok(None)) if self.session.is_outage_expected() => "the device ended it as it went away".to_owned(),
                    Ok(Ok(None)) => {
                        self.standing = Standing::Over(None);
                        return Ok(Next::End);
                    }
                    Ok(Err(status)) => match breakage(&status, connection) {
                        Some(why) => why,
                        None => return Err(self.over(Error::from_status(&status))),
                    },
                },
                why = connection.lost() => why,
                () = replaced => connection.silence(),
            };
            let now = Instant::now();
            let lasted = self.opened.elapsed() >= LASTED;
            self.hasty = if lasted { 1 } else { self.hasty.saturating_add(1) };
            let before = self.fruitless_since.filter(|_| !lasted);
            self.fruitless_since = Some(before.unwrap_or(now));
            let rests_until = now + rest_after(self.hasty);
            self.standing = Standing::Broken(Broken { why, rests_until, refused_since: None, last: None });
        }
        match &self.standing {
            Standing::Over(Some(error)) => Err(error.clone()),
            Standing::Over(None) => Ok(Next::End),
            _ => self.resume(deadline).await.map(Next::Resumed),
        }
    }

    async fn resume(&mut self, deadline: Instant) -> Result<Resumed> {
        let limits = match &self.on_loss {
            OnLoss::Resume(limits) => limits(),
            OnLoss::End => {
                let error = self
                    .session
                    .check_open()
                    .err()
                    .unwrap_or_else(|| self.ended().hint("follow it again, or let it resume"));
                return Err(self.over(error));
            }
        };
        let since = self.fruitless_since.unwrap_or_else(Instant::now);
        if let Standing::Broken(Broken { rests_until, .. }) = self.standing {
            reached(rests_until.min(deadline)).await;
            if rests_until > deadline {
                return Err(self.late());
            }
        }
        loop {
            let Standing::Broken(broken) = &mut self.standing else { return Err(self.ended()) };
            let give_up = since + limits.away;
            let error = match (self.opener)(deadline.min(give_up)).await {
                Ok(opened) => {
                    let why = broken.why.clone();
                    self.standing = Standing::open(&self.session, opened);
                    self.opened = Instant::now();
                    let text = format!("{}: the stream was made again: {why}", self.name);
                    self.session.timeline().record(EventKind::Note, text);
                    return Ok(Resumed { why });
                }
                Err(error) => error,
            };
            if let Err(closed) = self.session.check_open() {
                return Err(self.over(closed));
            }
            let now = Instant::now();
            if error.code().is_some_and(|code| code != Code::Unavailable) {
                let refused_since = *broken.refused_since.get_or_insert(now);
                if now >= refused_since + limits.refused {
                    let message =
                        format!("{}, and the device refuses to make it again: {}", broken.said(), error.message);
                    return Err(self.over(Error { message, ..error }));
                }
            }
            broken.last = Some(error);
            if now + UNAVAILABLE_PAUSE >= give_up {
                let error = self.ended();
                return Err(self.over(error));
            }
            if now + UNAVAILABLE_PAUSE >= deadline {
                return Err(self.late());
            }
            pause(UNAVAILABLE_PAUSE).await;
        }
    }

    fn late(&self) -> Error {
        Error::new(Kind::Timeout, format!("nothing came in time: {}", self.ended().message))
    }

    /// That it broke off, with the last that was said to a try to make it again.
    fn ended(&self) -> Error {
        let Standing::Broken(broken) = &self.standing else { return Error::new(Kind::Status(Code::Unavailable), "") };
        let mut message = format!("{}; what the device said since is unknown", broken.said());
        if let Some(last) = &broken.last {
            message = format!("{message}; it could not be made again: {}", short(last));
        }
        Error::new(Kind::Status(Code::Unavailable), message)
    }

    /// Takes no more of it: it ends with this error.
    pub fn give_up(&mut self, error: Error) -> Error {
        let error = self.session.told(error, self.name, self.opened.elapsed());
        self.over(error)
    }

    /// It is over with this error, which who reads on gets again.
    fn over(&mut self, error: Error) -> Error {
        self.standing = Standing::Over(Some(error.clone()));
        error
    }
}

/// How long a device is left in peace whose stream broke off soon after it was made, so many times: the first is news.
fn rest_after(times: u32) -> Duration {
    match times {
        0 | 1 => Duration::ZERO,
        more => (UNAVAILABLE_PAUSE * 2_u32.saturating_pow(more - 2)).min(LONGEST_PAUSE),
    }
}

impl Broken {
    fn said(&self) -> String {
        format!("the stream broke off: {}", self.why)
    }
}

/// Why a stream broke off, where its end is not the device's own word on it.
fn breakage(status: &Status, connection: &Connection) -> Option<String> {
    let lost = connection.loss();
    let broken = lost.is_some() || is_transport(status) || is_broken_off(status);
    match (lost, status.code()) {
        (Some(why), _) => Some(why),
        (None, Code::Unavailable) if !broken => Some(status.message().to_owned()),
        (None, _) => broken.then(|| root_cause(status)),
    }
}
