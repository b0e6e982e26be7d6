//! gNMI: Capabilities, Get, Set, Subscribe ONCE, POLL and STREAM.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{asked, tree};
use crate::faults::{End, FaultOutcome, Faults, stall_for_good};
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use crate::stall::Stall;
use crate::state::now;
use holdfast_net::waiting;
use holdfast_wire::gnmi::g_nmi_server::GNmi;
use holdfast_wire::gnmi::get_request::DataType;
use holdfast_wire::gnmi::subscribe_request::Request as Asked;
use holdfast_wire::gnmi::subscribe_response::Response as Answer;
use holdfast_wire::gnmi::subscription_list::Mode;
use holdfast_wire::gnmi::{
    self, CapabilityRequest, CapabilityResponse, Encoding, GetRequest, GetResponse, ModelData, Notification,
    SetRequest, SetResponse, SubscribeRequest, SubscribeResponse, SubscriptionList, SubscriptionMode, UpdateResult,
    update_result,
};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// gNMI of one control processor.
pub struct GnmiService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl GnmiService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }

    fn check_encoding(&self, encoding: i32) -> Result<Encoding, Status> {
        let encoding = Encoding::try_from(encoding).map_err(|_| Status::invalid_argument("no such encoding"))?;
        asked::check_encoding(&self.chassis, encoding)?;
        Ok(encoding)
    }
}

/// How long a target that takes it for the subscription's end gives a client to end its requests.
const HALF_CLOSE: Duration = Duration::from_millis(20);

type Messages = mpsc::Sender<Result<SubscribeResponse, Status>>;

#[tonic::async_trait]
impl GNmi for GnmiService {
    async fn capabilities(&self, _: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        if self.chassis.has(Quirk::CapabilitiesUnimplemented) {
            return Err(Status::unimplemented("Capabilities is not supported"));
        }
        let model = |name: &str, version: &str| ModelData {
            name: name.to_owned(),
            organization: "OpenConfig working group".to_owned(),
            version: version.to_owned(),
        };
        let offered = asked::offered(&self.chassis).into_iter();
        Ok(Response::new(CapabilityResponse {
            supported_models: vec![model("openconfig-platform", "0.30.0"), model("openconfig-system", "2.3.0")],
            supported_encodings: offered.map(|encoding| encoding as i32).collect(),
            g_nmi_version: "0.10.0".to_owned(),
            ..CapabilityResponse::default()
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        if self.chassis.has(Quirk::GetRefused) {
            return Err(Status::unimplemented("Get is not supported"));
        }
        let request = request.into_inner();
        let encoding = self.check_encoding(request.encoding)?;
        let kind = request.r#type();
        let prefix = request.prefix.unwrap_or_default();
        let all = tree::leaves(&self.chassis);
        let mut notifications = Vec::new();
        for path in &request.path {
            let wanted = Path::from_gnmi(&prefix).join(&Path::from_gnmi(path));
            let answered = asked::answers(&self.chassis, &wanted)?;
            let fits = |path: &Path| answered && wanted.covers(path) && is_of(kind, path);
            let found: Vec<_> = all.iter().filter(|(path, _)| fits(path)).cloned().collect();
            if found.is_empty() {
                return Err(Status::not_found(format!("there is nothing at {wanted}")));
            }
            notifications.push(notification(&self.chassis, &prefix.target, &found, encoding));
        }
        Ok(Response::new(GetResponse { notification: notifications, ..GetResponse::default() }))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let request = request.into_inner();
        let prefix = request.prefix.clone().map(|prefix| Path::from_gnmi(&prefix)).unwrap_or_default();
        let full = |path: Option<&gnmi::Path>| prefix.join(&path.map(Path::from_gnmi).unwrap_or_default());
        let mut config = self.chassis.config.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = config.clone();
        let mut done = Vec::new();
        for path in &request.delete {
            let gone = full(Some(path));
            changed.retain(|path, _| !gone.covers(path));
            done.push(result(path.clone(), update_result::Operation::Delete));
        }
        for (updates, operation) in
            [(&request.replace, update_result::Operation::Replace), (&request.update, update_result::Operation::Update)]
        {
            for update in updates {
                let path = full(update.path.as_ref());
                if path.origin == "cli" {
                    let text = Value::from_update(update).map(|value| value.to_string()).unwrap_or_default();
                    self.chassis.cli.take(self.index, &text);
                    done.push(result(update.path.clone().unwrap_or_default(), operation));
                    continue;
                }
                if path.elements.iter().any(|element| element.name == "state") {
                    return Err(Status::invalid_argument(format!("{path} is state, which cannot be set")));
                }
                let value = Value::from_update(update)
                    .ok_or_else(|| Status::invalid_argument(format!("{path} comes without a value")))?;
                if operation == update_result::Operation::Replace {
                    changed.retain(|known, _| !path.covers(known));
                }
                changed.extend(holdfast_wire::value::leaves(path, value));
                done.push(result(update.path.clone().unwrap_or_default(), operation));
            }
        }
        *config = changed;
        let timestamp = i64::try_from(now()).unwrap_or(i64::MAX);
        Ok(Response::new(SetResponse { response: done, timestamp, prefix: request.prefix, ..SetResponse::default() }))
    }

    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        if self.chassis.has(Quirk::NoSubscribe) {
            return Err(Status::unimplemented("Subscribe is not supported"));
        }
        let stall = request.extensions().get::<Stall>().cloned().unwrap_or_default();
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|message| message.request);
        let Some(Asked::Subscribe(list)) = first else {
            return Err(Status::invalid_argument("the first message must be a subscription list"));
        };
        let encoding = self.check_encoding(list.encoding)?;
        let wanted = asked::wanted(&self.chassis, &list)?;
        let (messages, stream) = mpsc::channel(64);
        let kept = messages.clone();
        let subscriber =
            Subscriber { chassis: self.chassis.clone(), index: self.index, list, wanted, encoding, messages, stall };
        let life = self.chassis.control_processors[self.index].life();
        tokio::spawn(super::feed(life, kept, subscriber.feed(requests)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Subscriber {
    chassis: Arc<SharedChassis>,
    index: usize,
    list: SubscriptionList,
    wanted: Vec<Path>,
    encoding: Encoding,
    messages: Messages,
    stall: Stall,
}

type Snapshot = BTreeMap<Path, Value>;

impl Subscriber {
    async fn feed(self, requests: Streaming<SubscribeRequest>) {
        let fed = match self.list.mode() {
            Mode::Once => self.feed_once(requests).await,
            Mode::Poll => self.feed_polls(requests).await,
            Mode::Stream => self.feed_changes(requests).await,
        };
        if let Err(status) = fed {
            let _ = self.messages.send(Err(status)).await;
        }
    }

    async fn feed_once(&self, mut requests: Streaming<SubscribeRequest>) -> Result<(), Status> {
        let has = |quirk| self.chassis.has(quirk);
        if has(Quirk::HalfCloseCancels) {
            tokio::select! {
                more = requests.message() => if more?.is_none() {
                    return Err(Status::cancelled("the client ended its subscription"));
                },
                () = waiting::pause(HALF_CLOSE) => {}
            }
        }
        if has(Quirk::SyncFirst) {
            self.sync().await?;
        }
        for together in self.batches() {
            self.send(&together, &[]).await?;
            if has(Quirk::SyncAfterEachUpdate) {
                self.sync().await?;
            }
        }
        if ![Quirk::SyncFirst, Quirk::SyncAfterEachUpdate, Quirk::OnceEndsWithoutSync].into_iter().any(has) {
            self.sync().await?;
        }
        if has(Quirk::OnceStaysOpen) {
            self.messages.closed().await;
        }
        if has(Quirk::OnceEndsCancelled) { Err(Status::cancelled("the subscription is over")) } else { Ok(()) }
    }

    async fn send_all(&self) -> Result<(), Status> {
        for together in self.batches() {
            self.send(&together, &[]).await?;
        }
        self.sync().await
    }

    /// What there is now, as it goes into notifications.
    fn batches(&self) -> Vec<Vec<(Path, Value)>> {
        let together = self.chassis.has(Quirk::OneNotification) || self.chassis.has(Quirk::JsonContainers);
        let mut batches: Vec<Vec<(Path, Value)>> = Vec::new();
        for leaf in self.snapshot() {
            match batches.last_mut() {
                Some(last) if together && last[0].0.parent() == leaf.0.parent() => last.push(leaf),
                _ => batches.push(vec![leaf]),
            }
        }
        batches
    }

    async fn feed_polls(&self, mut requests: Streaming<SubscribeRequest>) -> Result<(), Status> {
        while let Some(message) = requests.message().await? {
            match message.request {
                Some(Asked::Poll(_)) => self.send_all().await?,
                _ => return Err(Status::invalid_argument("only Poll may follow on a POLL subscription")),
            }
        }
        Ok(())
    }

    /// Goes on after the client's half-close, and ends when the client is gone.
    async fn feed_changes(&self, mut requests: Streaming<SubscribeRequest>) -> Result<(), Status> {
        let mut state = self.chassis.watch();
        let mut sent = self.snapshot();
        if !self.list.updates_only {
            for (path, value) in &sent {
                self.send(&[(path.clone(), value.clone())], &[]).await?;
            }
        }
        self.sync().await?;
        let mut samples = self.sample_interval().map(waiting::every);
        let mut half_closed = false;
        loop {
            tokio::select! {
                () = self.messages.closed() => return Ok(()),
                message = requests.message(), if !half_closed => match message? {
                    None => half_closed = true,
                    Some(_) => return Err(Status::invalid_argument("a STREAM subscription takes one message")),
                },
                changed = state.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let current = self.snapshot();
                    let updated: Vec<_> = current
                        .iter()
                        .filter(|(path, value)| path.leaf() != "current-datetime" && sent.get(*path) != Some(*value))
                        .map(|(path, value)| (path.clone(), value.clone()))
                        .collect();
                    let gone: Vec<_> = sent.keys().filter(|path| !current.contains_key(*path)).cloned().collect();
                    if !updated.is_empty() || !gone.is_empty() {
                        self.send(&updated, &gone).await?;
                    }
                    sent = current;
                }
                () = tick(&mut samples) => {
                    sent = self.snapshot();
                    for (path, value) in &sent {
                        self.send(&[(path.clone(), value.clone())], &[]).await?;
                    }
                }
            }
        }
    }

    fn sample_interval(&self) -> Option<Duration> {
        let sampled =
            self.list.subscription.iter().filter(|subscription| subscription.mode() == SubscriptionMode::Sample);
        let shortest = sampled.map(|subscription| subscription.sample_interval).min()?;
        Some(Duration::from_nanos(shortest).max(Duration::from_millis(10)))
    }

    fn snapshot(&self) -> Snapshot {
        tree::leaves(&self.chassis)
            .into_iter()
            .filter(|(path, _)| self.wanted.iter().any(|wanted| wanted.covers(path)))
            .collect()
    }

    async fn send(&self, updated: &[(Path, Value)], gone: &[Path]) -> Result<(), Status> {
        let mut updated: Vec<_> = updated.to_vec();
        for site in ["gnmi.Subscribe.update", "gnmi.Subscribe.update.after"] {
            let mut outcome = self.faults().meet(site).await;
            match outcome.end() {
                Some(End::Failed(status)) => return Err(status),
                Some(End::Dropped) => return Ok(()),
                Some(End::Hung) => return stall_for_good(&self.stall).await,
                None if outcome.changes() => {
                    for (path, value) in &mut updated {
                        *value = distorted(&outcome, path.leaf(), value);
                    }
                }
                None => {}
            }
        }
        let target = self.list.prefix.as_ref().map(|prefix| prefix.target.clone()).unwrap_or_default();
        let mut notification = notification(&self.chassis, &target, &updated, self.encoding);
        notification.delete = gone.iter().map(Path::to_gnmi).collect();
        self.tell(Answer::Update(notification)).await
    }

    fn faults(&self) -> &Faults {
        &self.chassis.control_processors[self.index].faults
    }

    async fn sync(&self) -> Result<(), Status> {
        self.tell(Answer::SyncResponse(true)).await
    }

    async fn tell(&self, response: Answer) -> Result<(), Status> {
        let message = SubscribeResponse { response: Some(response), ..SubscribeResponse::default() };
        self.messages.send(Ok(message)).await.map_err(|_| Status::cancelled("the client is gone"))
    }
}

/// A leaf's value as a failpoint leaves it: the one of its name, or its own, corrupted.
fn distorted(outcome: &FaultOutcome, leaf: &str, value: &Value) -> Value {
    let members = serde_json::Map::from_iter([(leaf.to_owned(), value.to_json(false))]);
    let changed = outcome.change_value(serde_json::Value::Object(members));
    changed.get(leaf).cloned().map_or_else(|| value.clone(), Value::from_json)
}

async fn tick(samples: &mut Option<tokio::time::Interval>) -> () {
    match samples {
        Some(samples) => {
            let _: Instant = samples.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether a leaf is of the kind that a Get asks for: state lies below a `state` container, configuration does not.
fn is_of(kind: DataType, path: &Path) -> bool {
    let is_state = path.elements.iter().any(|element| element.name == "state");
    match kind {
        DataType::All => true,
        DataType::Config => !is_state,
        DataType::State | DataType::Operational => is_state,
    }
}

fn notification(chassis: &SharedChassis, target: &str, leaves: &[(Path, Value)], encoding: Encoding) -> Notification {
    let prefix = gnmi::Path { target: target.to_owned(), origin: "openconfig".to_owned(), ..gnmi::Path::default() };
    let timestamp = i64::try_from(now()).unwrap_or(i64::MAX);
    let mut notification = Notification { timestamp, prefix: Some(prefix), ..Notification::default() };
    asked::fill(chassis, &mut notification, leaves, encoding);
    notification
}

fn result(path: gnmi::Path, operation: update_result::Operation) -> UpdateResult {
    UpdateResult { path: Some(path), op: operation as i32, ..UpdateResult::default() }
}
