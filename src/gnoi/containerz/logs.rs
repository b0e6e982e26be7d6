//! `Log`: lines out of chunks that servers cut anywhere, in the middle of a character too.

use tokio::time::{Instant, timeout_at};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use super::Containerz;
use crate::dial::answer::unless_it_panics;
use crate::dial::connection::Pending;
use crate::dial::{Call, Connection};
use crate::error::{Error, Kind, Result};
use crate::wire::gnoi::containerz::LogRequest;

/// `LogResponse` with its text as bytes: a chunk may end inside a character, which a string field would refuse.
#[derive(Clone, PartialEq, prost::Message)]
struct LogChunk {
    #[prost(bytes = "vec", tag = "1")]
    msg: Vec<u8>,
}

/// An open Log.
pub struct LogStream {
    device: String,
    chunks: Streaming<LogChunk>,
    connection: Connection,
    partial: Vec<u8>,
    ended: bool,
    _pending: Pending,
}

impl Containerz {
    /// `gnoi.containerz.Containerz/Log`; with `follow` it goes on until the container ends or the stream is dropped.
    pub async fn log_stream(&self, name: &str, follow: bool, deadline: Instant) -> Result<LogStream> {
        let request = LogRequest { instance_name: name.to_owned(), follow };
        let (chunks, connection, pending) = self
            .session
            .open(Call::read("Containerz.Log", deadline), |connection| {
                let request = request.clone();
                async move {
                    let origin = connection.origin();
                    let mut grpc = tonic::client::Grpc::with_origin(connection, origin);
                    grpc.ready().await.map_err(tonic::Status::from_error)?;
                    let path = PathAndQuery::from_static("/gnoi.containerz.Containerz/Log");
                    let codec = ProstCodec::<LogRequest, LogChunk>::default();
                    Ok(grpc.server_streaming(Request::new(request), path, codec).await?.into_inner())
                }
            })
            .await?;
        let device = self.session.name().to_owned();
        Ok(LogStream { device, chunks, connection, partial: Vec::new(), ended: false, _pending: pending })
    }

    /// All lines there are now, without their line ends.
    pub async fn logs(&self, name: &str, deadline: Instant) -> Result<Vec<String>> {
        let began = Instant::now();
        let mut stream = self.log_stream(name, false, deadline).await?;
        let mut lines = Vec::new();
        while let Some(line) =
            stream.next(deadline).await.map_err(|e| e.during(self.session.name(), "Containerz.Log", began.elapsed()))?
        {
            lines.push(line);
        }
        Ok(lines)
    }
}

impl LogStream {
    /// The next line; None at the end.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<String>> {
        let began = Instant::now();
        let line = self.read(deadline).await;
        line.map_err(|error| error.during(&self.device, "Containerz.Log", began.elapsed()))
    }

    async fn read(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            if let Some(line) = take_line(&mut self.partial) {
                return Ok(Some(line));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.partial);
                return Ok((!rest.is_empty()).then(|| text(&rest)));
            }
            let chunk = tokio::select! {
                biased;
                chunk = timeout_at(deadline, unless_it_panics(self.chunks.message())) => chunk
                    .map_err(|_| Error::new(Kind::Timeout, "no log line in time"))?
                    .map_err(|status| Error::from_status(&status))?,
                why = self.connection.lost() => {
                    return Err(Error::new(Kind::Status(tonic::Code::Unavailable), why));
                }
            };
            match chunk {
                Some(chunk) => self.partial.extend(chunk.msg),
                None => self.ended = true,
            }
        }
    }
}

fn take_line(partial: &mut Vec<u8>) -> Option<String> {
    let end = partial.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = partial.drain(..=end).collect();
    Some(text(&line[..end]))
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
        let mut partial = Vec::new();
        partial.extend("gr\u{fc}".as_bytes().split_last().expect("bytes").1);
        assert_eq!(take_line(&mut partial), None);
        partial.extend([0xbc, b'n', b'\r', b'\n', b'x']);
        assert_eq!(take_line(&mut partial).as_deref(), Some("gr\u{fc}n"));
        assert_eq!(partial, b"x");
    }
}
