//! `ListImage` and `RemoveImage`.

use tokio::time::Instant;
use tonic::Code;

use super::types::ListedImage;
use super::{Containerz, client};
use crate::dial::Call;
use crate::dial::whole::all_of;
use crate::error::{Error, Kind, Result, Subject};
use crate::image::Reference;
use crate::wire::gnoi::containerz::{ListImageRequest, ListImageResponse, RemoveImageRequest};

const REMOVE_FIRST: &str = "remove the containers that use it first";

impl Containerz {
    /// `gnoi.containerz.Containerz/ListImage`, all of it: servers disagree on filters, so none is sent.
    pub async fn images(&self, deadline: Instant) -> Result<Vec<ListedImage>> {
        let listed = self.images_by(Call::read("Containerz.ListImage", deadline)).await;
        self.naming_older(listed, deadline).await
    }

    /// As `images`, with the limits of `call`.
    pub async fn images_by(&self, call: Call) -> Result<Vec<ListedImage>> {
        let call = Call { name: "Containerz.ListImage", ..call };
        let images = self.session.call(call, |connection| async move {
            all_of(client(connection).list_image(ListImageRequest::default()).await?.into_inner(), listed).await
        });
        let mut images = images.await?;
        for image in &mut images {
            image.digests = self.identities.others(&image.id);
        }
        Ok(images)
    }

    /// `gnoi.containerz.Containerz/RemoveImage`. Whether something was removed: with `missing_ok` it may have been absent.
    pub async fn remove_image(
        &self,
        name: &str,
        tag: &str,
        force: bool,
        missing_ok: bool,
        deadline: Instant,
    ) -> Result<bool> {
        let request = RemoveImageRequest { name: name.to_owned(), tag: tag.to_owned(), force };
        crate::gnoi::tell(&self.session, "gnoi.containerz.RemoveImageRequest", &request);
        let removed = self
            .session
            .call(self.change("Containerz.RemoveImage", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).remove_image(request).await.map(|_| ()) }
            })
            .await;
        let gone =
            |deadline| async move { Ok(!self.images(deadline).await?.iter().any(|image| image.may_be(name, tag))) };
        let removed = self.settled(removed, "Containerz.RemoveImage", None, deadline, gone).await;
        match removed_or_absent(removed, missing_ok) {
            Err(error) => Err(self.in_use(error, name, tag, deadline).await.missing(Subject::Image)),
            removed => removed,
        }
    }

    /// Servers refuse to remove an image that is in use with codes of their own: whether it is, its containers say.
    async fn in_use(&self, error: Error, name: &str, tag: &str, deadline: Instant) -> Error {
        const REFUSALS: [Code; 4] = [Code::FailedPrecondition, Code::Unavailable, Code::Internal, Code::Unknown];
        if !error.code().is_some_and(|code| REFUSALS.contains(&code)) {
            return error;
        }
        let containers = self.containers(true, deadline).await.unwrap_or_default();
        match containers.iter().find(|container| container.uses(name, tag)) {
            Some(container) => Error {
                kind: Kind::Status(Code::FailedPrecondition),
                message: format!("image {name}:{tag} is in use by container {} ({})", container.name, error.message),
                hint: Some(REMOVE_FIRST.to_owned()),
                ..error
            },
            None if error.code() == Some(Code::FailedPrecondition) => error.hint(REMOVE_FIRST),
            None => error,
        }
    }
}

/// True where it was removed, false where it was not there and that is fine.
pub(super) fn removed_or_absent(outcome: Result<()>, missing_ok: bool) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if missing_ok && error.code() == Some(Code::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

fn listed(row: ListImageResponse) -> ListedImage {
    let tags: Vec<_> = row.tag.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let image = |name, tags| ListedImage { id: row.id, name, tags, digests: Vec::new() };
    match row.image_name.parse::<Reference>() {
        // Some write the tag behind the name, and some leave out `latest`.
        Ok(whole) if tags.is_empty() => image(whole.name, vec![whole.tag]),
        _ => image(row.image_name, tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tag: &str) -> ListedImage {
        listed(ListImageResponse { id: "sha256:abc".into(), image_name: name.into(), tag: tag.into() })
    }

    #[test]
    fn a_tag_may_stand_behind_the_name_or_be_left_out() {
        for (name, tag) in [("app", ""), ("app:latest", ""), ("docker.io/library/app:latest", ""), ("app", "latest")] {
            assert!(row(name, tag).is_named("app", "latest"), "{name} {tag}");
        }
        assert!(row("lab:5000/app", "").is_named("lab:5000/app", "latest"));
        assert!(!row("", "").may_be("", "latest"));
    }

    #[test]
    fn a_joined_row_may_hold_any_of_its_names() {
        let joined = row("a", "latest,latest");
        assert!(!joined.unambiguous());
        assert!(joined.may_be("a", "latest") && joined.may_be("b", "latest"));
        assert!(!joined.may_be("a", "v2") && !joined.is_named("a", "latest"));
    }

    #[test]
    fn a_plain_row_holds_its_name_alone() {
        let plain = row("a", "latest");
        assert!(plain.is_named("a", "latest"));
        assert!(!plain.may_be("b", "latest"));
        assert!(!row("", "").unambiguous());
    }
}
