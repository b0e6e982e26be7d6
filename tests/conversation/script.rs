//! What a peer says in a conversation, step by step, and the bytes of each step.

use std::time::Duration;

use bytes::Bytes;

use super::calls::Asked;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, Header, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};

/// A conversation: what is asked, and what each connection that is made for it says.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub asked: Asked,
    /// The last is that of all further connections too.
    pub connections: Vec<Connection>,
}

/// What a peer does on one connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Whether it is taken at all.
    pub refused: bool,
    /// Before anything is asked.
    pub opening: Vec<Step>,
    /// For what is asked first, second and so on; the last for all that follows.
    pub answers: Vec<Vec<Step>>,
    /// Whether the peer answers a client's own pings, settings and questions whether it is there.
    pub lively: bool,
    /// How many bytes it writes at a time.
    pub piece: usize,
}

/// Of what a stream's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The one that was asked on.
    Own,
    /// The connection's.
    Zero,
    Other(u32),
}

/// How the headers of a block are sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub end: bool,
    /// Into so many CONTINUATION frames beside the first.
    pub parted: u8,
    pub padding: Option<u8>,
    pub priority: bool,
}

/// What stands in an answer's body.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A message that is right, and can be told from others.
    Good(u16),
    /// For gNMI: all there is was told. Else an empty message.
    Sync,
    /// A message of these bytes, whatever it is of.
    Of(Bytes),
    /// A message that says it is compressed, or has no flag of gRPC.
    Flagged(u8, u16),
    /// A message whose length is told as another.
    Mistold(u16, u32),
    Garbage(Bytes),
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    Headers(Vec<Header>, Sent),
    /// A header block of these bytes.
    Block(Bytes, Sent),
    /// Pieces, and where they are cut into frames.
    Body(Vec<Piece>, Vec<u16>, Sent),
    Reset(Stream, u32),
    GoAway {
        last: u32,
        code: u32,
    },
    Pings {
        count: u16,
        ack: bool,
    },
    Settings {
        pairs: Vec<(u16, u32)>,
        ack: bool,
        count: u16,
    },
    Window {
        stream: Stream,
        by: u32,
    },
    Continuations {
        count: u16,
        size: u16,
    },
    Resets {
        count: u16,
    },
    /// A frame as it is.
    Frame {
        kind: u8,
        flags: u8,
        stream: Stream,
        content: Bytes,
    },
    Raw(Bytes),
    Stall(u16),
    Close,
}

impl Stream {
    fn number(self, own: u32) -> u32 {
        match self {
            Self::Own => own,
            Self::Zero => 0,
            Self::Other(number) => number,
        }
    }
}

impl Piece {
    fn bytes(&self, asked: Asked) -> Vec<u8> {
        let framed = |flag: u8, message: &[u8]| {
            let length = u32::try_from(message.len()).expect("short");
            [&[flag], &length.to_be_bytes()[..], message].concat()
        };
        match self {
            Self::Good(number) => framed(0, &asked.message(*number)),
            Self::Sync => framed(0, &asked.sync()),
            Self::Of(bytes) => framed(0, bytes),
            Self::Flagged(flag, number) => framed(*flag, &asked.message(*number)),
            Self::Mistold(number, length) => {
                let message = asked.message(*number);
                [&[0], &length.to_be_bytes()[..], &message].concat()
            }
            Self::Garbage(bytes) => bytes.to_vec(),
        }
    }
}

impl Sent {
    fn padded(&self, content: &[u8], priority: bool) -> (u8, Vec<u8>) {
        let weight: &[u8] = if priority { &[0, 0, 0, 0, 16] } else { &[] };
        let flag = if priority { PRIORITY } else { 0 };
        match self.padding {
            None => (flag, [weight, content].concat()),
            Some(padding) => {
                let zeros = vec![0; usize::from(padding)];
                (flag | PADDED, [&[padding], weight, content, &zeros].concat())
            }
        }
    }

    fn end_flag(&self) -> u8 {
        if self.end { END_STREAM } else { 0 }
    }

    /// The frames of a header block.
    fn headers(&self, block: &[u8], stream: u32) -> Vec<u8> {
        let size = (block.len() / (usize::from(self.parted) + 1)).max(1);
        let size = if self.parted == 0 { block.len().max(1) } else { size };
        let mut parts = block.chunks(size).peekable();
        let first = parts.next().unwrap_or_default();
        let last = |more: bool| if more { 0 } else { END_HEADERS };
        let (flags, content) = self.padded(first, self.priority);
        let mut bytes = frame(HEADERS, flags | self.end_flag() | last(parts.peek().is_some()), stream, &content);
        while let Some(part) = parts.next() {
            bytes.extend(frame(CONTINUATION, last(parts.peek().is_some()), stream, part));
        }
        bytes
    }
}

/// The frames of a body, cut after so many bytes each.
fn body(bytes: &[u8], cuts: &[u16], sent: &Sent, stream: u32) -> Vec<u8> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    for cut in cuts {
        let (part, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.extend(rest.chunks(16 << 10)); // no longer frame is taken
    if parts.is_empty() {
        parts.push(&[]);
    }
    let last = parts.len() - 1;
    let framed = parts.iter().enumerate().map(|(number, part)| {
        let (flags, content) = sent.padded(part, false);
        let end = if number == last { sent.end_flag() } else { 0 };
        frame(DATA, flags | end, stream, &content)
    });
    framed.collect::<Vec<_>>().concat()
}

impl Step {
    /// The bytes of it, on the stream that was asked on; empty for what is no bytes.
    pub fn bytes(&self, asked: Asked, own: u32) -> Vec<u8> {
        match self {
            Self::Headers(headers, sent) => sent.headers(&block(headers), own),
            Self::Block(block, sent) => sent.headers(block, own),
            Self::Body(pieces, cuts, sent) => {
                let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes(asked)).collect();
                body(&bytes, cuts, sent, own)
            }
            Self::Reset(stream, code) => frame(RST_STREAM, 0, stream.number(own), &code.to_be_bytes()),
            Self::GoAway { last, code } => frame(GO_AWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()),
            Self::Pings { count, ack } => {
                frame(PING, if *ack { ACK } else { 0 }, 0, &[7; 8]).repeat(usize::from(*count))
            }
            Self::Settings { pairs, ack, count } => {
                let pairs =
                    pairs.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat());
                let content: Vec<u8> = pairs.collect();
                frame(SETTINGS, if *ack { ACK } else { 0 }, 0, &content).repeat(usize::from(*count))
            }
            Self::Window { stream, by } => frame(WINDOW_UPDATE, 0, stream.number(own), &by.to_be_bytes()),
            Self::Continuations { count, size } => {
                let part = vec![0; usize::from(*size)];
                let more = frame(CONTINUATION, 0, own, &part).repeat(usize::from(*count));
                [frame(HEADERS, 0, own, &part), more].concat()
            }
            Self::Resets { count } => {
                let promised = (0..u32::from(*count)).flat_map(|number| {
                    let stream = 2 + number * 2;
                    let promise = [&stream.to_be_bytes()[..], &block(&[header(":path", "/")])].concat();
                    [frame(PUSH_PROMISE, END_HEADERS, own, &promise), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
                });
                promised.flatten().collect()
            }
            Self::Frame { kind, flags, stream, content } => frame(*kind, *flags, stream.number(own), content),
            Self::Raw(bytes) => bytes.to_vec(),
            Self::Stall(_) | Self::Close => Vec::new(),
        }
    }

    /// Whether a peer that does this, beside a whole answer, is still to be understood.
    fn is_harmless(&self) -> bool {
        match self {
            Self::Pings { count, .. } => *count <= 3,
            Self::Settings { pairs, ack: false, count: 1 } => pairs.is_empty(),
            Self::Window { stream: Stream::Own | Stream::Zero, by } => (1..1000).contains(by),
            Self::Stall(milliseconds) => *milliseconds <= 20,
            Self::Frame { kind, .. } => *kind > 0x20,
            _ => false,
        }
    }
}

/// A header.
pub fn header(name: &'static str, value: impl Into<Bytes>) -> Header {
    (Bytes::from(name), value.into())
}

/// The headers before an answer.
pub fn head() -> Vec<Header> {
    vec![header(":status", "200"), header("content-type", "application/grpc")]
}

/// The trailers behind one.
pub fn status(number: &str) -> Vec<Header> {
    vec![header("grpc-status", number.to_owned())]
}

impl Conversation {
    /// Whether all that the first connection says for the first question is as it should be, so that the answer must come.
    pub fn is_plain(&self) -> bool {
        let Some(Connection { refused: false, lively: true, opening, answers, .. }) = self.connections.first() else {
            return false;
        };
        let (Some((Step::Settings { ack: false, count: 1, pairs }, opening)), Some(answer)) =
            (opening.split_first(), answers.first())
        else {
            return false;
        };
        pairs.is_empty() && opening.iter().all(Step::is_harmless) && self.answers_plainly(answer)
    }

    fn answers_plainly(&self, answer: &[Step]) -> bool {
        let mut good = 0;
        let mut at = 0; // before the headers, in the body, behind the trailers
        for step in answer {
            match step {
                Step::Headers(headers, Sent { end: false, .. }) if at == 0 && *headers == head() => at = 1,
                Step::Body(pieces, _, Sent { end: false, .. }) if at == 1 => {
                    good += pieces.iter().filter(|piece| matches!(piece, Piece::Good(_))).count();
                    let fits = |piece: &Piece| match piece {
                        Piece::Good(_) => true,
                        Piece::Sync => self.asked.has_sync(),
                        _ => false,
                    };
                    if !pieces.iter().all(fits) {
                        return false;
                    }
                }
                Step::Headers(trailers, Sent { end: true, .. }) if at == 1 && *trailers == status("0") => at = 2,
                step if at < 2 && step.is_harmless() => {}
                _ => return false,
            }
        }
        at == 2 && (!self.asked.is_unary() || good == 1)
    }
}

/// How long a call may take.
pub const LIMIT: Duration = Duration::from_secs(3);
/// How late its end may be.
pub const LATE: Duration = Duration::from_millis(200);
