//! How many calls a device takes in a second.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MANY: usize = 40;
const SECOND: Duration = Duration::from_secs(1);

/// When the last calls were taken.
#[derive(Debug, Default)]
pub struct Limit(Mutex<VecDeque<Instant>>);

impl Limit {
    /// Whether one more is taken now; what is refused does not count.
    pub fn takes_another(&self) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.front().is_some_and(|first| first.elapsed() >= SECOND) {
            taken.pop_front();
        }
        let takes = taken.len() < MANY;
        if takes {
            taken.push_back(Instant::now());
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_are_taken_in_any_second() {
        let limit = Limit::default();
        assert_eq!((0..100).filter(|_| limit.takes_another()).count(), MANY);
        tokio::time::advance(SECOND / 2).await;
        assert!(!limit.takes_another());
        tokio::time::advance(SECOND / 2).await;
        assert_eq!((0..100).filter(|_| limit.takes_another()).count(), MANY);
    }
}
