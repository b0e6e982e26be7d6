//! The connections of a session: that of the moment, those that were left, and how the next comes about.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::WeakConnection;
use super::dialler::{Dialler, Persistence};
use super::{Connection, EventKind, Timeline};
use crate::error::{ConnectFault, Error, Kind, Result};

const CLOSED: &str = "the session was closed";

/// Hands out a live connection, dialled where there is none.
pub struct Connections {
    pub dialler: Arc<Dialler>,
    pub timeline: Timeline,
    /// The connection of the moment; held for a moment only.
    current: SyncMutex<Option<Connection>>,
    /// All that were made, as long as somebody has them.
    made: SyncMutex<Vec<WeakConnection>>,
    /// Who looks after them hears of each.
    guarded: mpsc::UnboundedSender<WeakConnection>,
    /// Held while dialling, so that concurrent calls share one dial.
    dialling: Mutex<()>,
    first_address: AtomicUsize,
    closed: CancellationToken,
}

impl Connections {
    /// None yet; each that is made is told to who looks after them.
    pub fn new(dialler: Dialler, timeline: Timeline) -> (Arc<Self>, mpsc::UnboundedReceiver<WeakConnection>) {
        let (guarded, to_guard) = mpsc::unbounded_channel();
        let connections = Self {
            dialler: Arc::new(dialler),
            timeline,
            current: SyncMutex::new(None),
            made: SyncMutex::default(),
            guarded,
            dialling: Mutex::new(()),
            first_address: AtomicUsize::new(0),
            closed: CancellationToken::new(),
        };
        (Arc::new(connections), to_guard)
    }

    /// A live connection, dialled if there is none.
    pub async fn get(&self, persistence: Persistence, deadline: Instant) -> Result<Connection> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(closed()),
            dialled = self.dialled(persistence, deadline) => dialled,
        }
    }

    /// The connection of the moment, if there is one that lives.
    pub fn current(&self) -> Option<Connection> {
        self.held().clone().filter(|connection| connection.loss().is_none())
    }

    fn held(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_current(current: Option<&Connection>, connection: &Connection) -> bool {
        current.is_some_and(|held| held.is(connection))
    }

    /// Makes `connection` the last anybody uses of it: the next call dials.
    pub fn leave(&self, connection: &Connection) {
        let mut current = self.held();
        if Self::is_current(current.as_ref(), connection) {
            *current = None;
        }
    }

    /// The same, and the next dial is to another address, if there is one. Of several that ask for it one alone passes on:
    /// two would come back to the same address.
    pub fn leave_and_pass(&self, connection: &Connection) {
        let mut current = self.held();
        if Self::is_current(current.as_ref(), connection) {
            *current = None;
            self.pass_address();
        }
    }

    /// The same of one that is lost, or whose peer is silent: the next is to another address, if there is one.
    pub fn lost(&self, connection: &Connection, why: &str) {
        let mut current = self.held();
        if Self::is_current(current.as_ref(), connection) {
            *current = None;
            self.record_loss(connection, why);
            self.pass_address();
        }
    }

    /// The next dial begins with another address, if there is one.
    pub fn pass_address(&self) {
        self.first_address.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends all of them, those that were left too: calls under way and to come fail.
    pub fn close(&self) {
        self.closed.cancel();
        *self.held() = None;
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in made.iter().filter_map(WeakConnection::upgrade) {
            connection.abandon(CLOSED);
        }
    }

    /// An error once they were closed.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(closed()) } else { Ok(()) }
    }

    async fn dialled(&self, persistence: Persistence, deadline: Instant) -> Result<Connection> {
        if let Some(connection) = self.usable()? {
            return Ok(connection);
        }
        let Ok(_dialling) = timeout_at(deadline, self.dialling.lock()).await else {
            return Err(Error::new(Kind::Connect(ConnectFault::Unreachable), "no connection came about in time")
                .hint("check the address, the port, and that nothing on the way drops packets"));
        };
        if let Some(connection) = self.usable()? {
            return Ok(connection); // who dialled before has made one
        }
        let began = Instant::now();
        let first_address = self.first_address.load(Ordering::Relaxed);
        let connection = self.dialler.dial(first_address, persistence, deadline).await?;
        let took = began.elapsed().as_secs_f64();
        let address = connection.address().to_string();
        let text = format!("connected to {address} after {took:.3} s");
        self.timeline.record_fields(EventKind::Dial, text, vec![("address", address.into())]);
        *self.held() = Some(connection.clone());
        self.keep(&connection);
        self.usable()?; // it may have been closed meanwhile
        Ok(connection)
    }

    fn keep(&self, connection: &Connection) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|known| known.upgrade().is_some());
        made.push(connection.downgrade());
        drop(made);
        let _ = self.guarded.send(connection.downgrade()); // nobody looks after them at the end
    }

    /// The connection of the moment, unless it is lost; an error once they were closed.
    fn usable(&self) -> Result<Option<Connection>> {
        let mut current = self.held();
        if let Err(closed) = self.check_open() {
            *current = None;
            return Err(closed);
        }
        if let Some(connection) = current.as_ref()
            && let Some(why) = connection.closing()
        {
            self.record_loss(connection, &why);
            *current = None;
        }
        Ok(current.clone())
    }

    fn record_loss(&self, connection: &Connection, why: &str) {
        let address = connection.address().to_string();
        let text = format!("lost {address}: {why}");
        self.timeline.record_fields(EventKind::Connection, text, vec![("address", address.into())]);
    }
}

fn closed() -> Error {
    Error::invalid(CLOSED).hint("connect again")
}
