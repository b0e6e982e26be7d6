//! `Deploy`: a file streams to the device with several chunks in flight, or in lockstep.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Containerz, ListedImage, Made, client};
use crate::dial::EventKind;
use crate::dial::answer::{is_transport, unless_it_panics};
use crate::error::{Error, Kind, Result, is_unreadable};
use crate::image::{Reference, Source};
use crate::waiting::reached;
use crate::wire::gnoi::containerz::deploy_request::Request;
use crate::wire::gnoi::containerz::deploy_response::Response;
use crate::wire::gnoi::containerz::{
    DeployRequest, DeployResponse, ImageTransfer, ImageTransferEnd, ImageTransferSuccess,
};

/// gRPC's default message limit, less what a message adds to its content.
const MAX_CHUNK: usize = (4 << 20) - 64;
/// Chunks read ahead of the network. HTTP/2's window decides how many are in flight beyond these.
const READ_AHEAD: usize = 2;

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes handed to the network.
    pub sent: u64,
    /// Bytes that the device says it has.
    pub received: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Takes progress; must not block.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

pub(super) const DEPLOY: &str = "Containerz.Deploy";
/// How much later than a broken stream a lost connection may show.
const LOSS_SHOWS: Duration = Duration::from_millis(50);

/// One transfer.
#[derive(Clone)]
pub struct Deployment {
    /// What is sent.
    pub source: Source,
    /// What the device shall call it.
    pub name: String,
    /// Empty for a plugin.
    pub tag: String,
    /// What the archive itself calls the image: a device keeps these names beside its own.
    pub own_names: Vec<Reference>,
    /// What the image is known by, its id first, for finding it after an error; nothing for a plugin.
    pub digests: Vec<String>,
    /// Whether it is a plugin's tar.
    pub is_plugin: bool,
    /// One chunk at a time, each waiting for its progress message.
    pub lockstep: bool,
    /// Whether the name may move from another image.
    pub replace: bool,
    /// How often to start over after a transfer that broke off.
    pub retries: u32,
    /// Told of each step.
    pub progress: Option<ProgressSink>,
}

impl Deployment {
    /// An image of which no more is known than what it shall be called; it may take its name from another.
    pub fn image(source: Source, name: &str, tag: &str) -> Self {
        Self {
            source,
            name: name.to_owned(),
            tag: tag.to_owned(),
            own_names: Vec::new(),
            digests: Vec::new(),
            is_plugin: false,
            lockstep: false,
            replace: true,
            retries: 0,
            progress: None,
        }
    }
}

/// Why a transfer ended badly, and how far it had come.
struct Broken {
    error: Error,
    sent: u64,
}

/// How a device is before a transfer.
struct BeforeTransfer {
    /// Whether the image is there, under whatever name.
    known: bool,
    /// The ids of all that is there.
    listed: Vec<String>,
    /// What the transfer makes; nothing where the name is there already.
    made: Option<Made>,
}

impl Containerz {
    /// `gnoi.containerz.Containerz/Deploy` of a file. After any error the device is asked whether the image is there.
    pub async fn deploy(&self, deployment: &Deployment, deadline: Instant) -> Result<()> {
        self.identities.learn(&deployment.digests);
        let before = self.check_name_is_free(deployment, deadline).await?;
        match before.made {
            None => self.upload(deployment, before.known, &before.listed, deadline).await?,
            Some(made) => {
                let upload = self.upload(deployment, before.known, &before.listed, deadline);
                self.making(made, upload).await?;
            }
        }
        self.learn_listed_id(deployment, &before.listed, deadline).await;
        Ok(())
    }

    /// An archive in docker-save's older layout has no manifest, and a runtime that lists images by manifest makes one.
    /// What it lists under the name right after the transfer is the image's id there.
    ///
    /// One that was `listed` before is another's: a device that moved no name shall not pass for one that did.
    async fn learn_listed_id(&self, deployment: &Deployment, listed: &[String], deadline: Instant) {
        let Ok(images) = self.images(deadline).await else { return }; // whoever looks for the image then hears of it
        if let Some((id, other)) = new_id(&images, deployment, listed) {
            self.identities.learn(&[id.to_owned(), other.to_owned()]);
        }
    }

    async fn upload(&self, deployment: &Deployment, known: bool, listed: &[String], deadline: Instant) -> Result<()> {
        let began = Instant::now();
        let mut lockstep = deployment.lockstep || self.lockstep.load(Ordering::Relaxed);
        let mut retries = deployment.retries;
        loop {
            let Err(broken) = self.transfer(deployment, lockstep, deadline).await else {
                self.lockstep.fetch_or(lockstep && !deployment.lockstep, Ordering::Relaxed);
                return Ok(());
            };
            let timeline = self.session.timeline();
            timeline.record(
                EventKind::Call,
                format!("Containerz.Deploy: broke off after {} bytes: {}", broken.sent, broken.error),
            );
            let loaded = self.is_loaded(deployment, listed, deadline).await;
            let lost = broken.error.kind == Kind::OutcomeUnknown;
            let came = loaded && !known; // what was there before proves nothing
            if came && lost {
                timeline.record(EventKind::Note, "the image is on the device although the answer never came");
                return Ok(());
            }
            let retry_in_lockstep = !lockstep && !came && dislikes_pipelining(&broken.error) && broken.sent > 0;
            if retry_in_lockstep {
                timeline.record(EventKind::Note, "trying once more in lockstep");
                lockstep = true;
            } else if lost && retries > 0 && Instant::now() < deadline {
                retries -= 1;
            } else {
                let error = explain(broken, deployment, loaded);
                return Err(error.during(self.session.name(), "Containerz.Deploy", began.elapsed()));
            }
        }
    }

    /// A name that would move from another image is refused before the first byte, unless that is wanted.
    async fn check_name_is_free(&self, deployment: &Deployment, deadline: Instant) -> Result<BeforeTransfer> {
        let (name, tag) = (&deployment.name, &deployment.tag);
        let Some(id) = deployment.digests.first() else {
            return Ok(BeforeTransfer {
                known: false,
                listed: Vec::new(),
                made: Some(Made::named("plugin archive", name)),
            });
        };
        let images = self.images(deadline).await?;
        let before = BeforeTransfer {
            known: images.iter().any(|image| image.has_id(id)),
            listed: images.iter().map(|image| image.id.clone()).collect(),
            made: (!images.iter().any(|image| image.may_be(name, tag))).then(|| Made::image(name, tag)),
        };
        if deployment.replace {
            return Ok(before);
        }
        let own = deployment.own_names.iter().map(|own| (&own.name, &own.tag));
        for (at, (name, tag)) in [(name, tag)].into_iter().chain(own).enumerate() {
            let Some(other) = images.iter().find(|image| image.is_named(name, tag) && !image.has_id(id)) else {
                continue;
            };
            let moves = if at == 0 { "" } else { ", and the archive, which has that name too, would move it" };
            let what = format!("{name}:{tag} names another image on the device: {}{moves}", other.id);
            return Err(Error::new(Kind::Status(Code::AlreadyExists), what)
                .hint("deploy under another name (retag=), or with replace=True to move the name"));
        }
        Ok(before)
    }

    /// By its digest, or, where its archive does not tell what it may be listed by, by an id that was not `listed` before.
    async fn is_loaded(&self, deployment: &Deployment, listed: &[String], deadline: Instant) -> bool {
        let Some(id) = deployment.digests.first() else { return false };
        let Ok(images) = self.images(deadline).await else { return false };
        images.iter().any(|image| image.has_id(id)) || new_id(&images, deployment, listed).is_some()
    }

    async fn transfer(
        &self,
        deployment: &Deployment,
        lockstep: bool,
        deadline: Instant,
    ) -> std::result::Result<(), Broken> {
        let unsent = |error| Broken { error, sent: 0 };
        let reader = deployment.source.reader().map_err(unsent)?;
        let total = deployment.source.size;
        let first = ImageTransfer {
            name: deployment.name.clone(),
            tag: deployment.tag.clone(),
            image_size: total,
            is_plugin: deployment.is_plugin,
            ..ImageTransfer::default()
        };
        let call = self.change("Containerz.Deploy", deadline);
        let (opened, connection, _pending) = self
            .session
            .open(call, |connection| {
                let first = first.clone();
                async move {
                    let (requests, outgoing) = mpsc::channel(READ_AHEAD);
                    let opening = message(Request::ImageTransfer(first));
                    requests.send(opening).await.map_err(|_| Status::cancelled("not sent"))?;
                    let answers = client(connection).deploy(ReceiverStream::new(outgoing)).await?.into_inner();
                    Ok((requests, answers))
                }
            })
            .await
            .map_err(unsent)?;
        let (requests, answers) = opened;
        let mut transfer =
            Transfer { requests, answers, progress: deployment.progress.clone(), sent: 0, received: 0, total };
        let outcome = tokio::select! {
            biased;
            outcome = transfer.run(reader, lockstep, deadline) => outcome,
            () = reached(deadline) => Err(Error::new(Kind::OutcomeUnknown, "the transfer did not end in time")),
            why = connection.lost() => Err(Error::new(Kind::OutcomeUnknown, why)),
        };
        let outcome = outcome.and_then(|success| check_success(&success, total));
        let Err(error) = outcome else { return Ok(()) };
        // A stream that broke may be known before the connection under it is known to be lost.
        let lost = timeout(LOSS_SHOWS, connection.lost()).await.is_ok();
        let error = if lost { Error { kind: Kind::OutcomeUnknown, ..error } } else { error };
        Err(Broken { error, sent: transfer.sent })
    }
}

/// Of an archive that knows one digest of its image alone: that, and the other that a device lists the image by, under
/// the name that it was to have. What was `listed` before is another's.
fn new_id<'a>(images: &'a [ListedImage], deployment: &'a Deployment, listed: &[String]) -> Option<(&'a str, &'a str)> {
    let [id] = deployment.digests.as_slice() else { return None };
    let mut named = images.iter().filter(|image| image.is_named(&deployment.name, &deployment.tag));
    match (named.next(), named.next()) {
        (Some(only), None) if !images.iter().any(|image| image.has_id(id)) && !listed.contains(&only.id) => {
            Some((id, &only.id))
        }
        _ => None,
    }
}

struct Transfer {
    requests: mpsc::Sender<DeployRequest>,
    answers: Streaming<DeployResponse>,
    progress: Option<ProgressSink>,
    sent: u64,
    received: u64,
    total: u64,
}

impl Transfer {
    async fn run(
        &mut self,
        reader: Box<dyn Read + Send>,
        lockstep: bool,
        deadline: Instant,
    ) -> Result<ImageTransferSuccess> {
        let chunk_size = self.ready(deadline).await?;
        let mut chunks = read_chunks(reader, chunk_size);
        let mut success = None;
        while success.is_none() {
            let Some(chunk) = chunks.recv().await else { break };
            let chunk = chunk.map_err(|error| {
                Error::image(format!("the archive could not be read: {error}")).caused_by(Arc::new(error))
            })?;
            success = self.send(chunk, deadline).await?;
            while lockstep && success.is_none() && self.received < self.sent {
                success = self.answer(deadline).await?;
            }
        }
        if success.is_some() && self.sent < self.total {
            return Err(self.early_success());
        }
        let end = message(Request::ImageTransferEnd(ImageTransferEnd {}));
        if success.is_none() && self.requests.send(end).await.is_err() {
            return Err(self.early_end(deadline).await);
        }
        loop {
            match success {
                Some(success) => return Ok(success),
                None => success = self.answer(deadline).await?,
            }
        }
    }

    async fn ready(&mut self, deadline: Instant) -> Result<usize> {
        match self.next(deadline).await? {
            Response::ImageTransferReady(ready) => match usize::try_from(ready.chunk_size) {
                Ok(size) if size > 0 => Ok(size.min(MAX_CHUNK)),
                _ => Err(Error::new(
                    Kind::Status(Code::Internal),
                    format!("the device wants chunks of {} bytes", ready.chunk_size),
                )
                .hint("report it to the vendor: chunk_size must be positive")),
            },
            other => Err(unexpected(&other)),
        }
    }

    /// Hands a chunk to the network, and takes what the device says meanwhile.
    async fn send(&mut self, chunk: Bytes, deadline: Instant) -> Result<Option<ImageTransferSuccess>> {
        let length = chunk.len() as u64;
        let requests = self.requests.clone();
        let place = requests.reserve();
        tokio::pin!(place);
        loop {
            tokio::select! {
                place = &mut place => match place {
                    Ok(place) => {
                        place.send(message(Request::Content(chunk)));
                        self.sent += length;
                        self.report();
                        return Ok(None);
                    }
                    Err(_) => return Err(self.early_end(deadline).await),
                },
                answer = self.answer(deadline) => match answer? {
                    None => {}
                    early => return Ok(early),
                },
            }
        }
    }

    /// The stream of requests closed under us: what the device says about that.
    async fn early_end(&mut self, deadline: Instant) -> Error {
        loop {
            match self.answer(deadline).await {
                Err(error) => return error,
                Ok(Some(_)) => return self.early_success(),
                Ok(None) => {}
            }
        }
    }

    fn early_success(&self) -> Error {
        let (sent, total) = (self.sent, self.total);
        let message = format!("the device called the transfer a success after {sent} of {total} bytes, before its end");
        Error::new(Kind::Status(Code::Internal), message).hint("report it to the vendor")
    }

    /// The device's next message; success, or progress taken.
    async fn answer(&mut self, deadline: Instant) -> Result<Option<ImageTransferSuccess>> {
        match self.next(deadline).await? {
            Response::ImageTransferProgress(progress) => {
                self.received = self.received.max(progress.bytes_received);
                self.report();
                Ok(None)
            }
            Response::ImageTransferSuccess(success) => Ok(Some(success)),
            Response::ImageTransferError(error) => {
                Err(Error::from_status(&Status::new(Code::from_i32(error.code), error.message)))
            }
            other @ Response::ImageTransferReady(_) => Err(unexpected(&other)),
        }
    }

    async fn next(&mut self, deadline: Instant) -> Result<Response> {
        let late = || Error::new(Kind::Timeout, format!("the transfer did not end in time, after {} bytes", self.sent));
        if Instant::now() >= deadline {
            return Err(late()); // of one that says progress without an end
        }
        consume_budget().await;
        let message = timeout_at(deadline, unless_it_panics(self.answers.message()))
            .await
            .map_err(|_| late())?
            .map_err(|status| {
                let error = Error::from_status(&status);
                let unknown = is_transport(&status) || is_unreadable(&status);
                if unknown { Error { kind: Kind::OutcomeUnknown, ..error } } else { error }
            })?;
        message
            .and_then(|message| message.response)
            .ok_or_else(|| Error::new(Kind::Status(Code::Unknown), "the device ended the transfer without success"))
    }

    fn report(&self) {
        if let Some(progress) = &self.progress {
            progress(Progress { sent: self.sent, received: self.received, total: self.total });
        }
    }
}

pub(super) fn message(request: Request) -> DeployRequest {
    DeployRequest { request: Some(request) }
}

fn unexpected(response: &Response) -> Error {
    let name = match response {
        Response::ImageTransferReady(_) => "ready",
        Response::ImageTransferProgress(_) => "progress",
        Response::ImageTransferSuccess(_) => "success",
        Response::ImageTransferError(error) => {
            return Error::from_status(&Status::new(Code::from_i32(error.code), error.message.clone()));
        }
    };
    Error::new(Kind::Status(Code::Internal), format!("the device sent {name} out of turn"))
}

/// Reads ahead on a thread of its own; memory stays at a few chunks whatever the file's size.
fn read_chunks(mut reader: Box<dyn Read + Send>, size: usize) -> mpsc::Receiver<std::io::Result<Bytes>> {
    let (chunks, received) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = BytesMut::zeroed(size);
            let filled = match fill(&mut *reader, &mut chunk) {
                Ok(0) => return,
                Ok(filled) => filled,
                Err(error) => {
                    let _ = chunks.blocking_send(Err(error));
                    return;
                }
            };
            chunk.truncate(filled);
            if chunks.blocking_send(Ok(chunk.freeze())).is_err() {
                return;
            }
        }
    });
    received
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Some servers accept a transfer that was cut short; the size they say shows it, where they say one.
fn check_success(success: &ImageTransferSuccess, total: u64) -> Result<()> {
    if success.image_size == 0 || success.image_size == total {
        return Ok(());
    }
    let what = format!("the device stored {} of {total} bytes and called it success", success.image_size);
    Err(Error::new(Kind::Status(Code::DataLoss), what).hint("remove the image and deploy it again"))
}

/// Whether an answer may mean that the server cannot take chunks before it answered the last.
fn dislikes_pipelining(error: &Error) -> bool {
    let codes = [Code::Internal, Code::Unknown, Code::Aborted, Code::Unavailable];
    error.code().is_some_and(|code| codes.contains(&code))
}

fn explain(broken: Broken, deployment: &Deployment, loaded: bool) -> Error {
    let Broken { error, sent } = broken;
    let mut message = format!("{} (after {sent} of {} bytes)", error.message, deployment.source.size);
    let mut hint = error.hint.clone();
    if loaded {
        message.push_str("; the image is on the device all the same");
        hint = Some("look at its names with `images`: the device may have moved or dropped one".to_owned());
    } else if error.code() == Some(Code::ResourceExhausted) {
        hint = Some("remove images the device no longer needs".to_owned());
    } else if error.kind == Kind::OutcomeUnknown {
        hint = Some("deploy it again, or give retries= to have that done".to_owned());
    }
    Error { message, hint, after: None::<Duration>, ..error }
}
