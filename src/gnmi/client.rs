//! The gNMI client: Capabilities, Get, Set, Subscribe ONCE, POLL and STREAM.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::form::{ENCODINGS, Form, Reader, Served, not_taken, refuses_form};
use super::leaf::{Answered, Leaf, Room};
use super::once::{self, Ending};
use super::path::Path;
use super::request::{Extension, Get, Set, StreamMode, Subscribe};
use crate::dial::whole::LONGEST_MESSAGE;
use crate::dial::{Call, Connection, Following, Next, OnLoss, Opened, Opener, Resumed, Session};
use crate::error::{Error, Kind, Result};
use crate::wire::gnmi::g_nmi_client::GNmiClient;
use crate::wire::gnmi::subscribe_response::Response;
use crate::wire::gnmi::subscription_list::Mode;
use crate::wire::gnmi::{
    CapabilityRequest, CapabilityResponse, Encoding, Poll, SetResponse, SubscribeRequest, SubscribeResponse,
    subscribe_request,
};

const SUBSCRIBE: &str = "gNMI.Subscribe";

/// What goes to the device after the first message of a Subscribe.
type Requests = mpsc::Sender<SubscribeRequest>;

/// The client. Clones share its session.
#[derive(Clone)]
pub struct Gnmi {
    session: Session,
    known: Arc<Known>,
}

/// What was learnt of the device.
#[derive(Default)]
struct Known {
    offered: OnceCell<Vec<i32>>,
    served: Served,
    ending: Ending,
}

fn client(connection: Connection) -> GNmiClient<Connection> {
    let origin = connection.origin();
    GNmiClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_MESSAGE)
}

/// Opens a Subscribe. Its requests stay open until they are dropped: some targets take their end for the subscription's.
async fn begin(
    connection: Connection,
    request: SubscribeRequest,
) -> std::result::Result<(Requests, Streaming<SubscribeResponse>), Status> {
    let (requests, outgoing) = mpsc::channel(4);
    requests.send(request).await.map_err(|_| Status::cancelled("not sent"))?;
    let stream = client(connection).subscribe(ReceiverStream::new(outgoing)).await?.into_inner();
    Ok((requests, stream))
}

impl Gnmi {
    /// Over `session`.
    pub fn new(session: Session) -> Self {
        Self { session, known: Arc::default() }
    }

    /// `gnmi.gNMI/Capabilities`
    pub async fn capabilities(&self, extensions: &[Extension], deadline: Instant) -> Result<CapabilityResponse> {
        let call = Call::read("gNMI.Capabilities", deadline);
        let asked = self.session.call(call, |connection| {
            let request = CapabilityRequest { extension: extensions.to_vec() };
            async move { Ok(client(connection).capabilities(request).await?.into_inner()) }
        });
        let unusual = if extensions.is_empty() { Vec::new() } else { vec!["extensions".to_owned()] };
        asked.await.map_err(|error| not_taken(error, &unusual))
    }

    /// The encodings to try, best first: those that the device offers, then the others, which it may serve all the same.
    pub async fn encodings(&self, deadline: Instant) -> Result<Vec<Encoding>> {
        let asked = self
            .known
            .offered
            .get_or_try_init(|| async { Ok::<_, Error>(self.capabilities(&[], deadline).await?.supported_encodings) });
        let offered = match asked.await {
            Ok(offered) => offered.as_slice(),
            Err(error) if error.code().is_some() => &[], // it may serve the rest all the same
            Err(error) => return Err(error),
        };
        let (mut encodings, others): (Vec<_>, Vec<_>) =
            ENCODINGS.into_iter().partition(|encoding| offered.contains(&(*encoding as i32)));
        encodings.extend(others);
        Ok(encodings)
    }

    /// Asks in the encoding that is wanted, or was served before, else in each until one is not refused.
    async fn in_encodings<T, F, Fut>(
        &self,
        reader: Reader,
        wanted: Option<Encoding>,
        deadline: Instant,
        ask: F,
    ) -> Result<T>
    where
        F: Fn(Encoding) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if let Some(encoding) = wanted.or_else(|| self.known.served.get(reader)) {
            return ask(encoding).await;
        }
        let mut first = None;
        for encoding in self.encodings(deadline).await? {
            match ask(encoding).await {
                Err(error) if refuses_form(&error) && error.code() != Some(Code::NotFound) => {
                    first.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        Err(first.unwrap_or_else(|| Error::invalid("no encoding to ask in")))
    }

    /// A read in one form, as leaves.
    pub async fn ask(&self, paths: &[Path], form: Form, call: Call) -> Result<Vec<Leaf>> {
        let paths: Vec<Path> = paths.iter().map(|path| form.path(path)).collect();
        let envelope = form.envelope();
        let answer = match form.reader {
            Reader::Once => self.once_call(call, &Subscribe { envelope, ..as_they_are(&paths) }, form.encoding).await,
            Reader::Get => self.get_call(call, &Get { envelope, ..Get::all(&paths) }, form.encoding).await,
        };
        answer.map(|answer| answer.value)
    }

    /// `gnmi.gNMI/Get`, as leaves.
    pub async fn get(&self, get: &Get, deadline: Instant) -> Result<Answered<Vec<Leaf>>> {
        let call = Call::read("gNMI.Get", deadline);
        let ask = |encoding| self.get_call(call, get, encoding);
        let answer = self.timed(call, self.in_encodings(Reader::Get, get.envelope.encoding, deadline, ask)).await;
        answer.map_err(|error| not_taken(error, &get.unusual()))
    }

    /// Has an error say how long all of it took, where a call needs another before it.
    fn timed<T>(&self, call: Call, steps: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
        let (began, steps) = (Instant::now(), Box::pin(steps));
        async move { steps.await.map_err(|error| error.during(self.session.name(), call.name, began.elapsed())) }
    }

    async fn get_call(&self, call: Call, get: &Get, encoding: Encoding) -> Result<Answered<Vec<Leaf>>> {
        let request = get.message(encoding);
        let response = self
            .session
            .call(call, |connection| {
                let request = request.clone();
                async move { Ok(client(connection).get(request).await?.into_inner()) }
            })
            .await?;
        let (mut room, mut leaves) = (Room::default(), Vec::new());
        for notification in &response.notification {
            let found = room.leaves_of(notification).map_err(|status| Error::from_status(&status))?;
            leaves.extend(found);
        }
        let leaves = self.served(Reader::Get, encoding, leaves);
        Ok(Answered { value: leaves, extensions: response.extension })
    }

    /// Keeps in mind that leaves came in an encoding.
    fn served(&self, reader: Reader, encoding: Encoding, leaves: Vec<Leaf>) -> Vec<Leaf> {
        if !leaves.is_empty() {
            self.known.served.set(reader, encoding);
        }
        leaves
    }

    /// `gnmi.gNMI/Set`
    pub async fn set(&self, set: &Set, deadline: Instant) -> Result<SetResponse> {
        let request = set.message()?;
        let asked = self.session.call(Call::write("gNMI.Set", deadline), |connection| {
            let request = request.clone();
            async move { Ok(client(connection).set(request).await?.into_inner()) }
        });
        asked.await.map_err(|error| not_taken(error, &set.unusual()))
    }

    /// `gnmi.gNMI/Subscribe` ONCE of some paths, or Get where a device has no ONCE.
    pub async fn once(&self, paths: &[Path], call: Call) -> Result<Vec<Leaf>> {
        self.subscribe_once(&as_they_are(paths), call).await.map(|answer| answer.value)
    }

    /// `gnmi.gNMI/Subscribe` ONCE, or Get where a device has no ONCE.
    pub async fn subscribe_once(&self, subscribe: &Subscribe, call: Call) -> Result<Answered<Vec<Leaf>>> {
        let answer = self.timed(call, self.once_or_get(subscribe, call)).await;
        answer.map_err(|error| not_taken(error, &subscribe.unusual()))
    }

    async fn once_or_get(&self, subscribe: &Subscribe, call: Call) -> Result<Answered<Vec<Leaf>>> {
        let once = |encoding| async move {
            match self.once_call(call, subscribe, encoding).await {
                Err(error) if error.code() == Some(Code::Unimplemented) => {
                    let paths = subscribe.paths.iter().map(|each| each.path.clone()).collect();
                    let get = Get { paths, envelope: subscribe.envelope.clone(), ..Get::default() };
                    // What refuses the encoding or an extension refuses Get too, and its first words say more.
                    self.get_call(call, &get, encoding)
                        .await
                        .map_err(|other| if refuses_form(&other) { error } else { other })
                }
                answer => answer,
            }
        };
        self.in_encodings(Reader::Once, subscribe.envelope.encoding, call.deadline, once).await
    }

    async fn once_call(&self, call: Call, subscribe: &Subscribe, encoding: Encoding) -> Result<Answered<Vec<Leaf>>> {
        let request = subscribe.message(Mode::Once, encoding);
        let paths = if subscribe.updates_only { &[][..] } else { subscribe.paths.as_slice() };
        let paths = paths.iter().map(|each| subscribe.envelope.prefix.join(&each.path)).collect();
        let asked = &once::Asked { paths, call };
        let found = self.session.call(call, |connection| {
            let request = request.clone();
            async move {
                let (_requests, stream) = begin(connection, request).await?;
                once::collect(stream, asked, &self.known.ending).await
            }
        });
        let Answered { value, extensions } = found.await?;
        Ok(Answered { value: self.served(Reader::Once, encoding, value), extensions })
    }

    /// `gnmi.gNMI/Subscribe` STREAM of some paths, all in one way.
    pub async fn stream(&self, paths: &[Path], mode: StreamMode, deadline: Instant) -> Result<Subscription> {
        self.subscribe(Mode::Stream, Subscribe::to(paths, mode), deadline).await
    }

    /// `gnmi.gNMI/Subscribe` STREAM or POLL.
    pub async fn subscribe(&self, kind: Mode, subscribe: Subscribe, deadline: Instant) -> Result<Subscription> {
        let (gnmi, subscribe) = (self.clone(), Arc::new(subscribe));
        let unusual = subscribe.unusual();
        let opener: Opener<_, _> = Box::new(move |deadline| {
            let (gnmi, subscribe) = (gnmi.clone(), subscribe.clone());
            Box::pin(async move { gnmi.open(kind, &subscribe, Call::read(SUBSCRIBE, deadline)).await })
        });
        let opening = Following::open(self.session.clone(), SUBSCRIBE, opener, deadline);
        let stream = self.timed(Call::read(SUBSCRIBE, deadline), opening).await?;
        Ok(Subscription { stream, asked: false, unusual })
    }

    async fn open(&self, kind: Mode, subscribe: &Subscribe, call: Call) -> Result<Opened<Requests, SubscribeResponse>> {
        let open = |encoding| {
            let request = subscribe.message(kind, encoding);
            self.session.open(call, move |connection| begin(connection, request.clone()))
        };
        let opened = self.in_encodings(Reader::Once, subscribe.envelope.encoding, call.deadline, open).await;
        opened.map_err(|error| not_taken(error, &subscribe.unusual()))
    }
}

/// Read once, where the mode of a STREAM says nothing.
fn as_they_are(paths: &[Path]) -> Subscribe {
    Subscribe::to(paths, StreamMode::TargetDefined)
}

/// An open Subscribe. Where it breaks off it ends with UNAVAILABLE, unless [`Subscription::on_loss`] says otherwise.
pub struct Subscription {
    stream: Following<Requests, SubscribeResponse>,
    /// Whether current values were asked for and did not all come yet (POLL).
    asked: bool,
    /// What of it the device may not take: some say so only once it is open.
    unusual: Vec<String>,
}

/// What came over a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Leaves that have these values now.
    Leaves(Vec<Leaf>),
    /// Everything there was at the start has been sent.
    Synced,
    /// The subscription broke off and was made again. What changed meanwhile is unknown; current values come anew.
    Resumed(Resumed),
}

impl Subscription {
    /// Says what becomes of it where it breaks off.
    #[must_use]
    pub fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.stream.set_on_loss(on_loss);
        self
    }

    /// Asks for the current values (POLL).
    pub async fn ask(&mut self) -> Result<()> {
        self.asked = true;
        let sent = match self.stream.kept() {
            Some(requests) => requests.send(poll()).await.is_ok(),
            None => false,
        };
        // One that broke off asks again once it is made again.
        if sent || self.stream.resumes() { Ok(()) } else { Err(ended()) }
    }

    /// What comes next; None once the device ends the stream.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Received>> {
        Ok(self.next_answer(deadline).await?.map(|answer| answer.value))
    }

    /// The same with the extensions that came with it.
    pub async fn next_answer(&mut self, deadline: Instant) -> Result<Option<Answered<Received>>> {
        loop {
            let SubscribeResponse { response, extension } =
                match self.stream.next(deadline).await.map_err(|error| not_taken(error, &self.unusual))? {
                    Next::End => return Ok(None),
                    Next::Message(message) => message,
                    Next::Resumed(resumed) => {
                        if let (true, Some(requests)) = (self.asked, self.stream.kept()) {
                            let _ = requests.send(poll()).await; // where it broke off again, what comes next says so
                        }
                        return Ok(Some(Answered::plain(Received::Resumed(resumed))));
                    }
                };
            let value = match response {
                Some(Response::Update(notification)) => {
                    let leaves = Room::default().leaves_of(&notification);
                    Received::Leaves(leaves.map_err(|status| Error::from_status(&status))?)
                }
                Some(Response::SyncResponse(_)) => {
                    self.asked = false;
                    Received::Synced
                }
                _ => continue,
            };
            return Ok(Some(Answered { value, extensions: extension }));
        }
    }
}

fn poll() -> SubscribeRequest {
    SubscribeRequest { request: Some(subscribe_request::Request::Poll(Poll {})), ..Default::default() }
}

fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the subscription has ended")
}
