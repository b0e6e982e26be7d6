//! Image archives: reading them, and writing the test container's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::{errors, results};
use crate::image::{Archive, Reference, TestContainer};

/// Reads and checks an archive.
#[pyfunction]
pub fn archive_open(py: Python<'_>, path: PathBuf) -> PyResult<Py<PyAny>> {
    let opened = py.detach(|| Archive::open(&path)).map_err(|error| errors::to_python(py, &error))?;
    results::archive(py, &opened)
}

/// Writes the test container's archive from the executable at `cntrsrv`.
#[pyfunction]
#[pyo3(signature = (path, cntrsrv, *, name, tag, platform, labels, environment))]
pub fn cntrsrv_archive(
    py: Python<'_>,
    path: PathBuf,
    cntrsrv: PathBuf,
    name: &str,
    tag: &str,
    platform: String,
    labels: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
) -> PyResult<()> {
    let written = py.detach(|| {
        let name = Reference::new(name, tag)?;
        TestContainer { name, platform, labels, environment }.write(&cntrsrv, &path)
    });
    written.map_err(|error| errors::to_python(py, &error))
}

/// This machine's platform as images name it, such as `linux/amd64`.
#[pyfunction]
pub fn own_platform() -> String {
    crate::image::own_platform()
}
