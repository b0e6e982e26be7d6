//! One cluster: what is asked of its API, each call with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tonic::Code;

use super::manifests::{self, RUN_LABEL};
use crate::docker::chain;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

/// How a cluster is reached, and what of it is the run's.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// A kubeconfig.
    pub kubeconfig: PathBuf,
    /// The context in it; its current one where there is none.
    pub context: Option<String>,
    /// The namespace of the run, which is made, and removed at its end.
    pub namespace: String,
    /// The run.
    pub run: String,
    /// The machine that it is on.
    pub machine: String,
    /// What that machine knows its process by.
    pub process: String,
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    address: String,
    runtime: Handle,
    options: ClusterOptions,
}

/// What the API refused is told as it is; that it cannot be reached, or understood, is the lab's trouble.
fn told(error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => {
            let code = match status.code {
                403 => Code::PermissionDenied,
                404 => Code::NotFound,
                409 => Code::AlreadyExists,
                400 | 422 => Code::InvalidArgument,
                _ => return Error::lab(status.message.clone()),
            };
            Error::new(Kind::Status(code), status.message.clone())
        }
        error => Error::lab(chain(error)).hint("is the API server alive, and is this its kubeconfig?"),
    }
}

impl Cluster {
    /// Reaches a cluster once it answers. Must be called within a runtime, from where blocking is allowed.
    pub fn connect(options: ClusterOptions, deadline: Instant) -> Result<Self> {
        let file = options.kubeconfig.display().to_string();
        let bad = |error: &dyn std::error::Error| {
            Error::invalid(format!("{file}: {}", chain(error))).hint("give a kubeconfig, and a context that is in it")
        };
        let read = Kubeconfig::read_from(&options.kubeconfig).map_err(|error| bad(&error))?;
        let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
        let runtime = Handle::current();
        let config = runtime.block_on(Config::from_custom_kubeconfig(read, &chosen)).map_err(|error| bad(&error))?;
        let address = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| bad(&error))?;
        let cluster = Self { client, address, runtime, options };
        let mut last = None;
        let waited = wait_until(deadline, "the API of a Kubernetes", || {
            last = cluster.version(Instant::now() + QUESTION).err();
            last.as_ref().is_none_or(|error| error.code().is_some()) // a refusal is an answer, and stays one
        });
        last.map_or_else(|| waited.map(|()| cluster), Err)
    }

    /// The version of its API server.
    pub fn version(&self, deadline: Instant) -> Result<String> {
        let version = self.call("version", deadline, self.client.apiserver_version())?;
        Ok(version.git_version)
    }

    /// The runtime that its calls run on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The run that its objects belong to.
    pub fn run(&self) -> &str {
        &self.options.run
    }

    /// The run's namespace.
    pub fn namespace(&self) -> &str {
        &self.options.namespace
    }

    /// Objects that are in no namespace.
    pub fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Objects in the run's namespace.
    pub fn own<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }

    /// One call.
    pub fn call<T>(
        &self,
        what: &str,
        deadline: Instant,
        asked: impl Future<Output = std::result::Result<T, kube::Error>>,
    ) -> Result<T> {
        let began = Instant::now();
        let answer = self.runtime.block_on(async { timeout_at(deadline.into(), asked).await });
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => told(&error),
            Err(_) => Error::lab("no answer in time").hint("is the API server alive?"),
        };
        Err(error.during(&self.address, what, began.elapsed()))
    }

    /// Makes an object; one of this name is there already where this run made it before.
    pub fn create<K>(&self, api: &Api<K>, object: &K, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let what = format!("create a {}", K::kind(&()));
        match self.call(&what, deadline, api.create(&PostParams::default(), object)) {
            Err(error) if error.code() != Some(Code::AlreadyExists) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes an object, and waits until it is gone.
    pub fn remove<K>(&self, api: &Api<K>, name: &str, params: &DeleteParams, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let kind = K::kind(&());
        match self.call(&format!("delete a {kind}"), deadline, api.delete(name, params)) {
            Err(error) if error.code() == Some(Code::NotFound) => return Ok(()),
            answered => drop(answered?),
        }
        self.wait_gone(api, name, deadline)
    }

    /// Waits until an object is gone.
    pub fn wait_gone<K>(&self, api: &Api<K>, name: &str, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let what = format!("the end of the {} {name}", K::kind(&()));
        wait_until(deadline, &what, || matches!(self.find(api, name, Instant::now() + QUESTION), Ok(None)))
    }

    /// An object, where there is one of this name.
    pub fn find<K>(&self, api: &Api<K>, name: &str, deadline: Instant) -> Result<Option<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.call(&format!("get a {}", K::kind(&())), deadline, api.get_opt(name))
    }

    /// All objects with these labels.
    pub fn list<K>(&self, api: &Api<K>, labels: &str, deadline: Instant) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let chosen = ListParams::default().labels(labels);
        let found = self.call(&format!("list {}", K::plural(&())), deadline, api.list(&chosen))?;
        Ok(found.items)
    }

    /// Makes the run's namespace; `privileged` where its pods have folders of their nodes.
    pub fn make_namespace(&self, privileged: bool, deadline: Instant) -> Result<()> {
        let ClusterOptions { namespace, run, machine, process, .. } = &self.options;
        let made = manifests::namespace(namespace, run, machine, process, privileged)?;
        self.create(&self.all::<Namespace>(), &made, deadline)
    }

    /// The same cluster as another run sees it.
    #[must_use]
    pub fn of_run(&self, namespace: String, run: String) -> Self {
        Self { options: ClusterOptions { namespace, run, ..self.options.clone() }, ..self.clone() }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether a node is Ready; none, where there is no such node.
    pub fn is_ready(&self, node: &str, deadline: Instant) -> Result<Option<bool>> {
        let found = self.find(&self.all::<Node>(), node, deadline)?;
        Ok(found.map(|node| is_ready(&node)))
    }

    /// Waits until a node is Ready, or is so no more.
    pub fn wait_ready(&self, node: &str, ready: bool, deadline: Instant) -> Result<()> {
        let what = format!("what the cluster shall think of {node} ({})", if ready { "Ready" } else { "not Ready" });
        let waited = wait_until(deadline, &what, || {
            self.is_ready(node, Instant::now() + QUESTION).is_ok_and(|found| found == Some(ready))
        });
        waited.map_err(Error::of_lab)
    }

    /// What every object of the run is known by.
    pub fn own_label(&self) -> String {
        format!("{RUN_LABEL}={}", self.options.run)
    }
}

/// Whether the cluster thinks so.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
