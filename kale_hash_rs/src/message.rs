//! What a farmer hashes in one block: `block_index | nonce | entropy | farmer`, all numbers big-endian.

use sha3::{Digest, Keccak256};

/// Length of the hashed message in bytes.
pub const MESSAGE_BYTES: usize = 76;
/// Bytes that one permutation of Keccak-256 absorbs; a message fits in one.
const RATE_BYTES: usize = 136;

/// Everything of the hashed message but the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Index of the block that is worked on.
    pub block_index: u32,
    /// The block's entropy.
    pub entropy: [u8; 32],
    /// The last 32 bytes of the XDR of the farmer's address: an account's Ed25519 key, or a contract's hash.
    pub farmer: [u8; 32],
}

impl Message {
    /// The 76 bytes that are hashed for `nonce`.
    #[must_use]
    pub fn bytes(&self, nonce: u64) -> [u8; MESSAGE_BYTES] {
        let mut bytes = [0; MESSAGE_BYTES];
        bytes[..4].copy_from_slice(&self.block_index.to_be_bytes());
        bytes[4..12].copy_from_slice(&nonce.to_be_bytes());
        bytes[12..44].copy_from_slice(&self.entropy);
        bytes[44..].copy_from_slice(&self.farmer);
        bytes
    }

    /// The work hash of `nonce`: Keccak-256 with its original padding, as the farm contract computes it.
    ///
    /// This is the implementation of the `sha3` crate. It shares no code with the kernels, so it judges their finds.
    #[must_use]
    pub fn work_hash(&self, nonce: u64) -> [u8; 32] {
        Keccak256::digest(self.bytes(nonce)).into()
    }

    /// The Keccak state (lane x + 5y) that the padded message of `nonce` leaves before the permutation.
    pub(crate) fn state(&self, nonce: u64) -> [u64; 25] {
        let mut block = [0; 200];
        block[..MESSAGE_BYTES].copy_from_slice(&self.bytes(nonce));
        block[MESSAGE_BYTES] = 0x01;
        block[RATE_BYTES - 1] = 0x80;
        let mut state = [0; 25];
        for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = u64::from_le_bytes(*bytes);
        }
        state
    }
}
