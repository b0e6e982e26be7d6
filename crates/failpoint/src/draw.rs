//! Chance that can be had again: a draw depends on a seed, a failpoint's name and the number of the hit alone.

/// The chance of one hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// Of the `hit`th hit (from 1) of the failpoint `name`.
    pub fn new(seed: u64, name: &str, hit: u64) -> Self {
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3) // FNV-1a
        });
        Self(mix(mix(seed ^ name).wrapping_add(hit)))
    }

    /// Another draw of the same hit.
    #[must_use]
    pub fn at(self, position: u64) -> Self {
        Self(mix(self.0.wrapping_add(position).wrapping_add(1)))
    }

    /// A number below `limit`; 0 where that is 0.
    pub fn below(self, limit: u64) -> u64 {
        let wide = u128::from(mix(self.0)) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(u64::MAX)
    }

    /// Whether something happens that does so `percent` times in a hundred.
    pub fn happens(self, percent: f64) -> bool {
        const STEPS: u32 = 1 << 30;
        let drawn = u32::try_from(self.below(u64::from(STEPS))).unwrap_or(STEPS);
        f64::from(drawn) / f64::from(STEPS) * 100.0 < percent
    }
}

/// The finalizer of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Draw, mix};

    #[test]
    fn the_same_hit_draws_the_same_and_others_differ() {
        let draw = |seed, name, hit| Draw::new(seed, name, hit).below(1 << 40);
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
    }

    /// Computed apart from this code, from FNV-1a and SplitMix64: what a seed, a name and a hit draw in every version.
    #[test]
    fn draws_are_those_of_every_version_and_none_is_of_the_next_hit_too() {
        let [first, second] = [1, 2].map(|hit| Draw::new(1, "a", hit));
        let drawn = [first, first.at(0), first.at(1), second].map(|draw| draw.below(1000));
        assert_eq!(drawn, [808, 288, 664, 869]);
        assert_ne!(first.at(1), second.at(0));
    }

    #[test]
    fn a_share_is_met() {
        let happened = (0..10_000).filter(|hit| Draw::new(7, "x", *hit).happens(25.0)).count();
        assert!((2_300..2_700).contains(&happened), "{happened}");
        assert!(!Draw::new(7, "x", 1).happens(0.0));
        assert!(Draw::new(7, "x", 1).happens(100.0));
    }

    /// The first three of SplitMix64 from the seed 0, as its authors' code has them: a seed that was kept draws the same
    /// in every version.
    #[test]
    fn numbers_are_mixed_as_split_mix_64_does() {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let numbers = [0, STEP, STEP.wrapping_mul(2)].map(mix);
        assert_eq!(numbers, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn the_smallest_draw_of_all_makes_nothing_happen_that_never_does() {
        let smallest = Draw(0x9e37_79b9_7f4a_7c15_u64.wrapping_neg());
        assert_eq!(smallest.below(u64::MAX), 0);
        assert!(!smallest.happens(0.0));
        assert!(smallest.happens(1e-9));
    }
}
