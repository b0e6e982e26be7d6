//! gNOI Containerz: all 17 RPCs, against every server the field has.

mod containers;
mod deploy;
mod identities;
mod images;
mod logs;
mod meaning;
mod older;
mod plugins;
mod record;
mod remote;
pub mod types;
mod unknown;
mod volumes;

pub use deploy::{Deployment, Progress, ProgressSink};
pub use logs::{LogItem, LogStream};
pub use older::Contract;
pub use record::{CreationRecord, Made};
pub use types::*;

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::dial::whole::LONGEST_MESSAGE;
use crate::dial::{Call, Connection, Session};
use crate::error::Result;
use crate::wire::gnoi::containerz::containerz_client::ContainerzClient;
use identities::Identities;

/// The client. Clones share its session.
#[derive(Clone)]
pub struct Containerz {
    session: Session,
    /// Whether a transfer showed that the device takes one chunk at a time.
    lockstep: Arc<AtomicBool>,
    /// What it makes, where somebody wants to know.
    record: Option<Arc<CreationRecord>>,
    /// Which digests mean one image.
    identities: Identities,
    /// Until when a change that the device refuses with UNAVAILABLE is asked for again: it just came up.
    settling: Arc<Mutex<Option<Instant>>>,
}

impl Containerz {
    /// Over `session`.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            lockstep: Arc::default(),
            record: None,
            identities: Identities::default(),
            settling: Arc::default(),
        }
    }

    /// What it speaks over.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The device just came up: until then it may refuse changes for a while, though it lists what it has.
    pub fn settling_until(&self, moment: Instant) {
        *self.settling.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// A call that changes something.
    fn change(&self, name: &'static str, deadline: Instant) -> Call {
        let settling = *self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        Call { refused_until: settling, ..Call::write(name, deadline) }
    }

    /// Has an error say how long all of it took, where a call needs others before it.
    fn timed<T>(&self, name: &str, steps: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
        let (began, steps) = (Instant::now(), Box::pin(steps));
        async move { steps.await.map_err(|error| error.during(self.session.name(), name, began.elapsed())) }
    }
}

fn client(connection: Connection) -> ContainerzClient<Connection> {
    let origin = connection.origin();
    ContainerzClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_MESSAGE)
}
