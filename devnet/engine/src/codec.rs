//! XDR in and out, and hashes over it.

use crate::error::EngineError;
use sha2::{Digest, Sha256};
use stellar_xdr::{Hash, LedgerKey, Limits, ReadXdr, WriteXdr};

/// Bounds on what comes from outside: nesting as the network's nodes allow it, and far more bytes than a transaction has.
const INPUT_LIMITS: Limits = Limits { depth: 500, len: 16 << 20 };

/// Encodes a value that the engine holds.
///
/// # Panics
/// Never in practice: writing to memory fails only beyond the limits, and here there are none.
pub fn encode<T: WriteXdr>(value: &T) -> Vec<u8> {
    value.to_xdr(Limits::none()).expect("XDR in memory has no limit to exceed")
}

/// Encodes a value as base64.
///
/// # Panics
/// Never in practice, see [`encode`].
pub fn encode_base64<T: WriteXdr>(value: &T) -> String {
    value.to_xdr_base64(Limits::none()).expect("XDR in memory has no limit to exceed")
}

/// Decodes bytes from outside; `what` names them in the error.
pub fn decode<T: ReadXdr>(bytes: &[u8], what: &'static str) -> Result<T, EngineError> {
    T::from_xdr(bytes, INPUT_LIMITS).map_err(|source| EngineError::InvalidXdr { what, source })
}

/// Decodes base64 from outside; `what` names it in the error.
pub fn decode_base64<T: ReadXdr>(text: &str, what: &'static str) -> Result<T, EngineError> {
    T::from_xdr_base64(text, INPUT_LIMITS).map_err(|source| EngineError::InvalidXdr { what, source })
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of a value's XDR.
pub fn hash_xdr<T: WriteXdr>(value: &T) -> Hash {
    Hash(sha256(&encode(value)))
}

/// The key under which the life of an entry is recorded.
pub fn ttl_key_hash(key: &LedgerKey) -> Hash {
    hash_xdr(key)
}
