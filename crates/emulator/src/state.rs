//! What a chassis is at this moment: a machine of phases, whose steps refuse what does not follow.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Where a chassis is between two moments of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The active control processor answers, and its container runtime too.
    Serving,
    /// The active one answers; its container runtime is loading.
    Loading,
    /// A switchover or reboot was accepted. The active one still answers, and its runtime if it had loaded.
    Leaving { loaded: bool },
    /// The active one fell; the other is about to take over.
    Away,
    /// Control processors are down until they have booted.
    Rebooting,
}

/// A step that does not follow on the phase in which it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal {
    pub step: &'static str,
    pub phase: Phase,
}

/// Why a switchover or reboot is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another is under way.
    UnderWay,
    /// The standby is not ready.
    NotReady,
}

/// Whether a control processor is there, and has what the active one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Down,
    /// It lacks something.
    Behind,
    InStep,
}

/// Of a control processor's last switchover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    pub at: u64,
    pub trigger: String,
    pub details: String,
}

/// One control processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlProcessorState {
    presence: Presence,
    pub boot_time: u64,
    pub reboot_reason: String,
    pub switched: Option<Switched>,
}

/// A reboot that was asked for and has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReboot {
    pub due: u64,
    pub message: String,
}

/// The whole chassis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    phase: Phase,
    active: usize,
    control_processors: [ControlProcessorState; 2],
    pub boot_time: u64,
    pub pending_reboot: Option<PendingReboot>,
    pub reboots: u32,
    /// Of what is stored, so far: the standby is in step once it has the last.
    pub changes: u64,
    /// When the runtime last came up after the chassis was away.
    pub loaded_at: Option<Instant>,
}

impl State {
    /// After power-on, with the first in charge.
    pub fn powered_on() -> Self {
        let boot_time = now();
        let control_processor = ControlProcessorState {
            presence: Presence::InStep,
            boot_time,
            reboot_reason: "REBOOT_USER_INITIATED".to_owned(),
            switched: None,
        };
        Self {
            phase: Phase::Serving,
            active: 0,
            control_processors: [control_processor.clone(), control_processor],
            boot_time,
            pending_reboot: None,
            reboots: 0,
            changes: 0,
            loaded_at: None,
        }
    }

    /// Who is in charge, or was last.
    pub fn active(&self) -> usize {
        self.active
    }

    /// The one that is not active.
    pub fn standby(&self) -> usize {
        1 - self.active
    }

    /// Who answers on the management address.
    pub fn answering(&self) -> Option<usize> {
        (!matches!(self.phase, Phase::Away | Phase::Rebooting)).then_some(self.active)
    }

    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether the active one's container runtime has loaded.
    pub fn has_loaded(&self) -> bool {
        matches!(self.phase, Phase::Serving | Phase::Leaving { loaded: true })
    }

    /// Whether roles are moving, or control processors rebooting.
    pub fn is_moving(&self) -> bool {
        !matches!(self.phase, Phase::Serving | Phase::Loading)
    }

    /// Whether a switchover or reboot was accepted and has not begun.
    pub fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    /// Whether a switchover would find everything on the other side.
    pub fn ready(&self) -> bool {
        self.is_serving() && self.presence(self.standby()) == Presence::InStep
    }

    pub fn presence(&self, index: usize) -> Presence {
        self.control_processors[index].presence
    }

    pub fn is_up(&self, index: usize) -> bool {
        self.presence(index) != Presence::Down
    }

    pub fn control_processor(&self, index: usize) -> &ControlProcessorState {
        &self.control_processors[index]
    }

    /// Serving, Loading → Leaving; `force`: a reboot in place of what is under way, too.
    pub fn accept(&mut self, force: bool) -> Result<(), Refused> {
        self.phase = match self.phase {
            Phase::Serving => Phase::Leaving { loaded: true },
            Phase::Loading => Phase::Leaving { loaded: false },
            Phase::Leaving { loaded } if force => Phase::Leaving { loaded },
            Phase::Leaving { .. } | Phase::Away | Phase::Rebooting => return Err(Refused::UnderWay),
        };
        Ok(())
    }

    /// Serving → Leaving, by a switchover, where the device says that it is `ready`.
    pub fn accept_switchover(&mut self, ready: bool) -> Result<(), Refused> {
        if ready { self.accept(false) } else { Err(Refused::NotReady) }
    }

    /// Serving, Loading → Leaving, by a reboot; or the reboot is noted for later.
    pub fn accept_reboot(&mut self, later: Option<PendingReboot>, force: bool) -> Result<(), Refused> {
        if !force && (self.pending_reboot.is_some() || self.is_moving()) {
            return Err(Refused::UnderWay);
        }
        if later.is_none() {
            return self.accept(force);
        }
        self.pending_reboot = later;
        Ok(())
    }

    /// Leaving → Serving, Loading: what was accepted does not come.
    pub fn stay(&mut self) -> Result<(), Illegal> {
        let Phase::Leaving { loaded } = self.phase else { return self.illegal("stay") };
        self.phase = if loaded { Phase::Serving } else { Phase::Loading };
        Ok(())
    }

    /// Any → Away: the active one falls, and the other is there to take over.
    pub fn leave(&mut self) -> Result<(), Illegal> {
        if !self.is_up(self.standby()) {
            return self.illegal("leave with nobody to take over");
        }
        self.control_processors[self.active].presence = Presence::Down;
        self.phase = Phase::Away;
        Ok(())
    }

    /// Away → Loading: the standby is the active one now.
    pub fn take_over(&mut self, switched: &Switched) -> Result<(), Illegal> {
        if self.phase != Phase::Away || !self.is_up(self.standby()) {
            return self.illegal("take over");
        }
        self.active = self.standby();
        self.control_processors[self.active].presence = Presence::InStep;
        for control_processor in &mut self.control_processors {
            control_processor.switched = Some(switched.clone());
        }
        self.phase = Phase::Loading;
        Ok(())
    }

    /// Whether a control processor has taken over from the other since the chassis was made.
    pub fn has_switched_over(&self) -> bool {
        self.control_processors.iter().any(|control_processor| control_processor.switched.is_some())
    }

    /// Loading → Serving.
    pub fn loaded(&mut self) -> Result<(), Illegal> {
        if self.phase != Phase::Loading {
            return self.illegal("have loaded");
        }
        self.phase = Phase::Serving;
        self.loaded_at = Some(Instant::now());
        Ok(())
    }

    /// Any → Rebooting: these fall.
    pub fn go_down(&mut self, falling: &[usize]) {
        for &index in falling {
            self.fall(index);
        }
        self.phase = Phase::Rebooting;
    }

    /// Rebooting → Loading: these booted, for these reasons, and `active` is in charge.
    pub fn booted(&mut self, active: usize, boots: &[(usize, String)]) -> Result<(), Illegal> {
        let boots_or_is_up = |index| boots.iter().any(|(booting, _)| *booting == index) || self.is_up(index);
        let one_is_up = boots.iter().any(|(booting, _)| self.is_up(*booting));
        if self.phase != Phase::Rebooting || one_is_up || !boots_or_is_up(active) {
            return self.illegal("have booted");
        }
        for (index, reason) in boots {
            self.rise(*index, reason)?;
        }
        self.active = active;
        self.control_processors[active].presence = Presence::InStep;
        self.boot_time = now();
        self.reboots += 1;
        self.phase = Phase::Loading;
        Ok(())
    }

    /// A control processor goes down.
    pub fn fall(&mut self, index: usize) {
        self.control_processors[index].presence = Presence::Down;
    }

    /// One that was down boots, and is behind.
    pub fn rise(&mut self, index: usize, reason: &str) -> Result<(), Illegal> {
        if self.is_up(index) {
            return self.illegal("boot what is up");
        }
        let risen = &mut self.control_processors[index];
        (risen.presence, risen.boot_time) = (Presence::Behind, now());
        reason.clone_into(&mut risen.reboot_reason);
        Ok(())
    }

    /// What a control processor says of its last boot.
    pub fn set_reboot_reason(&mut self, index: usize, reason: String) {
        self.control_processors[index].reboot_reason = reason;
    }

    /// What the active one says of its last switchover.
    pub fn set_switched(&mut self, switched: Switched) {
        self.control_processors[self.active].switched = Some(switched);
    }

    /// Something changed on the active one: the standby is behind.
    pub fn changed(&mut self) {
        self.changes += 1;
        let standby = &mut self.control_processors[1 - self.active].presence;
        if *standby == Presence::InStep {
            *standby = Presence::Behind;
        }
    }

    /// The standby was given all that there was after so many `changes`.
    pub fn copied(&mut self, standby: usize, changes: u64) {
        if self.standby() == standby && self.is_up(standby) && self.changes == changes {
            self.control_processors[standby].presence = Presence::InStep;
        }
    }

    fn illegal(&self, step: &'static str) -> Result<(), Illegal> {
        Err(Illegal { step, phase: self.phase })
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switched() -> Switched {
        Switched { at: 1, trigger: "USER_INITIATED".to_owned(), details: String::new() }
    }

    #[test]
    fn a_switchover_and_a_reboot_go_their_way() {
        let mut state = State::powered_on();
        state.accept_switchover(state.ready()).expect("it is ready");
        assert!(state.has_loaded() && state.answering() == Some(0) && !state.ready());
        state.leave().expect("the other is up");
        assert_eq!(state.answering(), None);
        state.take_over(&switched()).expect("it is away");
        assert!(state.answering() == Some(1) && !state.has_loaded());
        state.loaded().expect("it loads");
        assert!(!state.ready(), "the old active is down");
        state.rise(0, "REBOOT_CRITICAL_ERROR").expect("it was down");
        state.copied(0, state.changes);
        assert!(state.ready());
        state.accept_reboot(None, false).expect("nothing is under way");
        state.go_down(&[0, 1]);
        let reason = || "REBOOT_USER_INITIATED".to_owned();
        state.booted(1, &[(0, reason()), (1, reason())]).expect("both were down");
        assert_eq!((state.active(), state.reboots, state.is_moving()), (1, 1, false));
    }

    #[test]
    fn of_two_that_ask_one_is_accepted() {
        let mut state = State::powered_on();
        state.accept_switchover(state.ready()).expect("it is ready");
        assert_eq!(state.accept_switchover(state.ready()), Err(Refused::NotReady));
        assert_eq!(state.accept_reboot(None, false), Err(Refused::UnderWay));
        state.accept_reboot(None, true).expect("a forced one is accepted");
        state.go_down(&[0, 1]);
        assert_eq!(state.accept_reboot(None, true), Err(Refused::UnderWay));
        let mut state = State::powered_on();
        let later = Some(PendingReboot { due: 1, message: String::new() });
        state.accept_reboot(later.clone(), false).expect("nothing is under way");
        assert_eq!(state.accept_reboot(later, false), Err(Refused::UnderWay));
    }

    type Step = fn(&mut State) -> Result<(), Illegal>;

    #[test]
    fn what_does_not_follow_is_refused_and_changes_nothing() {
        let serving = State::powered_on();
        let mut away = serving.clone();
        away.leave().expect("the other is up");
        let mut alone = serving.clone();
        alone.fall(1);
        let steps: [(&State, Step); 8] = [
            (&serving, State::stay),
            (&serving, State::loaded),
            (&serving, |state| state.take_over(&switched())),
            (&serving, |state| state.booted(0, &[])),
            (&serving, |state| state.rise(0, "")),
            (&away, State::loaded),
            (&away, State::stay),
            (&alone, State::leave),
        ];
        for (state, step) in steps {
            let mut after = state.clone();
            after_is_refused(step(&mut after), state, &after);
        }
    }

    fn after_is_refused(outcome: Result<(), Illegal>, before: &State, after: &State) {
        let illegal = outcome.expect_err("it does not follow");
        assert_eq!((illegal.phase, before), (before.phase, after), "{}", illegal.step);
    }

    #[test]
    fn a_forced_reboot_while_it_loads_does_not_end_the_loading() {
        let mut state = State::powered_on();
        state.leave().expect("the other is up");
        state.take_over(&switched()).expect("it is away");
        state.accept(true).expect("it answers");
        state.stay().expect("it was leaving");
        assert!(!state.has_loaded());
    }
}
