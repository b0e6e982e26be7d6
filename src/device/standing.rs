//! What a device's words about its standby mean, as far as it was seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// The standby that said so at the last look: leaves are not read in one moment, and one look over a switchover may
    /// show the new primary's state beside its old role.
    last_up: Mutex<Option<String>>,
    /// A standby took over that had said that it was down.
    took_over_down: AtomicBool,
}

impl StandbyWays {
    /// Notes which standby a look showed to say that it is up, if one did.
    pub fn said_up(&self, standby: Option<&str>) {
        let mut last = self.last_up.lock().unwrap_or_else(PoisonError::into_inner);
        if standby.is_some() && last.as_deref() == standby {
            self.said_up.store(true, Ordering::Relaxed);
        }
        *last = standby.map(str::to_owned);
    }

    /// Notes that a standby took over that had told this of itself.
    pub fn took_over(&self, ready: Option<bool>, up: Option<bool>) {
        if self.standing(ready, up) == Standing::Down {
            self.took_over_down.store(true, Ordering::Relaxed);
        }
    }

    /// How a standby stands, by whether it is said to be ready, and to be up.
    pub fn standing(&self, ready: Option<bool>, up: Option<bool>) -> Standing {
        match (ready, up) {
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
    use super::*;

    #[test]
    fn an_oper_status_counts_where_no_other_leaf_tells() {
        let ways = StandbyWays::default();
        for up in [None, Some(true), Some(false)] {
            assert_eq!(ways.standing(Some(true), up), Standing::InStep);
            assert_eq!(ways.standing(Some(false), up), Standing::Behind);
        }
        assert_eq!(ways.standing(None, Some(true)), Standing::InStep);
        assert_eq!(ways.standing(None, Some(false)), Standing::Down);
        assert_eq!(ways.standing(None, None), Standing::Untold);
    }

    #[test]
    fn what_a_standby_said_before_tells_what_its_oper_status_means() {
        let ways = StandbyWays::default();
        ways.took_over(None, Some(false));
        assert_eq!(ways.standing(None, Some(false)), Standing::Untold);
        for over_a_switchover in [Some("B"), None, Some("A"), Some("B")] {
            ways.said_up(over_a_switchover);
            assert_eq!(ways.standing(None, Some(false)), Standing::Untold);
        }
        ways.said_up(Some("B"));
        assert_eq!(ways.standing(None, Some(false)), Standing::Behind, "it said so at two looks");
        let ways = StandbyWays::default();
        ways.took_over(Some(true), Some(false));
        assert_eq!(ways.standing(None, Some(false)), Standing::Down, "another leaf said that it was ready");
    }
}
