//! `ListImage` and `RemoveImage`.

use tonic::{Response, Status};

use super::{ContainerzService, Rows, stream_of};
use crate::settings::Quirk;
use crate::store::Image;
use holdfast_image::{same_name, whole_name};
use holdfast_wire::gnoi::containerz::{ListImageRequest, ListImageResponse, RemoveImageRequest, RemoveImageResponse};

impl ContainerzService {
    pub(super) fn list_images(&self, request: &ListImageRequest) -> Result<Response<Rows<ListImageResponse>>, Status> {
        let keys = request.filter.iter().map(|filter| filter.key.clone());
        self.check_filter(keys, &["label", "reference", "dangling", "before", "since"])?;
        let joined = self.has(Quirk::JoinedImageRows);
        let fits = |row: &ListImageResponse| {
            request.filter.iter().all(|filter| match filter.key.as_str() {
                "name" => filter.value.contains(&row.image_name),
                "tag" => filter.value.contains(&row.tag),
                "reference" => filter.value.contains(&format!("{}:{}", row.image_name, row.tag)),
                _ => true,
            })
        };
        let inventory = self.inventory();
        let rows = inventory.images.iter().flat_map(|image| {
            let image = self.listed_image(image);
            match () {
                () if self.has(Quirk::NamesBehindOneId) => vec![whole_row(&image)],
                () if self.has(Quirk::TagBehindName) => image_rows(&image, false).into_iter().map(doubled).collect(),
                () => image_rows(&image, joined),
            }
        });
        let mut listed: Vec<_> = rows.filter(fits).collect();
        self.defects().lasting().rows(&mut listed);
        Ok(stream_of(listed, request.limit))
    }

    /// An image as the runtime lists it.
    fn listed_image(&self, image: &Image) -> Image {
        let mut listed = image.clone();
        if self.has(Quirk::ManifestIds) && !image.manifest.is_empty() {
            listed.id.clone_from(&image.manifest);
        }
        for (name, _) in &mut listed.names {
            *name = self.listed_name(name);
        }
        listed
    }

    /// The name of an image as the runtime lists it.
    pub(super) fn listed_name(&self, name: &str) -> String {
        if self.has(Quirk::NormalisedNames) { whole_name(name) } else { name.to_owned() }
    }

    pub(super) async fn remove_one_image(
        &self,
        request: &RemoveImageRequest,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        let (name, tag) = (request.name.as_str(), if request.tag.is_empty() { "latest" } else { &request.tag });
        let inventory = self.inventory();
        let Some(image) = inventory.image(name, tag) else {
            return Err(Status::not_found(format!("there is no image {name}:{tag}")));
        };
        let last_name = image.names.len() == 1;
        let users: Vec<_> = inventory.containers.iter().filter(|c| c.image_id == image.id && last_name).collect();
        let states = self.states().await?;
        let running = users.iter().any(|container| states.runs(&container.name));
        let mut untag_only = !last_name;
        if !users.is_empty() {
            match (running, request.force) {
                (true, true) if self.has(Quirk::ForcedRemovalUntags) => untag_only = true,
                (_, true) => {}
                (true, false) if self.has(Quirk::InUseUnavailable) => {
                    return Err(Status::unavailable("image is in use by a running container"));
                }
                (false, false) if self.has(Quirk::InUseUnavailable) => {
                    return Err(Status::internal("image is in use by a stopped container"));
                }
                _ => return Err(Status::failed_precondition(format!("container {} uses the image", users[0].name))),
            }
        }
        let id = image.id.clone();
        self.change(|held| {
            if untag_only {
                let known = held.images.iter_mut().find(|known| known.id == id);
                if let Some(known) = known {
                    known.names.retain(|known| !same_name(&known.0, name) || known.1 != tag);
                }
            } else {
                held.images.retain(|known| known.id != id);
            }
            Ok(())
        })?;
        if self.inventory().image_by_id(&id).is_none()
            && let Err(failure) = self.control_processor().runtime.remove_image(&id).await
        {
            tracing::warn!("image {id} goes when its containers do: {failure}");
        }
        Ok(Response::new(RemoveImageResponse {}))
    }
}

/// All names with their tags, in the place of the tag.
fn whole_row(image: &Image) -> ListImageResponse {
    let names: Vec<_> = image.names.iter().map(|(name, tag)| format!("{name}:{tag}")).collect();
    ListImageResponse { id: image.id.clone(), image_name: String::new(), tag: names.join(",") }
}

/// With the tag behind the name, too.
fn doubled(row: ListImageResponse) -> ListImageResponse {
    let image_name = if row.tag.is_empty() { row.image_name } else { format!("{}:{}", row.image_name, row.tag) };
    ListImageResponse { image_name, ..row }
}

fn image_rows(image: &Image, joined: bool) -> Vec<ListImageResponse> {
    let row = |name: &str, tag: String| ListImageResponse { id: image.id.clone(), image_name: name.to_owned(), tag };
    match image.names.first() {
        None => vec![row("", String::new())],
        Some((first, _)) if joined => {
            let tags: Vec<_> = image.names.iter().map(|(_, tag)| tag.as_str()).collect();
            let cut = first.split(':').next().unwrap_or_default();
            vec![row(cut, tags.join(","))]
        }
        Some(_) => image.names.iter().map(|(name, tag)| row(name, tag.clone())).collect(),
    }
}
