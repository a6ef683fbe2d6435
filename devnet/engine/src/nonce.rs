//! Searching a work hash for the simulated neighbours: plain Keccak-256, one nonce after the other.

/// Lanes of the state that a message block fills (136 bytes), the rest is capacity.
const RATE_LANES: usize = 17;

/// The first nonce from `start` on whose hash has at least `min_zeros` leading zero nibbles, with that hash; `None` if
/// no nonce is left.
///
/// The hash is Keccak-256 over block index (big-endian), nonce (big-endian), entropy and the farmer's last 32 address
/// bytes: 76 bytes, so one permutation each.
pub fn search_nonce(
    block_index: u32,
    entropy: &[u8; 32],
    farmer: &[u8; 32],
    min_zeros: u32,
    start: u64,
) -> Option<(u64, [u8; 32])> {
    let mut block = [0; 8 * RATE_LANES];
    block[..4].copy_from_slice(&block_index.to_be_bytes());
    block[12..44].copy_from_slice(entropy);
    block[44..76].copy_from_slice(farmer);
    // Padding of the original Keccak, not that of the later SHA-3.
    block[76] = 0x01;
    block[8 * RATE_LANES - 1] = 0x80;
    (start..=u64::MAX).find_map(|nonce| {
        block[4..12].copy_from_slice(&nonce.to_be_bytes());
        let digest = digest(&block);
        (count_zeros(&digest) >= min_zeros).then_some((nonce, digest))
    })
}

fn digest(block: &[u8; 8 * RATE_LANES]) -> [u8; 32] {
    let mut state = [0_u64; 25];
    for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    keccak::f1600(&mut state);
    let mut digest = [0; 32];
    for (bytes, lane) in digest.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    digest
}

fn count_zeros(digest: &[u8; 32]) -> u32 {
    let zero_bytes = digest.iter().take_while(|byte| **byte == 0).count();
    let next = digest.get(zero_bytes).map_or(0, |byte| byte.leading_zeros() / 4);
    u32::try_from(2 * zero_bytes).unwrap_or(u32::MAX) + next
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use sha3::{Digest, Keccak256};

    fn reference(block_index: u32, nonce: u64, entropy: &[u8; 32], farmer: &[u8; 32]) -> [u8; 32] {
        let message = [&block_index.to_be_bytes()[..], &nonce.to_be_bytes()[..], &entropy[..], &farmer[..]].concat();
        Keccak256::digest(message).into()
    }

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        block_index: u32,
        nonce: u64,
        entropy: String,
        farmer: String,
        digest: String,
        zeros: u32,
    }

    fn bytes32(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_vectors_that_every_implementation_shares_are_found() {
        let file: Vectors = serde_json::from_str(include_str!("../../../tests/vectors/work_hashes.json")).unwrap();
        assert!(!file.vectors.is_empty());
        for vector in file.vectors {
            let (entropy, farmer) = (bytes32(&vector.entropy), bytes32(&vector.farmer));
            let found = search_nonce(vector.block_index, &entropy, &farmer, vector.zeros, vector.nonce);
            assert_eq!(found, Some((vector.nonce, bytes32(&vector.digest))));
        }
    }

    #[test]
    fn the_first_nonce_with_enough_zeros_is_found() {
        let (entropy, farmer) = ([1; 32], [2; 32]);
        let (nonce, digest) = search_nonce(5, &entropy, &farmer, 3, 0).unwrap();
        assert!(count_zeros(&digest) >= 3);
        assert!((0..nonce).all(|earlier| count_zeros(&reference(5, earlier, &entropy, &farmer)) < 3));
    }

    #[test]
    fn the_search_ends_with_the_last_nonce() {
        assert_eq!(search_nonce(5, &[1; 32], &[2; 32], 64, u64::MAX - 3), None);
    }

    #[test]
    fn zeros_are_counted_in_nibbles() {
        let mut digest = [0; 32];
        assert_eq!(count_zeros(&digest), 64);
        digest[1] = 0x0F;
        assert_eq!(count_zeros(&digest), 3);
        digest[1] = 0x1F;
        assert_eq!(count_zeros(&digest), 2);
    }
}
