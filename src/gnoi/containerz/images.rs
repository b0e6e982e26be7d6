//! `ListImage` and `RemoveImage`.

use tokio::time::Instant;
use tonic::Code;

use super::types::ListedImage;
use super::{Containerz, client};
use crate::dial::Call;
use crate::error::{Error, Kind, Result};
use crate::image::Reference;
use crate::wire::gnoi::containerz::{ListImageRequest, ListImageResponse, RemoveImageRequest};

impl Containerz {
    /// `gnoi.containerz.Containerz/ListImage`, all of it: servers disagree on filters, so none is sent.
    pub async fn images(&self, deadline: Instant) -> Result<Vec<ListedImage>> {
        self.images_by(Call::read("Containerz.ListImage", deadline)).await
    }

    /// As `images`, with the limits of `call`.
    pub async fn images_by(&self, call: Call) -> Result<Vec<ListedImage>> {
        let call = Call { name: "Containerz.ListImage", ..call };
        let images = self.session.call(call, |connection| async move {
            let mut rows = client(connection).list_image(ListImageRequest::default()).await?.into_inner();
            let mut images = Vec::new();
            while let Some(row) = rows.message().await? {
                images.push(listed(row));
            }
            Ok(images)
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
        let what = format!("image {name}:{tag}");
        removed_or_absent(removed, missing_ok).map_err(|error| in_use(error, &what))
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

/// Servers say "in use" in three ways; all mean FAILED_PRECONDITION.
fn in_use(error: Error, what: &str) -> Error {
    let says_so = error.message.contains("use") || error.message.contains("container");
    match error.code() {
        Some(Code::Unavailable | Code::Internal) if says_so => Error {
            kind: Kind::Status(Code::FailedPrecondition),
            message: format!("{what} is in use ({})", error.message),
            hint: Some("remove the containers that use it first".to_owned()),
            ..error
        },
        Some(Code::FailedPrecondition) => error.hint("remove the containers that use it first"),
        _ => error,
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
