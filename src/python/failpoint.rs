//! The fault language, for whoever wants to read or count terms.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::arguments::Whole;
use crate::failpoint::{Dialect, Draw, ParseError, Terms};

/// Terms, what is left of their counts, and where their chance stands.
#[pyclass(frozen, module = "holdfast._core")]
pub struct FailpointTerms {
    seed: u64,
    name: String,
    state: Mutex<(Terms, u64)>,
}

#[pymethods]
impl FailpointTerms {
    /// One hit: the actions that fire as text, or None; counts move on.
    fn fire(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (terms, hits) = &mut *state;
        *hits += 1;
        let fired = terms.fire(Draw::new(self.seed, &self.name, *hits))?;
        Some(fired.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"))
    }

    fn __str__(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<failpoint {}>", self.__str__())
    }
}

/// Reads terms; a `ValueError` says what is wrong with them.
#[pyfunction]
#[pyo3(signature = (text, *, strict=false, seed=Whole(0), name=String::new()))]
pub fn parse_terms(text: &str, strict: bool, seed: Whole<u64>, name: String) -> PyResult<FailpointTerms> {
    let dialect = if strict { Dialect::Strict } else { Dialect::Extended };
    let terms = Terms::parse(text, dialect).map_err(|error: ParseError| PyValueError::new_err(error.to_string()))?;
    Ok(FailpointTerms { seed: seed.0, name, state: Mutex::new((terms, 0)) })
}
