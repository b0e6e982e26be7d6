//! A peer's answer, followed frame by frame: one that is cut short or is no gRPC never passes for a good one.
//!
//! tonic believes a status of 0 even where the message before it is not complete, and panics on details that are no
//! base64. It gets answers from here, where both are seen to.

use std::collections::HashSet;
use std::error::Error as _;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use prost::Message;
use tonic::codegen::StdError;
use tonic::{Code, Status};

use super::calls::{Copied, MESSAGE_HEADER, Observed};
use super::weight::Weight;
use crate::error::{broken_off, of_something_between, unreadable};
use holdfast_wire::DESCRIPTORS;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What an error repeats of a header.
const SHOWN: usize = 60;

/// The paths of the methods that answer with one message.
static UNARY: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file;
    let paths = files.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            let methods = service.method.iter().filter(|method| !method.server_streaming());
            methods.map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    paths.collect()
});

/// What comes back for a request to `path`.
pub async fn read<B>(
    path: &str,
    sent: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<B>>>>,
) -> Result<Response<Answer>, StdError> {
    let (mut head, body) = sent.await.map_err(failure)?.into_parts();
    let unary = UNARY.contains(path);
    let ended = body.is_end_stream();
    check_head(&mut head, ended, unary)?;
    let messages = Messages::of_answers_to(path);
    Ok(Response::from_parts(head, Answer { body, messages, unary, ended, copy: None }))
}

/// An answer whose messages are seen as they come.
pub(super) fn seen(call: Observed, answer: Result<Response<Answer>, StdError>) -> Result<Response<Answer>, StdError> {
    match answer {
        Ok(mut answer) => {
            if answer.headers().contains_key(STATUS) {
                call.ended(answer.headers());
            } else {
                answer.body_mut().copy = Some(call.receiving());
            }
            Ok(answer)
        }
        Err(error) => {
            call.broke(&error.to_string());
            Err(error)
        }
    }
}

/// Waits for an answer; a panic on the way, as of a parser, is an error of that call.
pub fn unless_it_panics<T>(answer: impl Future<Output = Result<T, Status>>) -> impl Future<Output = Result<T, Status>> {
    let mut answer = Box::pin(answer);
    std::future::poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Poll::Ready(Err(unreadable(format!("its reader panicked: {text}"))))
        })
    })
}

/// The body of an answer.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    messages: Messages,
    unary: bool,
    ended: bool,
    /// For who looks at it.
    pub(super) copy: Option<Copied>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame: Result<_, StdError> = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => self.check(frame).map_err(StdError::from),
            Some(Err(broken)) => Err(broken.into()),
            None => Err(broken_off().into()),
        };
        self.ended = !frame.as_ref().is_ok_and(Frame::is_data);
        if let Some(copy) = &mut self.copy {
            match &frame {
                Ok(frame) => match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => copy.follow(data),
                    (None, Some(trailers)) => copy.ended(trailers),
                    (None, None) => {}
                },
                Err(error) => copy.broke(&error.to_string()),
            }
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Answer {
    fn check(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                check_trailers(&mut trailers, &self.messages, self.unary)?;
                Ok(Frame::trailers(trailers))
            }
            Err(frame) => {
                if let Some(data) = frame.data_ref() {
                    self.messages.follow(data)?;
                }
                Ok(frame)
            }
        }
    }
}

/// How far the messages of one answer have come.
#[derive(Debug)]
struct Messages {
    begun: u64,
    header: Vec<u8>,
    missing: usize,
    weight: Weight,
}

impl Messages {
    fn of_answers_to(path: &str) -> Self {
        Self { begun: 0, header: Vec::new(), missing: 0, weight: Weight::of_answers_to(path) }
    }

    fn follow(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let content = self.missing.min(data.len());
            self.missing -= content;
            self.weight.follow(&data[..content])?;
            data = &data[content..];
            let header = (MESSAGE_HEADER - self.header.len()).min(data.len());
            self.header.extend_from_slice(&data[..header]);
            data = &data[header..];
            if let [flag, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                check_flag(*flag)?;
                self.missing = u32::from_be_bytes(length) as usize;
                self.weight.begin(self.missing as u64);
                self.begun += 1;
                self.header.clear();
            }
        }
        Ok(())
    }

    fn check_complete(&self, unary: bool) -> Result<(), Status> {
        if self.missing > 0 {
            return Err(unreadable(format!("it was cut short: {} bytes of its last message never came", self.missing)));
        }
        if !self.header.is_empty() {
            return Err(unreadable("it was cut short, before the length of its last message"));
        }
        match self.begun {
            0 if unary => Err(no_message()),
            count if unary && count > 1 => Err(unreadable(format!("{count} messages came, where one is due"))),
            _ => Ok(()),
        }
    }
}

fn no_message() -> Status {
    unreadable("its status is OK, and no message came")
}

fn check_flag(flag: u8) -> Result<(), Status> {
    match flag {
        0 => Ok(()),
        1 => Err(unreadable("it is compressed, and no compression was offered")),
        other => Err(unreadable(format!("a message begins with {other}, which is no flag of gRPC"))),
    }
}

fn check_head(head: &mut Parts, ends_here: bool, unary: bool) -> Result<(), Status> {
    repair(&mut head.headers);
    head.headers.remove(ENCODING); // each message's flag says whether it is compressed
    let status = status_of(&head.headers)?;
    if status.is_some_and(|code| code != Code::Ok) {
        return Ok(()); // tonic makes the error of it
    }
    if head.status != StatusCode::OK {
        return Err(not_grpc(head.status));
    }
    if let Some(other) = head.headers.get(header::CONTENT_TYPE).filter(|value| !is_grpc(value)) {
        return Err(unreadable(format!("it is no gRPC: its content type is {}", shown(other))));
    }
    match status {
        None if ends_here => Err(broken_off()),
        Some(_) if ends_here && unary => Err(no_message()),
        Some(_) if ends_here => Ok(()),
        _ => {
            head.headers.remove(STATUS); // what is said before the messages does not tell whether they all came
            Ok(())
        }
    }
}

fn check_trailers(trailers: &mut HeaderMap, messages: &Messages, unary: bool) -> Result<(), Status> {
    repair(trailers);
    match status_of(trailers)? {
        None => Err(broken_off()),
        Some(Code::Ok) => messages.check_complete(unary),
        Some(_) => Ok(()),
    }
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// As gRPC's documents map what does not come from a gRPC server, such as a proxy's own answer.
fn not_grpc(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let message = format!("the answer is no gRPC: HTTP status {status}");
    // Who answers otherwise did not pass it on; of these some may have, and then waited in vain.
    let perhaps_passed_on = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
    if perhaps_passed_on { of_something_between(code, message) } else { Status::new(code, message) }
}

/// Whether a status was made by our own transport, not sent by the peer.
pub fn is_transport(status: &Status) -> bool {
    causes(status).any(|error| error.is::<hyper::Error>() || error.is::<h2::Error>())
}

/// Whether a call was certainly not processed: it never began, or the peer refused its stream. It is safe to make it
/// again.
pub fn is_unprocessed(status: &Status) -> bool {
    let refused = |error: &h2::Error| error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    causes(status).any(|error| error.is::<NotBegun>() || error.downcast_ref().is_some_and(refused))
}

/// Whether a call ended with the peer's GOAWAY, which may have left it out.
pub fn is_of_go_away(status: &Status) -> bool {
    let remote = |error: &h2::Error| error.is_remote() && error.is_go_away();
    causes(status).any(|error| error.downcast_ref().is_some_and(remote))
}

/// A connection that ends takes no further call: nothing of this one was handed to it.
#[derive(Debug, thiserror::Error)]
#[error("the connection took no further call: {0}")]
pub struct NotBegun(#[source] hyper::Error);

/// What kept the answer away.
fn failure<B>(error: TrySendError<Request<B>>) -> StdError {
    let was_kept_back = error.message().is_some();
    let error = error.into_error();
    if was_kept_back { NotBegun(error).into() } else { error.into() }
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}

fn status_of(headers: &HeaderMap) -> Result<Option<Code>, Status> {
    let mut all = headers.get_all(STATUS).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if let Some(other) = all.find(|other| *other != value) {
        return Err(unreadable(format!("it has two statuses, {} and {}", shown(value), shown(other))));
    }
    if value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(unreadable(format!("its status is {}, which is no number", shown(value))));
    }
    Ok(Some(Code::from_bytes(value.as_bytes())))
}

fn shown(value: &HeaderValue) -> String {
    let shortened = &value.as_bytes()[..value.len().min(SHOWN)];
    format!("\"{}\"", shortened.escape_ascii())
}

/// Takes out what makes tonic panic, or forget the code of a status.
fn repair(headers: &mut HeaderMap) {
    headers.remove(DETAILS); // nobody here reads them
    let Some(message) = headers.get(MESSAGE) else { return };
    let decoded = percent_decoded(message.as_bytes());
    if std::str::from_utf8(&decoded).is_err() {
        let text = String::from_utf8_lossy(&decoded);
        match HeaderValue::try_from(percent_encoded(text.as_bytes())) {
            Ok(readable) => headers.insert(MESSAGE, readable),
            Err(_) => headers.remove(MESSAGE),
        };
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => {
                hexadecimal(*high).zip(hexadecimal(*low)).map(|(high, low)| (high << 4) | low)
            }
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn percent_encoded(text: &[u8]) -> String {
    let plain = |byte: u8| byte != b'%' && (byte.is_ascii_graphic() || byte == b' ');
    let each = text.iter().map(|&byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::is_unreadable;

    #[tokio::test]
    async fn a_panic_of_a_parser_is_an_error_of_that_call() {
        let answer = unless_it_panics(async { "x".parse::<u8>().map_err(|error| panic!("expected base64: {error}")) });
        let error = answer.await.expect_err("it panicked");
        assert!(is_unreadable(&error) && error.message().contains("expected base64"), "{error:?}");
        assert_eq!(unless_it_panics(async { Ok(7) }).await.expect("no panic"), 7);
    }

    #[test]
    fn messages_are_followed_wherever_their_bytes_are_parted() {
        let bytes = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 9]].concat();
        for end in 0..=bytes.len() {
            for piece in 1..=bytes.len() {
                let mut messages = Messages::of_answers_to("/gnmi.gNMI/Subscribe");
                for part in bytes[..end].chunks(piece) {
                    messages.follow(part).expect("good flags");
                }
                let whole = [0, 8, 13, 19].contains(&end);
                assert_eq!(messages.check_complete(false).is_ok(), whole, "{end} by {piece}: {messages:?}");
            }
        }
    }

    #[test]
    fn one_answer_is_due_of_a_unary_method_alone() {
        for (path, unary) in [
            ("/gnoi.system.System/Time", true),
            ("/gnoi.system.System/Ping", false),
            ("/gnoi.containerz.Containerz/ListImage", false),
            ("/gnmi.gNMI/Get", true),
            ("/gnmi.gNMI/Subscribe", false),
            ("/csi.v1.Controller/ListVolumes", true),
            ("/runtime.v1.RuntimeService/ListPodSandbox", true),
        ] {
            assert_eq!(UNARY.contains(path), unary, "{path}");
        }
    }

    #[test]
    fn a_message_in_no_encoding_keeps_its_code() {
        for (sent, readable) in [
            (&b"caf\xe9 100%"[..], "caf\u{fffd} 100%"),
            (b"%ff%FE%2", "\u{fffd}\u{fffd}%2"),
            (b"plain", "plain"),
            (b"%C3%BC", "\u{fc}"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, HeaderValue::from_static("5"));
            headers.insert(MESSAGE, HeaderValue::from_bytes(sent).expect("a value"));
            headers.insert(DETAILS, HeaderValue::from_static("!!!notbase64"));
            repair(&mut headers);
            let status = Status::from_header_map(&headers).expect("a status");
            assert_eq!((status.code(), status.message()), (Code::NotFound, readable));
        }
    }
}
