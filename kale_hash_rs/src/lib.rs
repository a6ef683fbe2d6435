//! The KALE nonce search: messages, kernels and the engine that shares the machine's cores among searches.

#[cfg(feature = "python")]
mod python;
mod zeros;

pub use zeros::count_zeros;
