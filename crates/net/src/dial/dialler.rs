//! Dialling through an outage: attempts overlap, and the first that completes wins.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::connection::{ExpectedOutage, Patience, Watched};
use super::{Address, Connection, Connector, Security, Target, tls};
use crate::error::{ConnectFault, Error, Kind, Result};
use crate::waiting::reached;

/// How often to dial, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From one dial to the next, at first.
    pub interval: Duration,
    /// How long that lasts.
    pub eager_for: Duration,
    /// From one dial to the next after that.
    pub slow_interval: Duration,
    /// What one dial may take; a dial that began inside a black hole never completes.
    pub attempt: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(50),
            eager_for: Duration::from_secs(30),
            slow_interval: Duration::from_secs(1),
            attempt: Duration::from_secs(4),
        }
    }
}

/// When a refusal is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The first connection, and even a refusal is the answer.
    Once,
    /// The first connection: what answers wrongly will not get better.
    FirstContact,
    /// After a loss: anything may answer anything while a device comes up.
    Outage,
}

/// What it takes to dial a target, again and again.
pub struct Dialler {
    pub connector: Arc<dyn Connector>,
    pub target: Arc<Target>,
    pub pace: Pace,
    pub patience: Patience,
    /// Whether its user expects an outage.
    pub outage: ExpectedOutage,
}

impl Dialler {
    /// Dials until something completes, fails for good, or `deadline` passes.
    pub async fn dial(
        self: &Arc<Self>,
        first_address: usize,
        persistence: Persistence,
        deadline: Instant,
    ) -> Result<Connection> {
        let (target, pace) = (&self.target, self.pace);
        let alone = target.addresses.len() == 1;
        let began = Instant::now();
        let mut attempts = JoinSet::new();
        let mut next_dial = began;
        let mut count = first_address;
        let mut last_failure: Option<Error> = None;
        loop {
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(Ok(connection)) => return Ok(connection),
                    Ok(Err(error)) if persistence == Persistence::Once => return Err(error),
                    Ok(Err(error)) if persistence == Persistence::FirstContact && alone && is_final(&error) => {
                        return Err(error);
                    }
                    Ok(Err(error)) => last_failure = Some(error),
                    Err(_) => {} // the runtime is going down
                },
                () = reached(deadline) => {
                    return Err(last_failure.unwrap_or_else(|| {
                        Error::new(Kind::Connect(ConnectFault::Unreachable), "nothing answers")
                            .hint("check the address, the port, and that nothing on the way drops packets")
                    }));
                }
                () = reached(next_dial) => {
                    let address = target.addresses[count % target.addresses.len()].clone();
                    attempts.spawn(self.clone().attempt(address, count));
                    count += 1;
                    let pause = if began.elapsed() < pace.eager_for { pace.interval } else { pace.slow_interval };
                    next_dial += pause;
                }
            }
        }
    }

    async fn attempt(self: Arc<Self>, address: Address, count: usize) -> Result<Connection> {
        let target = &self.target;
        let unreachable = |why: String| Error::new(Kind::Connect(ConnectFault::Unreachable), why);
        let steps = async {
            let resolved = self.connector.resolve(&address).await.map_err(|error| {
                Error::new(
                    Kind::Connect(ConnectFault::UnknownHost),
                    format!("{} does not resolve: {error}", address.host),
                )
                .hint("check the name, or give an address")
            })?;
            if resolved.is_empty() {
                return Err(unreachable(format!("{} resolves to nothing", address.host)));
            }
            let addresses = target.addresses.len();
            let io = self.connector.connect(resolved[count / addresses % resolved.len()]).await.map_err(|error| {
                unreachable(format!("{address}: {error}")).hint("is the device up, and is this its gRPC port?")
            })?;
            let (io, encrypted) = match &target.security {
                Security::Plaintext => (io, false),
                Security::Tls(tls) => (tls.handshake(io, &address).await?, true),
            };
            let alone = addresses == 1 && resolved.len() == 1;
            let credentials = target.credentials.clone();
            let watched = Watched { patience: self.patience, outage: self.outage.clone(), alone };
            let established = Connection::establish(io, &address, encrypted, credentials, watched).await;
            established.map_err(|error| if encrypted { tls::explain_refusal(error) } else { error })
        };
        timeout(self.pace.attempt, steps).await.unwrap_or_else(|_| {
            Err(unreachable(format!("{address} does not answer"))
                .hint("something accepts and never speaks, or drops packets"))
        })
    }
}

fn is_final(error: &Error) -> bool {
    match error.kind {
        Kind::Connect(fault) => fault != ConnectFault::Unreachable,
        _ => true,
    }
}
