//! What a CSI driver is told, as `holdfast.storage` gives it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::arguments::{Seconds, chosen};
use crate::error::Result;
use crate::storage::{Calls, CsiOptions, Endpoint, Rpc};

/// A driver's part of a provider file, checked in Python.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct CsiGiven {
    controller_socket: Option<String>,
    secrets: BTreeMap<String, String>,
    call_secrets: BTreeMap<String, BTreeMap<String, String>>,
    mount_flags: Vec<String>,
    filesystem_options: BTreeMap<String, Vec<String>>,
    mount_group: String,
    topology: bool,
    calls: BTreeMap<String, Seconds>,
    fences: bool,
}

impl CsiGiven {
    /// With the nodes' plugins, and the folder that volumes are mounted in.
    pub fn options(&self, nodes: BTreeMap<String, Endpoint>, folder: PathBuf) -> Result<CsiOptions> {
        Ok(CsiOptions {
            nodes,
            controller: self.controller_socket.as_deref().map(str::parse).transpose()?,
            folder,
            folders: None,
            secrets: self.secrets.clone(),
            secrets_of: self.call_secrets.clone(),
            mount_flags: self.mount_flags.clone(),
            filesystem_options: self.filesystem_options.clone(),
            mount_group: self.mount_group.clone(),
            topology: self.topology,
            calls: limits(&self.calls),
            fences: self.fences,
        })
    }

    /// How long a call may take where nothing else is said: of a lab's nodes.
    #[cfg(target_os = "linux")]
    pub fn default_limit(&self) -> Option<std::time::Duration> {
        self.calls.get("default").map(|limit| limit.0)
    }
}

fn limits(given: &BTreeMap<String, Seconds>) -> Calls {
    let mut calls = Calls::default();
    for (name, limit) in given {
        if name == "default" {
            calls.default = limit.0;
        }
        if let Some((_, rpc)) = Rpc::ALL.iter().find(|(known, _)| known == name) {
            calls.each.insert(*rpc, limit.0);
        }
    }
    calls
}

/// How long calls may take: by RPC, or `default`.
pub fn calls(given: &BTreeMap<String, Seconds>) -> PyResult<Calls> {
    for name in given.keys().filter(|name| *name != "default") {
        chosen("call", name, &Rpc::ALL)?;
    }
    Ok(limits(given))
}

/// The RPCs of CSI that are asked, by name.
#[pyfunction]
pub fn storage_rpcs() -> Vec<&'static str> {
    Rpc::ALL.iter().map(|(name, _)| *name).collect()
}
