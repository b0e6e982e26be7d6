//! Whole conversations with a peer that may do anything, drawn: no panic, no call beyond its deadline, no memory over a
//! bound, nothing left running, and no answer taken for whole that was not.
//!
//! `HOLDFAST_CONVERSATIONS=10000` holds so many, `HOLDFAST_CONVERSATIONS_SEED=7` others. Time passes only where everybody
//! waits, so that deadlines are exact on a busy machine too.

mod conversation;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use conversation::calls::{ALL, Asked};
use conversation::check::{Held, hold};
use conversation::drawn;
use conversation::frames::Header;
use conversation::script::{Connection, Conversation, LATE, LIMIT, Piece, Sent, Step, Stream, head};
use holdfast::waiting;
use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// How many every run of the tests holds.
const SAMPLE: u32 = 500;
/// How many are drawn with one seed.
const BATCH: u32 = 500;
/// What one conversation may need, in bytes: a message's buffer has the length that is told of it.
const MOST_MEMORY: usize = 200 << 20;
/// After so many batches in which something was found, no more are held.
const MOST_FOUND: usize = 10;
/// One takes milliseconds; after so long, on whatever machine, it will not end.
const ENDLESS: Duration = Duration::from_secs(60);

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number")))
}

/// What was seen of many.
#[derive(Default)]
struct Counted {
    held: BTreeMap<String, [usize; 2]>,
    connected: usize,
    plain: usize,
    longest: Duration,
    tries: usize,
    dials: usize,
    memory: usize,
    slowest: Duration,
}

impl Counted {
    fn add(&mut self, held: &Held, memory: usize, real: Duration) {
        self.held.entry(format!("{:?}", held.asked)).or_default()[usize::from(held.well)] += 1;
        self.connected += usize::from(held.connected);
        self.plain += usize::from(held.plain);
        self.longest = self.longest.max(held.took);
        self.tries = self.tries.max(held.tries);
        self.dials = self.dials.max(held.dials);
        self.memory = self.memory.max(memory);
        self.slowest = self.slowest.max(real);
    }
}

/// The one that is held now, and since when.
static NOW: Mutex<Option<(Instant, Conversation)>> = Mutex::new(None);

/// Ends the process where a conversation does not end: time stands still while anybody is at work.
fn watch() {
    std::thread::spawn(|| {
        loop {
            waiting::blocking::pause(Duration::from_secs(1));
            if let Some((since, conversation)) = &*NOW.lock().expect("no panic")
                && since.elapsed() > ENDLESS
            {
                eprintln!("it does not end:\n{conversation:?}");
                std::process::abort();
            }
        }
    });
}

fn hold_one(conversation: &Conversation, counted: &mut Counted) -> Result<(), String> {
    *NOW.lock().expect("no panic") = Some((Instant::now(), conversation.clone()));
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let began = Instant::now();
    let held = hold(conversation)?;
    let memory = ALLOCATED.peak_usage().saturating_sub(before);
    counted.add(&held, memory, began.elapsed());
    if memory > MOST_MEMORY { Err(format!("{memory} bytes of memory at once")) } else { Ok(()) }
}

#[test]
fn no_peer_makes_us_panic_wait_too_long_or_believe_what_is_not_whole() {
    let (count, seed) = (number("HOLDFAST_CONVERSATIONS", SAMPLE), number("HOLDFAST_CONVERSATIONS_SEED", 0));
    watch();
    let mut counted = Counted::default();
    let began = Instant::now();
    let mut found = Vec::new();
    for batch in 0..count.div_ceil(BATCH) {
        let config = Config { cases: BATCH.min(count - batch * BATCH), failure_persistence: None, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        bytes[4..8].copy_from_slice(&batch.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let cell = std::cell::RefCell::new(&mut counted);
        let outcome = runner.run(&drawn::conversation(), |conversation| {
            hold_one(&conversation, &mut cell.borrow_mut()).map_err(TestCaseError::fail)
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, least)) => {
                eprintln!("seed {seed}, batch {batch}: {why}\n{least:?}");
                found.push(batch);
                if found.len() == MOST_FOUND {
                    break;
                }
            }
            Err(abort) => panic!("seed {seed}, batch {batch}: {abort}"),
        }
    }
    println!("{count} conversations by seed {seed} in {:.1} s", began.elapsed().as_secs_f64());
    for (asked, [badly, well]) in &counted.held {
        println!("  {asked}: {well} ended well, {badly} with an error");
    }
    println!(
        "  {} with a session, {} plain; the longest {:?} of {:?}; at most {} tries, {} dials; {} KiB; the slowest {:?}",
        counted.connected,
        counted.plain,
        counted.longest,
        LIMIT + LATE,
        counted.tries,
        counted.dials,
        counted.memory >> 10,
        counted.slowest
    );
    assert!(found.is_empty(), "what was found in the batches {found:?} is told above");
    if count >= SAMPLE {
        assert_eq!(counted.held.len(), ALL.len(), "each call is made");
        assert!(counted.held.values().all(|[badly, well]| *badly > 0 && *well > 0), "each ends in both ways");
    }
}

/// Holds one by name, of those that were found.
fn must_hold(asked: Asked, answers: Vec<Vec<Step>>) -> Held {
    let greeting = Step::Settings { pairs: Vec::new(), ack: false, count: 1 };
    let opening = vec![greeting];
    let connection = Connection { refused: false, opening, answers, lively: true, piece: usize::MAX };
    let conversation = Conversation { asked, connections: vec![connection] };
    hold(&conversation).unwrap_or_else(|why| panic!("{why}\n{conversation:?}"))
}

fn headers(headers: Vec<Header>, end: bool) -> Step {
    Step::Headers(headers, Sent { end, ..Sent::default() })
}

#[test]
fn a_stream_that_breaks_off_behind_a_message_each_time_is_made_again_ever_more_slowly() {
    let end = Sent { end: true, ..Sent::default() };
    for (asked, piece) in [(Asked::SubscriptionOn, Piece::Sync), (Asked::FollowOn, Piece::Good(1))] {
        let answer = vec![headers(head(), false), Step::Body(vec![piece], Vec::new(), end.clone())];
        let held = must_hold(asked, vec![answer]);
        assert!(!held.well && held.tries < 12, "{held:?}");
    }
}

#[test]
fn a_peer_that_takes_no_call_is_asked_ever_more_slowly() {
    for step in [Step::Reset(Stream::Own, 7), Step::GoAway { last: 0, code: 11 }] {
        for asked in [Asked::Time, Asked::Reboot, Asked::Containers] {
            let held = must_hold(asked, vec![vec![step.clone()]]);
            assert!(!held.well && held.tries < 12, "{step:?}: {held:?}");
        }
    }
}
