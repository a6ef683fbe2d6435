use soroban_sdk::{Address, Bytes, BytesN, Env, xdr::ToXdr};

/// Bytes of an account's or contract's key at the end of its XDR.
const KEY_BYTES: u32 = 32;

/// The hash that proves work: Keccak-256 of index and nonce (big-endian), the block's entropy and the farmer's key.
pub fn work_hash(env: &Env, index: u32, nonce: u64, entropy: &BytesN<32>, farmer: &Address) -> BytesN<32> {
    let mut message = Bytes::new(env);
    message.extend_from_array(&index.to_be_bytes());
    message.extend_from_array(&nonce.to_be_bytes());
    message.append(&Bytes::from(entropy));
    let address = farmer.to_xdr(env);
    message.append(&address.slice(address.len() - KEY_BYTES..));
    env.crypto().keccak256(&message).into()
}

/// Leading zero nibbles of a hash, 0 to 64.
pub fn count_zeros(hash: &BytesN<32>) -> u32 {
    let bytes = hash.to_array();
    let whole = bytes.iter().take_while(|byte| **byte == 0).count();
    let half = bytes.get(whole).is_some_and(|byte| *byte < 0x10);
    u32::try_from(whole).unwrap_or(0) * 2 + u32::from(half)
}
