//! Asking a plugin of a storage provider what it can do.

use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::Seconds;
use super::mask::Mask;
use super::runtime::{RuntimeOf, block};
use crate::storage::introduce;

/// What the plugin at an address says of itself, without what the mask hides.
#[pyfunction]
#[pyo3(signature = (address, *, mask, timeout))]
pub fn storage_introduce(py: Python<'_>, address: String, mask: Py<Mask>, timeout: Seconds) -> PyResult<Py<PyDict>> {
    let (mask, deadline) = (mask.get().mask.clone(), Instant::now() + timeout.0);
    let hidden = mask.clone();
    let found = block(py, RuntimeOf::Client, async move { introduce(&address, &mask, deadline).await })?;
    let hide = |text: &str| hidden.hide(text);
    let all = |texts: &[String]| texts.iter().map(|text| hide(text)).collect::<Vec<_>>();
    let pairs = |pairs: Vec<(&String, &String)>| {
        pairs.into_iter().map(|(key, value)| (hide(key), hide(value))).collect::<Vec<_>>()
    };
    let answers = PyDict::new(py);
    answers.set_item("protocol", found.protocol)?;
    answers.set_item("name", hide(&found.name))?;
    answers.set_item("version", hide(&found.version))?;
    answers.set_item("ready", found.ready)?;
    answers.set_item("plugin", all(&found.plugin))?;
    answers.set_item("controller", all(&found.controller))?;
    answers.set_item("node", all(&found.node))?;
    answers.set_item("node_id", hide(&found.node_id))?;
    answers.set_item("max_volumes", found.max_volumes)?;
    answers.set_item("topology", pairs(found.topology.iter().collect()))?;
    answers.set_item("scope", hide(&found.scope))?;
    let unanswered = found.unanswered.iter().map(|(question, why)| (question, why)).collect();
    answers.set_item("unanswered", pairs(unanswered))?;
    Ok(answers.unbind())
}
