//! After a change whose outcome is unknown: what the device lists says whether it was carried out.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::Containerz;
use crate::dial::EventKind;
use crate::error::{Error, Kind, Result};
use crate::waiting::try_until;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);
/// What a device that answers again carries out by then, or not any more.
const CARRIED_OUT: Duration = Duration::from_secs(10);
/// What the last look may take, before the deadline.
const LAST_LOOK: Duration = Duration::from_millis(500);

impl Containerz {
    /// `outcome`, or where that is unknown, `done` if `look` finds before `deadline` that the change `what` was made.
    ///
    /// Where an outage is expected nobody looks: what a device lists right before it goes away proves nothing.
    pub(super) async fn settled<T, F>(
        &self,
        outcome: Result<T>,
        what: &str,
        done: T,
        deadline: Instant,
        look: impl Fn(Instant) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<bool>>,
    {
        let Err(error) = outcome else { return outcome };
        if error.kind != Kind::OutcomeUnknown || self.session.is_outage_expected() || Instant::now() >= deadline {
            return Err(error);
        }
        let until = (deadline - LAST_LOOK).min(Instant::now() + CARRIED_OUT);
        let seen = try_until(until, LOOK, || async { Ok(look(deadline).await?.then_some(()).ok_or(())) });
        match seen.await {
            Ok(Ok(())) => {
                let text = format!("{what}: it was executed, although its answer never came");
                self.session.timeline().record(EventKind::Note, text);
                Ok(done)
            }
            Ok(Err(())) => {
                let message = format!("{}; it was not executed, as far as the device lists", error.message);
                Err(Error { message, ..error })
            }
            Err(_) => Err(error),
        }
    }
}
