//! The test container's executable: serves Ping and Dial over TLS until SIGTERM, as PID 1 of a container or not.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use holdfast_cntrsrv as cntr;
use holdfast_net::serve;
use lexopt::Arg::Long;
use lexopt::ValueExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

const USAGE: &str = "usage: cntrsrv [--port PORT] [--ledger FILE] [--plugin-socket FILE]";

fn main() -> ExitCode {
    let options = match parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("cntrsrv: {}\n{USAGE}", in_words(error));
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

#[derive(Debug)]
struct Options {
    port: u16,
    ledger: PathBuf,
    /// Where it serves as a container engine's plugin too, if it does.
    plugin_socket: Option<PathBuf>,
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, lexopt::Error> {
    let ledger = PathBuf::from(cntr::ledger::PATH);
    let mut options = Options { port: cntr::DEFAULT_PORT, ledger, plugin_socket: None };
    let mut parser = lexopt::Parser::from_args(arguments.map(two_dashes));
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => {
                let port = parser.value()?.string()?;
                options.port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
            }
            Long("ledger") => options.ledger = file(&parser.value()?, "--ledger")?,
            Long("plugin-socket") => options.plugin_socket = Some(file(&parser.value()?, "--plugin-socket")?),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(options)
}

/// As Go's flag package, with which upstream's container is written: `-port` is `--port`.
fn two_dashes(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text == "-port" || text.starts_with("-port=") => format!("-{text}").into(),
        _ => argument,
    }
}

fn file(value: &OsStr, option: &str) -> Result<PathBuf, lexopt::Error> {
    if value.is_empty() {
        return Err(lexopt::Error::MissingValue { option: Some(option.to_owned()) });
    }
    Ok(PathBuf::from(value))
}

fn in_words(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedOption(argument) => format!("unknown argument {argument:?}"),
        lexopt::Error::UnexpectedArgument(argument) => format!("unknown argument {:?}", argument.to_string_lossy()),
        lexopt::Error::MissingValue { option: Some(option) } => format!("{option} needs a value"),
        error => error.to_string(),
    }
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
    let routes =
        Routes::new(cntr::CntrService::server()).add_service(cntr::ledger::LedgerService::new(ledger.clone()).server());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        parse(words.iter().map(OsString::from)).map_err(in_words)
    }

    #[test]
    fn a_port_is_taken_as_every_command_line_spells_it() {
        for words in [&["--port", "1"][..], &["--port=1"], &["-port", "1"], &["-port=1"], &["--port=2", "-port=1"]] {
            assert_eq!(parsed(words).expect("a port").port, 1, "{words:?}");
        }
        assert_eq!(parsed(&[]).expect("a port").port, cntr::DEFAULT_PORT);
    }

    #[test]
    fn files_are_taken_with_a_space_or_an_equals_sign() {
        let options = parsed(&["--ledger", "a=b", "--plugin-socket=/run/x.sock"]).expect("options");
        assert_eq!(options.ledger, PathBuf::from("a=b"));
        assert_eq!(options.plugin_socket, Some(PathBuf::from("/run/x.sock")));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for (words, said) in [
            (&["--port", "http"][..], "\"http\" is no port"),
            (&["--port=65536"], "\"65536\" is no port"),
            (&["--port="], "\"\" is no port"),
            (&["--port"], "--port needs a value"),
            (&["-port"], "--port needs a value"),
            (&["--ledger"], "--ledger needs a value"),
            (&["--ledger="], "--ledger needs a value"),
            (&["--plugin-socket="], "--plugin-socket needs a value"),
            (&["--help"], "unknown argument \"--help\""),
            (&["-p", "1"], "unknown argument \"-p\""),
            (&["-ports=1"], "unknown argument \"-p\""),
            (&["1"], "unknown argument \"1\""),
        ] {
            assert_eq!(parsed(words).expect_err(said), said, "{words:?}");
        }
    }
}
