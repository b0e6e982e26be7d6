//! The gNMI client: Capabilities, Get, Set, Subscribe ONCE, POLL and STREAM.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OnceCell, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::form::{ENCODINGS, Form, Reader, Served, refuses_form};
use super::once::{self, Ending};
use super::path::Path;
use super::value::{Value, leaves};
use crate::dial::answer::unless_it_panics;
use crate::dial::connection::Pending;
use crate::dial::{Call, Connection, Session};
use crate::error::{Error, Kind, Result};
use crate::wire::gnmi::g_nmi_client::GNmiClient;
use crate::wire::gnmi::subscribe_response::Response;
use crate::wire::gnmi::subscription_list::Mode;
use crate::wire::gnmi::{
    CapabilityRequest, CapabilityResponse, Encoding, GetRequest, Notification, Poll, SetRequest, SetResponse,
    SubscribeRequest, SubscribeResponse, SubscriptionList, SubscriptionMode, Update, get_request, subscribe_request,
};

/// A subtree of a big chassis is tens of megabytes.
const DECODE_LIMIT: usize = 64 << 20;

/// A leaf, its value, and when the device read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// In full, the prefix included.
    pub path: Path,
    /// None where it was deleted.
    pub value: Option<Value>,
    /// Nanoseconds since the epoch, by the device's clock.
    pub timestamp: i64,
}

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
    GNmiClient::with_origin(connection, origin).max_decoding_message_size(DECODE_LIMIT)
}

/// Opens a Subscribe. Its requests stay open until they are dropped: some targets take their end for the subscription's.
async fn begin(
    connection: Connection,
    request: SubscribeRequest,
) -> std::result::Result<(mpsc::Sender<SubscribeRequest>, Streaming<SubscribeResponse>), Status> {
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

    /// `gnmi.gNMI/Subscribe` STREAM; it ends with its connection and is not resumed.
    pub async fn stream(&self, paths: &[Path], mode: StreamMode, deadline: Instant) -> Result<Subscription> {
        let call = Call::read("gNMI.Subscribe", deadline);
        self.timed(call, self.open(Mode::Stream, paths, mode, call)).await
    }

    /// `gnmi.gNMI/Subscribe` POLL.
    pub async fn poll(&self, paths: &[Path], deadline: Instant) -> Result<Subscription> {
        let call = Call::read("gNMI.Subscribe", deadline);
        self.timed(call, self.open(Mode::Poll, paths, StreamMode::TargetDefined, call)).await
    }

    async fn open(&self, kind: Mode, paths: &[Path], mode: StreamMode, call: Call) -> Result<Subscription> {
        let open = |encoding| {
            let request = subscribe(kind, paths, mode, encoding);
            self.session.open(call, move |connection| begin(connection, request.clone()))
        };
        let (opened, connection, pending) = self.in_encodings(Reader::Once, call.deadline, open).await?;
        let (requests, stream) = opened;
        let device = self.session.name().to_owned();
        Ok(Subscription { device, requests, stream, connection, _pending: pending })
    }
}

/// An open Subscribe.
pub struct Subscription {
    device: String,
    requests: mpsc::Sender<SubscribeRequest>,
    stream: Streaming<SubscribeResponse>,
    connection: Connection,
    _pending: Pending,
}

/// What came over a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Leaves that have these values now.
    Leaves(Vec<Leaf>),
    /// Everything there was at the start has been sent.
    Synced,
}

impl Subscription {
    /// Asks for the current values (POLL).
    pub async fn ask(&self) -> Result<()> {
        let poll = SubscribeRequest { request: Some(subscribe_request::Request::Poll(Poll {})), ..Default::default() };
        self.requests.send(poll).await.map_err(|_| Error::new(Kind::OutcomeUnknown, "the subscription has ended"))
    }

    /// What comes next; None once the device ends the stream.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Received>> {
        let began = Instant::now();
        let received = self.receive(deadline).await;
        received.map_err(|error| error.during(&self.device, "gNMI.Subscribe", began.elapsed()))
    }

    async fn receive(&mut self, deadline: Instant) -> Result<Option<Received>> {
        loop {
            let message = tokio::select! {
                biased;
                message = timeout_at(deadline, unless_it_panics(self.stream.message())) => message
                    .map_err(|_| Error::new(Kind::Timeout, "no update in time"))?
                    .map_err(|status| Error::from_status(&status))?,
                why = self.connection.lost() => return Err(Error::new(Kind::Status(Code::Unavailable), why)),
            };
            match message.map(|message| message.response) {
                None => return Ok(None),
                Some(Some(Response::Update(notification))) => {
                    return Ok(Some(Received::Leaves(leaves_of(&notification))));
                }
                Some(Some(Response::SyncResponse(_))) => return Ok(Some(Received::Synced)),
                Some(_) => {}
            }
        }
    }
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

pub(super) fn leaves_of(notification: &Notification) -> Vec<Leaf> {
    let prefix = notification.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
    let timestamp = notification.timestamp;
    let full = |path: Option<&crate::wire::gnmi::Path>| prefix.join(&path.map(Path::from_gnmi).unwrap_or_default());
    let deleted = notification.delete.iter().map(|path| Leaf { path: full(Some(path)), value: None, timestamp });
    let updated = notification.update.iter().flat_map(|update| {
        let value = Value::from_update(update);
        let found = value.map(|value| leaves(full(update.path.as_ref()), value)).unwrap_or_default();
        found.into_iter().map(|(path, value)| Leaf { path, value: Some(value), timestamp })
    });
    deleted.chain(updated).collect()
}
