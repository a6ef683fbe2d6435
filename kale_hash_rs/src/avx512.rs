//! The AVX-512 kernels: eight states side by side, and four for CPUs whose 512-bit units are slow.
//!
//! Both use what AVX-512 adds at either width: rotations, and any function of three words in one instruction.

#![allow(clippy::inline_always, reason = "see lanes.rs")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_rol_epi64, _mm256_set1_epi64x, _mm256_ternarylogic_epi32, _mm256_testn_epi64_mask,
    _mm256_xor_si256, _mm512_rol_epi64, _mm512_set1_epi64, _mm512_ternarylogic_epi32, _mm512_testn_epi64_mask,
    _mm512_xor_si512,
};

use crate::kernel::{Sink, Span};
use crate::lanes::Lanes;
use crate::message::Message;
use crate::walk;

/// The truth table of `a ^ b ^ c`, as `vpternlog` takes it. It works bit by bit, so that the width of its words does not
/// matter: the narrow one is used since Miri knows it.
const XOR3: i32 = 0x96;
/// The truth table of `a ^ (!b & c)`.
const CHI: i32 = 0xd2;

/// Proof that the CPU has AVX-512F: eight states side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, where the CPU has AVX-512F.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Offers every nonce of `span` with enough zeros to `sink`.
    pub fn scan(self, message: &Message, span: Span, sink: &mut dyn Sink) {
        // SAFETY: `self` exists, so the CPU has AVX-512F.
        unsafe { scan_eight(self, message, span, sink) }
    }
}

/// Proof that the CPU has AVX-512F and AVX-512VL: four states side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Vl(());

impl Avx512Vl {
    /// The proof, where the CPU has AVX-512F and AVX-512VL.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")).then_some(Self(()))
    }

    /// Offers every nonce of `span` with enough zeros to `sink`.
    pub fn scan(self, message: &Message, span: Span, sink: &mut dyn Sink) {
        // SAFETY: `self` exists, so the CPU has AVX-512F and AVX-512VL.
        unsafe { scan_four(self, message, span, sink) }
    }
}

#[target_feature(enable = "avx512f")]
fn scan_eight(cpu: Avx512, message: &Message, span: Span, sink: &mut dyn Sink) {
    walk::scan::<8, 4, Eight>(cpu, message, span, sink);
}

#[target_feature(enable = "avx512f,avx512vl")]
fn scan_four(cpu: Avx512Vl, message: &Message, span: Span, sink: &mut dyn Sink) {
    walk::scan::<4, 8, Four>(cpu, message, span, sink);
}

/// Implements [`Lanes`] with the intrinsics of one width.
macro_rules! lanes {
    ($vector:ident, $count:literal, $cpu:ty, $raw:ty, $set1:ident, $xor:ident, $ternary:ident, $rol:ident, $testn:ident) => {
        impl Lanes<$count> for $vector {
            type Cpu = $cpu;

            const THREE_WAY: bool = true;

            #[inline(always)]
            fn from_words(_: $cpu, words: [u64; $count]) -> Self {
                // SAFETY: both types are plain integers of the same size.
                Self(unsafe { std::mem::transmute::<[u64; $count], $raw>(words) })
            }

            #[inline(always)]
            fn words(self) -> [u64; $count] {
                // SAFETY: both types are plain integers of the same size.
                unsafe { std::mem::transmute::<$raw, [u64; $count]>(self.0) }
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                // SAFETY: a vector exists, so the CPU has its instructions.
                Self(unsafe { $xor(self.0, other.0) })
            }

            #[inline(always)]
            fn xor_word(self, word: u64) -> Self {
                // SAFETY: a vector exists, so the CPU has its instructions.
                self.xor(Self(unsafe { $set1(word.cast_signed()) }))
            }

            #[inline(always)]
            fn xor3(self, b: Self, c: Self) -> Self {
                // SAFETY: a vector exists, so the CPU has its instructions.
                Self(unsafe { $ternary::<XOR3>(self.0, b.0, c.0) })
            }

            #[inline(always)]
            fn chi(self, b: Self, c: Self) -> Self {
                // SAFETY: a vector exists, so the CPU has its instructions.
                Self(unsafe { $ternary::<CHI>(self.0, b.0, c.0) })
            }

            #[inline(always)]
            fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
                const { assert!(LEFT + RIGHT == 64) };
                // SAFETY: a vector exists, so the CPU has its instructions.
                Self(unsafe { $rol::<LEFT>(self.0) })
            }

            #[inline(always)]
            fn clear_of(self, mask: u64) -> u32 {
                // SAFETY: a vector exists, so the CPU has its instructions.
                u32::from(unsafe { $testn(self.0, $set1(mask.cast_signed())) })
            }
        }
    };
}

/// Eight words; it exists only where the CPU has AVX-512F.
#[derive(Clone, Copy)]
struct Eight(__m512i);

lanes!(
    Eight,
    8,
    Avx512,
    __m512i,
    _mm512_set1_epi64,
    _mm512_xor_si512,
    _mm512_ternarylogic_epi32,
    _mm512_rol_epi64,
    _mm512_testn_epi64_mask
);

/// Four words; it exists only where the CPU has AVX-512F and AVX-512VL.
#[derive(Clone, Copy)]
struct Four(__m256i);

lanes!(
    Four,
    4,
    Avx512Vl,
    __m256i,
    _mm256_set1_epi64x,
    _mm256_xor_si256,
    _mm256_ternarylogic_epi32,
    _mm256_rol_epi64,
    _mm256_testn_epi64_mask
);

#[cfg(test)]
mod tests {
    use super::{Avx512, Avx512Vl, Eight, Four};
    use crate::lanes::tests::check;

    #[test]
    fn eight_lanes_are_eight_states_where_the_cpu_has_them() {
        if let Some(cpu) = Avx512::detect() {
            check::<8, Eight>(cpu);
        }
    }

    #[test]
    fn four_lanes_are_four_states_where_the_cpu_has_them() {
        if let Some(cpu) = Avx512Vl::detect() {
            check::<4, Four>(cpu);
        }
    }
}
