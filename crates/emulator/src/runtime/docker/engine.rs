//! A Docker engine on this machine: reaching it, and what its refusals mean.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error as Refusal;
use bollard::query_parameters::ListNetworksOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::super::Failure;
use holdfast_net::error::{self, Error, chain};

/// For the engine to say that it is there.
const GREETING: Duration = Duration::from_secs(10);
/// For a call that moves no image and no volume, and waits for no container.
const CALL: Duration = Duration::from_secs(60);
/// For any other.
const LONGEST: Duration = Duration::from_secs(1800);
/// The oldest API that has all that is asked here: of Docker 20.10.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// An engine that answers.
#[derive(Clone)]
pub struct Engine {
    api: Docker,
    address: String,
    /// Whether its host network is not this machine's.
    pub rootless: bool,
    /// Whether it has a network for containers that publish ports.
    pub bridged: bool,
}

impl Engine {
    /// The engine at `unix:///PATH`.
    pub async fn connect(address: &str) -> error::Result<Self> {
        let Some(path) = address.strip_prefix("unix://") else {
            return Err(Error::invalid(format!("{address:?} is no socket of a Docker engine on this machine"))
                .hint("unix:///PATH: containers publish their ports on the emulated device's own address"));
        };
        // whether there is a socket is found out by dialling, which says what is wrong
        std::os::unix::net::UnixStream::connect(path).map_err(|error| unreachable(address, &error))?;
        let api = Docker::connect_with_unix(path, LONGEST.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| no_engine(address, &chain(&error)))?;
        let greeted = tokio::time::timeout(GREETING, async {
            let told = api.version().await?;
            let negotiated = api.negotiate_version().await?;
            Ok::<_, Refusal>((told, negotiated))
        });
        let (told, api) = greeted
            .await
            .map_err(|_| no_engine(address, &format!("no answer within {GREETING:?}")))?
            .map_err(|error| no_engine(address, &chain(&error)))?;
        if api.client_version() < OLDEST {
            let version = told.version.unwrap_or_else(|| "of an unknown version".to_owned());
            let what = format!("the Docker engine {version} at {address} speaks API {}", api.client_version());
            return Err(
                Error::lab(format!("{what}, and {OLDEST} is needed")).hint("update it to Docker 20.10 or newer")
            );
        }
        let engine = Self { api, address: address.to_owned(), rootless: false, bridged: true };
        let about = engine.call("info", engine.api.info()).await;
        let about = about.map_err(|failure| no_engine(address, &failure.to_string()))?;
        let rootless = about.security_options.iter().flatten().any(|option| option == "name=rootless");
        let filters = HashMap::from([("driver", vec!["bridge"])]);
        let asked = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = engine.call("list networks", engine.api().list_networks(Some(asked))).await;
        let bridged = !networks.is_ok_and(|networks| networks.is_empty()); // who does not tell may have one
        Ok(Self { rootless, bridged, ..engine })
    }

    /// Its API.
    pub fn api(&self) -> &Docker {
        &self.api
    }

    /// One call.
    pub async fn call<T>(&self, what: &str, asked: impl Future<Output = Result<T, Refusal>>) -> Result<T, Failure> {
        self.within(CALL, what, asked).await
    }

    /// One call that may take long.
    pub async fn long_call<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Failure> {
        self.within(LONGEST, what, asked).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        asked: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer.map_err(|refusal| self.failure(what, &refusal)),
            Err(_) => Err(self.away(what, &format!("no answer within {limit:?}"))),
        }
    }

    /// One call about something that may not be there, or no longer, or already be as it was asked to be: then None.
    pub async fn call_if_there<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Option<T>, Failure> {
        let settled = async {
            match asked.await {
                Err(refusal) if [304, 404].into_iter().any(|status| answered(&refusal, status)) => Ok(None),
                answer => answer.map(Some),
            }
        };
        self.call(what, settled).await
    }

    /// What a refusal means.
    pub fn failure(&self, what: &str, refusal: &Refusal) -> Failure {
        match refusal {
            Refusal::DockerResponseServerError { message, .. } | Refusal::DockerStreamError { error: message } => {
                if is_out_of_space(message) {
                    Failure::NoSpace(format!("{what}: the Docker engine at {}: {message}", self.address))
                } else {
                    Failure::Refused(format!("{what}: the Docker engine: {message}"))
                }
            }
            other => self.away(what, &chain(other)),
        }
    }

    fn away(&self, what: &str, why: &str) -> Failure {
        Failure::Away(format!("{what}: the Docker engine at {} does not answer: {why}", self.address))
    }
}

/// Whether a call was answered with this HTTP status.
pub fn answered(error: &Refusal, status: u16) -> bool {
    matches!(error, Refusal::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Engines hand on the operating system's own text for ENOSPC, and have no status for it.
fn is_out_of_space(message: &str) -> bool {
    message.contains("no space left on device")
}

fn unreachable(address: &str, error: &std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "this user may not open its socket: join the group that may (`sudo usermod -aG docker $USER`, then log in \
             again), or run a rootless engine and name its socket by --engine"
        }
        _ => {
            "start dockerd, or name the socket of one that runs: --engine unix:///PATH (in a suite the setting \
             engine=unix:///PATH of the emulated device), or DOCKER_HOST"
        }
    };
    Error::lab(format!("there is no Docker engine at {address}: {error}")).hint(hint)
}

fn no_engine(address: &str, why: &str) -> Error {
    Error::lab(format!("what listens at {address} is no Docker engine that can be used: {why}"))
        .hint("`docker --host ADDRESS version` shows what answers there")
}
