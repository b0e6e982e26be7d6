//! The volumes of one control processor in an engine, and how their contents come to the other's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{body_try_stream, errors::Error as Refusal};
use futures_util::TryStreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::super::Failure;
use super::engine::Engine;
use super::images;
use super::label_space::{LabelSpace, NAME};
use holdfast_net::waiting::pause;

/// How often a copy is tried, and how long after the one before.
const TRIES: usize = 3;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The volumes that a control processor could not get from the other one, and why: what they hold is nothing, or a part
/// of it, so no container may have them, and nothing is copied from them.
#[derive(Default)]
pub struct Uncopied(Mutex<BTreeMap<String, String>>);

impl Uncopied {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails where a volume is one of them.
    pub fn refuse(&self, volume: &str) -> Result<(), Failure> {
        match self.held().get(volume) {
            None => Ok(()),
            Some(why) => Err(Failure::Refused(format!(
                "volume {volume} could not be copied from the other control processor, which has it still: {why}"
            ))),
        }
    }

    /// It is whole by now, or not there any more.
    pub fn forget(&self, volume: &str) {
        self.held().remove(volume);
    }

    fn has(&self, volume: &str) -> bool {
        self.held().contains_key(volume)
    }
}

/// Makes a volume, where it is not there yet.
pub async fn ensure(engine: &Engine, space: &LabelSpace, name: &str) -> Result<(), Failure> {
    let request = VolumeCreateRequest {
        name: Some(space.volume(name)),
        driver: Some("local".to_owned()),
        labels: Some(space.labels(name)),
        ..VolumeCreateRequest::default()
    };
    engine.call("create the volume", engine.api().create_volume(request)).await.map(drop)
}

/// Removes a volume, where it is there.
pub async fn remove(engine: &Engine, space: &LabelSpace, name: &str) -> Result<(), Failure> {
    remove_named(engine, &space.volume(name)).await
}

async fn remove_named(engine: &Engine, name: &str) -> Result<(), Failure> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    engine.call_if_there("remove the volume", engine.api().remove_volume(name, Some(options))).await.map(drop)
}

/// Makes the control processor have these volumes and no others.
pub async fn keep_only(engine: &Engine, space: &LabelSpace, names: &[&str]) -> Result<(), Failure> {
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    let mut there = BTreeSet::new();
    for volume in listed(engine, space).await? {
        let name = volume.labels.get(NAME).cloned().unwrap_or_default();
        if wanted.contains(name.as_str()) {
            there.insert(name);
        } else {
            remove_named(engine, &volume.name).await?;
        }
    }
    for name in wanted {
        if !there.contains(name) {
            ensure(engine, space, name).await?;
        }
    }
    Ok(())
}

async fn listed(engine: &Engine, space: &LabelSpace) -> Result<Vec<Volume>, Failure> {
    let filters = HashMap::from([("label", space.volume_filters())]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listed = engine.call("list volumes", engine.api().list_volumes(Some(options))).await?;
    Ok(listed.volumes.unwrap_or_default())
}

/// Gives a control processor what the volumes of the other one hold. No container may have them. What could not be copied
/// is `uncopied` here; what the `peer` could not get itself is not copied.
pub async fn copy_from_peer(
    engine: &Engine,
    space: &LabelSpace,
    names: &[String],
    uncopied: &Uncopied,
    peer: &Uncopied,
) -> Result<(), Failure> {
    let mut left: Vec<String> = names.iter().filter(|name| !peer.has(name)).cloned().collect();
    for name in &left {
        uncopied.held().insert(name.clone(), "the copy was cut off".to_owned());
    }
    for attempt in 1.. {
        let copied = copy_all(engine, space, &left, uncopied).await;
        left.retain(|name| uncopied.has(name));
        let Err(failure) = copied else { break };
        if attempt < TRIES {
            pause(TRY_AGAIN).await;
            continue;
        }
        for name in &left {
            uncopied.held().insert(name.clone(), failure.to_string());
            let _ = remove(engine, space, name).await; // a part of it is of no use to anybody
        }
        return Err(failure);
    }
    Ok(())
}

/// One copy after the other, up to one that fails.
async fn copy_all(engine: &Engine, space: &LabelSpace, names: &[String], uncopied: &Uncopied) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let peer = space.peer();
    for name in names {
        ensure(engine, &peer, name).await?;
        remove(engine, space, name).await?; // what is not there any more shall not be here
        ensure(engine, space, name).await?;
    }
    // two helpers: an engine locks a container while it reads or writes an archive of it
    let source = Helper { engine, name: space.container("volume-source") };
    let target = Helper { engine, name: space.container("volume-target") };
    let image = images::ensure_helper(engine, &space.device).await?;
    let made = source.make(&image, &peer, space, names).await;
    let mut copied = made.and(target.make(&image, space, space, names).await);
    for (at, name) in names.iter().enumerate() {
        if copied.is_ok() {
            copied = copy_one(engine, &source.name, &target.name, &place(at)).await;
        }
        if copied.is_ok() {
            uncopied.forget(name);
        }
    }
    let removed = source.remove().await.and(target.remove().await);
    copied.and(removed)
}

/// Where a helper has a volume, by its number.
fn place(at: usize) -> String {
    format!("/volumes/{at}")
}

/// A container that is never started, and has volumes.
struct Helper<'a> {
    engine: &'a Engine,
    name: String,
}

impl Helper<'_> {
    /// With the volumes of one control processor, and the labels of another.
    async fn make(
        &self,
        image: &str,
        volumes: &LabelSpace,
        owner: &LabelSpace,
        names: &[String],
    ) -> Result<(), Failure> {
        self.remove().await?; // that of a copy which was cut off
        let mounts = names.iter().enumerate().map(|(at, name)| mounted(&volumes.volume(name), &place(at)));
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(vec!["/never-started".to_owned()]),
            labels: Some(owner.labels("")),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(mounts.collect()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
        let making = self.engine.api().create_container(Some(options), body);
        self.engine.call("make a helper container", making).await.map(drop)
    }

    async fn remove(&self) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let removing = self.engine.api().remove_container(&self.name, Some(options));
        self.engine.call_if_there("remove a helper container", removing).await.map(drop)
    }
}

/// As an archive, which the engine reads and writes with all owners and modes.
async fn copy_one(engine: &Engine, source: &str, target: &str, place: &str) -> Result<(), Failure> {
    let from = DownloadFromContainerOptionsBuilder::default().path(&format!("{place}/.")).build();
    let archive = engine.api().download_from_container(source, Some(from)).map_err(broken_off);
    let to = UploadToContainerOptionsBuilder::default().path(place).build();
    // what comes is handed on by a channel: the upload's body must live by itself
    let (pieces, stream) = tokio::sync::mpsc::channel(4);
    let downloading = async move {
        let mut archive = std::pin::pin!(archive);
        while let Some(piece) = archive.try_next().await.transpose() {
            let failed = piece.is_err();
            if pieces.send(piece).await.is_err() || failed {
                return; // the upload says why
            }
        }
    };
    let body = body_try_stream(ReceiverStream::new(stream));
    let uploading = engine.api().upload_to_container(target, Some(to), body);
    let copying = async { tokio::join!(uploading, downloading).0 };
    engine.long_call("copy a volume", copying).await
}

fn broken_off(refusal: Refusal) -> std::io::Error {
    std::io::Error::other(refusal)
}

/// A volume in a container.
pub fn mounted(volume: &str, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}
