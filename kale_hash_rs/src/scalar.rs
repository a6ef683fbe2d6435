//! The portable kernel: one state in plain words, on every CPU.

#![allow(clippy::inline_always, reason = "see lanes.rs")]

use crate::kernel::{Sink, Span};
use crate::lanes::Lanes;
use crate::message::Message;
use crate::walk;

/// Offers every nonce of `span` with enough zeros to `sink`.
pub fn scan(message: &Message, span: Span, sink: &mut dyn Sink) {
    walk::scan::<1, 32, u64>((), message, span, sink);
}

impl Lanes<1> for u64 {
    /// Every CPU has what plain words need.
    type Cpu = ();

    const THREE_WAY: bool = false;

    #[inline(always)]
    fn from_words((): (), [word]: [u64; 1]) -> Self {
        word
    }

    #[inline(always)]
    fn words(self) -> [u64; 1] {
        [self]
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn xor_word(self, word: u64) -> Self {
        self ^ word
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        self ^ (!b & c)
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        const { assert!(LEFT + RIGHT == 64) };
        self.rotate_left(LEFT.cast_unsigned())
    }

    #[inline(always)]
    fn clear_of(self, mask: u64) -> u32 {
        u32::from(self & mask == 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::lanes::tests::check;

    #[test]
    fn a_word_is_a_lane_of_one_state() {
        check::<1, u64>(());
    }
}
