//! A provider behind Docker's volume plugin protocol, version 1: JSON over HTTP/1.1 to a plugin on each node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::mask::Mask;
use super::plugin_address::{PluginAddress, Surroundings, field};
use super::volumes::{Attachment, Capability, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::dial::BoxedIo;
use holdfast_net::dial::http1;
use holdfast_net::error::{ConnectFault, Error, Kind, Result};
use holdfast_net::waiting::{self, blocking};

const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// What a plugin may answer, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// So often is a plugin asked that ends the connection instead of an answer, as one is whose worker is replaced: engines
/// go on for half a minute.
const ATTEMPTS: u32 = 5;
/// Before the second; each pause after that is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// For one look whether a plugin is there.
const ATTEMPT: Duration = Duration::from_secs(1);
/// For the first list: who takes longer has one.
const LISTED: Duration = Duration::from_secs(5);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// By node, a process of it; none of one that is powered off.
pub type Processes = Arc<dyn Fn(&str) -> Option<u32> + Send + Sync>;

/// Where a plugin is, and what its volumes are made with.
#[derive(Clone)]
pub struct DockerPluginOptions {
    /// What it is called; the protocol does not tell.
    pub name: String,
    /// Its version; neither does it tell that.
    pub version: String,
    /// Where its plugin on each node serves.
    pub nodes: BTreeMap<String, PluginAddress>,
    /// A process of each node; where that is none, there are no nodes but this machine.
    pub processes: Option<Processes>,
    /// Whether it fences a node whose volume another takes.
    pub fences: bool,
    /// Whether other nodes have its volumes too; none, where the plugin's word counts.
    pub shared: Option<bool>,
    /// What of it is our own, in words for each report; empty where it is real.
    pub emulated: String,
    /// How long one call may take.
    pub limit: Duration,
    /// What no error may tell.
    pub mask: Mask,
}

impl Default for DockerPluginOptions {
    /// An engine waits for two minutes until a volume is made or mounted.
    fn default() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            nodes: BTreeMap::new(),
            processes: None,
            fences: false,
            shared: None,
            emulated: String::new(),
            limit: Duration::from_secs(120),
            mask: Mask::default(),
        }
    }
}

/// A plugin, on each node.
pub struct DockerPlugin {
    options: DockerPluginOptions,
    runtime: Handle,
    /// Whether other nodes have its volumes too.
    shared: bool,
    /// Whether it lists its volumes: engines go on without.
    lists: bool,
    /// By node, volume and id. An engine has an id for each container, and mounts once for it.
    mounted: Mutex<BTreeMap<(String, String, String), PathBuf>>,
}

impl DockerPlugin {
    /// Asks each plugin whether it drives volumes. Must be called within a runtime, from where blocking is allowed.
    pub fn connect(options: DockerPluginOptions, deadline: Instant) -> Result<Self> {
        let (runtime, mounted) = (Handle::current(), Mutex::default());
        let mut plugin = Self { options, runtime, shared: true, lists: true, mounted };
        for node in plugin.options.nodes.keys() {
            plugin.ready(node, deadline)?;
        }
        if let Some(node) = plugin.options.nodes.keys().next() {
            let soon = deadline.min(Instant::now() + LISTED);
            let listed = plugin.call(node, "VolumeDriver.List", &json!({}), soon);
            plugin.lists = listed.err().and_then(|error| error.code()) != Some(Code::Unimplemented);
        }
        plugin.shared = match plugin.options.shared {
            Some(shared) => shared,
            None => plugin.says_shared(deadline)?,
        };
        Ok(plugin)
    }

    /// What the plugins say of their volumes' scope. As an engine sees it: all that is not global is local, and so is
    /// what a plugin says that does not know the question.
    fn says_shared(&self, deadline: Instant) -> Result<bool> {
        for node in self.options.nodes.keys() {
            match self.call(node, "VolumeDriver.Capabilities", &json!({}), deadline) {
                Ok(answer) if is_global(&answer) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.code().is_some() => return Ok(false), // it answered
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn call(&self, node: &str, method: &str, body: &Value, deadline: Instant) -> Result<Value> {
        let known: Vec<&str> = self.options.nodes.keys().map(String::as_str).collect();
        let address = self.options.nodes.get(node).ok_or_else(|| {
            Error::invalid(format!("there is no plugin on {node:?}")).hint(format!("one of: {}", known.join(", ")))
        })?;
        let began = Instant::now();
        let limit = deadline.min(began + self.options.limit);
        let asked = self.persist(node, address, method, body, limit);
        let asked = async { timeout_at(limit.into(), asked).await };
        let answer = self.runtime.block_on(asked).unwrap_or_else(|_| {
            let hint = "is the plugin alive? How long a call may take is a setting (`calls: {default: …}`)";
            Err(Error::new(Kind::Timeout, "no answer in time").hint(hint))
        });
        let masked = answer.map_err(|error| self.options.mask.error(error));
        masked.map_err(|error| error.during(&address.to_string(), method, began.elapsed()))
    }

    /// Asks again where a connection ended without an answer. Where nobody listens nobody is asked again.
    async fn persist(
        &self,
        node: &str,
        address: &PluginAddress,
        method: &str,
        body: &Value,
        limit: Instant,
    ) -> Result<Value> {
        let (mut attempts, mut pause) = (1, FIRST_PAUSE);
        loop {
            let asked = async {
                let stream = address.connect(&self.surroundings(node)?).await?;
                ask(stream, method, body, &self.options.mask).await
            };
            match asked.await {
                Err(error) if attempts < ATTEMPTS && error.kind == DROPPED && Instant::now() + pause < limit => {
                    tracing::debug!("{method} once more: {error}");
                }
                Err(error) if attempts > 1 => {
                    let message = format!("{} (asked {attempts} times)", error.message);
                    return Err(Error { message, ..error });
                }
                answer => return answer,
            }
            waiting::pause(pause).await;
            (attempts, pause) = (attempts + 1, pause * 2);
        }
    }

    fn surroundings(&self, node: &str) -> Result<Surroundings> {
        let Some(processes) = &self.options.processes else { return Ok(Surroundings::default()) };
        let process = processes(node)
            .ok_or_else(|| Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{node} is powered off")))?;
        Ok(Surroundings { process: Some(process) })
    }

    fn mounted(&self) -> MutexGuard<'_, BTreeMap<(String, String, String), PathBuf>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<bool> {
        match self.call(node, "VolumeDriver.Get", &json!({"Name": volume.name}), deadline) {
            Ok(answer) => Ok(field(&answer, "Volume").is_object()),
            Err(error) if error.code().is_some() => Ok(false), // it answered, and does not know it
            Err(error) => Err(error),
        }
    }
}

/// A connection that ended without an answer.
const DROPPED: Kind = Kind::Connect(ConnectFault::NotGrpc);

/// Whether a plugin says that other nodes have its volumes too.
fn is_global(answer: &Value) -> bool {
    let scope = field(field(answer, "Capabilities"), "Scope").as_str();
    scope.is_some_and(|scope| scope.eq_ignore_ascii_case("global"))
}

/// What a plugin answers to a call. It must be an object, and what else it may be is no answer to an engine either.
pub(crate) async fn ask(stream: BoxedIo, method: &str, body: &Value, mask: &Mask) -> Result<Value> {
    let unreachable = |why: String| Error::new(Kind::Connect(ConnectFault::Unreachable), why);
    let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(format!("HTTP did not start: {error}")))?;
    let mut driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{method}"))
        .header(header::HOST, "plugin")
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::ACCEPT, CONTENT_TYPE)
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| Error::invalid(error.to_string()))?;
    let hint = "the socket must speak HTTP/1.1, as Docker's plugins do; that of a CSI driver wants `kind: csi`";
    let broken = |what: String| Error::new(DROPPED, what).hint(hint);
    let answer = http1::answer(send, request, &mut driver).await;
    let answer = answer.map_err(|error| broken(format!("no answer by HTTP: {}", error.why())))?;
    let status = answer.status();
    let read = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let bytes = read.map_err(|error| broken(format!("the answer broke off: {error}")))?.to_bytes();
    answered(status, &bytes, mask)
}

/// As an engine takes it: 200 is the one status that is no error, `null` tells of nothing, and what follows the first
/// value is not read.
fn answered(status: StatusCode, bytes: &[u8], mask: &Mask) -> Result<Value> {
    let refused = |why: String| Error::new(Kind::Status(Code::Unknown), why);
    // hidden before it is cut: half a secret is not known for one
    let began = || mask.hide(&String::from_utf8_lossy(bytes)).chars().take(60).collect::<String>();
    let text = String::from_utf8_lossy(bytes);
    let first = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next();
    let answer = match first {
        Some(Ok(Value::Null)) if status == StatusCode::OK => json!({}),
        Some(Ok(answer)) if status == StatusCode::OK || answer.is_object() => answer, // "404 page" begins with a number
        _ if status == StatusCode::NOT_FOUND => {
            let why = format!("there is no such call: HTTP status {status}: {:?}", began());
            return Err(Error::new(Kind::Status(Code::Unimplemented), why));
        }
        _ if status != StatusCode::OK => return Err(refused(format!("HTTP status {status}: {:?}", began()))),
        other => {
            let why = other.and_then(std::result::Result::err).map_or("it is empty".to_owned(), |why| why.to_string());
            let message = format!("the answer is no JSON ({why}): {:?}", began());
            return Err(Error::new(Kind::Status(Code::DataLoss), message));
        }
    };
    match field(&answer, "Err") {
        Value::String(why) if !why.is_empty() => Err(refused(why.clone())),
        Value::Null | Value::String(_) if status != StatusCode::OK => Err(refused(format!("HTTP status {status}"))),
        Value::Null | Value::String(_) if answer.is_object() => Ok(answer),
        _ => Err(Error::new(Kind::Status(Code::DataLoss), format!("the answer is of another form: {:?}", began()))),
    }
}

impl Volumes for DockerPlugin {
    fn provider(&self) -> Provider {
        let DockerPluginOptions { name, version, fences, emulated, .. } = self.options.clone();
        let mut capabilities = BTreeSet::from([Capability::Create]);
        if self.lists {
            capabilities.insert(Capability::List);
        }
        if fences {
            capabilities.insert(Capability::Fence);
        }
        if !self.shared {
            capabilities.insert(Capability::Local);
        }
        Provider { name, version, capabilities, emulated, ..Provider::default() }
    }

    /// As an engine does: who is known already is not made again.
    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let volume = Volume::by_name(request);
        self.attach(&volume, node, deadline).map(|_| volume)
    }

    fn remove(&self, _: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        for node in self.options.nodes.keys() {
            if self.knows(node, volume, deadline)? {
                self.call(node, "VolumeDriver.Remove", &json!({"Name": volume.name}), deadline)?;
            }
        }
        Ok(())
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        if !self.lists {
            return Ok(Vec::new());
        }
        let answer = self.call(node, "VolumeDriver.List", &json!({}), deadline)?;
        let volumes = field(&answer, "Volumes").as_array().into_iter().flatten();
        let names = volumes.filter_map(|volume| field(volume, "Name").as_str());
        Ok(names.map(|name| Volume { id: name.to_owned(), name: name.to_owned(), ..Volume::default() }).collect())
    }

    /// A plugin attaches nothing; but each must know the volume, as an engine sees to.
    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        if !self.knows(node, volume, deadline)? {
            let create = json!({"Name": volume.name, "Opts": volume.context});
            self.call(node, "VolumeDriver.Create", &create, deadline)?;
        }
        Ok(Attachment::default())
    }

    fn mount(&self, volume: &Volume, _: &Attachment, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        let key = (node.to_owned(), volume.name.clone(), task.to_owned());
        if let Some(path) = self.mounted().get(&key) {
            return Ok(path.clone());
        }
        let answer = self.call(node, "VolumeDriver.Mount", &json!({"Name": volume.name, "ID": task}), deadline)?;
        let answered = field(&answer, "Mountpoint");
        let path = answered.as_str().filter(|path| path.starts_with('/')).map(PathBuf::from);
        let path = path.ok_or_else(|| {
            let why = format!("Mount was answered without a path: {answered}");
            Error::new(Kind::Status(Code::DataLoss), why)
        })?;
        self.mounted().insert(key, path.clone());
        Ok(path)
    }

    /// As an engine does for `docker cp`: it mounts by the id of the container, which has the volume, and unmounts. Mounts
    /// are counted by id, or the second is refused.
    fn mount_again(
        &self,
        volume: &Volume,
        _: &Attachment,
        node: &str,
        task: &str,
        deadline: Instant,
    ) -> Result<Option<String>> {
        let asked = json!({"Name": volume.name, "ID": task});
        match self.call(node, "VolumeDriver.Mount", &asked, deadline) {
            Err(error) if error.code().is_some() => return Ok(Some(error.to_string())),
            answer => answer?,
        };
        self.call(node, "VolumeDriver.Unmount", &asked, deadline).map(|_| None)
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.mounted().remove(&(node.to_owned(), volume.name.clone(), task.to_owned()));
        match self.call(node, "VolumeDriver.Unmount", &json!({"Name": volume.name, "ID": task}), deadline) {
            // an engine unmounts once; who asks again may be told that there is nothing
            Err(error) if error.code() == Some(Code::Unknown) => {
                tracing::debug!("unmount of what may not be mounted: {error}");
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    fn answers(&self, node: &str, deadline: Instant) -> bool {
        let answer = self.call(node, "Plugin.Activate", &json!({}), deadline.min(Instant::now() + ATTEMPT));
        answer.map_or_else(|error| error.code().is_some(), |_| true)
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        let last_attempt = deadline.checked_sub(ATTEMPT).unwrap_or(deadline);
        let answer = blocking::until(last_attempt, LOOK, || {
            match self.call(node, "Plugin.Activate", &json!({}), deadline.min(Instant::now() + ATTEMPT)) {
                Err(error) if matches!(error.kind, Kind::Timeout | Kind::Connect(ConnectFault::Unreachable)) => {
                    Err(error)
                }
                answer => Ok(answer),
            }
        })??;
        let implements = field(&answer, "Implements");
        if implements.as_array().is_some_and(|all| all.iter().any(|each| each == "VolumeDriver")) {
            return Ok(());
        }
        let what = format!("the plugin is no volume driver: it implements {implements}");
        Err(Error::new(Kind::Expectation, what).during(node, "Plugin.Activate", Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// A peer that ends the conversation before it hears anything, as one does that wants a certificate.
    struct Ended;

    impl AsyncRead for Ended {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("an alert")))
        }
    }

    impl AsyncWrite for Ended {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn why_a_conversation_ended_is_told_whenever_it_did() {
        let deadline = Instant::now() + Duration::from_secs(60);
        for round in 0..500 {
            let asked = async { ask(Box::new(Ended), "Plugin.Activate", &json!({}), &Mask::default()).await };
            let answer = timeout_at(deadline.into(), asked).await.expect("an end, though the peer is gone");
            let error = answer.expect_err("nobody answers");
            assert!(error.message.contains("an alert"), "round {round}: {error}");
        }
    }

    #[test]
    fn what_is_no_answer_to_an_engine_is_none() {
        let said = |status: u16, text: &str| {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            answered(status, text.as_bytes(), &Mask::default()).map_err(|error| (error.code(), error.message))
        };
        assert_eq!(said(200, r#"{"Err": ""}"#), Ok(json!({"Err": ""})));
        assert_eq!(said(200, "{}"), Ok(json!({})));
        assert_eq!(said(500, r#"{"Err": "no"}"#), Err((Some(Code::Unknown), "no".to_owned())));
        assert_eq!(said(200, r#"{"Err": "no"}"#), Err((Some(Code::Unknown), "no".to_owned())));
        assert_eq!(said(200, r#"{"err": "no"}"#), Err((Some(Code::Unknown), "no".to_owned())));
        assert_eq!(said(200, "null"), Ok(json!({})));
        assert_eq!(said(200, "{}\n[1"), Ok(json!({})));
        for (status, text, why) in [
            (500, "{}", "HTTP status 500"),
            (404, "404 page not found", "404 page"),
            (201, "{}", "HTTP status 201"),
            (204, "", "HTTP status 204"),
            (200, "", "no JSON"),
            (200, "[]", "another form"),
            (200, r#"{"Err": {"why": "no"}}"#, "another form"),
            (200, r#"{"ERR": false}"#, "another form"),
        ] {
            let error = said(status, text);
            assert!(error.as_ref().is_err_and(|(_, message)| message.contains(why)), "{error:?}");
        }
    }

    #[test]
    fn a_key_may_be_in_any_letters_and_its_own_counts_first() {
        let answer = json!({"mountpoint": "/other", "Mountpoint": "/own", "capabilities": {"SCOPE": "Global"}});
        assert_eq!(field(&answer, "Mountpoint"), "/own");
        assert!(is_global(&answer));
        assert!(!is_global(&json!({"Capabilities": {"Scope": "worldwide"}})));
        assert_eq!(field(&json!([1]), "Err"), &Value::Null);
    }
}
