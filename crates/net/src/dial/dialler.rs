//! Dialling through an outage: attempts overlap, and the first that completes wins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// From one dial to the next after that, and where a dial is taken whose peer says nothing yet: it is slow, and more
    /// of them make it slower. Not so where an outage is expected.
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
        let accepted = Accepted::default();
        let mut next_dial = began;
        let mut count = first_address;
        let mut last_failure: Option<Error> = None;
        loop {
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(Ok(Some(connection))) => return Ok(connection),
                    Ok(Err(error)) if persistence == Persistence::Once => return Err(error),
                    Ok(Err(error)) if persistence == Persistence::FirstContact && alone && is_final(&error) => {
                        return Err(error);
                    }
                    Ok(Err(error)) => last_failure = Some(error),
                    Ok(Ok(None)) | Err(_) => {} // another dial waits there; or the runtime is going down
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
                    attempts.spawn(self.clone().attempt(address, count, accepted.clone()));
                    count += 1;
                    let pause = if began.elapsed() < pace.eager_for { pace.interval } else { pace.slow_interval };
                    next_dial += pause;
                }
            }
        }
    }

    /// None where an earlier dial waits there already.
    async fn attempt(
        self: Arc<Self>,
        address: Address,
        count: usize,
        accepted: Accepted,
    ) -> Result<Option<Connection>> {
        let (target, until) = (&self.target, Instant::now() + self.pace.attempt);
        let (connector, proxy) = (&*self.connector, target.proxy.as_ref());
        let each = count / target.addresses.len();
        let late = || match proxy {
            Some(proxy) => proxy.unreachable(&format!("does not connect to {address} in time")),
            None => silent(&address),
        };
        let way = timeout_at(until, DialRoute::to(connector, proxy, &address, each)).await.map_err(|_| late())??;
        if proxy.is_none() && !self.outage.is_expected() && accepted.waits_at(way.place, self.pace.slow_interval) {
            return Ok(None);
        }
        let io = timeout_at(until, way.open(connector, proxy, &address)).await.map_err(|_| late())??;
        let _taken = accepted.taken(way.place);
        let alone = way.only && target.addresses.len() == 1;
        let established = timeout_at(until, self.establish(io, &address, alone)).await;
        established.map_err(|_| silent(&address))?.map(Some)
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
    let way = DialRoute::to(connector, proxy, address, count).await?;
    Ok((way.open(connector, proxy, address).await?, way.only))
}

/// Where a dial goes: to the target, or to the proxy that leads there.
struct DialRoute {
    place: SocketAddr,
    /// Whether no other leads there, as far as that can be known.
    only: bool,
}

impl DialRoute {
    async fn to(connector: &dyn Connector, proxy: Option<&Proxy>, address: &Address, count: usize) -> Result<Self> {
        let Some(proxy) = proxy else {
            let resolved = connector.resolve(address).await.map_err(|error| unknown(address, error))?;
            let place = resolved.get(count % resolved.len().max(1)).copied();
            let place = place.ok_or_else(|| unreachable_at(address, "it resolves to nothing"))?;
            return Ok(Self { place, only: resolved.len() == 1 });
        };
        let resolved = connector.resolve(proxy.address()).await;
        let resolved = resolved.map_err(|error| proxy.unreachable(&format!("does not resolve: {error}")))?;
        let place = resolved.get(count % resolved.len().max(1)).copied();
        let place = place.ok_or_else(|| proxy.unreachable("resolves to nothing"))?;
        // The proxy may resolve a name to several addresses.
        Ok(Self { place, only: address.host.parse::<IpAddr>().is_ok() })
    }

    async fn open(&self, connector: &dyn Connector, proxy: Option<&Proxy>, address: &Address) -> Result<BoxedIo> {
        let io = connector.connect(self.place).await;
        match proxy {
            Some(proxy) => {
                let io = io
                    .map_err(|error| proxy.unreachable(&format!("is not there: {error}")).caused_by(Arc::new(error)))?;
                proxy.tunnel(io, address).await
            }
            None => io.map_err(|error| unreachable_at(address, &error.to_string()).caused_by(Arc::new(error))),
        }
    }
}

fn unknown(address: &Address, error: io::Error) -> Error {
    let what = format!("{} does not resolve: {error}", address.host);
    let hint = match address.zone() {
        Some(zone) => format!("is {zone} a network interface of this machine? ip link shows them"),
        None => "check the name, or give an address".to_owned(),
    };
    Error::new(Kind::Connect(ConnectFault::UnknownHost), what).hint(hint).caused_by(Arc::new(error))
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
    Error::new(Kind::Connect(ConnectFault::Unreachable), why).at(address).hint(hint)
}

fn silent(address: &Address) -> Error {
    Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{address} does not answer"))
        .hint("something accepts and never speaks, or drops packets")
}

/// Where a dial was taken whose peer says nothing yet, and when that was. Clones share it.
#[derive(Debug, Default, Clone)]
struct Accepted(Arc<Mutex<Vec<(SocketAddr, Instant)>>>);

/// One of them, for as long as it lives.
struct Taken(Accepted, (SocketAddr, Instant));

impl Accepted {
    fn held(&self) -> MutexGuard<'_, Vec<(SocketAddr, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits_at(&self, place: SocketAddr, recently: Duration) -> bool {
        self.held().iter().any(|(taken, when)| *taken == place && when.elapsed() < recently)
    }

    fn taken(&self, place: SocketAddr) -> Taken {
        let entry = (place, Instant::now());
        self.held().push(entry);
        Taken(self.clone(), entry)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut held = self.0.held();
        if let Some(at) = held.iter().position(|entry| *entry == self.1) {
            held.swap_remove(at);
        }
    }
}

fn is_final(error: &Error) -> bool {
    match error.kind {
        Kind::Connect(fault) => !matches!(fault, ConnectFault::Unreachable | ConnectFault::ProxyUnreachable),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::dial::BoxedIo;
    use crate::dial::connector::BoxFuture;

    /// A device whose kernel takes dials, or does not, and whose process says nothing.
    struct Slow {
        takes: bool,
        dials: AtomicUsize,
        held: Mutex<Vec<tokio::io::DuplexStream>>,
    }

    impl Connector for Slow {
        fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            Box::pin(async { Ok(vec![SocketAddr::from(([192, 0, 2, 1], 9339))]) })
        }

        fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
            self.dials.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                if !self.takes {
                    return std::future::pending().await;
                }
                let (ours, theirs) = tokio::io::duplex(4096);
                self.held.lock().expect("no panic").push(theirs);
                Ok(Box::new(ours) as BoxedIo)
            })
        }
    }

    fn dialler(connector: Arc<dyn Connector>, outage: ExpectedOutage) -> Arc<Dialler> {
        Arc::new(Dialler {
            connector,
            target: Arc::new(Target::parse("device:9339", Security::Plaintext).expect("an address")),
            pace: Pace::default(),
            patience: Patience::lasting(Duration::from_secs(2)),
            outage,
        })
    }

    async fn dials(takes: bool, expected: bool) -> usize {
        let slow = Arc::new(Slow { takes, dials: AtomicUsize::new(0), held: Mutex::default() });
        let outage = ExpectedOutage::default();
        let _expecting = expected.then(|| outage.begin());
        let dialler = dialler(slow.clone(), outage);
        let refused = dialler.dial(0, Persistence::Outage, Instant::now() + Duration::from_secs(3)).await;
        assert!(refused.is_err());
        slow.dials.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_takes_dials_and_is_slow_is_dialled_gently() {
        assert!(dials(true, false).await <= 4, "once a second");
        assert!(dials(true, true).await >= 50, "an outage is expected");
        assert!(dials(false, false).await >= 50, "none was taken: nobody is made slower");
    }

    /// Who answers every dial with what is no HTTP/2, or whose kernel refuses it.
    struct Other {
        says: Option<&'static [u8]>,
        held: Arc<Mutex<Vec<tokio::io::DuplexStream>>>,
    }

    impl Connector for Other {
        fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            Box::pin(async { Ok(vec![SocketAddr::from(([192, 0, 2, 1], 9339))]) })
        }

        fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
            let (says, held) = (self.says, self.held.clone());
            Box::pin(async move {
                let says = says.ok_or(io::ErrorKind::ConnectionRefused)?;
                let (ours, mut theirs) = tokio::io::duplex(4096);
                theirs.write_all(says).await?;
                held.lock().expect("no panic").push(theirs);
                Ok(Box::new(ours) as BoxedIo)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_further_dial_can_mend_ends_the_first_contact_at_once_and_all_else_by_the_deadline() {
        const LIMIT: Duration = Duration::from_secs(9);
        for (says, persistence, fault, after) in [
            (Some(&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..]), Persistence::FirstContact, ConnectFault::NotGrpc, Duration::ZERO),
            (Some(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Persistence::Outage, ConnectFault::NotGrpc, LIMIT),
            (None, Persistence::FirstContact, ConnectFault::Unreachable, LIMIT),
            (None, Persistence::Once, ConnectFault::Unreachable, Duration::ZERO),
        ] {
            let began = Instant::now();
            let dialler = dialler(Arc::new(Other { says, held: Arc::default() }), ExpectedOutage::default());
            let error = dialler.dial(0, persistence, began + LIMIT).await.err().expect("nobody is there");
            assert_eq!((error.kind, began.elapsed()), (Kind::Connect(fault), after), "{persistence:?}: {error}");
        }
    }
}
