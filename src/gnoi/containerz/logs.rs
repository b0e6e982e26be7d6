//! `Log`: lines out of chunks that servers cut anywhere, in the middle of a character too.

use tokio::time::Instant;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::Containerz;
use super::meaning::meant;
use crate::dial::whole::{LONGEST_ANSWER, each_of};
use crate::dial::{Call, Connection, Following, Next, OnLoss, Opener, Resumed};
use crate::error::{Error, Kind, Result, Subject};
use crate::wire::gnoi::containerz::LogRequest;

/// `LogResponse` with its text as bytes: a chunk may end inside a character, which a string field would refuse.
#[derive(Clone, PartialEq, prost::Message)]
struct LogChunk {
    #[prost(bytes = "vec", tag = "1")]
    msg: Vec<u8>,
}

const LOG: &str = "Containerz.Log";
/// How many lines a log that is read at once may have: each takes more memory than its bytes.
const MOST_LINES: usize = 2_000_000;
/// How much of a line that was cut an error repeats.
const SHOWN: usize = 60;

/// An open Log. Where it breaks off it ends with UNAVAILABLE, unless [`LogStream::on_loss`] says otherwise.
pub struct LogStream {
    chunks: Following<(), LogChunk>,
    partial: Partial,
    ended: bool,
}

/// What came of a log and is no line yet, and what of it was looked through.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    begin: usize,
    searched: usize,
}

/// What came of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A line, without its end.
    Line(String),
    /// The log broke off and is read anew, from its beginning: Log cannot ask for less. What came before comes again,
    /// and what the container logged meanwhile may be missing.
    Resumed {
        /// Why it broke off.
        why: String,
        /// The beginning of a line whose end never came.
        cut: Option<String>,
    },
}

impl Containerz {
    /// `gnoi.containerz.Containerz/Log`; with `follow` it goes on until the container ends or the stream is dropped.
    pub async fn log_stream(&self, name: &str, follow: bool, deadline: Instant) -> Result<LogStream> {
        let (session, request) = (self.session.clone(), LogRequest { instance_name: name.to_owned(), follow });
        let opener: Opener<_, _> = Box::new(move |deadline| {
            let (session, request) = (session.clone(), request.clone());
            Box::pin(async move {
                let open = |connection| read(connection, request.clone());
                session.open(Call::read(LOG, deadline), open).await
            })
        });
        let chunks = Following::open(self.session.clone(), LOG, opener, deadline).await;
        let chunks = chunks.map_err(|error| meant(Subject::Container, error))?;
        Ok(LogStream { chunks, partial: Partial::default(), ended: false })
    }

    /// All lines there are now, without their line ends.
    pub async fn logs(&self, name: &str, deadline: Instant) -> Result<Vec<String>> {
        let began = Instant::now();
        let request = LogRequest { instance_name: name.to_owned(), follow: false };
        let text = self.session.call(Call::read(LOG, deadline), |connection| {
            let request = request.clone();
            async move {
                let ((), chunks) = read(connection, request).await?;
                let mut text = Vec::new();
                each_of(chunks, |chunk| text.extend(chunk.msg)).await?;
                Ok(text)
            }
        });
        let text = text.await.map_err(|error| meant(Subject::Container, error))?;
        lines(&text).map_err(|error| error.during(self.session.name(), LOG, began.elapsed()))
    }
}

async fn read(
    connection: Connection,
    request: LogRequest,
) -> std::result::Result<((), Streaming<LogChunk>), tonic::Status> {
    let origin = connection.origin();
    let mut grpc = tonic::client::Grpc::with_origin(connection, origin);
    grpc.ready().await.map_err(tonic::Status::from_error)?;
    let path = PathAndQuery::from_static("/gnoi.containerz.Containerz/Log");
    let codec = ProstCodec::<LogRequest, LogChunk>::default();
    Ok(((), grpc.server_streaming(Request::new(request), path, codec).await?.into_inner()))
}

impl LogStream {
    /// Says what becomes of it where it breaks off.
    #[must_use]
    pub fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.chunks.set_on_loss(on_loss);
        self
    }

    /// What comes next; None at the end.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<LogItem>> {
        loop {
            if let Some(line) = self.partial.take_line() {
                return Ok(Some(LogItem::Line(line)));
            }
            if self.partial.len() > LONGEST_ANSWER {
                self.partial = Partial::default();
                let what = format!("a line has more than {} MiB", LONGEST_ANSWER >> 20);
                return Err(self.chunks.give_up(too_long(&what)));
            }
            if self.ended {
                return Ok(self.take_rest().map(LogItem::Line));
            }
            match self.chunks.next(deadline).await {
                Ok(Next::Message(chunk)) => self.partial.extend(&chunk.msg),
                Ok(Next::End) => self.ended = true,
                Ok(Next::Resumed(Resumed { why })) => {
                    return Ok(Some(LogItem::Resumed { why, cut: self.take_rest() }));
                }
                Err(error) if error.kind == Kind::Timeout => return Err(error),
                Err(error) => return Err(in_the_middle_of(error, self.take_rest())),
            }
        }
    }

    fn take_rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (rest.len() > 0).then(|| text(&rest.bytes[rest.begin..]))
    }
}

/// An error that keeps the beginning of a line whose end never came.
fn in_the_middle_of(error: Error, line: Option<String>) -> Error {
    let Some(line) = line else { return error };
    let shown: String = line.chars().take(SHOWN).collect();
    let message = format!("{}, in the middle of the line that begins with {shown:?}", error.message);
    Error { message, ..error }
}

fn too_long(what: &str) -> Error {
    Error::new(Kind::Status(Code::ResourceExhausted), format!("{what}, and no more is taken"))
}

fn lines(log: &[u8]) -> Result<Vec<String>> {
    if log.split(|byte| *byte == b'\n').nth(MOST_LINES).is_some() {
        return Err(too_long(&format!("the log has more than {MOST_LINES} lines")));
    }
    let mut lines: Vec<String> = log.split(|byte| *byte == b'\n').map(text).collect();
    lines.pop_if(|last| last.is_empty());
    Ok(lines)
}

impl Partial {
    fn len(&self) -> usize {
        self.bytes.len() - self.begin
    }

    fn extend(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.begin);
        self.searched -= self.begin;
        self.begin = 0;
        self.bytes.extend(chunk);
    }

    /// The next line; what was looked through once is not looked through again.
    fn take_line(&mut self) -> Option<String> {
        let Some(at) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + at;
        let line = text(&self.bytes[self.begin..end]);
        (self.begin, self.searched) = (end + 1, end + 1);
        Some(line)
    }
}

/// A terminal's lines end in CR LF.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_across_chunks_and_characters() {
        let mut partial = Partial::default();
        partial.extend("gr\u{fc}".as_bytes().split_last().expect("bytes").1);
        assert_eq!(partial.take_line(), None);
        partial.extend(&[0xbc, b'n', b'\r', b'\n', b'x', b'\n', b'y']);
        assert_eq!(partial.take_line().as_deref(), Some("gr\u{fc}n"));
        partial.extend(b"z");
        assert_eq!(partial.take_line().as_deref(), Some("x"));
        assert_eq!((partial.take_line(), partial.len()), (None, 2));
        partial.extend(b"\n");
        assert_eq!(partial.take_line().as_deref(), Some("yz"));
        assert_eq!(partial.len(), 0);
    }

    #[test]
    fn a_log_of_line_ends_alone_is_bounded() {
        assert_eq!(lines(b"a\r\n\nb").expect("few"), ["a", "", "b"]);
        assert_eq!(lines(&vec![b'\n'; MOST_LINES - 1]).expect("few").len(), MOST_LINES - 1);
        assert!(lines(&vec![b'\n'; MOST_LINES]).expect_err("too many").to_string().contains("2000000 lines"));
    }
}
