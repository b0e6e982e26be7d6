//! Whether a connection whose peer fell silent is lost: a slow device is not a dead one.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::connection::WeakConnection;
use super::connector::BoxFuture;
use super::session::{Attempt, Inner, UNAVAILABLE_PAUSE};
use super::{Connection, Session};
use crate::waiting::pause;

/// How long one try may take to have the device answer on another connection.
const PROOF: Duration = Duration::from_secs(60);
/// How much longer than on a new connection the device may take to answer on the old one, once it goes on.
const GRACE: Duration = Duration::from_secs(1);

/// Looks after a connection that is dialled: where its peer falls silent under a call, a fresh connection that the
/// device answers, while the old one stays silent, is the proof that the old one is lost.
pub(super) fn guard(session: Weak<Inner>, mut connection: WeakConnection) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        while let Some(held) = connection.suspected().await {
            let Some(inner) = session.upgrade() else { return };
            let session = Session { inner };
            session.lost(&held, &held.silence());
            tokio::select! {
                _ = held.lost() => return,
                () = held.heard() => {}
                () = session.prove_gone(&held) => return,
            }
        }
    })
}

impl Session {
    /// Ends once the device answers on another connection and not on `old`, which is given up then.
    async fn prove_gone(&self, old: &Connection) {
        loop {
            let deadline = Instant::now() + PROOF;
            if let Ok(fresh) = self.connection(deadline).await {
                let answered = match self.ask_time(&fresh, deadline).await {
                    Attempt::Answered(Err(status)) => status.code() != Code::Unavailable,
                    Attempt::Answered(Ok(())) => true,
                    Attempt::Lost(_) | Attempt::TooLate => false,
                };
                // Another control processor's answer says nothing of this one.
                if answered && !fresh.is(old) && fresh.address() == old.address() {
                    let proof = Instant::now();
                    pause(GRACE).await;
                    if old.silent_for() < proof.elapsed() {
                        continue; // it spoke
                    }
                    return old.abandon("the device answers on a new connection, and no more on this one");
                }
            }
            pause(UNAVAILABLE_PAUSE).await;
        }
    }
}
