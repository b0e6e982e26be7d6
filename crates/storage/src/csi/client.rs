//! A provider behind CSI v1: what an orchestrator asks of its plugins, strictly in the order of the life cycle.
//!
//! Long because each RPC of CSI has its method, and the life cycle is read in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tonic::{Code, Response, Status};

use super::trouble;
use crate::volumes::{Access, Attachment, Capability, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::dial::answer::unless_it_panics;
use holdfast_net::dial::connection::{ExpectedOutage, Patience, Watched};
use holdfast_net::dial::{Address, BoxedIo, Connection};
use holdfast_net::error::{ConnectFault, Error, Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_wire::csi;
use holdfast_wire::csi::controller_client::ControllerClient;
use holdfast_wire::csi::identity_client::IdentityClient;
use holdfast_wire::csi::node_client::NodeClient;

/// A driver that takes its time over a volume is not gone; deadlines say how long it may.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(600), answer: Duration::from_secs(60) };
/// For a plugin to say who it is, before another is asked.
const ATTEMPT: Duration = Duration::from_secs(1);
/// From one of them to the next.
const LOOK: Duration = Duration::from_millis(20);
/// What a driver may hand us to be told again, in bytes.
const MAX_CONTEXT: usize = 4 << 20;

/// Where a plugin serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = Error;

    /// `unix:///PATH` or `tcp://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::invalid(format!("{text:?} is no socket of a plugin: {why}"));
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp", address)) => {
                let found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.next();
                found.map(Self::Tcp).ok_or_else(|| wrong("the name has no address".to_owned()))
            }
            _ => Err(wrong("unix:///PATH or tcp://HOST:PORT".to_owned())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// Makes folders on nodes: the specification leaves it to the orchestrator.
pub trait Folders: Send + Sync {
    /// Makes one, with all above it; one that is there stays.
    fn make(&self, node: &str, path: &Path, deadline: Instant) -> Result<()>;
}

/// Where a driver is, and what it must be told.
#[derive(Clone, Default)]
pub struct CsiOptions {
    /// Its plugin on each node; none, where only its controller is asked.
    pub nodes: BTreeMap<String, Endpoint>,
    /// Its controller, where that is not one with the nodes'.
    pub controller: Option<Endpoint>,
    /// Where volumes are staged and published: a folder that is at the same path on each node.
    pub folder: PathBuf,
    /// Who makes folders on the nodes, where their files are not this machine's.
    pub folders: Option<Arc<dyn Folders>>,
    /// For each call that takes secrets.
    pub secrets: BTreeMap<String, String>,
    /// Whether it fences a node whose volume another takes.
    pub fences: bool,
}

/// A driver.
pub struct Csi {
    options: CsiOptions,
    runtime: Handle,
    provider: Provider,
    /// What the driver calls the nodes.
    ids: BTreeMap<String, String>,
    attaches: bool,
    stages: bool,
    /// The nodes that cannot be reached.
    away: Mutex<BTreeSet<String>>,
}

impl Csi {
    /// Asks each plugin who it is and what it can do. Must be called within a runtime, from where blocking is allowed.
    pub fn connect(options: CsiOptions, deadline: Instant) -> Result<Self> {
        let unknown = Provider::default();
        let mut csi = Self {
            options,
            runtime: Handle::current(),
            provider: unknown,
            ids: BTreeMap::new(),
            attaches: false,
            stages: false,
            away: Mutex::default(),
        };
        csi.introduce(deadline)?;
        Ok(csi)
    }

    fn introduce(&mut self, deadline: Instant) -> Result<()> {
        let any = self.options.controller.as_ref().or_else(|| self.options.nodes.values().next());
        let Some(first) = any.cloned() else {
            return Err(Error::invalid("no node has a plugin").hint("say where its sockets are, or how to start it"));
        };
        for node in self.options.nodes.keys() {
            self.ready(node, deadline)?; // it may be on its way up
        }
        let info = self.identity(&first, "GetPluginInfo", deadline, async |mut client| {
            client.get_plugin_info(csi::GetPluginInfoRequest {}).await
        })?;
        if info.name.is_empty() {
            let unnamed = Error::new(Kind::Expectation, "the driver has no name");
            return Err(unnamed.hint("GetPluginInfo must tell one"));
        }
        let offered = self.controller(&first, "ControllerGetCapabilities", deadline, async |mut client| {
            client.controller_get_capabilities(csi::ControllerGetCapabilitiesRequest {}).await
        })?;
        let can = controller_capabilities(&offered);
        self.attaches = can.contains(&csi::controller_service_capability::rpc::Type::PublishUnpublishVolume);
        for (node, socket) in self.options.nodes.clone() {
            let offered = self.node(&socket, "NodeGetCapabilities", deadline, async |mut client| {
                client.node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await
            })?;
            self.stages |=
                node_capabilities(&offered).contains(&csi::node_service_capability::rpc::Type::StageUnstageVolume);
            let info = self.node(&socket, "NodeGetInfo", deadline, async |mut client| {
                client.node_get_info(csi::NodeGetInfoRequest {}).await
            })?;
            if info.node_id.is_empty() {
                let why = format!("the plugin on {node} gives its node no id");
                return Err(Error::new(Kind::Expectation, why).hint("NodeGetInfo must tell one"));
            }
            self.ids.insert(node, info.node_id);
        }
        self.provider = Provider {
            name: info.name,
            version: info.vendor_version,
            capabilities: self.capabilities(&can),
            emulated: info.manifest.get("emulated").cloned().unwrap_or_default(),
        };
        Ok(())
    }

    fn capabilities(&self, can: &[csi::controller_service_capability::rpc::Type]) -> BTreeSet<Capability> {
        use csi::controller_service_capability::rpc::Type;
        let mut capabilities =
            BTreeSet::from([Capability::Size, Capability::Parameters, Capability::RefusesUnknownParameters]);
        for (offered, capability) in [
            (Type::PublishUnpublishVolume, Capability::Attach),
            (Type::ListVolumes, Capability::List),
            (Type::ListVolumesPublishedNodes, Capability::ListNodes),
        ] {
            if can.contains(&offered) {
                capabilities.insert(capability);
            }
        }
        if self.options.fences {
            capabilities.insert(Capability::Fence);
        }
        capabilities
    }

    /// The controller, as the plugin on `node` serves it where none serves it alone.
    fn controller_at(&self, node: &str) -> Result<Endpoint> {
        match &self.options.controller {
            Some(controller) => Ok(controller.clone()),
            None => self.socket(node),
        }
    }

    fn socket(&self, node: &str) -> Result<Endpoint> {
        self.options.nodes.get(node).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.options.nodes.keys().map(String::as_str).collect();
            Error::invalid(format!("there is no plugin on {node:?}")).hint(format!("one of: {}", known.join(", ")))
        })
    }

    fn id(&self, node: &str) -> Result<String> {
        if self.options.nodes.is_empty() {
            return Ok(node.to_owned()); // a plugin asks, which knows the ids
        }
        self.socket(node)?;
        Ok(self.ids.get(node).cloned().unwrap_or_default())
    }

    /// A controller that answers, of another node than `node` if there is one: that may be dead.
    fn any_controller(&self, node: &str, deadline: Instant) -> Result<Endpoint> {
        if let Some(controller) = &self.options.controller {
            return Ok(controller.clone());
        }
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (own, others): (Vec<_>, Vec<_>) = self.options.nodes.iter().partition(|(name, _)| *name == node);
        let mut last = Error::new(Kind::Connect(ConnectFault::Unreachable), "no plugin can be reached");
        for (_, socket) in others.into_iter().chain(own).filter(|(name, _)| !away.contains(*name)) {
            match self.probe(socket, deadline.min(Instant::now() + ATTEMPT)) {
                Ok(()) => return Ok(socket.clone()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn probe(&self, socket: &Endpoint, deadline: Instant) -> Result<()> {
        let answer =
            self.identity(socket, "Probe", deadline, async |mut client| client.probe(csi::ProbeRequest {}).await)?;
        match answer.ready {
            Some(false) => Err(Error::new(Kind::Status(Code::Unavailable), "the plugin says that it is not ready")),
            _ => Ok(()),
        }
    }

    fn secrets(&self) -> std::collections::HashMap<String, String> {
        self.options.secrets.clone().into_iter().collect()
    }

    fn make_folder(&self, node: &str, path: &Path, deadline: Instant) -> Result<()> {
        match &self.options.folders {
            Some(folders) => folders.make(node, path, deadline),
            None => std::fs::create_dir_all(path).map_err(|error| Error::lab_io(path.display(), error)),
        }
    }

    fn staging(&self, volume: &Volume, node: &str) -> String {
        self.options.folder.join(node).join("staging").join(plain(&volume.id)).display().to_string()
    }

    fn target(&self, volume: &Volume, node: &str, task: &str) -> PathBuf {
        self.options.folder.join(node).join("published").join(plain(&volume.id)).join(plain(task))
    }

    fn identity<T>(
        &self,
        socket: &Endpoint,
        name: &str,
        deadline: Instant,
        ask: impl AsyncFnOnce(IdentityClient<Connection>) -> std::result::Result<Response<T>, Status>,
    ) -> Result<T> {
        self.call(socket, name, deadline, async |connection| {
            let origin = connection.origin();
            ask(IdentityClient::with_origin(connection, origin)).await
        })
    }

    fn controller<T>(
        &self,
        socket: &Endpoint,
        name: &str,
        deadline: Instant,
        ask: impl AsyncFnOnce(ControllerClient<Connection>) -> std::result::Result<Response<T>, Status>,
    ) -> Result<T> {
        self.call(socket, name, deadline, async |connection| {
            let origin = connection.origin();
            ask(ControllerClient::with_origin(connection, origin)).await
        })
    }

    fn node<T>(
        &self,
        socket: &Endpoint,
        name: &str,
        deadline: Instant,
        ask: impl AsyncFnOnce(NodeClient<Connection>) -> std::result::Result<Response<T>, Status>,
    ) -> Result<T> {
        self.call(socket, name, deadline, async |connection| {
            let origin = connection.origin();
            ask(NodeClient::with_origin(connection, origin)).await
        })
    }

    fn call<T>(
        &self,
        socket: &Endpoint,
        name: &str,
        deadline: Instant,
        ask: impl AsyncFnOnce(Connection) -> std::result::Result<Response<T>, Status>,
    ) -> Result<T> {
        let began = Instant::now();
        let asked = async {
            let connection = connect(socket).await?;
            unless_it_panics(ask(connection)).await.map(Response::into_inner).map_err(|status| trouble::error(&status))
        };
        let answer = self.runtime.block_on(async { timeout_at(deadline.into(), asked).await }).unwrap_or_else(|_| {
            Err(Error::new(Kind::Timeout, "no answer in time").hint("is the plugin alive? Deadlines are settings"))
        });
        answer.map_err(|error| error.during(&socket.to_string(), name, began.elapsed()))
    }
}

/// Whether an error may be gone soon.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind,
        Kind::Timeout
            | Kind::Connect(ConnectFault::Unreachable)
            | Kind::Status(Code::Unavailable | Code::DeadlineExceeded)
    )
}

/// One connection for each call: a plugin that was replaced is met at once.
async fn connect(endpoint: &Endpoint) -> Result<Connection> {
    let stream: std::io::Result<BoxedIo> = match endpoint {
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as BoxedIo),
        Endpoint::Tcp(address) => TcpStream::connect(address).await.map(|stream| Box::new(stream) as BoxedIo),
    };
    let stream = stream.map_err(|error| {
        Error::new(Kind::Connect(ConnectFault::Unreachable), error.to_string())
            .hint("is the plugin running, and may this user open its socket?")
    })?;
    let local = Address { host: "localhost".to_owned(), port: 0 };
    let watched = Watched { patience: PATIENCE, outage: ExpectedOutage::default(), alone: true };
    Connection::establish(stream, &local, false, None, watched).await
}

/// A name that is one folder's, whatever a driver calls its volumes.
fn plain(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|each| if each.is_ascii_alphanumeric() || "-_.".contains(each) { each } else { '_' })
        .collect();
    match name.trim_start_matches('.') {
        "" => "_".to_owned(),
        name => name.chars().take(200).collect(),
    }
}

fn controller_capabilities(
    offered: &csi::ControllerGetCapabilitiesResponse,
) -> Vec<csi::controller_service_capability::rpc::Type> {
    use csi::controller_service_capability::Type;
    let types = offered.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    types.map(|Type::Rpc(rpc)| rpc.r#type()).collect()
}

fn node_capabilities(offered: &csi::NodeGetCapabilitiesResponse) -> Vec<csi::node_service_capability::rpc::Type> {
    use csi::node_service_capability::Type;
    let types = offered.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    types.map(|Type::Rpc(rpc)| rpc.r#type()).collect()
}

fn capability(filesystem: &str, access: Access) -> csi::VolumeCapability {
    use csi::volume_capability::access_mode::Mode;
    use csi::volume_capability::{AccessMode, AccessType, MountVolume};
    let mode = match access {
        Access::SingleNodeWriter => Mode::SingleNodeWriter,
        Access::SingleNodeReaderOnly => Mode::SingleNodeReaderOnly,
        Access::MultiNodeReaderOnly => Mode::MultiNodeReaderOnly,
        Access::MultiNodeMultiWriter => Mode::MultiNodeMultiWriter,
    };
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Mount(MountVolume { fs_type: filesystem.to_owned(), ..MountVolume::default() })),
    }
}

fn checked(context: std::collections::HashMap<String, String>, what: &str) -> Result<BTreeMap<String, String>> {
    let size: usize = context.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_CONTEXT {
        let why = format!("the driver's {what} has {size} bytes, and {MAX_CONTEXT} are taken");
        return Err(Error::new(Kind::Expectation, why));
    }
    Ok(context.into_iter().collect())
}

impl Volumes for Csi {
    fn provider(&self) -> Provider {
        self.provider.clone()
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let began = Instant::now();
        let socket = self.controller_at(node)?;
        let wanted = capability(&request.filesystem, request.access);
        let required_bytes = i64::try_from(request.bytes).unwrap_or(i64::MAX);
        let create = csi::CreateVolumeRequest {
            name: request.name.clone(),
            capacity_range: Some(csi::CapacityRange { required_bytes, limit_bytes: 0 }),
            volume_capabilities: vec![wanted.clone()],
            parameters: request.parameters.clone().into_iter().collect(),
            secrets: self.secrets(),
            ..csi::CreateVolumeRequest::default()
        };
        let made =
            self.controller(&socket, "CreateVolume", deadline, async |mut client| client.create_volume(create).await)?;
        let made = made.volume.filter(|made| !made.volume_id.is_empty()).ok_or_else(|| {
            Error::new(Kind::Expectation, "the driver answered CreateVolume without a volume id").during(
                "",
                "CreateVolume",
                began.elapsed(),
            )
        })?;
        let mut volume = Volume {
            id: made.volume_id,
            name: request.name.clone(),
            // 0 is "unknown"
            bytes: u64::try_from(made.capacity_bytes).ok().filter(|bytes| *bytes > 0),
            parameters: None,
            nodes: None,
            filesystem: request.filesystem.clone(),
            access: request.access,
            context: checked(made.volume_context, "volume context")?,
            block: request.block,
        };
        volume.parameters = self.parameters_in_force(&socket, &volume, request, wanted, deadline)?;
        Ok(volume)
    }

    fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        let delete = csi::DeleteVolumeRequest { volume_id: volume.id.clone(), secrets: self.secrets() };
        let socket = self.controller_at(node)?;
        self.controller(&socket, "DeleteVolume", deadline, async |mut client| client.delete_volume(delete).await)
            .map(drop)
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        if !self.provider.capabilities.contains(&Capability::List) {
            return Ok(Vec::new());
        }
        let socket = self.any_controller(if self.options.nodes.len() > 1 { node } else { "" }, deadline)?;
        let (mut volumes, mut token) = (Vec::new(), String::new());
        loop {
            let list = csi::ListVolumesRequest { max_entries: 0, starting_token: token.clone() };
            let page =
                self.controller(&socket, "ListVolumes", deadline, async |mut client| client.list_volumes(list).await)?;
            for entry in page.entries {
                let nodes =
                    entry.status.map(|status| status.published_node_ids.iter().map(|id| self.name_of(id)).collect());
                let Some(volume) = entry.volume else { continue };
                volumes.push(Volume {
                    id: volume.volume_id,
                    nodes: nodes.filter(|_| self.provider.capabilities.contains(&Capability::ListNodes)),
                    bytes: u64::try_from(volume.capacity_bytes).ok().filter(|bytes| *bytes > 0),
                    context: checked(volume.volume_context, "volume context")?,
                    ..Volume::default()
                });
            }
            if page.next_token.is_empty() || page.next_token == token {
                return Ok(volumes);
            }
            token = page.next_token;
        }
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        if !self.attaches {
            return Ok(Attachment::default());
        }
        let socket = self.any_controller(node, deadline)?;
        let publish = csi::ControllerPublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: self.id(node)?,
            volume_capability: Some(capability(&volume.filesystem, volume.access)),
            readonly: false,
            secrets: self.secrets(),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        let answer = self.controller(&socket, "ControllerPublishVolume", deadline, async |mut client| {
            client.controller_publish_volume(publish).await
        })?;
        Ok(Attachment { context: checked(answer.publish_context, "publish context")? })
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        if !self.attaches {
            return Ok(());
        }
        let socket = self.any_controller(node, deadline)?;
        let unpublish = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: self.id(node)?,
            secrets: self.secrets(),
        };
        let answer = self.controller(&socket, "ControllerUnpublishVolume", deadline, async |mut client| {
            client.controller_unpublish_volume(unpublish).await
        });
        match answer {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, node: &str, deadline: Instant) -> Result<()> {
        if !self.stages {
            return Ok(());
        }
        let path = self.staging(volume, node);
        self.make_folder(node, Path::new(&path), deadline)?;
        let stage = csi::NodeStageVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: attachment.context.clone().into_iter().collect(),
            staging_target_path: path,
            volume_capability: Some(capability(&volume.filesystem, volume.access)),
            secrets: self.secrets(),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        let socket = self.socket(node)?;
        self.node(&socket, "NodeStageVolume", deadline, async |mut client| client.node_stage_volume(stage).await)
            .map(drop)
    }

    fn unstage(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        if !self.stages {
            return Ok(());
        }
        let path = self.staging(volume, node);
        let unstage = csi::NodeUnstageVolumeRequest { volume_id: volume.id.clone(), staging_target_path: path };
        let socket = self.socket(node)?;
        self.node(&socket, "NodeUnstageVolume", deadline, async |mut client| {
            client.node_unstage_volume(unstage).await
        })?;
        Ok(()) // the folder stays: to remove what is mounted on the node would detach it, from outside of its namespace
    }

    fn mount(
        &self,
        volume: &Volume,
        attachment: &Attachment,
        node: &str,
        task: &str,
        deadline: Instant,
    ) -> Result<PathBuf> {
        let target = self.target(volume, node, task);
        if let Some(parent) = target.parent() {
            self.make_folder(node, parent, deadline)?; // the rest is the driver's to make
        }
        let publish = csi::NodePublishVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: attachment.context.clone().into_iter().collect(),
            staging_target_path: if self.stages { self.staging(volume, node) } else { String::new() },
            target_path: target.display().to_string(),
            volume_capability: Some(capability(&volume.filesystem, volume.access)),
            readonly: volume.access.is_read_only(),
            secrets: self.secrets(),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        let socket = self.socket(node)?;
        self.node(&socket, "NodePublishVolume", deadline, async |mut client| {
            client.node_publish_volume(publish).await
        })?;
        Ok(target)
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        let target = self.target(volume, node, task).display().to_string();
        let unpublish = csi::NodeUnpublishVolumeRequest { volume_id: volume.id.clone(), target_path: target };
        let socket = self.socket(node)?;
        let answer = self.node(&socket, "NodeUnpublishVolume", deadline, async |mut client| {
            client.node_unpublish_volume(unpublish).await
        });
        match answer {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn trouble(&self, deadline: Instant) -> Option<Error> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reached = self.options.nodes.iter().filter(|(name, _)| !away.contains(*name));
        let mut answers = reached.map(|(_, socket)| self.probe(socket, deadline.min(Instant::now() + ATTEMPT)));
        answers.find_map(|answer| answer.err().filter(|error| error.kind == Kind::Lab))
    }

    fn answers(&self, node: &str, deadline: Instant) -> bool {
        let soon = deadline.min(Instant::now() + ATTEMPT);
        let Ok(socket) = self.socket(node) else { return false };
        let answer = self.identity(&socket, "Probe", soon, async |mut client| client.probe(csi::ProbeRequest {}).await);
        let none = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown];
        match answer {
            Ok(_) => true,
            Err(error) => error.kind == Kind::Lab || error.code().is_some_and(|code| !none.contains(&code)),
        }
    }

    fn reaches(&self, node: &str, reachable: bool) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if reachable {
            away.remove(node);
        } else {
            away.insert(node.to_owned());
        }
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        let socket = if self.options.nodes.is_empty() { self.controller_at(node)? } else { self.socket(node)? };
        let last_attempt = deadline.checked_sub(ATTEMPT).unwrap_or(deadline);
        blocking::until(last_attempt, LOOK, || match self.probe(&socket, deadline.min(Instant::now() + ATTEMPT)) {
            Err(error) if may_pass(&error) => Err(error),
            answer => Ok(answer),
        })?
    }
}

impl Csi {
    fn name_of(&self, id: &str) -> String {
        self.ids.iter().find(|(_, known)| *known == id).map_or(id, |(name, _)| name).to_owned()
    }

    /// What the driver confirms of the parameters; None where it does not tell.
    fn parameters_in_force(
        &self,
        socket: &Endpoint,
        volume: &Volume,
        request: &VolumeRequest,
        wanted: csi::VolumeCapability,
        deadline: Instant,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let validate = csi::ValidateVolumeCapabilitiesRequest {
            volume_id: volume.id.clone(),
            volume_context: volume.context.clone().into_iter().collect(),
            volume_capabilities: vec![wanted],
            parameters: request.parameters.clone().into_iter().collect(),
            secrets: self.secrets(),
            ..csi::ValidateVolumeCapabilitiesRequest::default()
        };
        let answer = self.controller(socket, "ValidateVolumeCapabilities", deadline, async |mut client| {
            client.validate_volume_capabilities(validate).await
        });
        let confirmed = match answer {
            Ok(answer) => answer.confirmed,
            Err(error) if error.code() == Some(Code::Unimplemented) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(match confirmed {
            None => Some(BTreeMap::new()),
            Some(confirmed) if confirmed.parameters.is_empty() && !request.parameters.is_empty() => None,
            Some(confirmed) => Some(confirmed.parameters.into_iter().collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_driver_calls_a_volume_is_one_folder() {
        for (id, folder) in
            [("volume-1", "volume-1"), ("../../etc", "_.._etc"), ("a/b c", "a_b_c"), ("", "_"), ("..", "_")]
        {
            assert_eq!(plain(id), folder);
        }
        assert_eq!(plain(&"x".repeat(4096)).len(), 200);
    }

    #[test]
    fn a_context_of_megabytes_is_refused() {
        let context = [("key".to_owned(), "x".repeat(10 << 20))].into();
        let refused = checked(context, "volume context").expect_err("too large");
        assert!(refused.to_string().contains("volume context has 10485763 bytes"), "{refused}");
    }
}
