//! gNMI Subscribe: what one subscriber is told, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::asked::{self, Wanted};
use super::{older_form, tree};
use crate::faults::{End, FaultOutcome, Faults, stall_for_good};
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use crate::stall::Stall;
use holdfast_net::waiting;
use holdfast_wire::extension::Extension;
use holdfast_wire::gnmi::subscribe_request::Request as Asked;
use holdfast_wire::gnmi::subscribe_response::Response as Answer;
use holdfast_wire::gnmi::subscription_list::Mode;
use holdfast_wire::gnmi::{Encoding, SubscribeRequest, SubscribeResponse, SubscriptionList, SubscriptionMode};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// From one update of a ONCE to the next, where that is slow.
const SLOW_ONCE: Duration = Duration::from_millis(30);
/// How long a target that takes it for the subscription's end gives a client to end its requests.
const HALF_CLOSE: Duration = Duration::from_millis(20);

type Messages = mpsc::Sender<Result<SubscribeResponse, Status>>;
type Snapshot = BTreeMap<Path, Value>;

/// One subscription list, and where its answers go.
pub struct Subscriber {
    pub chassis: Arc<SharedChassis>,
    pub index: usize,
    pub list: SubscriptionList,
    pub wanted: Vec<Wanted>,
    pub encoding: Encoding,
    pub extensions: Vec<Extension>,
    pub messages: Messages,
    pub stall: Stall,
}

/// One subscription of a STREAM: what its subscriber knows, and when it is told again.
struct Feed<'a> {
    wanted: &'a Wanted,
    sent: Snapshot,
    sample: Option<Instant>,
    heartbeat: Option<Instant>,
}

impl Feed<'_> {
    fn due(&self) -> Option<Instant> {
        self.sample.into_iter().chain(self.heartbeat).min()
    }

    /// Whether a time has come; the next is set.
    fn has_come(at: &mut Option<Instant>, every: Option<Duration>) -> bool {
        let now = Instant::now();
        let Some(come) = at.filter(|at| *at <= now) else { return false };
        // What was missed while the client took nothing is not made up for.
        *at = every.map(|every| (come + every).max(now));
        true
    }

    /// What is now otherwise than its subscriber knows: values, and what is gone.
    fn changed(&self, current: &Snapshot) -> (Vec<(Path, Value)>, Vec<Path>) {
        let changed = current.iter().filter(|(path, value)| self.sent.get(*path) != Some(*value));
        let gone = self.sent.keys().filter(|path| !current.contains_key(*path));
        (changed.map(|(path, value)| (path.clone(), value.clone())).collect(), gone.cloned().collect())
    }
}

impl Subscriber {
    /// Answers to the end.
    pub async fn feed(self, requests: Streaming<SubscribeRequest>) {
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
        let batches = self.batches();
        let is_synced = has(Quirk::SyncFirst) || has(Quirk::SyncAfterEachUpdate) && !batches.is_empty();
        for together in batches {
            if has(Quirk::SlowOnce) {
                waiting::pause(SLOW_ONCE).await;
            }
            self.send(&together, &[]).await?;
            if has(Quirk::SyncAfterEachUpdate) {
                self.sync().await?;
            }
        }
        if !is_synced && !has(Quirk::OnceEndsWithoutSync) {
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

    /// What there is now, as it goes into notifications; nothing of it where only updates are wanted.
    fn batches(&self) -> Vec<Vec<(Path, Value)>> {
        let together = self.chassis.has(Quirk::OneNotification) || self.chassis.has(Quirk::JsonContainers);
        let mut batches: Vec<Vec<(Path, Value)>> = Vec::new();
        let now = if self.list.updates_only { Snapshot::new() } else { self.snapshot() };
        for leaf in now {
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
        let all = tree::leaves(&self.chassis);
        let began = Instant::now();
        let mut feeds: Vec<_> = self.wanted.iter().map(|wanted| begun(wanted, &all, began)).collect();
        if !self.list.updates_only {
            let together = feeds.iter().flat_map(|feed| feed.sent.clone());
            self.send_each(&together.collect()).await?;
        }
        self.sync().await?;
        let mut half_closed = false;
        loop {
            let due = feeds.iter().filter_map(Feed::due).min();
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
                    let all = tree::leaves(&self.chassis);
                    for feed in feeds.iter_mut().filter(|feed| feed.wanted.mode != SubscriptionMode::Sample) {
                        self.tell_changes(feed, snapshot(&all, feed.wanted), |path| !is_clock(path)).await?;
                    }
                }
                () = reached(due) => {
                    let all = tree::leaves(&self.chassis);
                    for feed in &mut feeds {
                        let current = snapshot(&all, feed.wanted);
                        if Feed::has_come(&mut feed.heartbeat, feed.wanted.heartbeat) {
                            self.tell_all(feed, current.clone()).await?;
                        }
                        if Feed::has_come(&mut feed.sample, Some(feed.wanted.sample)) {
                            if feed.wanted.suppress_redundant {
                                self.tell_changes(feed, current, |_| true).await?;
                            } else {
                                self.tell_all(feed, current).await?;
                            }
                        }
                    }
                }
            }
        }
    }

    /// What changed of a subscription, in one notification.
    async fn tell_changes(
        &self,
        feed: &mut Feed<'_>,
        now: Snapshot,
        is_reported: fn(&Path) -> bool,
    ) -> Result<(), Status> {
        let (mut updated, gone) = feed.changed(&now);
        updated.retain(|(path, _)| is_reported(path));
        feed.sent = now;
        if updated.is_empty() && gone.is_empty() { Ok(()) } else { self.send(&updated, &gone).await }
    }

    /// All of a subscription, and what is gone of it.
    async fn tell_all(&self, feed: &mut Feed<'_>, now: Snapshot) -> Result<(), Status> {
        let (_, gone) = feed.changed(&now);
        if !gone.is_empty() {
            self.send(&[], &gone).await?;
        }
        self.send_each(&now).await?;
        feed.sent = now;
        Ok(())
    }

    async fn send_each(&self, leaves: &Snapshot) -> Result<(), Status> {
        for (path, value) in leaves {
            self.send(&[(path.clone(), value.clone())], &[]).await?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let all = tree::leaves(&self.chassis);
        self.wanted.iter().flat_map(|wanted| snapshot(&all, wanted)).collect()
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
        let prefix = self.list.prefix.clone().unwrap_or_default();
        let mut notification = asked::notification(&self.chassis, &prefix, &updated, self.encoding);
        let below = notification.prefix.as_ref().map_or(0, |prefix| prefix.elem.len());
        notification.delete = gone.iter().map(|path| asked::without(path, below).to_gnmi()).collect();
        if self.chassis.has(Quirk::OlderForm) {
            older_form::rewrite(&mut notification);
        }
        self.tell(Answer::Update(notification)).await
    }

    fn faults(&self) -> &Faults {
        &self.chassis.control_processors[self.index].faults
    }

    async fn sync(&self) -> Result<(), Status> {
        self.tell(Answer::SyncResponse(true)).await
    }

    async fn tell(&self, response: Answer) -> Result<(), Status> {
        let message = SubscribeResponse { response: Some(response), extension: self.extensions.clone() };
        self.messages.send(Ok(message)).await.map_err(|_| Status::cancelled("the client is gone"))
    }
}

fn begun<'a>(wanted: &'a Wanted, all: &[(Path, Value)], began: Instant) -> Feed<'a> {
    let sampled = wanted.mode == SubscriptionMode::Sample;
    Feed {
        wanted,
        sent: snapshot(all, wanted),
        sample: sampled.then(|| began + wanted.sample),
        heartbeat: wanted.heartbeat.map(|every| began + every),
    }
}

fn snapshot(all: &[(Path, Value)], wanted: &Wanted) -> Snapshot {
    all.iter().filter(|(path, _)| wanted.path.covers(path)).cloned().collect()
}

/// What changes all the time is told of by samples and heartbeats alone.
fn is_clock(path: &Path) -> bool {
    path.leaf() == "current-datetime"
}

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => waiting::reached(due).await,
        None => std::future::pending().await,
    }
}

/// A leaf's value as a failpoint leaves it: the one of its name, or its own, corrupted.
fn distorted(outcome: &FaultOutcome, leaf: &str, value: &Value) -> Value {
    let members = serde_json::Map::from_iter([(leaf.to_owned(), value.to_json(false))]);
    let changed = outcome.change_value(serde_json::Value::Object(members));
    changed.get(leaf).cloned().map_or_else(|| value.clone(), Value::from_json)
}
