//! Asking a plugin that runs who it is and what it can do, before anybody knows which protocol it speaks. It is asked
//! for nothing but words: no volume is made, mounted or removed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout_at;
use tonic::{Response, Status};

use super::csi::services::{controller_within, identity_within, node_within};
use super::docker_plugin::ask;
use super::mask::Mask;
use super::plugin_address::{PluginAddress, Surroundings, field};
use holdfast_net::dial::Connection;
use holdfast_net::dial::answer::unless_it_panics;
use holdfast_net::dial::connection::Patience;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_wire::csi;

/// For one question; a plugin that does not answer one of them is asked the others.
const QUESTION: Duration = Duration::from_secs(5);
/// What a plugin says of itself has no more bytes: who it is, nobody knows yet.
const LARGEST: usize = 4 << 20;
const PATIENCE: Patience = Patience { silence: QUESTION, answer: QUESTION };

/// What a plugin says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// `csi` or `docker-plugin`.
    pub protocol: &'static str,
    /// A CSI driver's.
    pub name: String,
    /// A CSI driver's.
    pub version: String,
    /// What Probe says; none, where nobody was asked or the driver does not tell.
    pub ready: Option<bool>,
    /// Of the plugin, by the names of CSI.
    pub plugin: Vec<String>,
    /// Of its controller.
    pub controller: Vec<String>,
    /// Of its node service.
    pub node: Vec<String>,
    /// What it calls its node.
    pub node_id: String,
    /// How many volumes it takes at most; 0 is any number.
    pub max_volumes: i64,
    /// Where its node is.
    pub topology: BTreeMap<String, String>,
    /// What a Docker plugin says of its volumes: `local` or `global`.
    pub scope: String,
    /// Questions that got no answer, and why.
    pub unanswered: Vec<(String, String)>,
}

/// Asks the plugin at an address (as `PluginAddress` reads it), which may be of either protocol.
pub async fn introduce(address: &str, mask: &Mask, deadline: Instant) -> Result<Introduction> {
    let address: PluginAddress = address.parse()?;
    let began = Instant::now();
    let found = match by_docker(&address, mask, deadline).await {
        Ok(found) => Ok(found),
        Err(refused) if is_unreachable(&refused) => Err(refused),
        Err(refused) => by_csi(&address, deadline).await.map_err(|error| {
            let message = format!(
                "it speaks neither CSI ({}: {}) nor Docker's volume plugin protocol ({})",
                "GetPluginInfo", error.message, refused.message
            );
            Error::new(Kind::Expectation, message).hint("is that a plugin's socket?")
        }),
    };
    found.map_err(|error| mask.error(error).during(&address.to_string(), "asking the plugin", began.elapsed()))
}

fn is_unreachable(error: &Error) -> bool {
    matches!(error.kind, Kind::Connect(holdfast_net::error::ConnectFault::Unreachable))
}

/// An answer by the deadline, or by that of one question.
async fn in_time<T>(deadline: Instant, asked: impl Future<Output = Result<T>>) -> Result<T> {
    let end = deadline.min(Instant::now() + QUESTION);
    timeout_at(end.into(), asked).await.unwrap_or_else(|_| Err(Error::new(Kind::Timeout, "no answer in time")))
}

async fn by_docker(address: &PluginAddress, mask: &Mask, deadline: Instant) -> Result<Introduction> {
    let call = async |method: &str| -> Result<Value> {
        in_time(deadline, async {
            let stream = address.connect(&Surroundings::default()).await?;
            ask(stream, method, &json!({}), mask).await
        })
        .await
    };
    let activated = call("Plugin.Activate").await?;
    let implements = field(&activated, "Implements").as_array().cloned().unwrap_or_default();
    let names = implements.iter().filter_map(|each| each.as_str().map(str::to_owned)).collect::<Vec<_>>();
    if !names.iter().any(|name| name == "VolumeDriver") {
        let message = format!("the plugin is no volume driver: it implements {}", names.join(", "));
        return Err(Error::new(Kind::Expectation, message));
    }
    let mut found = Introduction { protocol: "docker-plugin", plugin: names, ..Introduction::default() };
    match call("VolumeDriver.Capabilities").await {
        Ok(answer) => {
            let scope = field(field(&answer, "Capabilities"), "Scope").as_str().unwrap_or_default();
            found.scope = scope.to_ascii_lowercase();
        }
        Err(error) => found.unanswered.push(("VolumeDriver.Capabilities".to_owned(), error.message)),
    }
    if let Err(error) = call("VolumeDriver.List").await {
        found.unanswered.push(("VolumeDriver.List".to_owned(), error.message));
    }
    Ok(found)
}

async fn csi_call<T>(
    address: &PluginAddress,
    deadline: Instant,
    asked: impl AsyncFnOnce(Connection) -> std::result::Result<Response<T>, Status>,
) -> Result<T> {
    in_time(deadline, async {
        let stream = address.connect(&Surroundings::default()).await?;
        let connection = Connection::plain(stream, PATIENCE).await?;
        let answer = unless_it_panics(asked(connection)).await.map(Response::into_inner);
        answer.map_err(|status| Error::from_status(&status))
    })
    .await
}

async fn by_csi(address: &PluginAddress, deadline: Instant) -> Result<Introduction> {
    let info = csi_call(address, deadline, async |connection| {
        identity_within(LARGEST, connection).get_plugin_info(csi::GetPluginInfoRequest {}).await
    })
    .await?;
    let mut found =
        Introduction { protocol: "csi", name: info.name, version: info.vendor_version, ..Introduction::default() };
    let mut unanswered = |question: &str, error: Error| found.unanswered.push((question.to_owned(), error.message));
    let plugin = csi_call(address, deadline, async |connection| {
        identity_within(LARGEST, connection).get_plugin_capabilities(csi::GetPluginCapabilitiesRequest {}).await
    });
    let plugin =
        plugin.await.map(|answer| of_plugin(&answer)).map_err(|error| unanswered("GetPluginCapabilities", error));
    let probed = csi_call(address, deadline, async |connection| {
        identity_within(LARGEST, connection).probe(csi::ProbeRequest {}).await
    });
    let probed = probed.await.map_err(|error| unanswered("Probe", error));
    let controller = csi_call(address, deadline, async |connection| {
        controller_within(LARGEST, connection)
            .controller_get_capabilities(csi::ControllerGetCapabilitiesRequest {})
            .await
    });
    let controller = controller.await.map_err(|error| unanswered("ControllerGetCapabilities", error));
    let node = csi_call(address, deadline, async |connection| {
        node_within(LARGEST, connection).node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await
    });
    let node = node.await.map_err(|error| unanswered("NodeGetCapabilities", error));
    let place = csi_call(address, deadline, async |connection| {
        node_within(LARGEST, connection).node_get_info(csi::NodeGetInfoRequest {}).await
    });
    let place = place.await.map_err(|error| unanswered("NodeGetInfo", error));
    found.plugin = plugin.unwrap_or_default();
    found.ready = probed.ok().and_then(|answer| answer.ready);
    found.controller = controller.map(|answer| of_controller(&answer)).unwrap_or_default();
    found.node = node.map(|answer| of_node(&answer)).unwrap_or_default();
    if let Ok(place) = place {
        found.node_id = place.node_id;
        found.max_volumes = place.max_volumes_per_node;
        found.topology = place.accessible_topology.unwrap_or_default().segments.into_iter().collect();
    }
    Ok(found)
}

fn of_plugin(answer: &csi::GetPluginCapabilitiesResponse) -> Vec<String> {
    use csi::plugin_capability::Type;
    let types = answer.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    let named = types.map(|each| match each {
        Type::Service(service) => service.r#type().as_str_name().to_owned(),
        Type::VolumeExpansion(expansion) => format!("{}_EXPANSION", expansion.r#type().as_str_name()),
    });
    named.collect()
}

fn of_controller(answer: &csi::ControllerGetCapabilitiesResponse) -> Vec<String> {
    use csi::controller_service_capability::Type;
    let types = answer.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    types.map(|Type::Rpc(rpc)| rpc.r#type().as_str_name().to_owned()).collect()
}

fn of_node(answer: &csi::NodeGetCapabilitiesResponse) -> Vec<String> {
    use csi::node_service_capability::Type;
    let types = answer.capabilities.iter().filter_map(|each| each.r#type.as_ref());
    types.map(|Type::Rpc(rpc)| rpc.r#type().as_str_name().to_owned()).collect()
}
