//! What is of Linux alone, for who asks for it elsewhere: says what lacks, and what may be done instead.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::errors::refused;
use crate::error::Error;

/// A lab, of which there is none here.
#[derive(Clone)]
pub enum Namespaces {}

impl Namespaces {
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        match *self {}
    }

    pub fn close(&self) {
        match *self {}
    }
}

/// Why there can be no lab here.
pub fn missing() -> Option<String> {
    Some(NO_NAMESPACES.to_owned())
}

const NO_NAMESPACES: &str = "the lab is made of Linux' namespaces";

/// Nodes as namespaces of this machine, with a provider on them.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_lab(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
    let error = Error::lab(NO_NAMESPACES);
    Err(refused(&error.hint(
        "run it on Linux as root, name machines of your own in the provider file (lab: {kind: hosts}), or take the \
         emulated provider",
    )))
}

/// The server of the lab's own driver.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_server(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
    Err(no_driver())
}

/// The plugin of the lab's own driver.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_plugin(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
    Err(no_driver())
}

fn no_driver() -> PyErr {
    let error = Error::lab("the lab's own driver is made of Linux' loop devices, nbdkit and nbdfuse");
    refused(&error.hint("run it on Linux, where the lab is"))
}
