//! Results of ours that come back as arguments.

use pyo3::prelude::*;

use crate::gnoi::containerz::{Container, ContainerStatus, Volume};

pub struct ContainerLike(pub Container);

impl<'a, 'py> FromPyObject<'a, 'py> for ContainerLike {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Container {
            id: value.getattr("id")?.extract()?,
            name: value.getattr("name")?.extract()?,
            aliases: value.getattr("aliases")?.extract()?,
            image: value.getattr("image")?.extract()?,
            status: ContainerStatus::Running,
            labels: value.getattr("labels")?.extract()?,
        }))
    }
}

pub struct VolumeLike(pub Volume);

impl<'a, 'py> FromPyObject<'a, 'py> for VolumeLike {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Volume {
            name: value.getattr("name")?.extract()?,
            created: None,
            driver: value.getattr("driver")?.extract()?,
            options: value.getattr("options")?.extract()?,
            labels: value.getattr("labels")?.extract()?,
        }))
    }
}
