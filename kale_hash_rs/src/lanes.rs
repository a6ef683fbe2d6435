//! Keccak rounds on vectors: `N` states side by side, one lane of all of them in each vector.
//!
//! Everything here is inlined into one function for each instruction set, which alone is compiled for it: that is what
//! lets generic code become that set's instructions.

#![allow(clippy::inline_always, reason = "a function of its own would be compiled for the baseline CPU")]

use crate::portable::ROUND_CONSTANTS;

/// A vector of `N` 64-bit words.
///
/// The operations are safe because a value proves that the CPU has the instructions: only [`Lanes::from_words`] makes
/// one from nothing, and it takes the proof that detection gave.
pub trait Lanes<const N: usize>: Copy {
    /// Proof that the CPU has this vector's instructions.
    type Cpu: Copy;

    /// The vector of these words.
    fn from_words(cpu: Self::Cpu, words: [u64; N]) -> Self;

    /// The words of the vector.
    fn words(self) -> [u64; N];

    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;

    /// Exclusive or of every word with the same word.
    fn xor_word(self, word: u64) -> Self;

    /// `self ^ (!b & c)`, the step of chi.
    fn chi(self, b: Self, c: Self) -> Self;

    /// Every word rotated left by `LEFT` bits; `RIGHT` must be `64 - LEFT`.
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self;

    /// A bit for each word, the lowest for the first, set where the word has no bit of `mask`.
    fn clear_of(self, mask: u64) -> u32;
}

/// `N` Keccak states: lane x + 5y of each.
pub type States<T> = [T; 25];

/// Rotates left by a literal number of bits.
macro_rules! rotate {
    ($vector:expr, $bits:literal) => {
        $vector.rotate::<$bits, { 64 - $bits }>()
    };
}
pub(crate) use rotate;

/// The parity of each column.
#[inline(always)]
fn parities<const N: usize, T: Lanes<N>>(a: &States<T>) -> [T; 5] {
    [
        a[0].xor(a[5]).xor(a[10]).xor(a[15]).xor(a[20]),
        a[1].xor(a[6]).xor(a[11]).xor(a[16]).xor(a[21]),
        a[2].xor(a[7]).xor(a[12]).xor(a[17]).xor(a[22]),
        a[3].xor(a[8]).xor(a[13]).xor(a[18]).xor(a[23]),
        a[4].xor(a[9]).xor(a[14]).xor(a[19]).xor(a[24]),
    ]
}

/// What theta adds to each column.
#[inline(always)]
fn theta_terms<const N: usize, T: Lanes<N>>(a: &States<T>) -> [T; 5] {
    let [c0, c1, c2, c3, c4] = parities(a);
    [
        c4.xor(rotate!(c1, 1)),
        c0.xor(rotate!(c2, 1)),
        c1.xor(rotate!(c3, 1)),
        c2.xor(rotate!(c4, 1)),
        c3.xor(rotate!(c0, 1)),
    ]
}

/// Theta, rho and pi: the linear half of a round.
#[inline(always)]
pub fn theta_rho_pi<const N: usize, T: Lanes<N>>(a: &States<T>) -> States<T> {
    let [d0, d1, d2, d3, d4] = theta_terms(a);
    [
        a[0].xor(d0),
        rotate!(a[6].xor(d1), 44),
        rotate!(a[12].xor(d2), 43),
        rotate!(a[18].xor(d3), 21),
        rotate!(a[24].xor(d4), 14),
        rotate!(a[3].xor(d3), 28),
        rotate!(a[9].xor(d4), 20),
        rotate!(a[10].xor(d0), 3),
        rotate!(a[16].xor(d1), 45),
        rotate!(a[22].xor(d2), 61),
        rotate!(a[1].xor(d1), 1),
        rotate!(a[7].xor(d2), 6),
        rotate!(a[13].xor(d3), 25),
        rotate!(a[19].xor(d4), 8),
        rotate!(a[20].xor(d0), 18),
        rotate!(a[4].xor(d4), 27),
        rotate!(a[5].xor(d0), 36),
        rotate!(a[11].xor(d1), 10),
        rotate!(a[17].xor(d2), 15),
        rotate!(a[23].xor(d3), 56),
        rotate!(a[2].xor(d2), 62),
        rotate!(a[8].xor(d3), 55),
        rotate!(a[14].xor(d4), 39),
        rotate!(a[15].xor(d0), 41),
        rotate!(a[21].xor(d1), 2),
    ]
}

/// Chi and iota: the other half of round number `round`.
#[inline(always)]
pub fn chi_iota<const N: usize, T: Lanes<N>>(b: &States<T>, round: usize) -> States<T> {
    let mut a = *b;
    for y in [0, 5, 10, 15, 20] {
        a[y] = b[y].chi(b[y + 1], b[y + 2]);
        a[y + 1] = b[y + 1].chi(b[y + 2], b[y + 3]);
        a[y + 2] = b[y + 2].chi(b[y + 3], b[y + 4]);
        a[y + 3] = b[y + 3].chi(b[y + 4], b[y]);
        a[y + 4] = b[y + 4].chi(b[y], b[y + 1]);
    }
    a[0] = a[0].xor_word(ROUND_CONSTANTS[round]);
    a
}

/// The rounds from number `first` to 22, two in each turn of the loop: the fastest shape that compilers were seen to make.
#[inline(always)]
pub fn middle_rounds<const N: usize, T: Lanes<N>>(mut a: States<T>, first: usize) -> States<T> {
    let mut round = first;
    if (23 - round) % 2 == 1 {
        a = chi_iota(&theta_rho_pi(&a), round);
        round += 1;
    }
    while round < 23 {
        a = chi_iota(&theta_rho_pi(&a), round);
        a = chi_iota(&theta_rho_pi(&a), round + 1);
        round += 2;
    }
    a
}

/// Lane 0 after the last round: the first 16 nibbles of the digests.
#[inline(always)]
pub fn last_round<const N: usize, T: Lanes<N>>(a: &States<T>) -> T {
    let [d0, d1, d2, _, _] = theta_terms(a);
    let [b0, b1, b2] = [a[0].xor(d0), rotate!(a[6].xor(d1), 44), rotate!(a[12].xor(d2), 43)];
    b0.chi(b1, b2).xor_word(ROUND_CONSTANTS[23])
}
