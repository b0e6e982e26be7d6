//! How long each step on a device may take, and how long what was seen is watched on.

use std::time::Duration;

use crate::error::{Error, Result};

/// From one look of a watch to the next; bounds how exactly an outage is known.
pub const LOOK: Duration = Duration::from_millis(20);
/// How long one look may find only silence before the next dials afresh.
pub const ATTEMPT: Duration = Duration::from_millis(700);
/// What a look that decides at a deadline may end after it.
pub const LAST_LOOK: Duration = Duration::from_secs(2);

macro_rules! deadlines {
    ($($step:ident $real:literal $emulated:literal $containers:literal $help:literal)*) => {
        /// The limits of a test's steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Deadlines {
            $(#[doc = $help] pub $step: Duration,)*
        }

        impl Deadlines {
            /// The steps' names, as users give them.
            pub const STEPS: &[&str] = &[$(stringify!($step)),*];

            /// For a real device: minutes.
            pub fn real() -> Self {
                Self { $($step: Duration::from_millis($real),)* }
            }

            /// For the emulated one: seconds.
            pub fn emulated() -> Self {
                Self { $($step: Duration::from_millis($emulated),)* }
            }

            /// For an emulated one whose containers are real: they, and the engine that runs them, take their time.
            pub fn real_containers() -> Self {
                Self { $($step: Duration::from_millis($containers),)* }
            }

            /// All of them, by name.
            pub fn all(&self) -> Vec<(&'static str, Duration)> {
                vec![$((stringify!($step), self.$step),)*]
            }

            /// Gives one of them more time.
            pub fn extend(&mut self, step: &str, more: Duration) -> Result<()> {
                match step {
                    $(stringify!($step) => self.$step += more,)*
                    _ => return Err(unknown_step(step)),
                }
                Ok(())
            }

            /// Sets one of them.
            pub fn set(&mut self, step: &str, limit: Duration) -> Result<()> {
                match step {
                    $(stringify!($step) => self.$step = limit,)*
                    _ => return Err(unknown_step(step)),
                }
                Ok(())
            }
        }
    };
}

/// What a device says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceKind {
    Real,
    Emulated,
    /// Emulated, but for its containers.
    RealContainers,
}

/// The limits of a device of which it may not be known yet whether it is a real or an emulated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Those that hold if it does not say that it is EMULATED.
    pub real: Deadlines,
    /// Those that hold if it does.
    pub emulated: Deadlines,
    /// Those that hold if it also says that its containers are real.
    pub real_containers: Deadlines,
}

impl Default for Limits {
    fn default() -> Self {
        Self { real: Deadlines::real(), emulated: Deadlines::emulated(), real_containers: Deadlines::real_containers() }
    }
}

impl From<Deadlines> for Limits {
    /// The same, whatever the device is.
    fn from(deadlines: Deadlines) -> Self {
        Self { real: deadlines, emulated: deadlines, real_containers: deadlines }
    }
}

impl Limits {
    /// Those of a device; a real one's until it was asked what it is.
    pub(super) fn of(&self, kind: Option<DeviceKind>) -> &Deadlines {
        match kind {
            None | Some(DeviceKind::Real) => &self.real,
            Some(DeviceKind::Emulated) => &self.emulated,
            Some(DeviceKind::RealContainers) => &self.real_containers,
        }
    }

    /// Sets a step's limit, whatever the device is.
    pub fn set(&mut self, step: &str, limit: Duration) -> Result<()> {
        self.real.set(step, limit)?;
        self.emulated.set(step, limit)?;
        self.real_containers.set(step, limit)
    }
}

deadlines! {
    roles 600_000 3_000 10_000 "Until the control processors and their roles are known, after the device was away."
    settle 10_000 1_500 1_500 "Until roles that make no sense (none, two primaries) count as final."
    ready 300_000 5_000 60_000 "Until the standby is ready for a switchover."
    start 120_000 2_000 20_000 "From a switchover's or reboot's answer to the first sign of it."
    switchover 900_000 6_000 120_000 "From a switchover's answer until the new primary serves Containerz."
    verification 300_000 3_000 30_000 "Until what is expected holds."
    redundant 900_000 6_000 120_000 "From a switchover until the old primary is back in step."
    reboot 1_800_000 10_000 120_000 "From a reboot's answer until the device serves Containerz."
    watch 3_000 300 1_000 "How long something that held is watched on."
    absence 10_000 2_500 2_500 "How long an absence is watched on."
}

fn unknown_step(step: &str) -> Error {
    Error::invalid(format!("there is no step {step:?}")).hint(format!("one of: {}", Deadlines::STEPS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_can_be_set_by_name() {
        let mut deadlines = Deadlines::real();
        deadlines.set("reboot", Duration::from_secs(5)).expect("a step");
        assert_eq!(deadlines.reboot, Duration::from_secs(5));
        assert!(deadlines.set("rebot", Duration::ZERO).is_err());
    }

    #[test]
    fn more_time_for_real_devices_leaves_the_emulated_one_alone() {
        let mut limits = Limits::default();
        limits.real.extend("switchover", Duration::from_secs(600)).expect("a step");
        assert_eq!(limits.real.switchover, Deadlines::real().switchover + Duration::from_secs(600));
        assert_eq!(limits.emulated, Deadlines::emulated());
        limits.set("switchover", Duration::from_secs(7)).expect("a step");
        assert_eq!(limits.real.switchover, limits.emulated.switchover);
        assert!(limits.real.extend("switchovr", Duration::ZERO).is_err());
    }
}
