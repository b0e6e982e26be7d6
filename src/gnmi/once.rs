//! The answers to a Subscribe ONCE, whose end each device tells in its own way.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, Streaming};

use super::leaf::{Answered, Leaf, Room};
use super::path::Path;
use crate::dial::Call;
use crate::dial::answer::is_transport;
use crate::dial::whole::AnswerSize;
use crate::error::is_unreadable;
use crate::wire::gnmi::SubscribeResponse;
use crate::wire::gnmi::subscribe_response::Response;

/// How long a device that is not known to leave streams open may take to end one after a `sync_response`.
const CLOSING: Duration = Duration::from_secs(1);
/// How long nothing comes, after a `sync_response`, from a device that leaves streams open.
const QUIET: Duration = Duration::from_millis(100);
/// The same where updates were seen to follow a `sync_response`.
const QUIET_BETWEEN_SYNCS: Duration = Duration::from_millis(300);
/// How long, at least, what was asked for and did not come may take after a `sync_response` that may have come early.
const LONG: Duration = Duration::from_secs(5);
/// How many times the longest pause between two updates that was seen the next may last.
const SLOWER: u32 = 4;
/// How long one must have waited in vain to know that nothing comes.
const IN_VAIN: Duration = Duration::from_secs(2);
/// So many messages before the first `sync_response` show that it was not sent first, or after each.
const SEVERAL: usize = 2;

/// So many leaves are looked through for one that is deleted, before the deadline of who waits is counted towards.
const LEAVES_AT_ONCE: usize = 1000;

/// How a device ends a ONCE, as far as was seen.
#[derive(Debug, Default)]
pub struct Ending(Mutex<Seen>);

#[derive(Debug, Default, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen by itself")]
struct Seen {
    /// It ended a stream by itself.
    closes: bool,
    /// It left one open that had told all.
    stays_open: bool,
    /// Updates followed a `sync_response`, the longest pause before one.
    syncs_early: bool,
    longest_pause: Duration,
    /// What was asked for and waited for in vain.
    absent: HashSet<Path>,
    /// Something was, for as long as it may take: what else is not there is waited for as long as what is there takes.
    waited_in_vain: bool,
}

/// What is asked of a ONCE, and how long there is for the answer.
pub struct Asked {
    pub paths: Vec<Path>,
    pub call: Call,
}

impl Asked {
    /// What of it did not come.
    fn missing<'a>(&'a self, found: &'a [Leaf]) -> impl Iterator<Item = Path> + 'a {
        let came = |path: &Path| found.iter().any(|leaf| path.covers(&leaf.path));
        let missing = self.paths.iter().filter(move |path| !came(path));
        missing.map(|path| Path { origin: String::new(), elements: path.elements.clone() })
    }
}

impl Ending {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait for what follows a `sync_response`: an update, or the stream's end. `missing`: something is
    /// that may come yet.
    fn patience(&self, missing: bool, call: &Call) -> Duration {
        let seen = self.seen();
        let slower = seen.longest_pause * SLOWER;
        let long = LONG.max(slower);
        if seen.syncs_early && seen.closes {
            return long; // its end tells when it has sent all
        }
        let wanted = match *seen {
            Seen { syncs_early: true, waited_in_vain: true, .. } if missing => QUIET_BETWEEN_SYNCS.max(slower),
            _ if missing => long,
            Seen { syncs_early: true, stays_open: false, .. } => long,
            Seen { syncs_early: true, .. } => QUIET_BETWEEN_SYNCS.max(slower),
            Seen { stays_open: true, .. } => QUIET,
            _ => CLOSING,
        };
        // What came is better than no answer at all, and a probe that waits in silence is given up.
        let left = call.deadline.saturating_duration_since(Instant::now()) / 2;
        wanted.min(left).min(call.attempt.map_or(Duration::MAX, |attempt| attempt * 5 / 7))
    }

    fn may_come(&self, asked: &Asked, found: &[Leaf]) -> bool {
        let seen = self.seen();
        asked.missing(found).any(|path| !seen.absent.contains(&path))
    }

    /// Nothing came for so long.
    fn stayed_open(&self, asked: &Asked, found: &[Leaf], waited: Duration, trusted: bool) {
        let missing: Vec<_> = asked.missing(found).collect();
        let mut seen = self.seen();
        seen.waited_in_vain |= waited >= IN_VAIN && !missing.is_empty();
        let all = trusted || missing.iter().all(|path| seen.absent.contains(path));
        if all || waited >= IN_VAIN {
            seen.absent.extend(missing);
            (seen.stays_open, seen.closes) = (true, false);
        }
    }

    fn closed(&self) {
        let mut seen = self.seen();
        (seen.stays_open, seen.closes) = (false, true);
    }

    fn followed(&self, pause: Duration) {
        let mut seen = self.seen();
        seen.syncs_early = true;
        seen.longest_pause = seen.longest_pause.max(pause);
    }
}

/// What was there at the `sync_response`, and what followed.
struct Synced {
    known: HashSet<Path>,
    /// When the last of it came.
    last: Instant,
    /// Whether it was sent after several messages, and so after all of them.
    trusted: bool,
}

/// All leaves of a ONCE. It ends with its stream; a `sync_response` ends it if nothing new follows for a while, which
/// is longer where something that was asked for did not come and it may have been sent early.
pub async fn collect(
    mut stream: Streaming<SubscribeResponse>,
    asked: &Asked,
    ending: &Ending,
) -> Result<Answered<Vec<Leaf>>, Status> {
    let (mut found, mut extensions) = (Vec::new(), Vec::new());
    let mut synced: Option<Synced> = None;
    let mut messages = 0;
    let (mut room, mut size) = (Room::default(), AnswerSize::default());
    loop {
        consume_budget().await; // else the deadline of who waits is not looked at under a flood
        let message = match &synced {
            None => stream.message().await,
            Some(synced) => {
                let missing = !synced.trusted && ending.may_come(asked, &found);
                let patience = ending.patience(missing, &asked.call);
                match timeout_at(synced.last + patience, stream.message()).await {
                    Ok(message) => message,
                    Err(_) => break ending.stayed_open(asked, &found, synced.last.elapsed(), synced.trusted),
                }
            }
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => break ending.closed(),
            // Some end what they have told in full with CANCELLED and the like.
            Err(status) if synced.is_some() && ends_well(&status, found.is_empty()) => break ending.closed(),
            Err(status) => return Err(status),
        };
        size.add(&message)?;
        extensions = if message.extension.is_empty() { extensions } else { message.extension };
        match message.response {
            Some(Response::Update(notification)) => {
                messages += 1;
                let new = take(&mut found, room.leaves_of(&notification)?).await;
                if let Some(synced) = &mut synced {
                    let more = new.into_iter().filter(|path| synced.known.insert(path.clone())).count();
                    if more > 0 {
                        ending.followed(synced.last.elapsed());
                        (synced.last, synced.trusted) = (Instant::now(), false);
                    } else if synced.trusted || !ending.may_come(asked, &found) {
                        // It goes on as a STREAM does.
                        break ending.stayed_open(asked, &found, Duration::ZERO, synced.trusted);
                    }
                }
            }
            Some(Response::SyncResponse(true)) if synced.is_none() => {
                let known = found.iter().map(|leaf: &Leaf| leaf.path.clone()).collect();
                let trusted = messages >= SEVERAL && !ending.seen().syncs_early;
                synced = Some(Synced { known, last: Instant::now(), trusted });
            }
            _ => {}
        }
    }
    ending.seen().absent.retain(|path| !found.iter().any(|leaf| path.covers(&leaf.path)));
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
        found.retain(|leaf| !gone.path.covers(&leaf.path) || leaf.is_newer_than(gone));
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

    fn asked(attempt: Option<Duration>) -> Asked {
        let state = Path::component("*").child("state");
        let call = Call { attempt, ..Call::read("gNMI.Subscribe", Instant::now() + Duration::from_secs(3600)) };
        Asked { paths: vec![state.child("id"), state.child("boot-time")], call }
    }

    fn leaves(names: &[(&str, u64)]) -> Vec<Leaf> {
        let notification = notification(&Path::component("A").child("state"), names, &[]);
        Room::default().leaves_of(&notification).expect("few")
    }

    #[test]
    fn a_device_is_waited_for_as_long_as_it_is_known_to_need() {
        let (ending, asked) = (Ending::default(), asked(None));
        let all = leaves(&[("boot-time", 1), ("id", 2)]);
        let patience = |missing| ending.patience(missing, &asked.call);
        assert_eq!((patience(false), patience(true)), (CLOSING, LONG));
        ending.stayed_open(&asked, &all, CLOSING, false);
        assert_eq!((patience(false), patience(true)), (QUIET, LONG));
        ending.followed(QUIET / 10);
        assert_eq!(patience(false), QUIET_BETWEEN_SYNCS);
        ending.followed(LONG);
        assert_eq!((patience(false), patience(true)), (LONG * SLOWER, LONG * SLOWER));
        ending.closed();
        assert_eq!(patience(false), LONG * SLOWER, "its end tells");
    }

    #[test]
    fn what_was_waited_for_in_vain_is_not_waited_for_again_until_it_comes() {
        let (ending, asked) = (Ending::default(), asked(None));
        let (some, all) = (leaves(&[("id", 2)]), leaves(&[("boot-time", 1), ("id", 2)]));
        assert!(ending.may_come(&asked, &[]) && ending.may_come(&asked, &some) && !ending.may_come(&asked, &all));
        ending.stayed_open(&asked, &some, CLOSING, false);
        assert!(ending.may_come(&asked, &some), "that was not long");
        assert!(!ending.seen().stays_open, "it may be slow");
        ending.stayed_open(&asked, &some, IN_VAIN, false);
        assert!(!ending.may_come(&asked, &some) && ending.may_come(&asked, &[]));
        assert!(ending.seen().stays_open);
    }

    #[test]
    fn once_something_was_waited_for_in_vain_what_else_is_absent_is_waited_for_as_long_as_what_comes_takes() {
        let (ending, asked) = (Ending::default(), asked(None));
        let patience = || ending.patience(true, &asked.call);
        ending.followed(Duration::from_millis(50));
        assert_eq!(patience(), LONG);
        ending.stayed_open(&asked, &leaves(&[("id", 2)]), LONG, false);
        assert_eq!(patience(), QUIET_BETWEEN_SYNCS);
        ending.followed(Duration::from_secs(1));
        assert_eq!(patience(), Duration::from_secs(1) * SLOWER, "a device that is slow");
    }

    #[test]
    fn a_wait_ends_before_the_call_does_and_a_probe_before_it_is_given_up() {
        let attempt = Duration::from_millis(700);
        assert_eq!(Ending::default().patience(true, &asked(Some(attempt)).call), Duration::from_millis(500));
        let call = Call::read("gNMI.Subscribe", Instant::now() + Duration::from_secs(2));
        assert!(Ending::default().patience(true, &call) <= Duration::from_secs(1));
    }

    #[test]
    fn a_status_after_all_was_told_is_an_end_and_a_refusal_is_none() {
        assert!(ends_well(&Status::cancelled("over"), true));
        assert!(ends_well(&Status::unknown("EOF"), false));
        assert!(!ends_well(&Status::invalid_argument("no wildcards"), true));
        assert!(!ends_well(&crate::error::unreadable("cut short"), false));
    }
}
