//! gNOI Healthz.

use std::path::PathBuf;
use std::time::SystemTime;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::{Seconds, Whole, duration};
use super::both_worlds::both_worlds;
use super::errors::refused;
use super::file::{TRANSFER, downloaded};
use super::results::{self, object};
use crate::device::Device as CoreDevice;
use crate::gnmi::Path;
use crate::gnoi::Destination;
use crate::gnoi::healthz::Component;
use crate::wire::gnoi::healthz::artifact_header::ArtifactType;
use crate::wire::gnoi::healthz::{ArtifactHeader, ComponentStatus, FileArtifactType, Status};
use crate::wire::gnoi::types;

type Object = PyResult<Py<PyAny>>;

fn component(name: &str) -> PyResult<Component> {
    name.parse().map_err(|error| refused(&error))
}

fn kind(header: &ArtifactHeader) -> &'static str {
    match header.artifact_type {
        Some(ArtifactType::File(_)) => "file",
        Some(ArtifactType::Proto(_)) => "proto",
        Some(ArtifactType::Custom(_)) => "custom",
        None => "unknown",
    }
}

fn artifact(py: Python<'_>, header: ArtifactHeader) -> Object {
    let kind = kind(&header);
    let file = match header.artifact_type {
        Some(ArtifactType::File(file)) => file,
        _ => FileArtifactType::default(),
    };
    object!(py, "Artifact", id: header.id, kind: kind, name: file.name, path: file.path, mimetype: file.mimetype, size: file.size)
}

/// A component's name, or its path where that is of something else.
fn named(path: &types::Path) -> String {
    if let Some(name) = Path::component_of(path) {
        return name.to_owned();
    }
    let element = |element: &types::PathElem| {
        let mut keys: Vec<_> = element.key.iter().map(|(key, value)| format!("[{key}={value}]")).collect();
        keys.sort();
        format!("/{}{}", element.name, keys.concat())
    };
    path.elem.iter().map(element).collect()
}

fn time(py: Python<'_>, stamp: Option<impl TryInto<SystemTime>>) -> Option<Py<PyAny>> {
    results::time(py, stamp?.try_into().ok()?).ok() // one that no calendar has is none
}

fn status(py: Python<'_>, event: ComponentStatus) -> Object {
    let said = event.status();
    let word = match said {
        Status::Unspecified => "UNSPECIFIED",
        Status::Healthy => "HEALTHY",
        Status::Unhealthy => "UNHEALTHY",
    };
    let artifacts = event.artifacts.into_iter().map(|header| artifact(py, header)).collect::<PyResult<Vec<_>>>()?;
    let subcomponents = event.subcomponents.into_iter().map(|inner| status(py, inner)).collect::<PyResult<Vec<_>>>()?;
    object!(py, "ComponentStatus",
        component: event.path.as_ref().map(named).unwrap_or_default(),
        status: word,
        id: event.id,
        created: time(py, event.created),
        expires: time(py, event.expires),
        acknowledged: event.acknowledged,
        artifacts: PyTuple::new(py, artifacts)?,
        subcomponents: PyTuple::new(py, subcomponents)?,
    )
}

fn statuses(py: Python<'_>, events: Vec<ComponentStatus>) -> Object {
    results::tuple(py, events, status)
}

both_worlds! {
    /// gNOI Healthz of a device.
    Healthz and AsyncHealthz over CoreDevice, in Client;

    /// Get: the latest event of a component.
    #[pyo3(signature = (component, *, timeout=None))]
    fn get(device, component: &str, timeout: Option<Seconds>) => self::status {
        let component = self::component(component)?;
        async move { device.healthz.get(&component, device.session().deadline(duration(timeout))).await }
    }

    /// List: the events of a component.
    #[pyo3(signature = (component, *, include_acknowledged=false, timeout=None))]
    fn list(device, component: &str, include_acknowledged: bool, timeout: Option<Seconds>) => self::statuses {
        let component = self::component(component)?;
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.healthz.list(&component, include_acknowledged, deadline).await
        }
    }

    /// Check: the device looks at a component, or collects more on an event.
    #[pyo3(signature = (component, *, event_id="", timeout=None))]
    fn check(device, component: &str, event_id: &str, timeout: Option<Seconds>) => self::status {
        let (component, event_id) = (self::component(component)?, event_id.to_owned());
        async move {
            device.healthz.check(&component, &event_id, device.session().deadline(duration(timeout))).await
        }
    }

    /// Artifact, into a file of this machine's.
    #[pyo3(signature = (id, to, *, limit=None, check=true, timeout=None))]
    fn artifact(device, id: String, to: PathBuf, limit: Option<Whole<u64>>, check: bool, timeout: Option<Seconds>)
        => downloaded
    {
        async move {
            let destination = Destination { path: to, limit: limit.map(|limit| limit.0), check };
            let deadline = device.session().deadline(duration(timeout).or(Some(TRANSFER)));
            let (header, came) = device.healthz.artifact(&id, &destination, deadline).await?;
            let kind = kind(&header);
            let name = match header.artifact_type {
                Some(ArtifactType::File(file)) if !file.name.is_empty() => file.name,
                _ => id,
            };
            Ok((name, kind, came))
        }
    }
}
