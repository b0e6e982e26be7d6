//! Times that a device reports of itself, and what they prove.

use crate::gnmi::{Leaf, Value};

const SECOND: u64 = 1_000_000_000;
/// 1 January 2000: a clock that tells less was never set.
const CLOCKS_BEGIN: u64 = 946_684_800 * SECOND;
/// 1 January 2100: what tells more is no time in that unit.
const CLOCKS_END: u64 = 4_102_444_800 * SECOND;
/// By how much a time that did not change may differ from one answer to the next.
const JITTER: u64 = SECOND / 10;
/// By how much one may that a device computes from its uptime and its clock each time.
const DRIFT: u64 = 5 * SECOND;
/// How much earlier than the truth a time may be that is told in whole seconds.
const ROUNDING: u64 = SECOND;

/// What a device reported, in nanoseconds since the epoch; None where that is no time: 0, or that of an unset clock.
///
/// OpenConfig has nanoseconds; some tell seconds, milliseconds or microseconds, which the magnitude shows.
pub fn nanoseconds(reported: u64) -> Option<u64> {
    let scale = match reported {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    reported.checked_mul(scale).filter(|time| (CLOCKS_BEGIN..CLOCKS_END).contains(time))
}

/// The same of a leaf's value.
pub fn time_of(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64).and_then(nanoseconds)
}

/// When a device answered, by its clock.
pub fn stamp(leaf: &Leaf) -> Option<u64> {
    u64::try_from(leaf.timestamp).ok().filter(|time| (CLOCKS_BEGIN..CLOCKS_END).contains(time))
}

/// Whether a time that the device reports moved on; one that was not there before did, if it is there now.
pub fn moved_on(before: Option<u64>, after: Option<u64>) -> Option<bool> {
    match (before, after) {
        (Some(before), Some(after)) => Some(after > before + JITTER),
        (None, Some(_)) => Some(true),
        _ => None,
    }
}

/// What is known of the moment at which a device was asked to reboot, by its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It told its time just before.
    At(u64),
    /// What it told last was of this time; some say so when they read a value, others when it last changed.
    NotBefore(u64),
    /// Nothing.
    Unknown,
}

impl Asked {
    /// Whether a device booted since, by the boot-time that it told before that and the one it tells now. `away`: it was
    /// seen to be away, so that its clock may have been set anew.
    ///
    /// None where it does not tell: there is nothing to compare with, or a time from before its last boot.
    pub fn booted_since(self, before: Option<u64>, now: Option<u64>, away: bool) -> Option<bool> {
        let (before, now) = (before?, now?);
        if now.saturating_add(DRIFT) < before {
            return None;
        }
        let moved = now.saturating_sub(before);
        let since = |asked: u64| now.saturating_add(ROUNDING) >= asked;
        Some(match self {
            Self::At(asked) => (moved > JITTER && since(asked)) || (moved > DRIFT && away),
            Self::NotBefore(asked) => moved > DRIFT && (since(asked) || away),
            Self::Unknown => moved > DRIFT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTED: u64 = 1_700_000_000;

    #[test]
    fn a_time_is_in_the_unit_that_its_magnitude_shows() {
        for reported in [BOOTED, BOOTED * 1_000, BOOTED * 1_000_000, BOOTED * SECOND] {
            assert_eq!(nanoseconds(reported), Some(BOOTED * SECOND), "{reported}");
        }
        let in_1970 = [0, 1, 30, 30_000, 30_000_000, 30 * SECOND, 86_400 * SECOND];
        for reported in in_1970.into_iter().chain([CLOCKS_BEGIN - 1, u64::MAX]) {
            assert_eq!(nanoseconds(reported), None, "{reported}");
        }
    }

    #[test]
    fn a_boot_time_proves_a_boot_since_the_moment_of_asking_alone() {
        let before = BOOTED * SECOND;
        let asked = before + 3_600 * SECOND;
        let booted = asked + 60 * SECOND;
        for known in [Asked::At(asked), Asked::NotBefore(asked), Asked::Unknown] {
            for away in [false, true] {
                let since = |now| known.booted_since(Some(before), now, away);
                assert_eq!(since(Some(booted)), Some(true), "{known:?}");
                for drifted in [before - SECOND, before, before + 1, before + SECOND, before + 4 * SECOND] {
                    assert_eq!(since(Some(drifted)), Some(false), "{known:?} {drifted}");
                }
                assert_eq!(since(Some(before - 3_600 * SECOND)), None, "a clock that was set back tells nothing");
                assert_eq!(since(None), None);
                assert_eq!(known.booted_since(None, Some(booted), away), None, "there is nothing to compare with");
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_anew_is_no_boot_unless_the_device_was_away() {
        let before = BOOTED * SECOND;
        let (asked, set) = (before + 3_600 * SECOND, Some(before + 600 * SECOND));
        for known in [Asked::At(asked), Asked::NotBefore(asked)] {
            assert_eq!(known.booted_since(Some(before), set, false), Some(false));
            assert_eq!(known.booted_since(Some(before), set, true), Some(true));
        }
    }

    #[test]
    fn a_boot_right_after_another_is_one_where_the_clock_is_known() {
        let before = BOOTED * SECOND;
        let asked = before + 2 * SECOND;
        assert_eq!(Asked::At(asked).booted_since(Some(before), Some(asked - SECOND / 2), false), Some(true));
        assert_eq!(Asked::At(asked).booted_since(Some(before), Some(before), false), Some(false));
    }
}
