//! The plugins' sockets: each is there, refuses or says nothing as its plugin does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::docker;
use super::plugin::EmulatedPlugin;
use super::state::Health;
use super::world::Emulated;
use crate::csi;
use holdfast_net::error::{Error, Result};
use holdfast_net::serve;
use holdfast_net::waiting::pause;

/// After how long a connection is taken again that could not be, or a socket opened.
const TRY_AGAIN: Duration = Duration::from_millis(100);

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
    /// Of the one controller, where there is one.
    pub controller: Option<PathBuf>,
    life: CancellationToken,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.life.cancel();
        for path in self.nodes.values().chain(&self.controller) {
            let _ = std::fs::remove_file(path); // gone with its folder, or never made
        }
    }
}

/// Serves the plugin of each node in `folder`, as `NODE.sock`. Must be called within a runtime.
pub fn serve_plugins(emulated: &Emulated, nodes: &[String], folder: &Path, face: Face) -> Result<Sockets> {
    let mut sockets = Sockets { nodes: BTreeMap::new(), controller: None, life: CancellationToken::new() };
    if face == Face::Csi && emulated.ways().one_controller {
        let path = folder.join("controller.sock");
        let listener = listen(&path)?;
        let routes = csi::routes(EmulatedPlugin { emulated: emulated.clone(), node: String::new() });
        tokio::spawn(accept(listener, routes, sockets.life.clone()));
        sockets.controller = Some(path);
    }
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

/// A controller lives as long as its server's machine, which nobody harms.
async fn accept(listener: UnixListener, routes: Routes, life: CancellationToken) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                drop(tokio::spawn(serve::connection(stream, routes.clone(), life.clone())));
            }
            () = life.cancelled() => return,
        }
    }
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
    let mut served = life.child_token();
    let mut now = emulated.plugin_life(&node);
    while !life.is_cancelled() {
        let (health, deaths) = now;
        let accepting = async {
            let Some(listener) = listener.as_ref().filter(|_| health != Health::Dead) else {
                if health == Health::Running {
                    return pause(TRY_AGAIN).await; // its socket could not be opened
                }
                return std::future::pending().await;
            };
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!("the emulated plugin cannot take a connection: {error}: it is tried again");
                        pause(TRY_AGAIN).await; // it waits on, and so would be refused again and again
                        continue;
                    }
                };
                if health == Health::Hung {
                    held.push(stream); // it is answered once the plugin goes on
                } else {
                    handle(stream, served.clone());
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = emulated.changes_life(&node, now) => {}
            () = life.cancelled() => return,
        }
        now = emulated.plugin_life(&node);
        if now.1 != deaths {
            listener = None; // its socket stays, and refuses
            held.clear();
            served.cancel();
            served = life.child_token();
        }
        if now.0 == Health::Running {
            if listener.is_none() {
                listener = listen(&path).ok();
            }
            held.drain(..).for_each(|stream| handle(stream, served.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::emulated::{FAILPOINTS, Timings};
    use crate::faults::{Fault, Faults, Part};
    use holdfast_failpoint::Registry;

    const NODE: &str = "node1";

    fn served(folder: &Path) -> (Emulated, Sockets) {
        let nodes = [NODE.to_owned()];
        let emulated = Emulated::new(&nodes, Arc::new(Registry::new(FAILPOINTS, 0)), Timings::default());
        let sockets = serve_plugins(&emulated, &nodes, folder, Face::Csi).expect("sockets");
        (emulated, sockets)
    }

    fn inflict(emulated: &Emulated, fault: Fault) {
        emulated.inflict(NODE, fault, Instant::now() + Duration::from_secs(30)).expect("done");
    }

    async fn is_spoken_to(client: &mut UnixStream) {
        let _ = client.read_u8().await.expect("an HTTP/2 server speaks first");
    }

    async fn is_let_go(mut client: UnixStream) {
        let end = tokio::time::timeout(Duration::from_secs(30), client.read_to_end(&mut Vec::new())).await;
        drop(end.expect("the killed plugin holds its client"));
    }

    #[tokio::test]
    async fn a_plugin_that_was_killed_lets_go_of_its_clients_though_it_runs_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (emulated, sockets) = served(folder.path());
        let mut client = UnixStream::connect(&sockets.nodes[NODE]).await.expect("it is served");
        is_spoken_to(&mut client).await;
        inflict(&emulated, Fault::Kill(Part::Plugin));
        inflict(&emulated, Fault::Start(Part::Plugin));
        is_let_go(client).await;
        let mut client = UnixStream::connect(&sockets.nodes[NODE]).await.expect("it is served again");
        is_spoken_to(&mut client).await;
    }

    #[tokio::test]
    async fn a_plugin_that_hung_lets_go_of_its_clients_once_it_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (emulated, sockets) = served(folder.path());
        let mut before = UnixStream::connect(&sockets.nodes[NODE]).await.expect("it is served");
        is_spoken_to(&mut before).await;
        inflict(&emulated, Fault::Hang(Part::Plugin));
        let mut during = UnixStream::connect(&sockets.nodes[NODE]).await.expect("it is there");
        inflict(&emulated, Fault::Start(Part::Plugin));
        is_spoken_to(&mut during).await;
        inflict(&emulated, Fault::Kill(Part::Plugin));
        is_let_go(before).await;
        is_let_go(during).await;
    }
}
