//! Waiting, always with a limit: the only file of Rust's that sleeps.
//!
//! What waits for something looks again and again: [`until`] it is so, or by [`next_look`] where what one look finds
//! counts for the next. Nothing tells that it came: one look follows another after a pause, and the last ends at the
//! deadline or after it, so that what came in time is seen. [`pause`] is for what itself takes a while, such as an
//! emulated boot, and for a try that would come too soon. Who may block has [`blocking`].

#![expect(clippy::disallowed_methods, reason = "the only file that sleeps")]

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, Interval};

use crate::error::Error;

/// Looks until there is something to be found, and gives it; after the deadline, what the last look said instead.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// use std::time::Duration;
///
/// use holdfast_net::waiting::until;
/// use tokio::time::Instant;
///
/// let soon = Instant::now() + Duration::from_secs(60);
/// let found = until(soon, Duration::from_millis(1), || async { Ok::<_, &str>("there") });
/// assert_eq!(found.await, Ok("there"));
/// let never = until(Instant::now(), Duration::from_millis(1), || async { Err::<(), _>("not there") });
/// assert_eq!(never.await, Err("not there"));
/// # });
/// ```
pub async fn until<T, N, L>(deadline: Instant, look: Duration, mut condition: impl FnMut() -> L) -> Result<T, N>
where
    L: Future<Output = Result<T, N>>,
{
    loop {
        let seen = condition().await;
        if seen.is_ok() || !next_look(deadline, look).await {
            return seen;
        }
    }
}

/// As [`until`], of a condition whose outer error says that no further look is of use: it ends the wait at once.
pub async fn try_until<T, N, L>(
    deadline: Instant,
    look: Duration,
    mut condition: impl FnMut() -> L,
) -> Result<Result<T, N>, Error>
where
    L: Future<Output = Result<Result<T, N>, Error>>,
{
    loop {
        let seen = condition().await?;
        if seen.is_ok() || !next_look(deadline, look).await {
            return Ok(seen);
        }
    }
}

/// Whether there is time for another look, once it is time for it; false at once where the deadline has passed.
pub async fn next_look(deadline: Instant, look: Duration) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    pause(look.min(left)).await;
    true
}

/// Lets so much time pass: what is played takes it, or the next try would come too soon.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Ends at `moment`: the limit of what goes on beside it.
pub async fn reached(moment: Instant) {
    tokio::time::sleep_until(moment).await;
}

/// Ticks at once, and then after every `period`.
pub fn every(period: Duration) -> Interval {
    tokio::time::interval(period)
}

/// The same for who may block, on the system's clock.
pub mod blocking {
    use std::sync::mpsc::{Receiver, RecvTimeoutError};
    use std::time::{Duration, Instant};

    use crate::error::{Error, Kind, Result};

    /// From one look at this machine's processes, mounts and files to the next.
    const LOOK: Duration = Duration::from_millis(10);

    /// Looks until `holds` does; a timeout, where it does not by the deadline, that says `what` did not come.
    pub fn wait_until(deadline: Instant, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let late = || Error::new(Kind::Timeout, format!("{what} did not come in time"));
        until(deadline, LOOK, || holds().then_some(()).ok_or(())).map_err(|()| late())
    }

    /// As [`super::until`].
    pub fn until<T, N>(
        deadline: Instant,
        look: Duration,
        mut condition: impl FnMut() -> std::result::Result<T, N>,
    ) -> std::result::Result<T, N> {
        loop {
            let seen = condition();
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.is_ok() || left.is_zero() {
                return seen;
            }
            pause(look.min(left));
        }
    }

    /// What comes by `channel` within `limit`.
    pub fn received<T>(channel: &Receiver<T>, limit: Duration) -> std::result::Result<T, RecvTimeoutError> {
        channel.recv_timeout(limit)
    }

    /// As [`super::pause`].
    pub fn pause(time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(20);
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_last_look_comes_with_the_deadline_and_says_why_not() {
        let (begin, mut looks) = (Instant::now(), Vec::new());
        let late = until(begin + LOOK * 5 / 2, LOOK, || {
            looks.push(begin.elapsed());
            std::future::ready(Err::<(), _>(looks.len()))
        });
        assert_eq!(late.await, Err(4));
        assert_eq!(looks, [Duration::ZERO, LOOK, LOOK * 2, LOOK * 5 / 2]);
        assert_eq!(
            until(begin, LOOK, || async { Ok::<_, ()>("there") }).await,
            Ok("there"),
            "one look is always taken"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_cannot_come_is_waited_for_no_longer() {
        let (begin, mut looks) = (Instant::now(), 0);
        let hopeless = try_until(begin + MINUTE, LOOK, || {
            looks += 1;
            std::future::ready(if looks < 3 { Ok(Err::<(), _>("not yet")) } else { Err(Error::invalid("refused")) })
        });
        assert_eq!(hopeless.await.expect_err("it cannot come").message, "refused");
        assert_eq!(begin.elapsed(), LOOK * 2);
        let late = try_until(begin + MINUTE, MINUTE, || async { Ok(Err::<(), _>("not yet")) });
        assert_eq!(late.await.expect("no error"), Err("not yet"));
        assert_eq!(begin.elapsed(), MINUTE);
    }

    #[test]
    fn who_blocks_is_told_what_did_not_come() {
        let mut looks = 0..;
        let soon = std::time::Instant::now() + MINUTE;
        blocking::wait_until(soon, "the third look", || looks.next() == Some(2)).expect("it comes");
        let late = blocking::wait_until(std::time::Instant::now(), "the end", || false).expect_err("it does not");
        assert_eq!(late.message, "the end did not come in time");
    }
}
