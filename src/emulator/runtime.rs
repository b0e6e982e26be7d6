//! The containers that run: each serves the test container's service on its published ports.

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

use super::faults::{End, Faults};
use super::layer::Faulty;
use super::stall::{Stall, Stalling};
use super::store::{Ailment, Container};
use crate::{cntr, serve};

/// What runs on one control processor.
pub struct Runtime {
    host: IpAddr,
    tls: Arc<ServerConfig>,
    faults: Faults,
    running: Mutex<HashMap<String, Task>>,
}

struct Task {
    life: CancellationToken,
    ports: TaskTracker,
}

impl Runtime {
    pub fn new(host: IpAddr, tls: Arc<ServerConfig>, faults: Faults) -> Self {
        Self { host, tls, faults, running: Mutex::default() }
    }

    pub fn runs(&self, name: &str) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// Opens the container's ports. Fails where one is taken, and then none is open.
    pub fn start(&self, container: &Container, ledger: Option<PathBuf>) -> io::Result<()> {
        let ledger = cntr::ledger::Service::server(ledger.unwrap_or_else(|| PathBuf::from("no volume/ledger")));
        let routes = Routes::new(cntr::Service::server()).add_service(ledger);
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
            let served = answers.then(|| routes.clone());
            let serving = serve_port(listener, self.tls.clone(), served, self.faults.clone(), life.clone());
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

async fn serve_port(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Option<Routes>,
    faults: Faults,
    life: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Some(routes) = routes.clone() else { continue }; // nothing listens on that port inside the container
        let _ = stream.set_nodelay(true); // slower without it, and no worse
        let (acceptor, faults, life) = (acceptor.clone(), faults.clone(), life.clone());
        tokio::spawn(async move {
            let serving = Box::pin(serve_one(stream, acceptor, routes, faults, life.clone()));
            life.run_until_cancelled(serving).await;
        });
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, routes: Routes, faults: Faults, life: CancellationToken) {
    let stall = Stall::default();
    let mut stream = Stalling(stream, stall.clone());
    for site in ["cntr.accept", "cntr.accept.after"] {
        let mut outcome = faults.meet(site).await;
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
    if let Ok(stream) = acceptor.accept(stream).await {
        serve::connection(stream, Faulty::new(routes, faults, stall), life).await;
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
