//! What a failpoint costs that nobody armed, against one relaxed atomic load in the same run.
//!
//! Prints a line of JSON: nanoseconds a pass.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use holdfast::emulator::FAILPOINTS;
use holdfast::failpoint::Registry;

const PASSES: u32 = 50_000_000;
const ROUNDS: usize = 5;

fn main() {
    let registry = Registry::new(FAILPOINTS, 0);
    let peer = AtomicUsize::new(0);
    let mut best = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(nanoseconds(|| black_box(&registry).hit(black_box("containerz.Deploy.chunk")).is_some()));
        best[1] = best[1].min(nanoseconds(|| black_box(&peer).load(Ordering::Relaxed) != 0));
    }
    println!("{{\"disarmed\": {:.3}, \"load\": {:.3}}}", best[0], best[1]);
}

fn nanoseconds(pass: impl Fn() -> bool) -> f64 {
    let begin = Instant::now();
    for _ in 0..PASSES {
        black_box(pass());
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(PASSES)
}
