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

use super::nodes::mount_path;
use super::plugin::EmulatedPlugin;
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
    let (status, told) = match done {
        Ok(told) => (StatusCode::OK, told),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"Err": error.to_string()})),
    };
    let mut response = Response::new(Full::new(Bytes::from(told.to_string())));
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
            "VolumeDriver.Mount" => self.docker_mount(&self.named(name, deadline)?, id, deadline),
            "VolumeDriver.Unmount" => self.docker_unmount(&self.named(name, deadline)?, id, deadline),
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
        let volumes = self.emulated.list(&self.node, deadline)?;
        let missing = || Error::new(Kind::Status(Code::NotFound), format!("there is no volume {name:?}"));
        volumes.into_iter().find(|volume| volume.name == name).ok_or_else(missing)
    }

    /// Docker takes a volume by mounting it: whoever had it loses it first, and is fenced.
    fn docker_mount(&self, volume: &Volume, id: &str, deadline: Instant) -> Result<Value> {
        for other in volume.nodes.iter().flatten().filter(|node| **node != self.node) {
            self.emulated.detach(volume, other, deadline)?;
        }
        let attachment = self.emulated.attach(volume, &self.node, deadline)?;
        Volumes::stage(&self.emulated, volume, &attachment, &self.node, deadline)?;
        let path = mount_path(&volume.id, id);
        self.emulated.publish(&volume.id, &self.node, &path, deadline)?;
        Ok(json!({"Mountpoint": path, "Err": ""}))
    }

    fn docker_unmount(&self, volume: &Volume, id: &str, deadline: Instant) -> Result<Value> {
        self.emulated.unpublish(&volume.id, &self.node, &mount_path(&volume.id, id), deadline)?;
        if !self.emulated.is_in_use(&volume.id, &self.node) {
            Volumes::unstage(&self.emulated, volume, &self.node, deadline)?;
            self.emulated.detach(volume, &self.node, deadline)?;
        }
        Ok(json!({"Err": ""}))
    }
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
