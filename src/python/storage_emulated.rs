//! The emulated provider, in this process or on sockets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::arguments::{Seconds, Whole, chosen};
use super::errors;
use super::storage::{StorageLab, deadline, wait};
use super::storage_csi::calls;
use crate::error::Error;
use crate::failpoint::{Dialect, Registry, Terms};
use crate::storage::emulated::{self, Emulated, FAILPOINTS, Face, Timings, serve_plugins};
use crate::storage::{Csi, CsiOptions, DockerPlugin, DockerPluginOptions, Endpoint, Lab, Mask, Own, Volumes};

const FACES: [(&str, Face); 2] = [("csi", Face::Csi), ("docker", Face::Docker)];

/// The healthy ways of the emulated provider: each with its line.
#[pyfunction]
pub fn storage_personalities() -> Vec<(&'static str, &'static str)> {
    emulated::PERSONALITIES.iter().map(|each| (each.name, each.help)).collect()
}

/// The emulated provider on emulated nodes, all of it in this process.
#[pyfunction]
#[pyo3(signature = (*, nodes, run, pace, seed=Whole(0), failpoints=Vec::new(), sync=None, attach=None, patience=None, served=None, personalities=Vec::new(), limits=BTreeMap::new()))]
#[allow(clippy::too_many_arguments)]
pub fn storage_emulated(
    py: Python<'_>,
    nodes: Vec<String>,
    run: u128,
    pace: Seconds,
    seed: Whole<u64>,
    failpoints: Vec<(String, String)>,
    sync: Option<Seconds>,
    attach: Option<Seconds>,
    patience: Option<Seconds>,
    served: Option<(String, PathBuf)>,
    personalities: Vec<String>,
    limits: BTreeMap<String, Seconds>,
) -> PyResult<StorageLab> {
    let registry = Arc::new(Registry::new(FAILPOINTS, seed.0));
    for (name, text) in failpoints {
        let terms = Terms::parse(&text, Dialect::Extended).map_err(|error| Error::invalid(format!("{name}: {error}")));
        let armed =
            terms.and_then(|terms| registry.arm(&name, terms).map_err(|unknown| Error::invalid(unknown.to_string())));
        armed.map_err(|error| errors::to_python(py, &error))?;
    }
    let mut timings = Timings::default();
    for (slot, given) in [(&mut timings.sync, sync), (&mut timings.attach, attach), (&mut timings.patience, patience)] {
        *slot = given.map_or(*slot, |seconds| seconds.0);
    }
    let ways = emulated::ways(&personalities).map_err(|unknown| {
        let known: Vec<&str> = emulated::PERSONALITIES.iter().map(|each| each.name).collect();
        errors::invalid(format!("personality={unknown:?}: one of {}", known.join(", ")))
    })?;
    let emulated = Arc::new(Emulated::with_ways(&nodes, registry.clone(), timings, ways));
    let calls = calls(&limits)?;
    let (volumes, sockets): (Arc<dyn Volumes>, _) = match served {
        None => (emulated.clone(), None),
        Some((face, folder)) => {
            let face = chosen("face", &face, &FACES)?;
            let (emulated, deadline) = (emulated.clone(), deadline(None));
            let (volumes, sockets) = wait(py, move || {
                let sockets = serve_plugins(&emulated, &nodes, &folder, face)?;
                let volumes: Arc<dyn Volumes> = if face == Face::Csi {
                    let each = sockets.nodes.iter().map(|(node, path)| (node.clone(), Endpoint::Unix(path.clone())));
                    let options = CsiOptions {
                        nodes: each.collect(),
                        controller: sockets.controller.clone().map(Endpoint::Unix),
                        folder,
                        calls,
                        fences: true,
                        ..CsiOptions::default()
                    };
                    Arc::new(Csi::connect(options, deadline)?)
                } else {
                    let (name, version) = ("emulated volume plugin".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
                    let is_emulated = emulated.provider().emulated;
                    let nodes = sockets.nodes.iter().map(|(node, path)| (node.clone(), path.clone().into())).collect();
                    let options = DockerPluginOptions {
                        name,
                        version,
                        nodes,
                        fences: true,
                        emulated: is_emulated,
                        ..DockerPluginOptions::default()
                    };
                    Arc::new(DockerPlugin::connect(options, deadline)?)
                };
                Ok((volumes, sockets))
            })?;
            (volumes, Some(sockets))
        }
    };
    let runner = Arc::new(Own::new("own", volumes.clone(), emulated.clone()));
    let lab = Lab::new(volumes, runner, emulated.clone(), emulated, run, pace.0, Mask::default());
    Ok(StorageLab::emulated(lab, registry, sockets))
}
