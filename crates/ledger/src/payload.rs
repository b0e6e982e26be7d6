//! Payloads that nobody has to keep: they can be made again from who wrote them and their number.

use super::record::{Identity, MAX_PAYLOAD};

/// The payload of a record of a test's writer: as long as a payload can be.
pub fn generate(identity: Identity, number: u64) -> Vec<u8> {
    let [low, high] = [0, 64].map(|shift| u64::try_from(identity.run >> shift & u128::from(u64::MAX)).unwrap_or(0));
    let mut state = [high, identity.writer, identity.incarnation, number]
        .into_iter()
        .fold(low, |state, word| scramble(state ^ word));
    let mut payload = Vec::with_capacity(MAX_PAYLOAD + 8);
    while payload.len() < MAX_PAYLOAD {
        state = state.wrapping_add(STEP);
        payload.extend(scramble(state).to_le_bytes());
    }
    payload.truncate(MAX_PAYLOAD);
    payload
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
fn scramble(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_key_matters_and_nothing_else() {
        let key = Identity { run: 1 << 80 | 5, writer: 2, incarnation: 3 };
        let all = [
            generate(key, 1),
            generate(key, 2),
            generate(Identity { run: 5, ..key }, 1),
            generate(Identity { writer: 3, ..key }, 1),
            generate(Identity { incarnation: 4, ..key }, 1),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.len(), MAX_PAYLOAD);
            assert!(all.iter().skip(at + 1).all(|other| other[..8] != one[..8]));
        }
        assert_eq!(generate(key, 1), all[0]);
    }
}
