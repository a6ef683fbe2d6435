//! The Python module `kale_hash_rs._native`: checks arguments, translates errors, lets go of the GIL while it waits.

mod arguments;
mod engine;
mod job;
mod news;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use self::arguments::Int;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::rate;
use crate::search;

pyo3::create_exception!(
    kale_hash_rs,
    KernelUnavailableError,
    PyValueError,
    "The kernel asked for does not exist, or this CPU cannot run it."
);
pyo3::create_exception!(
    kale_hash_rs,
    EngineClosedError,
    PyRuntimeError,
    "The engine is closed, or belongs to the process from which this one forked."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::KernelUnavailable { .. } => KernelUnavailableError::new_err(text),
            Error::Closed | Error::Forked { .. } => EngineClosedError::new_err(text),
            Error::Invalid(_) => PyValueError::new_err(text),
            Error::Threads(_) | Error::Watch(_) => PyOSError::new_err(text),
        }
    }
}

/// The names of the kernels that this CPU can run, fastest first; the last is always "portable".
#[pyfunction]
fn kernels() -> Vec<&'static str> {
    Kernel::available().into_iter().map(Kernel::name).collect()
}

/// Hashes that all engines of this process computed so far, by kernel; every kernel that this CPU can run is there.
#[pyfunction]
fn kernel_hashes() -> BTreeMap<&'static str, u64> {
    search::kernel_hashes().into_iter().map(|(kernel, hashes)| (kernel.name(), hashes)).collect()
}

/// How many threads can run at once: the process's affinity mask and CPU quota decide.
#[pyfunction]
fn usable_threads() -> usize {
    search::usable_threads()
}

/// The 32-byte work hash of a nonce; `farmer` is the last 32 bytes of the XDR of the farmer's address.
#[pyfunction]
fn hash_nonce<'py>(
    py: Python<'py>,
    block_index: Int,
    nonce: Int,
    entropy: &[u8],
    farmer: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let message = arguments::message(block_index, entropy, farmer)?;
    let digest = message.work_hash(nonce.within("nonce", 0, u64::MAX.into())?);
    Ok(PyBytes::new(py, &digest))
}

/// The leading zero nibbles of a 32-byte digest: 0 to 64.
#[pyfunction]
fn count_zeros(digest: &[u8]) -> PyResult<u32> {
    Ok(crate::count_zeros(&arguments::bytes32("digest", digest)?))
}

/// Hashes per second of a kernel, or of the crate "sha3", on the calling thread, over about `seconds`; for benchmarks.
#[pyfunction]
fn measure_rate(py: Python<'_>, implementation: &str, seconds: f64) -> PyResult<f64> {
    let kernel = if implementation == "sha3" { None } else { Some(Kernel::named(implementation)?) };
    let time = Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(format!("seconds must be 0 or more, got {seconds}: {error}")))?;
    Ok(py.detach(|| rate::measure(kernel, time)))
}

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::job::Job;
    #[pymodule_export]
    use super::news::{EngineStats, Event, Find, JobStats};
    #[pymodule_export]
    use super::waiting::Watch;
    #[pymodule_export]
    use super::{
        EngineClosedError, KernelUnavailableError, count_zeros, hash_nonce, kernel_hashes, kernels, measure_rate,
        usable_threads,
    };
}
