//! Image archives: reading them, and writing the test container's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::{errors, results};
use crate::image::{Archive, Reference, TestContainer, Written};

/// Reads and checks an archive.
#[pyfunction]
pub fn archive_open(py: Python<'_>, path: PathBuf) -> PyResult<Py<PyAny>> {
    let opened = py.detach(|| Archive::open(&path)).map_err(|error| errors::to_python(py, &error))?;
    results::archive(py, &opened)
}

/// Which of an archive's images is meant, each given as its platform and its name.
#[pyfunction]
pub fn archive_choose(
    py: Python<'_>,
    path: PathBuf,
    images: Vec<(String, String)>,
    platform: Option<&str>,
) -> PyResult<usize> {
    let images: Vec<_> = images.iter().map(|(platform, name)| (platform.as_str(), name.clone())).collect();
    crate::image::choose(&path, &images, platform).map_err(|error| errors::to_python(py, &error))
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

/// Whether two names of images mean one, however a runtime writes them.
#[pyfunction]
pub fn same_image_name(one: &str, other: &str) -> bool {
    crate::image::same_name(one, other)
}

/// Whether two ids of images mean one, however a runtime writes them.
#[pyfunction]
pub fn same_image_id(one: &str, other: &str) -> bool {
    crate::image::same_id(one, other)
}

/// The name, the tag and the digest of an image as a device writes it.
#[pyfunction]
pub fn image_written(text: &str) -> (String, String, String) {
    let Written { name, tag, digest } = Written::read(text);
    (name, tag, digest)
}

/// This machine's platform as images name it, such as `linux/amd64`.
#[pyfunction]
pub fn own_platform() -> String {
    crate::image::own_platform()
}
