//! After a change whose outcome is unknown: what the device lists says whether it was carried out.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::Containerz;
use crate::dial::EventKind;
use crate::error::{Error, Kind, Result};
use crate::waiting::until;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);
/// What the last look may take, before the deadline.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// For a change to show whose being there proves nothing: it is only said.
const SHORTLY: Duration = Duration::from_secs(5);

impl Containerz {
    /// `outcome`, or where that is unknown, `done` if `look` finds before `deadline` that the change `what` was made.
    ///
    /// Where an outage was expected meanwhile nobody looks: what a device lists right before it goes away proves nothing,
    /// and what never reached the one that lists now does not come. Without `done` it is only said how things are: nobody
    /// knows that they were otherwise before.
    pub(super) async fn settled<T, F>(
        &self,
        outcome: Result<T>,
        what: &str,
        done: Option<T>,
        deadline: Instant,
        look: impl Fn(Instant) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<bool>>,
    {
        let Err(error) = outcome else { return outcome };
        let now = Instant::now();
        let asked = error.after.and_then(|after| now.checked_sub(after)).unwrap_or(now);
        if error.kind != Kind::OutcomeUnknown || self.session.was_outage_expected(asked) || now >= deadline {
            return Err(error);
        }
        let end = if done.is_some() { deadline } else { deadline.min(now + SHORTLY) };
        let seen = until(end - LAST_LOOK, LOOK, || async {
            match look(end).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Some("it was not executed, as far as the device lists")),
                Err(_) => Err(None), // it is on its way up, perhaps
            }
        });
        match (seen.await, done) {
            (Ok(()), Some(done)) => {
                let text = format!("{what}: it was executed, although its answer never came");
                self.session.timeline().record(EventKind::Note, text);
                Ok(done)
            }
            (Ok(()), None) => Err(add(error, "the device lists it as if it was executed")),
            (Err(Some(words)), _) => Err(add(error, words)),
            (Err(None), _) => Err(error),
        }
    }
}

fn add(error: Error, words: &str) -> Error {
    let message = format!("{}; {words}", error.message);
    Error { message, ..error }
}
