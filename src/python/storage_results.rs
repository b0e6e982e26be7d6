//! What a storage lab hands to Python: volumes, snapshots, what the judge found and what a plugin counts.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::chosen;
use super::results;
use crate::storage::{Access, ContentSource, Mask, Snapshot, Space, Statistics, Verdict, Volume};

/// A volume as its provider tells of it.
#[pyclass(frozen, module = "holdfast._core")]
#[derive(Clone)]
pub struct StorageVolume {
    pub(super) volume: Volume,
    pub(super) mask: Mask,
}

#[pymethods]
impl StorageVolume {
    #[getter]
    fn id(&self) -> String {
        self.mask.hide(&self.volume.id)
    }

    #[getter]
    fn name(&self) -> String {
        self.mask.hide(&self.volume.name)
    }

    #[getter]
    fn bytes(&self) -> Option<u64> {
        self.volume.bytes
    }

    #[getter]
    fn parameters(&self) -> Option<BTreeMap<String, String>> {
        let parameters = self.volume.parameters.iter().flatten();
        let hidden = parameters.map(|(key, value)| (self.mask.hide(key), self.mask.hide(value))).collect();
        self.volume.parameters.is_some().then_some(hidden)
    }

    #[getter]
    fn nodes(&self) -> Option<Vec<String>> {
        self.volume.nodes.as_ref().map(|nodes| nodes.iter().map(|node| self.mask.hide(node)).collect())
    }

    /// The nodes that can have it; None where all can.
    #[getter]
    fn accessible(&self) -> Option<Vec<String>> {
        self.volume.accessible.clone()
    }

    /// The same, to be mounted for reading alone.
    fn read_only(&self) -> Self {
        Self { volume: Volume { read_only: true, ..self.volume.clone() }, mask: self.mask.clone() }
    }

    /// The same, for others than at first.
    fn for_access(&self, access: &str) -> PyResult<Self> {
        let access = chosen("access", access, &Access::ALL)?;
        Ok(Self { volume: Volume { access, ..self.volume.clone() }, mask: self.mask.clone() })
    }

    fn __repr__(&self) -> String {
        format!("<volume {} ({})>", self.name(), self.id())
    }
}

/// A snapshot of a volume.
#[pyclass(frozen, module = "holdfast._core")]
#[derive(Clone)]
pub struct StorageSnapshot {
    pub(super) snapshot: Snapshot,
    pub(super) mask: Mask,
}

#[pymethods]
impl StorageSnapshot {
    #[getter]
    fn id(&self) -> String {
        self.mask.hide(&self.snapshot.id)
    }

    #[getter]
    fn name(&self) -> String {
        self.mask.hide(&self.snapshot.name)
    }

    #[getter]
    fn bytes(&self) -> Option<u64> {
        self.snapshot.bytes
    }

    #[getter]
    fn taken(&self) -> Option<f64> {
        let since_1970 = self.snapshot.taken?.duration_since(UNIX_EPOCH).ok()?;
        Some(since_1970.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        format!("<snapshot {} ({})>", self.name(), self.id())
    }
}

/// What a new volume is made from.
#[derive(FromPyObject)]
pub enum Source {
    Snapshot(Py<StorageSnapshot>),
    Volume(Py<StorageVolume>),
}

impl Source {
    pub(super) fn content(self) -> ContentSource {
        match self {
            Self::Snapshot(snapshot) => ContentSource::Snapshot(snapshot.get().snapshot.id.clone()),
            Self::Volume(volume) => ContentSource::Volume(volume.get().volume.id.clone()),
        }
    }
}

/// What the judge found.
pub fn judged(py: Python<'_>, verdict: &Verdict, mask: &Mask) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    let findings = verdict.findings.iter().map(|finding| results::finding(py, finding));
    let findings = findings.collect::<PyResult<Vec<_>>>()?;
    fields.set_item("acknowledged", verdict.acknowledged)?;
    fields.set_item("lost", verdict.lost())?;
    fields.set_item("altered", verdict.altered())?;
    fields.set_item("stale", verdict.stale())?;
    fields.set_item("findings", pyo3::types::PyTuple::new(py, findings)?)?;
    fields.set_item("bytes", verdict.bytes)?;
    fields.set_item("used", verdict.used)?;
    fields.set_item("filesystem", verdict.filesystem.as_deref().map(|name| mask.hide(name)))?;
    let options = verdict.options.as_ref().map(|options| options.iter().map(|option| mask.hide(option)));
    let options = options.map(|options| pyo3::types::PyTuple::new(py, options.collect::<Vec<_>>()));
    fields.set_item("mount_options", options.transpose()?)?;
    results::make(py, "LedgerVerdict", &fields)
}

/// What a plugin counts.
pub fn counted(py: Python<'_>, statistics: &Statistics, mask: &Mask) -> PyResult<Py<PyAny>> {
    let space = |space: Option<Space>| {
        space.map(|space| {
            let fields = PyDict::new(py);
            fields.set_item("total", space.total)?;
            fields.set_item("used", space.used)?;
            fields.set_item("available", space.available)?;
            results::make(py, "StorageSpace", &fields)
        })
    };
    let fields = PyDict::new(py);
    fields.set_item("bytes", space(statistics.bytes).transpose()?)?;
    fields.set_item("inodes", space(statistics.inodes).transpose()?)?;
    fields.set_item("abnormal", statistics.condition.as_ref().map(|condition| condition.abnormal))?;
    let message = statistics.condition.as_ref().map(|condition| mask.hide(&condition.message));
    fields.set_item("message", message.unwrap_or_default())?;
    results::make(py, "StorageStatistics", &fields)
}
