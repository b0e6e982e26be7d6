//! The session through faults that are drawn by seed: partitions, held packets, crashes and bounces.
//!
//! Every call ends by its deadline, with one of three outcomes: executed, provably not sent, unknown. A wrong one never,
//! and unknown never without a fault. `HOLDFAST_SEEDS=200` goes through so many seeds, `HOLDFAST_SEED=17` through one.

mod simulated;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::error::Kind;
use holdfast::gnoi::System;
use holdfast::waiting;
use holdfast::wire::gnoi::system::RebootMethod;
use simulated::{Device, session};
use tokio::time::Instant;

/// How many seeds every run of the tests goes through.
const SAMPLE: u64 = 25;
/// How many use a session at a time.
const WORKERS: u64 = 4;
/// How long a simulation lasts, and how long of that faults come.
const LASTS: Duration = Duration::from_secs(40);
const FAULTS: Duration = Duration::from_secs(28);
/// What a call may take, and how late its end may be noticed.
const LIMIT: Duration = Duration::from_secs(4);
const LATE: Duration = Duration::from_millis(50);
/// A fault is felt for so long after its end: a connection that it broke is noticed by then.
const AFTERMATH: Duration = Duration::from_secs(5);

/// A device that is slow: from the end of a stall to the next, how long a stall lasts, and what a call may take.
const BETWEEN_STALLS: Range<u64> = 12_000..20_000;
const STALL: Range<u64> = 100..30_000;
const PATIENT: Duration = Duration::from_secs(45);
const SLOW_FOR: Duration = Duration::from_secs(150);

/// Chance without a dependency: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next() % (range.end - range.start))
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Partition,
    /// What the device says is lost; what it is told arrives.
    Mute,
    Hold,
    Crash,
}

const KINDS: [Fault; 4] = [Fault::Partition, Fault::Mute, Fault::Hold, Fault::Crash];

/// When which fault begins and ends, in simulated time.
fn faults(seed: u64) -> Vec<(Fault, Range<Duration>)> {
    let mut chance = Chance(seed);
    let (mut drawn, mut at) = (Vec::new(), Duration::from_secs(1));
    loop {
        at += chance.between(200..6_000);
        let lasts = chance.between(1..4_000);
        if at + lasts > FAULTS {
            return drawn;
        }
        let fault = KINDS[usize::try_from(chance.next()).unwrap_or(0) % KINDS.len()];
        drawn.push((fault, at..at + lasts));
        at += lasts;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Executed,
    NotSent,
    Unknown,
}

/// A call that ended: what it was, when it was, and what came of it.
#[derive(Debug)]
#[expect(dead_code, reason = "a failure shows all of it")]
struct Ended {
    name: String,
    changes: bool,
    during: Range<Duration>,
    outcome: Outcome,
    said: String,
}

/// Some who work over one session.
async fn work_together(seed: u64, limit: Duration, lasts: Duration, ended: Arc<Mutex<Vec<Ended>>>) {
    let system = System::new(session().await);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let chance = Chance(seed ^ (worker << 32) ^ 0xCA11);
        workers.spawn(work(chance, worker, system.clone(), (limit, lasts), ended.clone()));
    }
    workers.join_all().await;
}

/// Reads and changes, one after another, until the simulation is over.
async fn work(
    mut chance: Chance,
    worker: u64,
    system: System,
    (limit, lasts): (Duration, Duration),
    ended: Arc<Mutex<Vec<Ended>>>,
) {
    for number in 0.. {
        let began = turmoil::elapsed();
        if began + limit * 2 > lasts {
            return;
        }
        let (name, changes, limit) =
            (format!("call {worker}.{number}"), chance.next().is_multiple_of(2), Instant::now() + limit);
        let answer = if changes {
            system.reboot(RebootMethod::Cold, &[], &name, false, limit).await
        } else {
            system.time(limit).await.map(drop)
        };
        let outcome = match &answer {
            Ok(()) => Outcome::Executed,
            Err(error) if error.kind == Kind::OutcomeUnknown => Outcome::Unknown,
            Err(_) => Outcome::NotSent,
        };
        let during = began..turmoil::elapsed();
        let said = answer.err().map(|error| error.to_string()).unwrap_or_default();
        ended.lock().expect("no panic").push(Ended { name, changes, during, outcome, said });
        waiting::pause(chance.between(1..200)).await;
    }
}

/// Runs some who work together while `drawn` comes over them; what they did, and what the device did.
fn simulate(
    seed: u64,
    drawn: Vec<(Fault, Range<Duration>)>,
    (limit, lasts): (Duration, Duration),
) -> (Vec<Ended>, HashMap<String, u32>) {
    let (device, ended) = (Device::default(), Arc::new(Mutex::new(Vec::new())));
    let mut sim = turmoil::Builder::new().simulation_duration(lasts * 2).rng_seed(seed).tcp_capacity(8192).build();
    device.run(&mut sim);
    let told = ended.clone();
    sim.client("client", async move {
        work_together(seed, limit, lasts, told).await;
        Ok(())
    });
    let mut coming = Vec::new();
    for (fault, during) in drawn {
        coming.push((during.start, fault, true));
        coming.push((during.end, fault, false));
    }
    coming.reverse();
    loop {
        while coming.last().is_some_and(|(at, _, _)| *at <= sim.elapsed()) {
            match coming.pop() {
                Some((_, Fault::Partition, true)) => sim.partition("client", "device"),
                Some((_, Fault::Partition, false)) => sim.repair("client", "device"),
                Some((_, Fault::Mute, true)) => sim.partition_oneway("device", "client"),
                Some((_, Fault::Mute, false)) => sim.repair_oneway("device", "client"),
                Some((_, Fault::Hold, true)) => sim.hold("client", "device"),
                Some((_, Fault::Hold, false)) => sim.release("client", "device"),
                Some((_, Fault::Crash, true)) => sim.crash("device"),
                Some((_, Fault::Crash, false)) => sim.bounce("device"),
                None => {}
            }
        }
        if sim.step().expect("a step") {
            break;
        }
    }
    let ended = Arc::try_unwrap(ended).map(|ended| ended.into_inner().expect("no panic")).unwrap_or_default();
    (ended, device.reboots())
}

fn check(seed: u64) -> usize {
    let drawn = faults(seed);
    let (ended, done) = simulate(seed, drawn.clone(), (LIMIT, LASTS));
    for call in &ended {
        let tell = || format!("seed {seed}: {call:?}; faults: {drawn:?}");
        assert!(call.during.end <= call.during.start + LIMIT + LATE, "after its deadline: {}", tell());
        let times = done.get(&call.name).copied().unwrap_or(0);
        match call.outcome {
            Outcome::Executed if call.changes => assert_eq!(times, 1, "said executed: {}", tell()),
            Outcome::NotSent => assert_eq!(times, 0, "said not sent: {}", tell()),
            Outcome::Unknown => assert!(call.changes && times <= 1, "unknown: {}", tell()),
            Outcome::Executed => {}
        }
        let faulty =
            drawn.iter().any(|(_, fault)| call.during.start <= fault.end + AFTERMATH && fault.start <= call.during.end);
        assert!(faulty || call.outcome == Outcome::Executed, "without a fault: {}", tell());
    }
    assert!(ended.len() > 20, "seed {seed}: {} calls", ended.len());
    ended.len()
}

/// Stalls, after which the device goes on as if nothing had been.
fn stalls(seed: u64) -> Vec<(Fault, Range<Duration>)> {
    let mut chance = Chance(seed ^ 0x5107);
    let (mut drawn, mut at) = (Vec::new(), Duration::from_secs(1));
    while at + PATIENT < SLOW_FOR {
        let lasts = chance.between(STALL);
        drawn.push((Fault::Hold, at..at + lasts));
        at += lasts + chance.between(BETWEEN_STALLS);
    }
    drawn
}

fn check_slow(seed: u64) -> usize {
    let (ended, done) = simulate(seed, stalls(seed), (PATIENT, SLOW_FOR));
    for call in &ended {
        let times = done.get(&call.name).copied().unwrap_or(0);
        assert_eq!(call.outcome, Outcome::Executed, "seed {seed}: {call:?}; stalls: {:?}", stalls(seed));
        assert_eq!(times, u32::from(call.changes), "seed {seed}: {call:?}");
    }
    ended.len()
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("HOLDFAST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOLDFAST_SEEDS").unwrap_or(SAMPLE),
    }
}

#[test]
fn a_device_that_is_slow_answers_every_call() {
    let calls: usize = seeds().map(check_slow).sum();
    println!("{} seeds, {calls} calls, none unknown", seeds().end - seeds().start);
}

#[test]
fn every_call_ends_in_time_with_a_true_outcome() {
    let calls: usize = seeds().map(check).sum();
    println!("{} seeds, {calls} calls, no wrong outcome", seeds().end - seeds().start);
}
