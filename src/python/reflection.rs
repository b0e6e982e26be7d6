//! What messages are made of.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::invalid;

/// The fields of a message, and of which message each is, where it is one.
#[pyfunction]
pub fn message_fields(name: &str) -> Vec<(String, Option<String>)> {
    crate::reflection::fields(name)
}

/// A message of JSON's fields, encoded.
#[pyfunction]
pub fn message_encoded(py: Python<'_>, name: &str, fields: &str) -> PyResult<Py<PyBytes>> {
    let fields = serde_json::from_str(fields).map_err(|error| invalid(format!("{name}: {error}")))?;
    let encoded = crate::reflection::overlay(name, &[], &fields).map_err(invalid)?;
    Ok(PyBytes::new(py, &encoded).unbind())
}

/// The same back.
#[pyfunction]
pub fn message_decoded(name: &str, encoded: &[u8]) -> PyResult<String> {
    let fields = crate::reflection::decoded(name, encoded).map_err(|error| invalid(format!("{name}: {error}")))?;
    Ok(serde_json::Value::Object(fields).to_string())
}
