//! What messages are made of.

use pyo3::prelude::*;

/// The fields of a message, and of which message each is, where it is one.
#[pyfunction]
pub fn message_fields(name: &str) -> Vec<(String, Option<String>)> {
    crate::reflection::fields(name)
}
