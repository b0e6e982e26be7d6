//! The addresses of the device: shared ones move between control processors, others stay; all really close or fall silent.
//! Those within are what its containers dial: gNMI and gRIBI, over TLS whatever the management address speaks.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tonic::service::Routes;

use super::layer::Faulty;
use super::services::{self, Gated, Offered};
use super::settings::{Outage, Settings};
use super::shared::SharedChassis;
use super::stall::{Stall, Stalling};
use super::state::State;
use super::trouble::{TRY_AGAIN, cannot_listen, not_accepted};
use holdfast_net::error::Result;
use holdfast_net::serve::{self, SharedStream};
use holdfast_net::waiting::pause;

/// One management address.
pub struct Front {
    pub address: SocketAddr,
    pub offered: Offered,
    /// The control processor it belongs to; both, if none is named.
    owner: Option<usize>,
    listener: TcpListener,
}

/// What an address does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// Control processor so and so answers; where it is not in charge, with UNAVAILABLE.
    Served(usize),
    Closed,
    Silent,
}

/// Opens all addresses, and keeps each bound beside that where the system can, so that nobody else takes it while it is
/// closed.
pub fn open(settings: &Settings) -> Result<(Vec<Front>, Vec<socket2::Socket>)> {
    let own = settings.listen_second.is_some();
    let mut wanted = Vec::new();
    for (index, address) in [Some(settings.listen), settings.listen_second].into_iter().flatten().enumerate() {
        let owner = own.then_some(index);
        match settings.gnoi_port {
            None => wanted.push((address, Offered::All, owner)),
            Some(port) => {
                wanted.push((address, Offered::Gnmi, owner));
                wanted.push((SocketAddr::new(address.ip(), port), Offered::Gnoi, owner));
            }
        }
        for (offered, port) in
            [(Offered::InnerGnmi, settings.inner_gnmi_port), (Offered::InnerGribi, settings.inner_gribi_port)]
        {
            wanted.push((SocketAddr::new(address.ip(), port), offered, owner));
        }
    }
    let (mut fronts, mut reservations) = (Vec::new(), Vec::new());
    for (address, offered, owner) in wanted {
        let cannot = |error: std::io::Error| cannot_listen(address, &error);
        let (listener, reservation) = serve::listen_and_reserve(address).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        fronts.push(Front { address, offered, owner, listener });
        reservations.extend(reservation);
    }
    Ok((fronts, reservations))
}

impl Front {
    /// Runs the address for as long as the chassis lives.
    pub async fn run(self, chassis: Arc<SharedChassis>) {
        let Self { address, offered, owner, listener } = self;
        let mut state = chassis.watch();
        let view = |state: &State| view(state, owner, chassis.settings.outage);
        let services = [0, 1].map(|index| services::routes(&chassis, index, offered));
        let mut listener = Some(listener);
        loop {
            let now = view(&state.borrow_and_update());
            if now == View::Closed {
                listener = None;
                if state.wait_for(|state| view(state) != View::Closed).await.is_err() {
                    return;
                }
                continue;
            }
            let listening = match listener.take() {
                Some(listening) => listening,
                None => match serve::listen(address) {
                    Ok(listening) => listening,
                    Err(error) => {
                        tracing::error!(
                            "the management address {address} cannot be had again: {error}: it is tried again"
                        );
                        pause(TRY_AGAIN).await;
                        continue;
                    }
                },
            };
            loop {
                tokio::select! {
                    biased;
                    changed = state.wait_for(|state| view(state) != now) => match changed {
                        Ok(_) => break,
                        Err(_) => return,
                    },
                    stream = next(&listening) => match now {
                        View::Served(index) => {
                            let served = serve_one(chassis.clone(), services[index].clone(), index, stream, offered);
                            chassis.spawn(served);
                        }
                        _ => chassis.spawn(hold(Arc::new(stream))),
                    },
                }
            }
            listener = Some(listening);
        }
    }
}

/// The next connection; one that cannot be taken, as no file may be opened for it, is waited for.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => not_accepted("the emulated device", &error).await,
        }
    }
}

fn view(state: &State, owner: Option<usize>, outage: Outage) -> View {
    let answering = match owner {
        Some(owner) => state.is_up(owner).then_some(owner),
        None => state.answering(),
    };
    match (answering, outage) {
        (Some(index), _) => View::Served(index),
        (None, Outage::Closed) => View::Closed,
        (None, Outage::Silent) => View::Silent,
    }
}

async fn serve_one(chassis: Arc<SharedChassis>, routes: Routes, index: usize, stream: TcpStream, offered: Offered) {
    let stream = Arc::new(stream);
    let control_processor = &chassis.control_processors[index];
    let stall = Stall::default();
    let faulty = Faulty::new(routes, control_processor.faults.clone(), stall.clone());
    let service = Gated::new(faulty, chassis.clone(), index);
    let io = Stalling(SharedStream(stream.clone()), stall);
    let life = control_processor.life();
    match if offered.is_inner() { Some(&chassis.tls_within) } else { chassis.tls.as_ref() } {
        None => serve::connection(io, service, life.clone()).await,
        Some(acceptor) => match life.run_until_cancelled(acceptor.accept(io)).await {
            Some(Ok(encrypted)) => serve::connection(encrypted, service, life.clone()).await,
            Some(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            None => {}
        },
    }
    if life.is_cancelled() && chassis.settings.outage == Outage::Silent {
        hold(stream).await;
    }
}

/// Keeps a socket open and says nothing on it, until the peer closes it.
async fn hold(stream: Arc<TcpStream>) {
    let mut ignored = [0; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut ignored) {
            Ok(0) => return,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}
