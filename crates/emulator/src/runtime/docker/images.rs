//! The images of one control processor in an engine: each under a name of its own, loaded from its own archive.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::time::Duration;

use bollard::body_full;
use bollard::models::ImageSummary;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::super::Failure;
use super::engine::Engine;
use super::label_space::{Device, LabelSpace, REPOSITORIES, is_kept};
use crate::store::Store;
use holdfast_image::{Archive, Image, Reference, Source, same_id};
use holdfast_net::waiting::next_look;

/// How much of an archive is read at a time, in bytes.
const PIECE: usize = 1 << 20;
/// The tag of the helpers' image.
const HELPER: &str = "helper";
/// For so long an image that is being loaded may have no name, also on a machine that is busy, and from one look at it to
/// the next.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// How many pieces may wait for the engine.
const WAITING: usize = 4;

/// Loads an image of an archive under the control processor's own name for it. The archive's own names stay out of the
/// engine: they may be somebody else's there. An image that somebody else has gets one more name, which outlives the
/// others.
pub async fn load(engine: &Engine, space: &LabelSpace, image: &Image, archive: &Archive) -> Result<(), Failure> {
    if let Some(id) = before(engine, image).await? {
        name_image(engine, &space.device, &id, &Device::kept_tag(&id)).await?;
    }
    let others: BTreeSet<String> = of_others(engine).await?.into_iter().map(|image| image.id).collect();
    let name = Reference { name: space.device.repository(), tag: space.tag(&image.id) };
    let source = Source::retagged(archive, image, &name).map_err(|error| Failure::Refused(error.to_string()))?;
    let options = ImportImageOptionsBuilder::default().build();
    let loading = engine.api().import_image_stream(options, pieces(source), None);
    engine.long_call("load the image", loading.try_collect::<Vec<_>>()).await?;
    let Some(loaded) = id_of(engine, &space.image(&image.id)).await? else {
        return Err(Failure::Refused("the Docker engine loaded the image and does not have it".to_owned()));
    };
    // an engine may have ids of its own for images
    if others.contains(&loaded) && !same_id(&loaded, &image.id) {
        name_image(engine, &space.device, &loaded, &Device::kept_tag(&loaded)).await?;
    }
    Ok(())
}

/// The engine's id of an image that somebody else has. One without a name may be on its way in, for the other control
/// processor or another device, and has a name soon.
async fn before(engine: &Engine, image: &Image) -> Result<Option<String>, Failure> {
    let limit = Instant::now() + ON_ITS_WAY;
    loop {
        let found = of_others(engine).await?.into_iter().find(|found| same_id(&found.id, &image.id));
        let is_nameless = found.as_ref().is_some_and(|found| found.repo_tags.is_empty());
        if !is_nameless || !next_look(limit, LOOK).await {
            return Ok(found.map(|found| found.id));
        }
    }
}

/// All images that are not emulated devices' alone.
async fn of_others(engine: &Engine) -> Result<Vec<ImageSummary>, Failure> {
    let options = ListImagesOptionsBuilder::default().all(true).build();
    let listed = engine.call("list images", engine.api().list_images(Some(options))).await?;
    let devices = format!("{REPOSITORIES}/");
    let is_of_others = |image: &ImageSummary| {
        let names = &image.repo_tags;
        names.is_empty() || names.iter().any(|name| !name.starts_with(&devices) || is_kept(name))
    };
    Ok(listed.into_iter().filter(is_of_others).collect())
}

/// Gives an image one more name, or another's name; whether there is such an image.
async fn name_image(engine: &Engine, device: &Device, image: &str, tag: &str) -> Result<bool, Failure> {
    let options = TagImageOptionsBuilder::default().repo(&device.repository()).tag(tag).build();
    let tagging = engine.api().tag_image(image, Some(options));
    Ok(engine.call_if_there("name the image", tagging).await?.is_some())
}

async fn id_of(engine: &Engine, name: &str) -> Result<Option<String>, Failure> {
    let found = engine.call_if_there("look for the image", engine.api().inspect_image(name)).await?;
    Ok(found.map(|found| found.id.unwrap_or_default()))
}

/// Brings an image into the engine that is on the control processor's disk, where it is not there yet.
pub async fn ensure(engine: &Engine, space: &LabelSpace, store: &Store, id: &str) -> Result<(), Failure> {
    if has(engine, space, id).await? {
        return Ok(());
    }
    let file = store.image_file(id);
    if !file.exists() {
        return Err(Failure::Refused(format!("the control processor has no image {id} on its disk")));
    }
    // the same layers, which the engine has only once whoever names them
    if name_image(engine, &space.device, &space.peer().image(id), &space.tag(id)).await? {
        return Ok(());
    }
    let wanted = id.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let archive = Archive::open(&file).map_err(|error| error.to_string())?;
        let image = archive.images.iter().find(|image| same_id(&image.id, &wanted)).cloned();
        image.map(|image| (image, archive)).ok_or_else(|| format!("{} does not hold it", file.display()))
    });
    let opened = opened.await.map_err(|error| Failure::Refused(error.to_string()))?;
    let (image, archive) = opened.map_err(|why| Failure::Refused(format!("image {id}: {why}")))?;
    load(engine, space, &image, &archive).await
}

async fn has(engine: &Engine, space: &LabelSpace, id: &str) -> Result<bool, Failure> {
    Ok(id_of(engine, &space.image(id)).await?.is_some())
}

/// Takes an image's name back from the engine, which removes the image where nobody else has it.
pub async fn remove(engine: &Engine, space: &LabelSpace, id: &str) -> Result<(), Failure> {
    remove_named(engine, &space.image(id)).await
}

/// Removes a name that an emulated device gave an image, and the image where that was its last; but no image that was
/// there before the device had it: engines let go of no last name otherwise than by giving it to another.
pub async fn remove_named(engine: &Engine, name: &str) -> Result<(), Failure> {
    let repository = name.split(':').next().unwrap_or_default();
    if !is_kept(name) || id_of(engine, name).await?.is_none() {
        return untag(engine, name).await;
    }
    let helper = import_helper(engine, repository).await?;
    let tag = name.rsplit(':').next().unwrap_or_default();
    let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    engine.call("name the helpers' image", engine.api().tag_image(&helper, Some(options))).await?;
    untag(engine, name).await.and(untag(engine, &helper).await)
}

/// What an image was made of is nobody's here.
async fn untag(engine: &Engine, name: &str) -> Result<(), Failure> {
    let options = RemoveImageOptionsBuilder::default().force(true).noprune(true).build();
    let removing = engine.api().remove_image(name, Some(options), None);
    engine.call_if_there("remove the image", removing).await.map(drop)
}

/// Removes all of the control processor's images but these.
pub async fn keep_only(engine: &Engine, space: &LabelSpace, ids: &[&str]) -> Result<(), Failure> {
    let wanted: BTreeSet<String> = ids.iter().map(|id| space.image(id)).collect();
    let own = space.image("");
    for name in names(engine, &space.device).await? {
        if name.starts_with(&own) && !wanted.contains(&name) {
            remove_named(engine, &name).await?;
        }
    }
    Ok(())
}

/// Removes all images of a device.
pub async fn remove_all(engine: &Engine, device: &Device) -> Result<(), Failure> {
    let mut names = names(engine, device).await?;
    names.sort_by_key(|name| is_kept(name)); // the last to go
    for name in names {
        remove_named(engine, &name).await?;
    }
    Ok(())
}

async fn names(engine: &Engine, device: &Device) -> Result<Vec<String>, Failure> {
    let repository = device.repository();
    let filters = HashMap::from([("reference", vec![repository.as_str()])]);
    let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
    let listed: Vec<ImageSummary> = engine.call("list images", engine.api().list_images(Some(options))).await?;
    let own = format!("{repository}:");
    Ok(listed.into_iter().flat_map(|image| image.repo_tags).filter(|name| name.starts_with(&own)).collect())
}

/// An image that holds nothing, for containers that are never started; what it is called.
pub async fn ensure_helper(engine: &Engine, device: &Device) -> Result<String, Failure> {
    import_helper(engine, &device.repository()).await
}

async fn import_helper(engine: &Engine, repository: &str) -> Result<String, Failure> {
    let name = format!("{repository}:{HELPER}");
    if id_of(engine, &name).await?.is_some() {
        return Ok(name);
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    header.set_cksum();
    tar.append_data(&mut header, "volumes/", std::io::empty())?;
    let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(HELPER).build();
    let tar = Bytes::from(tar.into_inner()?);
    let importing = engine.api().create_image(Some(options), Some(body_full(tar)), None);
    engine.call("import the helpers' image", importing.try_collect::<Vec<_>>()).await?;
    Ok(name)
}

/// What is sent, read where blocking is allowed and no faster than the engine takes it.
fn pieces(source: Source) -> ReceiverStream<std::io::Result<Bytes>> {
    let (pieces, stream) = tokio::sync::mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut reader = match source.reader() {
            Ok(reader) => reader,
            Err(error) => return drop(pieces.blocking_send(Err(std::io::Error::other(error.to_string())))),
        };
        loop {
            let mut piece = vec![0; PIECE];
            let read = reader.read(&mut piece).map(|count| {
                piece.truncate(count);
                Bytes::from(piece)
            });
            let is_last = !matches!(&read, Ok(piece) if !piece.is_empty());
            if matches!(&read, Ok(piece) if piece.is_empty()) || pieces.blocking_send(read).is_err() || is_last {
                return; // at the end, or the engine wants no more
            }
        }
    });
    ReceiverStream::new(stream)
}
