//! What a device's words about its standby mean, as far as it was seen.

use std::sync::atomic::{AtomicBool, Ordering};

use super::roles::{ControlProcessor, Pair, Role};

/// How a standby stands, by what the device tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is in step, or said to be up where nothing tells more.
    InStep,
    /// It is not.
    Behind,
    /// `oper-status` says that it is down, and nothing else tells. It may boot, or the device may say so of each standby.
    Down,
    /// The device does not tell, or what it tells is known to mean nothing.
    Untold,
}

/// What a device was seen to say of its standbys where it has no switchover-ready: there are devices whose `oper-status`
/// is ACTIVE for a standby that is in step, and others for which only the primary is ACTIVE.
#[derive(Debug, Default)]
pub struct StandbyWays {
    /// A standby said that it was up.
    said_up: AtomicBool,
    /// A standby took over that had said that it was down.
    took_over_down: AtomicBool,
}

impl StandbyWays {
    /// Notes what control processors say of themselves.
    pub fn showed(&self, roles: &[ControlProcessor]) {
        if roles.iter().any(|cp| cp.role == Role::Secondary && cp.up == Some(true)) {
            self.said_up.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the standby of `before` took over.
    pub fn took_over(&self, before: &Pair) {
        if self.standing(before) == Standing::Down {
            self.took_over_down.store(true, Ordering::Relaxed);
        }
    }

    /// How the standby of a pair stands.
    pub fn standing(&self, pair: &Pair) -> Standing {
        match (pair.ready(), pair.secondary.up) {
            (Some(true), _) | (None, Some(true)) => Standing::InStep,
            (Some(false), _) => Standing::Behind,
            (None, None) => Standing::Untold,
            (None, Some(false)) if self.said_up.load(Ordering::Relaxed) => Standing::Behind,
            (None, Some(false)) if self.took_over_down.load(Ordering::Relaxed) => Standing::Untold,
            (None, Some(false)) => Standing::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::roles::tests::cp;
    use super::*;

    fn pair(ready: Option<bool>, up: Option<bool>) -> Pair {
        let (primary, secondary) = (cp("A", Role::Primary), cp("B", Role::Secondary));
        Pair { primary: ControlProcessor { ready, ..primary }, secondary: ControlProcessor { up, ..secondary } }
    }

    #[test]
    fn an_oper_status_counts_where_no_other_leaf_tells() {
        let ways = StandbyWays::default();
        for up in [None, Some(true), Some(false)] {
            assert_eq!(ways.standing(&pair(Some(true), up)), Standing::InStep);
            assert_eq!(ways.standing(&pair(Some(false), up)), Standing::Behind);
        }
        assert_eq!(ways.standing(&pair(None, Some(true))), Standing::InStep);
        assert_eq!(ways.standing(&pair(None, Some(false))), Standing::Down);
        assert_eq!(ways.standing(&pair(None, None)), Standing::Untold);
    }

    #[test]
    fn what_a_standby_said_before_tells_what_its_oper_status_means() {
        let ways = StandbyWays::default();
        let down = pair(None, Some(false));
        ways.took_over(&down);
        assert_eq!(ways.standing(&down), Standing::Untold);
        ways.showed(&[ControlProcessor { up: Some(true), ..cp("A", Role::Primary) }]);
        assert_eq!(ways.standing(&down), Standing::Untold, "the primary's tells nothing of a standby");
        ways.showed(&[ControlProcessor { up: Some(true), ..cp("B", Role::Secondary) }]);
        assert_eq!(ways.standing(&down), Standing::Behind);
        let ways = StandbyWays::default();
        ways.took_over(&pair(Some(true), Some(false)));
        assert_eq!(ways.standing(&down), Standing::Down, "it took over because another leaf said that it was ready");
    }
}
