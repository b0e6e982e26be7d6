//! The container runtime interface: pods of a container runtime on this machine, such as containerd.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::dial::Connection;
use crate::dial::answer::unless_it_panics;
use crate::dial::connection::Patience;
use crate::error::{ConnectFault, Error, Kind, Result};
use crate::wire::cri::runtime_service_client::RuntimeServiceClient;
use crate::wire::cri::{
    LinuxPodSandboxConfig, ListPodSandboxRequest, PodSandbox, PodSandboxConfig, PodSandboxMetadata,
    PodSandboxStatusRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StopPodSandboxRequest, VersionRequest,
    VersionResponse,
};

/// A runtime that takes its time over a pod is not gone.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(600), answer: Duration::from_secs(60) };

/// A container runtime, reached by its socket. Each call makes a connection of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRuntime {
    socket: PathBuf,
}

/// What a pod shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodOptions {
    /// Its name; its uid is made of it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What its network plugins are told of it.
    pub annotations: HashMap<String, String>,
    /// For whoever lists pods.
    pub labels: HashMap<String, String>,
}

impl ContainerRuntime {
    /// At the socket `path`.
    pub fn at(path: &Path) -> Self {
        Self { socket: path.to_owned() }
    }

    /// `runtime.v1.RuntimeService/Version`
    pub async fn version(&self, deadline: Instant) -> Result<VersionResponse> {
        self.call("Version", deadline, async |mut client| {
            client.version(VersionRequest { version: "v1".to_owned() }).await
        })
        .await
    }

    /// `runtime.v1.RuntimeService/RunPodSandbox`; the pod's id.
    pub async fn run_pod(&self, options: PodOptions, deadline: Instant) -> Result<String> {
        let metadata = PodSandboxMetadata {
            uid: format!("{}-uid", options.name),
            name: options.name,
            namespace: options.namespace,
            attempt: 0,
        };
        let config = PodSandboxConfig {
            metadata: Some(metadata),
            annotations: options.annotations,
            labels: options.labels,
            linux: Some(LinuxPodSandboxConfig::default()),
            ..PodSandboxConfig::default()
        };
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        let answer = self.call("RunPodSandbox", deadline, async |mut client| client.run_pod_sandbox(request).await);
        Ok(answer.await?.pod_sandbox_id)
    }

    /// `runtime.v1.RuntimeService/StopPodSandbox`
    pub async fn stop_pod(&self, pod_sandbox_id: String, deadline: Instant) -> Result<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id };
        self.call("StopPodSandbox", deadline, async |mut client| client.stop_pod_sandbox(request).await).await?;
        Ok(())
    }

    /// `runtime.v1.RuntimeService/RemovePodSandbox`
    pub async fn remove_pod(&self, pod_sandbox_id: String, deadline: Instant) -> Result<()> {
        let request = RemovePodSandboxRequest { pod_sandbox_id };
        self.call("RemovePodSandbox", deadline, async |mut client| client.remove_pod_sandbox(request).await).await?;
        Ok(())
    }

    /// `runtime.v1.RuntimeService/PodSandboxStatus`; the pod's addresses.
    pub async fn pod_addresses(&self, pod_sandbox_id: String, deadline: Instant) -> Result<Vec<String>> {
        let request = PodSandboxStatusRequest { pod_sandbox_id, verbose: false };
        let answer =
            self.call("PodSandboxStatus", deadline, async |mut client| client.pod_sandbox_status(request).await);
        let network = answer.await?.status.and_then(|status| status.network).unwrap_or_default();
        let more = network.additional_ips.into_iter().map(|more| more.ip);
        Ok(std::iter::once(network.ip).chain(more).filter(|ip| !ip.is_empty()).collect())
    }

    /// `runtime.v1.RuntimeService/PodSandboxStatus`, verbose; the path of the pod's network namespace, where the runtime
    /// tells it as containerd does.
    pub async fn pod_namespace(&self, pod_sandbox_id: String, deadline: Instant) -> Result<Option<String>> {
        let request = PodSandboxStatusRequest { pod_sandbox_id, verbose: true };
        let answer =
            self.call("PodSandboxStatus", deadline, async |mut client| client.pod_sandbox_status(request).await);
        let info = answer.await?.info.remove("info").unwrap_or_default();
        let parsed: serde_json::Value = serde_json::from_str(&info).unwrap_or_default();
        let namespaces = parsed["runtimeSpec"]["linux"]["namespaces"].as_array().cloned().unwrap_or_default();
        let network = namespaces.iter().find(|namespace| namespace["type"] == "network");
        Ok(network.and_then(|namespace| namespace["path"].as_str()).map(str::to_owned))
    }

    /// `runtime.v1.RuntimeService/ListPodSandbox`
    pub async fn pods(&self, deadline: Instant) -> Result<Vec<PodSandbox>> {
        let request = ListPodSandboxRequest { filter: None };
        let answer = self.call("ListPodSandbox", deadline, async |mut client| client.list_pod_sandbox(request).await);
        Ok(answer.await?.items)
    }

    async fn call<T>(
        &self,
        name: &str,
        deadline: Instant,
        ask: impl AsyncFnOnce(RuntimeServiceClient<Connection>) -> std::result::Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T> {
        let begin = Instant::now();
        let asked = async {
            let connection = self.connect().await?;
            let origin = connection.origin();
            let client = RuntimeServiceClient::with_origin(connection, origin);
            unless_it_panics(ask(client))
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| Error::from_status(&status))
        };
        let answer = timeout_at(deadline, asked).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Timeout, "no answer in time").hint("give it longer: timeout=, in seconds"))
        });
        answer.map_err(|error| error.during(&self.socket.display().to_string(), name, begin.elapsed()))
    }

    async fn connect(&self) -> Result<Connection> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            Error::new(Kind::Connect(ConnectFault::Unreachable), error.to_string())
                .hint("is the runtime running, and may this user open its socket?")
                .caused_by(Arc::new(error))
        })?;
        Connection::plain(Box::new(stream), PATIENCE).await
    }
}
