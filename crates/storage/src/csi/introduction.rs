//! Who a driver is, what it can do, and which of its plugins can do it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::calls::Caller;
use super::endpoint::Endpoint;
use super::options::CsiOptions;
use super::rpc::{Rpc, may_be_starting};
use super::services::{self, ATTEMPT, controller, identity, node};
use super::topology::Segments;
use crate::volumes::{Capability, Provider};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_wire::csi;
use holdfast_wire::csi::controller_service_capability::rpc::Type as OfController;
use holdfast_wire::csi::node_service_capability::rpc::Type as OfNode;
use holdfast_wire::csi::plugin_capability::service::Type as OfPlugin;
use holdfast_wire::csi::plugin_capability::volume_expansion::Type as OfExpansion;

/// What the plugins said of themselves.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a driver does or does not")]
pub struct Introduced {
    pub provider: Provider,
    /// What the driver calls the nodes.
    pub ids: BTreeMap<String, String>,
    /// The nodes whose plugin is a controller too.
    pub controllers: BTreeSet<String>,
    /// Where each node is, as the driver sees it; nothing, where its volumes are everywhere.
    pub topology: BTreeMap<String, Segments>,
    pub attaches: bool,
    /// For reading alone too, where that is wanted.
    pub attaches_read_only: bool,
    pub stages: bool,
    pub expands: Expansion,
    /// Whether one volume can be asked for, one snapshot, and how the controller finds volumes.
    pub gets_volumes: bool,
    pub lists_snapshots: bool,
    pub controller_tells_condition: bool,
    /// Whether a node's plugin tells how its volumes are.
    pub tells_condition: bool,
    /// Whether a node's plugin takes a group that volumes are mounted for.
    pub mounts_for_a_group: bool,
    /// It did not get beyond its start.
    starting: bool,
}

/// What a controller may have and nobody here asks for. It is listed as not checked.
const UNASKED: [OfController; 2] = [OfController::GetSnapshot, OfController::ModifyVolume];

/// Who makes volumes larger, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expansion {
    pub by_controller: bool,
    pub on_nodes: bool,
    /// While a node has them.
    pub in_use: bool,
}

/// What the plugins of all nodes can do, and what a plugin says of itself.
#[derive(Default)]
struct PluginCapabilities {
    services: Vec<OfPlugin>,
    expansion: Option<OfExpansion>,
}

/// How a plugin ended that should not have, where it did.
pub type Ended<'a> = &'a dyn Fn() -> Option<Error>;

/// As [`introduce`]. A driver that is there and does not introduce itself is at fault: that is what it is known by then.
/// Where nobody was ever met, or whoever was met is on the way up still, nothing can be said of it.
pub fn meet(options: &CsiOptions, caller: &Caller, ended: Ended<'_>, deadline: Instant) -> Result<Introduced> {
    let mut found = Introduced::default();
    let error = match introduce_into(&mut found, options, caller, deadline) {
        Ok(()) => return Ok(found),
        Err(error) => error,
    };
    let gone = |error: &Error| matches!(error.kind, Kind::Connect(_));
    let mut end = None;
    if caller.has_met_somebody() && !matches!(error.kind, Kind::Lab | Kind::Invalid) {
        // who waits for its end may know of it a moment later
        let _ = blocking::wait_until(Instant::now() + ATTEMPT, "its end", || {
            end = ended();
            end.is_some()
        });
    }
    let end = end.or_else(ended);
    let is_up = !found.starting && !gone(&error) && !matches!(error.kind, Kind::Lab | Kind::Invalid);
    if !caller.has_met_somebody() || (end.is_none() && !is_up) {
        return Err(end.unwrap_or(error));
    }
    let at = error.operation.as_deref().unwrap_or("what it says of itself").to_owned();
    let fault = end.map_or_else(|| error.reason(), |end| format!("{at}: {}", end.message));
    let name = if found.provider.name.is_empty() { "a driver".to_owned() } else { found.provider.name };
    let provider = Provider { name, version: found.provider.version, fault, ..Provider::default() };
    Ok(Introduced { provider, ..Introduced::default() })
}

/// Asks each plugin who it is and what it can do, once it is up.
pub fn introduce(options: &CsiOptions, caller: &Caller, deadline: Instant) -> Result<Introduced> {
    let mut found = Introduced::default();
    introduce_into(&mut found, options, caller, deadline).map(|()| found)
}

fn introduce_into(found: &mut Introduced, options: &CsiOptions, caller: &Caller, deadline: Instant) -> Result<()> {
    let any = options.controller.as_ref().or_else(|| options.nodes.values().next());
    let Some(first) = any else {
        return Err(Error::invalid("no node has a plugin").hint("say where its sockets are, or how to start it"));
    };
    for socket in options.controller.iter().chain(options.nodes.values()) {
        match services::ready(caller, socket, deadline) {
            Err(error) if error.code() == Some(Code::Unimplemented) => {
                if let Ok(info) = plugin_info(caller, socket, deadline) {
                    (found.provider.name, found.provider.version) = (info.name, info.vendor_version);
                    return Err(error); // of this version, and without what every plugin must have
                }
                *found = of_another_version(caller, first, deadline)?;
                return Ok(());
            }
            Err(error) => {
                found.starting = may_be_starting(&error);
                return Err(error);
            }
            Ok(()) => {}
        }
    }
    let info = plugin_info(caller, first, deadline)?;
    if info.name.is_empty() {
        let unnamed = Error::new(Kind::Expectation, "the driver has no name");
        return Err(unnamed.hint("GetPluginInfo must tell one"));
    }
    found.provider.emulated = info.manifest.get("emulated").cloned().unwrap_or_default();
    (found.provider.name, found.provider.version) = (info.name, info.vendor_version);
    let mut constrained = false;
    let mut online = None;
    if let Some(socket) = &options.controller {
        let plugin = plugin_capabilities(caller, socket, deadline)?;
        constrained |= plugin.services.contains(&OfPlugin::VolumeAccessibilityConstraints);
        online = online.or(plugin.expansion);
    }
    let mut of_nodes: Option<BTreeSet<OfNode>> = None;
    let mut nameless = None;
    for (name, socket) in &options.nodes {
        let plugin = plugin_capabilities(caller, socket, deadline)?;
        constrained |= plugin.services.contains(&OfPlugin::VolumeAccessibilityConstraints);
        online = online.or(plugin.expansion);
        if plugin.services.contains(&OfPlugin::ControllerService) {
            found.controllers.insert(name.clone());
        }
        let can = node_capabilities(caller, socket, deadline)?;
        found.stages |= can.contains(&OfNode::StageUnstageVolume);
        of_nodes = Some(of_nodes.map_or_else(|| can.clone(), |all| all.intersection(&can).copied().collect()));
        match found.add_node(name, caller, socket, deadline) {
            Err(error) if error.code() == Some(Code::Unimplemented) => nameless = Some(error),
            added => added?,
        }
    }
    let of_nodes = of_nodes.unwrap_or_default();
    found.tells_condition = of_nodes.contains(&OfNode::VolumeCondition);
    found.mounts_for_a_group = of_nodes.contains(&OfNode::VolumeMountGroup);
    let of_a_node = || found.controllers.first().and_then(|name| options.nodes.get(name));
    let Some(socket) = options.controller.as_ref().or_else(of_a_node) else {
        "it has no controller service, only that of nodes: nobody can be asked for a volume"
            .clone_into(&mut found.provider.lacks);
        return Ok(());
    };
    let can = match controller_capabilities(caller, socket, deadline) {
        // a driver's parts say of themselves what it is as a whole, and many are served by several programs
        Err(error) if error.code() == Some(Code::Unimplemented) && options.controller.is_none() => {
            let what = "its plugins on the nodes say CONTROLLER_SERVICE, and none serves it: is its controller a program of \
                        its own? Then the file names that under `controller:`";
            what.clone_into(&mut found.provider.lacks);
            return Ok(());
        }
        can => can?,
    };
    found.attaches = can.contains(&OfController::PublishUnpublishVolume);
    found.gets_volumes = can.contains(&OfController::GetVolume);
    found.lists_snapshots = can.contains(&OfController::ListSnapshots);
    found.controller_tells_condition = can.contains(&OfController::VolumeCondition);
    found.attaches_read_only = can.contains(&OfController::PublishReadonly);
    if let Some(error) = nameless.filter(|_| found.attaches) {
        return Err(error); // NodeGetInfo is for who attaches, by the id that it tells
    }
    if !can.contains(&OfController::CreateDeleteVolume) {
        "its controller does not have the capability CREATE_DELETE_VOLUME".clone_into(&mut found.provider.lacks);
    }
    if can.contains(&OfController::GetCapacity) {
        found.provider.minimum = minimum(caller, socket, deadline)?;
    }
    found.expands = Expansion {
        by_controller: can.contains(&OfController::ExpandVolume),
        on_nodes: of_nodes.contains(&OfNode::ExpandVolume),
        in_use: online == Some(OfExpansion::Online),
    };
    found.provider.unasked =
        UNASKED.into_iter().filter(|kind| can.contains(kind)).map(|kind| kind.as_str_name()).collect();
    found.provider.capabilities = capabilities(&can, &of_nodes, options.fences);
    found.provider.capabilities.extend(found.expands.capabilities());
    if !constrained || !options.topology {
        found.topology.clear();
    }
    if !found.topology.is_empty() {
        found.provider.capabilities.insert(Capability::Topology);
    }
    Ok(())
}

fn plugin_info(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<csi::GetPluginInfoResponse> {
    caller.ask(socket, Rpc::GetPluginInfo, deadline, async |connection| {
        identity(connection).get_plugin_info(csi::GetPluginInfoRequest {}).await
    })
}

impl Expansion {
    fn capabilities(self) -> impl Iterator<Item = Capability> {
        let some = self.by_controller || self.on_nodes;
        let named = [(Capability::Expand, some), (Capability::ExpandInUse, some && self.in_use)];
        named.into_iter().filter(|(_, there)| *there).map(|(capability, _)| capability)
    }
}

impl Introduced {
    fn add_node(&mut self, name: &str, caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<()> {
        let info = caller.ask(socket, Rpc::NodeGetInfo, deadline, async |connection| {
            node(connection).node_get_info(csi::NodeGetInfoRequest {}).await
        })?;
        if info.node_id.is_empty() {
            let why = format!("the plugin on {name} gives its node no id");
            return Err(Error::new(Kind::Expectation, why).hint("NodeGetInfo must tell one"));
        }
        if let Some((other, _)) = self.ids.iter().find(|(_, id)| **id == info.node_id) {
            let why = format!("the plugins on {other} and {name} give their nodes one id, {:?}", info.node_id);
            let hint = "tell each its own in `start`, by {node}; each node has a host name of its own";
            return Err(Error::invalid(why).hint(hint)); // a start line may be to blame, and is mostly
        }
        self.ids.insert(name.to_owned(), info.node_id);
        if let Some(topology) = info.accessible_topology.filter(|topology| !topology.segments.is_empty()) {
            self.topology.insert(name.to_owned(), topology.segments.into_iter().collect());
        }
        Ok(())
    }
}

/// A driver that does not know CSI v1: what of its own it says.
fn of_another_version(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<Introduced> {
    // the answer of v0 has the same fields in the same places
    let older = caller.ask_once(socket, Rpc::GetPluginInfo, deadline, async |connection| {
        let origin = connection.origin();
        let mut client = tonic::client::Grpc::with_origin(connection, origin);
        client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<csi::GetPluginInfoRequest, csi::GetPluginInfoResponse>::default();
        let path = PathAndQuery::from_static("/csi.v0.Identity/GetPluginInfo");
        client.unary(Request::new(csi::GetPluginInfoRequest {}), path, codec).await
    });
    let Ok(info) = older else {
        let why = "the plugin does not know CSI v1: it has no csi.v1.Identity";
        return Err(Error::new(Kind::Status(Code::Unimplemented), why).hint("is this the socket of a CSI driver?"));
    };
    let lacks = "it speaks CSI v0, which nobody asks for any more; holdfast asks for v1".to_owned();
    let provider = Provider { name: info.name, version: info.vendor_version, lacks, ..Provider::default() };
    Ok(Introduced { provider, ..Introduced::default() })
}

/// A driver that does not tell is taken for one with a controller, as drivers were before there was that call.
fn plugin_capabilities(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<PluginCapabilities> {
    use csi::plugin_capability::Type;
    let answer = caller.ask(socket, Rpc::GetPluginCapabilities, deadline, async |connection| {
        identity(connection).get_plugin_capabilities(csi::GetPluginCapabilitiesRequest {}).await
    });
    let answer = match answer {
        Err(error) if error.code() == Some(Code::Unimplemented) => {
            return Ok(PluginCapabilities {
                services: vec![OfPlugin::ControllerService],
                ..PluginCapabilities::default()
            });
        }
        answer => answer?,
    };
    let mut plugin = PluginCapabilities::default();
    for each in answer.capabilities.into_iter().filter_map(|each| each.r#type) {
        match each {
            Type::Service(service) => plugin.services.push(service.r#type()),
            Type::VolumeExpansion(expansion) => plugin.expansion = Some(expansion.r#type()),
        }
    }
    Ok(plugin)
}

fn controller_capabilities(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<Vec<OfController>> {
    use csi::controller_service_capability::Type;
    let offered = caller.ask(socket, Rpc::ControllerGetCapabilities, deadline, async |connection| {
        controller(connection).controller_get_capabilities(csi::ControllerGetCapabilitiesRequest {}).await
    })?;
    let types = offered.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    Ok(types.map(|Type::Rpc(rpc)| rpc.r#type()).collect())
}

fn node_capabilities(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<BTreeSet<OfNode>> {
    use csi::node_service_capability::Type;
    let offered = caller.ask(socket, Rpc::NodeGetCapabilities, deadline, async |connection| {
        node(connection).node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await
    })?;
    let types = offered.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    Ok(types.map(|Type::Rpc(rpc)| rpc.r#type()).collect())
}

/// The smallest volume there is, where the driver tells.
fn minimum(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<u64> {
    let capacity = caller.ask(socket, Rpc::GetCapacity, deadline, async |connection| {
        controller(connection).get_capacity(csi::GetCapacityRequest::default()).await
    });
    match capacity {
        Ok(capacity) => Ok(capacity.minimum_volume_size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)),
        Err(error) if error.kind == Kind::Lab => Err(error),
        Err(_) => Ok(0), // of all pools together it may have nothing to say
    }
}

/// A device is made by whoever can, and refused by who cannot: no capability tells.
fn capabilities(can: &[OfController], nodes: &BTreeSet<OfNode>, fences: bool) -> BTreeSet<Capability> {
    let offered = |kind| can.contains(&kind);
    let multi_writer = offered(OfController::SingleNodeMultiWriter) && nodes.contains(&OfNode::SingleNodeMultiWriter);
    let named = [
        (Capability::Create, offered(OfController::CreateDeleteVolume)),
        (Capability::Size, true),
        (Capability::Parameters, true),
        (Capability::RefusesUnknownParameters, true),
        (Capability::Repeats, true),
        (Capability::ReadOnly, true), // each driver's: the field is no matter of capabilities
        (Capability::Attach, offered(OfController::PublishUnpublishVolume)),
        (Capability::List, offered(OfController::ListVolumes)),
        (Capability::ListNodes, offered(OfController::ListVolumes) && offered(OfController::ListVolumesPublishedNodes)),
        (Capability::SingleNodeMultiWriter, multi_writer),
        (Capability::Fence, fences),
        (Capability::Snapshot, offered(OfController::CreateDeleteSnapshot)),
        (Capability::Clone, offered(OfController::CloneVolume)),
        (Capability::Block, true),
        (
            Capability::Statistics, // the specification has either come with NodeGetVolumeStats
            nodes.contains(&OfNode::GetVolumeStats) || nodes.contains(&OfNode::VolumeCondition),
        ),
        (Capability::Condition, nodes.contains(&OfNode::VolumeCondition)),
        (Capability::MountGroup, nodes.contains(&OfNode::VolumeMountGroup)),
    ];
    named.into_iter().filter(|(_, there)| *there).map(|(capability, _)| capability).collect()
}
