//! The KALE nonce search.
//!
//! A farmer's work in a block is a nonce whose work hash starts with as many zero nibbles as can be found:
//! [`Message`] says what is hashed, [`Kernel`] scans nonces with what the CPU offers, and [`Engine`] shares the
//! machine's cores among many searches. The Python module (feature `python`) is a thin layer over these.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod error;
mod kernel;
mod lanes;
mod message;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(feature = "python")]
mod python;
pub mod rate;
mod scalar;
pub mod search;
mod walk;
mod zeros;

pub use error::Error;
pub use kernel::{GRANULE, Kernel, Sink, Span};
pub use message::Message;
pub use search::Engine;
pub use zeros::count_zeros;
