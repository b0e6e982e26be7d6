//! `Deploy` with `remote_download`: the device fetches an archive itself.

use tokio::time::Instant;
use tonic::{Code, Status};

use super::deploy::{DEPLOY, message};
use super::{Containerz, ListedImage, Made, client};
use crate::dial::Call;
use crate::error::{Error, Result};
use crate::wire::gnoi::common::{RemoteDownload, remote_download::Protocol};
use crate::wire::gnoi::containerz::ImageTransfer;
use crate::wire::gnoi::containerz::deploy_request::Request;
use crate::wire::gnoi::containerz::deploy_response::Response;

impl Containerz {
    /// `gnoi.containerz.Containerz/Deploy` with `remote_download`: the device fetches the archive itself.
    pub async fn deploy_remote(
        &self,
        name: &str,
        tag: &str,
        path: &str,
        protocol: Protocol,
        deadline: Instant,
    ) -> Result<()> {
        let first = ImageTransfer {
            name: name.to_owned(),
            tag: tag.to_owned(),
            remote_download: Some(RemoteDownload {
                path: path.to_owned(),
                protocol: protocol as i32,
                ..RemoteDownload::default()
            }),
            ..ImageTransfer::default()
        };
        self.timed(DEPLOY, self.fetched(first, deadline)).await
    }

    async fn fetched(&self, first: ImageTransfer, deadline: Instant) -> Result<()> {
        let (name, tag) = (first.name.as_str(), first.tag.as_str());
        let of_name = |images: &[ListedImage]| -> Vec<String> {
            images.iter().filter(|image| image.may_be(name, tag)).map(|image| image.id.clone()).collect()
        };
        let before = match self.images_by(Call::read("Containerz.ListImage", deadline)).await {
            Ok(images) => Some(of_name(&images)),
            Err(error) if self.record().is_some() && error.code() != Some(Code::Unimplemented) => return Err(error),
            Err(_) => None, // a device that does not list them may fetch one all the same
        };
        let asked = self.session.call(self.change(DEPLOY, deadline), |connection| {
            let first = first.clone();
            async move {
                let request = tokio_stream::once(message(Request::ImageTransfer(first)));
                let mut answers = client(connection).deploy(request).await?.into_inner();
                while let Some(answer) = answers.message().await? {
                    match answer.response {
                        Some(Response::ImageTransferSuccess(_)) => return Ok(()),
                        Some(Response::ImageTransferError(error)) => {
                            return Err(Status::new(Code::from_i32(error.code), error.message));
                        }
                        _ => {}
                    }
                }
                Err(Status::unknown("the device ended the transfer without success"))
            }
        });
        let asked = match before.as_deref() {
            Some([]) => self.making(Made::image(name, tag), asked).await,
            _ => asked.await,
        };
        let before = before.as_ref();
        let came = |deadline| async move {
            let now = of_name(&self.images(deadline).await?);
            match before {
                Some(before) if now.iter().any(|id| !before.contains(id)) => Ok(true),
                Some(before) if !before.is_empty() => Err(Error::invalid("the same image may have been fetched again")),
                _ => Ok(!now.is_empty()),
            }
        };
        self.settled(asked, DEPLOY, before.map(|_| ()), deadline, came).await
    }
}
