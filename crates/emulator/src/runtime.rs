//! The containers that run: each serves the test container's service on its published ports.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::cli::Cli;
use super::faults::{End, Faults};
use super::layer::Faulty;
use super::stall::{Stall, Stalling};
use super::store::{Ailment, Container};
use holdfast_cntrsrv as cntr;
use holdfast_net::serve;
use holdfast_wire::ledger::ledger_server::LedgerServer;

/// What runs on one control processor.
pub struct Runtime {
    host: IpAddr,
    tls: Arc<ServerConfig>,
    faults: Faults,
    /// What lets connections in, and whose filter it is, where there is one.
    filter: Option<(Arc<Cli>, usize)>,
    running: Mutex<HashMap<String, Task>>,
}

struct Task {
    life: CancellationToken,
    ports: TaskTracker,
}

impl Runtime {
    pub fn new(host: IpAddr, tls: Arc<ServerConfig>, faults: Faults, filter: Option<(Arc<Cli>, usize)>) -> Self {
        Self { host, tls, faults, filter, running: Mutex::default() }
    }

    pub fn runs(&self, name: &str) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// Opens the container's ports. Fails where one is taken, and then none is open.
    pub fn start(&self, container: &Container, ledger: LedgerServer<cntr::ledger::LedgerService>) -> io::Result<()> {
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
        let task = Task { life, ports };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(container.name.clone(), task);
        Ok(())
    }

    /// Ends a container and waits until its ports are closed. Whether it ran.
    pub async fn stop(&self, name: &str) -> bool {
        let task = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        match task {
            None => false,
            Some(task) => {
                task.life.cancel();
                task.ports.wait().await;
                true
            }
        }
    }

    /// Ends all, as a control processor's fall does.
    pub async fn stop_all(&self) {
        let tasks: Vec<Task> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, task)| task).collect();
        for task in tasks {
            task.life.cancel();
            task.ports.wait().await;
        }
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
            let Ok((stream, _)) = listener.accept().await else { continue };
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
