//! The Python module `kale_hash_rs._native`: a thin layer over the crate.

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

    /// Counts the leading zero nibbles of a 32-byte digest.
    #[pyfunction]
    fn count_zeros(digest: &[u8]) -> PyResult<u32> {
        let digest: &[u8; 32] = digest
            .try_into()
            .map_err(|_| PyValueError::new_err(format!("a digest has 32 bytes, got {}", digest.len())))?;
        Ok(crate::count_zeros(digest))
    }
}
