//! Secrets of a provider, hidden in what Python itself reads of it.

use pyo3::prelude::*;

use crate::storage;

/// Values that no text may tell.
#[pyclass(frozen, module = "holdfast._core")]
pub struct Mask {
    pub mask: storage::Mask,
}

#[pymethods]
impl Mask {
    #[new]
    fn new(values: Vec<String>) -> Self {
        Self { mask: storage::Mask::new(values) }
    }

    /// The same text without them.
    fn hide(&self, text: &str) -> String {
        self.mask.hide(text)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.mask)
    }
}
