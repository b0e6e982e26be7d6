//! A conversation, held, and whether what came of it may come of what the peer said.

use std::cell::RefCell;
use std::panic;
use std::sync::{Arc, Once};
use std::time::Duration;

use holdfast::dial::{Security, Session, Settings, Target, Timeline};
use holdfast::waiting;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

use super::calls::{Asked, Came, Item};
use super::peer::{Peer, Seen};
use super::script::{Conversation, LATE, LIMIT};
use super::told::{Answer, End, answer};

/// How often a device that breaks is asked, or dialled, within a call's time.
const MOST_TRIES: usize = 80;
/// When all that a closed session has under way is over.
const OVER: Duration = Duration::from_secs(5);

/// What came of a conversation, for who counts.
#[derive(Debug)]
pub struct Held {
    pub asked: Asked,
    pub well: bool,
    pub connected: bool,
    pub plain: bool,
    pub took: Duration,
    pub tries: usize,
    pub dials: usize,
}

thread_local! {
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Keeps the panics of this thread from now on, caught ones too.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => panics.push(info.to_string()),
                None => told(info),
            });
        }));
    });
    PANICS.set(Some(Vec::new()));
}

/// Holds a conversation, in time that passes only where everybody waits; what is wrong with it, if anything is.
pub fn hold(conversation: &Conversation) -> Result<Held, String> {
    keep_panics();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let peer = Peer::new(conversation.clone());
    let (came, took, connected, left) = runtime.block_on(talk(conversation.asked, &peer));
    drop(runtime);
    let seen = std::mem::take(&mut *peer.seen());
    let panics = PANICS.take().unwrap_or_default();
    let held = Held {
        asked: conversation.asked,
        well: came.end.is_ok(),
        connected,
        plain: conversation.is_plain(),
        took,
        tries: seen.asked.len(),
        dials: seen.dials,
    };
    let found = if !panics.is_empty() {
        Err(format!("panics: {panics:?}"))
    } else if took > LIMIT + LATE {
        Err(format!("it took {took:?} of {LIMIT:?}"))
    } else if seen.asked.len() > MOST_TRIES || seen.dials > MOST_TRIES {
        Err(format!("asked {} times, dialled {} times", seen.asked.len(), seen.dials))
    } else if left > 0 {
        Err(format!("{left} tasks are left after it was closed"))
    } else if held.plain && came.end.is_err() {
        Err("what is whole did not come".to_owned())
    } else {
        judge(conversation.asked, &came, &seen)
    };
    found.map(|()| held).map_err(|why| format!("{why}\n  came: {came:?}\n  asked: {:?}", seen.asked))
}

/// Connects and asks; how long it took, whether there was a session, and how many tasks were left.
async fn talk(asked: Asked, peer: &Peer) -> (Came, Duration, bool, usize) {
    let target = Target::parse("device:9339", Security::Plaintext).expect("an address");
    let settings = Settings { dial_timeout: LIMIT, ..Settings::default() };
    let began = Instant::now();
    let session = Session::connect_with(Arc::new(peer.clone()), target, settings, Timeline::default()).await;
    let (came, took, connected) = match session {
        Err(error) => (Came { items: Vec::new(), end: Err(error) }, began.elapsed(), false),
        Ok(session) => {
            let began = Instant::now();
            let came = asked.ask(&session, began + LIMIT).await;
            let took = began.elapsed();
            session.close();
            (came, took, true)
        }
    };
    peer.leave();
    waiting::pause(OVER).await;
    (came, took, connected, Handle::current().metrics().num_alive_tasks())
}

fn judge(asked: Asked, came: &Came, seen: &Seen) -> Result<(), String> {
    let answers: Vec<Answer> =
        seen.asked.iter().map(|(connection, stream)| answer(&seen.said[*connection], *stream)).collect();
    if asked == Asked::Reboot && seen.asked.len() > 1 && !seen.asked.iter().all(|at| was_refused(seen, *at)) {
        // All but the last may have been refused as not taken.
        let but_last = &seen.asked[..seen.asked.len() - 1];
        if !but_last.iter().all(|at| was_refused(seen, *at)) {
            return Err(format!("a change was asked for {} times", seen.asked.len()));
        }
    }
    let whole = |answer: &&Answer| answer.end != End::Broken;
    if asked == Asked::Once {
        return match came.end {
            Ok(()) if !answers.iter().any(|answer| is_once(answer, &came.items)) => Err("no answer says that".into()),
            _ => Ok(()),
        };
    }
    if asked.is_read_as_it_comes() {
        let segments: Vec<&[Item]> = came.items.split(|item| *item == Item::Resumed).collect();
        let (last, before) = segments.split_last().expect("one at least");
        for segment in before {
            if !answers.iter().any(|answer| asked.told(&answer.messages, false).0.starts_with(segment)) {
                return Err(format!("no answer says {segment:?}"));
            }
        }
        let says = |answer: &&Answer| match came.end {
            Ok(()) => whole(answer) && asked.told(&answer.messages, true) == (last.to_vec(), true),
            Err(_) => asked.told(&answer.messages, false).0.starts_with(last),
        };
        let nothing = last.is_empty() && came.end.is_err();
        return if nothing || answers.iter().any(|answer| says(&answer)) {
            Ok(())
        } else {
            Err(format!("no answer says {last:?} and ends so"))
        };
    }
    let says = |answer: &Answer| {
        (!asked.is_unary() || answer.messages.len() == 1)
            && asked.told(&answer.messages, true) == (came.items.clone(), true)
    };
    match came.end {
        Ok(()) if !answers.iter().filter(whole).any(says) => Err("no whole answer says that".into()),
        _ => Ok(()),
    }
}

/// Whether a peer said of what it was asked there that it did not take it: by a reset, or as it went away.
fn was_refused(seen: &Seen, (connection, stream): (usize, u32)) -> bool {
    use super::frames::{GO_AWAY, RST_STREAM, first_frame};
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    let mut bytes = seen.said[connection].as_slice();
    while let Some((frame, taken)) = first_frame(bytes) {
        bytes = &bytes[taken..];
        match (frame.kind, frame.content.as_slice()) {
            (RST_STREAM, reason) if frame.stream == stream && *reason == REFUSED_STREAM => return true,
            (GO_AWAY, [a, b, c, d, ..]) if u32::from_be_bytes([*a & 0x7f, *b, *c, *d]) < stream => return true,
            _ => {}
        }
    }
    false
}

/// Whether that is all of a ONCE: to its end, or all before it was said that this was all, and perhaps more.
fn is_once(answer: &Answer, items: &[Item]) -> bool {
    let (told, readable) = Asked::Once.told(&answer.messages, true);
    let leaves = |told: &[Item]| told.iter().filter(|item| **item != Item::Synced).cloned().collect::<Vec<_>>();
    let all = leaves(&told);
    if answer.end != End::Broken && readable && all == items {
        return true;
    }
    let synced = told.iter().position(|item| *item == Item::Synced);
    synced.is_some_and(|at| all.starts_with(items) && items.len() >= leaves(&told[..at]).len())
}
