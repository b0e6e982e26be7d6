//! The answers to a Subscribe ONCE, whose end each device tells in its own way.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::client::{Leaf, leaves_of};
use super::path::Path;
use crate::dial::session::is_transport;
use crate::error::is_unreadable;
use crate::wire::gnmi::subscribe_response::Response;
use crate::wire::gnmi::{Notification, SubscribeResponse};

/// How long a device that is not known to leave streams open may take to end one after a `sync_response`.
const CLOSING: Duration = Duration::from_millis(500);
/// How long nothing comes, after a `sync_response`, from a device that leaves streams open.
const QUIET: Duration = Duration::from_millis(100);
/// The same where updates were seen to follow a `sync_response`.
const QUIET_BETWEEN_SYNCS: Duration = Duration::from_millis(300);

/// How a device ends a ONCE, as far as was seen.
#[derive(Debug, Default)]
pub struct Ending(Mutex<Seen>);

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    stays_open: bool,
    syncs_early: bool,
}

impl Ending {
    fn seen(&self) -> Seen {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How long to wait for what follows a `sync_response`: an update, or the stream's end.
    fn patience(&self) -> Duration {
        match self.seen() {
            Seen { stays_open: false, .. } => CLOSING,
            Seen { syncs_early: false, .. } => QUIET,
            Seen { .. } => QUIET_BETWEEN_SYNCS,
        }
    }
}

/// All leaves of a ONCE. It ends with its stream; a `sync_response` ends it if nothing new follows for a while.
pub async fn collect(mut stream: Streaming<SubscribeResponse>, ending: &Ending) -> Result<Vec<Leaf>, Status> {
    let mut found = Vec::new();
    let mut synced: Option<HashSet<Path>> = None; // what was there at the sync_response, and what followed
    loop {
        let message = match &synced {
            None => stream.message().await,
            Some(_) => match timeout(ending.patience(), stream.message()).await {
                Ok(message) => message,
                Err(_) => break ending.note(|seen| seen.stays_open = true),
            },
        };
        match message {
            Ok(None) => break ending.note(|seen| seen.stays_open = false),
            Ok(Some(message)) => match message.response {
                Some(Response::Update(notification)) => {
                    let new = take(&mut found, &notification);
                    if let Some(known) = &mut synced {
                        let more = new.into_iter().filter(|path| known.insert(path.clone())).count();
                        if more == 0 {
                            break ending.note(|seen| seen.stays_open = true); // it goes on as a STREAM does
                        }
                        ending.note(|seen| seen.syncs_early = true);
                    }
                }
                Some(Response::SyncResponse(true)) if synced.is_none() => {
                    synced = Some(found.iter().map(|leaf: &Leaf| leaf.path.clone()).collect());
                }
                _ => {}
            },
            // Some end what they have told in full with CANCELLED and the like.
            Err(status) if synced.is_some() && !found.is_empty() && !breaks_off(&status) => break,
            Err(status) => return Err(status),
        }
    }
    Ok(found)
}

fn breaks_off(status: &Status) -> bool {
    is_transport(status) || is_unreadable(status)
}

/// Adds a notification's leaves, less what it deletes; the paths of those that it has.
fn take(found: &mut Vec<Leaf>, notification: &Notification) -> Vec<Path> {
    let leaves = leaves_of(notification);
    for gone in leaves.iter().filter(|leaf| leaf.value.is_none()) {
        found.retain(|leaf| !gone.path.covers(&leaf.path));
    }
    let paths = leaves.iter().map(|leaf| leaf.path.clone()).collect();
    found.extend(leaves);
    paths
}
