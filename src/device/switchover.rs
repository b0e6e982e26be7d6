//! Switchover: ask, then believe only evidence.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::deadlines::{LAST_LOOK, LOOK};
use super::device_time::moved_on;
use super::evidence::{FailoverWatch, Outage, Unchecked, or_late};
use super::path_form::first_words;
use super::roles::{Pair, is_displaced, pair_of};
use super::{ControlProcessor, Device, Trigger};
use crate::dial::{Call, Event, EventKind};
use crate::error::{Error, Kind, Result, SwitchoverFault};
use crate::gnmi::Path;
use crate::gnmi::form::refuses_form;
use crate::waiting::{next_look, pause};
use crate::wire::gnoi::system::SwitchControlProcessorResponse;

/// From one try to the next of a switchover that the device is too busy for.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What is asked of a switchover.
#[derive(Debug, Clone, Default)]
pub struct SwitchoverOptions {
    /// Which control processor shall be primary; the standby if none is named.
    pub to: Option<String>,
    /// Whether to wait until the old primary is back in step.
    pub redundant: bool,
    /// The name alone as the target's path, as Arista's devices want it; tried second otherwise.
    pub name_only: bool,
    /// What fails the active.
    pub trigger: Trigger,
    /// Ask even where the standby is not ready: the device may refuse.
    pub unready: bool,
}

/// A switchover that really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switchover {
    /// The old primary.
    pub from: String,
    /// The new primary.
    pub to: String,
    /// None where the device never was away.
    pub outage: Option<Outage>,
    /// What proves it beside the roles.
    pub witnesses: Vec<String>,
    /// What the device gave no means to check.
    pub not_checked: Vec<Unchecked>,
    /// What was asked and seen.
    pub timeline: Vec<Event>,
}

impl Device {
    /// Moves the active role to the standby and returns when the new primary serves Containerz.
    pub async fn switchover(&self, options: &SwitchoverOptions) -> Result<Switchover> {
        let began = Instant::now();
        let mark = self.session.timeline().at(began);
        let outcome = self.switch(options).await;
        match outcome {
            Ok(mut moved) => {
                moved.timeline = self.session.timeline().since(mark);
                Ok(moved)
            }
            Err(error) => {
                self.note(EventKind::Switchover, format!("failed: {}", error.message));
                Err(error.during(self.name(), "switchover", began.elapsed()))
            }
        }
    }

    /// Asks for a switchover and waits for nothing but the device's agreement; which control processor shall be primary.
    pub async fn ask_for_switchover(&self, options: &SwitchoverOptions) -> Result<String> {
        let began = Instant::now();
        let asked = async {
            let ready_by = began + self.known_deadlines().await.ready;
            let before = self.ready_pair(ready_by, true).await?;
            let target = target(&before, options)?;
            self.note(EventKind::Switchover, format!("asking for {} -> {target}", before.primary.name));
            self.ask_for(&target, &before, options).await?;
            Ok(target)
        };
        asked.await.map_err(|error: Error| error.during(self.name(), "switchover", began.elapsed()))
    }

    async fn switch(&self, options: &SwitchoverOptions) -> Result<Switchover> {
        let ready_by = Instant::now() + self.known_deadlines().await.ready;
        let before = if options.unready {
            self.pair(Call::read("gNMI.Subscribe", ready_by)).await?
        } else {
            self.ready_pair(ready_by, options.trigger == Trigger::Switch).await?
        };
        let blind = options.trigger != Trigger::Switch && before.ready().is_none() && !options.unready;
        let before = if blind { self.standby_settled(ready_by).await? } else { before };
        let target = target(&before, options)?;
        let mut watch = FailoverWatch::begin(self, Instant::now() + self.deadlines().ready).await?;
        let agreed = if options.trigger == Trigger::Switch {
            self.note(EventKind::Switchover, format!("asking for {} -> {target}", before.primary.name));
            self.ask_for(&target, &before, options).await?
        } else {
            self.note(EventKind::Switchover, format!("failing {}: {:?}", before.primary.name, options.trigger));
            self.fail_active(&options.trigger, &before, self.session.deadline(None)).await?
        };
        let deadline = Instant::now() + self.deadlines().switchover;
        let nothing = options.trigger.came_to_nothing(agreed);
        let witnesses = self.await_move(&target, &before, &mut watch, nothing, deadline).await?;
        if self.ways.fresh_connection {
            self.leave_old_connection(deadline).await?;
        }
        let served = self.containerz_serves(deadline).await;
        let served = or_late(served, fault(SwitchoverFault::NeverBack), "the new primary does not serve Containerz")?;
        let mut moved = Switchover {
            from: before.primary.name.clone(),
            to: target,
            outage: watch.outage(),
            witnesses,
            not_checked: served.into_iter().collect(),
            timeline: Vec::new(),
        };
        if before.ready().is_none() {
            moved.not_checked.push(Unchecked::not_reported("switchover-ready"));
        }
        self.standby_ways.took_over(before.ready(), before.secondary.up);
        if options.redundant {
            moved.not_checked.extend(self.redundant(&moved.to).await?);
        }
        Ok(moved)
    }

    /// For devices whose old connections live on and are no good.
    async fn leave_old_connection(&self, deadline: Instant) -> Result<()> {
        let services = self.containerz.session();
        let apart = Some(services).filter(|services| !services.is(&self.session));
        for session in [Some(&self.session), apart].into_iter().flatten() {
            let connection = session.connection(deadline).await?;
            session.leave(&connection);
        }
        Ok(())
    }

    /// Sends the request: in each form of the path that is refused while nothing moved, and again where the device is
    /// too busy. Whether the device agreed: else evidence will tell.
    async fn ask_for(&self, target: &str, before: &Pair, options: &SwitchoverOptions) -> Result<bool> {
        let deadline = Instant::now() + self.deadlines().ready;
        // What is asked right before that has time for its answer: of one that is cut off nobody knows the outcome.
        let answered_by = deadline + LAST_LOOK;
        loop {
            let mut refusals: Vec<(String, Error)> = Vec::new();
            for form in self.path_forms(options.name_only) {
                if let Some((asked, _)) = refusals.last() {
                    if !self.is_primary(&before.primary.name, answered_by).await? {
                        return Ok(false); // it went after all
                    }
                    let other = form.describe(target);
                    self.note(EventKind::Note, format!("the device refuses the path {asked}; trying {other}"));
                }
                let limit = self.session.deadline(None).min(answered_by);
                match self.system.switch_control_processor(&form.path(target), limit).await {
                    Ok(answer) => {
                        self.took(form);
                        return self.check_answer(target, &answer).map(|()| true);
                    }
                    Err(error) if error.kind == Kind::OutcomeUnknown => return Ok(false),
                    Err(error) if options.unready && is_busy(&error) => return Err(refused(error)),
                    Err(error) if error.code() == Some(Code::Unavailable) => {
                        refusals.push((form.describe(target), error));
                        break;
                    }
                    Err(error) if refuses_form(&error) => refusals.push((form.describe(target), error)),
                    Err(error) => return Err(refused(error)),
                }
            }
            let busy = refusals.iter().any(|(_, error)| is_busy(error));
            if !busy || Instant::now() + BUSY_PAUSE >= deadline {
                return Err(refused(first_words(refusals)));
            }
            pause(BUSY_PAUSE).await;
            if !self.is_primary(&before.primary.name, answered_by).await? {
                return Ok(false); // it went after all
            }
        }
    }

    fn check_answer(&self, target: &str, answer: &SwitchControlProcessorResponse) -> Result<()> {
        let echoed = answer.control_processor.as_ref().and_then(Path::component_of);
        if let Some(other) = echoed.filter(|name| *name != target) {
            let what = format!("the device says that it switches to {other:?}, not to {target:?}");
            return Err(Error::new(fault(SwitchoverFault::Refused), what));
        }
        self.note(EventKind::Switchover, "the device agreed");
        Ok(())
    }

    /// Waits until the roles are swapped and a second witness agrees; `nothing` says how it was that nothing came of it.
    async fn await_move(
        &self,
        target: &str,
        before: &Pair,
        watch: &mut FailoverWatch<'_>,
        nothing: &str,
        deadline: Instant,
    ) -> Result<Vec<String>> {
        let started_by = Instant::now() + self.deadlines().start;
        let mut swapped_at = None;
        let mut reversed = false;
        let mut last_seen: Option<Vec<ControlProcessor>> = None;
        loop {
            let Some(roles) = watch.look(deadline).await? else {
                if let Some(seen) = last_seen {
                    return Err(self.never_primary(target, &seen));
                }
                return Err(Error::new(fault(SwitchoverFault::NeverBack), "the device did not answer again in time")
                    .hint("look at its console; the rest of the run is skipped"));
            };
            let now = Instant::now();
            let swapped = pair_of(&roles).is_ok_and(|pair| pair.primary.name == target);
            if swapped && swapped_at.is_none() {
                self.note(EventKind::Switchover, format!("{target} is PRIMARY"));
                swapped_at = Some(now);
            } else if is_displaced(target, &roles) && swapped_at.take().is_some() {
                self.note(EventKind::Switchover, format!("{target} is PRIMARY no more"));
                reversed = true;
            }
            let witnesses = witnesses(target, before, &roles, watch.lost());
            match (swapped_at, witnesses.is_empty()) {
                (Some(_), false) => return Ok(witnesses),
                (Some(since), true) if now >= since + self.deadlines().start => return Err(unproven()),
                (None, _) if reversed && now >= started_by => return Err(reversal(target)),
                (None, _) if watch.lost().is_none() && !watch.is_in_doubt() && now >= started_by => {
                    return Err(Error::new(
                        fault(SwitchoverFault::Ignored),
                        format!("{nothing}: {} is PRIMARY still", before.primary.name),
                    ));
                }
                _ => {}
            }
            if !next_look(deadline, LOOK).await {
                return Err(if swapped_at.is_some() { unproven() } else { self.never_primary(target, &roles) });
            }
            last_seen = Some(roles).filter(|_| swapped_at.is_none() && watch.lost().is_some());
        }
    }

    /// The device came back, and its roles are not those that were asked for.
    fn never_primary(&self, target: &str, roles: &[ControlProcessor]) -> Error {
        let refusal = self.reading.refusal().filter(|_| roles.is_empty());
        let never = match (pair_of(roles), refusal) {
            (Ok(pair), _) => format!("{target} never became PRIMARY: {} is", pair.primary.name),
            (Err(_), Some(said)) => format!("{target} never became PRIMARY: gNMI does not tell any more: {said}"),
            (Err(split), None) => format!("{target} never became PRIMARY alone: {}", split.message),
        };
        Error::new(fault(SwitchoverFault::NeverBack), never)
            .hint("the device was away and came back: look at its redundancy")
    }
}

pub(super) fn fault(fault: SwitchoverFault) -> Kind {
    Kind::Switchover(fault)
}

/// Which control processor shall be primary.
fn target(before: &Pair, options: &SwitchoverOptions) -> Result<String> {
    let standby = &before.secondary.name;
    match &options.to {
        Some(name) if name != standby => {
            Err(Error::invalid(format!("{name:?} is not the standby; that is {standby:?}")))
        }
        _ => Ok(standby.clone()),
    }
}

fn unproven() -> Error {
    Error::new(
        fault(SwitchoverFault::Unproven),
        "the roles are reported swapped, but no connection was lost and last-switchover-time did not move",
    )
}

pub(super) fn reversal(target: &str) -> Error {
    Error::new(
        fault(SwitchoverFault::Reversed),
        format!("{target} became PRIMARY, and is not PRIMARY any more: the roles swapped back"),
    )
}

fn is_busy(error: &Error) -> bool {
    matches!(error.code(), Some(Code::Unavailable | Code::FailedPrecondition | Code::Aborted | Code::ResourceExhausted))
}

fn refused(error: Error) -> Error {
    let kind = match error.code() {
        Some(Code::Unimplemented) => fault(SwitchoverFault::Unimplemented),
        _ => fault(SwitchoverFault::Refused),
    };
    let code = error.code().map_or("no status", crate::error::code_name);
    Error { kind, message: format!("{code}: {}", error.message), ..error }
}

fn witnesses(target: &str, before: &Pair, now: &[ControlProcessor], lost: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(why) = lost {
        found.push(format!("the connection was lost and made again ({why})"));
    }
    let time = now.iter().find(|cp| cp.name == target).and_then(|cp| cp.last_switchover_time);
    if moved_on(before.secondary.last_switchover_time, time) == Some(true) {
        found.push("last-switchover-time moved on".to_owned());
    }
    found
}
