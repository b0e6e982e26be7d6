//! The answers to a Subscribe ONCE, whose end each device tells in its own way.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::leaf::{Answered, Leaf, Room};
use super::path::Path;
use crate::dial::answer::is_transport;
use crate::dial::whole::AnswerSize;
use crate::error::is_unreadable;
use crate::wire::gnmi::SubscribeResponse;
use crate::wire::gnmi::subscribe_response::Response;

/// How long a device that is not known to leave streams open may take to end one after a `sync_response`.
const CLOSING: Duration = Duration::from_millis(500);
/// How long nothing comes, after a `sync_response`, from a device that leaves streams open.
const QUIET: Duration = Duration::from_millis(100);
/// The same where updates were seen to follow a `sync_response`.
const QUIET_BETWEEN_SYNCS: Duration = Duration::from_millis(300);

/// So many leaves are looked through for one that is deleted, before the deadline of who waits is counted towards.
const LEAVES_AT_ONCE: usize = 1000;

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
pub async fn collect(mut stream: Streaming<SubscribeResponse>, ending: &Ending) -> Result<Answered<Vec<Leaf>>, Status> {
    let (mut found, mut extensions) = (Vec::new(), Vec::new());
    let mut synced: Option<HashSet<Path>> = None; // what was there at the sync_response, and what followed
    let (mut room, mut size) = (Room::default(), AnswerSize::default());
    loop {
        consume_budget().await; // else the deadline of who waits is not looked at under a flood
        let message = match &synced {
            None => stream.message().await,
            Some(_) => match timeout(ending.patience(), stream.message()).await {
                Ok(message) => message,
                Err(_) => break ending.note(|seen| seen.stays_open = true),
            },
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => break ending.note(|seen| seen.stays_open = false),
            // Some end what they have told in full with CANCELLED and the like.
            Err(status) if synced.is_some() && ends_well(&status, found.is_empty()) => break,
            Err(status) => return Err(status),
        };
        size.add(&message)?;
        extensions = if message.extension.is_empty() { extensions } else { message.extension };
        match message.response {
            Some(Response::Update(notification)) => {
                let new = take(&mut found, room.leaves_of(&notification)?).await;
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
        }
    }
    Ok(Answered { value: found, extensions })
}

/// Whether a status after a `sync_response` is an end and no refusal: not that of a connection that broke.
fn ends_well(status: &Status, nothing_found: bool) -> bool {
    let broken = is_transport(status) || is_unreadable(status);
    !broken && (!nothing_found || matches!(status.code(), Code::Cancelled | Code::Aborted | Code::OutOfRange))
}

/// Adds a notification's leaves, less what it deletes; the paths of those that it has.
async fn take(found: &mut Vec<Leaf>, leaves: Vec<Leaf>) -> Vec<Path> {
    for gone in leaves.iter().filter(|leaf| leaf.value.is_none()) {
        for _ in 0..=found.len() / LEAVES_AT_ONCE {
            consume_budget().await;
        }
        found.retain(|leaf| !gone.path.covers(&leaf.path));
    }
    let paths = leaves.iter().map(|leaf| leaf.path.clone()).collect();
    found.extend(leaves);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnmi::Value;
    use crate::wire::gnmi::{Encoding, Notification, Update};

    fn notification(prefix: &Path, updates: &[(&str, u64)], deletes: &[Path]) -> Notification {
        let update = |(leaf, value): &(&str, u64)| Update {
            path: Some(Path::default().child(leaf).to_gnmi()),
            val: Some(Value::Uint(*value).to_wire(Encoding::Proto)),
            ..Update::default()
        };
        Notification {
            prefix: Some(crate::wire::gnmi::Path { target: "dut".into(), ..prefix.to_gnmi() }),
            update: updates.iter().map(update).collect(),
            delete: deletes.iter().map(Path::to_gnmi).collect(),
            ..Notification::default()
        }
    }

    #[tokio::test]
    async fn what_is_deleted_is_there_no_more() {
        let state = Path::component("A").child("state");
        let mut found = Vec::new();
        let of = |notification: &Notification| Room::default().leaves_of(notification).expect("few");
        assert_eq!(take(&mut found, of(&notification(&state, &[("boot-time", 1), ("id", 2)], &[]))).await.len(), 2);
        assert_eq!(found[0].path, state.child("boot-time"));
        take(&mut found, of(&notification(&Path::component("A"), &[], &[Path::default().child("state")]))).await;
        assert!(found.iter().all(|leaf| leaf.value.is_none()), "{found:?}");
        take(&mut found, of(&notification(&state, &[("id", 3)], &[]))).await;
        assert_eq!(found.iter().filter(|leaf| leaf.value == Some(Value::Uint(3))).count(), 1);
    }

    #[test]
    fn a_device_is_waited_for_as_long_as_it_is_known_to_need() {
        let ending = Ending::default();
        assert_eq!(ending.patience(), CLOSING);
        ending.note(|seen| seen.stays_open = true);
        assert_eq!(ending.patience(), QUIET);
        ending.note(|seen| seen.syncs_early = true);
        assert_eq!(ending.patience(), QUIET_BETWEEN_SYNCS);
        ending.note(|seen| seen.stays_open = false);
        assert_eq!(ending.patience(), CLOSING);
    }

    #[test]
    fn a_status_after_all_was_told_is_an_end_and_a_refusal_is_none() {
        assert!(ends_well(&Status::cancelled("over"), true));
        assert!(ends_well(&Status::unknown("EOF"), false));
        assert!(!ends_well(&Status::invalid_argument("no wildcards"), true));
        assert!(!ends_well(&crate::error::unreadable("cut short"), false));
    }
}
