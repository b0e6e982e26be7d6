//! A cold reboot of the chassis: asked for, proved, and waited for.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tonic::Code;

use super::Device;
use super::deadlines::{ATTEMPT, LAST_LOOK, LOOK};
use super::device_time::{Asked, nanoseconds, stamp, time_of};
use super::evidence::{FailoverWatch, Outage, Unchecked, or_late};
use super::roles::ControlProcessor;
use super::trigger::{AGREED, UNANSWERED};
use crate::dial::{Call, Event, EventKind};
use crate::error::{Error, Kind, RebootFault, Result};
use crate::gnmi::form::refuses_form;
use crate::gnmi::{Leaf, Path};
use crate::waiting::{next_look, try_until};
use crate::wire::gnoi::system::RebootMethod;

/// From one look at the control processors' boot-times to the next.
const CONTROL_PROCESSORS_LOOK: Duration = Duration::from_millis(50);

const BOOT_TIME: &str = "/system/state/boot-time";
/// How often it is asked for before a reboot: an answer may be late or empty once, and there must be one to compare with.
const READINGS: usize = 3;
/// How long a device may take to tell its time.
const CLOCK: Duration = Duration::from_secs(2);

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
    asked: Asked,
}

impl StateBeforeReboot {
    fn booted_since(&self, boot_time: Option<u64>, away: bool) -> Option<bool> {
        self.asked.booted_since(self.boot_time, boot_time, away)
    }
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
        let control_processors = self.roles_so_far(Call::read("gNMI.Subscribe", limit)).await?;
        let boot_time = self.boot_time_before(limit).await;
        let asked = self.moment(boot_time.as_ref(), limit).await;
        let boot_time = boot_time.and_then(|leaf| time_of(leaf.value.as_ref()));
        let before = StateBeforeReboot { control_processors, boot_time, asked };
        let mut watch = FailoverWatch::begin(self, limit).await?;
        self.note(EventKind::Reboot, "asking for a cold reboot of the chassis");
        let asked = self.system.reboot(RebootMethod::Cold, &[], "holdfast: cold reboot", force, limit).await;
        let unanswered = match asked {
            Ok(()) => None,
            Err(error) if error.kind == Kind::OutcomeUnknown => Some(error), // the connection may drop before the answer
            Err(error) => return Err(refused(error)),
        };
        let nothing = if unanswered.is_none() { AGREED } else { UNANSWERED };
        match (self.prove_reboot(&before, &mut watch, nothing).await, unanswered) {
            // whoever booted may have had another reason, such as a switchover under way
            (Err(error), Some(unanswered))
                if matches!(error.kind, Kind::Reboot(RebootFault::Ignored | RebootFault::Partial)) =>
            {
                Err(Error { message: format!("{}; {}", unanswered.message, error.message), ..unanswered })
            }
            (proved, _) => proved,
        }
    }

    /// Waits until the reboot is over, and gives what proves that it happened.
    async fn prove_reboot(
        &self,
        before: &StateBeforeReboot,
        watch: &mut FailoverWatch<'_>,
        nothing: &str,
    ) -> Result<Reboot> {
        let deadline = Instant::now() + self.deadlines().reboot;
        self.await_reboot(before, watch, nothing, deadline).await?;
        let served = self.containerz_serves(deadline).await;
        let served = or_late(served, Kind::Reboot(RebootFault::NeverBack), "the device does not serve Containerz")?;
        let mut reboot =
            Reboot { outage: watch.outage(), witnesses: Vec::new(), not_checked: Vec::new(), timeline: Vec::new() };
        reboot.not_checked.extend(served);
        if let Some(why) = watch.lost() {
            reboot.witnesses.push(format!("the connection was lost and made again ({why})"));
        }
        if self.boot_time_moved(before, watch, deadline).await? {
            reboot.witnesses.push(format!("{BOOT_TIME} moved on"));
        } else {
            reboot.not_checked.push(Unchecked::not_reported(BOOT_TIME));
        }
        self.check_control_processors(before, &mut reboot).await?;
        Ok(reboot)
    }

    /// Waits until the boot-time is one since the reboot was asked for; false where the device does not tell any.
    ///
    /// One that has just booted may tell that of before for a while, or none until its clock is set.
    async fn boot_time_moved(
        &self,
        before: &StateBeforeReboot,
        watch: &FailoverWatch<'_>,
        deadline: Instant,
    ) -> Result<bool> {
        let reported_by = Self::soon(deadline, self.deadlines().ready);
        loop {
            let now = self.boot_time(deadline).await;
            let moved = before.booted_since(now, watch.saw_absence());
            let unreported = moved.is_none() && (before.boot_time.is_none() || Instant::now() >= reported_by);
            if moved == Some(true) || unreported {
                return Ok(!unreported);
            }
            if !next_look(deadline, CONTROL_PROCESSORS_LOOK).await {
                return match moved {
                    Some(_) => Err(ignored("the device was away, but its boot-time did not move")),
                    None => Ok(false),
                };
            }
        }
    }

    async fn await_reboot(
        &self,
        before: &StateBeforeReboot,
        watch: &mut FailoverWatch<'_>,
        nothing: &str,
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
            if before.booted_since(now, watch.saw_absence()) == Some(true) {
                // The outage may have passed inside that question; one more look takes account of it.
                return watch.look(deadline).await.map(drop);
            }
            if watch.lost().is_none() && !watch.is_in_doubt() && Instant::now() >= started_by {
                let boot_time = match before.boot_time {
                    Some(_) => "its boot-time did not move",
                    None => "it reported no boot-time before",
                };
                return Err(ignored(&format!("{nothing}: it was never away, and {boot_time}")));
            }
            if !next_look(deadline, LOOK).await {
                return Err(never_back());
            }
        }
    }

    /// Each control processor that reports a boot-time must have booted.
    async fn check_control_processors(&self, before: &StateBeforeReboot, reboot: &mut Reboot) -> Result<()> {
        let StateBeforeReboot { control_processors: before, asked, .. } = before;
        let reported_by = Instant::now() + self.deadlines().settle;
        let deadline = Instant::now() + self.deadlines().redundant;
        let all_booted = try_until(deadline, CONTROL_PROCESSORS_LOOK, || async {
            let look = Call::read("gNMI.Subscribe", deadline + LAST_LOOK);
            let now = self.roles_so_far(look).await?;
            let booted = |known: &ControlProcessor| {
                let after = now.iter().find(|cp| cp.name == known.name).and_then(|cp| cp.boot_time);
                asked.booted_since(known.boot_time, after, true)
            };
            let stayed: Vec<_> = before.iter().filter(|known| booted(known) == Some(false)).collect();
            let absent = before.iter().any(|known| !now.iter().any(|cp| cp.name == known.name));
            let may_tell = |known: &ControlProcessor| known.boot_time.is_some() && booted(known).is_none();
            let unreported = Instant::now() < reported_by && before.iter().any(may_tell);
            if stayed.is_empty() && !absent && !unreported {
                let unknown = before.iter().filter(|known| booted(known).is_none());
                let not_checked =
                    |known: &ControlProcessor| Unchecked::not_reported(format!("boot-time of {}", known.name));
                return Ok(Ok(unknown.map(not_checked).collect::<Vec<_>>()));
            }
            let names: Vec<_> = stayed.iter().map(|known| known.name.as_str()).collect();
            Ok(Err(if absent || names.is_empty() {
                "not every control processor is back".to_owned()
            } else {
                format!("a reboot of the chassis left {} running", names.join(", "))
            }))
        });
        let not_checked = all_booted.await?.map_err(|what| Error::new(Kind::Reboot(RebootFault::Partial), what))?;
        reboot.not_checked.extend(not_checked);
        Ok(())
    }

    async fn boot_time(&self, deadline: Instant) -> Option<u64> {
        let call = Call::read("gNMI.Subscribe", deadline).probing(ATTEMPT);
        self.boot_time_leaf(call).await.ok().flatten().and_then(|leaf| time_of(leaf.value.as_ref()))
    }

    /// The same while the device is not expected to go away.
    async fn boot_time_before(&self, deadline: Instant) -> Option<Leaf> {
        for _ in 0..READINGS {
            match self.boot_time_leaf(Call::read("gNMI.Subscribe", deadline)).await {
                Ok(Some(leaf)) if time_of(leaf.value.as_ref()).is_some() => return Some(leaf),
                Err(error) if refuses_form(&error) => return None,
                Ok(_) | Err(_) => {}
            }
            if !next_look(deadline, LOOK).await {
                break;
            }
        }
        None
    }

    /// `/system/state/boot-time`, in the form in which the device told its roles.
    async fn boot_time_leaf(&self, call: Call) -> Result<Option<Leaf>> {
        let path: Path = BOOT_TIME.parse()?;
        let asked = [Path { origin: "openconfig".to_owned(), ..path.clone() }];
        let leaves = match self.reading.form() {
            Some(form) => self.gnmi.ask(&asked, form, call).await?,
            None => self.gnmi.once(&asked, call).await?,
        };
        // Some give all of the container.
        let reported = leaves.into_iter().filter(|leaf| leaf.value.is_some() && path.covers(&leaf.path));
        Ok(reported.reduce(|first, second| if first.is_newer_than(&second) { first } else { second }))
    }

    /// Now, by the device's clock.
    async fn moment(&self, boot_time: Option<&Leaf>, deadline: Instant) -> Asked {
        let time = self.system.time(Self::soon(deadline, CLOCK)).await.ok();
        let time = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        match (
            time.and_then(|time| u64::try_from(time.as_nanos()).ok()).and_then(nanoseconds),
            boot_time.and_then(stamp),
        ) {
            (Some(time), _) => Asked::At(time),
            (None, Some(stamp)) => Asked::NotBefore(stamp),
            (None, None) => Asked::Unknown,
        }
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
