//! The NEON kernel of 64-bit Arm: two states side by side.

#![allow(clippy::inline_always, reason = "see lanes.rs")]

use std::arch::aarch64::{
    uint64x2_t, vandq_u64, vbicq_u64, vceqzq_u64, vdupq_n_u64, veorq_u64, vgetq_lane_u64, vshlq_n_u64, vsriq_n_u64,
};

use crate::kernel::{Sink, Span};
use crate::lanes::Lanes;
use crate::message::Message;
use crate::walk;

/// Proof that the CPU has NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The proof, where the CPU has NEON.
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Offers every nonce of `span` with enough zeros to `sink`.
    pub fn scan(self, message: &Message, span: Span, sink: &mut dyn Sink) {
        // SAFETY: `self` exists, so the CPU has NEON.
        unsafe { scan(self, message, span, sink) }
    }
}

#[target_feature(enable = "neon")]
fn scan(cpu: Neon, message: &Message, span: Span, sink: &mut dyn Sink) {
    walk::scan::<2, 16, Vector>(cpu, message, span, sink);
}

/// Two words; it exists only where the CPU has NEON.
#[derive(Clone, Copy)]
struct Vector(uint64x2_t);

impl Lanes<2> for Vector {
    type Cpu = Neon;

    const THREE_WAY: bool = false;

    #[inline(always)]
    fn from_words(_: Neon, words: [u64; 2]) -> Self {
        // SAFETY: both types are 16 bytes of plain integers.
        Self(unsafe { std::mem::transmute::<[u64; 2], uint64x2_t>(words) })
    }

    #[inline(always)]
    fn words(self) -> [u64; 2] {
        // SAFETY: both types are 16 bytes of plain integers.
        unsafe { std::mem::transmute::<uint64x2_t, [u64; 2]>(self.0) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: a vector exists, so the CPU has NEON.
        Self(unsafe { veorq_u64(self.0, other.0) })
    }

    #[inline(always)]
    fn xor_word(self, word: u64) -> Self {
        // SAFETY: a vector exists, so the CPU has NEON.
        self.xor(Self(unsafe { vdupq_n_u64(word) }))
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        // SAFETY: a vector exists, so the CPU has NEON.
        self.xor(Self(unsafe { vbicq_u64(c.0, b.0) }))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        const { assert!(LEFT + RIGHT == 64) };
        // SAFETY: a vector exists, so the CPU has NEON.
        Self(unsafe { vsriq_n_u64::<RIGHT>(vshlq_n_u64::<LEFT>(self.0), self.0) })
    }

    #[inline(always)]
    fn clear_of(self, mask: u64) -> u32 {
        // SAFETY: a vector exists, so the CPU has NEON.
        let [first, second] = unsafe {
            let clear = vceqzq_u64(vandq_u64(self.0, vdupq_n_u64(mask)));
            [vgetq_lane_u64::<0>(clear), vgetq_lane_u64::<1>(clear)]
        };
        u32::from(first != 0) | u32::from(second != 0) << 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Neon, Vector};
    use crate::lanes::tests::check;

    #[test]
    fn two_lanes_are_two_states_where_the_cpu_has_them() {
        if let Some(cpu) = Neon::detect() {
            check::<2, Vector>(cpu);
        }
    }
}
