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

#[cfg(test)]
mod tests {
    use super::count_zeros;

    #[test]
    fn nibbles_are_counted_up_to_the_first_that_is_not_zero() {
        assert_eq!(count_zeros(&[0; 32]), 64);
        assert_eq!(count_zeros(&[0xff; 32]), 0);
        for zeros in 0..64 {
            let mut digest = [0; 32];
            digest[zeros / 2] = if zeros % 2 == 0 { 0x10 } else { 0x01 };
            assert_eq!(count_zeros(&digest) as usize, zeros);
        }
    }
}
