//! The failpoints around each RPC of a server, and at each message that it answers with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::service::Routes;

use super::faults::{End, FaultOutcome, Faults, stall_for_good};
use super::message_sites::{message_at, message_site, site_of};
use super::stall::Stall;
use holdfast_reflection as reflection;

/// A gRPC message on the wire: a byte that says whether it is compressed, four of its length, itself.
const HEADER: usize = 5;

/// Services with the failpoints around them, on one connection.
#[derive(Clone)]
pub struct Faulty {
    inner: Routes,
    faults: Faults,
    stall: Stall,
}

impl Faulty {
    /// `stall` is that of the connection.
    pub fn new(inner: Routes, faults: Faults, stall: Stall) -> Self {
        Self { inner, faults, stall }
    }
}

impl Service<http::Request<Body>> for Faulty {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        <Routes as Service<http::Request<Body>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.stall.clone());
        let uri = request.uri().clone(); // its text is shared
        let call = ServedCall { faults: self.faults.clone(), stall: self.stall.clone(), uri };
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let response = match call.before(request).await {
                Err(answer) => answer,
                Ok(request) => {
                    let response = inner.call(request).await?;
                    call.after(response).await
                }
            };
            Ok(call.watched(response))
        })
    }
}

/// One RPC on its way through.
struct ServedCall {
    faults: Faults,
    stall: Stall,
    uri: http::Uri,
}

impl ServedCall {
    fn path(&self) -> &str {
        self.uri.path()
    }

    /// The request to go on with, or an answer in its place.
    async fn before(&self, request: http::Request<Body>) -> Result<http::Request<Body>, http::Response<Body>> {
        if self.faults.is_idle() {
            return Ok(request);
        }
        let site = site_of(self.path());
        let mut outcome = self.faults.meet(&site).await;
        if let Some(end) = outcome.end() {
            return Err(self.end(end).await);
        }
        if let Some(object) = outcome.answer() {
            let name = message_at(&site).unwrap_or_default();
            return Err(match reflection::overlay(&name, &[], object) {
                Ok(message) => answered(&message),
                Err(error) => Status::internal(format!("failpoint: return: {error}")).into_http(),
            });
        }
        if !outcome.changes() {
            return Ok(request);
        }
        Ok(request.map(|body| Body::new(Changed::new(body, outcome, String::new()))))
    }

    async fn after(&self, response: http::Response<Body>) -> http::Response<Body> {
        if self.faults.is_idle() || self.path().ends_with("/Deploy") {
            return response; // Deploy is done long after its stream begins: its own code passes that site
        }
        let site = format!("{}.after", site_of(self.path()));
        let mut outcome = self.faults.meet(&site).await;
        if let Some(end) = outcome.end() {
            return self.end(end).await;
        }
        if !outcome.changes() {
            return response;
        }
        let name = message_at(&site).unwrap_or_default();
        response.map(|body| Body::new(Changed::new(body, outcome, name)))
    }

    async fn end(&self, end: End) -> http::Response<Body> {
        match end {
            End::Failed(status) => status.into_http(),
            End::Dropped => std::future::pending().await,
            End::Hung => stall_for_good(&self.stall).await,
        }
    }

    /// The response with each of its messages passing a site, where it has one.
    fn watched(&self, response: http::Response<Body>) -> http::Response<Body> {
        let Some(site) = message_site(self.path()) else { return response };
        let (faults, stall) = (self.faults.clone(), self.stall.clone());
        response.map(|inner| Body::new(Watched { inner, faults, stall, site, busy: None, ended: false }))
    }
}

/// A response of one message.
fn answered(message: &[u8]) -> http::Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = http_body_util::Full::new(framed(message)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = http::Response::new(Body::new(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// The first whole message of `frames`, and what follows it.
fn split_message(frames: &Bytes) -> Option<(Bytes, Bytes)> {
    let length = frames.get(1..HEADER)?.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let end = HEADER.checked_add(length)?;
    (frames.len() >= end).then(|| (frames.slice(HEADER..end), frames.slice(end..)))
}

/// A body whose first message is changed.
struct Changed {
    inner: Body,
    /// Until the first message is whole.
    waiting: Option<(FaultOutcome, BytesMut)>,
    /// The message's full name.
    name: String,
}

impl Changed {
    fn new(inner: Body, outcome: FaultOutcome, name: String) -> Self {
        Self { inner, waiting: Some((outcome, BytesMut::new())), name }
    }
}

impl http_body::Body for Changed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
            let Some((outcome, held)) = &mut this.waiting else { return Poll::Ready(frame) };
            let data = match frame {
                Some(Ok(frame)) if frame.is_data() => frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other), // it ended before its first message did
            };
            held.put(data);
            let Some((message, rest)) = split_message(&held.clone().freeze()) else { continue };
            let changed = outcome.change(&this.name, message.to_vec());
            this.waiting = None;
            return Poll::Ready(Some(changed.map(|changed| Frame::data([framed(&changed), rest].concat().into()))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.as_ref().is_none_or(|(_, held)| held.is_empty()) && self.inner.is_end_stream()
    }
}

/// A response each of whose messages passes a site.
struct Watched {
    inner: Body,
    faults: Faults,
    stall: Stall,
    site: &'static str,
    busy: Option<BoxFuture<Bytes, Status>>,
    ended: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(busy) = &mut self.busy {
                let passed = ready!(busy.as_mut().poll(cx));
                self.busy = None;
                match passed {
                    Ok(bytes) if bytes.is_empty() => continue,
                    Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Err(status) => {
                        self.ended = true;
                        let mut trailers = HeaderMap::new();
                        status.add_header(&mut trailers)?;
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_data() && !self.faults.is_idle() => {
                    let Ok(data) = frame.into_data() else { continue };
                    let (faults, stall) = (self.faults.clone(), self.stall.clone());
                    self.busy = Some(Box::pin(pass_all(faults, stall, self.site, data)));
                }
                other => return Poll::Ready(other),
            }
        }
    }

    /// One that is empty ends with its headers, which hold the status: for clients in Go, an empty frame of data behind
    /// them would be an end without a status.
    fn is_end_stream(&self) -> bool {
        self.ended || self.busy.is_none() && self.inner.is_end_stream()
    }
}

/// Lets each message of `frames` pass `site` and what comes after that, and gathers what is left.
async fn pass_all(faults: Faults, stall: Stall, site: &'static str, mut frames: Bytes) -> Result<Bytes, Status> {
    let name = message_at(site).unwrap_or_default();
    let mut passed = BytesMut::new();
    'messages: while let Some((message, rest)) = split_message(&frames) {
        frames = rest;
        let mut message = message.to_vec();
        for site in [site.to_owned(), format!("{site}.after")] {
            let mut outcome = faults.meet(&site).await;
            match outcome.end() {
                Some(End::Failed(status)) => return Err(status),
                Some(End::Dropped) => continue 'messages,
                Some(End::Hung) => stall_for_good(&stall).await,
                None => message = outcome.change(&name, message)?,
            }
        }
        passed.put(framed(&message));
    }
    passed.put(frames);
    Ok(passed.freeze())
}
