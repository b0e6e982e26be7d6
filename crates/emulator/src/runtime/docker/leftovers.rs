//! What emulated devices left in an engine: of those that stopped, and of those whose process was killed.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};

use super::super::Failure;
use super::engine::Engine;
use super::images;
use super::label_space::{DEVICE, Device, OWNER, REPOSITORIES, STATE, is_kept};
use holdfast_net::error::{self, Error};

/// Something that an emulated device has in an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Container, image or volume.
    pub kind: &'static str,
    /// What the engine calls it.
    pub name: String,
    /// The process that emulates the device, as `holdfast.scratch` names one.
    pub owner: String,
    /// The folder that keeps the device's state, if one does: what is on a volume is part of that.
    pub state: String,
}

/// All that emulated devices have in the engine at `address`, whoever emulates them.
pub async fn leftovers(address: &str) -> error::Result<Vec<Leftover>> {
    let engine = Engine::connect(address).await?;
    found(&engine).await.map_err(|failure| Error::lab(failure.to_string()))
}

/// Removes these, and says of each that stays why.
pub async fn remove_leftovers(address: &str, things: &[Leftover]) -> error::Result<Vec<(Leftover, String)>> {
    let engine = Engine::connect(address).await?;
    let mut stayed = Vec::new();
    for thing in things {
        if let Err(failure) = remove(&engine, thing).await {
            stayed.push((thing.clone(), failure.to_string()));
        }
    }
    Ok(stayed)
}

/// In the order in which they let go of each other.
async fn found(engine: &Engine) -> Result<Vec<Leftover>, Failure> {
    let mut things = containers(engine, DEVICE).await?;
    things.extend(images_of_devices(engine).await?);
    things.extend(volumes(engine, DEVICE).await?);
    Ok(things)
}

fn leftover(kind: &'static str, name: String, labels: &HashMap<String, String>) -> Leftover {
    let of = |label: &str| labels.get(label).cloned().unwrap_or_default();
    Leftover { kind, name, owner: of(OWNER), state: of(STATE) }
}

async fn containers(engine: &Engine, label: &str) -> Result<Vec<Leftover>, Failure> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = engine.call("list containers", engine.api().list_containers(Some(options))).await?;
    let things = listed.into_iter().filter_map(|container| {
        let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
        Some(leftover("container", name, &container.labels.unwrap_or_default()))
    });
    Ok(things.collect())
}

async fn volumes(engine: &Engine, label: &str) -> Result<Vec<Leftover>, Failure> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listed = engine.call("list volumes", engine.api().list_volumes(Some(options))).await?;
    let listed = listed.volumes.unwrap_or_default();
    Ok(listed.into_iter().map(|volume| leftover("volume", volume.name, &volume.labels)).collect())
}

/// An image's name says whose it is: `holdfast-emulated/PROCESS-START-NAMESPACE-…`.
async fn images_of_devices(engine: &Engine) -> Result<Vec<Leftover>, Failure> {
    let filters = HashMap::from([("reference", vec![format!("{REPOSITORIES}/*")])]);
    let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = engine.call("list images", engine.api().list_images(Some(options))).await?;
    let own = format!("{REPOSITORIES}/");
    let names: BTreeSet<String> = listed.into_iter().flat_map(|image| image.repo_tags).collect();
    let (kept, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_kept(name));
    let things = others.into_iter().chain(kept).filter_map(|name| {
        let device = name.strip_prefix(&own)?.split(':').next()?.to_owned();
        let mut parts = device.split('-');
        let (process, started, namespace) = (parts.next()?, parts.next()?, parts.next()?);
        let owner = format!("{process} {started} pid:[{namespace}]");
        Some(Leftover { kind: "image", name, owner, state: String::new() })
    });
    Ok(things.collect())
}

async fn remove(engine: &Engine, thing: &Leftover) -> Result<(), Failure> {
    let (api, name) = (engine.api(), thing.name.as_str());
    match thing.kind {
        "container" => {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            engine.call_if_there("remove it", api.remove_container(name, Some(options))).await.map(drop)
        }
        "volume" => {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            engine.call_if_there("remove it", api.remove_volume(name, Some(options))).await.map(drop)
        }
        _ => images::remove_named(engine, name).await,
    }
}

/// Removes what a device has that is being switched off: all but the volumes of one whose state is kept.
pub async fn remove_of_device(engine: &Engine, device: &Device) -> Result<(), Failure> {
    let filter = device.filter();
    let mut things = containers(engine, &filter).await?;
    if device.state_filter().is_none() {
        things.extend(volumes(engine, &filter).await?);
    }
    let mut outcome = Ok(());
    for thing in &things {
        outcome = outcome.and(remove(engine, thing).await);
    }
    outcome.and(images::remove_all(engine, device).await)
}

/// Removes the containers of whoever had the state folder before, and was killed: their volumes are needed.
pub async fn remove_of_state(engine: &Engine, device: &Device) -> Result<(), Failure> {
    let Some(filter) = device.state_filter() else { return Ok(()) };
    for thing in containers(engine, &filter).await? {
        remove(engine, &thing).await?;
    }
    Ok(())
}
