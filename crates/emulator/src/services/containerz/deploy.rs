//! `Deploy`: spooled to the disk, parsed, and only then an image.

use std::path::PathBuf;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::super::feed;
use super::{ContainerzService, Rows};
use crate::settings::Quirk;
use crate::sites::Step;
use crate::stall::Stall;
use crate::store::{Image, off_the_workers};
use holdfast_image::{Archive, Reference};
use holdfast_wire::gnoi::containerz::deploy_request::Request;
use holdfast_wire::gnoi::containerz::deploy_response::Response as Answer;
use holdfast_wire::gnoi::containerz::{
    DeployRequest, DeployResponse, ImageTransfer, ImageTransferProgress, ImageTransferReady, ImageTransferSuccess,
};

pub(super) type Answers = mpsc::Sender<Result<DeployResponse, Status>>;

/// Chunks from one progress message to the next with `rare-progress`.
const RARE: u64 = 10;

impl ContainerzService {
    /// The first message, which says what comes. It is refused before the answer begins, as servers in Go do.
    pub(super) async fn transfer_begun(
        &self,
        requests: &mut Streaming<DeployRequest>,
    ) -> Result<ImageTransfer, Status> {
        let first = requests.message().await?.and_then(|message| message.request);
        let Some(Request::ImageTransfer(transfer)) = first else {
            let what = "the first message must be an image transfer";
            let older = self.has(Quirk::OlderContainerz);
            return Err(if older { Status::invalid_argument(what) } else { Status::unavailable(what) });
        };
        self.check(&transfer)?;
        Ok(transfer)
    }

    pub(super) fn deploy_image(
        &self,
        transfer: ImageTransfer,
        requests: Streaming<DeployRequest>,
        stall: Stall,
    ) -> Response<Rows<DeployResponse>> {
        let (answers, stream) = mpsc::channel(16);
        let service = self.clone();
        let life = self.control_processor().life();
        let kept = answers.clone();
        let work = async move {
            if let Err(status) = service.receive(transfer, requests, &answers, &stall).await {
                let _ = answers.send(Err(status)).await; // the client is gone
            }
        };
        tokio::spawn(feed(life, kept, work));
        Response::new(ReceiverStream::new(stream))
    }

    async fn receive(
        &self,
        transfer: ImageTransfer,
        mut requests: Streaming<DeployRequest>,
        answers: &Answers,
        stall: &Stall,
    ) -> Result<(), Status> {
        if let Some(download) = &transfer.remote_download {
            return self.fetch(&transfer, &download.path, answers).await;
        }
        let chunk_size = self.chassis.settings.chunk_size;
        answer(answers, Answer::ImageTransferReady(ImageTransferReady { chunk_size })).await?;
        let spool = tempfile::NamedTempFile::new_in(self.control_processor().store.incoming())
            .map_err(|error| disk(&error))?
            .into_temp_path();
        let mut file = File::create(&spool).await.map_err(|error| disk(&error))?;
        if !transfer.is_plugin {
            self.defects().transfer_begins(&self.chassis, self.index, &transfer);
        }
        let received = self.spool(&mut requests, answers, &transfer, &mut file, stall).await?;
        file.flush().await.map_err(|error| disk(&error))?;
        drop(file);
        let size = if self.has(Quirk::NoSizeInSuccess) { 0 } else { received };
        let tag = if transfer.is_plugin {
            self.store_plugin(&transfer.name, &spool).await?;
            String::new()
        } else {
            self.change(|held| {
                self.defects().lasting().transfer_came(held, &transfer);
                Ok(())
            })?;
            self.store_image(&transfer, spool.to_path_buf(), received).await?;
            transfer.tag
        };
        let success = ImageTransferSuccess { name: transfer.name, tag, image_size: size };
        let done = DeployResponse { response: Some(Answer::ImageTransferSuccess(success)) };
        match self.control_processor().faults.message("containerz.Deploy.after", done, stall).await? {
            Some(done) => send(answers, done).await,
            None => std::future::pending().await,
        }
    }

    fn check(&self, transfer: &ImageTransfer) -> Result<(), Status> {
        if let Some(download) = &transfer.remote_download {
            return Self::check_download(download);
        }
        if self.has(Quirk::OlderContainerz) {
            return Err(Status::invalid_argument("invalid remote download request: RemoteDownload is required"));
        }
        if transfer.is_plugin {
            let plain =
                !transfer.name.is_empty() && !transfer.name.contains(['/', '\\']) && !transfer.name.starts_with('.');
            return if plain {
                Ok(())
            } else {
                Err(Status::invalid_argument("a plugin's name must be a plain file name"))
            };
        }
        Reference::new(&transfer.name, &transfer.tag).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.check_space(transfer.image_size)
    }

    fn check_space(&self, size: u64) -> Result<(), Status> {
        let free = self.chassis.settings.space.saturating_sub(self.inventory().space_used());
        if size > free {
            return Err(Status::resource_exhausted(format!("the image has {size} bytes, and {free} are free")));
        }
        Ok(())
    }

    async fn spool(
        &self,
        requests: &mut Streaming<DeployRequest>,
        answers: &Answers,
        transfer: &ImageTransfer,
        file: &mut File,
        stall: &Stall,
    ) -> Result<u64, Status> {
        let faults = &self.control_processor().faults;
        let (mut received, mut chunks) = (0, 0);
        loop {
            let mut message = requests.message().await?;
            if let Some(DeployRequest { request: Some(Request::Content(_)) }) = message
                && !faults.is_idle()
            {
                let chunk = message.take().unwrap_or_default();
                let Some(left) = faults.message("containerz.Deploy.chunk", chunk, stall).await? else { continue };
                message = Some(left);
            }
            match message.and_then(|message| message.request) {
                Some(Request::Content(content)) => {
                    received += content.len() as u64;
                    chunks += 1;
                    if received > transfer.image_size && transfer.image_size > 0 {
                        return Err(Status::invalid_argument("more bytes came than the transfer announced"));
                    }
                    file.write_all(&content).await.map_err(|error| disk(&error))?;
                    if self.has(Quirk::LockstepOnly) && another_waits(requests).await {
                        return Err(Status::internal("a chunk came before the last was answered"));
                    }
                    if !self.has(Quirk::RareProgress) || chunks % RARE == 0 {
                        let progress =
                            Answer::ImageTransferProgress(ImageTransferProgress { bytes_received: received });
                        let progress = DeployResponse { response: Some(progress) };
                        if let Some(left) = faults.message("containerz.Deploy.chunk.after", progress, stall).await? {
                            send(answers, left).await?;
                        }
                    }
                }
                Some(Request::ImageTransferEnd(_)) => {
                    let short = received < transfer.image_size;
                    if short && !self.has(Quirk::ShortTransferAccepted) {
                        let what = format!("{received} of {} bytes came", transfer.image_size);
                        return Err(Status::invalid_argument(what));
                    }
                    return Ok(received);
                }
                Some(Request::ImageTransfer(_)) => return Err(Status::invalid_argument("a second transfer began")),
                None => return Err(Status::unknown("the client closed the transfer before its end")),
            }
        }
    }

    pub(super) async fn store_image(&self, transfer: &ImageTransfer, spool: PathBuf, size: u64) -> Result<(), Status> {
        let opened = tokio::task::spawn_blocking({
            let spool = spool.clone();
            move || Archive::open(&spool)
        });
        let archive = opened.await.map_err(|error| Status::internal(error.to_string()))?;
        let archive =
            archive.map_err(|error| Status::invalid_argument(format!("no image archive: {}", error.message)))?;
        let target = (transfer.name.clone(), transfer.tag.clone());
        let mut moved = false;
        let _operation = self.control_processor().operation().await;
        for image in loaded(&archive) {
            let mut names: Vec<_> = image.names.iter().map(|name| (name.name.clone(), name.tag.clone())).collect();
            if names.is_empty() {
                return Err(Status::invalid_argument("the archive carries no tag"));
            }
            names.push(target.clone());
            if self.inventory().image_by_id(&image.id).is_none() {
                self.check_space(size)?;
            }
            let file = self.control_processor().store.image_file(&image.id);
            off_the_workers(|| std::fs::copy(&spool, file)).map_err(|error| disk(&error))?;
            moved |= names
                .iter()
                .any(|(name, tag)| self.inventory().image(name, tag).is_some_and(|known| known.id != image.id));
            let taken = self.control_processor().runtime.add_image(image, &archive).await;
            taken.map_err(|failure| failure.status(&format!("image {}:{} is not loaded", target.0, target.1)))?;
            let stored = Image {
                id: image.id.clone(),
                // A runtime that lists by manifest makes one where the archive has none.
                manifest: image.manifests.first().cloned().unwrap_or_else(|| {
                    format!("sha256:{}", holdfast_image::digest(format!("manifest of {}", image.id).as_bytes()))
                }),
                names,
                size,
                command: image.command.clone(),
                labels: image.labels.clone(),
                environment: image.environment.clone(),
            };
            self.keep_image(stored)?;
        }
        if moved && self.has(Quirk::MovedTagFails) {
            return Err(Status::internal("a tag of the archive was on another image"));
        }
        Ok(())
    }

    fn keep_image(&self, mut image: Image) -> Result<(), Status> {
        if self.defects().skips(Step::KeepImage) {
            return Ok(());
        }
        self.defects().new_image(&mut image);
        self.change(|held| {
            held.add_image(image);
            Ok(())
        })
    }

    async fn store_plugin(&self, name: &str, spool: &std::path::Path) -> Result<(), Status> {
        let _operation = self.control_processor().operation().await;
        if self.defects().skips(Step::KeepPlugin) {
            return Ok(());
        }
        let file = self.control_processor().store.plugin_file(name);
        off_the_workers(|| std::fs::copy(spool, file)).map_err(|error| disk(&error))?;
        self.change(|held| {
            if !held.plugin_tars.iter().any(|known| known == name) {
                held.plugin_tars.push(name.to_owned());
            }
            Ok(())
        })
    }
}

/// Those for its own platform, as a device chooses among several; all of them where none is.
fn loaded(archive: &Archive) -> Vec<&holdfast_image::Image> {
    let own = holdfast_image::own_platform();
    let is_own = |image: &&holdfast_image::Image| holdfast_image::is_for(&image.platform, &own);
    let fitting: Vec<_> = archive.images.iter().filter(is_own).collect();
    if fitting.is_empty() { archive.images.iter().collect() } else { fitting }
}

/// Whether the client sent a chunk without waiting: one comes within a moment.
async fn another_waits(requests: &mut Streaming<DeployRequest>) -> bool {
    let moment = std::time::Duration::from_millis(30);
    matches!(
        tokio::time::timeout(moment, requests.message()).await,
        Ok(Ok(Some(DeployRequest { request: Some(Request::Content(_)) })))
    )
}

async fn answer(answers: &Answers, response: Answer) -> Result<(), Status> {
    send(answers, DeployResponse { response: Some(response) }).await
}

pub(super) async fn send(answers: &Answers, message: DeployResponse) -> Result<(), Status> {
    answers.send(Ok(message)).await.map_err(|_| Status::cancelled("the client is gone"))
}

pub(super) fn disk(error: &std::io::Error) -> Status {
    Status::internal(format!("the device's disk: {error}"))
}
