//! How vector kernels walk through a granule: most of the first two rounds is computed once for many nonces.
//!
//! Within a granule only the low 14 bits of the nonce vary, and with them 14 bits of `v`, the low half of lane 1 (the
//! nonce's low half with its bytes swapped). After theta, rho and pi of the first round, 11 of the 25 lanes are a
//! constant plus a rotation of `v`. Chi then multiplies neighbouring lanes, and the rotations of two neighbours that
//! both vary differ by 5 or by 18, nothing else: two bits of `v` meet in a product only if they stand 5 or 18 apart.
//!
//! So the bits are divided into *near* and *far* ones such that none of the first stands 5 or 18 from one of the second.
//! What a choice of near bits changes in the state before chi of the second round is then the same for all choices of far
//! bits: 32 differences and 512 bases give 16,384 states for the price of an exclusive or each.

#![allow(clippy::inline_always, reason = "see lanes.rs")]

use crate::kernel::{GRANULE, GRANULE_BITS, Sink, Span};
use crate::lanes::{Lanes, States, chi_iota, last_round, middle_rounds, rotate, theta_rho_pi};
use crate::message::Message;
use crate::portable;

/// The nonce bits of which every combination has a row in the table of differences.
const NEAR_BITS: u32 = 0b00_1000_0011_1001;
/// The other bits of a granule.
const FAR_BITS: u32 = ((1 << GRANULE_BITS) - 1) & !NEAR_BITS;
/// Combinations of the near bits.
const NEAR: usize = 1 << NEAR_BITS.count_ones();
/// Combinations of the far bits.
const FAR: usize = 1 << FAR_BITS.count_ones();

const _: () =
    assert!(never_meet(NEAR_BITS.swap_bytes(), FAR_BITS.swap_bytes()), "a near and a far bit would be multiplied");

/// Whether no bit of `a` stands 5 or 18 from a bit of `b`.
const fn never_meet(a: u32, b: u32) -> bool {
    a & (b << 5 | b >> 5 | b << 18 | b >> 18) == 0
}

/// The number's bits spread over the bits that `places` has set, lowest first.
const fn spread(number: usize, mut places: u32) -> u32 {
    let (mut number, mut bits) = (number, 0);
    while places != 0 {
        let lowest = places & places.wrapping_neg();
        if number & 1 == 1 {
            bits |= lowest;
        }
        number >>= 1;
        places ^= lowest;
    }
    bits
}

/// The low bits of the nonces with each combination of the bits in `places`.
const fn offsets<const COUNT: usize>(places: u32) -> [u32; COUNT] {
    let mut offsets = [0; COUNT];
    let mut number = 0;
    while number < COUNT {
        offsets[number] = spread(number, places);
        number += 1;
    }
    offsets
}

static NEAR_OFFSETS: [u32; NEAR] = offsets(NEAR_BITS);
static FAR_OFFSETS: [u32; FAR] = offsets(FAR_BITS);

/// The digest bits of lane 0 that must be clear for `zeros` leading zero nibbles: those of 16 nibbles at most.
fn lane_mask(zeros: u32) -> u64 {
    let bits = 4 * zeros.min(16);
    // Nibbles are counted from the first byte's high end, and a lane's first byte is its lowest.
    u64::MAX.checked_shl(64 - bits).unwrap_or(0).swap_bytes()
}

/// The first round up to chi, for one granule: what is the same for all of its nonces.
struct FirstRound {
    lanes: [u64; 25],
}

impl FirstRound {
    /// Prepares the granule that starts at `start`.
    fn new(message: &Message, start: u64) -> Self {
        Self { lanes: portable::rho_pi(portable::theta(message.state(start))) }
    }

    /// The state before chi of the second round, `N` times, for nonces at these offsets in the granule.
    #[inline(always)]
    fn expand<const N: usize, T: Lanes<N>>(&self, cpu: T::Cpu, offsets: [u32; N]) -> States<T> {
        let v = T::from_words(cpu, offsets.map(|offset| u64::from(offset.swap_bytes())));
        let mut b = self.lanes.map(|lane| T::from_words(cpu, [lane; N]));
        // Lane 1 itself moves to 10; its column's parity goes to the columns of x = 0 and, rotated by 1 more, of x = 2.
        let varying = [
            (10, rotate!(v, 1)),
            (0, rotate!(v, 1)),
            (16, rotate!(v, 37)),
            (7, rotate!(v, 4)),
            (23, rotate!(v, 42)),
            (14, rotate!(v, 19)),
            (20, rotate!(v, 62)),
            (11, rotate!(v, 6)),
            (2, rotate!(v, 43)),
            (18, rotate!(v, 15)),
            (9, rotate!(v, 61)),
        ];
        for (lane, bits) in varying {
            b[lane] = b[lane].xor(bits);
        }
        theta_rho_pi(&chi_iota(&b, 0))
    }
}

/// Offers the nonces of `span` whose first lane has enough zero nibbles.
///
/// `TABLES` must be 32 / `N`. The whole granule is hashed, whatever part of it `span` is.
#[inline(always)]
pub fn scan<const N: usize, const TABLES: usize, T: Lanes<N>>(
    cpu: T::Cpu,
    message: &Message,
    span: Span,
    sink: &mut dyn Sink,
) {
    const { assert!(N * TABLES == NEAR) };
    let granule = span.start() & !(GRANULE - 1);
    let first_round = FirstRound::new(message, granule);
    let differences = differences::<N, TABLES, T>(cpu, &first_round);
    let mut mask = lane_mask(sink.zeros());
    for far in FAR_OFFSETS.as_chunks::<N>().0 {
        let bases = first_round.expand::<N, T>(cpu, *far).map(T::words);
        for (i, far) in far.iter().enumerate() {
            for (table, near) in differences.iter().zip(NEAR_OFFSETS.as_chunks::<N>().0) {
                let b: States<T> = std::array::from_fn(|lane| table[lane].xor_word(bases[lane][i]));
                let mut hits = last_round(&middle_rounds(chi_iota(&b, 1), 2)).clear_of(mask);
                while hits != 0 {
                    let nonce = granule | u64::from(far | near[hits.trailing_zeros() as usize]);
                    if span.contains(nonce) {
                        sink.offer(nonce);
                        mask = lane_mask(sink.zeros());
                    }
                    hits &= hits - 1;
                }
            }
        }
    }
}

/// What each choice of near bits changes in the state before chi of the second round.
#[inline(always)]
fn differences<const N: usize, const TABLES: usize, T: Lanes<N>>(
    cpu: T::Cpu,
    first_round: &FirstRound,
) -> [States<T>; TABLES] {
    let base = first_round.expand::<N, T>(cpu, [0; N]);
    std::array::from_fn(|table| {
        let near = NEAR_OFFSETS.as_chunks::<N>().0[table];
        let state = first_round.expand::<N, T>(cpu, near);
        std::array::from_fn(|lane| state[lane].xor(base[lane]))
    })
}

#[cfg(test)]
mod tests {
    use super::lane_mask;

    #[test]
    fn the_mask_covers_the_first_nibbles_of_a_digest() {
        assert_eq!(lane_mask(0), 0);
        assert_eq!(lane_mask(1), 0x0000_0000_0000_00f0);
        assert_eq!(lane_mask(3), 0x0000_0000_0000_f0ff);
        assert_eq!(lane_mask(16), u64::MAX);
        assert_eq!(lane_mask(64), u64::MAX);
    }
}
