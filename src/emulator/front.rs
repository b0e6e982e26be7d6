//! The management address: it moves between control processors, and really closes or falls silent.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tonic::service::Routes;

use super::chassis::Inner;
use super::layer::Faulty;
use super::services::{self, Gated};
use super::stall::{Stall, Stalling};
use super::state::Management;
use crate::serve::{self, SharedStream};

/// Runs the address for as long as the chassis lives.
pub async fn run(chassis: Arc<Inner>, first: TcpListener) {
    let mut state = chassis.watch();
    let services = [0, 1].map(|index| services::routes(&chassis, index));
    let mut listener = Some(first);
    loop {
        let management = state.borrow_and_update().management;
        if management == Management::Closed {
            listener = None;
            if state.wait_for(|state| state.management != Management::Closed).await.is_err() {
                return;
            }
            continue;
        }
        let listening = match listener.take() {
            Some(listening) => listening,
            None => match serve::listen(chassis.address) {
                Ok(listening) => listening,
                Err(error) => {
                    tracing::error!("the management address {} cannot be had again: {error}", chassis.address);
                    return;
                }
            },
        };
        loop {
            tokio::select! {
                biased;
                changed = state.wait_for(|state| state.management != management) => match changed {
                    Ok(_) => break,
                    Err(_) => return,
                },
                accepted = listening.accept() => if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    match management {
                        Management::Serving(index) => {
                            let served = serve_one(chassis.clone(), services[index].clone(), index, stream);
                            chassis.spawn(served);
                        }
                        _ => chassis.spawn(hold(Arc::new(stream))),
                    }
                },
            }
        }
        listener = Some(listening);
    }
}

async fn serve_one(chassis: Arc<Inner>, routes: Routes, index: usize, stream: TcpStream) {
    let stream = Arc::new(stream);
    let card = &chassis.cards[index];
    let stall = Stall::default();
    let faulty = Faulty::new(routes, card.faults.clone(), stall.clone());
    let service = Gated::new(faulty, chassis.clone());
    let io = Stalling(SharedStream(stream.clone()), stall);
    let life = card.life();
    match &chassis.tls {
        None => serve::connection(io, service, life).await,
        Some(acceptor) => match life.run_until_cancelled(acceptor.accept(io)).await {
            Some(Ok(encrypted)) => serve::connection(encrypted, service, life).await,
            Some(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            None => {}
        },
    }
    if chassis.state().management == Management::Silent {
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
