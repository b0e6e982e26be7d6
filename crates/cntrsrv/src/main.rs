//! The test container's executable: serves Ping and Dial over TLS until SIGTERM, as PID 1 of a container or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use holdfast_cntrsrv as cntr;
use holdfast_net::serve;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

const USAGE: &str = "usage: cntrsrv [--port PORT] [--ledger FILE] [--plugin-socket FILE]";

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("cntrsrv: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(run(&options)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cntrsrv: port {}: {error}", options.port);
            ExitCode::FAILURE
        }
    }
}

struct Options {
    port: u16,
    ledger: PathBuf,
    /// Where it serves as a container engine's plugin too, if it does.
    plugin_socket: Option<PathBuf>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let ledger = PathBuf::from(cntr::ledger::PATH);
    let mut options = Options { port: cntr::DEFAULT_PORT, ledger, plugin_socket: None };
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (argument.clone(), arguments.next().unwrap_or_default()),
        };
        match name.as_str() {
            "--port" | "-port" => options.port = value.parse().map_err(|_| format!("{value:?} is no port"))?,
            "--ledger" if !value.is_empty() => options.ledger = PathBuf::from(value),
            "--plugin-socket" if !value.is_empty() => options.plugin_socket = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(options)
}

async fn run(options: &Options) -> std::io::Result<()> {
    let Options { port, ledger, plugin_socket } = options;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child = signal(SignalKind::child())?;
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port);
    let listener =
        serve::listen(any).or_else(|_| serve::listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port)))?;
    let acceptor = TlsAcceptor::from(serve::self_signed()?);
    let routes = Routes::new(cntr::Service::server()).add_service(cntr::ledger::Service::new(ledger.clone()).server());
    println!("cntrsrv listening on {}", listener.local_addr()?);
    let mut plugin = std::pin::pin!(async {
        match plugin_socket {
            Some(socket) => cntr::plugin::serve(socket).await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            ended = &mut plugin => return ended,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = child.recv() => reap(),
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true); // slower without it, and no worse
                let (acceptor, routes) = (acceptor.clone(), routes.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve::connection(stream, routes, CancellationToken::new()).await;
                    }
                });
            }
        }
    }
}

/// As PID 1 it inherits orphans, and takes their ends.
fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}
