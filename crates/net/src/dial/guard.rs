//! Whether a connection whose peer fell silent is lost: a slow device is not a dead one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tonic::Code;

use super::Connection;
use super::attempt::{Outcome, ask_time};
use super::call::UNAVAILABLE_PAUSE;
use super::connection::WeakConnection;
use super::connections::Connections;
use super::dialler::Persistence;
use crate::waiting::pause;

/// How long one try may take to have the device answer on another connection.
const PROOF: Duration = Duration::from_secs(60);
/// How much longer than on a new connection the device may take to answer on the old one, once it goes on.
pub const GRACE: Duration = Duration::from_secs(1);

/// Looks after each connection that is made.
pub async fn look_after(connections: Weak<Connections>, mut made: UnboundedReceiver<WeakConnection>) {
    while let Some(connection) = made.recv().await {
        tokio::spawn(guard(connections.clone(), connection));
    }
}

/// Where the peer of a connection falls silent under a call, a fresh connection that the device answers, while the old
/// one stays silent, is the proof that the old one is lost.
async fn guard(connections: Weak<Connections>, mut connection: WeakConnection) {
    while let Some(held) = connection.suspected().await {
        let Some(connections) = connections.upgrade() else { return };
        connections.lost(&held, &held.silence());
        tokio::select! {
            _ = held.lost() => return,
            () = held.heard() => {}
            () = prove_gone(&connections, &held) => return,
        }
    }
}

/// Ends once the device answers on another connection and not on `old`, which is given up then.
async fn prove_gone(connections: &Arc<Connections>, old: &Connection) {
    loop {
        let fresh = answers_elsewhere(connections, old).await;
        // Another control processor's answer says nothing of this one: what it was asked for may be done yet. But where
        // the device was expected to fail over since this one last spoke, that is what it did.
        if fresh.address() == old.address() || was_to_fail_over(connections, old) {
            return old.abandon("the device answers on a new connection, and no more on this one");
        }
        pause(UNAVAILABLE_PAUSE).await;
    }
}

/// Whether anybody expected an outage after the peer of a connection said its last word.
fn was_to_fail_over(connections: &Connections, old: &Connection) -> bool {
    let now = Instant::now();
    let last_word = now.checked_sub(old.silent_for()).unwrap_or(now);
    connections.dialler.outage.was_expected(last_word)
}

/// Waits until the device answers on another connection, and stays silent on `old`; on which.
pub async fn answers_elsewhere(connections: &Arc<Connections>, old: &Connection) -> Connection {
    loop {
        let (deadline, said) = (Instant::now() + PROOF, old.read());
        if let Ok(fresh) = connections.get(Persistence::Outage, deadline).await {
            let answered = match ask_time(&fresh, deadline).await {
                Outcome::Answered(Err(status)) => status.code() != Code::Unavailable,
                Outcome::Answered(Ok(())) => true,
                Outcome::Unprocessed(_) | Outcome::Lost(_) | Outcome::TooLate => false,
            };
            if answered && !fresh.is(old) {
                pause(GRACE).await;
                if old.read() == said {
                    return fresh;
                }
                continue; // it spoke
            }
        }
        pause(UNAVAILABLE_PAUSE).await;
    }
}
