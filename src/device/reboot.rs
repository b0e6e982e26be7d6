//! A cold reboot of the chassis: asked for, proved, and waited for.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::Device;
use super::deadlines::{ATTEMPT, LAST_LOOK, LOOK};
use super::evidence::{FailoverWatch, Outage, Unchecked, moved_on, or_late};
use super::roles::ControlProcessor;
use crate::dial::{Call, Event, EventKind};
use crate::error::{Error, Kind, RebootFault, Result};
use crate::gnmi::Path;
use crate::waiting::{next_look, try_until};
use crate::wire::gnoi::system::RebootMethod;

/// From one look at the control processors' boot-times to the next.
const CONTROL_PROCESSORS_LOOK: Duration = Duration::from_millis(50);

/// A reboot that really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reboot {
    /// None where the device never was away.
    pub outage: Option<Outage>,
    /// What proves it.
    pub witnesses: Vec<String>,
    /// What the device gave no means to check.
    pub not_checked: Vec<Unchecked>,
    /// What was asked and seen.
    pub timeline: Vec<Event>,
}

struct StateBeforeReboot {
    control_processors: Vec<ControlProcessor>,
    boot_time: Option<u64>,
}

impl Device {
    /// `gnoi.system.System/Reboot{method: COLD}` of the chassis; returns when the device serves Containerz again.
    pub async fn reboot(&self, force: bool) -> Result<Reboot> {
        let began = Instant::now();
        let mark = self.session.timeline().at(began);
        match self.reboot_cold(force).await {
            Ok(mut reboot) => {
                reboot.timeline = self.session.timeline().since(mark);
                Ok(reboot)
            }
            Err(error) => {
                self.note(EventKind::Reboot, format!("failed: {}", error.message));
                Err(error.during(self.name(), "reboot", began.elapsed()))
            }
        }
    }

    async fn reboot_cold(&self, force: bool) -> Result<Reboot> {
        let limit = self.session.deadline(None);
        let before = StateBeforeReboot {
            control_processors: self.roles_so_far(Call::read("gNMI.Subscribe", limit)).await?,
            boot_time: self.boot_time(limit).await,
        };
        let mut watch = FailoverWatch::begin(self, limit).await?;
        self.note(EventKind::Reboot, "asking for a cold reboot of the chassis");
        let asked = self.system.reboot(RebootMethod::Cold, &[], "holdfast: cold reboot", force, limit).await;
        let unanswered = match asked {
            Ok(()) => None,
            Err(error) if error.kind == Kind::OutcomeUnknown => Some(error), // the connection may drop before the answer
            Err(error) => return Err(refused(error)),
        };
        match (self.prove_reboot(&before, &mut watch).await, unanswered) {
            (Err(error), Some(unanswered)) if error.kind == Kind::Reboot(RebootFault::Ignored) => Err(unanswered),
            (proved, _) => proved,
        }
    }

    /// Waits until the reboot is over, and gives what proves that it happened.
    async fn prove_reboot(&self, before: &StateBeforeReboot, watch: &mut FailoverWatch<'_>) -> Result<Reboot> {
        let deadline = Instant::now() + self.deadlines().reboot;
        self.await_reboot(before, watch, deadline).await?;
        let served = self.containerz_serves(deadline).await;
        or_late(served, Kind::Reboot(RebootFault::NeverBack), "the device does not serve Containerz")?;
        let mut reboot =
            Reboot { outage: watch.outage(), witnesses: Vec::new(), not_checked: Vec::new(), timeline: Vec::new() };
        if let Some(why) = watch.lost() {
            reboot.witnesses.push(format!("the connection was lost and made again ({why})"));
        }
        match moved_on(before.boot_time, self.boot_time(deadline).await) {
            Some(true) => reboot.witnesses.push("/system/state/boot-time moved on".to_owned()),
            Some(false) => return Err(ignored("the device was away, but its boot-time did not move")),
            None => reboot.not_checked.push(Unchecked::not_reported("/system/state/boot-time")),
        }
        self.check_control_processors(&before.control_processors, &mut reboot).await?;
        Ok(reboot)
    }

    async fn await_reboot(
        &self,
        before: &StateBeforeReboot,
        watch: &mut FailoverWatch<'_>,
        deadline: Instant,
    ) -> Result<()> {
        let started_by = Instant::now() + self.deadlines().start;
        loop {
            if watch.look(deadline).await?.is_none() {
                return Err(never_back());
            }
            if watch.is_back() {
                return Ok(());
            }
            let now = self.boot_time(deadline).await;
            if moved_on(before.boot_time, now) == Some(true) {
                // The outage may have passed inside that question; one more look takes account of it.
                return watch.look(deadline).await.map(drop);
            }
            if watch.lost().is_none() && !watch.is_in_doubt() && Instant::now() >= started_by {
                return Err(ignored(
                    "the device agreed and did nothing: it was never away, and its boot-time did not move",
                ));
            }
            if !next_look(deadline, LOOK).await {
                return Err(never_back());
            }
        }
    }

    /// Each control processor that reports a boot-time must have booted.
    async fn check_control_processors(&self, before: &[ControlProcessor], reboot: &mut Reboot) -> Result<()> {
        let deadline = Instant::now() + self.deadlines().redundant;
        let all_booted = try_until(deadline, CONTROL_PROCESSORS_LOOK, || async {
            let look = Call::read("gNMI.Subscribe", deadline + LAST_LOOK);
            let now = self.roles_so_far(look).await?;
            let booted = |known: &ControlProcessor| {
                let after = now.iter().find(|cp| cp.name == known.name).and_then(|cp| cp.boot_time);
                known.boot_time.and(moved_on(known.boot_time, after))
            };
            let stayed: Vec<_> = before.iter().filter(|known| booted(known) == Some(false)).collect();
            let absent = before.iter().any(|known| !now.iter().any(|cp| cp.name == known.name));
            if stayed.is_empty() && !absent {
                let unknown = before.iter().filter(|known| booted(known).is_none());
                let not_checked =
                    |known: &ControlProcessor| Unchecked::not_reported(format!("boot-time of {}", known.name));
                return Ok(Ok(unknown.map(not_checked).collect::<Vec<_>>()));
            }
            let names: Vec<_> = stayed.iter().map(|known| known.name.as_str()).collect();
            Ok(Err(if absent {
                "not every control processor is back".to_owned()
            } else {
                format!("a reboot of the chassis left {} running", names.join(", "))
            }))
        });
        let not_checked = all_booted.await?.map_err(|what| Error::new(Kind::Reboot(RebootFault::Partial), what))?;
        reboot.not_checked.extend(not_checked);
        Ok(())
    }

    /// `/system/state/boot-time`, in the form in which the device told its roles.
    async fn boot_time(&self, deadline: Instant) -> Option<u64> {
        let path: Path = "/system/state/boot-time".parse().ok()?;
        let path = Path { origin: "openconfig".to_owned(), ..path };
        let call = Call::read("gNMI.Subscribe", deadline).probing(ATTEMPT);
        let leaves = match self.reading.form() {
            Some(form) => self.gnmi.ask(&[path], form, call).await,
            None => self.gnmi.once(&[path], call).await,
        };
        leaves.ok()?.first()?.value.as_ref()?.as_u64()
    }
}

fn never_back() -> Error {
    Error::new(Kind::Reboot(RebootFault::NeverBack), "the device did not answer again in time")
        .hint("look at its console; the rest of the run is skipped")
}

fn ignored(what: &str) -> Error {
    Error::new(Kind::Reboot(RebootFault::Ignored), what)
}

fn refused(error: Error) -> Error {
    let kind = match error.code() {
        Some(Code::Unimplemented) => Kind::Reboot(RebootFault::Unimplemented),
        _ => Kind::Reboot(RebootFault::Refused),
    };
    let code = error.code().map_or("no status", crate::error::code_name);
    Error { kind, message: format!("{code}: {}", error.message), ..error }
}
