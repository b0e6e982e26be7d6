//! Calls as an orchestrator makes them: in time, again where the specification says so, and counted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tonic::{Response, Status};

use super::endpoint::Endpoint;
use super::rpc::{FEW, Next, Rpc};
use super::trouble;
use crate::volumes::CallTimes;
use holdfast_net::dial::Connection;
use holdfast_net::dial::answer::unless_it_panics;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting;

/// Before the second attempt; each pause after that is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long calls may take, all attempts together.
#[derive(Debug, Clone)]
pub struct Calls {
    /// Where an RPC has no limit of its own.
    pub default: Duration,
    /// By RPC.
    pub each: BTreeMap<Rpc, Duration>,
    /// Nothing is asked again: who passes calls on leaves that to those whom it asks for.
    pub once: bool,
}

impl Default for Calls {
    /// Orchestrators give an attempt 15 s to 2 min, and make another after that.
    fn default() -> Self {
        Self { default: Duration::from_secs(60), each: BTreeMap::new(), once: false }
    }
}

impl Calls {
    /// Of an RPC.
    pub fn limit(&self, rpc: Rpc) -> Duration {
        self.each.get(&rpc).copied().unwrap_or(self.default)
    }
}

/// Makes calls, and counts them.
pub struct Caller {
    runtime: Handle,
    calls: Calls,
    /// Whether anybody was there so far, whatever became of the call.
    met: AtomicBool,
    made: Mutex<BTreeMap<Rpc, CallTimes>>,
}

type Answer<T> = std::result::Result<Response<T>, Status>;

/// Makes one attempt, and leaves the answer with whoever asked: of one type for all RPCs, so that what is done about
/// attempts is compiled once.
type Ask<'a> = dyn Fn(Connection) -> LocalBoxFuture<'a, std::result::Result<(), Status>> + 'a;

impl Caller {
    /// Must be called within a runtime.
    pub fn new(calls: Calls) -> Self {
        Self { runtime: Handle::current(), calls, met: AtomicBool::default(), made: Mutex::default() }
    }

    /// Whether anybody served where a call went.
    pub fn has_met_somebody(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    /// How long the slowest answer to an RPC took so far.
    pub fn slowest(&self, rpc: Rpc) -> Duration {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(&rpc).map(|times| times.slowest).unwrap_or_default()
    }

    /// What was asked so far.
    pub fn made(&self) -> Vec<CallTimes> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Asks until there is an answer that stays one, within the RPC's limit and `deadline`. Must be called from where
    /// blocking is allowed.
    pub fn ask<T>(
        &self,
        socket: &Endpoint,
        rpc: Rpc,
        deadline: Instant,
        ask: impl AsyncFn(Connection) -> Answer<T>,
    ) -> Result<T> {
        self.ask_while(socket, rpc, deadline, |error| rpc.about(error), ask)
    }

    /// The same, where `about` says what is done about an error.
    pub fn ask_while<T>(
        &self,
        socket: &Endpoint,
        rpc: Rpc,
        deadline: Instant,
        about: impl Fn(&Error) -> Next,
        ask: impl AsyncFn(Connection) -> Answer<T>,
    ) -> Result<T> {
        let limit = Instant::now() + self.calls.limit(rpc);
        let about = |error: &Error| if self.calls.once { Next::Never } else { about(error) };
        self.make(socket, rpc, deadline.min(limit), about, ask)
    }

    /// Asks once, by `deadline`.
    pub fn ask_once<T>(
        &self,
        socket: &Endpoint,
        rpc: Rpc,
        deadline: Instant,
        ask: impl AsyncFn(Connection) -> Answer<T>,
    ) -> Result<T> {
        self.make(socket, rpc, deadline, |_| Next::Never, ask)
    }

    fn make<T>(
        &self,
        socket: &Endpoint,
        rpc: Rpc,
        deadline: Instant,
        about: impl Fn(&Error) -> Next,
        ask: impl AsyncFn(Connection) -> Answer<T>,
    ) -> Result<T> {
        let answered = RefCell::new(None);
        self.make_and_count(socket, rpc, deadline, &about, &|connection| {
            let asked = ask(connection);
            async {
                let answer = asked.await?.into_inner();
                *answered.borrow_mut() = Some(answer);
                Ok(())
            }
            .boxed_local()
        })?;
        Ok(answered.into_inner().expect("a call that was answered left its answer"))
    }

    fn make_and_count(
        &self,
        socket: &Endpoint,
        rpc: Rpc,
        deadline: Instant,
        about: &dyn Fn(&Error) -> Next,
        ask: &Ask<'_>,
    ) -> Result<()> {
        let began = Instant::now();
        let ask = |connection| {
            self.met.store(true, Ordering::Relaxed);
            ask(connection)
        };
        let asking = persist(socket, deadline, about, &ask);
        let (outcome, attempts) = self.runtime.block_on(asking.boxed_local());
        self.count(rpc, attempts, outcome.as_ref().ok().map(|()| began.elapsed()));
        outcome.map_err(|error| error.during(&socket.to_string(), rpc.name(), began.elapsed()))
    }

    fn count(&self, rpc: Rpc, attempts: u32, answered: Option<Duration>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let times = made.entry(rpc).or_insert_with(|| CallTimes {
            name: rpc.name(),
            limit: self.calls.limit(rpc),
            ..CallTimes::default()
        });
        times.calls += 1;
        times.repeated += u64::from(attempts.saturating_sub(1));
        times.slowest = times.slowest.max(answered.unwrap_or_default());
    }
}

/// What the last attempt came to, and how many it took.
async fn persist(
    socket: &Endpoint,
    deadline: Instant,
    about: &dyn Fn(&Error) -> Next,
    ask: &Ask<'_>,
) -> (Result<()>, u32) {
    let (mut attempts, mut pause) = (0, FIRST_PAUSE);
    let mut before: Option<Error> = None;
    loop {
        attempts += 1;
        let error = match attempt(socket, deadline, ask).await {
            Ok(()) => return (Ok(()), attempts),
            Err(error) => error,
        };
        let again = match about(&error) {
            Next::Again => true,
            Next::Few => attempts < FEW,
            Next::Never => false,
        };
        if !again || Instant::now() + pause >= deadline {
            return (Err(after(error, attempts, before.as_ref())), attempts);
        }
        before = Some(error);
        waiting::pause(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// An error, with what came before it.
fn after(mut error: Error, attempts: u32, before: Option<&Error>) -> Error {
    if let Some(before) = before {
        let other = before.kind != error.kind || before.message != error.message;
        let at_first = if other { format!("; before that: {}", before.message) } else { String::new() };
        error.message = format!("{} (asked {attempts} times{at_first})", error.message);
    }
    error
}

async fn attempt(socket: &Endpoint, deadline: Instant, ask: &Ask<'_>) -> Result<()> {
    let asked = async {
        let connection = socket.connect().await?;
        unless_it_panics(ask(connection)).await.map_err(|status| trouble::error(&status))
    };
    timeout_at(deadline.into(), asked).await.unwrap_or_else(|_| {
        let hint = "is the plugin alive? How long a call may take is a setting";
        Err(Error::new(Kind::Timeout, "no answer in time").hint(hint))
    })
}
