//! One cluster: what is asked of its API, each call with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::{Api, Client, Config, Resource};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tonic::Code;

use super::kubeconfig;
use super::manifests::{self, Owner, RUN_LABEL};
use holdfast_net::error::{Error, Kind, Result, chain};
use holdfast_net::waiting::blocking::{until, wait_until};

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);
/// From one try to reach an API that is away to the next.
const AWAY: Duration = Duration::from_millis(250);
/// Finalizers of Kubernetes and of what drivers bring along begin like this, or are of these domains; all others are
/// somebody else's.
const OWN_FINALIZERS: [&str; 3] = ["external-attacher/", "foregroundDeletion", "orphan"];
const OWN_DOMAINS: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// How a cluster is reached, and what of it is the run's.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// A kubeconfig, or several as `$KUBECONFIG` has them.
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

/// What the API refused is told as it is; that it cannot be reached, or understood, is the lab's trouble, and so is what
/// its administrators do not allow: rights, quotas, policies.
fn told(error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => {
            let code = match status.code {
                401 => {
                    return Error::new(Kind::Status(Code::Unauthenticated), status.message.clone())
                        .hint("the kubeconfig's credentials are wrong, or have expired: log in again");
                }
                // the API itself asks no driver: what it refuses, rights, quotas and policies refuse
                400 | 403 | 422 => {
                    return Error::lab(status.message.clone())
                        .hint("`holdfast provider manifest` has the rights of a run; quotas and policies say no by themselves");
                }
                404 => Code::NotFound,
                409 if status.reason == "AlreadyExists" => Code::AlreadyExists,
                409 => Code::Aborted, // somebody else was quicker
                _ => return Error::lab(status.message.clone()),
            };
            Error::new(Kind::Status(code), status.message.clone())
        }
        kube::Error::Auth(_) => Error::lab(BY_HAND), // its own words may have secrets in them
        error if is_of_another(error) => Error::invalid(chain(error))
            .hint("whoever answers there is not whom the kubeconfig names: is it another cluster's?"),
        error => Error::lab(chain(error)).hint("is the API server alive, and is this its kubeconfig?"),
    }
}

/// Whether whoever answers is not whom the kubeconfig names: its certificate is of another authority, or for another
/// address, or it speaks no TLS. That does not pass.
fn is_of_another(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let of_io = error.downcast_ref::<std::io::Error>();
        if of_io.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData) {
            return true;
        }
        // what an I/O error is about is no source of it
        let within = of_io.and_then(std::io::Error::get_ref);
        cause = within.map(|within| within as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    false
}

/// Whether the API is away, or has no time: what was asked for is asked for again, which no call of ours minds.
fn is_away(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => !is_of_another(error),
        _ => false,
    }
}

/// Who keeps an object that would be gone else: finalizers of somebody else's, and nothing but those.
fn held(meta: &ObjectMeta) -> Option<String> {
    let is_own = |name: &String| {
        let domain = name.split_once('/').map_or(name.as_str(), |(domain, _)| domain);
        OWN_FINALIZERS.iter().any(|own| name.starts_with(own)) || OWN_DOMAINS.iter().any(|own| domain.ends_with(own))
    };
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    // a kubelet that is done with a pod says so by this
    let is_done = meta.deletion_timestamp.is_some() && meta.deletion_grace_period_seconds.unwrap_or(0) == 0;
    (is_done && !finalizers.is_empty() && !finalizers.iter().any(is_own)).then(|| finalizers.join(", "))
}

/// What to say of credentials that a program gives, which failed.
const BY_HAND: &str = "the program that the kubeconfig names for credentials failed: run it by hand to see why";

impl Cluster {
    /// Reaches a cluster once it answers. Must be called within a runtime, from where blocking is allowed.
    pub fn connect(options: ClusterOptions, deadline: Instant) -> Result<Self> {
        let file = options.kubeconfig.display().to_string();
        let bad = |error: KubeconfigError| kubeconfig::unreadable(&file, &error);
        let read = kubeconfig::read(&options.kubeconfig).map_err(bad)?;
        let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
        let runtime = Handle::current();
        let config = runtime.block_on(Config::from_custom_kubeconfig(read, &chosen)).map_err(bad)?;
        let address = config.cluster_url.to_string();
        // a program may give the credentials, and take as long as it likes
        let made = runtime.spawn_blocking(move || Client::try_from(config));
        let made = runtime.block_on(async { timeout_at(deadline.into(), made).await });
        let client = match made {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(kube::Error::Auth(_)))) => return Err(Error::invalid(format!("{file}: {BY_HAND}"))),
            Ok(Ok(Err(error))) => return Err(Error::invalid(format!("{file}: {}", chain(&error)))),
            Ok(Err(_)) | Err(_) => {
                return Err(Error::invalid(format!("{file}: its credentials did not come in time")).hint(BY_HAND));
            }
        };
        let cluster = Self { client, address, runtime, options };
        let mut last = None;
        let waited = wait_until(deadline, "the API of a Kubernetes", || {
            last = cluster.silence(Instant::now() + QUESTION);
            // a refusal of whoever asks stays one
            last.as_ref().is_none_or(|error| error.code().is_some() || error.kind == Kind::Invalid)
        });
        last.map_or_else(|| waited.map(|()| cluster), Err)
    }

    /// Why the API does not answer; none, where it does, and be it that it allows nobody to ask for its version.
    pub fn silence(&self, deadline: Instant) -> Option<Error> {
        let asked = self.client.apiserver_version();
        let answer = self.runtime.block_on(async { timeout_at(deadline.into(), asked).await });
        match answer {
            Ok(Ok(_)) => None,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => None,
            Ok(Err(error)) => {
                let told = told(&error);
                let message = format!("the API server cannot be asked: {}", told.message);
                Some(Error { message, ..told }.during(&self.address, "version", Duration::ZERO))
            }
            Err(_) => Some(Error::lab("the API server does not answer in time").hint("is it alive?")),
        }
    }

    /// The version of its API server.
    pub fn version(&self, deadline: Instant) -> Result<String> {
        let version = self.call("version", deadline, || self.client.apiserver_version())?;
        Ok(version.git_version)
    }

    /// The runtime that its calls run on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whose an object is that the run makes.
    pub fn owner(&self) -> Owner<'_> {
        let ClusterOptions { namespace, run, machine, process, .. } = &self.options;
        Owner { run, machine, process, namespace }
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
        self.within(&self.options.namespace)
    }

    /// Objects in a namespace.
    pub(super) fn within<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, name: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), name)
    }

    /// One call; while the API is away it is made again.
    pub fn call<T, F>(&self, what: &str, deadline: Instant, asked: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, kube::Error>>,
    {
        let began = Instant::now();
        let mut away: Option<Error> = None;
        let answer = until(deadline, AWAY, || {
            let asked = asked().boxed_local();
            match self.runtime.block_on(async { timeout_at(deadline.into(), asked).await }) {
                Ok(Ok(answer)) => Ok(Ok(answer)),
                Ok(Err(error)) if is_away(&error) => {
                    away = Some(told(&error));
                    Err(())
                }
                Ok(Err(error)) => Ok(Err(told(&error))),
                Err(_) => Ok(Err(away
                    .take()
                    .unwrap_or_else(|| Error::lab("no answer in time").hint("is the API server alive?")))),
            }
        });
        let unanswered = Error::lab("no answer in time");
        let answer = answer.unwrap_or_else(|()| Err(away.take().unwrap_or(unanswered)));
        answer.map_err(|error| error.during(&self.address, what, began.elapsed()))
    }

    /// Makes an object; one of this name is there already where this run made it before.
    pub fn create<K>(&self, api: &Api<K>, object: &K, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let what = format!("create a {}", K::kind(&()));
        let params = PostParams::default();
        match self.call(&what, deadline, || api.create(&params, object)) {
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
        match self.call(&format!("delete a {kind}"), deadline, || api.delete(name, params)) {
            Err(error) if error.code() == Some(Code::NotFound) => return Ok(()),
            answered => drop(answered?),
        }
        self.wait_gone(api, name, deadline)
    }

    /// Asks for the end of an object, and of no other of its name.
    pub fn delete_this<K>(&self, api: &Api<K>, object: &K, params: &DeleteParams, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let kind = K::kind(&());
        let meta = object.meta();
        let name = meta.name.clone().unwrap_or_default();
        let this = Preconditions { uid: meta.uid.clone(), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(this), ..params.clone() };
        match self.call(&format!("delete a {kind}"), deadline, || api.delete(&name, &params)) {
            // or there is another of its name by now
            Err(error) if matches!(error.code(), Some(Code::NotFound | Code::Aborted)) => Ok(()),
            answered => answered.map(drop),
        }
    }

    /// Waits until an object is gone; another of its name may be there.
    pub fn wait_this_gone<K>(&self, api: &Api<K>, object: &K, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        self.wait_end(api, &name, deadline, |found| found.meta().uid != object.meta().uid)
    }

    /// Waits until an object is gone.
    pub fn wait_gone<K>(&self, api: &Api<K>, name: &str, deadline: Instant) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.wait_end(api, name, deadline, |_| false)
    }

    /// Waits until there is none of this name, or but `another`; who keeps it, where somebody else does.
    fn wait_end<K>(&self, api: &Api<K>, name: &str, deadline: Instant, another: impl Fn(&K) -> bool) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let what = format!("the end of the {} {name}", K::kind(&()));
        let mut keeps = None;
        let waited = wait_until(deadline, &what, || match self.find(api, name, Instant::now() + QUESTION) {
            Ok(found) => {
                let found = found.filter(|found| !another(found));
                keeps = found.as_ref().and_then(|found| held(found.meta()));
                found.is_none()
            }
            Err(_) => false,
        });
        waited.map_err(|late| match keeps {
            Some(who) => Error::lab(format!("{}: somebody's finalizer keeps it: {who}", late.message))
                .hint("whoever put it there removes it; holdfast removes nobody's"),
            None => late,
        })
    }

    /// An object, where there is one of this name.
    pub fn find<K>(&self, api: &Api<K>, name: &str, deadline: Instant) -> Result<Option<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.call(&format!("get a {}", K::kind(&())), deadline, || api.get_opt(name))
    }

    /// All objects with these labels.
    pub fn list<K>(&self, api: &Api<K>, labels: &str, deadline: Instant) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let chosen = ListParams::default().labels(labels);
        let found = self.call(&format!("list {}", K::plural(&())), deadline, || api.list(&chosen))?;
        Ok(found.items)
    }

    /// Makes the run's namespace; `privileged` where its pods have folders of their nodes.
    pub fn make_namespace(&self, nodes: &[String], privileged: bool, deadline: Instant) -> Result<()> {
        let ClusterOptions { namespace, run, machine, process, .. } = &self.options;
        let made = manifests::namespace(namespace, run, machine, process, nodes, privileged)?;
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
            // a node that the cluster has forgotten is not
            self.is_ready(node, Instant::now() + QUESTION).is_ok_and(|found| found.unwrap_or(false) == ready)
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

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn what_the_administrators_do_not_allow_is_the_lab_s_trouble_and_no_refusal_of_the_provider() {
        let refused = |code: u16, reason: &str| {
            let status = Status { code, reason: reason.to_owned(), message: "no".to_owned(), ..Status::default() };
            told(&kube::Error::Api(Box::new(status)))
        };
        for (code, reason, means) in [
            (401, "Unauthorized", Some(Code::Unauthenticated)),
            (403, "Forbidden", None),
            (404, "NotFound", Some(Code::NotFound)),
            (409, "AlreadyExists", Some(Code::AlreadyExists)),
            (409, "Conflict", Some(Code::Aborted)),
            (400, "", None),
            (422, "Invalid", None),
            (429, "TooManyRequests", None),
            (500, "InternalError", None),
        ] {
            let error = refused(code, reason);
            assert_eq!(error.code(), means, "{code} {reason}");
            assert_eq!(matches!(error.kind, Kind::Lab), means.is_none(), "{code} {reason}: {error}");
        }
        assert!(refused(403, "Forbidden").hint.is_some_and(|hint| hint.contains("holdfast provider manifest")));
    }

    #[test]
    fn a_certificate_of_another_authority_does_not_pass_by_waiting_and_an_api_that_is_away_may() {
        use std::io::{Error as Io, ErrorKind};
        let within = |inner: Io| kube::Error::Service(Box::new(Io::other(inner)));
        let of_another = within(Io::new(ErrorKind::InvalidData, "invalid peer certificate"));
        assert!(is_of_another(&of_another) && !is_away(&of_another));
        assert_eq!(told(&of_another).kind, Kind::Invalid);
        let refused = within(ErrorKind::ConnectionRefused.into());
        assert!(!is_of_another(&refused) && is_away(&refused));
        assert_eq!(told(&refused).kind, Kind::Lab);
        let answered = |code: u16| kube::Error::Api(Box::new(Status { code, ..Status::default() }));
        assert!([429, 500, 503].into_iter().all(|code| is_away(&answered(code))));
        assert!([400, 401, 403, 404, 409, 422].into_iter().all(|code| !is_away(&answered(code))));
    }

    #[test]
    fn what_keeps_an_object_is_told_where_it_is_somebody_elses_alone() {
        let of = |finalizers: &[&str], grace: i64| ObjectMeta {
            finalizers: Some(finalizers.iter().map(|name| (*name).to_owned()).collect()),
            deletion_timestamp: crate::kubernetes::manifests::object(&serde_json::json!("2026-11-30T10:00:00Z")).ok(),
            deletion_grace_period_seconds: Some(grace),
            ..ObjectMeta::default()
        };
        assert_eq!(held(&of(&["example.com/a", "b"], 0)).as_deref(), Some("example.com/a, b"));
        assert_eq!(held(&of(&["example.com/a"], 10)), None, "its kubelet is not done");
        for own in ["kubernetes.io/pvc-protection", "external-attacher/d", "snapshot.storage.kubernetes.io/source"] {
            assert_eq!(held(&of(&["example.com/a", own], 0)), None, "{own}");
        }
        assert_eq!(held(&of(&[], 0)), None);
        assert_eq!(held(&ObjectMeta { deletion_timestamp: None, ..of(&["example.com/a"], 0) }), None);
    }

    #[test]
    fn what_a_program_for_credentials_printed_is_not_told() {
        let said = kube::client::AuthError::AuthExec("exit code 1: token=hunter2".to_owned());
        assert!(!told(&kube::Error::Auth(said)).to_string().contains("hunter2"));
    }
}
