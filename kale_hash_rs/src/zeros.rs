//! Leading zero nibbles, the measure of a work hash.

/// Counts the leading zero nibbles of a digest: 0 to 64.
#[must_use]
pub fn count_zeros(digest: &[u8; 32]) -> u32 {
    let mut zeros = 0;
    for word in digest.as_chunks::<8>().0 {
        let nibbles = u64::from_be_bytes(*word).leading_zeros() / 4;
        zeros += nibbles;
        if nibbles < 16 {
            break;
        }
    }
    zeros
}
