//! `ListImage` and `RemoveImage`.

use tokio::time::Instant;
use tonic::Code;

use super::types::ListedImage;
use super::{Containerz, client};
use crate::dial::Call;
use crate::dial::whole::all_of;
use crate::error::{Error, Kind, Result, Subject};
use crate::image::Names;
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
        let mut images: Vec<_> = images.await?.into_iter().flatten().collect();
        for image in &mut images {
            image.digests.extend(self.identities.others(&image.id));
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

/// What one row may be copied to, in bytes: a hostile device gives an image a long id and many names.
const MOST_COPIED: usize = 1 << 20;

/// A row of the device's: one of ours for each name that is surely meant, and one for all others.
fn listed(row: ListImageResponse) -> Vec<ListedImage> {
    let mut names = Names::read(&row.image_name, &row.tag);
    let mut digests = std::mem::take(&mut names.digests);
    // An image without an id is the one that its name's digest says.
    let id = if row.id.is_empty() { digests.pop().unwrap_or_default() } else { row.id };
    let each = id.len() + digests.iter().map(String::len).sum::<usize>();
    if names.sure.len() > 1 && each.saturating_mul(names.sure.len()) > MOST_COPIED {
        let tags = names.sure.drain(..).map(|reference| reference.tag).collect::<Vec<_>>();
        names.joined.get_or_insert_with(|| (row.image_name, Vec::new())).1.extend(tags);
    }
    let sure = names.sure.into_iter().map(|reference| (reference.name, vec![reference.tag]));
    let others = names.joined.into_iter().chain(names.untagged.map(|name| (name, Vec::new())));
    sure.chain(others)
        .map(|(name, tags)| ListedImage { id: id.clone(), name, tags, digests: digests.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn rows(id: &str, name: &str, tag: &str) -> Vec<ListedImage> {
        listed(ListImageResponse { id: id.into(), image_name: name.into(), tag: tag.into() })
    }

    fn row(name: &str, tag: &str) -> ListedImage {
        rows(ID, name, tag).pop().expect("a row")
    }

    #[test]
    fn a_tag_may_stand_behind_the_name_or_be_left_out() {
        for (name, tag) in [
            ("app", ""),
            ("app:latest", ""),
            ("docker.io/library/app:latest", ""),
            ("app", "latest"),
            ("app:latest", "latest"),
            ("app", "docker.io/library/app:latest"),
        ] {
            assert!(row(name, tag).is_named("app", "latest"), "{name} {tag}");
        }
        assert!(row("lab:5000/app", "").is_named("lab:5000/app", "latest"));
        assert!(!row("", "").may_be("", "latest"));
    }

    #[test]
    fn a_row_of_whole_names_is_one_for_each() {
        for (name, tag) in [("", "localhost/app:1,docker.io/library/b:2"), ("app:1,b:2", ""), ("app", "app:1,b:2")] {
            let rows = rows(ID, name, tag);
            assert!(rows.iter().all(|row| row.unambiguous() && row.has_id(ID)), "{rows:?}");
            let named = |name, tag| rows.iter().any(|row| row.is_named(name, tag));
            assert!(named("app", "1") && named("b", "2") && !named("app", "2") && !named("b", "1"), "{rows:?}");
        }
    }

    #[test]
    fn an_untagged_image_has_no_name() {
        for (name, tag) in [("<none>", "<none>"), ("app", "<none>"), ("", ""), (ID, "")] {
            let row = row(name, tag);
            assert!(row.tags.is_empty() && !row.may_be("app", "latest") && row.has_id(ID), "{row:?}");
        }
    }

    #[test]
    fn a_digest_in_the_name_is_the_images() {
        let of = |id: &str| rows(id, &format!("app@{ID}"), "1").pop().expect("a row");
        assert!(of("").has_id(ID) && of("").is_named("app", "1"));
        assert!(of("sha256:ffffffffffff").has_id(ID) && of("sha256:ffffffffffff").has_id("ffffffffffff"));
    }

    #[test]
    fn a_long_id_is_not_copied_for_every_name() {
        let names: Vec<_> = (0..10_000).map(|at| format!("app{at}:v{at}")).collect();
        let rows = rows(&"0".repeat(10_000), &names.join(","), "");
        assert_eq!((rows.len(), rows[0].tags.len()), (1, 10_000));
        assert!(rows[0].may_be("app7", "v7"));
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
