//! The gNMI client: Capabilities, Get, Set, Subscribe ONCE, POLL and STREAM.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::form::{ENCODINGS, Form, Reader, Served, refuses_form};
use super::leaf::{Leaf, leaves_of};
use super::once::{self, Ending};
use super::path::Path;
use super::value::Value;
use crate::dial::whole::LONGEST_MESSAGE;
use crate::dial::{Call, Connection, Following, Next, OnLoss, Opened, Opener, Resumed, Session};
use crate::error::{Error, Kind, Result};
use crate::wire::gnmi::g_nmi_client::GNmiClient;
use crate::wire::gnmi::subscribe_response::Response;
use crate::wire::gnmi::subscription_list::Mode;
use crate::wire::gnmi::{
    CapabilityRequest, CapabilityResponse, Encoding, GetRequest, Poll, SetRequest, SetResponse, SubscribeRequest,
    SubscribeResponse, SubscriptionList, SubscriptionMode, Update, get_request, subscribe_request,
};

const SUBSCRIBE: &str = "gNMI.Subscribe";

/// What goes to the device after the first message of a Subscribe.
type Requests = mpsc::Sender<SubscribeRequest>;

/// How a STREAM subscription is to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamMode {
    /// By each change.
    OnChange,
    /// As the device thinks best.
    TargetDefined,
    /// Every so many nanoseconds.
    Sample(u64),
}

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
    pub async fn capabilities(&self, deadline: Instant) -> Result<CapabilityResponse> {
        let call = Call::read("gNMI.Capabilities", deadline);
        self.session
            .call(call, |connection| async move {
                Ok(client(connection).capabilities(CapabilityRequest::default()).await?.into_inner())
            })
            .await
    }

    /// The encodings to try, best first: those that the device offers, then the others, which it may serve all the same.
    pub async fn encodings(&self, deadline: Instant) -> Result<Vec<Encoding>> {
        let asked = self
            .known
            .offered
            .get_or_try_init(|| async { Ok::<_, Error>(self.capabilities(deadline).await?.supported_encodings) });
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

    /// Asks in the encoding that was served before, else in each until one is not refused.
    async fn in_encodings<T, F, Fut>(&self, reader: Reader, deadline: Instant, ask: F) -> Result<T>
    where
        F: Fn(Encoding) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if let Some(encoding) = self.known.served.get(reader) {
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
        match form.reader {
            Reader::Once => self.once_call(call, &paths, form.encoding).await,
            Reader::Get => self.get_call(call, &paths, form.encoding).await,
        }
    }

    /// `gnmi.gNMI/Get` of state and configuration, as leaves.
    pub async fn get(&self, paths: &[Path], deadline: Instant) -> Result<Vec<Leaf>> {
        let call = Call::read("gNMI.Get", deadline);
        let get = |encoding| self.get_call(call, paths, encoding);
        self.timed(call, self.in_encodings(Reader::Get, deadline, get)).await
    }

    /// Has an error say how long all of it took, where a call needs another before it.
    fn timed<T>(&self, call: Call, steps: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
        let (began, steps) = (Instant::now(), Box::pin(steps));
        async move { steps.await.map_err(|error| error.during(self.session.name(), call.name, began.elapsed())) }
    }

    async fn get_call(&self, call: Call, paths: &[Path], encoding: Encoding) -> Result<Vec<Leaf>> {
        let request = GetRequest {
            path: paths.iter().map(Path::to_gnmi).collect(),
            r#type: get_request::DataType::All as i32,
            encoding: encoding as i32,
            ..GetRequest::default()
        };
        let response = self
            .session
            .call(call, |connection| {
                let request = request.clone();
                async move { Ok(client(connection).get(request).await?.into_inner()) }
            })
            .await?;
        Ok(self.served(Reader::Get, encoding, response.notification.iter().flat_map(leaves_of).collect()))
    }

    /// Keeps in mind that leaves came in an encoding.
    fn served(&self, reader: Reader, encoding: Encoding, leaves: Vec<Leaf>) -> Vec<Leaf> {
        if !leaves.is_empty() {
            self.known.served.set(reader, encoding);
        }
        leaves
    }

    /// `gnmi.gNMI/Set`; values are JSON_IETF, or ASCII for origin `cli`.
    pub async fn set(
        &self,
        update: &[(Path, Value)],
        replace: &[(Path, Value)],
        delete: &[Path],
        deadline: Instant,
    ) -> Result<SetResponse> {
        let request = SetRequest {
            update: update.iter().map(to_update).collect(),
            replace: replace.iter().map(to_update).collect(),
            delete: delete.iter().map(Path::to_gnmi).collect(),
            ..SetRequest::default()
        };
        let call = Call::write("gNMI.Set", deadline);
        self.session
            .call(call, |connection| {
                let request = request.clone();
                async move { Ok(client(connection).set(request).await?.into_inner()) }
            })
            .await
    }

    /// `gnmi.gNMI/Subscribe` ONCE, or Get where a device has no ONCE.
    pub async fn once(&self, paths: &[Path], call: Call) -> Result<Vec<Leaf>> {
        self.timed(call, self.once_or_get(paths, call)).await
    }

    async fn once_or_get(&self, paths: &[Path], call: Call) -> Result<Vec<Leaf>> {
        let once = |encoding| async move {
            match self.once_call(call, paths, encoding).await {
                Err(error) if error.code() == Some(Code::Unimplemented) => self.get_call(call, paths, encoding).await,
                answer => answer,
            }
        };
        self.in_encodings(Reader::Once, call.deadline, once).await
    }

    async fn once_call(&self, call: Call, paths: &[Path], encoding: Encoding) -> Result<Vec<Leaf>> {
        let request = subscribe(Mode::Once, paths, StreamMode::TargetDefined, encoding);
        let found = self.session.call(call, |connection| {
            let request = request.clone();
            async move {
                let (_requests, stream) = begin(connection, request).await?;
                once::collect(stream, &self.known.ending).await
            }
        });
        Ok(self.served(Reader::Once, encoding, found.await?))
    }

    /// `gnmi.gNMI/Subscribe` STREAM.
    pub async fn stream(&self, paths: &[Path], mode: StreamMode, deadline: Instant) -> Result<Subscription> {
        self.subscription(Mode::Stream, paths, mode, deadline).await
    }

    /// `gnmi.gNMI/Subscribe` POLL.
    pub async fn poll(&self, paths: &[Path], deadline: Instant) -> Result<Subscription> {
        self.subscription(Mode::Poll, paths, StreamMode::TargetDefined, deadline).await
    }

    async fn subscription(
        &self,
        kind: Mode,
        paths: &[Path],
        mode: StreamMode,
        deadline: Instant,
    ) -> Result<Subscription> {
        let (gnmi, paths) = (self.clone(), Arc::<[Path]>::from(paths));
        let opener: Opener<_, _> = Box::new(move |deadline| {
            let (gnmi, paths) = (gnmi.clone(), paths.clone());
            Box::pin(async move { gnmi.open(kind, &paths, mode, Call::read(SUBSCRIBE, deadline)).await })
        });
        let opening = Following::open(self.session.clone(), SUBSCRIBE, opener, deadline);
        let stream = self.timed(Call::read(SUBSCRIBE, deadline), opening).await?;
        Ok(Subscription { stream, asked: false })
    }

    async fn open(
        &self,
        kind: Mode,
        paths: &[Path],
        mode: StreamMode,
        call: Call,
    ) -> Result<Opened<Requests, SubscribeResponse>> {
        let open = |encoding| {
            let request = subscribe(kind, paths, mode, encoding);
            self.session.open(call, move |connection| begin(connection, request.clone()))
        };
        self.in_encodings(Reader::Once, call.deadline, open).await
    }
}

/// An open Subscribe. Where it breaks off it ends with UNAVAILABLE, unless [`Subscription::on_loss`] says otherwise.
pub struct Subscription {
    stream: Following<Requests, SubscribeResponse>,
    /// Whether current values were asked for and did not all come yet (POLL).
    asked: bool,
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
        loop {
            let message = match self.stream.next(deadline).await? {
                Next::End => return Ok(None),
                Next::Message(message) => message.response,
                Next::Resumed(resumed) => {
                    if let (true, Some(requests)) = (self.asked, self.stream.kept()) {
                        let _ = requests.send(poll()).await; // where it broke off again, what comes next says so
                    }
                    return Ok(Some(Received::Resumed(resumed)));
                }
            };
            match message {
                Some(Response::Update(notification)) => {
                    return Ok(Some(Received::Leaves(leaves_of(&notification))));
                }
                Some(Response::SyncResponse(_)) => {
                    self.asked = false;
                    return Ok(Some(Received::Synced));
                }
                _ => {}
            }
        }
    }
}

fn poll() -> SubscribeRequest {
    SubscribeRequest { request: Some(subscribe_request::Request::Poll(Poll {})), ..Default::default() }
}

fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the subscription has ended")
}

fn subscribe(kind: Mode, paths: &[Path], mode: StreamMode, encoding: Encoding) -> SubscribeRequest {
    let (mode, sample_interval) = match mode {
        StreamMode::OnChange => (SubscriptionMode::OnChange, 0),
        StreamMode::TargetDefined => (SubscriptionMode::TargetDefined, 0),
        StreamMode::Sample(interval) => (SubscriptionMode::Sample, interval),
    };
    let subscription = paths.iter().map(|path| crate::wire::gnmi::Subscription {
        path: Some(path.to_gnmi()),
        mode: mode as i32,
        sample_interval,
        ..Default::default()
    });
    let list = SubscriptionList {
        subscription: subscription.collect(),
        mode: kind as i32,
        encoding: encoding as i32,
        ..SubscriptionList::default()
    };
    SubscribeRequest { request: Some(subscribe_request::Request::Subscribe(list)), ..Default::default() }
}

fn to_update((path, value): &(Path, Value)) -> Update {
    let val = match (path.origin.as_str(), value) {
        ("cli", Value::String(text)) => {
            crate::wire::gnmi::TypedValue { value: Some(crate::wire::gnmi::typed_value::Value::AsciiVal(text.clone())) }
        }
        _ => value.to_wire(Encoding::JsonIetf),
    };
    Update { path: Some(path.to_gnmi()), val: Some(val), ..Update::default() }
}
