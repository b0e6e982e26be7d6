//! A plugin of ours: identity, controller and node on one socket, or the controller apart.

mod controller;
mod features;
mod node;
mod ways;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::{messages, trouble};
use crate::volumes::{Access, Attachment, Capability, Volume, VolumeRequest};
pub use features::BackendFeatures;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_wire::csi::controller_server::ControllerServer;
use holdfast_wire::csi::identity_server::{Identity, IdentityServer};
use holdfast_wire::csi::node_server::NodeServer;
use holdfast_wire::csi::{self, volume_capability};
use ways::PutOff;
pub use ways::{Reach, Ways};

/// What a plugin of ours does, whatever its volumes are made of.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Its name, and what of it is emulated.
    fn about(&self) -> (&'static str, String);
    /// Its node, by name and id; empty where it is the controller of all.
    fn node(&self) -> &str;
    /// In which of the healthy ways it does it.
    fn ways(&self) -> Ways {
        Ways::default()
    }
    /// Why it does not stand by a volume that it made; nothing, where it does.
    fn doubt(&self) -> Option<String> {
        None
    }
    /// What it does beyond volumes, if anything.
    fn features(&self) -> Option<&dyn BackendFeatures> {
        None
    }
    /// Where on its node a volume is mounted, as far as it knows.
    fn published(&self, _volume: &str) -> Vec<PathBuf> {
        Vec::new()
    }
    /// Waits until it takes calls.
    fn ready(&self, deadline: Instant) -> Result<()>;
    /// As [`crate::Volumes::create`].
    fn create(&self, request: &VolumeRequest, deadline: Instant) -> Result<Volume>;
    /// As [`crate::Volumes::remove`].
    fn remove(&self, volume: &Volume, deadline: Instant) -> Result<()>;
    /// As [`crate::Volumes::list`].
    fn list(&self, deadline: Instant) -> Result<Vec<Volume>>;
    /// As [`crate::Volumes::attach`].
    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment>;
    /// As [`crate::Volumes::detach`].
    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()>;
    /// Makes an attached volume ready at `staging`.
    fn stage(&self, volume: &Volume, attachment: &Attachment, staging: &Path, deadline: Instant) -> Result<()>;
    /// The reverse.
    fn unstage(&self, volume: &str, staging: &Path, deadline: Instant) -> Result<()>;
    /// Mounts a staged volume at `target`, which it makes: a folder, or a file where the volume is a device.
    fn publish(&self, volume: &Volume, staging: &Path, target: &Path, deadline: Instant) -> Result<()>;
    /// The reverse.
    fn unpublish(&self, volume: &str, target: &Path, deadline: Instant) -> Result<()>;
    /// Whether a volume is mounted there.
    fn is_published(&self, volume: &str, target: &Path) -> bool;
}

/// What serves identity, controller and node; where there is one controller, that or the other two.
pub fn routes<B: Backend>(backend: B) -> Routes {
    let plugin = Plugin { ways: backend.ways(), put_off: PutOff::default(), backend };
    let mut routes = Routes::new(IdentityServer::new(plugin.clone()));
    if plugin.is_controller() {
        routes = routes.add_service(ControllerServer::new(plugin.clone()));
    }
    if plugin.is_on_a_node() {
        routes = routes.add_service(NodeServer::new(plugin));
    }
    routes
}

/// For one call: less than whoever calls has, so that it is told what was late.
const PATIENCE: Duration = Duration::from_secs(8);
const LONGEST_NAME: usize = 128;
const CAPACITY: i64 = 1 << 40;

/// The key of its topology.
const PLACE: &str = "topology.holdfast/place";

/// A plugin.
#[derive(Clone)]
struct Plugin<B: Backend> {
    /// What it does.
    backend: B,
    ways: Ways,
    put_off: PutOff,
}

type Answer<T> = std::result::Result<Response<T>, Status>;

fn status(error: &Error) -> Status {
    match error.kind {
        Kind::Status(code) => Status::new(code, error.message.clone()),
        Kind::Timeout => Status::deadline_exceeded(error.message.clone()),
        Kind::Invalid => Status::not_found(error.message.clone()),
        Kind::Lab => trouble::status(error),
        _ => Status::internal(error.to_string()),
    }
}

fn needed(value: &str, what: &str) -> std::result::Result<(), Status> {
    if value.is_empty() { Err(Status::invalid_argument(format!("{what} is missing"))) } else { Ok(()) }
}

/// What a capability asks for.
struct Asked {
    filesystem: String,
    access: Access,
    block: bool,
}

fn asked(capability: Option<&csi::VolumeCapability>) -> std::result::Result<Asked, Status> {
    use csi::volume_capability::access_mode::Mode;
    let capability = capability.ok_or_else(|| Status::invalid_argument("the volume capability is missing"))?;
    let (filesystem, block) = match &capability.access_type {
        Some(volume_capability::AccessType::Mount(mount)) => (mount.fs_type.clone(), false),
        Some(volume_capability::AccessType::Block(_)) => (String::new(), true),
        None => return Err(Status::invalid_argument("the access type is missing")),
    };
    let mode = capability.access_mode.as_ref().map_or(Mode::Unknown, csi::volume_capability::AccessMode::mode);
    let access = messages::access(mode);
    let access = access.ok_or_else(|| Status::invalid_argument("the access mode is missing or unknown"))?;
    Ok(Asked { filesystem, access, block })
}

/// The size that is asked for, in bytes.
fn size(range: Option<csi::CapacityRange>) -> std::result::Result<u64, Status> {
    let csi::CapacityRange { required_bytes, limit_bytes } = range.unwrap_or_default();
    match u64::try_from(required_bytes) {
        Ok(bytes) if limit_bytes == 0 || limit_bytes >= required_bytes => Ok(bytes),
        _ => Err(Status::out_of_range("no size is within the capacity range")),
    }
}

/// The part of a list that is asked for, and the token of what follows.
fn page<'a, T>(all: &'a [T], max_entries: i32, token: &str) -> std::result::Result<(&'a [T], String), Status> {
    let start = match token {
        "" => 0,
        token => token
            .parse()
            .ok()
            .filter(|start| *start <= all.len())
            .ok_or_else(|| Status::aborted(format!("{token:?} is no token that was given")))?,
    };
    let count = match usize::try_from(max_entries) {
        Ok(0) => all.len(),
        Ok(count) => count,
        Err(_) => return Err(Status::invalid_argument("max_entries is negative")),
    };
    let end = start.saturating_add(count).min(all.len());
    let next = if end < all.len() { end.to_string() } else { String::new() };
    Ok((&all[start..end], next))
}

fn place(name: &str) -> csi::Topology {
    csi::Topology { segments: [(PLACE.to_owned(), name.to_owned())].into() }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl<B: Backend> Plugin<B> {
    /// Does what blocks, in time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&B, Instant) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Status> {
        let backend = self.backend.clone();
        let done = tokio::task::spawn_blocking(move || work(&backend, Instant::now() + PATIENCE)).await;
        done.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| status(&error))
    }

    async fn volumes(&self) -> std::result::Result<Vec<Volume>, Status> {
        self.blocking(B::list).await
    }

    /// A capability that a volume may have of this plugin.
    fn offered(&self, capability: Option<&csi::VolumeCapability>) -> std::result::Result<Asked, Status> {
        let asked = asked(capability)?;
        if asked.block && !self.can(Capability::Block) {
            return Err(Status::invalid_argument("raw block volumes are not offered"));
        }
        Ok(asked)
    }

    async fn volume(&self, id: &str) -> std::result::Result<Volume, Status> {
        needed(id, "volume_id")?;
        let found = self.volumes().await?.into_iter().find(|volume| volume.id == id);
        found.ok_or_else(|| Status::not_found(format!("there is no volume {id}")))
    }

    fn is_on_a_node(&self) -> bool {
        !self.backend.node().is_empty()
    }

    fn is_controller(&self) -> bool {
        !self.ways.one_controller || !self.is_on_a_node()
    }

    async fn begin(&self, rpc: &'static str, about: &str) -> std::result::Result<(), Status> {
        self.ways.begin(&self.put_off, rpc, about).await
    }

    fn described(&self, volume: &Volume) -> csi::Volume {
        let places: &[String] = match self.ways.reach {
            Reach::Everywhere => &[],
            Reach::Zone => &["zone".to_owned()],
            Reach::Node => volume.accessible.as_deref().unwrap_or_default(),
        };
        csi::Volume {
            volume_id: volume.id.clone(),
            capacity_bytes: volume.bytes.filter(|_| self.ways.tells_capacity).map_or(0, signed),
            accessible_topology: places.iter().map(|name| place(name)).collect(),
            ..csi::Volume::default()
        }
    }
}

#[tonic::async_trait]
impl<B: Backend> Identity for Plugin<B> {
    async fn get_plugin_info(&self, _: Request<csi::GetPluginInfoRequest>) -> Answer<csi::GetPluginInfoResponse> {
        let (name, emulated) = self.backend.about();
        let manifest = [("emulated".to_owned(), emulated)].into();
        let (name, vendor_version) = (name.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(Response::new(csi::GetPluginInfoResponse { name, vendor_version, manifest }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Answer<csi::GetPluginCapabilitiesResponse> {
        use csi::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
        let services = [
            (service::Type::ControllerService, self.is_controller()),
            (service::Type::VolumeAccessibilityConstraints, self.ways.reach != Reach::Everywhere),
        ];
        let services = services.into_iter().filter(|(_, there)| *there);
        let service = |kind: service::Type| Type::Service(Service { r#type: kind.into() });
        let expansion = self.can(Capability::Expand).then(|| {
            let in_use = self.can(Capability::ExpandInUse);
            let kind = if in_use { volume_expansion::Type::Online } else { volume_expansion::Type::Offline };
            Type::VolumeExpansion(VolumeExpansion { r#type: kind.into() })
        });
        let all = services.map(|(kind, _)| service(kind)).chain(expansion);
        let capabilities = all.map(|kind| csi::PluginCapability { r#type: Some(kind) }).collect();
        Ok(Response::new(csi::GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<csi::ProbeRequest>) -> Answer<csi::ProbeResponse> {
        self.blocking(B::ready).await?;
        let ready = Some(self.ways.started(&self.put_off)?);
        Ok(Response::new(csi::ProbeResponse { ready }))
    }
}

fn not_offered<T>() -> Answer<T> {
    Err(Status::unimplemented("this is not offered, and nobody said that it is"))
}
