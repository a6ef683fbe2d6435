//! Everything that can hash a granule on one thread: our kernels and the crates that people would use.

use std::hint::black_box;

use kale_hash_rs::{GRANULE, Kernel, Message, Sink, Span};
use keccak_asm::Digest;
use tiny_keccak::Hasher;

/// A message like any other: speed does not depend on it.
const MESSAGE: Message = Message { block_index: 37, entropy: [0x5a; 32], farmer: [0xa5; 32] };

/// A way to hash.
#[derive(Clone, Copy)]
pub enum Contender {
    /// One of our kernels.
    Kernel(Kernel),
    /// A library's Keccak-256 of the message with a nonce.
    Library(&'static str, fn(u64) -> [u8; 32]),
}

impl Contender {
    /// The libraries, `sha3` first, then the kernels that this CPU can run.
    pub fn all() -> Vec<Self> {
        let libraries =
            [Self::Library("sha3", sha3), Self::Library("tiny-keccak", tiny), Self::Library("keccak-asm", assembly)];
        libraries.into_iter().chain(Kernel::available().into_iter().map(Self::Kernel)).collect()
    }

    /// Its name, as the crate's or the kernel's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel(kernel) => kernel.name(),
            Self::Library(name, _) => name,
        }
    }

    /// Hashes the nonces of one granule.
    pub fn hash_granule(self) {
        let span = Span::new(black_box(0), GRANULE);
        match self {
            Self::Kernel(kernel) => kernel.scan(&MESSAGE, span, &mut Nothing),
            Self::Library(_, hash) => span.nonces().for_each(|nonce| _ = black_box(hash(nonce))),
        }
    }
}

/// Wants so many zeros that nothing is ever found.
struct Nothing;

impl Sink for Nothing {
    fn zeros(&self) -> u32 {
        64
    }

    fn offer(&mut self, nonce: u64) {
        black_box(nonce);
    }
}

fn sha3(nonce: u64) -> [u8; 32] {
    sha3::Keccak256::digest(MESSAGE.bytes(nonce)).into()
}

fn assembly(nonce: u64) -> [u8; 32] {
    keccak_asm::Keccak256::digest(MESSAGE.bytes(nonce)).into()
}

fn tiny(nonce: u64) -> [u8; 32] {
    let mut hasher = tiny_keccak::Keccak::v256();
    let mut digest = [0; 32];
    hasher.update(&MESSAGE.bytes(nonce));
    hasher.finalize(&mut digest);
    digest
}
