//! What an action does at a site of the emulator.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;
use tonic::{Code, Status};

use super::message_sites::message_at;
use super::sites::FailpointDefects;
use super::stall::Stall;
use holdfast_failpoint as failpoint;
use holdfast_failpoint::{Action, Corruption, Draw, Fired, LONGEST_PAUSE, Length, Text};
use holdfast_net::error::code_by_name;
use holdfast_net::waiting;
use holdfast_reflection as reflection;

/// The failpoints as one control processor meets them.
#[derive(Clone)]
pub struct Faults {
    defects: FailpointDefects,
    /// Where the index of a control processor goes that dies.
    crashes: UnboundedSender<usize>,
    index: usize,
}

/// What a failpoint leaves to its site once all waits are over.
#[derive(Debug, Default)]
pub struct FaultOutcome {
    changes: Vec<Change>,
    end: Option<End>,
}

#[derive(Debug)]
enum Change {
    Corrupt(Corruption, Draw),
    Return(Map<String, Value>),
}

/// How a site ends that does not go on.
#[derive(Debug)]
pub enum End {
    /// With this error.
    Failed(Status),
    /// Without an answer.
    Dropped,
    /// With its connection stalled.
    Hung,
}

impl Faults {
    pub fn new(defects: FailpointDefects, crashes: UnboundedSender<usize>, index: usize) -> Self {
        Self { defects, crashes, index }
    }

    /// Whether nothing is armed anywhere.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.defects.registry().is_idle()
    }

    /// Passes `site`: waits where it must, and never returns where the control processor dies.
    pub async fn meet(&self, site: &str) -> FaultOutcome {
        let mut outcome = FaultOutcome::default();
        if let Some(fired) = self.defects.registry().hit(site) {
            self.act(site, &fired, &mut outcome).await;
        }
        for (defect, terms) in self.defects.rows_at(site) {
            if outcome.end.is_some() {
                break;
            }
            if let Some(fired) = self.defects.turned_on(defect, terms) {
                self.act(defect, &fired, &mut outcome).await;
            }
        }
        outcome
    }

    async fn act(&self, site: &str, fired: &Fired, outcome: &mut FaultOutcome) {
        for action in &fired.actions {
            match action {
                Action::Off => {}
                Action::Print(words) => tracing::info!("failpoint {site}: {words}"),
                Action::Delay { shortest, .. } => waiting::pause(shortest.duration()).await,
                Action::Pause(length) => {
                    let longest = length.map_or(LONGEST_PAUSE, Length::duration);
                    let released = self.defects.registry().released(site, fired);
                    if tokio::time::timeout(longest, released).await.is_err() {
                        tracing::warn!("failpoint {site}: nobody released the pause within {longest:?}");
                    }
                }
                Action::Error { code, message } => outcome.end = Some(End::Failed(status(*code, message))),
                Action::Drop => outcome.end = Some(End::Dropped),
                Action::Hang => outcome.end = Some(End::Hung),
                Action::Panic { .. } | Action::Crash | Action::Exit(_) => {
                    tracing::info!("failpoint {site}: control processor {} dies: {action}", self.index);
                    let _ = self.crashes.send(self.index); // the chassis is being switched off
                    std::future::pending::<()>().await;
                }
                Action::Corrupt(how) => outcome.changes.push(Change::Corrupt(*how, fired.draw)),
                Action::Return(object) => {
                    let object = serde_json::from_str(object).unwrap_or_default(); // it was read when it was armed
                    outcome.changes.push(Change::Return(object));
                }
            }
            if outcome.end.is_some() {
                break;
            }
        }
    }

    /// Passes the site of a message that a service has in its hands. None: it is dropped.
    pub async fn message<M: Message + Default>(
        &self,
        site: &str,
        message: M,
        stall: &Stall,
    ) -> Result<Option<M>, Status> {
        let mut outcome = self.meet(site).await;
        match outcome.end.take() {
            Some(End::Failed(status)) => return Err(status),
            Some(End::Dropped) => return Ok(None),
            Some(End::Hung) => return stall_for_good(stall).await,
            None if outcome.changes.is_empty() => return Ok(Some(message)),
            None => {}
        }
        let changed = outcome.change(&message_at(site).unwrap_or_default(), message.encode_to_vec())?;
        let decoded = M::decode(&changed[..]);
        decoded.map(Some).map_err(|_| Status::data_loss(format!("failpoint {site}: corrupted beyond reading")))
    }

    /// Passes a step of the chassis' own: what is left of `data`, or None where the step is not done.
    pub async fn step<T: Serialize + DeserializeOwned>(&self, site: &str, data: T) -> Option<T> {
        let outcome = self.meet(site).await;
        match outcome.end {
            Some(End::Failed(status)) => {
                tracing::warn!("failpoint {site}: the step fails: {}", status.message());
                return None;
            }
            Some(End::Dropped) => return None,
            Some(End::Hung) => std::future::pending().await,
            None if outcome.changes.is_empty() => return Some(data),
            None => {}
        }
        let changed = serde_json::to_value(&data).map(|value| outcome.change_value(value));
        match changed.and_then(serde_json::from_value) {
            Ok(changed) => Some(changed),
            Err(error) => {
                tracing::warn!("failpoint {site}: what it leaves cannot be read: {error}");
                None
            }
        }
    }

    /// Lets an object pass its step and what comes after that, unless it was `known` before.
    pub async fn object<T: Serialize + DeserializeOwned>(&self, site: &str, object: T, known: bool) -> Option<T> {
        if known || self.is_idle() {
            return Some(object);
        }
        let object = self.step(site, object).await?;
        self.step(&format!("{site}.after"), object).await
    }
}

/// Stalls a connection. Its task waits for ever and goes with it.
pub async fn stall_for_good<T>(stall: &Stall) -> T {
    stall.begin();
    std::future::pending().await
}

impl FaultOutcome {
    /// How the site ends, where it does.
    pub fn end(&mut self) -> Option<End> {
        self.end.take()
    }

    /// Whether data is to be changed.
    pub fn changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The object that is to be answered instead of doing anything.
    pub fn answer(&self) -> Option<&Map<String, Value>> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Return(object) => Some(object),
            Change::Corrupt(..) => None,
        })
    }

    /// Changes the encoded message `name`.
    pub fn change(&self, name: &str, mut encoded: Vec<u8>) -> Result<Vec<u8>, Status> {
        for change in &self.changes {
            match change {
                Change::Corrupt(how, draw) => how.apply(&mut encoded, *draw),
                Change::Return(object) => {
                    let overlaid = reflection::overlay(name, &encoded, object);
                    encoded = overlaid.map_err(|error| Status::internal(format!("failpoint: return: {error}")))?;
                }
            }
        }
        Ok(encoded)
    }

    /// Changes a JSON value: each of its texts is corrupted, or members take the place of others.
    pub fn change_value(&self, mut value: Value) -> Value {
        for change in &self.changes {
            match (change, &mut value) {
                (Change::Corrupt(how, draw), _) => corrupt_texts(&mut value, *how, *draw),
                (Change::Return(object), Value::Object(held)) => held.extend(object.clone()),
                (Change::Return(_), _) => {}
            }
        }
        value
    }
}

fn corrupt_texts(value: &mut Value, how: Corruption, draw: Draw) {
    match value {
        Value::String(text) => {
            let mut bytes = std::mem::take(text).into_bytes();
            how.apply(&mut bytes, draw);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Value::Array(values) => values.iter_mut().for_each(|value| corrupt_texts(value, how, draw)),
        Value::Object(members) => members.values_mut().for_each(|value| corrupt_texts(value, how, draw)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A code of another world is named in the message.
fn status(code: Option<failpoint::Code>, message: &Text) -> Status {
    match code {
        None => Status::unknown(message.text()),
        Some(failpoint::Code::Grpc(name)) => Status::new(code_by_name(name).unwrap_or(Code::Unknown), message.text()),
        Some(foreign) => Status::unknown(format!("{foreign}: {}", message.text())),
    }
}
