//! What is asked in a conversation, what a peer's messages say, and what the client makes of them.

use std::sync::Arc;

use holdfast::dial::{Call, OnLoss, ResumeLimits, Session};
use holdfast::error::Result;
use holdfast::gnmi::form::{Form, Reader};
use holdfast::gnmi::{Gnmi, Leaf, Path, Received, StreamMode, Value};
use holdfast::gnoi::System;
use holdfast::gnoi::containerz::{Containerz, LogItem};
use holdfast::wire::gnmi::subscribe_response::Response;
use holdfast::wire::gnmi::{Encoding, GetResponse, Notification, SubscribeResponse, TypedValue, Update, typed_value};
use holdfast::wire::gnoi::containerz::ListContainerResponse;
use holdfast::wire::gnoi::system::{PingResponse, RebootMethod, RebootResponse, TimeResponse};
use prost::Message;
use tokio::time::Instant;

use super::script::LIMIT;

/// A call of each kind that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Time,
    /// A change: made once.
    Reboot,
    Get,
    Ping,
    Containers,
    Logs,
    Once,
    /// Streams that are read as they come, to their end.
    Follow,
    /// The same, made again where it breaks off.
    FollowOn,
    Subscription,
    SubscriptionOn,
}

pub const ALL: [Asked; 11] = [
    Asked::Time,
    Asked::Reboot,
    Asked::Get,
    Asked::Ping,
    Asked::Containers,
    Asked::Logs,
    Asked::Once,
    Asked::Follow,
    Asked::FollowOn,
    Asked::Subscription,
    Asked::SubscriptionOn,
];

/// A log's text as bytes: a chunk may end inside a character.
#[derive(Clone, PartialEq, prost::Message)]
struct Chunk {
    #[prost(bytes = "vec", tag = "1")]
    msg: Vec<u8>,
}

/// What came of a call: what was told before its end, and the end.
#[derive(Debug)]
pub struct Came {
    pub items: Vec<Item>,
    pub end: Result<()>,
}

/// One thing that a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Told(String),
    Synced,
    Resumed,
}

impl Asked {
    pub fn is_unary(self) -> bool {
        matches!(self, Self::Time | Self::Reboot | Self::Get)
    }

    pub fn has_sync(self) -> bool {
        matches!(self, Self::Once | Self::Subscription | Self::SubscriptionOn)
    }

    pub fn is_read_as_it_comes(self) -> bool {
        matches!(self, Self::Follow | Self::FollowOn | Self::Subscription | Self::SubscriptionOn)
    }

    fn is_log(self) -> bool {
        matches!(self, Self::Logs | Self::Follow | Self::FollowOn)
    }

    /// A good message, which its number tells from others.
    pub fn message(self, number: u16) -> Vec<u8> {
        let notification = Notification {
            timestamp: i64::from(number),
            update: vec![Update {
                path: Some("/system/state/hostname".parse::<Path>().expect("a path").to_gnmi()),
                val: Some(TypedValue { value: Some(typed_value::Value::StringVal(number.to_string())) }),
                ..Update::default()
            }],
            ..Notification::default()
        };
        match self {
            Self::Time => TimeResponse { time: u64::from(number) }.encode_to_vec(),
            Self::Reboot => RebootResponse {}.encode_to_vec(),
            Self::Get => GetResponse { notification: vec![notification], ..GetResponse::default() }.encode_to_vec(),
            Self::Ping => PingResponse { sequence: i32::from(number), ..PingResponse::default() }.encode_to_vec(),
            Self::Containers => {
                ListContainerResponse { id: number.to_string(), ..ListContainerResponse::default() }.encode_to_vec()
            }
            Self::Logs | Self::Follow | Self::FollowOn => {
                let end = if number.is_multiple_of(3) { "" } else { "\n" };
                Chunk { msg: format!("{number}{end}").into_bytes() }.encode_to_vec()
            }
            Self::Once | Self::Subscription | Self::SubscriptionOn => {
                SubscribeResponse { response: Some(Response::Update(notification)), ..SubscribeResponse::default() }
                    .encode_to_vec()
            }
        }
    }

    pub fn sync(self) -> Vec<u8> {
        if !self.has_sync() {
            return Vec::new();
        }
        SubscribeResponse { response: Some(Response::SyncResponse(true)), ..SubscribeResponse::default() }
            .encode_to_vec()
    }

    /// What whole messages of a peer say, and whether they can be read to their end; `ended`: none follows.
    pub fn told(self, messages: &[Vec<u8>], ended: bool) -> (Vec<Item>, bool) {
        let (mut items, mut log) = (Vec::new(), Vec::new());
        let mut readable = true;
        for message in messages {
            let Some(read) = self.read(message, &mut log) else {
                readable = false;
                break;
            };
            items.extend(read);
        }
        if self.is_log() {
            items = lines(&log, ended && readable).map(Item::Told).collect();
        }
        (items, readable)
    }

    fn read(self, message: &[u8], log: &mut Vec<u8>) -> Option<Vec<Item>> {
        let one = |text: String| Some(vec![Item::Told(text)]);
        match self {
            Self::Time => one(TimeResponse::decode(message).ok()?.time.to_string()),
            Self::Reboot => RebootResponse::decode(message).ok().and_then(|_| one("done".into())),
            Self::Ping => one(PingResponse::decode(message).ok()?.sequence.to_string()),
            Self::Containers => one(ListContainerResponse::decode(message).ok()?.id),
            Self::Logs | Self::Follow | Self::FollowOn => {
                log.extend(Chunk::decode(message).ok()?.msg);
                Some(Vec::new())
            }
            Self::Get => Some(GetResponse::decode(message).ok()?.notification.iter().flat_map(values).collect()),
            Self::Once | Self::Subscription | Self::SubscriptionOn => {
                Some(match SubscribeResponse::decode(message).ok()?.response {
                    Some(Response::Update(notification)) => values(&notification),
                    Some(Response::SyncResponse(true)) => vec![Item::Synced],
                    Some(Response::SyncResponse(false)) if self != Self::Once => vec![Item::Synced],
                    _ => Vec::new(),
                })
            }
        }
    }

    /// Makes the call, and reads what comes of it to its end.
    pub async fn ask(self, session: &Session, until: Instant) -> Came {
        let (system, containerz) = (System::new(session.clone()), Containerz::new(session.clone()));
        let gnmi = Gnmi::new(session.clone());
        let paths = ["/system/state".parse::<Path>().expect("a path")];
        let form = |reader| Form { reader, encoding: Encoding::Proto, origin: false, target: false };
        let nanoseconds = |time: std::time::SystemTime| {
            let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            vec![since.as_nanos().to_string()]
        };
        let all = match self {
            Self::Time => system.time(until).await.map(nanoseconds),
            Self::Reboot => {
                let rebooted = system.reboot(RebootMethod::Cold, &[], "", false, until).await;
                rebooted.map(|()| vec!["done".to_owned()])
            }
            Self::Ping => {
                let replies = system.ping("there", 1, until).await;
                replies.map(|replies| replies.iter().map(|reply| reply.sequence.to_string()).collect())
            }
            Self::Containers => {
                let listed = containerz.containers(true, until).await;
                listed.map(|listed| listed.into_iter().map(|container| container.id).collect())
            }
            Self::Logs => containerz.logs("web", until).await,
            Self::Get => gnmi.ask(&paths, form(Reader::Get), Call::read("gNMI.Get", until)).await.map(texts),
            Self::Once => gnmi.ask(&paths, form(Reader::Once), Call::read("gNMI.Subscribe", until)).await.map(texts),
            Self::Follow | Self::FollowOn => return self.follow(&containerz, until).await,
            Self::Subscription | Self::SubscriptionOn => return self.subscribe(&gnmi, &paths, until).await,
        };
        match all {
            Ok(all) => Came { items: all.into_iter().map(Item::Told).collect(), end: Ok(()) },
            Err(error) => Came { items: Vec::new(), end: Err(error) },
        }
    }

    fn on_loss(self) -> OnLoss {
        match self {
            Self::FollowOn | Self::SubscriptionOn => {
                OnLoss::Resume(Arc::new(|| ResumeLimits { away: LIMIT * 2, refused: LIMIT / 3 }))
            }
            _ => OnLoss::End,
        }
    }

    async fn follow(self, containerz: &Containerz, until: Instant) -> Came {
        let mut log = match containerz.log_stream("web", true, until).await {
            Ok(log) => log.on_loss(self.on_loss()),
            Err(error) => return Came { items: Vec::new(), end: Err(error) },
        };
        let mut items = Vec::new();
        loop {
            match log.next(until).await {
                Ok(Some(LogItem::Line(line))) => items.push(Item::Told(line)),
                Ok(Some(LogItem::Resumed { .. })) => items.push(Item::Resumed),
                Ok(None) => return Came { items, end: Ok(()) },
                Err(error) => return Came { items, end: Err(error) },
            }
        }
    }

    async fn subscribe(self, gnmi: &Gnmi, paths: &[Path], until: Instant) -> Came {
        // What comes first is asked for by hand, in the encoding that comes first.
        let mut stream = match gnmi.stream(paths, StreamMode::OnChange, until).await {
            Ok(stream) => stream.on_loss(self.on_loss()),
            Err(error) => return Came { items: Vec::new(), end: Err(error) },
        };
        let mut items = Vec::new();
        loop {
            match stream.next(until).await {
                Ok(Some(Received::Leaves(leaves))) => items.extend(texts(leaves).into_iter().map(Item::Told)),
                Ok(Some(Received::Synced)) => items.push(Item::Synced),
                Ok(Some(Received::Resumed(_))) => items.push(Item::Resumed),
                Ok(None) => return Came { items, end: Ok(()) },
                Err(error) => return Came { items, end: Err(error) },
            }
        }
    }
}

/// What a notification says: when, and the text.
fn values(notification: &Notification) -> Vec<Item> {
    let each = notification.update.iter().filter_map(|update| match update.val.as_ref()?.value.as_ref()? {
        typed_value::Value::StringVal(text) => Some(Item::Told(format!("{}: {text}", notification.timestamp))),
        _ => None,
    });
    each.collect()
}

fn texts(leaves: Vec<Leaf>) -> Vec<String> {
    let text = |leaf: Leaf| match leaf.value {
        Some(Value::String(text)) => Some(format!("{}: {text}", leaf.timestamp)),
        _ => None,
    };
    leaves.into_iter().filter_map(text).collect()
}

/// The lines of a log; what has no line end is one only where the log ended.
fn lines(log: &[u8], ended: bool) -> impl Iterator<Item = String> {
    let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let log = if ended { log } else { &log[..whole] };
    let log = log.strip_suffix(b"\n").map_or_else(|| (!log.is_empty()).then_some(log), Some);
    log.into_iter().flat_map(|log| log.split(|byte| *byte == b'\n')).map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8_lossy(line).into_owned()
    })
}
