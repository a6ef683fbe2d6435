//! Keccak-256 in plain Rust, step by step: the oracle, and what kernels compute once for many nonces.
//!
//! The steps and constants are those of FIPS 202, section 3; a state is an array of lanes in the order x + 5y.

#[cfg(test)]
use crate::message::Message;

/// The lanes of a Keccak state.
pub type State = [u64; 25];

/// What iota adds to lane 0 in each of the 24 rounds.
pub const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// How far rho rotates each lane to the left.
const ROTATIONS: [u32; 25] =
    [0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14];

/// Theta: adds to every lane the parity of two neighbouring columns.
#[must_use]
#[inline]
pub fn theta(mut state: State) -> State {
    let mut parity = [0; 5];
    for x in 0..5 {
        parity[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20];
    }
    for x in 0..5 {
        let sum = parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1);
        for y in 0..5 {
            state[x + 5 * y] ^= sum;
        }
    }
    state
}

/// Rho and pi: rotates every lane and moves lane (x, y) to (y, 2x + 3y).
#[must_use]
#[inline]
pub fn rho_pi(state: State) -> State {
    let mut moved = [0; 25];
    for x in 0..5 {
        for y in 0..5 {
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = state[x + 5 * y].rotate_left(ROTATIONS[x + 5 * y]);
        }
    }
    moved
}

/// Chi: combines every lane with the two to its right, the only step that is not linear.
#[cfg(test)]
fn chi(state: State) -> State {
    let mut combined = [0; 25];
    for y in 0..5 {
        for x in 0..5 {
            let [right, next] = [state[5 * y + (x + 1) % 5], state[5 * y + (x + 2) % 5]];
            combined[5 * y + x] = state[5 * y + x] ^ (!right & next);
        }
    }
    combined
}

/// The permutation Keccak-f[1600].
#[cfg(test)]
pub(crate) fn permute(mut state: State) -> State {
    for constant in ROUND_CONSTANTS {
        state = chi(rho_pi(theta(state)));
        state[0] ^= constant;
    }
    state
}

/// The work hash of `nonce`.
#[cfg(test)]
fn work_hash(message: &Message, nonce: u64) -> [u8; 32] {
    let state = permute(message.state(nonce));
    let mut digest = [0; 32];
    for (bytes, lane) in digest.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::work_hash;
    use crate::message::Message;

    proptest! {
        #[test]
        fn the_oracle_agrees_with_the_sha3_crate(block_index: u32, entropy: [u8; 32], farmer: [u8; 32], nonce: u64) {
            let message = Message { block_index, entropy, farmer };
            prop_assert_eq!(work_hash(&message, nonce), message.work_hash(nonce));
        }
    }
}
