//! Answers of many messages, read to their end within bounds: a device that never ends one fills no memory here, and
//! outlasts no deadline.

use prost::Message;
use tokio::task::coop::consume_budget;
use tonic::{Status, Streaming};

use crate::error::too_much;

/// The longest message that is taken, in bytes.
pub const LONGEST_MESSAGE: usize = 64 << 20;
/// What all messages of an answer may come to, in bytes.
pub const LONGEST_ANSWER: usize = 64 << 20;
/// How many messages an answer may have.
pub const MOST_MESSAGES: usize = 500_000;

/// How much of an answer came.
#[derive(Debug, Default)]
pub struct AnswerSize {
    bytes: usize,
    messages: usize,
}

impl AnswerSize {
    /// Another message. More than [`LONGEST_ANSWER`] or [`MOST_MESSAGES`] is RESOURCE_EXHAUSTED.
    pub fn add(&mut self, message: &impl Message) -> Result<(), Status> {
        self.bytes += message.encoded_len();
        self.messages += 1;
        if self.bytes <= LONGEST_ANSWER && self.messages <= MOST_MESSAGES {
            return Ok(());
        }
        let most = LONGEST_ANSWER >> 20;
        Err(too_much(format!("the answer has more than {MOST_MESSAGES} messages or {most} MiB, and no more is taken")))
    }
}

/// Hands each message of an answer to `each`, until the answer ends. More than [`LONGEST_ANSWER`] or [`MOST_MESSAGES`] is
/// RESOURCE_EXHAUSTED.
pub async fn each_of<M: Message>(mut answer: Streaming<M>, mut each: impl FnMut(M)) -> Result<(), Status> {
    let mut size = AnswerSize::default();
    // Messages that are there already would keep a deadline from being looked at.
    while let Some(message) = {
        consume_budget().await;
        answer.message().await?
    } {
        size.add(&message)?;
        each(message);
    }
    Ok(())
}

/// All messages of an answer, as `of` reads each.
pub async fn all_of<M: Message, T>(answer: Streaming<M>, mut of: impl FnMut(M) -> T) -> Result<Vec<T>, Status> {
    let mut found = Vec::new();
    each_of(answer, |message| found.push(of(message))).await?;
    Ok(found)
}
