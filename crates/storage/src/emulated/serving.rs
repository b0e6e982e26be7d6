//! The plugins' sockets: each is there, refuses or says nothing as its plugin does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::docker;
use super::plugin::EmulatedPlugin;
use super::world::{Emulated, Health};
use crate::csi;
use holdfast_net::error::{Error, Result};
use holdfast_net::serve;

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// CSI v1.
    Csi,
    /// Docker's volume plugin protocol, version 1.
    Docker,
}

/// Served sockets; they go when this is dropped.
pub struct Sockets {
    /// Of each node's plugin.
    pub nodes: BTreeMap<String, PathBuf>,
    life: CancellationToken,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.life.cancel();
        for path in self.nodes.values() {
            let _ = std::fs::remove_file(path); // gone with its folder, or never made
        }
    }
}

/// Serves the plugin of each node in `folder`, as `NODE.sock`. Must be called within a runtime.
pub fn serve_plugins(emulated: &Emulated, nodes: &[String], folder: &Path, face: Face) -> Result<Sockets> {
    let mut sockets = Sockets { nodes: BTreeMap::new(), life: CancellationToken::new() };
    for node in nodes {
        let path = folder.join(format!("{node}.sock"));
        let listener = listen(&path)?;
        let plugin = EmulatedPlugin { emulated: emulated.clone(), node: node.clone() };
        let routes = csi::routes(plugin.clone());
        let handle: Handle = match face {
            Face::Csi => {
                Box::new(move |stream, life| drop(tokio::spawn(serve::connection(stream, routes.clone(), life))))
            }
            Face::Docker => {
                Box::new(move |stream, life| drop(tokio::spawn(docker::connection(stream, plugin.clone(), life))))
            }
        };
        tokio::spawn(keep(emulated.clone(), node.clone(), path.clone(), listener, handle, sockets.life.clone()));
        sockets.nodes.insert(node.clone(), path);
    }
    Ok(sockets)
}

/// What is done with a connection.
type Handle = Box<dyn Fn(UnixStream, CancellationToken) + Send + Sync>;

fn listen(path: &Path) -> Result<UnixListener> {
    let _ = std::fs::remove_file(path); // what a plugin left that was killed
    UnixListener::bind(path).map_err(|error| Error::lab_io(path.display(), error))
}

/// A plugin's life, from one start to the next.
async fn keep(
    emulated: Emulated,
    node: String,
    path: PathBuf,
    listener: UnixListener,
    handle: Handle,
    life: CancellationToken,
) {
    let mut listener = Some(listener);
    let mut held = Vec::new();
    while !life.is_cancelled() {
        let served = life.child_token();
        let health = emulated.health(&node);
        let accepting = async {
            let Some(listener) = listener.as_ref().filter(|_| health != Health::Dead) else {
                return std::future::pending().await;
            };
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                if health == Health::Hung {
                    held.push(stream); // it is answered once the plugin goes on
                } else {
                    handle(stream, served.clone());
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
                held.clear();
                served.cancel();
            }
            Health::Running => {
                if listener.is_none() {
                    listener = listen(&path).ok();
                }
                held.drain(..).for_each(|stream| handle(stream, life.child_token()));
            }
            Health::Hung => {}
        }
    }
}
