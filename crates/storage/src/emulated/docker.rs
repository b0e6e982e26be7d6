//! The plugin of one emulated node, as Docker asks of it: JSON over HTTP/1.1.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::plugin::EmulatedPlugin;
use super::sites::Step;
use super::state::{EmulatedState, mount_path};
use crate::volumes::{Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};

const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// For one call.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a volume, where nobody asks for a size, in bytes.
const SIZE: u64 = 64 << 20;
const MAX_REQUEST: usize = 1 << 20;

/// Serves one connection until it or `life` ends.
pub async fn connection(stream: UnixStream, plugin: EmulatedPlugin, life: CancellationToken) {
    let service = service_fn(move |request| {
        let plugin = plugin.clone();
        async move { Ok::<_, Infallible>(answer(plugin, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Some(Err(error)) = life.run_until_cancelled(served).await {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn answer(plugin: EmulatedPlugin, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let asked = match Limited::new(request.into_body(), MAX_REQUEST).collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    let done = tokio::task::spawn_blocking(move || plugin.docker(&method, &asked, Instant::now() + PATIENCE)).await;
    let done = done.unwrap_or_else(|error| Err(Error::new(Kind::Expectation, error.to_string())));
    let (status, answer) = match done {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"Err": error.to_string()})),
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
    response
}

impl EmulatedPlugin {
    fn docker(&self, method: &str, asked: &Value, deadline: Instant) -> Result<Value> {
        let name = asked["Name"].as_str().unwrap_or_default();
        let id = asked["ID"].as_str().unwrap_or_default();
        match method {
            "Plugin.Activate" => {
                Volumes::ready(&self.emulated, &self.node, deadline)?;
                Ok(json!({"Implements": ["VolumeDriver"]}))
            }
            "VolumeDriver.Capabilities" => Ok(json!({"Capabilities": {"Scope": "global"}})),
            "VolumeDriver.Create" => {
                self.emulated.create(&self.node, &request(name, &asked["Opts"])?, deadline)?;
                Ok(json!({"Err": ""}))
            }
            "VolumeDriver.Remove" => {
                let volume = self.named(name, deadline)?;
                self.emulated.remove(&self.node, &volume, deadline)?;
                Ok(json!({"Err": ""}))
            }
            "VolumeDriver.Mount" => self.docker_mount(name, id, deadline),
            "VolumeDriver.Unmount" => self.docker_unmount(name, id, deadline),
            "VolumeDriver.Path" => {
                self.named(name, deadline)?;
                Ok(json!({"Mountpoint": "", "Err": ""}))
            }
            "VolumeDriver.Get" => Ok(json!({"Volume": {"Name": self.named(name, deadline)?.name}, "Err": ""})),
            "VolumeDriver.List" => {
                let volumes = self.emulated.list(&self.node, deadline)?;
                let volumes: Vec<Value> = volumes.iter().map(|volume| json!({"Name": volume.name})).collect();
                Ok(json!({"Volumes": volumes, "Err": ""}))
            }
            _ => Err(Error::new(Kind::Status(Code::Unimplemented), format!("there is no {method}"))),
        }
    }

    fn named(&self, name: &str, deadline: Instant) -> Result<Volume> {
        named(&*self.emulated.plugin(&self.node, deadline)?, name)
    }

    /// Docker takes a volume by mounting it: whoever had it loses it first, and is fenced.
    fn docker_mount(&self, name: &str, id: &str, deadline: Instant) -> Result<Value> {
        let others = self.others(&self.named(name, deadline)?).count();
        let calls = 1 + u32::try_from(others).unwrap_or_default();
        let path = self.emulated.by_both(&self.node, calls, deadline, |world| {
            let volume = named(world, name)?;
            self.others(&volume).try_for_each(|other| self.emulated.take(world, &volume.id, other))?;
            let epoch = self.emulated.give(world, &volume.id, &self.node)?;
            self.emulated.stage_in(world, &volume.id, &self.node, epoch)?;
            let path = mount_path(&volume.id, id);
            let repeated = world.node(&self.node)?.published.contains_key(&path);
            self.emulated.publish_in(world, &volume.id, &self.node, &path)?;
            if repeated && !self.emulated.defects().skips(Step::CountIds) {
                *world.node_mut(&self.node)?.repeats.entry(path.clone()).or_default() += 1;
            }
            Ok(path)
        })?;
        Ok(json!({"Mountpoint": path, "Err": ""}))
    }

    /// The nodes but this one that have a volume.
    fn others<'a>(&self, volume: &'a Volume) -> impl Iterator<Item = &'a String> {
        volume.nodes.iter().flatten().filter(|node| **node != self.node)
    }

    /// The last task's unmount gives the volume back.
    fn docker_unmount(&self, name: &str, id: &str, deadline: Instant) -> Result<Value> {
        let volume = self.emulated.by_plugin(&self.node, deadline, |world| {
            let volume = named(world, name)?.id;
            let path = mount_path(&volume, id);
            if let Some(repeats) = world.node_mut(&self.node)?.repeats.get_mut(&path).filter(|repeats| **repeats > 0) {
                *repeats -= 1;
                return Ok(volume);
            }
            self.emulated.unpublish_in(world, &volume, &self.node, &path)?;
            if !world.node(&self.node)?.is_in_use(&volume) {
                self.emulated.unstage_in(world, &volume, &self.node)?;
            }
            Ok(volume)
        })?;
        if !self.is_in_use(&self.emulated.world(), &volume) {
            self.emulated.by_server(deadline, |world| {
                if self.is_in_use(world, &volume) { Ok(()) } else { self.emulated.take(world, &volume, &self.node) }
            })?;
        }
        Ok(json!({"Err": ""}))
    }

    fn is_in_use(&self, world: &EmulatedState, volume: &str) -> bool {
        world.node(&self.node).is_ok_and(|node| node.is_in_use(volume))
    }
}

fn named(world: &EmulatedState, name: &str) -> Result<Volume> {
    let found = world.server.volumes.iter().find(|(_, disk)| disk.request.name == name);
    let missing = || Error::new(Kind::Status(Code::NotFound), format!("there is no volume {name:?}"));
    found.map(|(id, disk)| disk.volume(id)).ok_or_else(missing)
}

/// `size` in bytes and `filesystem` are ours; the rest are parameters.
fn request(name: &str, options: &Value) -> Result<VolumeRequest> {
    let invalid = |why: String| Error::new(Kind::Status(Code::InvalidArgument), why);
    if name.is_empty() {
        return Err(invalid("a volume needs a name".to_owned()));
    }
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in options.as_object().into_iter().flatten() {
        let text = value.as_str().ok_or_else(|| invalid(format!("Opts: {key} is no text")))?;
        parameters.insert(key.clone(), text.to_owned());
    }
    let bytes = match parameters.remove("size") {
        Some(size) => size.parse().map_err(|_| invalid(format!("Opts: size {size:?} is no number of bytes")))?,
        None => SIZE,
    };
    let filesystem = parameters.remove("filesystem").unwrap_or_default();
    Ok(VolumeRequest { name: name.to_owned(), bytes, filesystem, parameters, ..VolumeRequest::default() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::emulated::tests::at_once;
    use crate::emulated::{Emulated, FAILPOINTS, Timings};
    use holdfast_failpoint::Registry;

    const ROUNDS: usize = 30;

    fn plugins() -> [EmulatedPlugin; 2] {
        let nodes = ["node1", "node2"].map(str::to_owned);
        let timings = Timings { attach: Duration::from_millis(2), ..Timings::default() };
        let emulated = Emulated::new(&nodes, Arc::new(Registry::new(FAILPOINTS, 0)), timings);
        let [one, other] = nodes.map(|node| EmulatedPlugin { emulated: emulated.clone(), node });
        call(&one, "Create", "");
        [one, other]
    }

    fn call(plugin: &EmulatedPlugin, method: &str, id: &str) {
        let asked = json!({"Name": "one", "ID": id, "Opts": {}});
        let done = plugin.docker(&format!("VolumeDriver.{method}"), &asked, Instant::now() + Duration::from_secs(30));
        done.unwrap_or_else(|error| panic!("{method} for {id} on {}: {error}", plugin.node));
    }

    /// Which nodes have the volume attached, and for how many tasks it is mounted.
    fn held(plugin: &EmulatedPlugin) -> (Vec<String>, usize) {
        let world = plugin.emulated.world();
        let attached = world.server.volumes.values().flat_map(|disk| disk.attached.keys().cloned()).collect();
        (attached, world.nodes.values().map(|node| node.published.len()).sum())
    }

    #[test]
    fn a_volume_that_two_nodes_mount_at_once_is_with_one() {
        for _ in 0..ROUNDS {
            let [one, other] = plugins();
            at_once(|| call(&one, "Mount", "a"), || call(&other, "Mount", "b"));
            assert_eq!(held(&one).0.len(), 1);
        }
    }

    #[test]
    fn a_mount_during_the_last_unmount_keeps_the_volume() {
        for _ in 0..ROUNDS {
            let [plugin, _] = plugins();
            call(&plugin, "Mount", "a");
            at_once(|| call(&plugin, "Unmount", "a"), || call(&plugin, "Mount", "b"));
            assert_eq!(held(&plugin), (vec!["node1".to_owned()], 1));
            call(&plugin, "Unmount", "b");
            assert_eq!(held(&plugin), (Vec::new(), 0));
        }
    }
}
