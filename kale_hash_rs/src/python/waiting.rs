//! How Python waits: without the GIL, in slices that let Ctrl-C through, or by an event loop.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::arguments;
use crate::error::Error;
use crate::search;

/// The longest time between two looks at pending signals, so that Ctrl-C interrupts every wait.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Calls `wait` without the GIL until it has a result or `timeout` seconds are over; returns its last answer.
pub fn wait_in_slices<T: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    wait: impl Fn(Duration) -> Result<T, Error> + Sync,
    has_result: impl Fn(&T) -> bool,
) -> PyResult<T> {
    let end = timeout.map(|timeout| arguments::instant("timeout", timeout)).transpose()?.flatten();
    loop {
        let left = end.map_or(SIGNAL_INTERVAL, |end| end.saturating_duration_since(Instant::now()));
        let answer = py.detach(|| wait(left.min(SIGNAL_INTERVAL)))?;
        if has_result(&answer) || left.is_zero() {
            return Ok(answer);
        }
        py.check_signals()?;
    }
}

/// The Python side of waiting in an event loop.
pub fn asyncio(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("kale_hash_rs._asyncio")
}

/// Lets an event loop wait for an engine: `fileno` turns readable when there are events or the engine is closed.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Watch(pub search::Watch);

#[pymethods]
impl Watch {
    /// The descriptor to poll for reading; it is closed when this object goes.
    fn fileno(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    /// Has the descriptor wait for further news; returns the numbers of the jobs that ended since the last call.
    fn take(&self) -> PyResult<Vec<u64>> {
        Ok(self.0.take()?)
    }
}
