//! The fault language, for whoever wants to read or count terms.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::failpoint::Terms;

/// Terms, and what is left of their counts.
#[pyclass(frozen, module = "holdfast._core")]
pub struct FailpointTerms(Mutex<Terms>);

#[pymethods]
impl FailpointTerms {
    /// One hit: the action that fires as text, or None; its count moves on.
    fn fire(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fire().map(|action| action.to_string())
    }

    fn __str__(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to_string()
    }

    fn __repr__(&self) -> String {
        format!("<failpoint {}>", self.__str__())
    }
}

/// Reads terms; a `ValueError` says what is wrong with them.
#[pyfunction]
pub fn parse_terms(text: &str) -> PyResult<FailpointTerms> {
    let terms: Terms =
        text.parse().map_err(|error: crate::failpoint::ParseError| PyValueError::new_err(error.to_string()))?;
    Ok(FailpointTerms(Mutex::new(terms)))
}
