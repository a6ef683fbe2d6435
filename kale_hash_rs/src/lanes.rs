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

    /// Whether the CPU does an exclusive or of three words in one instruction, so that theta's terms need not be
    /// summed before they are added to the lanes. Such a CPU has a register for every lane, too.
    const THREE_WAY: bool;

    /// Bitwise exclusive or of three.
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }

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

/// What theta adds to the lanes of one column: the exclusive or of both.
///
/// It is kept as two where one instruction adds two: that saves an instruction for each column.
#[derive(Clone, Copy)]
struct Term<T>(T, T);

impl<T> Term<T> {
    /// The term of the parities of the columns to the left and to the right.
    #[inline(always)]
    fn new<const N: usize>(left: T, right: T) -> Self
    where
        T: Lanes<N>,
    {
        let rotated = rotate!(right, 1);
        if T::THREE_WAY { Self(left, rotated) } else { Self(left.xor(rotated), rotated) }
    }

    /// A lane of the column after theta.
    #[inline(always)]
    fn add<const N: usize>(self, lane: T) -> T
    where
        T: Lanes<N>,
    {
        if T::THREE_WAY { lane.xor3(self.0, self.1) } else { lane.xor(self.0) }
    }
}

/// The parity of one column.
#[inline(always)]
fn parity<const N: usize, T: Lanes<N>>(a: &States<T>, x: usize) -> T {
    a[x].xor3(a[x + 5], a[x + 10]).xor3(a[x + 15], a[x + 20])
}

/// What theta adds to each column.
#[inline(always)]
fn theta_terms<const N: usize, T: Lanes<N>>(a: &States<T>) -> [Term<T>; 5] {
    let (c0, c1, c2, c3, c4) = (parity(a, 0), parity(a, 1), parity(a, 2), parity(a, 3), parity(a, 4));
    [Term::new(c4, c1), Term::new(c0, c2), Term::new(c1, c3), Term::new(c2, c4), Term::new(c3, c0)]
}

/// One row (five lanes of equal y) after theta, rho and pi.
#[inline(always)]
fn row<const N: usize, T: Lanes<N>>(a: &States<T>, [d0, d1, d2, d3, d4]: [Term<T>; 5], y: usize) -> [T; 5] {
    match y {
        0 => [
            d0.add(a[0]),
            rotate!(d1.add(a[6]), 44),
            rotate!(d2.add(a[12]), 43),
            rotate!(d3.add(a[18]), 21),
            rotate!(d4.add(a[24]), 14),
        ],
        1 => [
            rotate!(d3.add(a[3]), 28),
            rotate!(d4.add(a[9]), 20),
            rotate!(d0.add(a[10]), 3),
            rotate!(d1.add(a[16]), 45),
            rotate!(d2.add(a[22]), 61),
        ],
        2 => [
            rotate!(d1.add(a[1]), 1),
            rotate!(d2.add(a[7]), 6),
            rotate!(d3.add(a[13]), 25),
            rotate!(d4.add(a[19]), 8),
            rotate!(d0.add(a[20]), 18),
        ],
        3 => [
            rotate!(d4.add(a[4]), 27),
            rotate!(d0.add(a[5]), 36),
            rotate!(d1.add(a[11]), 10),
            rotate!(d2.add(a[17]), 15),
            rotate!(d3.add(a[23]), 56),
        ],
        _ => [
            rotate!(d2.add(a[2]), 62),
            rotate!(d3.add(a[8]), 55),
            rotate!(d4.add(a[14]), 39),
            rotate!(d0.add(a[15]), 41),
            rotate!(d1.add(a[21]), 2),
        ],
    }
}

/// Theta, rho and pi: the linear half of a round.
#[inline(always)]
pub fn theta_rho_pi<const N: usize, T: Lanes<N>>(a: &States<T>) -> States<T> {
    let d = theta_terms(a);
    state([row(a, d, 0), row(a, d, 1), row(a, d, 2), row(a, d, 3), row(a, d, 4)])
}

/// The state of these rows.
#[inline(always)]
fn state<T>(rows: [[T; 5]; 5]) -> States<T> {
    let [[a0, a1, a2, a3, a4], [a5, a6, a7, a8, a9], [a10, a11, a12, a13, a14], rest @ ..] = rows;
    let [[a15, a16, a17, a18, a19], [a20, a21, a22, a23, a24]] = rest;
    [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24]
}

/// Chi of one row.
#[inline(always)]
fn chi<const N: usize, T: Lanes<N>>([b0, b1, b2, b3, b4]: [T; 5]) -> [T; 5] {
    [b0.chi(b1, b2), b1.chi(b2, b3), b2.chi(b3, b4), b3.chi(b4, b0), b4.chi(b0, b1)]
}

/// Chi and iota: the other half of round number `round`.
#[inline(always)]
pub fn chi_iota<const N: usize, T: Lanes<N>>(b: &States<T>, round: usize) -> States<T> {
    let mut a = *b;
    for (a, b) in a.as_chunks_mut::<5>().0.iter_mut().zip(b.as_chunks::<5>().0) {
        *a = chi(*b);
    }
    a[0] = a[0].xor_word(ROUND_CONSTANTS[round]);
    a
}

/// Round number `round`.
///
/// With 16 registers for 25 lanes it goes row by row: compilers keep much of that order, and a row that is done with
/// chi leaves nothing but its five lanes behind. With 32 registers the same order is a loss.
#[inline(always)]
fn whole_round<const N: usize, T: Lanes<N>>(a: &States<T>, round: usize) -> States<T> {
    if T::THREE_WAY {
        return chi_iota(&theta_rho_pi(a), round);
    }
    let d = theta_terms(a);
    let rows = [chi(row(a, d, 0)), chi(row(a, d, 1)), chi(row(a, d, 2)), chi(row(a, d, 3)), chi(row(a, d, 4))];
    let mut next = state(rows);
    next[0] = next[0].xor_word(ROUND_CONSTANTS[round]);
    next
}

/// The rounds from number `first` to 22, two in each turn of the loop: the fastest shape that compilers were seen to make.
#[inline(always)]
pub fn middle_rounds<const N: usize, T: Lanes<N>>(mut a: States<T>, first: usize) -> States<T> {
    let mut round = first;
    if (23 - round) % 2 == 1 {
        a = whole_round(&a, round);
        round += 1;
    }
    while round < 23 {
        a = whole_round(&a, round);
        a = whole_round(&a, round + 1);
        round += 2;
    }
    a
}

/// Lane 0 after the last round: the first 16 nibbles of the digests.
#[inline(always)]
pub fn last_round<const N: usize, T: Lanes<N>>(a: &States<T>) -> T {
    let [d0, d1, d2, _, _] = theta_terms(a);
    let (b0, b1, b2) = (d0.add(a[0]), rotate!(d1.add(a[6]), 44), rotate!(d2.add(a[12]), 43));
    b0.chi(b1, b2).xor_word(ROUND_CONSTANTS[23])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Lanes, chi_iota, last_round, middle_rounds, theta_rho_pi};
    use crate::portable;

    /// Words that differ in every lane and state.
    fn word(lane: usize, state: usize) -> u64 {
        (0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(1 + lane as u64)).rotate_left(u32::try_from(7 * state).unwrap_or(0))
    }

    /// Every operation and every round of a vector against plain words; small enough for Miri, which can run
    /// instruction sets that the machine lacks.
    pub fn check<const N: usize, T: Lanes<N>>(cpu: T::Cpu) {
        let vector = |lane: usize| T::from_words(cpu, std::array::from_fn(|state| word(lane, state)));
        let vectors = [vector(0), vector(1), vector(2)];
        for state in 0..N {
            let words = [word(0, state), word(1, state), word(2, state)];
            check_operations(vectors, words, state);
        }
        check_rounds::<N, T>(cpu);
    }

    fn check_operations<const N: usize, T: Lanes<N>>([a, b, c]: [T; 3], words: [u64; 3], state: usize) {
        assert_eq!(a.words()[state], words[0]);
        assert_eq!(a.xor(b).words()[state], words[0] ^ words[1]);
        assert_eq!(a.xor_word(words[1]).words()[state], words[0] ^ words[1]);
        assert_eq!(a.xor3(b, c).words()[state], words[0] ^ words[1] ^ words[2]);
        assert_eq!(a.chi(b, c).words()[state], words[0] ^ (!words[1] & words[2]));
        assert_eq!(a.rotate::<1, 63>().words()[state], words[0].rotate_left(1));
        assert_eq!(a.rotate::<8, 56>().words()[state], words[0].rotate_left(8));
        assert_eq!(a.rotate::<56, 8>().words()[state], words[0].rotate_left(56));
        let clear = a.xor_word(words[0]).clear_of(u64::MAX);
        assert_eq!(clear >> state & 1, 1, "the word that became zero is seen");
        assert_eq!(a.clear_of(words[0]) >> state & 1, 0, "a word with bits of the mask is not clear");
    }

    fn check_rounds<const N: usize, T: Lanes<N>>(cpu: T::Cpu) {
        let states: [T; 25] =
            std::array::from_fn(|lane| T::from_words(cpu, std::array::from_fn(|state| word(lane, state))));
        let linear = theta_rho_pi(&states).map(T::words);
        let first = chi_iota(&theta_rho_pi(&states), 0);
        let last = last_round(&middle_rounds(first, 1)).words();
        for state in 0..N {
            let scalar = std::array::from_fn(|lane| word(lane, state));
            let expected = portable::rho_pi(portable::theta(scalar));
            for lane in 0..25 {
                assert_eq!(linear[lane][state], expected[lane], "lane {lane}");
            }
            assert_eq!(last[state], portable::permute(scalar)[0]);
        }
    }
}
