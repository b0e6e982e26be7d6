//! Watching a device that may go away: its good answers, its silence, and what that proves.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::Device;
use super::deadlines::{ATTEMPT, LOOK};
use super::roles::ControlProcessor;
use crate::dial::connection::{Expecting, Pending};
use crate::dial::{Call, Connection, Event, EventKind, Field, GRACE};
use crate::error::{Error, Kind, Result};
use crate::waiting::{try_until, until};

/// A server that does not know Containerz yet may still learn of it.
pub const REGISTERED: Duration = Duration::from_secs(10);

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

    /// This one, or another that was longer.
    fn or_longer(self, other: Option<Self>) -> Self {
        other.filter(|other| other.duration() > self.duration()).unwrap_or(self)
    }
}

/// Something that a device gave no means to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    /// What was to be looked at.
    pub what: String,
    /// Why it could not be.
    pub why: String,
}

impl Unchecked {
    /// Of something that the device does not report.
    pub fn not_reported(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: "the device does not report it".to_owned() }
    }
}

/// A question to the witness: when it was asked, and what had left and come on its connection by then.
struct Asked {
    at: Instant,
    written: u64,
    read: u64,
}

/// Keeps account of a device through a failover.
pub struct FailoverWatch<'a> {
    device: &'a Device,
    /// The connection that was there at the beginning.
    witness: Connection,
    /// That of the last good answer.
    answering: Connection,
    last_good: Instant,
    outage: Option<Outage>,
    lost: Option<String>,
    /// Whether the device answered after the witness was lost.
    back: bool,
    /// That the witness was asked for a sign, for the device answers on another connection.
    asked: Option<Asked>,
    /// Silence means that the device is away, for as long as it is watched.
    _expecting: Vec<Expecting>,
    /// The witness is watched, though no call is under way there.
    _pending: Pending,
}

impl<'a> FailoverWatch<'a> {
    /// Begins while the device answers; its connection is the witness.
    pub async fn begin(device: &'a Device, deadline: Instant) -> Result<Self> {
        let witness = device.session.connection(deadline).await?;
        let last_good = device.session.last_good().unwrap_or_else(Instant::now);
        let expecting = vec![device.session.expect_outage(), device.containerz.session().expect_outage()];
        Ok(Self {
            device,
            answering: witness.clone(),
            last_good,
            outage: None,
            lost: None,
            back: false,
            asked: None,
            _expecting: expecting,
            _pending: witness.pending(),
            witness,
        })
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
        self.notice_loss(seen.is_ok());
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

    /// Whether it is lost, and the device answered after that.
    pub fn is_back(&self) -> bool {
        self.back
    }

    /// Whether it is silent, and not known to be lost yet.
    pub fn is_in_doubt(&self) -> bool {
        self.lost.is_none() && self.asked.is_some()
    }

    /// Whether it was away: its connection was lost, or it answered on another only, or something in between refused.
    pub fn saw_absence(&self) -> bool {
        self.lost.is_some() || self.outage.is_some()
    }

    /// The longest time without an answer, once there was one.
    pub fn outage(&self) -> Option<Outage> {
        self.outage
    }

    fn notice_loss(&mut self, answered: bool) {
        if self.lost.is_some() {
            return;
        }
        self.lost = self.witness.breakage().or_else(|| if answered { self.silence_beside() } else { None });
        if let Some(why) = &self.lost {
            self.device.note(EventKind::Outage, format!("the device went away: {why}"));
        }
    }

    /// Why a witness is lost that says nothing, though it is asked, while the device answers on another connection.
    /// Silence alone is no loss: the device may have been slow, and then it goes on there too.
    fn silence_beside(&mut self) -> Option<String> {
        let current = self.device.session.current()?;
        if current.is(&self.witness) {
            return None;
        }
        if !current.is(&self.answering) {
            self.asked = Some(Asked { at: Instant::now(), written: self.witness.written(), read: self.witness.read() });
            self.witness.ask_for_a_sign();
        }
        let asked = self.asked.as_ref()?;
        if self.witness.read() > asked.read {
            self.asked = None;
            return None;
        }
        // The silence of one that was not asked says nothing.
        (asked.at.elapsed() >= GRACE && self.witness.written() > asked.written)
            .then(|| "the device answers on a new connection, and no more on this one".to_owned())
    }

    /// `refused`: it answered UNAVAILABLE first, as a proxy does while the device is away.
    fn answered(&mut self, refused: bool) {
        self.back = self.lost.is_some();
        let now = self.device.session.last_good().unwrap_or_else(Instant::now);
        let current = self.device.session.current().unwrap_or_else(|| self.answering.clone());
        let replaced = !current.is(&self.answering);
        if replaced || refused {
            let timeline = self.device.session.timeline();
            let outage = Outage { began: timeline.at(self.last_good), ended: timeline.at(now) };
            let text = format!("the device answers again after {:.3} s", outage.duration().as_secs_f64());
            timeline.record_fields(EventKind::Outage, text, vec![("outage", Field::Time(outage.duration()))]);
            self.outage = Some(outage.or_longer(self.outage));
        }
        (self.answering, self.last_good) = (current, now);
    }
}

impl Device {
    /// Waits until Containerz answers a listing well. Changes may be refused for a while after that.
    pub(super) async fn containerz_serves(&self, deadline: Instant) -> Result<Option<Unchecked>> {
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
        match served.await.and_then(|served| served) {
            Err(error) if error.code() == Some(Code::Unimplemented) && !self.has_served_containerz() => {
                let (what, why) =
                    ("whether Containerz is served", "the device does not serve it, and was not seen to before");
                return Ok(Some(Unchecked { what: what.to_owned(), why: why.to_owned() }));
            }
            served => served?,
        }
        self.containerz.settling_until(Instant::now() + self.deadlines().start);
        Ok(None)
    }

    /// Whether a call of Containerz was answered well in this session: a device may serve gNMI and gNOI System alone.
    fn has_served_containerz(&self) -> bool {
        let ok = ("status", Field::from("OK"));
        let of_containerz = |(name, value): &(&str, Field)| {
            *name == "call" && matches!(value, Field::Text(call) if call.starts_with("Containerz."))
        };
        let answered_well = |event: &Event| event.fields.contains(&ok) && event.fields.iter().any(of_containerz);
        self.containerz.session().timeline().has(EventKind::Call, answered_well)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_outages_the_longest_counts() {
        let outage = |began, ended| {
            let [began, ended] = [began, ended].map(Duration::from_secs);
            Outage { began, ended }
        };
        let (short, long) = (outage(9, 10), outage(2, 5));
        assert_eq!(short.or_longer(None), short);
        assert_eq!(short.or_longer(Some(long)), long);
        assert_eq!(long.or_longer(Some(short)), long);
    }

    #[test]
    fn a_limit_that_passed_is_the_failure_that_it_means_and_other_errors_are_what_they_are() {
        let late = |kind| {
            let error = Error::new(kind, "no answer in time");
            or_late::<()>(Err(error), Kind::Roles, "it does not serve").expect_err("an error")
        };
        for kind in [Kind::Timeout, Kind::Status(Code::Internal)] {
            let told = late(kind);
            assert_eq!(told.kind, Kind::Roles, "{told}");
            assert_eq!(told.message, "it does not serve: no answer in time");
        }
        for kind in [Kind::Status(Code::Unimplemented), Kind::OutcomeUnknown] {
            assert_eq!(late(kind).kind, kind);
        }
    }
}
