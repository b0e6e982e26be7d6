//! The plugins' sockets: each is there, refuses or says nothing as its plugin does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::plugin::EmulatedPlugin;
use super::world::{Emulated, Health};
use crate::error::{Error, Result};
use crate::serve;
use crate::storage::csi::{self, Endpoint};

/// Served sockets; they go when this is dropped.
pub struct Sockets {
    /// Of each node's plugin.
    pub csi: BTreeMap<String, Endpoint>,
    life: CancellationToken,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.life.cancel();
        for endpoint in self.csi.values() {
            if let Endpoint::Unix(path) = endpoint {
                let _ = std::fs::remove_file(path); // gone with its folder, or never made
            }
        }
    }
}

/// Serves the CSI face of each node's plugin in `folder`, as `NODE.sock`. Must be called within a runtime.
pub fn serve_csi(emulated: &Emulated, nodes: &[String], folder: &Path) -> Result<Sockets> {
    let mut sockets = Sockets { csi: BTreeMap::new(), life: CancellationToken::new() };
    for node in nodes {
        let path = folder.join(format!("{node}.sock"));
        let listener = listen(&path)?;
        let routes = csi::routes(EmulatedPlugin { emulated: emulated.clone(), node: node.clone() });
        tokio::spawn(keep(emulated.clone(), node.clone(), path.clone(), listener, routes, sockets.life.clone()));
        sockets.csi.insert(node.clone(), Endpoint::Unix(path));
    }
    Ok(sockets)
}

fn listen(path: &Path) -> Result<UnixListener> {
    let _ = std::fs::remove_file(path); // what a plugin left that was killed
    UnixListener::bind(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}

/// A plugin's life, from one start to the next.
async fn keep(
    emulated: Emulated,
    node: String,
    path: PathBuf,
    listener: UnixListener,
    routes: Routes,
    life: CancellationToken,
) {
    let mut listener = Some(listener);
    while !life.is_cancelled() {
        let served = life.child_token();
        let health = emulated.health(&node);
        let accepting = async {
            let Some(listener) = listener.as_ref().filter(|_| health != Health::Dead) else {
                return std::future::pending().await;
            };
            let mut held = Vec::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                if health == Health::Hung {
                    held.push(stream); // accepted, and never answered
                } else {
                    tokio::spawn(serve::connection(stream, routes.clone(), served.clone()));
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = emulated.changes_health(&node, health) => {}
            () = life.cancelled() => return,
        }
        match emulated.health(&node) {
            Health::Dead => {
                listener = None; // its socket stays, and refuses
                served.cancel();
            }
            Health::Running if listener.is_none() => listener = listen(&path).ok(),
            _ => {}
        }
    }
}
