//! A peer that follows the script of a conversation, over connections in memory, and keeps what it said.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector};
use holdfast::waiting;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, WriteHalf};
use tokio::sync::Mutex as Lock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::Asked;
use super::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, block, first_frame, frame,
};
use super::script::{Conversation, Step, head, status};

/// A message of no bytes, framed: what asks for the time, or for capabilities.
const EMPTY: [u8; 5] = [0; 5];

/// The peer; it is its own way to it.
#[derive(Clone)]
pub struct Peer {
    conversation: Arc<Conversation>,
    seen: Arc<Mutex<Seen>>,
    /// Ends all that it does.
    over: CancellationToken,
}

/// What a peer said, and what it was asked.
#[derive(Debug, Default)]
pub struct Seen {
    /// All bytes of each connection, in the order in which they were written.
    pub said: Vec<Vec<u8>>,
    /// How often it was dialled.
    pub dials: usize,
    /// On which connection and stream what the conversation asks came.
    pub asked: Vec<(usize, u32)>,
    /// How many of its own tasks run.
    pub tasks: usize,
}

impl Peer {
    pub fn new(conversation: Conversation) -> Self {
        Self { conversation: Arc::new(conversation), seen: Arc::default(), over: CancellationToken::new() }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    /// Ends all that it does.
    pub fn leave(&self) {
        self.over.cancel();
    }

    async fn serve(self, number: usize, stream: DuplexStream) {
        self.seen().tasks += 1;
        let (read, write) = tokio::io::split(stream);
        let speaker =
            Speaker { peer: self.clone(), number, write: Arc::new(Lock::new(write)), close: self.over.child_token() };
        let close = speaker.close.clone();
        tokio::select! {
            () = close.cancelled() => {}
            () = speaker.listen(read) => {}
        }
        self.seen().tasks -= 1;
    }
}

impl Connector for Peer {
    fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(vec![SocketAddr::from(([192, 0, 2, 1], 9339))]) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async {
            let number = {
                let mut seen = self.seen();
                seen.dials += 1;
                seen.said.push(Vec::new());
                seen.said.len() - 1
            };
            let script = self.conversation.connection(number);
            if script.refused {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(script.piece.min(1 << 16));
            tokio::spawn(self.clone().serve(number, theirs));
            Ok(Box::new(ours) as BoxedIo)
        })
    }
}

/// What speaks on one connection; clones share it.
#[derive(Clone)]
struct Speaker {
    peer: Peer,
    number: usize,
    write: Arc<Lock<WriteHalf<DuplexStream>>>,
    close: CancellationToken,
}

impl Speaker {
    async fn listen(self, mut read: impl tokio::io::AsyncRead + Unpin) {
        let mut speaking = JoinSet::new();
        let conversation = self.peer.conversation.clone();
        let script = conversation.connection(self.number);
        speaking.spawn(self.clone().play(script.opening.clone(), 0));
        let mut bytes = Vec::new();
        let (mut greeted, mut open): (bool, Vec<u32>) = (false, Vec::new());
        let mut buffer = [0; 4096];
        loop {
            match read.read(&mut buffer).await {
                Ok(count) if count > 0 => bytes.extend(&buffer[..count]),
                _ => return,
            }
            if !greeted && bytes.len() >= PREFACE {
                bytes.drain(..PREFACE);
                greeted = true;
            }
            while let Some((frame, taken)) = first_frame(&bytes).filter(|_| greeted) {
                bytes.drain(..taken);
                match frame.kind {
                    HEADERS if frame.has(END_STREAM) => self.answer_whether_there(&mut speaking, frame.stream),
                    HEADERS => open.push(frame.stream),
                    DATA if open.contains(&frame.stream) => {
                        open.retain(|stream| *stream != frame.stream);
                        if frame.content == EMPTY && conversation.asked != Asked::Time {
                            self.answer_whether_there(&mut speaking, frame.stream);
                        } else {
                            self.answer(&mut speaking, frame.stream);
                        }
                    }
                    SETTINGS if !frame.has(ACK) && script.lively => {
                        self.say(&mut speaking, super::frames::frame(SETTINGS, ACK, 0, &[]));
                    }
                    PING if !frame.has(ACK) && script.lively => {
                        self.say(&mut speaking, super::frames::frame(PING, ACK, 0, &frame.content));
                    }
                    RST_STREAM => open.retain(|stream| *stream != frame.stream),
                    _ => {}
                }
            }
        }
    }

    /// A question that any peer answers: by an empty message.
    fn answer_whether_there(&self, speaking: &mut JoinSet<()>, stream: u32) {
        if !self.peer.conversation.connection(self.number).lively {
            return;
        }
        let answer = [
            frame(HEADERS, END_HEADERS, stream, &block(&head())),
            frame(DATA, 0, stream, &EMPTY),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&status("0"))),
        ];
        self.say(speaking, answer.concat());
    }

    /// What the conversation is about: by the script.
    fn answer(&self, speaking: &mut JoinSet<()>, stream: u32) {
        let conversation = self.peer.conversation.clone();
        let answers = &conversation.connection(self.number).answers;
        let mut seen = self.peer.seen();
        seen.asked.push((self.number, stream));
        let before = seen.asked.iter().filter(|(number, _)| *number == self.number).count() - 1;
        if let Some(answer) = answers.get(before).or(answers.last()) {
            speaking.spawn(self.clone().play(answer.clone(), stream));
        }
    }

    fn say(&self, speaking: &mut JoinSet<()>, bytes: Vec<u8>) {
        speaking.spawn(self.clone().write(bytes));
    }

    async fn play(self, steps: Vec<Step>, stream: u32) {
        for step in steps {
            match step {
                Step::Stall(milliseconds) => waiting::pause(Duration::from_millis(u64::from(milliseconds))).await,
                Step::Close => return self.close.cancel(),
                step => self.clone().write(step.bytes(self.peer.conversation.asked, stream)).await,
            }
        }
    }

    /// Writes all of it before anything else, and keeps what was written.
    async fn write(self, bytes: Vec<u8>) {
        let mut write = self.write.lock().await;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match write.write(rest).await {
                Ok(count) if count > 0 => {
                    self.peer.seen().said[self.number].extend(&rest[..count]);
                    rest = &rest[count..];
                }
                _ => return, // the client is gone
            }
        }
    }
}

impl Conversation {
    fn connection(&self, number: usize) -> &super::script::Connection {
        let last = self.connections.len() - 1;
        &self.connections[number.min(last)]
    }
}
