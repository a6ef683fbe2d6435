//! The AVX2 kernel: four states side by side.

#![allow(clippy::inline_always, reason = "see lanes.rs")]

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_andnot_si256, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_movemask_pd,
    _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi64,
    _mm256_srli_epi64, _mm256_xor_si256,
};

use crate::kernel::{Sink, Span};
use crate::lanes::Lanes;
use crate::message::Message;
use crate::walk;

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, where the CPU has AVX2.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Offers every nonce of `span` with enough zeros to `sink`.
    pub fn scan(self, message: &Message, span: Span, sink: &mut dyn Sink) {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { scan(self, message, span, sink) }
    }
}

#[target_feature(enable = "avx2")]
fn scan(cpu: Avx2, message: &Message, span: Span, sink: &mut dyn Sink) {
    walk::scan::<4, 8, Vector>(cpu, message, span, sink);
}

/// Four words; it exists only where the CPU has AVX2.
#[derive(Clone, Copy)]
struct Vector(__m256i);

impl Lanes<4> for Vector {
    type Cpu = Avx2;

    const THREE_WAY: bool = false;

    #[inline(always)]
    fn from_words(_: Avx2, words: [u64; 4]) -> Self {
        // SAFETY: both types are 32 bytes of plain integers.
        Self(unsafe { std::mem::transmute::<[u64; 4], __m256i>(words) })
    }

    #[inline(always)]
    fn words(self) -> [u64; 4] {
        // SAFETY: both types are 32 bytes of plain integers.
        unsafe { std::mem::transmute::<__m256i, [u64; 4]>(self.0) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the CPU has AVX2.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor_word(self, word: u64) -> Self {
        // SAFETY: a vector exists, so the CPU has AVX2.
        self.xor(Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) }))
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        // SAFETY: a vector exists, so the CPU has AVX2.
        self.xor(Self(unsafe { _mm256_andnot_si256(b.0, c.0) }))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        const { assert!(LEFT + RIGHT == 64) };
        // SAFETY: a vector exists, so the CPU has AVX2.
        Self(unsafe {
            match LEFT {
                // Whole bytes: one shuffle instead of two shifts and an or.
                8 => _mm256_shuffle_epi8(self.0, const { rotation_by_bytes(1) }),
                56 => _mm256_shuffle_epi8(self.0, const { rotation_by_bytes(7) }),
                _ => _mm256_or_si256(_mm256_slli_epi64::<LEFT>(self.0), _mm256_srli_epi64::<RIGHT>(self.0)),
            }
        })
    }

    #[inline(always)]
    fn clear_of(self, mask: u64) -> u32 {
        // SAFETY: a vector exists, so the CPU has AVX2.
        let bits = unsafe {
            let masked = _mm256_and_si256(self.0, _mm256_set1_epi64x(mask.cast_signed()));
            _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(masked, _mm256_setzero_si256())))
        };
        bits.cast_unsigned()
    }
}

/// The shuffle that rotates every word left by `count` bytes.
const fn rotation_by_bytes(count: u8) -> __m256i {
    let mut sources = [0; 32];
    let mut byte: u8 = 0;
    while byte < 32 {
        // A shuffle works within halves of 16 bytes, so its sources are numbered from 0 to 15.
        sources[byte as usize] = (byte & 8) | ((byte.wrapping_sub(count)) & 7);
        byte += 1;
    }
    // SAFETY: both types are 32 bytes of plain integers.
    unsafe { std::mem::transmute::<[u8; 32], __m256i>(sources) }
}

#[cfg(test)]
mod tests {
    use super::{Avx2, Vector};
    use crate::lanes::tests::check;

    #[test]
    fn four_lanes_are_four_states_where_the_cpu_has_them() {
        if let Some(cpu) = Avx2::detect() {
            check::<4, Vector>(cpu);
        }
    }
}
