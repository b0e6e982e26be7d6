//! What is of Linux alone, for who asks for it elsewhere: says what lacks, and what may be done instead.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::errors::refused;
use super::storage::{StorageLab, storage_lab_lacks};
use crate::error::Error;

/// Nodes as namespaces of this machine, with a provider on them.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_lab(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<StorageLab> {
    let error = Error::lab(storage_lab_lacks().unwrap_or_default());
    Err(refused(&error.hint(
        "run it on Linux as root, name machines of your own in the provider file (lab: {kind: hosts}), or take the \
         emulated provider",
    )))
}

/// The server of the lab's own driver.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_server(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<StorageLab> {
    Err(no_driver())
}

/// The plugin of the lab's own driver.
#[pyfunction]
#[pyo3(signature = (*_given, **_named))]
pub fn storage_plugin(_given: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyResult<StorageLab> {
    Err(no_driver())
}

fn no_driver() -> PyErr {
    let error = Error::lab("the lab's own driver is made of Linux' loop devices, nbdkit and nbdfuse");
    refused(&error.hint("run it on Linux, where the lab is"))
}
