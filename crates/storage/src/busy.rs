//! How long a run waited for others: its provider, its runner, whoever does harm. What is left of a scenario is its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A clock that runs while somebody is asked for something. Of what is asked side by side each moment counts once.
#[derive(Debug, Default)]
pub struct Busy(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// So many are asked now,
    now: usize,
    /// one of them since then,
    since: Option<Instant>,
    /// and all before that took so long.
    before: Duration,
}

impl Busy {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs while the work is done.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let _asking = Asking::begin(self);
        work()
    }

    /// What it shows.
    pub fn so_far(&self) -> Duration {
        let asked = self.asked();
        asked.before + asked.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

struct Asking<'a>(&'a Busy);

impl<'a> Asking<'a> {
    fn begin(busy: &'a Busy) -> Self {
        let mut asked = busy.asked();
        asked.now += 1;
        asked.since.get_or_insert_with(Instant::now);
        drop(asked);
        Self(busy)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.0.asked();
        asked.now -= 1;
        if asked.now == 0 {
            let took = asked.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            asked.before += took;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_while_anybody_is_asked_and_counts_each_moment_once() {
        let busy = Busy::default();
        assert_eq!(busy.so_far(), Duration::ZERO);
        let began = Instant::now();
        busy.during(|| busy.during(|| assert!(busy.asked().since.is_some())));
        let (shown, passed) = (busy.so_far(), began.elapsed());
        assert!(shown <= passed, "two at a time are no longer than what passed");
        assert!(shown > Duration::ZERO);
        assert_eq!(busy.so_far(), shown, "it stands still where nobody is asked");
    }
}
