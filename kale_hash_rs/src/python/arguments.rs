//! Turns Python arguments into Rust values, with errors that name the argument, its limits and what was given.

use std::ops::Range;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::message::Message;
use crate::search::NONCES;

/// A Python integer; those beyond 128 bits are cut to them, which is beyond every limit.
#[derive(Clone, Copy)]
pub struct Int(pub i128);

impl<'py> FromPyObject<'_, 'py> for Int {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let number = object.cast::<PyInt>()?;
        match number.extract() {
            Ok(number) => Ok(Self(number)),
            Err(_) if number.lt(0)? => Ok(Self(i128::MIN)),
            Err(_) => Ok(Self(i128::MAX)),
        }
    }
}

impl Int {
    /// The number, if it is from `low` to `high`, both included; `name` is the argument's.
    pub fn within<T: TryFrom<i128>>(self, name: &str, low: i128, high: i128) -> PyResult<T> {
        Some(self.0)
            .filter(|number| (low..=high).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| PyValueError::new_err(format!("{name} must be from {low} to {high}, got {}", self.0)))
    }

    /// A number of zeros.
    pub fn zeros(self, name: &str) -> PyResult<u32> {
        self.within(name, 0, 64)
    }

    /// A job's weight.
    pub fn weight(self) -> PyResult<u32> {
        self.within("weight", 1, u32::MAX.into())
    }
}

/// 32 bytes.
pub fn bytes32(name: &str, value: &[u8]) -> PyResult<[u8; 32]> {
    value.try_into().map_err(|_| PyValueError::new_err(format!("{name} must have 32 bytes, got {}", value.len())))
}

/// What is hashed, but for the nonce.
pub fn message(block_index: Int, entropy: &[u8], farmer: &[u8]) -> PyResult<Message> {
    Ok(Message {
        block_index: block_index.within("block_index", 0, u32::MAX.into())?,
        entropy: bytes32("entropy", entropy)?,
        farmer: bytes32("farmer", farmer)?,
    })
}

/// When `seconds` from now will be; `None` if that is beyond what the clock can tell. `name` is the argument's.
pub fn instant(name: &str, seconds: f64) -> PyResult<Option<Instant>> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("{name} must be 0 or more seconds, or None, got {seconds}")));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok().and_then(|seconds| Instant::now().checked_add(seconds)))
}

/// The nonces from `start` on: `count` of them, or all that follow.
pub fn nonces(start: Int, count: Option<Int>) -> PyResult<Range<u128>> {
    let space = NONCES.cast_signed();
    let start: i128 = start.within("nonce_start", 0, space)?;
    let left = space - start;
    let count = count.map_or(Ok(left), |count| count.within("nonce_count", 0, left))?;
    Ok(start.cast_unsigned()..(start + count).cast_unsigned())
}
