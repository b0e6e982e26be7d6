//! Dialling through an outage: attempts overlap, and the first that completes wins.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::connection::{ExpectedOutage, Patience, Watched};
use super::{Address, BoxedIo, Connection, Connector, Proxy, Security, Target};
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
                        let by = target.proxy.as_ref().map(|proxy| format!(" by the proxy {proxy}")).unwrap_or_default();
                        Error::new(Kind::Connect(ConnectFault::Unreachable), format!("nothing answers{by}"))
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
        let (target, until) = (&self.target, Instant::now() + self.pace.attempt);
        let (connector, proxy) = (&*self.connector, target.proxy.as_ref());
        let each = count / target.addresses.len();
        let (io, only) = timeout_at(until, open(connector, proxy, &address, each)).await.unwrap_or_else(|_| {
            Err(match proxy {
                Some(proxy) => proxy.unreachable(&format!("does not connect to {address} in time")),
                None => silent(&address),
            })
        })?;
        let alone = only && target.addresses.len() == 1;
        timeout_at(until, self.establish(io, &address, alone)).await.unwrap_or_else(|_| Err(silent(&address)))
    }

    async fn establish(&self, io: BoxedIo, address: &Address, alone: bool) -> Result<Connection> {
        let target = &self.target;
        let watched = Watched { patience: self.patience, outage: self.outage.clone(), alone };
        let credentials = target.credentials.clone();
        match &target.security {
            Security::Plaintext => Connection::establish(io, address, false, credentials, watched).await,
            Security::Tls(tls) => {
                let io = tls.handshake(io, address).await?;
                let established = Connection::establish(io, address, true, credentials, watched).await;
                established.map_err(|error| tls.explain_refusal(error))
            }
        }
    }
}

/// Bytes to and from `address`, by the proxy if there is one, and whether the way there is the only one. Of several ways
/// the `count`th is taken.
pub async fn open(
    connector: &dyn Connector,
    proxy: Option<&Proxy>,
    address: &Address,
    count: usize,
) -> Result<(BoxedIo, bool)> {
    let Some(proxy) = proxy else {
        let resolved = connector.resolve(address).await.map_err(|error| unknown(address, &error))?;
        let chosen = resolved.get(count % resolved.len().max(1)).copied();
        let chosen = chosen.ok_or_else(|| unreachable_at(address, "it resolves to nothing"))?;
        let connected = connector.connect(chosen).await;
        return Ok((connected.map_err(|error| unreachable_at(address, &error.to_string()))?, resolved.len() == 1));
    };
    let resolved = connector.resolve(proxy.address()).await;
    let resolved = resolved.map_err(|error| proxy.unreachable(&format!("does not resolve: {error}")))?;
    let chosen = resolved.get(count % resolved.len().max(1)).copied();
    let chosen = chosen.ok_or_else(|| proxy.unreachable("resolves to nothing"))?;
    let io = connector.connect(chosen).await;
    let io = io.map_err(|error| proxy.unreachable(&format!("is not there: {error}")))?;
    // The proxy may resolve a name to several addresses.
    Ok((proxy.tunnel(io, address).await?, address.host.parse::<IpAddr>().is_ok()))
}

fn unknown(address: &Address, error: &io::Error) -> Error {
    let what = format!("{} does not resolve: {error}", address.host);
    let hint = match address.zone() {
        Some(zone) => format!("is {zone} a network interface of this machine? ip link shows them"),
        None => "check the name, or give an address".to_owned(),
    };
    Error::new(Kind::Connect(ConnectFault::UnknownHost), what).hint(hint)
}

fn unreachable_at(address: &Address, why: &str) -> Error {
    let hint = if address.misses_zone() {
        format!(
            "an address of one link needs the interface that leads there: [{}%INTERFACE]:{}",
            address.host, address.port
        )
    } else {
        "is the device up, and is this its gRPC port?".to_owned()
    };
    Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{address}: {why}")).hint(hint)
}

fn silent(address: &Address) -> Error {
    Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{address} does not answer"))
        .hint("something accepts and never speaks, or drops packets")
}

fn is_final(error: &Error) -> bool {
    match error.kind {
        Kind::Connect(fault) => !matches!(fault, ConnectFault::Unreachable | ConnectFault::ProxyUnreachable),
        _ => true,
    }
}
