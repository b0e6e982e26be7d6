//! What goes over connections, call by call, for who wants to see it. Nobody does, unless [`observe`] was called.

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::Address;

/// A flag and a length stand before each message.
pub(super) const MESSAGE_HEADER: usize = 5;
/// What is kept of a message: more tells a reader nothing more.
const LONGEST: usize = 64 << 10;
/// Metadata that gRPC itself sends.
const OWN: [&str; 4] = ["content-type", "te", "user-agent", "grpc-timeout"];

/// Something that was seen of a call.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// It begins, with metadata of these names: its values are shown to nobody.
    Began(&'a [String]),
    /// A message of ours, encoded. Where it is longer than its bytes here, they are its beginning.
    Sent(&'a [u8], usize),
    /// A message of the device's.
    Received(&'a [u8], usize),
    /// Its status, and the device's words.
    Ended(Option<tonic::Code>, &'a str),
}

/// A call, as it is told apart from others.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Its number, from 1 on.
    pub number: u64,
    /// To whom.
    pub address: Address,
    /// Such as `/gnmi.gNMI/Get`.
    pub path: String,
}

/// Who is told; it must not wait.
pub type Observer = fn(&Observed, Seen<'_>);

static OBSERVER: OnceLock<Observer> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(1);

/// From now on, `observer` is told of all calls of this process. Only the first that asks is heard.
pub fn observe(observer: Observer) {
    let _ = OBSERVER.set(observer); // the same, asked for again
}

/// A call that begins; none where nobody looks.
pub(super) fn begin<B>(address: &Address, request: &Request<B>) -> Option<Observed> {
    let observer = OBSERVER.get()?;
    let number = CALLS.fetch_add(1, Ordering::Relaxed);
    let call = Observed { number, address: address.clone(), path: request.uri().path().to_owned() };
    observer(&call, Seen::Began(&names(request.headers())));
    Some(call)
}

fn names(metadata: &HeaderMap) -> Vec<String> {
    metadata.keys().map(|name| name.as_str().to_owned()).filter(|name| !OWN.contains(&name.as_str())).collect()
}

impl Observed {
    fn tell(&self, seen: Seen<'_>) {
        if let Some(observer) = OBSERVER.get() {
            observer(self, seen);
        }
    }

    /// A request whose messages are seen as they leave.
    pub(super) fn sending(&self, request: Request<tonic::body::Body>) -> Request<tonic::body::Body> {
        let copy = Copied::new(self.clone(), true);
        request.map(|body| tonic::body::Body::new(Sending { body, copy }))
    }

    /// What follows the messages of its answer.
    pub(super) fn receiving(self) -> Copied {
        Copied::new(self, false)
    }

    /// It is over, without a message of its answer.
    pub(super) fn broke(&self, why: &str) {
        self.tell(Seen::Ended(None, why));
    }

    /// The same, with a status.
    pub(super) fn ended(&self, trailers: &HeaderMap) {
        let status = Status::from_header_map(trailers);
        let code = status.as_ref().map(Status::code);
        self.tell(Seen::Ended(code, status.as_ref().map_or("", Status::message)));
    }
}

/// The messages of one direction, put together from their frames.
#[derive(Debug)]
pub(super) struct Copied {
    call: Observed,
    ours: bool,
    header: Vec<u8>,
    message: Vec<u8>,
    length: usize,
    missing: usize,
}

impl Copied {
    fn new(call: Observed, ours: bool) -> Self {
        Self { call, ours, header: Vec::new(), message: Vec::new(), length: 0, missing: 0 }
    }

    /// Follows what goes by.
    pub(super) fn follow(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let header = (MESSAGE_HEADER - self.header.len()).min(data.len());
            self.header.extend_from_slice(&data[..header]);
            data = &data[header..];
            let [_, length @ ..] = self.header.as_slice() else { return };
            let Ok(length) = <[u8; 4]>::try_from(length) else { return };
            if header > 0 {
                self.length = u32::from_be_bytes(length) as usize;
                self.missing = self.length;
            }
            let content = self.missing.min(data.len());
            let kept = content.min(LONGEST.saturating_sub(self.message.len()));
            self.message.extend_from_slice(&data[..kept]);
            self.missing -= content;
            data = &data[content..];
            if self.missing == 0 {
                let seen = if self.ours { Seen::Sent } else { Seen::Received };
                self.call.tell(seen(&self.message, self.length));
                self.header.clear();
                self.message.clear();
            }
        }
    }

    /// It is over, with these trailers.
    pub(super) fn ended(&self, trailers: &HeaderMap) {
        self.call.ended(trailers);
    }

    /// It broke.
    pub(super) fn broke(&self, why: &str) {
        self.call.broke(why);
    }
}

struct Sending {
    body: tonic::body::Body,
    copy: Copied,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.copy.follow(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    static OBSERVED: Mutex<Vec<(Vec<u8>, usize)>> = Mutex::new(Vec::new());

    fn take(_: &Observed, seen: Seen<'_>) {
        if let Seen::Received(bytes, length) = seen {
            OBSERVED.lock().unwrap_or_else(PoisonError::into_inner).push((bytes.to_vec(), length));
        }
    }

    #[test]
    fn messages_are_put_together_however_they_are_cut() {
        let mut all = Vec::new();
        for message in [&b"abc"[..], b"", &vec![7; LONGEST + 10]] {
            all.push(0);
            all.extend(u32::try_from(message.len()).expect("a length").to_be_bytes());
            all.extend(message);
        }
        observe(take);
        let address: Address = "192.0.2.1:9339".parse().expect("an address");
        for cut in [1, 2, 7, 4096, all.len()] {
            let call = Observed { number: 1, address: address.clone(), path: "/a/B".to_owned() };
            let mut copied = Copied::new(call, false);
            all.chunks(cut).for_each(|data| copied.follow(data));
            let observed = std::mem::take(&mut *OBSERVED.lock().unwrap_or_else(PoisonError::into_inner));
            let lengths: Vec<_> = observed.iter().map(|(bytes, length)| (bytes.len(), *length)).collect();
            assert_eq!(lengths, [(3, 3), (0, 0), (LONGEST, LONGEST + 10)], "cut to {cut}");
            assert_eq!(observed[0].0, b"abc");
        }
    }

    #[test]
    fn values_of_metadata_are_not_shown() {
        let mut headers = HeaderMap::new();
        headers.insert("password", "hunter2".parse().expect("a value"));
        headers.insert("te", "trailers".parse().expect("a value"));
        assert_eq!(names(&headers), ["password"]);
    }
}
