//! Emulated containers: each serves the test container's service on its published ports.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::{ContainerRuntime, ContainerState, Failure, States, Stop};
use crate::cli::Cli;
use crate::faults::{End, Faults};
use crate::layer::Faulty;
use crate::shared::Defects;
use crate::sites::Step;
use crate::stall::{Stall, Stalling};
use crate::store::{Ailment, Container, Store};
use crate::trouble::not_accepted;
use holdfast_cntrsrv as cntr;
use holdfast_cntrsrv::ledger::{LedgerService, Volume};
use holdfast_net::serve;

/// What runs on one control processor.
pub struct EmulatedRuntime {
    pub host: IpAddr,
    pub tls: Arc<ServerConfig>,
    pub faults: Faults,
    /// What lets connections in, and whose filter it is, where there is one.
    pub filter: Option<(Arc<Cli>, usize)>,
    /// Where the volumes of its containers lie,
    pub store: Arc<Store>,
    /// and the other control processor's, which has what a container wrote before that is acknowledged.
    pub peer: Arc<Store>,
    pub defects: Arc<Defects>,
    pub running: Running,
}

/// What runs, by name.
#[derive(Default)]
pub struct Running(Mutex<HashMap<String, Task>>);

struct Task {
    life: CancellationToken,
    ports: TaskTracker,
}

impl EmulatedRuntime {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Task>> {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container's ledger, on its volume if it has one for that: what it acknowledges, the peer has too.
    fn ledger(&self, container: &Container, life: CancellationToken) -> LedgerService {
        let environment = container.environment.clone().into_iter().collect();
        let Some((volume, file)) = Store::ledger_of(container) else {
            let nowhere = LedgerService::new(PathBuf::from("no volume/ledger"));
            return nowhere.emulated(environment, Volume::Elsewhere, Arc::new(|| Ok(())));
        };
        let path = self.store.volume_folder(volume).join(file);
        let (peer, defects, volume, original) =
            (self.peer.clone(), self.defects.clone(), volume.to_owned(), path.clone());
        let copy = move || {
            if defects.skips(Step::CopyWrites) {
                return Ok(());
            }
            peer.extend_copy(&volume, &original, || life.is_cancelled())
        };
        let seen = if container.read_only { Volume::ReadOnly } else { Volume::AsSeen };
        LedgerService::new(path).emulated(environment, seen, Arc::new(copy))
    }
}

#[tonic::async_trait]
impl ContainerRuntime for EmulatedRuntime {
    async fn states(&self) -> Result<States, Failure> {
        Ok(self.running().keys().map(|name| (name.clone(), ContainerState::Running)).collect())
    }

    /// Opens the container's ports. Fails where one is taken, and then none is open.
    async fn start(&self, container: &Container, life: CancellationToken) -> Result<(), Failure> {
        let ledger = self.ledger(container, life).server();
        let routes = Routes::new(cntr::CntrService::server()).add_service(ledger);
        let own_port = own_port(&container.command);
        let published = if container.host_network && container.ports.is_empty() {
            vec![(own_port, own_port)]
        } else {
            container.ports.clone()
        };
        let (life, ports) = (CancellationToken::new(), TaskTracker::new());
        let mut listeners = Vec::new();
        if container.ailment == Ailment::Sound {
            for (inside, outside) in published {
                let address = SocketAddr::new(self.host, outside);
                let listener = serve::listen(address)
                    .map_err(|error| io::Error::new(error.kind(), format!("port {outside}: {error}")))?;
                listeners.push((listener, inside == own_port));
            }
        }
        for (listener, answers) in listeners {
            let port = Port {
                tls: self.tls.clone(),
                routes: answers.then(|| routes.clone()),
                faults: self.faults.clone(),
                filter: self.filter.clone(),
                life: life.clone(),
            };
            let serving = port.serve(listener);
            let life = life.clone();
            ports.spawn(async move { life.run_until_cancelled(serving).await });
        }
        ports.close();
        self.running().insert(container.name.clone(), Task { life, ports });
        Ok(())
    }

    async fn stop(&self, name: &str, _how: Stop) -> Result<(), Failure> {
        let task = self.running().remove(name);
        if let Some(task) = task {
            task.end().await;
        }
        Ok(())
    }

    async fn stop_all(&self) {
        let tasks: Vec<Task> = self.running().drain().map(|(_, task)| task).collect();
        for task in tasks {
            task.end().await;
        }
    }
}

impl Task {
    async fn end(self) {
        self.life.cancel();
        self.ports.wait().await;
    }
}

/// Where the container's program listens: its `--port`, or its default.
fn own_port(command: &[String]) -> u16 {
    let mut words = command.iter().flat_map(|part| part.split_whitespace());
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--port" | "-port", value)) => Some(value),
            None if matches!(word, "--port" | "-port") => words.next(),
            _ => None,
        };
        if let Some(port) = value.and_then(|value| value.parse().ok()) {
            return port;
        }
    }
    cntr::DEFAULT_PORT
}

/// A published port.
#[derive(Clone)]
struct Port {
    tls: Arc<ServerConfig>,
    /// None: nothing listens on that port inside the container.
    routes: Option<Routes>,
    faults: Faults,
    filter: Option<(Arc<Cli>, usize)>,
    life: CancellationToken,
}

impl Port {
    async fn serve(self, listener: TcpListener) {
        let number = listener.local_addr().map(|address| address.port()).unwrap_or_default();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    not_accepted("a container's port", &error).await;
                    continue;
                }
            };
            let Some(routes) = self.routes.clone() else { continue };
            let _ = stream.set_nodelay(true); // slower without it, and no worse
            let (port, life) = (self.clone(), self.life.clone());
            let filtered = self.filter.as_ref().is_some_and(|(cli, index)| !cli.has_opened(*index, number));
            tokio::spawn(async move {
                let serving = Box::pin(port.serve_one(stream, routes, filtered));
                life.run_until_cancelled(serving).await;
            });
        }
    }

    async fn serve_one(self, stream: TcpStream, routes: Routes, filtered: bool) {
        let stall = Stall::default();
        if filtered {
            stall.begin();
        }
        let mut stream = Stalling(stream, stall.clone());
        for site in ["cntr.accept", "cntr.accept.after"] {
            let mut outcome = self.faults.meet(site).await;
            match outcome.end() {
                Some(End::Failed(_)) => return, // the connection closes
                Some(End::Dropped | End::Hung) => stall.begin(),
                None if outcome.changes() => {
                    let spoilt = match outcome.answer() {
                        Some(object) => serde_json::to_vec(object).unwrap_or_default(),
                        None => outcome.change("", b"this is not TLS".to_vec()).unwrap_or_default(),
                    };
                    let _ = stream.write_all(&spoilt).await; // the peer left
                    return;
                }
                None => {}
            }
        }
        if let Ok(stream) = TlsAcceptor::from(self.tls).accept(stream).await {
            serve::connection(stream, Faulty::new(routes, self.faults, stall), self.life).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::own_port;

    #[test]
    fn the_command_says_where_the_program_listens() {
        let words = |text: &str| vec![text.to_owned()];
        assert_eq!(own_port(&words("./cntrsrv")), 60061);
        assert_eq!(own_port(&words("./cntrsrv --port 7")), 7);
        assert_eq!(own_port(&["./cntrsrv".to_owned(), "--port=8".to_owned()]), 8);
    }
}
