//! The kernels: what they promise, and which of them this CPU can run.

#[cfg(target_arch = "x86_64")]
use crate::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use crate::avx512::{Avx512, Avx512Vl};
use crate::error::Error;
use crate::message::Message;
#[cfg(target_arch = "aarch64")]
use crate::neon::Neon;
use crate::scalar;

/// Nonces in a granule, the unit of work of every kernel: the aligned range of nonces that differ in their low 14 bits.
pub const GRANULE: u64 = 1 << GRANULE_BITS;
/// How many of a nonce's bits vary within a granule.
pub(crate) const GRANULE_BITS: u32 = 14;

/// Consecutive nonces within one granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u64,
    length: u64,
}

impl Span {
    /// The `length` nonces from `start` on, cut at the end of the granule that `start` lies in.
    #[must_use]
    pub fn new(start: u64, length: u64) -> Self {
        Self { start, length: length.min(GRANULE - start % GRANULE) }
    }

    /// The first nonce.
    #[must_use]
    pub fn start(self) -> u64 {
        self.start
    }

    /// How many nonces there are: at most [`GRANULE`].
    #[must_use]
    pub fn length(self) -> u64 {
        self.length
    }

    /// The nonces in rising order.
    pub fn nonces(self) -> impl Iterator<Item = u64> {
        (0..self.length).map(move |offset| self.start + offset)
    }

    /// Whether `nonce` is one of them.
    #[must_use]
    pub fn contains(self, nonce: u64) -> bool {
        nonce.checked_sub(self.start).is_some_and(|offset| offset < self.length)
    }
}

/// Where a kernel leaves the nonces it finds.
pub trait Sink {
    /// The zeros that a nonce needs to be worth offering; it may rise while a kernel runs.
    fn zeros(&self) -> u32;

    /// Takes a nonce that seems to have enough zeros.
    ///
    /// Vector kernels look at the first 16 nibbles only, and may miss a rise of [`Sink::zeros`] for a moment.
    fn offer(&mut self, nonce: u64);
}

/// An implementation of the scan that this CPU can run; others cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Eight hashes at a time with AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// Four hashes at a time with AVX-512's instructions.
    #[cfg(target_arch = "x86_64")]
    Avx512Vl(Avx512Vl),
    /// Four hashes at a time with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Two hashes at a time with NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// Plain Rust, on every CPU.
    Portable,
}

impl Kernel {
    /// The kernels that this CPU can run, fastest first; the portable one is always the last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(Avx512::detect().map(Self::Avx512));
            kernels.extend(Avx512Vl::detect().map(Self::Avx512Vl));
            kernels.extend(Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        kernels.extend(Neon::detect().map(Self::Neon));
        kernels.push(Self::Portable);
        kernels
    }

    /// The kernel called `name`, or the fastest one for `auto`.
    ///
    /// # Errors
    /// [`Error::KernelUnavailable`] if there is no such kernel for this CPU: there is no silent fallback.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::available()
            .into_iter()
            .find(|kernel| name == "auto" || name == kernel.name())
            .ok_or_else(|| Error::KernelUnavailable { name: name.to_owned() })
    }

    /// The name that [`Kernel::named`] knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vl(_) => "avx512vl",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable => "portable",
        }
    }

    /// Offers every nonce of `span` with at least [`Sink::zeros`] zeros to `sink`, once each, in no certain order.
    pub fn scan(self, message: &Message, span: Span, sink: &mut dyn Sink) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(cpu) => cpu.scan(message, span, sink),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vl(cpu) => cpu.scan(message, span, sink),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(cpu) => cpu.scan(message, span, sink),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(cpu) => cpu.scan(message, span, sink),
            Self::Portable => scalar::scan(message, span, sink),
        }
    }
}
