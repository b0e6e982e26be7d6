//! Watching a device that may go away: its good answers, its silence, and what that proves.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::Device;
use super::roles::ControlProcessor;
use crate::dial::connection::Expecting;
use crate::dial::{Call, Connection, EventKind, Field};
use crate::error::{Error, Kind, Result};
use crate::waiting::{try_until, until};

/// From one look of a [`Watch`] to the next; bounds how exactly an outage is known.
pub const LOOK: Duration = Duration::from_millis(20);
/// How long one look may find only silence before the next dials afresh.
pub const ATTEMPT: Duration = Duration::from_millis(700);
/// A server that does not know Containerz yet may still learn of it.
pub const REGISTERED: Duration = Duration::from_secs(10);
/// What a look that decides at a deadline may end after it.
pub const LAST_LOOK: Duration = Duration::from_secs(2);

/// From the last good answer to the first good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// On the timeline.
    pub began: Duration,
    /// On the timeline.
    pub ended: Duration,
}

impl Outage {
    /// How long nothing answered.
    pub fn duration(&self) -> Duration {
        self.ended.saturating_sub(self.began)
    }
}

/// Keeps account of a device through a failover.
pub struct Watch<'a> {
    device: &'a Device,
    witness: Connection,
    last_good: Instant,
    outage: Option<Outage>,
    lost: Option<String>,
    /// Whether the session has a connection that is not the witness.
    replaced: bool,
    /// Silence means that the device is away, for as long as it is watched.
    _expecting: Vec<Expecting>,
}

impl<'a> Watch<'a> {
    /// Begins while the device answers; its connection is the witness.
    pub async fn begin(device: &'a Device, deadline: Instant) -> Result<Self> {
        let witness = device.session.connection(deadline).await?;
        let last_good = device.session.last_good().unwrap_or_else(Instant::now);
        let expecting = vec![device.session.expect_outage(), device.containerz.session().expect_outage()];
        Ok(Self { device, witness, last_good, outage: None, lost: None, replaced: false, _expecting: expecting })
    }

    /// A look at the roles, once the device answers; None where it does not within `limit`.
    pub async fn look(&mut self, limit: Instant) -> Result<Option<Vec<ControlProcessor>>> {
        let call = Call::read("gNMI.Subscribe", limit).probing(ATTEMPT);
        let refusals = self.device.session.refusals();
        // A device on its way up may answer anything; what it says at the end is why.
        let seen = until(limit, LOOK, || async {
            match self.device.roles_so_far(call).await {
                Err(error) if error.code().is_some() => Err(error),
                seen => Ok(seen),
            }
        });
        let seen = seen.await.unwrap_or_else(Err);
        self.notice_loss();
        match seen {
            Ok(roles) => {
                self.answered(self.device.session.refusals() > refusals);
                Ok(Some(roles))
            }
            Err(error) if matches!(error.kind, Kind::Timeout | Kind::Connect(_) | Kind::OutcomeUnknown) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Why the connection that was there at the beginning is lost, if it is.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The longest time without an answer, once there was one.
    pub fn outage(&self) -> Option<Outage> {
        self.outage
    }

    fn notice_loss(&mut self) {
        let current = self.device.session.current();
        self.replaced = current.is_some_and(|current| !current.is(&self.witness));
        if self.lost.is_some() {
            return;
        }
        self.lost = self.witness.loss().or_else(|| self.replaced.then(|| "it fell silent".to_owned()));
        if let Some(why) = &self.lost {
            self.device.note(EventKind::Outage, format!("the device went away: {why}"));
        }
    }

    /// `refused`: it answered UNAVAILABLE first, as a proxy does while the device is away.
    fn answered(&mut self, refused: bool) {
        let now = self.device.session.last_good().unwrap_or_else(Instant::now);
        if !self.replaced && !refused {
            self.last_good = now;
        } else if self.outage.is_none() {
            let timeline = self.device.session.timeline();
            let outage = Outage { began: timeline.at(self.last_good), ended: timeline.at(now) };
            let text = format!("the device answers again after {:.3} s", outage.duration().as_secs_f64());
            timeline.record_fields(EventKind::Outage, text, vec![("outage", Field::Time(outage.duration()))]);
            self.outage = Some(outage);
        }
    }
}

impl Device {
    /// Waits until Containerz answers a listing well. Changes may be refused for a while after that.
    pub(super) async fn containerz_serves(&self, deadline: Instant) -> Result<()> {
        let call = Call::read("Containerz.ListImage", deadline).probing(ATTEMPT);
        let registered_by = Instant::now() + REGISTERED.min(self.deadlines().start);
        let served = try_until(deadline, LOOK, || async {
            match self.containerz.images_by(call).await {
                Ok(_) => Ok(Ok(())),
                // The runtime beneath may be on its way up, and nobody says how a server puts that.
                Err(error) if error.code() == Some(Code::Unimplemented) && Instant::now() > registered_by => Err(error),
                Err(error) if error.code().is_some() => Ok(Err(error)),
                Err(error) => Err(error),
            }
        });
        served.await??;
        self.containerz.settling_until(Instant::now() + self.deadlines().start);
        Ok(())
    }
}

/// Whether a time that the device reports moved on by more than its clock's jitter.
pub fn moved_on(before: Option<u64>, after: Option<u64>) -> Option<bool> {
    const JITTER: u64 = 100_000_000;
    match (before, after) {
        (Some(before), Some(after)) => Some(after > before + JITTER),
        (None, Some(_)) => Some(true),
        _ => None,
    }
}

/// Turns a limit that passed into the failure it means.
pub fn or_late<T>(outcome: Result<T>, kind: Kind, what: &str) -> Result<T> {
    outcome.map_err(|error| match error.kind {
        Kind::Status(Code::Unimplemented) => error, // it is back, and does not have it
        Kind::Timeout | Kind::Connect(_) | Kind::Status(_) => {
            Error { kind, message: format!("{what}: {}", error.message), ..error }
        }
        _ => error,
    })
}
